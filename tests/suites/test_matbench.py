"""Matbench: the published scores of three recorded models on the default tasks, the folds, the questions, and the import."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evals.data import Data
from evals.data.matbench import computed_folds
from evals.errors import DataError
from evals.prompts import plain_text
from evals.records.files import CompactRecord, Gold
from evals.report.estimates import points
from evals.suites import matbench
from evals.types import Prompt, Reply, Sample
from tests.support.command import evals
from tests.support.error_messages import raises
from tests.support.tables import table

OUR_METRICS = {
    "mae": "mae", "rmse": "rmse", "mape": "mape", "max_error": "max_error", "accuracy": "accuracy",
    "balanced_accuracy": "balanced_accuracy", "f1": "f1", "rocauc": "rocauc_thresholded",
}  # fmt: skip
"""Name of a score in the matbench package -> name of our metric."""
SAMPLE = Data(suite="matbench", sample=True)


def recorded_tasks(shared: Path, model: str) -> dict[str, Any]:
    path = shared / "data" / "matbench" / "results" / model / "results.json.gz"
    tasks: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))["tasks"]
    return tasks


@pytest.mark.slow
@table("task", matbench.DEFAULT)
@table("model", ["rf", "dummy", "gptchem"])
def test_every_published_score_of_every_fold_is_reproduced_to_six_decimals(
    model: str, task: str, shared: Path, mirror: Path
) -> None:
    suite = matbench.BENCHMARK.suite(task, "official")
    folds = recorded_tasks(shared, model)[f"matbench_{task}"]["results"]
    predictions = {
        mbid: (fold, value) for fold, results in folds.items() for mbid, value in results["data"].items()
    }
    (scorer_name, scorer), golds, records = next(iter(suite.scorers.items())), {}, []
    for sample in suite.samples(Data(suite="matbench", local=mirror)):
        fold, value = predictions.pop(sample.id)
        assert fold == sample.group
        answer = ("yes" if value else "no") if isinstance(value, bool) else repr(value)
        score: Any = scorer(sample, Prompt(), Reply(text=f"Answer: {answer}"))
        golds[sample.id] = Gold(sample.group, sample.id, sample.target, 0)
        records.append(CompactRecord(sample=sample.id, repeat=0, scores={scorer_name: score}))
    assert not predictions
    all_points = points(records, golds, scorer_name)
    metric_functions = {metric.name: metric.of for metric in suite.metrics}
    for fold, results in folds.items():
        for name, published in results["scores"].items():
            ours = metric_functions[OUR_METRICS[name]]([point for point in all_points if point.group == fold])
            assert ours == pytest.approx(published, abs=5e-7), (fold, name)
    headline = "rocauc" if task in ("expt_is_metal", "glass") else "mae"
    mean = sum(results["scores"][headline] for results in folds.values()) / 5
    assert suite.headline.of(all_points) == pytest.approx(mean, abs=5e-7)


def test_computed_folds_equal_the_published_ones(mirror: Path) -> None:
    pytest.importorskip("sklearn")
    data = Data(suite="matbench", local=mirror)
    for name in matbench.DEFAULT:
        rows = matbench._rows(data, name)
        golds = [matbench._gold(matbench.TASKS[name], row) for row in rows]
        assert computed_folds(golds) == [row["fold"] for row in rows]


def test_folds_are_read_from_the_splits_file_if_the_table_has_none(mirror: Path, tmp_path: Path) -> None:
    source = mirror / "matbench"
    (tmp_path / "splits").mkdir()
    name = "matbench_v0.1_validation_small_tasks.json.gz"
    (tmp_path / "splits" / name).write_bytes((source / name).read_bytes())
    rows = [json.loads(line) for line in (source / "matbench_steels.jsonl").read_text().splitlines()]
    folds = [row.pop("fold") for row in rows]
    (tmp_path / "splits" / "matbench_steels.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows)
    )
    table = matbench._rows(Data(suite="matbench", local=tmp_path / "splits"), "steels")
    assert [row["fold"] for row in table] == folds


def test_a_table_in_matminer_format_is_read(mirror: Path, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    rows = matbench._rows(Data(suite="matbench", local=mirror), "steels")
    columns = ["composition", "yield strength"]
    document = {
        "index": list(range(312)),
        "columns": columns,
        "data": [[row[column] for column in columns] for row in rows],
    }
    (tmp_path / "matbench_steels.json.gz").write_bytes(gzip.compress(json.dumps(document).encode()))
    assert matbench._rows(Data(suite="matbench", local=tmp_path), "steels") == rows


@pytest.mark.parametrize(
    "splits",
    [
        "{",
        "{}",
        '{"splits": []}',
        '{"splits": {"matbench_steels": {"fold_x": {"test": ["a"]}}}}',
        '{"splits": {"matbench_steels": {"fold_0": {"test": ["b"]}}}}',
    ],
)
def test_an_unusable_splits_file_is_reported_in_one_line(tmp_path: Path, splits: str) -> None:
    (tmp_path / "matbench_steels.jsonl").write_text(
        '{"mbid": "a", "composition": "Fe", "yield strength": 1.0}\n'
    )
    (tmp_path / "matbench_v0.1_validation.json").write_text(splits)
    with raises(DataError):
        matbench._rows(Data(suite="matbench", local=tmp_path), "steels")


@pytest.mark.parametrize(
    "table", ['{"columns": 1}', '{"columns": ["composition", "yield strength"], "data": [["Fe"]]}']
)
def test_a_malformed_table_in_matminer_format_is_reported_in_one_line(tmp_path: Path, table: str) -> None:
    (tmp_path / "matbench_steels.json.gz").write_bytes(gzip.compress(table.encode()))
    with raises(DataError):
        matbench._rows(Data(suite="matbench", local=tmp_path), "steels")


def test_training_statistics_are_those_of_the_other_folds() -> None:
    samples = list(matbench.BENCHMARK.suite("steels").samples(SAMPLE))
    for sample in samples:
        training = [float(str(other.target)) for other in samples if other.group != sample.group]
        assert sample.meta["train_mean"] == pytest.approx(sum(training) / len(training))
        assert (sample.meta["train_low"], sample.meta["train_high"]) == (min(training), max(training))


def test_intern_s1_uses_fold_0_of_four_tasks(mirror: Path, tmp_path: Path) -> None:
    sizes = {}
    for name in matbench.DEFAULT:
        suite = matbench.BENCHMARK.suite(name, "intern-s1")
        assert suite.judged
        assert not suite.refuses
        sizes[name] = sum(1 for _ in suite.samples(Data(suite="matbench", local=mirror)))
    assert sizes == {"steels": 63, "expt_gap": 921, "expt_is_metal": 985, "glass": 1136}
    assert "covers only steels, expt_gap" in matbench.BENCHMARK.suite("phonons", "intern-s1").refuses
    outcome = evals(
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
    outcome.assert_usage_error()


class FakeCard:
    """The attributes of a card that an aggregate uses."""

    def __init__(self, value: float | None, low: float | None = None, high: float | None = None) -> None:
        self.run = "r"
        self.config = SimpleNamespace(suite="matbench")
        self.headline = SimpleNamespace(value=value, low=low, high=high, method="t")


def test_the_mean_of_the_four_tasks_is_that_of_opencompass() -> None:
    cards: dict[str, Any] = {
        "steels": FakeCard(200.0),
        "expt_gap": FakeCard(0.5),
        "expt_is_metal": FakeCard(0.8),
        "glass": FakeCard(0.7),
    }
    mean = matbench.aggregate("intern-s1", cards)
    assert mean is not None
    assert mean["value"] == pytest.approx((0.9 + 0.75 + 0.8 + 0.7) / 4)
    assert (mean["low"], mean["high"]) == (None, None)  # the tasks have no intervals
    assert matbench.aggregate("official", cards) is None
    del cards["glass"]
    partial = matbench.aggregate("intern-s1", cards)
    assert partial is not None
    assert (partial["value"], partial["missing"]) == (None, ["glass"])


def test_the_interval_of_the_mean_combines_the_intervals_of_the_tasks() -> None:
    cards = {
        # an MAE of 200 is converted to 0.9, and its bounds, in reverse order, to 0.8 and 0.95
        "steels": FakeCard(200.0, 100.0, 400.0),
        "expt_gap": FakeCard(0.5, 0.5, 0.5),
        "expt_is_metal": FakeCard(0.8, 0.7, 0.85),
        "glass": FakeCard(1.0, 0.9, 1.0),
    }
    mean = matbench.aggregate("intern-s1", cards)
    assert mean is not None
    value = (0.9 + 0.75 + 0.8 + 1.0) / 4
    lower_margin, upper_margin = (0.1**2 + 0.1**2 + 0.1**2) ** 0.5 / 4, (0.05**2 + 0.05**2) ** 0.5 / 4
    assert (mean["low"], mean["high"]) == pytest.approx((value - lower_margin, value + upper_margin))


@table("name", matbench.TASKS)
def test_questions_contain_the_material_and_the_answer_format(name: str) -> None:
    task, suite = matbench.TASKS[name], matbench.BENCHMARK.suite(name)
    if task.has_structure:
        pytest.importorskip("pymatgen")
    prompter = suite.prompter(SAMPLE)
    text = plain_text(prompter(next(iter(suite.samples(SAMPLE))), 0).messages[0].parts)
    assert "Composition: " in text
    assert ("Space group: " in text) is task.has_structure
    assert ("Probability: P" in text) is task.is_binary
    assert task.is_binary or (task.display_unit.removeprefix("log10(").removesuffix(")") or task.unit) in text


def test_an_invalid_composition_is_reported_when_the_prompt_is_built() -> None:
    prompter = matbench.BENCHMARK.suite("steels").prompter(SAMPLE)
    sample = Sample(
        id="x", question=matbench._question(matbench.TASKS["steels"], {"composition": "I think"}), target=1.0
    )
    with raises(DataError):
        prompter(sample, 0)


def test_unanswered_samples_get_the_error_of_the_training_mean(tmp_path: Path) -> None:
    outcome = evals(
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
    assert outcome.status == 0, outcome.err
    (run,) = outcome.json["runs"]
    values = {e["metric"]: e["value"] for e in run["estimates"] if not e["group"]}
    assert run["counts"] == {"unanswered": 12}
    assert values["mae_answered"] is None
    assert values["answered"] == 0.0
    assert 0 < values["mae"] < values["mae_worst"]


# --- import -------------------------------------------------------------------------------------------------


def results_file(path: Path, tasks: dict[str, dict[str, Any]]) -> Path:
    document = {"tasks": {name: {"results": {"fold_0": {"data": data}}} for name, data in tasks.items()}}
    path.write_text(json.dumps(document))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("model", ["gptchem", "rf"])
def test_an_imported_leaderboard_file_has_the_published_errors(
    model: str, shared: Path, mirror: Path, tmp_path: Path
) -> None:
    path = shared / "data" / "matbench" / "results" / model / "results.json.gz"
    outcome = evals(
        "import", "matbench", path, "--model", model, "--suite", "matbench:steels", "--data", mirror,
        "--results", tmp_path, "--json",
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    (run,) = outcome.json["runs"]
    assert (run["suite"], run["protocol"], run["counts"]) == ("matbench:steels", "official", {"graded": 312})
    folds = recorded_tasks(shared, model)["matbench_steels"]["results"]
    errors = {e["group"]: e["value"] for e in run["estimates"] if e["metric"] == "mae"}
    for fold, results in folds.items():
        assert errors[fold] == pytest.approx(results["scores"]["mae"], abs=5e-7)


@pytest.mark.slow
def test_tasks_without_data_are_named_and_skipped(tmp_path: Path) -> None:
    path = results_file(tmp_path / "r.json", {
        "matbench_steels": {f"ours-steels-{i:02d}": 500.0 for i in range(1, 13)},
        "matbench_phonons": {"mb-phonons-0001": 1.0},
        "matbench_nonsense": {"x": 1.0},
    })  # fmt: skip
    local = tmp_path / "data"
    local.mkdir()
    (local / "matbench_steels.jsonl").write_text((SAMPLE.folder() / "matbench_steels.jsonl").read_text())
    outcome = evals(
        "import", "matbench", path, "--model", "m", "--data", local, "--results", tmp_path / "r", "--json"
    )
    assert outcome.status == 0, outcome.err
    assert [run["suite"] for run in outcome.json["runs"]] == ["matbench:steels"]
    assert "left out: matbench: no file named matbench_phonons" in outcome.err
    assert "left out: nonsense is not a task" in outcome.err


def test_predicted_probabilities_give_the_true_roc_auc_and_the_thresholded_one_of_the_package(
    tmp_path: Path,
) -> None:
    rows = [json.loads(line) for line in (SAMPLE.folder() / "matbench_glass.jsonl").read_text().splitlines()]
    data = {row["mbid"]: (0.4 if row["gfa"] else 0.1) for row in rows}
    path = results_file(tmp_path / "r.json", {"matbench_glass": data})
    outcome = evals(
        "import", "matbench", path, "--model", "m", "--sample", "--results", tmp_path / "r", "--json"
    )
    values = {e["metric"]: e["value"] for e in outcome.json["runs"][0]["estimates"] if not e["group"]}
    assert values["roc_auc"] == 1.0
    assert values["rocauc_thresholded"] == 0.5


@pytest.mark.parametrize(
    "tasks",
    [
        {"matbench_steels": {"mb-x": 1.0}},
        {"matbench_steels": {"ours-steels-01": None}},
        {"matbench_steels": {"ours-steels-01": "high"}},
        {"matbench_glass": {"ours-glass-01": 3.0}},
        {"matbench_nonsense": {"x": 1.0}},
    ],
    ids=["unknown id", "none", "not a number", "not a probability", "unknown task"],
)
def test_invalid_predictions_are_reported_in_one_line(
    tasks: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    path = results_file(tmp_path / "r.json", tasks)
    outcome = evals("import", "matbench", path, "--model", "m", "--sample", "--results", tmp_path / "r")
    outcome.assert_usage_error()


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"tasks": {"matbench_steels": {}}}'],
    ids=["not JSON", "not an object", "no results of a task"],
)
def test_invalid_files_are_reported_in_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    outcome = evals("import", "matbench", path, "--model", "m", "--sample", "--results", tmp_path / "r")
    outcome.assert_usage_error()


def test_the_import_requires_a_model_and_the_suite_matbench(tmp_path: Path) -> None:
    path = results_file(tmp_path / "r.json", {})
    evals("import", "matbench", path).assert_usage_error()
    evals("import", "matbench", path, "--model", "m", "--suite", "gpqa").assert_usage_error()


def test_missing_predictions_are_counted_as_absent(tmp_path: Path) -> None:
    path = results_file(tmp_path / "r.json", {"matbench_steels": {"ours-steels-01": 205.0}})
    outcome = evals(
        "import", "matbench", path, "--model", "m", "--sample", "--results", tmp_path / "r", "--json"
    )
    assert outcome.json["runs"][0]["coverage"] == pytest.approx(1 / 12)
    assert outcome.json["runs"][0]["counts"] == {"absent": 11, "graded": 1}
