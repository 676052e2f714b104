"""HMMT February 2025 and 2026 (Harvard-MIT Mathematics Tournament), as published by MathArena; answers are expressions.

`official` follows MathArena's HMMT configurations (eth-sri/matharena @ e9276603): the instruction precedes the problem; the
last boxed answer, or else the last integer in the reply, counts; four repeats. Upstream sets sampling and token limits for
each model; here they are the server's defaults and 64,000 tokens. Boxes are cleaned as in MathArena's parser, but
math-verify decides whether two answers are equal (evals/scorers/upstream/boxed.py documents the differences). `strict`
needs a stated answer and never falls back to the last number. The scores in the Intern-S2 tables are multiples of
1/(33 x 32): 33 problems with 32 repeats (`evals claims check --grid --suite hmmt:2026`).
"""

from __future__ import annotations

from collections.abc import Iterator

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data import Data, Split
from evals.prompts import template
from evals.report.metrics import repeat_metrics
from evals.scorers.upstream.boxed import MathArenaBox
from evals.scorers.upstream.mathvision import Strict
from evals.types import Sample, Sampling, Text

SPLITS = {
    year: Split(
        hub=f"MathArena/hmmt_feb_{year}",
        split="train",
        stems=(year, f"hmmt_feb_{year}", f"hmmt{year[2:]}"),
        rows=rows,
    )
    for year, rows in (("2025", 30), ("2026", 33))
}


def _samples(data: Data, year: str) -> Iterator[Sample]:
    for row in data.rows(SPLITS[year], required=("problem_idx", "problem", "answer")):
        topics = row.get("problem_type")
        yield Sample(
            id=f"{year}-{row['problem_idx']}",
            question=(Text(str(row["problem"])),),
            target=str(row["answer"]),
            group=str(topics[0] if isinstance(topics, list) and topics else topics or ""),
        )


STRICT_PROMPT = "{question}\n\nReason step by step and put the final answer, in LaTeX, into \\boxed{{}}."
OFFICIAL_PROMPT = "Give the final answer within \\boxed{{}}.\n\n{question}"
BENCHMARK = Benchmark(
    name="hmmt",
    version="3",
    title="HMMT February 2025 (30) and 2026 (33): competition problems whose answers are expressions, as published by MathArena.",
    variants={"2025": Variant(30), "2026": Variant(33)},
    samples=_samples,
    protocols={
        "strict": Protocol(
            prompt=template(STRICT_PROMPT), scorers={"answer": Strict()}, metrics=repeat_metrics()
        ),
        "official": Protocol(
            prompt=template(OFFICIAL_PROMPT),
            scorers={"answer": MathArenaBox()},
            metrics=repeat_metrics(),
            sampling=Sampling(max_tokens=64_000),
            repeats=4,
        ),
    },
    ideal=lambda sample, prompt: f"Hence \\boxed{{{sample.target}}}.",
    licence="CC-BY-NC-SA-4.0; problems (c) HMMT",
    cite="arXiv 2505.23281",
)
