"""Exact match with the text of a reply's last tag, as defined by benchmarks that ask for `<answer>` tags."""

from __future__ import annotations

from msgspec import Struct

from evals.extract.visible import visible
from evals.scorers.outcomes import binary_score, no_answer
from evals.types import Prompt, Reply, Sample, Score


class LastTag(Struct, frozen=True):
    """Scores 1 if the content of the last tag, or else the whole reply, equals the gold answer."""

    tag: str

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        text = "" if reply.stop == "filter" else visible(reply.text).text.strip()
        if not text:
            return no_answer(reply, "nothing stated")
        _, opening, rest = text.rpartition(f"<{self.tag}>")
        content, closing, _ = rest.partition(f"</{self.tag}>")
        has_tag = bool(opening and closing)
        answer = content.strip() if has_tag else text
        right = answer == str(sample.target).strip()
        if not right and not has_tag:
            return no_answer(reply, f"no <{self.tag}>")
        return binary_score(right=right, answer=answer[:200])
