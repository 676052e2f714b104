"""The mean over a benchmark's variants includes only runs under the same conditions, and its interval accounts for variants that share items."""

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
    half_width: float = 0.1,
    **changes: Any,
) -> Card:
    headline = Estimate(
        metric="accuracy", group="", value=value, low=value - half_width, high=value + half_width, worst=None, best=None, n=100,
        clusters=100, unit="fraction", better="higher", method="Wilson", headline=True,
    )  # fmt: skip
    settings = {"sampling": Sampling(), "seed": 0, "repeats": 1, **changes}
    config = Config(
        suite=f"matbench:{task}", version="2", protocol="intern-s1", data_sha256="", model="m", **settings
    )
    return Card(
        run=f"{task}-{started:g}", config=config, model="m", started=started, data=data, coverage=1.0,
        counts={"right": 100}, status="finished", estimates=(headline,),
    )  # fmt: skip


def mean(cards: list[Card]) -> dict[str, Any]:
    (entry,) = aggregates(cards)
    return entry


def test_runs_under_the_same_conditions_have_a_mean() -> None:
    entry = mean([card(task) for task in TASKS])
    # an MAE of 0.8 counts as (2000 - MAE) / 2000 for steels and as (2 - MAE) / 2 for expt_gap; the others are accuracies
    assert entry["value"] == pytest.approx(((2000 - 0.8) / 2000 + (2 - 0.8) / 2 + 0.8 + 0.8) / 4)
    assert (entry["missing"], entry["marks"], entry["left_out"]) == ([], [], [])
    # expt_gap and expt_is_metal share their compounds: their half-widths are added, those of other tasks in quadrature
    assert entry["value"] - entry["low"] == pytest.approx((0.00005**2 + 0.15**2 + 0.1**2) ** 0.5 / 4)


@pytest.mark.parametrize(
    "condition",
    [{"limit": 20}, {"repeats": 4}, {"judge": "server:j"}, {"sampling": Sampling(thinking=True)},
     {"sampling": Sampling(temperature=0.7)}, {"system": "Be brief."}, {"data": "sample"}],
    ids=lambda condition: next(iter(condition)),
)  # fmt: skip
def test_a_run_under_other_conditions_is_left_out_of_the_mean(condition: dict[str, Any]) -> None:
    cards = [*map(card, TASKS[:3]), card("glass", **condition)]
    entry = mean(cards)
    assert (entry["value"], entry["low"], entry["missing"]) == (None, None, ["glass"])
    assert "glass" in entry["left_out"][0]
    assert mean([*cards, card("glass")])["value"] is not None


def test_a_run_that_stopped_early_is_left_out_of_the_mean() -> None:
    stopped = structs.replace(card("glass"), counts={"right": 10, "absent": 90}, coverage=0.1)
    assert mean([*map(card, TASKS[:3]), stopped])["missing"] == ["glass"]


def test_subsets_of_one_size_have_a_marked_mean_and_complete_runs_take_precedence() -> None:
    subsets = [card(task, limit=20, started=2.0) for task in TASKS]
    assert mean(subsets)["marks"] == ["subsets of 20 items"]
    both = mean([*subsets, *map(card, TASKS)])
    assert both["runs"] == [f"{task}-1" for task in TASKS]
    assert both["marks"] == []


def test_of_several_runs_of_a_variant_the_newest_counts() -> None:
    entry = mean([*map(card, TASKS), card("glass", 0.9, started=3.0)])
    assert "glass-3" in entry["runs"]
    assert "glass-1" not in entry["runs"]


def test_the_half_widths_of_two_settings_with_the_same_questions_are_averaged() -> None:
    cards = [
        structs.replace(variant, config=structs.replace(variant.config, suite=f"mmmu:{name}"), run=name)
        for name, variant in (("pro-standard", card("", 0.5)), ("pro-vision", card("", 0.4, half_width=0.2)))
    ]
    entry = mean(cards)
    assert (entry["name"], entry["value"]) == ("pro", pytest.approx(0.45))
    assert (entry["low"], entry["high"]) == pytest.approx((0.3, 0.6))
