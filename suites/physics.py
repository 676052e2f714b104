r"""PHYSICS (Feng et al., arXiv 2503.21821).

865 problems have several answers. `official` (yale-nlp/Physics @ 15dc8d90) and `intern-s1` (VLMEvalKit @ e8e78f05, used
for the column "Physics" of the Intern-S1 tables) report the share of a reply's boxed answers that are right: a single
right answer gets full marks even if four other parts are missing. `strict` requires every part (evals/scorers/parts.py
and physics.py document the comparison). Answers that no rule can compare, mainly words, are left to a judge. Upstream
sends only the first figure, and counts an answer as right if the judge's reply contains "true"; the authors also sample
with a repetition penalty of 1.2.

Files are those of the authors' repository (id, questions, final_answers, graphs): a mirror has the folder PHYSICS in
`physics/`, or one file per variant. It is not known on which problems Intern-S1's published 44.0 is based; most likely
on `all`, with figures. VLMEvalKit asks for a single box, in a long instruction with a worked example; our prompt is
reworded, with another example, so runs made here are `intern-s1~`.
"""

from __future__ import annotations

from collections.abc import Iterator

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data import Data, Row, Split
from evals.data.media import images
from evals.errors import DataError
from evals.prompts import images_first, images_of, plain_text, template
from evals.prompts.upstream import UNAVAILABLE
from evals.report.metrics import accuracy
from evals.scorers.parts import PARTS_RIGHT, JudgedBoxes, Parts, Precision
from evals.scorers.physics import published, stated
from evals.suite import INTERN_S1
from evals.types import Message, Part, Prompt, Sample, Sampling, Text

FIELDS = ("atomic", "electro", "mechanics", "optics", "quantum", "statistics")
SUFFIXES = {"all": "", "test": "test", "val": "eval", "textonly": "textonly"}
"""Variant -> suffix of the names of the authors' folder and files."""


def _rows(data: Data, variant: str) -> Iterator[Row]:
    """Yield the rows of a single file, or of the authors' six files."""
    if data.origin == "hub":
        raise DataError(
            "physics: its data are on GitHub: pass a checkout of yale-nlp/Physics with --data DIR (DIR/physics/PHYSICS), "
            "or try --sample"
        )
    single_file = Split(hub="yale-nlp/Physics", stems=(variant, "items"))
    if data.has(single_file):
        yield from data.rows(single_file, required=("id", "final_answers"))
        return
    suffix = SUFFIXES[variant]
    folder = f"PHYSICS/PHYSICS-{suffix}" if suffix else "PHYSICS"
    for field in FIELDS:
        stem = f"{field}_dataset_{suffix}" if suffix else f"{field}_dataset"
        split = Split(hub="yale-nlp/Physics", stems=(f"{folder}/{stem}", stem), in_single_file=False)
        yield from data.rows(split, required=("id", "final_answers"))


def _samples(data: Data, variant: str) -> Iterator[Sample]:
    for row in _rows(data, variant):
        answers = tuple(str(answer).strip() for answer in row["final_answers"])
        if not answers or not all(answers):
            raise DataError(f"physics: {row['id']}: a gold answer is missing or empty")
        figure_paths = [graph["image_url"]["url"] for graph in row.get("graphs") or ()]
        text = str(row.get("questions") or "")
        yield Sample(
            id=str(row["id"]),
            question=(Text(text.strip()), *images(data, figure_paths)) if text else (),
            target=answers if len(answers) > 1 else answers[0],
            group=str(row["id"]).partition("/")[0],
        )


def _official_prompt(sample: Sample, repeat: int) -> Prompt:
    system = (
        "You are an expert in physics at the level of a PhD. Solve the problem step by step and give the solution; end "
        "with the final answer in LaTeX, in the form \\[\\boxed{final answer}\\]."
    )
    parts: tuple[Part, ...] = (Text(plain_text(sample.question)), *images_of(sample)[:1])
    return Prompt(messages=(Message("system", (Text(system),)), Message("user", parts)))


def _single_box_prompt(sample: Sample, repeat: int) -> Prompt:
    text = (
        "You are an assistant for physics. Solve the problem step by step. The last line of your reply must hold the "
        "final answer, be it a formula or a sentence, in a single \\boxed{}; use \\boxed nowhere else. A reply without "
        "a box is invalid.\n\nExample. Question: By how much does a photon's energy exceed 10 eV, if it is 12 eV?\n"
        "Answer: 12 eV - 10 eV = 2 eV\n\\[\n\\boxed{2\\ \\text{eV}}\n\\]\n\n"
        f"Question: {plain_text(sample.question)}\nAnswer:"
    )
    return images_first([*images_of(sample), Text(text)])


STRICT_PROMPT = (
    "{question}\n\nReason step by step. At the end give every quantity, formula or statement that is asked for in a "
    "\\boxed{{}} of its own, in the order of the questions, numbers with their units."
)
METRICS = (*accuracy(), PARTS_RIGHT)
BENCHMARK = Benchmark(
    name="physics",
    title="PHYSICS: 1,297 problems from PhD qualifying exams in six fields, 298 with figures (Feng et al., arXiv 2503.21821).",
    version="3",
    variants={
        "all": Variant(1_297),
        "test": Variant(1_000),
        "val": Variant(297),
        "textonly": Variant(999, needs=frozenset({"judge"})),
    },
    default=("all",),
    samples=_samples,
    protocols={
        "strict": Protocol(
            prompt=template(STRICT_PROMPT),
            scorers={"boxes": JudgedBoxes(rule=Parts(stated))},
            metrics=METRICS,
        ),
        "official": Protocol(
            prompt=_official_prompt,
            scorers={"boxes": JudgedBoxes(rule=Precision(published))},
            metrics=METRICS,
            sampling=Sampling(temperature=0.0, max_tokens=8_192),
        ),
        "intern-s1": Protocol(
            prompt=_single_box_prompt,
            upstream=UNAVAILABLE,
            scorers={"boxes": JudgedBoxes(rule=Precision(published, distinct=True))},
            metrics=METRICS,
            sampling=INTERN_S1,
        ),
    },
    ideal=lambda sample, prompt: "\n".join(f"\\boxed{{{part}}}" for part in sample.targets),
    needs=frozenset({"image", "judge"}),
    licence="MIT",
    cite="arXiv 2503.21821",
)
