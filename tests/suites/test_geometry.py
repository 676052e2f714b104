"""The geometry variants of MathVista and MathVision, which OptMerge reports: their items and their means."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from evals import load
from evals.data import Data
from evals.suites import mathvision, mathvista
from evals.types import Point
from tests.support.command import evals
from tests.support.error_messages import raises


def point(number: int, group: str, value: float | None) -> Point:
    return Point(str(number), 0, group, "", "right" if value else "wrong", value, None, "x", 0, {})


def test_mathvistas_headline_is_the_unweighted_mean_over_overlapping_labels() -> None:
    all_labels = mathvista.LABEL_SEPARATOR.join(mathvista.GEOMETRY)
    points = [
        point(1, all_labels, 1.0),
        point(2, "algebraic reasoning", 0.0),
        point(3, "geometry reasoning", 1.0),
    ]
    assert mathvista.mean_of_labels(points) == pytest.approx((1 / 2 + 1 + 1) / 3)
    with raises(ValueError):
        mathvista.mean_of_labels(points[1:])


def test_mathvistas_variant_has_304_items_with_728_labels(mirror: Path) -> None:
    (suite,) = load.suite("mathvista:geometry", "strict")
    groups = [
        sample.group.split(mathvista.LABEL_SEPARATOR)
        for sample in suite.samples(Data(suite="mathvista", local=mirror))
    ]
    assert len(groups) == 304
    assert Counter(label for labels in groups for label in labels) == {
        "algebraic reasoning": 281, "geometry reasoning": 239, "geometry problem solving": 208,
    }  # fmt: skip
    assert Counter(map(len, groups)) == {3: 206, 1: 86, 2: 12}


def test_mathvisions_variant_has_76_items(mirror: Path) -> None:
    (suite,) = load.suite("mathvision:geometry", "strict")
    groups = Counter(sample.group for sample in suite.samples(Data(suite="mathvision", local=mirror)))
    assert groups == dict.fromkeys(mathvision.GEOMETRY, 19)
    assert suite.headline.name == "accuracy_macro"


@pytest.mark.parametrize("name", ["mathvista", "mathvision"])
def test_the_bare_name_selects_the_default_variant(name: str) -> None:
    (suite,) = load.suite(name)
    assert suite.variant == ("" if name == "mathvista" else "testmini")
    assert suite.headline.name == "accuracy"
    assert load.suite(f"{name}:geometry")[0].chance is None or name == "mathvision"


def test_the_variants_run_on_the_bundled_items(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    outcome = evals("run", "mathvista:geometry", "mathvision:geometry", "--sample", "-m",
                    "scripted:call=tests.support.scripted_vision:without_box", "--results", tmp_path, "--json")  # fmt: skip
    vista, vision = outcome.json["runs"]
    assert vista["estimates"][0]["value"] == 1.0
    assert vista["estimates"][0]["metric"] == "accuracy_of_labels"
    assert vision["expected"] == 3
    assert vision["estimates"][0]["metric"] == "accuracy"


def test_vlmevalkits_protocol_has_the_rule_of_intern_s1_and_greedy_sampling() -> None:
    for name in ("mathvista", "mathvision"):
        (vlmevalkit,), (intern_s1,) = (
            load.suite(f"{name}:geometry", protocol) for protocol in ("vlmevalkit~", "intern-s1~")
        )
        assert vlmevalkit.scorer_versions() == intern_s1.scorer_versions()
        assert (vlmevalkit.sampling.temperature, intern_s1.sampling.temperature) == (0.0, 0.7)
