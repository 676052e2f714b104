"""MathVision: 3,040 competition problems with a picture, 16 subjects, 5 levels (Wang et al. 2024, arXiv 2402.14804).

`official` reads and compares as the authors do (evals/scorers/upstream/mathvision.py); `intern-s1` is VLMEvalKit's way
(evals/scorers/upstream/vlmevalkit.py), whose judge copies the answer of what its rule cannot read; `strict` wants a stated option,
or an expression that equals the gold one. The data set has one picture per problem; the marks `<image1>` in a question
point into it. Pictures are sent first. VLMEvalKit's hint on the form of the answer is here in our words: what is asked here is
of `intern-s1~`.
"""

from __future__ import annotations

from collections.abc import Iterator

from evals.data import Data, Split
from evals.data.media import image
from evals.errors import DataError
from evals.prompts import hinted, options, pictures_first, plain_text
from evals.prompts.upstream import UNREAD
from evals.report.metrics import accuracy
from evals.scorers.upstream.mathvision import Official, Strict
from evals.scorers.upstream.vlmevalkit import MATHVISION
from evals.suite import INTERN_S1, Suite
from evals.types import Message, Part, Prompt, Sample, Sampling, Scorer, Text

VARIANTS = {"testmini": 304, "test": 3_040}
DEFAULT = ("testmini",)
PROTOCOLS = ("strict", "official", "intern-s1", "intern-s1~")
VERSION = "2"
NEEDS = frozenset({"image"})
GATED = False
CHANCE = {"test": 0.1008}
"""A fifth of the 1,532 problems with options."""


def _split(variant: str) -> Split:
    return Split(hub="MathLLMs/MathVision", split=variant, stems=(variant, "items"), rows=VARIANTS[variant])


def _samples(data: Data, variant: str) -> Iterator[Sample]:
    for row in data.rows(_split(variant), required=("id", "answer", "options", "subject")):
        choices = tuple(str(option) for option in row["options"] or ())
        if choices and str(row["answer"]) not in "ABCDEFGH"[: len(choices)]:
            raise DataError(
                f"mathvision: {row['id']}: the gold answer {row['answer']!r} is none of its options"
            )
        parts: tuple[Part, ...] = (Text(str(row["question"])),) if row.get("question") else ()
        picture = image(data, row.get("decoded_image") or row.get("image")) if parts else None
        yield Sample(
            id=str(row["id"]),
            question=parts if picture is None else (picture, *parts),
            target=str(row["answer"]),
            choices=choices,
            group=str(row["subject"]),
            meta={"level": str(row.get("level", ""))},
        )


def _prompt(sample: Sample, repeat: int) -> Prompt:
    pictures = [part for part in sample.question if not isinstance(part, Text)]
    shown = f"\n{options(sample.choices)}" if sample.choices else ""
    words = (
        "Solve the problem about the picture step by step and put the final answer into \\boxed{}; where there are "
        f"options, put only the letter of the right one there.\n\n{plain_text(sample.question)}{shown}"
    )
    return Prompt(messages=(Message("user", (*pictures, Text(words))),))


def _hinted(sample: Sample, repeat: int) -> Prompt:
    """Ask in VLMEvalKit's structure."""
    pictures = [part for part in sample.question if not isinstance(part, Text)]
    form = "the letter of the right option" if sample.choices else "the final answer"
    return pictures_first([*pictures, Text(hinted(plain_text(sample.question), form, sample.choices))])


def _ideal(sample: Sample, prompt: Prompt) -> str:
    gold = str(sample.target).replace("$", "")
    return gold if gold.startswith("\\boxed") else f"\\boxed{{{gold}}}"


def _unwinnable(sample: Sample, marks: tuple[str, ...]) -> str:
    """Six gold answers hold marks that upstream takes out of replies alone; VLMEvalKit, the four boxes."""
    found = [mark for mark in marks if mark in str(sample.target)]
    return f"its gold answer holds {found[0]}" if found else ""


LOST = {"official": ("\\boxed", "^{\\circ}", "\\left"), "intern-s1": ("\\boxed",)}


def suite(variant: str = "testmini", protocol: str = "strict") -> Suite:
    """Give one of the two nested sets under a protocol."""
    judged = protocol == "intern-s1"
    rule: Scorer = MATHVISION if judged else Official() if protocol == "official" else Strict()
    return Suite(
        name="mathvision",
        variant=variant,
        protocol=protocol,
        version=VERSION,
        samples=lambda data: _samples(data, variant),
        prompter=lambda data: _hinted if judged else _prompt,
        ideal=lambda sample, prompt: str(sample.target) if judged else _ideal(sample, prompt),
        unwinnable=(lambda sample: _unwinnable(sample, LOST[protocol])) if protocol in LOST else None,
        scorers={"answer": rule},
        metrics=accuracy(),
        sampling=INTERN_S1 if judged else Sampling(temperature=0.0, max_tokens=32_768),
        needs=NEEDS | {"judge"} if judged else NEEDS,
        words=UNREAD if judged else None,
        chance=CHANCE.get(variant),
        licence="MIT",
        cite="arXiv 2402.14804",
    )
