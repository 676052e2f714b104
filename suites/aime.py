r"""AIME, the American Invitational Mathematics Examination: 30 problems a year.

`official` follows MathArena (eth-sri/matharena @ e9276603): the instruction precedes the problem; four repeats; the
last boxed answer, or else the last integer in the reply. Upstream sets sampling and token limits for each model; here
they are the server's defaults and 64,000 tokens. `strict` needs a stated answer and never falls back to the last
number. `intern-s1` is OpenCompass' cascade (@ a5acc4bb): the boxed answer counts, and a judge model grades the replies
that this rule does not count as right. The prompts for the model and the judge are OpenCompass' own (`intern-s1~`:
reworded). OpenCompass' symbolic comparison is replaced by a comparison of integers; the rule here also reads an answer
stated without a box and the last of several boxes, which OpenCompass leaves to the judge, and leaves expressions such
as `\boxed{60+10}`, which OpenCompass evaluates, to the judge. The problems are taken from the hub; they have not been
compared with OpenCompass' copy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data import Data, Row, Split
from evals.errors import DataError
from evals.extract.upstream.integers import integer, integer_matharena
from evals.intern_s1 import intern_s1_protocol
from evals.prompts import template
from evals.prompts.upstream import opencompass_prompts
from evals.report.metrics import repeat_metrics
from evals.scorers.integer import Integer, IntegerInWorker, StatedInteger
from evals.types import Sample, Sampling, Text

SPLITS = {
    "2024": Split(
        hub="Maxwell-Jia/AIME_2024",
        revision="8d88b2876a82a080e2f172cc9b25d0d9d2cb4792",
        split="train",
        stems=("2024", "aime_2024_problems", "aime24", "aime_2024"),
        rows=30,
    ),
    "2025": Split(
        hub="math-ai/aime25",
        revision="563bb8404243c5f09de6ec262f2db674fe5bce9b",
        stems=("2025", "aime25", "aime_2025", "test"),
        rows=30,
    ),
}
VARIANTS = {
    "2024": Variant(30, sha256="20294ca26ef72c99cd7ea261994e7bfae2f51e9811f745ee8bda9618d624a617"),
    "2025": Variant(30, sha256="56f1ced2d7ae5270493751627d56aa6e7a7f74ee19d8539e349b59d4c9df7741"),
}
ID_PATTERN = re.compile(r"(?:sample-)?(20\d\d)-(I{1,2})-\d+")


def _samples(data: Data, year: str) -> Iterator[Sample]:
    for position, raw in enumerate(data.rows(SPLITS[year])):
        row: Row = {column.lower(): value for column, value in raw.items()}
        if "answer" not in row:
            raise DataError(
                f"aime: row {position + 1} lacks column 'answer'; it has {', '.join(sorted(raw))}"
            )
        sample_id = _sample_id(row, year, position)
        yield Sample(
            id=sample_id,
            question=(Text(row["problem"]),) if row.get("problem") else (),
            target=_parse_gold(row["answer"], sample_id),
            group=re.sub(r"^sample-|-\d+$", "", sample_id),
        )


def _sample_id(row: Row, year: str, position: int) -> str:
    """Return the row's id, e.g. `2025-I-1`, or one derived from its position: the first fifteen problems are paper I, the others II."""
    given_id = str(row.get("id", ""))
    if ID_PATTERN.fullmatch(given_id):
        return given_id
    return f"{year}-{'I' if position < 15 else 'II'}-{position % 15 + 1}"


def _parse_gold(answer: object, sample_id: str) -> str:
    try:
        return str(int(str(answer).strip()))
    except ValueError:
        raise DataError(f"aime: {sample_id}: the gold answer {answer!r} is not an integer") from None


STRICT_PROMPT = "{question}\n\nReason step by step. The answer is an integer from 0 to 999; put it into \\boxed{{}} at the end."
OFFICIAL_PROMPT = (
    "Give the final answer, an integer from 0 to 999 inclusive, within \\boxed{{}}.\n\n{question}"
)


def _intern_s1(year: str) -> Protocol:
    config = f"aime{year}/aime{year}_cascade_eval_gen_5e9f4f.py"
    upstream = opencompass_prompts(config, f"aime{year}_infer_cfg", "cascade_evaluator.llm_evaluator")
    prompt = template("{question}\nPut the final answer into \\boxed{{}}.")
    return intern_s1_protocol(prompt, upstream, Integer(integer), metrics=repeat_metrics())


BENCHMARK = Benchmark(
    name="aime",
    title="AIME 2024 and 2025: thirty competition problems a year, each with an integer from 0 to 999 as its answer.",
    version="3",
    variants=VARIANTS,
    samples=_samples,
    protocols={
        "strict": Protocol(
            prompt=template(STRICT_PROMPT), scorers={"integer": StatedInteger()}, metrics=repeat_metrics()
        ),
        "official": Protocol(
            prompt=template(OFFICIAL_PROMPT),
            scorers={"integer": IntegerInWorker(integer_matharena)},
            metrics=repeat_metrics(),
            sampling=Sampling(max_tokens=64_000),
            repeats=4,
        ),
        "intern-s1": _intern_s1,
    },
    ideal=lambda sample, prompt: f"Hence \\boxed{{{sample.target}}}.",
    chance=0.001,
    licence="problems (c) Mathematical Association of America",
    cite="https://maa.org/maa-invitational-competitions/",
)
