"""MicroVQA: 1,042 questions of biologists about their microscopy images, three tasks (Burgess et al., arXiv 2503.13399).

`official` is the authors' way (jmhb0/microvqa @ 0868fdf8, eval/eval.py): options numbered from 1, "The answer is (X)",
the first digit behind it. `intern-s1` is VLMEvalKit's (@ e8e78f05, its general multiple choice): read by rule, a judge for
the rest, in its own words, or in ours as `intern-s1~`. `strict` wants a stated letter. An item has up to eight images; they are sent first.
"""

from __future__ import annotations

from collections.abc import Iterator

from evals.data import Data, Split
from evals.data.media import image
from evals.errors import DataError
from evals.extract.upstream.letters import option_microvqa
from evals.prompts import LETTERS, SELECTING, options, plain_text
from evals.prompts.upstream.sentences import NAMES_ONE, SELECT, sentences
from evals.report.metrics import accuracy
from evals.scorers.choice import Choice, StatedChoice
from evals.scorers.judge.judged import Judged
from evals.scorers.upstream.inferred import Inferred
from evals.suite import INTERN_S1, Suite
from evals.types import Media, Message, Prompt, Sample, Sampling, Scorer, Text

VARIANTS: dict[str, int] = {"": 1_042}
PROTOCOLS = ("strict", "official", "intern-s1", "intern-s1~")
VERSION = "2"
NEEDS = frozenset({"image"})
GATED = False
ROWS = Split(hub="jmhb/microvqa", split="train", stems=("train", "test", "MicroVQA", "items"), rows=1_042)


def _samples(data: Data) -> Iterator[Sample]:
    for row in data.rows(ROWS, required=("key_question", "question", "choices", "correct_index")):
        choices, right = tuple(map(str, row["choices"])), int(row["correct_index"])
        if not 0 <= right < len(choices):
            raise DataError(
                f"microvqa: {row['key_question']}: option {right} of {len(choices)} is the gold answer"
            )
        pictures = [image(data, value) for value in row.get("images_list") or ()]
        yield Sample(
            id=str(row["key_question"]),
            question=(*(p for p in pictures if p is not None), Text(str(row["question"]))),
            target=LETTERS[right],
            choices=choices,
            group=str(row.get("task_str") or row.get("task") or ""),
        )


def numbered(text: str, count: int) -> str | None:
    """Apply the authors' rule; an option that is not there is none."""
    found = option_microvqa(text)
    return LETTERS[found - 1] if found and found <= count else None


def _ask(sample: Sample, text: str) -> Prompt:
    pictures = [part for part in sample.question if isinstance(part, Media)]
    return Prompt(messages=(Message("user", (*pictures, Text(text))),))


def _numbered(sample: Sample, repeat: int) -> Prompt:
    shown = "\n".join(f"  ({n}): {choice}" for n, choice in enumerate(sample.choices, 1))
    text = (
        "Answer this multiple-choice question. Reason step by step and finish with your answer in the form "
        f'"The answer is (X)".\n\n{plain_text(sample.question)}\n\nOptions:\n{shown}\n'
    )
    return _ask(sample, text)


def _select(sample: Sample, repeat: int) -> Prompt:
    shown = f"Options:\n{options(sample.choices)}\n{SELECTING}"
    return _ask(sample, f"Question: {plain_text(sample.question)}\n{shown}")


def _reasoned(sample: Sample, repeat: int) -> Prompt:
    shown = f"{plain_text(sample.question)}\n{options(sample.choices)}"
    return _ask(
        sample, f"{shown}\n\nFinish with a line of the form `ANSWER: X`, where X is the letter of one option."
    )


def _ideal(sample: Sample, protocol: str) -> str:
    gold = str(sample.target)
    forms = {"strict": f"ANSWER: {gold}", "official": f"The answer is ({LETTERS.index(gold) + 1})."}
    return forms.get(protocol, gold)


def suite(variant: str = "", protocol: str = "strict") -> Suite:
    """Give MicroVQA under a protocol."""
    rules: dict[str, Scorer] = {
        "strict": StatedChoice(),
        "official": Choice(numbered),
        "intern-s1": Judged(rule=Inferred(), mode="rest", form="option"),
    }
    ways = {"strict": _reasoned, "official": _numbered, "intern-s1": _select}
    judged = protocol == "intern-s1"
    return Suite(
        name="microvqa",
        protocol=protocol,
        version=VERSION,
        samples=_samples,
        prompter=lambda data: ways[protocol],
        ideal=lambda sample, prompt: _ideal(sample, protocol),
        scorers={"choice": rules[protocol]},
        metrics=accuracy(),
        sampling=INTERN_S1 if judged else Sampling(temperature=0.0, max_tokens=32_768),
        needs=NEEDS | {"judge"} if judged else NEEDS,
        words=sentences(SELECT, judge=NAMES_ONE) if judged else None,
        chance=0.22,
        licence="see its card on the hub",
        cite="arXiv 2503.13399",
    )
