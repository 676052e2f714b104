"""Matbench: every published figure of three recorded models, the folds, the questions, the import."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evals.data import Data
from evals.data.matbench import computed_folds
from evals.errors import DataError
from evals.prompts import plain_text
from evals.records.files import Brief, Gold
from evals.report.estimates import points
from evals.suites import matbench
from evals.types import Prompt, Reply, Sample
from tests.support.command import evals
from tests.support.tables import table

FIGURES = {
    "mae": "mae", "rmse": "rmse", "mape": "mape", "max_error": "max_error", "accuracy": "accuracy",
    "balanced_accuracy": "balanced_accuracy", "f1": "f1", "rocauc": "rocauc_thresholded",
}  # fmt: skip
"""The package's name of a figure -> ours."""
SAMPLE = Data(suite="matbench", sample=True)


def recorded(shared: Path, model: str) -> dict[str, Any]:
    path = shared / "data" / "matbench" / "results" / model / "results.json.gz"
    found: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))["tasks"]
    return found


@pytest.mark.slow
@table("task", matbench.DEFAULT)
@table("model", ["rf", "dummy", "gptchem"])
def test_every_published_figure_of_every_fold_to_six_decimals(
    model: str, task: str, shared: Path, mirror: Path
) -> None:
    suite = matbench.BENCHMARK.suite(task, "official")
    folds = recorded(shared, model)[f"matbench_{task}"]["results"]
    predictions = {
        mbid: (fold, value) for fold, part in folds.items() for mbid, value in part["data"].items()
    }
    (name, scorer), golds, briefs = next(iter(suite.scorers.items())), {}, []
    for sample in suite.samples(Data(suite="matbench", local=mirror)):
        fold, value = predictions.pop(sample.id)
        assert fold == sample.group
        said = ("yes" if value else "no") if isinstance(value, bool) else repr(value)
        score: Any = scorer(sample, Prompt(), Reply(text=f"Answer: {said}"))
        golds[sample.id] = Gold(sample.group, sample.id, sample.target, 0)
        briefs.append(Brief(sample=sample.id, repeat=0, scores={name: score}))
    assert not predictions
    seen = points(briefs, golds, name)
    reduce = {metric.name: metric.of for metric in suite.metrics}
    for fold, part in folds.items():
        for figure, published in part["scores"].items():
            ours = reduce[FIGURES[figure]]([p for p in seen if p.group == fold])
            assert ours == pytest.approx(published, abs=5e-7), (fold, figure)
    headline = "rocauc" if task in ("expt_is_metal", "glass") else "mae"
    mean = sum(part["scores"][headline] for part in folds.values()) / 5
    assert suite.headline.of(seen) == pytest.approx(mean, abs=5e-7)


def test_the_folds_can_be_made_again(mirror: Path) -> None:
    pytest.importorskip("sklearn")
    data = Data(suite="matbench", local=mirror)
    for name in matbench.DEFAULT:
        rows = matbench._table(data, name)
        golds = [matbench._gold(matbench.TASKS[name], row) for row in rows]
        assert computed_folds(golds) == [row["fold"] for row in rows]


def test_the_file_of_splits_serves_a_table_without_folds(mirror: Path, tmp_path: Path) -> None:
    source = mirror / "matbench"
    (tmp_path / "splits").mkdir()
    for name in ("matbench_v0.1_validation_small_tasks.json.gz",):
        (tmp_path / "splits" / name).write_bytes((source / name).read_bytes())
    rows = [json.loads(line) for line in (source / "matbench_steels.jsonl").read_text().splitlines()]
    folds = [row.pop("fold") for row in rows]
    (tmp_path / "splits" / "matbench_steels.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows)
    )
    found = matbench._table(Data(suite="matbench", local=tmp_path / "splits"), "steels")
    assert [row["fold"] for row in found] == folds


def test_a_table_as_matminer_stores_it(mirror: Path, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    rows = matbench._table(Data(suite="matbench", local=mirror), "steels")
    columns = ["composition", "yield strength"]
    document = {
        "index": list(range(312)),
        "columns": columns,
        "data": [[row[c] for c in columns] for row in rows],
    }
    (tmp_path / "matbench_steels.json.gz").write_bytes(gzip.compress(json.dumps(document).encode()))
    assert matbench._table(Data(suite="matbench", local=tmp_path), "steels") == rows


def test_a_torn_file_of_splits_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "matbench_steels.jsonl").write_text(
        '{"mbid": "a", "composition": "Fe", "yield strength": 1.0}\n'
    )
    (tmp_path / "matbench_v0.1_validation.json").write_text("{")
    with pytest.raises(DataError, match=r"cannot read .*validation\.json"):
        matbench._table(Data(suite="matbench", local=tmp_path), "steels")


def test_the_training_side_of_a_fold_is_the_other_folds() -> None:
    samples = list(matbench.BENCHMARK.suite("steels").samples(SAMPLE))
    for sample in samples:
        seen = [float(str(other.target)) for other in samples if other.group != sample.group]
        assert sample.meta["train_mean"] == pytest.approx(sum(seen) / len(seen))
        assert (sample.meta["train_low"], sample.meta["train_high"]) == (min(seen), max(seen))


def test_intern_s1_asks_fold_0_of_four_tasks(mirror: Path, tmp_path: Path) -> None:
    sizes = {}
    for name in matbench.DEFAULT:
        suite = matbench.BENCHMARK.suite(name, "intern-s1")
        assert suite.judged
        assert not suite.refuses
        sizes[name] = sum(1 for _ in suite.samples(Data(suite="matbench", local=mirror)))
    assert sizes == {"steels": 63, "expt_gap": 921, "expt_is_metal": 985, "glass": 1136}
    assert "covers only steels, expt_gap" in matbench.BENCHMARK.suite("phonons", "intern-s1").refuses
    done = evals(
        "run",
        "matbench:steels",
        "--sample",
        "--protocol",
        "intern-s1",
        "-m",
        "scripted:5",
        "--results",
        tmp_path,
    )
    assert "add --judge MODEL" in done.error_line


class Fake:
    """Of a card, what an aggregate reads."""

    def __init__(self, value: float | None, low: float | None = None, high: float | None = None) -> None:
        self.run = "r"
        facts = {"value": value, "low": low, "high": high, "method": "t"}
        self.headline = type("E", (), facts)()


def test_the_mean_of_four_as_opencompass_takes_it() -> None:
    cards: dict[str, Any] = {
        "steels": Fake(200.0),
        "expt_gap": Fake(0.5),
        "expt_is_metal": Fake(0.8),
        "glass": Fake(0.7),
    }
    found = matbench.aggregate("intern-s1", cards)
    assert found is not None
    assert found["value"] == pytest.approx((0.9 + 0.75 + 0.8 + 0.7) / 4)
    assert (found["low"], found["high"]) == (None, None)  # the tasks have none
    assert matbench.aggregate("official", cards) is None
    del cards["glass"]
    partial = matbench.aggregate("intern-s1", cards)
    assert partial is not None
    assert (partial["value"], partial["missing"]) == (None, ["glass"])


def test_the_mean_of_four_has_the_limits_of_its_parts_and_stays_within_them() -> None:
    cards = {
        "steels": Fake(200.0, 100.0, 400.0),  # .9 of .8 to .95: the limits of an error turn round
        "expt_gap": Fake(0.5, 0.5, 0.5),
        "expt_is_metal": Fake(0.8, 0.7, 0.85),
        "glass": Fake(1.0, 0.9, 1.0),
    }
    found = matbench.aggregate("intern-s1", cards)
    assert found is not None
    middle = (0.9 + 0.75 + 0.8 + 1.0) / 4
    down, up = (0.1**2 + 0.1**2 + 0.1**2) ** 0.5 / 4, (0.05**2 + 0.05**2) ** 0.5 / 4
    assert (found["low"], found["high"]) == pytest.approx((middle - down, middle + up))


@table("name", matbench.TASKS)
def test_questions_hold_the_material_and_say_the_form(name: str) -> None:
    task, suite = matbench.TASKS[name], matbench.BENCHMARK.suite(name)
    if task.has_structure:
        pytest.importorskip("pymatgen")
    prompter = suite.prompter(SAMPLE)
    text = plain_text(prompter(next(iter(suite.samples(SAMPLE))), 0).messages[0].parts)
    assert "Composition: " in text
    assert ("Space group: " in text) is task.has_structure
    assert ("Probability: P" in text) is task.is_binary
    assert task.is_binary or (task.display_unit.removeprefix("log10(").removesuffix(")") or task.unit) in text


def test_a_composition_that_is_none_is_not_asked() -> None:
    prompter = matbench.BENCHMARK.suite("steels").prompter(SAMPLE)
    sample = Sample(
        id="x", question=matbench._question(matbench.TASKS["steels"], {"composition": "I think"}), target=1.0
    )
    with pytest.raises(DataError, match="'I think' is not a composition"):
        prompter(sample, 0)


def test_a_silent_model_gets_the_training_means_error_and_no_perfect_score(tmp_path: Path) -> None:
    done = evals(
        "run",
        "matbench:steels",
        "--sample",
        "-m",
        "scripted:I do not know",
        "--results",
        tmp_path,
        "--json",
        "--quiet",
    )
    assert done.status == 0, done.err
    (run,) = done.json["runs"]
    found = {e["metric"]: e["value"] for e in run["estimates"] if not e["group"]}
    assert run["counts"] == {"unanswered": 12}
    assert found["mae_answered"] is None
    assert found["answered"] == 0.0
    assert 0 < found["mae"] < found["mae_worst"]


# --- import -------------------------------------------------------------------------------------------------


def results_file(path: Path, tasks: dict[str, dict[str, Any]]) -> Path:
    document = {"tasks": {name: {"results": {"fold_0": {"data": data}}} for name, data in tasks.items()}}
    path.write_text(json.dumps(document))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("model", ["gptchem", "rf"])
def test_importing_a_leaderboard_file(model: str, shared: Path, mirror: Path, tmp_path: Path) -> None:
    path = shared / "data" / "matbench" / "results" / model / "results.json.gz"
    done = evals(
        "import", "matbench", path, "--model", model, "--suite", "matbench:steels", "--data", mirror,
        "--results", tmp_path, "--json",
    )  # fmt: skip
    assert done.status == 0, done.err
    (run,) = done.json["runs"]
    assert (run["suite"], run["protocol"], run["counts"]) == ("matbench:steels", "official", {"graded": 312})
    folds = recorded(shared, model)["matbench_steels"]["results"]
    found = {e["group"]: e["value"] for e in run["estimates"] if e["metric"] == "mae"}
    for fold, part in folds.items():
        assert found[fold] == pytest.approx(part["scores"]["mae"], abs=5e-7)


@pytest.mark.slow
def test_tasks_without_data_are_named_and_left_out(tmp_path: Path) -> None:
    path = results_file(tmp_path / "r.json", {
        "matbench_steels": {f"ours-steels-{i:02d}": 500.0 for i in range(1, 13)},
        "matbench_phonons": {"mb-phonons-0001": 1.0},
        "matbench_nonsense": {"x": 1.0},
    })  # fmt: skip
    local = tmp_path / "data"
    local.mkdir()
    (local / "matbench_steels.jsonl").write_text((SAMPLE.folder() / "matbench_steels.jsonl").read_text())
    done = evals(
        "import", "matbench", path, "--model", "m", "--data", local, "--results", tmp_path / "r", "--json"
    )
    assert done.status == 0, done.err
    assert [run["suite"] for run in done.json["runs"]] == ["matbench:steels"]
    assert "left out: matbench: no file named matbench_phonons" in done.err
    assert "left out: nonsense is not a task" in done.err


def test_scores_of_a_label_give_the_true_area_beside_the_packages_own(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (SAMPLE.folder() / "matbench_glass.jsonl").read_text().splitlines()]
    data = {row["mbid"]: (0.4 if row["gfa"] else 0.1) for row in rows}
    path = results_file(tmp_path / "r.json", {"matbench_glass": data})
    done = evals(
        "import", "matbench", path, "--model", "m", "--sample", "--results", tmp_path / "r", "--json"
    )
    found = {e["metric"]: e["value"] for e in done.json["runs"][0]["estimates"] if not e["group"]}
    assert found["roc_auc"] == 1.0
    assert found["rocauc_thresholded"] == 0.5


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        ({"matbench_steels": {"mb-x": 1.0}}, "1 mbid not in the data: mb-x"),
        ({"matbench_steels": {"ours-steels-01": None}}, "ours-steels-01: the prediction None"),
        ({"matbench_steels": {"ours-steels-01": "high"}}, "the prediction 'high'"),
        ({"matbench_glass": {"ours-glass-01": 3.0}}, "the probability 3.0 is not between 0 and 1"),
        ({"matbench_nonsense": {"x": 1.0}}, "no data is available for any of its tasks"),
    ],
)
def test_bad_predictions_are_one_line(tasks: dict[str, dict[str, Any]], words: str, tmp_path: Path) -> None:
    path = results_file(tmp_path / "r.json", tasks)
    done = evals("import", "matbench", path, "--model", "m", "--sample", "--results", tmp_path / "r")
    assert words in done.error_line


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p.write_text("{"), "r.json: "),
        (lambda p: p.write_text("[]"), "cannot be read as results of the matbench package"),
        (
            lambda p: p.write_text('{"tasks": {"matbench_steels": {}}}'),
            "cannot be read as results of the matbench package",
        ),
    ],
)
def test_bad_files_are_one_line(make: Callable[[Path], Any], words: str, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    make(path)
    done = evals("import", "matbench", path, "--model", "m", "--sample", "--results", tmp_path / "r")
    assert words in done.error_line


def test_import_wants_a_model_and_matbench(tmp_path: Path) -> None:
    path = results_file(tmp_path / "r.json", {})
    assert "needs --model" in evals("import", "matbench", path).error_line
    assert "not of gpqa" in evals("import", "matbench", path, "--model", "m", "--suite", "gpqa").error_line


def test_a_missing_prediction_is_a_missing_outcome(tmp_path: Path) -> None:
    path = results_file(tmp_path / "r.json", {"matbench_steels": {"ours-steels-01": 205.0}})
    done = evals(
        "import", "matbench", path, "--model", "m", "--sample", "--results", tmp_path / "r", "--json"
    )
    assert done.json["runs"][0]["coverage"] == pytest.approx(1 / 12)
    assert done.json["runs"][0]["counts"] == {"absent": 11, "graded": 1}
