"""Common to the suites of short answers about a picture (GQA, VizWiz, TextVQA, OCR-VQA, DocVQA, InfographicVQA).

`official` is VLMEvalKit's way: the data set's question with a sentence that asks for a word or a phrase, and the whole reply
compared (evals/scorers/upstream/vqa.py). `qwen2-vl` is the same with the sentence and the sampling of its wrapper for Qwen2-VL. Both
sentences are read from its wheel (`official~`, `qwen2-vl~`: reworded). `strict` asks for a line `Answer: X` and scores the stated answer.
Every run reports both figures, so that what a sentence around the answer costs is seen at once: `..._stated` beside the whole
reply's, `..._whole` beside the stated answer's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from evals.benchmark import Protocol
from evals.data import Row
from evals.errors import DataError
from evals.prompts import ask_with_images, plain_text
from evals.prompts.upstream import UpstreamPrompts
from evals.prompts.upstream.sentences import Place, Swap, sentences
from evals.report.metrics import mean_value
from evals.scorers.short_answers import StatedShortAnswer
from evals.scorers.upstream.chartqapro import parse_list_literal
from evals.scorers.upstream.vqa import Anls, VqaScore, WholeReply, golds_of, vqa_score
from evals.types import Metric, Prompt, Sample, Sampling, Scorer

SHORT = "\nReply with one word or a short phrase, and nothing else."
DATA_SET = sentences(
    Swap(ours=SHORT, theirs=(Place("dataset/image_vqa.py", "ImageVQADataset.build_prompt", 3),))
)
QWEN2_VL = sentences(
    Swap(ours=SHORT, theirs=(Place("vlm/qwen2_vl/prompt.py", "Qwen2VLPromptMixin._build_vqa_prompt"),))
)
INTERNVL = sentences(
    Swap(ours=SHORT, theirs=(Place("vlm/internvl/internvl_chat.py", "InternVLChat.build_prompt", 57),))
)
GREEDY = Sampling(temperature=0.0, max_tokens=2_048)
AS_QWEN2_VL = Sampling(temperature=0.01, top_p=0.001, max_tokens=2_048)
"""Of VLMEvalKit's wrapper for Qwen2-VL."""
RULES: Mapping[str, tuple[str, Scorer]] = {
    "vqa": ("vqa_score", VqaScore()),
    "text": ("accuracy", WholeReply()),
    "anls": ("anls", Anls()),
}
"""Rule -> (metric, scorer of whole replies)."""


def short(sample: Sample, repeat: int) -> Prompt:
    """Return a prompt that asks for a short answer."""
    return ask_with_images(sample, f"{plain_text(sample.question)}{SHORT}")


def alone(sample: Sample, repeat: int) -> Prompt:
    """Return the question with its image, and nothing else."""
    return ask_with_images(sample, plain_text(sample.question))


def stated(sample: Sample, repeat: int) -> Prompt:
    """Return a prompt that asks for a line with the answer."""
    form = "Finish with a line of the form `Answer: X`, where X is a word or a short phrase."
    return ask_with_images(sample, f"{plain_text(sample.question)}\n{form}")


def of_whole(
    rule: Literal["vqa", "text", "anls"],
    *,
    prompt: Callable[[Sample, int], Prompt] = short,
    upstream: UpstreamPrompts | None = DATA_SET,
    sampling: Sampling = GREEDY,
) -> Protocol:
    """Return a protocol that compares whole replies; without `upstream` the prompt consists of the data."""
    name, scorer = RULES[rule]
    return Protocol(
        prompt=prompt,
        upstream=upstream,
        verbatim=upstream is None,
        scorers={"whole": scorer, "stated": StatedShortAnswer(rule)},
        metrics=(
            Metric(name=name, of=mean_value, headline=True),
            Metric(name=f"{name}_stated", of=mean_value, scorer="stated"),
        ),
        sampling=sampling,
        unwinnable=divided if rule == "vqa" else None,
    )


def of_stated(rule: Literal["vqa", "text", "anls"]) -> Protocol:
    """Return the protocol that scores the stated answer."""
    name, scorer = RULES[rule]
    return Protocol(
        prompt=stated,
        scorers={"stated": StatedShortAnswer(rule), "whole": scorer},
        metrics=(
            Metric(name=name, of=mean_value, headline=True),
            Metric(name=f"{name}_whole", of=mean_value, scorer="whole"),
        ),
        unwinnable=divided if rule == "vqa" else None,
    )


def protocols(rule: Literal["vqa", "text", "anls"]) -> dict[str, Protocol]:
    """Return the protocols of a suite whose data set asks for short answers."""
    return {
        "strict": of_stated(rule),
        "official": of_whole(rule),
        "qwen2-vl": of_whole(rule, upstream=QWEN2_VL, sampling=AS_QWEN2_VL),
    }


def best_answer(sample: Sample) -> str:
    """Return the gold answer with the most agreement."""
    golds = golds_of(sample)
    return max(golds, key=lambda gold: vqa_score(golds, gold))


def ideal(sample: Sample, prompt: Prompt) -> str:
    """Return the best answer, and nothing else."""
    return best_answer(sample)


def divided(sample: Sample) -> str:
    """Return why no reply can get full marks: too few annotators agree on any answer."""
    golds = golds_of(sample)
    agrees = vqa_score(golds, best_answer(sample)) == 1
    return "" if agrees else "fewer than four annotators agree on an answer"


def golds(row: Row, *columns: str, suite: str, name: Any) -> str | tuple[str, ...]:
    """Return the gold answers of the first column that a row has: a list, a list in Python's notation, or one text."""
    column = next((column for column in columns if row.get(column) is not None), None)
    if column is None:
        raise DataError(f"{suite}: {name}: there is no gold answer in {' or '.join(map(repr, columns))}")
    value = row[column]
    listed = parse_list_literal(value) if isinstance(value, str) else value
    if not isinstance(listed, list | tuple):
        return str(value)
    if not listed:
        raise DataError(f"{suite}: {name}: column {column!r} is empty")
    texts = tuple(map(str, listed))
    return texts[0] if len(texts) == 1 else texts
