"""A subset's score adjusted by other models' results: unbiased, with an interval that covers, and more precise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import evals as science_evals
from evals.errors import UsageError
from evals.verdicts.control_variates import adjust
from evals.verdicts.suite_run import SuiteRun
from tests.performance.control import measure, recorded
from tests.support.command import evals
from tests.support.synthetic_runs import side, suite_run

ITEMS = 400


def drawn(seed: int, *, cluster: int = 1) -> tuple[SuiteRun, SuiteRun, float]:
    """A subset of 100 items of a model, another model on all 400 of them, and the first one's score on all."""
    rng = np.random.default_rng(seed)
    hard = np.repeat(rng.uniform(size=ITEMS // cluster), cluster)
    own, other = ((rng.uniform(size=ITEMS) < 0.1 + 0.8 * hard).astype(float) for _ in range(2))
    names = [f"s{i:03}" for i in range(ITEMS)]
    clusters = [f"c{i // cluster}" for i in range(ITEMS)]
    chosen = rng.choice(ITEMS // cluster, 100 // cluster, replace=False)
    kept = [i for i in range(ITEMS) if i // cluster in set(chosen.tolist())]
    subset = side({names[i]: own[i] for i in kept}, clusters=[clusters[i] for i in kept])
    whole = side(dict(zip(names, other, strict=True)), clusters=clusters)
    return suite_run("subset", subset), suite_run("whole", whole), float(own.mean())


@pytest.mark.slow
@pytest.mark.parametrize("cluster", [1, 4])
def test_it_is_unbiased_covers_and_is_more_precise(cluster: int) -> None:
    errors, plain, covered = [], [], 0
    for seed in range(300):
        subset, whole, truth = drawn(seed, cluster=cluster)
        found = adjust(subset, [whole], estimand="this-run")
        errors.append(found.adjusted.value - truth)
        plain.append(found.unadjusted.value - truth)
        covered += found.adjusted.low <= truth <= found.adjusted.high
    assert abs(np.mean(errors)) < 3 * np.std(errors) / 300**0.5
    assert np.var(errors) < 0.95 * np.var(plain)
    assert 0.92 <= covered / 300 <= 0.985


def test_other_items_like_these_are_less_certain_than_these() -> None:
    subset, whole, _ = drawn(1)
    this, like = (adjust(subset, [whole], estimand=e).adjusted for e in ("this-run", "items-like-these"))
    assert like.value == this.value
    assert like.high - like.low > this.high - this.low


def test_what_does_not_fit_is_refused() -> None:
    subset, whole, _ = drawn(1)
    for run, controls, message in (
        (whole, [whole], "no more items"),
        (subset, [subset], "no more items"),
        (subset, [suite_run("other", whole.side, suite="aime")], "is of aime"),
        (subset, [suite_run("other", whole.side, data_sha256="1" * 64)], "other data"),
        (subset, [suite_run("other", side({"z": 1.0}))], "lacks items"),
        (suite_run("few", side({f"s{i:03}": 1.0 for i in range(20)})), [whole], "20 scored items"),
    ):
        with pytest.raises(UsageError, match=message):
            adjust(run, controls)
    with pytest.raises(UsageError, match="for the selection of items"):
        adjust(subset, [whole], estimand="these-items")


@pytest.mark.slow
def test_on_the_recordings_of_mmlu_pro(shared: Path) -> None:
    for row in measure(recorded(shared), n=500, simulations=1000):
        assert row.variance_ratio < 0.9  # .81 to .84 in 4,000 simulations, within .03 here
        assert row.stated < 0.85
        assert 0.93 <= row.coverage <= 0.97
        assert abs(row.bias) < 0.003


def test_the_command_prints_both_scores(here: Path) -> None:
    rows = [{"id": f"r{i}", "question": f"What is {i} + 1?", "target": str(i + 1)} for i in range(120)]
    suite = science_evals.Suite.of(rows, scorer="integer", name="sums")

    def able(most: int) -> Callable[[str], str]:
        return lambda prompt: prompt if (n := int(prompt.split()[2])) > most else f"ANSWER: {n + 1}"

    science_evals.evaluate(suite, able(60), quiet=True, run="earlier")
    science_evals.evaluate(suite, able(70), quiet=True, run="new", limit=60)
    out = evals("show", "new", "--control", "earlier").out
    assert "on 60 of 120 items" in out
    assert "subset, unadjusted" in out
    (found,) = evals("show", "new", "--control", "earlier", "--json").json
    assert found["variance_ratio"] < 0.5
    assert found["worth"] > 120
    assert evals("show", "new", "--control", "earlier", "--pivot").status == 2
    assert "lacks items of earlier" in evals("show", "earlier", "--control", "new").err
