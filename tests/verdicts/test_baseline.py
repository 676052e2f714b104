"""Baselines: what each learns, that it learns from the other folds alone, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.data import Data
from evals.errors import Fatal, UsageError
from evals.model_adapters import baseline
from evals.prompts import ask
from evals.types import Sampling
from tests.support.command import evals

SAMPLE = Data(suite="matbench", sample=True)
ROWS = [
    baseline.Row("Fe", 0, 1.0),
    baseline.Row("Cu", 1, 3.0),
    baseline.Row("Al", 1, 3.0),
    baseline.Row("W", 2, 8.0),
]


def headline(tmp_path: Path, name: str, suite: str, *more: object) -> float:
    done = evals("run", suite, "-m", f"baseline:{name}", "--results", tmp_path, "--json", "--quiet", *more)
    assert done.status == 0, done.err
    (found,) = [e["value"] for e in done.json["runs"][0]["estimates"] if e["headline"]]
    return float(found)


def test_mean_and_majority_by_hand() -> None:
    assert baseline.mean(ROWS, ROWS[:2]) == [3.75, 3.75]
    assert baseline.majority(ROWS, ROWS[:1]) == [3.0]


@pytest.mark.slow
def test_the_mean_of_the_other_folds_makes_the_imputed_error(tmp_path: Path) -> None:
    """A silent model is given the error of the training mean, so the baseline `mean` scores the same."""
    silent = evals(
        "run", "matbench:steels", "--sample", "-m", "scripted:no", "--results", tmp_path, "--json", "--quiet"
    )
    (imputed,) = [e["value"] for e in silent.json["runs"][0]["estimates"] if e["headline"]]
    assert headline(tmp_path, "mean", "matbench:steels", "--sample") == pytest.approx(imputed)


@pytest.mark.parametrize("task", ["steels", pytest.param("expt_gap", marks=pytest.mark.slow)])
def test_the_mean_is_the_recorded_dummy(task: str, shared: Path, mirror: Path, tmp_path: Path) -> None:
    published = json.loads((shared / "data" / "PUBLISHED_SCORES.json").read_text())
    wanted = next(
        p["published"] for p in published if p["file"] == f"matbench/results/dummy/results.json.gz#{task}"
    )
    found = headline(tmp_path, "mean", f"matbench:{task}", "--data", mirror, "--protocol", "official")
    assert found == pytest.approx(wanted, abs=1e-6)


def test_labels_come_with_their_probability(tmp_path: Path) -> None:
    done = evals(
        "run", "matbench:glass", "--sample", "-m", "baseline:mean", "--results", tmp_path, "--json", "--quiet"
    )
    found = {e["metric"]: e["value"] for e in done.json["runs"][0]["estimates"] if not e["group"]}
    assert found["roc_auc"] == 0.5
    assert found["balanced_accuracy"] == 0.5


@pytest.mark.slow
def test_the_forest_beats_the_mean_on_the_sample_items(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("matminer", "sklearn"):
        pytest.importorskip(package)
    monkeypatch.setattr(baseline, "TREES", 20)
    mean = headline(tmp_path, "mean", "matbench:steels", "--sample")
    assert headline(tmp_path, "magpie-rf", "matbench:steels", "--sample") < mean
    assert headline(tmp_path, "magpie-rf", "matbench:glass", "--sample") > 0.5


def test_magpie_has_132_features_and_most_are_known() -> None:
    pytest.importorskip("matminer")
    found = baseline.features("Fe2O3")
    assert len(found) == 132
    assert sum(value != value for value in found) == 0


@pytest.mark.slow
@pytest.mark.parametrize(("task", "low", "high"), [("steels", 101.0, 107.0)])
def test_the_forest_is_within_the_spread_of_seeds_of_the_recorded_one(
    task: str, low: float, high: float, mirror: Path, tmp_path: Path
) -> None:
    """Recorded: 103.51 MPa; seeds 0 to 5 of ours: 103.2 to 104.8."""
    pytest.importorskip("matminer")
    found = headline(tmp_path, "magpie-rf", f"matbench:{task}", "--data", mirror, "--protocol", "official")
    assert low < found < high


async def test_copy_says_the_last_tag_or_line() -> None:
    copy = baseline.model("copy")
    tagged = await copy.reply(ask("What is <SMILES> CCO </SMILES> called?"), Sampling())
    assert tagged.text == "<SMILES> CCO </SMILES>"
    assert (await copy.reply(ask("one\ntwo"), Sampling())).text == "two"
    await copy.close()


async def test_other_suites_and_unknown_materials_end_the_run() -> None:
    model = baseline.model("mean", sample=True)
    with pytest.raises(Fatal, match=r"can only run these tasks of matbench: steels"):
        await model.reply(ask("What is 2 + 2?"), Sampling())
    with pytest.raises(Fatal, match="Xe is not in the table of steels"):
        await model.reply(ask("Predict the yield strength.\n\nComposition: Xe"), Sampling())
    await model.close()


@pytest.mark.parametrize(
    ("name", "words"), [("men", "did you mean mean"), ("mean", "add --data DIR or --sample")]
)
def test_what_is_lacking_is_said(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        baseline.model(name)
