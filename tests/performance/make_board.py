"""Build a synthetic results folder for measuring the dashboard: `python -m tests.performance.make_board DEST`.

40 models x 10 suites x 3 protocols with 2,000,400 records, and for comparison two runs with the 12,032 samples of
MMLU-Pro. The files are those of finished runs, but written column by column. Skill, difficulty and answers are random,
with fixed seeds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evals import load
from evals.data import parquet as data_parquet
from evals.records import parquet as record_parquet
from evals.records import store
from evals.records.card import Card, Config
from evals.records.files import file_facts
from evals.report import statistics as stats
from evals.types import Estimate, Sampling

MODELS = [f"lab{i // 4:02}/model-{i % 4}-{(1, 8, 32, 235)[i % 4]}B" for i in range(100)]
SUITES = (
    "mmlu-pro", "gpqa:diamond", "gpqa:main", "aime:2025", "chembench:4k", "chembench:lamalab", "smolinstruct:MC",
    "smolinstruct:PP-BBBP", "smolinstruct:PP-HIV", "smolinstruct:NC-I2F",
)  # fmt: skip
PROTOCOLS = ("official", "strict", "intern-s1")
SAMPLES = 1_667
GROUPS = [f"subject {i:02}" for i in range(14)]
LETTERS = np.array(list("ABCD"))
DAY = 86_400.0


class Items(NamedTuple):
    """The samples of one suite, by column."""

    ids: list[str]
    groups: list[str]
    targets: np.ndarray
    difficulty: np.ndarray
    prompts: pa.Array
    """The prompt of each sample, as JSON text."""


def draw_items(random: np.random.Generator, count: int) -> Items:
    """Draw the samples of a suite."""
    ids = [f"{i:05}" for i in range(count)]
    prompts = pa.array(
        f'{{"messages":[{{"role":"user","parts":[{{"type":"text","text":"Question {i}: which of the four? A. w B. x C. y D. z"}}]}}]}}'
        for i in ids
    )
    groups = [GROUPS[i % 14] for i in range(count)]
    return Items(ids, groups, random.choice(LETTERS, count), random.normal(0, 1.2, count), prompts)


def samples_table(items: Items) -> pa.Table:
    """Return the table of samples, with the columns of `evals.records.parquet`."""
    texts = [
        f'{{"id":"{i}","target":"{t}","choices":["w","x","y","z"],"group":"{g}"}}'
        for i, t, g in zip(items.ids, items.targets, items.groups, strict=True)
    ]
    columns = {
        "id": items.ids, "group": items.groups, "cluster": items.ids, "target": [f'"{t}"' for t in items.targets],
        "options": pa.array([4] * len(items.ids), pa.int32()), "json": texts,
    }  # fmt: skip
    return pa.table(columns)


@cache
def scorer_of(suite: str, protocol: str) -> str:
    """Return the name of the suite's first scorer, which reports and comparisons use."""
    return next(iter(load.suite(suite, protocol)[0].scorers))


def records_table(
    items: Items, answers: np.ndarray, random: np.random.Generator, started: float, scorer: str
) -> pa.Table:
    """Return the table of records, with the columns of `evals.records.parquet`."""
    count = len(items.ids)
    right = answers == items.targets
    verdicts = np.where(right, "right", "wrong")
    tokens = random.integers(40, 900, count)
    seconds = np.round(tokens / 80 + random.random(count), 3)
    possible_scores = pa.array(
        f'{{"{scorer}":{{"type":"score","value":{float(ok)},"verdict":"{"right" if ok else "wrong"}","answer":"{a}","why":"the last ANSWER line"}}}}'
        for ok in (False, True)
        for a in LETTERS
    )
    scores = possible_scores.take(pa.array(4 * right + np.searchsorted(LETTERS, answers)))
    replies = pc.binary_join_element_wise(
        '{"type":"reply","text":"Let us see, step by step ... ANSWER: ', pa.array(answers.tolist()),
        '","reasoning":null,"stop":"stop","usage":{"input":90,"output":', pa.array(tokens).cast(pa.string()),
        '},"seconds":', pa.array(seconds).cast(pa.string()), ',"model":"made","attempts":1}', "",
    )  # fmt: skip
    none = pa.nulls(count, pa.int64())
    columns = [
        items.ids, pa.array(np.zeros(count, np.int32)), verdicts.tolist(), right.astype(float), answers.tolist(),
        ["stop"] * count, seconds, pa.array([90] * count), tokens, none, none, started + np.arange(count) * 0.01,
        scores, items.prompts, replies,
    ]  # fmt: skip
    schema = record_parquet._record_schema()
    arrays = [
        column if isinstance(column, pa.Array) and column.type == field.type else pa.array(column, field.type)
        for column, field in zip(columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def estimates(right: np.ndarray, groups: np.ndarray) -> tuple[Estimate, ...]:
    """Return the estimates of the suite and of each group, by two metrics."""

    def estimate(metric: str, group: str, right: np.ndarray, *, headline: bool = False) -> Estimate:
        interval, n = stats.wilson(float(right.sum()), len(right)), len(right)
        return Estimate(
            metric=metric, group=group, value=interval.value, low=interval.low, high=interval.high, worst=interval.value,
            best=interval.value, n=n, clusters=n, unit="fraction", better="higher", method="Wilson", headline=headline,
        )  # fmt: skip

    parts = [estimate("accuracy", name, right[groups == name]) for name in GROUPS]
    parts += [estimate("accuracy_guess", name, right[groups == name]) for name in GROUPS]
    return (estimate("accuracy", "", right, headline=True), estimate("accuracy_guess", "", right), *parts)


def write_run(
    results: Path, suite: str, protocol: str, model: str, items: Items, skill: float, number: int
) -> None:
    """Write one finished run."""
    random = np.random.default_rng(number)
    probability = 1 / (1 + np.exp(items.difficulty - skill))
    right = random.random(len(items.ids)) < probability
    wrong = LETTERS[(np.searchsorted(LETTERS, items.targets) + random.integers(1, 4, len(items.ids))) % 4]
    answers = np.where(right, items.targets, wrong)
    started = 1_790_000_000.0 + DAY * (number % 200)
    config = Config(
        suite=suite, version="1", protocol=protocol, data_sha256=sha256(f"{suite} {len(items.ids)}".encode()).hexdigest(), model=f"server:made#{model}",
        sampling=Sampling(temperature=0.0, max_tokens=4096), seed=0, repeats=1,
    )  # fmt: skip
    count, right_count = len(items.ids), int(right.sum())
    card = Card(
        run=f"made-{number:05}", config=config, model=model, status="finished", expected=count, started=started,
        finished=started + 600, counts={"right": right_count, "wrong": count - right_count}, coverage=1.0, cost_usd=0.02 * (1 + number % 7),
        tokens={"input": 90 * count, "output": 450 * count}, chance=0.25, estimates=estimates(right, np.array(items.groups)),
        scorers={scorer_of(suite, protocol): "Choice(letter)@1"},
    )  # fmt: skip
    folder = results / f"{suite.replace(':', '-')}@1" / store.slug(model) / card.run
    folder.mkdir(parents=True)
    pq.write_table(
        records_table(items, answers, random, started, scorer_of(suite, protocol)),
        folder / "records.parquet",
        compression="zstd",
    )
    pq.write_table(samples_table(items), folder / "samples.parquet", compression="zstd")
    card.files = file_facts(folder)
    for name in card.files:
        data_parquet.mark_as_known(folder / name)  # as if this installation had written the file
    (folder / "card.json").write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=1))


def build(
    results: Path,
    *,
    models: int = 40,
    protocols: Sequence[str] = PROTOCOLS,
    samples: int = SAMPLES,
    large: int = 12_032,
) -> int:
    """Fill a results folder and return the number of records; two more runs have `large` samples each, unless it is 0."""
    random, number = np.random.default_rng(7), 0
    skills = np.sort(random.normal(0.4, 0.7, models))
    for suite in SUITES:
        items = draw_items(random, samples)
        for protocol in protocols:
            for model, skill in zip(MODELS[:models], skills, strict=True):
                write_run(results, suite, protocol, model, items, float(skill), number)
                number += 1
    if large:
        large_items = draw_items(random, large)
        for model, skill in (("large/one", 0.5), ("large/two", 0.45)):
            write_run(results, "mmlu-pro", "official", model, large_items, skill, number)
            number += 1
    return len(SUITES) * len(protocols) * models * samples + 2 * large


if __name__ == "__main__":
    started = time.time()
    print(f"{build(Path(sys.argv[1])):,} records in {time.time() - started:.0f} s")
