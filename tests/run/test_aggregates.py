"""One number over a benchmark's variants is of runs that are alike, and its limits know which of them share items."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from evals.records.card import Card, Config
from evals.run.overview import aggregates
from evals.types import Estimate, Sampling

TASKS = ("steels", "expt_gap", "expt_is_metal", "glass")


def card(
    task: str,
    value: float = 0.8,
    *,
    started: float = 1.0,
    data: str = "local",
    half: float = 0.1,
    **config: Any,
) -> Card:
    head = Estimate(
        metric="accuracy", group="", value=value, low=value - half, high=value + half, worst=None, best=None, n=100,
        clusters=100, unit="fraction", better="higher", method="Wilson", headline=True,
    )  # fmt: skip
    settings = {"sampling": Sampling(), "seed": 0, "repeats": 1, **config}
    made = Config(
        suite=f"matbench:{task}", version="2", protocol="intern-s1", data_sha256="", model="m", **settings
    )
    return Card(
        run=f"{task}-{started:g}", config=made, model="m", started=started, data=data, coverage=1.0,
        counts={"right": 100}, status="finished", estimates=(head,),
    )  # fmt: skip


def mean(cards: list[Card]) -> dict[str, Any]:
    (entry,) = aggregates(cards)
    return entry


def test_alike_runs_have_a_mean() -> None:
    found = mean([card(task) for task in TASKS])
    # 2 - MAE of .8 and (2000 - MAE) / 2000 beside two accuracies
    assert found["value"] == pytest.approx(((2000 - 0.8) / 2000 + (2 - 0.8) / 2 + 0.8 + 0.8) / 4)
    assert (found["missing"], found["marks"], found["left_out"]) == ([], [], [])
    # gaps and metals are of the same compounds: their sides add up, those of other tasks do not
    assert found["value"] - found["low"] == pytest.approx((0.00005**2 + 0.15**2 + 0.1**2) ** 0.5 / 4)


@pytest.mark.parametrize(
    "other",
    [{"limit": 20}, {"repeats": 4}, {"judge": "server:j"}, {"sampling": Sampling(thinking=True)},
     {"sampling": Sampling(temperature=0.7)}, {"system": "Be brief."}, {"data": "sample"}],
    ids=lambda other: next(iter(other)),
)  # fmt: skip
def test_a_run_under_other_conditions_enters_no_mean(other: dict[str, Any]) -> None:
    cards = [*map(card, TASKS[:3]), card("glass", **other)]
    found = mean(cards)
    assert (found["value"], found["low"], found["missing"]) == (None, None, ["glass"])
    assert "glass" in found["left_out"][0]
    assert mean([*cards, card("glass")])["value"] is not None


def test_a_run_that_stopped_early_enters_no_mean() -> None:
    stopped = structs.replace(card("glass"), counts={"right": 10, "absent": 90}, coverage=0.1)
    assert mean([*map(card, TASKS[:3]), stopped])["missing"] == ["glass"]


def test_subsets_of_one_size_have_a_mean_that_says_so_and_whole_runs_go_before_them() -> None:
    subsets = [card(task, limit=20, started=2.0) for task in TASKS]
    assert mean(subsets)["marks"] == ["subsets of 20 items"]
    both = mean([*subsets, *map(card, TASKS)])
    assert both["runs"] == [f"{task}-1" for task in TASKS]
    assert both["marks"] == []


def test_of_several_alike_runs_the_newest_counts() -> None:
    found = mean([*map(card, TASKS), card("glass", 0.9, started=3.0)])
    assert "glass-3" in found["runs"]
    assert "glass-1" not in found["runs"]


def test_two_settings_with_the_same_questions_have_the_mean_of_both_halves() -> None:
    cards = [
        structs.replace(one, config=structs.replace(one.config, suite=f"mmmu:{name}"), run=name)
        for name, one in (("pro-standard", card("", 0.5)), ("pro-vision", card("", 0.4, half=0.2)))
    ]
    found = mean(cards)
    assert (found["name"], found["value"]) == ("pro", pytest.approx(0.45))
    assert (found["low"], found["high"]) == pytest.approx((0.3, 0.6))
