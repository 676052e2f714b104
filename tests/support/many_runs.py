"""A synthetic results folder of more than forty runs: all marks, long names, seeds, broken cards."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from evals.records import store
from evals.records.card import Card, Config
from evals.records.files import encode
from evals.types import (
    Estimate,
    Message,
    Prompt,
    Record,
    Reply,
    Sample,
    Sampling,
    Score,
    Text,
    Usage,
    Verdict,
)

SUITES = (
    ("mmlu-pro", 12_032),
    ("gpqa:diamond", 198),
    ("aime:2025", 30),
    ("chembench:4k", 4_100),
    ("matbench:steels", 312),
)
MODELS = (
    "intern-s1",
    "Qwen3-235B-A22B-Thinking-2507-FP8",
    "gpt-4.1",
    "deepseek-r1-0528",
    "meta-llama/Llama-3.1-8B-Instruct",
    "baseline:mean",
)
SEEDED = MODELS[1]
"""The model with three seeds."""


class Place(NamedTuple):
    """Position of a run in the folder."""

    number: int
    suite: str
    items: int
    model: str
    seed: int


def build(results: Path) -> list[Card]:
    """Fill a results folder with runs of a dozen samples each, and return their cards."""
    places = [
        (suite, items, model, seed)
        for suite, items in SUITES
        for model in MODELS
        for seed in range(3 if model == SEEDED else 1)
    ]
    cards = [_card(Place(number, *place)) for number, place in enumerate(places)]
    for card in cards:
        path = results / f"{card.config.suite.replace(':', '-')}@1" / store.slug(card.model) / card.run
        path.mkdir(parents=True)
        store.write_card(path, card)
        _fill(path, card)
    broken = results / "mmlu-pro@2" / "broken" / "20260101T000000-ffffff"
    broken.mkdir(parents=True)
    (broken / "card.json").write_text("{")
    return cards


def _card(place: Place) -> Card:
    number, graded = place.number, place.suite.startswith("matbench")
    share = (number * 37 % 83 + 8) / 100
    unit, value = ("MPa", 200 * share) if graded else ("fraction", share)
    early, failed = number % 11 == 3, number % 7 == 5
    coverage = 0.014 if early else 0.98 if failed else 1.0
    config = Config(
        suite=place.suite, version="1", protocol="official" if number % 5 == 4 else "strict", data_sha256="d" * 64,
        model=f"server:http://gpu7:8000/v1#{place.model}", sampling=Sampling(temperature=0.6, max_tokens=32_768),
        seed=place.seed, repeats=1, limit=200 if number % 13 == 6 else None,
    )  # fmt: skip
    started = 1.79e9 + number * 25_000
    counts = {"right": 30, "wrong": 20, "truncated": 3}
    counts |= {"absent": place.items} if early else {"failed:timeout": 9} if failed else {}
    head = Estimate(
        metric="mae" if graded else "accuracy", group="", value=value, low=0.97 * value, high=1.03 * value,
        worst=None if graded else value * coverage, best=None if graded else value * coverage + 1 - coverage,
        n=place.items, clusters=12 if number % 17 == 8 else place.items, unit=unit,
        better="lower" if graded else "higher", method="Wilson", headline=True,
    )  # fmt: skip
    return Card(
        run=f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(started))}-{store.fingerprint(config)}", config=config,
        model=place.model, data="sample" if number % 10 == 9 else "hub", expected=place.items, started=started,
        finished=started + 900, status="partial" if coverage < 1 else "finished", counts=counts, coverage=coverage,
        truncated=3, estimates=(head,), gated=place.suite.startswith("gpqa"),
        scorers={"choice": "Choice(5)@2"}, cost_usd=1.25, tokens={"input": 9_000_000, "output": 12_000_000},
        chance=0.1 if place.suite == "mmlu-pro" else None,
    )  # fmt: skip


def _fill(path: Path, card: Card) -> None:
    """Write a dozen samples with replies, even if the card counts thousands."""
    words = (
        "The base-rate argument of the question does not hold here, as a longer look at the options shows. "
        * 3
    )
    letters = "ABCDEFGHIJ"
    samples, records = [], []
    for i in range(12):
        graded = card.config.suite.startswith("matbench")
        target: str | float = 100.0 + i if graded else letters[i % 10]
        answer = f"{101.0 + i}" if graded else letters[(i + (card.config.seed + len(card.model)) % 3) % 10]
        samples.append(
            Sample(
                id=f"sample-{i:03}", question=(Text(words),), target=target, group=f"group {i % 3}",
                choices=() if graded else tuple(f"option {letter}" for letter in letters),
            )
        )  # fmt: skip
        verdict: Verdict = "graded" if graded else "right" if answer == target else "wrong"
        value = 1.0 if graded else float(answer == target)
        score = Score(value=value, verdict=verdict, answer=answer, why=words)
        reply = Reply(text=f"{words}\nANSWER: {answer}", reasoning=words, usage=Usage(input=9, output=60))
        prompt = Prompt(messages=(Message.user(words),))
        name = "number" if graded else "choice"
        records.append(
            Record(sample=f"sample-{i:03}", repeat=0, prompt=prompt, outcome=reply, scores={name: score})
        )
    (path / "samples.jsonl").write_bytes(b"".join(encode(sample) + b"\n" for sample in samples))
    (path / "records.jsonl").write_bytes(b"".join(encode(record) + b"\n" for record in records))
