"""Scores of predicted classes, and the means of the two benchmarks; torch is not needed."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from evals import load
from evals.errors import UsageError
from evals.scorers.classes import Classes, classification
from evals.suites import fgvc, vtab
from evals.types import Estimate, Point, Prompt, Reply, Sample
from evals.vision import recipe
from evals.vision.preprocessing import Preprocessing
from tests.support.error_messages import raises
from tests.support.tables import table

SAMPLE = Sample(id="1", target="3")


@table(
    ("text", "verdict", "answer", "top5"),
    [
        ('{"classes": [3, 1, 2, 0, 4]}', "right", "3", 1.0),
        ('{"classes": [1, 3, 2, 0, 4], "probabilities": [0.5, 0.2]}', "wrong", "1", 1.0),
        ('{"classes": [1, 5, 2, 0, 4]}', "wrong", "1", 0.0),
        ('{"classes": [3, 1]}', "right", "3", None),
        ("3", "right", "3", None),
        ('{"classes": []}', "invalid", None, None),
        ('{"classes": [-3]}', "invalid", None, None),
        ('{"classes": [3], "latency_ms": -1}', "invalid", None, None),
        ('{"classes": [3], "probabilities": [2]}', "invalid", None, None),
        ("a cat", "invalid", None, None),
        ("", "unanswered", None, None),
        ("[" * 100_000, "invalid", None, None),
    ],
)
def test_replies_with_ranked_classes_or_one_class_are_scored(
    text: str, verdict: str, answer: str | None, top5: float | None
) -> None:
    score = Classes()(SAMPLE, Prompt(), Reply(text=text))
    assert (score.verdict, score.answer, score.parts.get("top5")) == (verdict, answer, top5)


def test_model_size_and_latency_are_read_from_the_replies() -> None:
    text = '{"classes": [3], "parameters": 5500000, "trained": 150000, "latency_ms": 4.5}'
    score = Classes()(SAMPLE, Prompt(), Reply(text=text))
    point = Point("1", 0, "", "1", "right", 1.0, "3", "3", 0, score.parts)
    values = {metric.name: metric.of([point]) for metric in classification() if metric.better == "lower"}
    assert values == {"parameters": 5.5, "trained_parameters": 0.15, "latency": 4.5}


def aggregate(suite: ModuleType, protocol: str, cards: dict[str, Any]) -> Any:
    return suite.BENCHMARK.aggregate(protocol, cards)


def card(name: str, value: float | None) -> Any:
    estimate = Estimate(
        metric="top1", group="", value=value, low=None if value is None else value - 0.01,
        high=None if value is None else value + 0.01, worst=None, best=None, n=9, clusters=9, unit="fraction",
        better="higher", method="Wilson", headline=True,
    )  # fmt: skip
    return SimpleNamespace(headline=estimate, run=f"run-{name}", config=SimpleNamespace(suite=name))


def test_vtab_has_means_over_groups_and_over_tasks() -> None:
    values = {"natural": 0.8, "specialized": 0.9, "structured": 0.4}
    cards = {name: card(name, values[group]) for group, names in vtab.GROUPS.items() for name in names}
    means = {mean["name"]: mean for mean in aggregate(vtab, "official", cards)}
    assert {name: round(mean["value"], 6) for name, mean in means.items()} == {
        **values,
        "groups": 0.7,
        "tasks": round((7 * 0.8 + 4 * 0.9 + 8 * 0.4) / 19, 6),
    }
    assert means["tasks"]["metric"] == "mean of 19 tasks"
    assert means["groups"]["metric"] == "mean of three group means"
    assert len(means["groups"]["runs"]) == 19
    assert "add up" in means["structured"]["method"]  # as some tasks have the same images
    assert means["natural"]["low"] < 0.8 < means["natural"]["high"]


def test_a_mean_without_all_of_its_tasks_has_no_value() -> None:
    cards = {name: card(name, 0.5) for name in vtab.GROUPS["natural"]}
    (natural,) = aggregate(vtab, "official", cards)
    assert natural["value"] == 0.5
    del cards["dtd"]
    cards["eurosat"] = card("eurosat", 0.5)
    means = {mean["name"]: mean for mean in aggregate(vtab, "official", cards)}
    assert set(means) == {"natural", "specialized"}
    assert means["natural"]["value"] is None
    assert means["natural"]["missing"] == ["dtd"]
    assert aggregate(fgvc, "official", {"cub": card("cub", 0.9)})["missing"] == [
        "nabirds",
        "flowers",
        "dogs",
        "cars",
    ]


def test_the_groups_have_the_tasks_of_the_paper() -> None:
    assert [len(names) for names in vtab.GROUPS.values()] == [7, 4, 8]
    assert [suite.variant for suite in load.suite("vtab:specialized")] == [
        "patch_camelyon", "eurosat", "resisc45", "diabetic_retinopathy",
    ]  # fmt: skip
    assert sum(len(names) for names in vtab.GROUPS.values()) == len(vtab.SOURCES) == 19


@pytest.mark.parametrize("protocol", ["official", "per-class"])
def test_the_headline_of_protocol_per_class_is_mean_per_class_for_the_sets_that_define_it(
    protocol: str,
) -> None:
    suites = [*load.suite("vtab", protocol), *load.suite("fgvc", protocol)]
    per_class = {suite.variant for suite in suites if suite.headline.name == "mean_per_class"}
    expected = {"caltech101", "oxford_flowers102", "oxford_iiit_pet", "flowers"}
    assert per_class == (expected if protocol == "per-class" else set())
    assert all(suite.chance == pytest.approx(1 / suite.classes) for suite in suites if suite.classes)


def test_a_recipe_with_both_squash_and_crop_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    start = 'method = "adapter"\nbackbone = "b"\ntuned = "t"\n[preprocessing]\ncrop = 0.9\n'
    path.write_text(start)
    assert str(recipe.read(path).resolve_preprocessing(Preprocessing())).startswith(
        "224x224 bicubic, center crop 0.9"
    )
    path.write_text(f"{start}squash = true\n")
    with raises(UsageError):
        recipe.read(path)
