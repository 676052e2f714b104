"""Exports keep what a format can represent, state what is lost, and contain no texts of gated suites."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from hashlib import sha256
from math import isclose
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from msgspec import structs

from evals.errors import UsageError
from evals.interop import every_eval_ever, hub
from evals.records import store
from evals.records.card import Finding
from evals.types import Reply, Score
from tests.support import toy
from tests.support.command import evals, files_with
from tests.support.error_messages import raises
from tests.support.paths import ROOT

SAMPLES = ROOT / "suites" / "samples"
FORMATS = ("every-eval-ever", "lm-eval", "csv", "parquet", "markdown", "latex")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a results folder with a run of MMLU-Pro with two repeats and a run of GPQA."""
    folder = tmp_path_factory.mktemp("export")
    replies = folder / "replies.json"
    replies.write_text(json.dumps(["=cmd|' /C calc'!A0 ANSWER: B", "ANSWER: A", "I cannot say"]))
    for arguments in (["mmlu-pro", "--repeats", 2, "--run", "m"], ["gpqa", "--run", "g"]):
        outcome = evals(
            "run", *arguments, "--sample", "-m", f"scripted:list={replies}", "--results", folder / "r"
        )
        assert outcome.status == 0, outcome.err
    return folder / "r"


def export(form: str, run: str, results: Path, out: Path, *arguments: object) -> list[Path]:
    outcome = evals("export", form, run, "--out", out, "--results", results, "--json", *arguments)
    assert outcome.status == 0, outcome.err
    assert outcome.json["lost"], "every format loses something, and says so"
    return [Path(name) for name in outcome.json["files"]]


def card_of(results: Path, run: str) -> Any:
    return store.find_one(results, run).card


@pytest.mark.parametrize("form", FORMATS)
def test_exports_contain_no_text_of_a_gated_suite(form: str, results: Path, tmp_path: Path) -> None:
    items = [json.loads(row) for row in (SAMPLES / "gpqa" / "diamond.jsonl").read_text().splitlines()]
    texts = [str(text).encode() for item in items for text in item.values() if len(str(text)) > 16]
    assert len(texts) > len(items)
    export(form, "g", results, tmp_path)
    assert files_with(tmp_path, [*texts, b"I cannot say", b"calc"]) == []


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_tables_contain_every_estimate_and_every_record(form: str, results: Path, tmp_path: Path) -> None:
    scores, samples = export(form, "m", results, tmp_path)
    read = (lambda path: pq.read_table(path).to_pylist()) if form == "parquet" else _read_csv
    card = card_of(results, "m")
    rows = read(scores)
    assert len(rows) == len(card.estimates)
    for row, e in zip(rows, card.estimates, strict=True):
        assert (row["metric"], row["group"], str(row["n"])) == (e.metric, e.group, str(e.n))
        assert isclose(float(row["value"]), e.value)
        assert row["low"] in (None, "") if e.low is None else isclose(float(row["low"]), e.low)
        assert row["protocol"] == card.config.protocol
    assert len(read(samples)) == card.expected
    assert {row["verdict"] for row in read(samples)} == set(card.counts)


def _read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_csv_cells_that_a_spreadsheet_would_evaluate_are_escaped_except_negative_numbers(
    tmp_path: Path,
) -> None:
    writer = toy.writer(tmp_path / "r" / "toy@1" / "m" / "one")
    writer.write_samples([toy.sample("a"), toy.sample("b")])
    for name, answer in (("a", "=1+1"), ("b", "-3.5")):
        score = Score(value=0.0, verdict="wrong", answer=answer)
        record = toy.record(name)
        writer.append(
            type(record)(
                **{f: getattr(record, f) for f in record.__struct_fields__} | {"scores": {"x": score}}
            )
        )
    writer.card.status = "finished"
    writer.write_card()
    writer.close()
    _, samples = export("csv", "one", tmp_path / "r", tmp_path / "out")
    assert [row["answer"] for row in _read_csv(samples)] == ["'=1+1", "-3.5"]


def test_markup_in_names_is_escaped_in_markdown(results: Path, tmp_path: Path) -> None:
    arguments = ("--suite", "mmlu-pro", "--sample", "--model", "<b>|x|*y*</b>", "--run", "odd")
    path = tmp_path / "r.jsonl"
    name = next(store.find_one(results, "m").samples()).id
    path.write_text(json.dumps({"id": name, "text": "ANSWER: A"}))
    assert evals("import", "replies", path, *arguments, "--results", tmp_path / "r").status == 0
    (page,) = export("markdown", "odd", tmp_path / "r", tmp_path / "out")
    text = page.read_text()
    assert "<b>" not in text
    assert "\\|x\\|" in text
    assert "sample items, not a benchmark score" in text


def test_lm_eval_export_has_lm_evals_standard_error_and_groups_repeats_by_sample(
    results: Path, tmp_path: Path
) -> None:
    samples, document = export("lm-eval", "m", results, tmp_path)
    exported = json.loads(document.read_text())
    card = card_of(results, "m")
    ((task, scores),) = exported["results"].items()
    headline = next(e for e in card.estimates if e.headline and not e.group)
    assert scores[f"{headline.metric},none"] == headline.value
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    assert {len(line["resps"][0]) for line in lines} == {2}
    values = [line[headline.metric] for line in lines]
    mean = sum(values) / len(values)
    variance = sum((v - mean) ** 2 for v in values) / (len(values) - 1)
    assert isclose(scores[f"{headline.metric}_stderr,none"], (variance / len(values)) ** 0.5)
    assert exported["n-samples"][task] == {"original": len(lines), "effective": len(lines)}
    assert exported["configs"][task]["metadata"]["protocol"] == card.config.protocol


def test_lm_eval_export_omits_the_standard_error_of_a_macro_average(tmp_path: Path) -> None:
    arguments = ("mmlu-pro", "--protocol", "intern-s1~", "--sample", "-m", "scripted:ANSWER: B")
    # the standard error of the mean over subjects differs from that over samples, unless all answers are wrong
    for judge, error in (("letter_b", "N/A"), ("never", 0.0)):
        judge_model = f"scripted:call=tests.support.judges:{judge}"
        run_options = ("--judge", judge_model, "--run", judge, "--results", tmp_path / "r")
        assert evals("run", *arguments, *run_options).status == 0
        _, document = export("lm-eval", judge, tmp_path / "r", tmp_path / "out")
        ((_, scores),) = json.loads(document.read_text())["results"].items()
        assert scores["accuracy_macro_stderr,none"] == error


def test_every_eval_ever_export_separates_protocols_and_omits_what_an_imported_run_does_not_know(
    tmp_path: Path,
) -> None:
    path, results = tmp_path / "r.jsonl", tmp_path / "r"
    path.write_text("".join(f'{{"id": "90000{n}", "text": "ANSWER: A"}}\n' for n in (1, 2)))
    names = set()
    for protocol in ("strict", "official"):
        arguments = (
            "--suite",
            "mmlu-pro",
            "--sample",
            "--model",
            "m",
            "--protocol",
            protocol,
            "--run",
            protocol,
        )
        assert evals("import", "replies", path, *arguments, "--results", results).status == 0
        aggregate, samples = export("every-eval-ever", protocol, results, tmp_path / "out")
        exported = json.loads(aggregate.read_text())
        names.add(exported["evaluation_id"].partition("/")[0])
        assert "evaluation_timestamp" not in exported  # the time of the calls is unknown
        assert exported["evaluation_results"][0]["score_details"]["details"]["origin"] == "import replies"
        # without the question, a hash of the gold answer alone would be the same for different samples
        assert {json.loads(line)["sample_hash"] for line in samples.read_text().splitlines()} == {None}
    assert names == {"mmlu-pro-strict", "mmlu-pro-official"}


@pytest.mark.parametrize(
    ("unit", "value", "worst", "bounds"),
    [
        ("fraction", 0.5, 0.4, (0.0, 1.0)),
        ("fraction", -0.2, None, ("-Infinity", "Infinity")),  # R²
        ("correlation", -0.2, -0.3, (-1.0, 1.0)),
        ("eV", 0.5, None, ("-Infinity", "Infinity")),
    ],
)
def test_every_eval_ever_states_bounds_that_include_the_score(
    results: Path, unit: str, value: float, worst: float | None, bounds: tuple[float | str, float | str]
) -> None:
    card = card_of(results, "m")
    estimate = structs.replace(card.estimates[0], unit=unit, value=value, worst=worst)
    metric = every_eval_ever._result(card, estimate)["metric_config"]
    assert (metric["min_score"], metric["max_score"]) == bounds


def test_a_model_id_for_runs_of_two_models_is_a_usage_error(results: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"id": "900001", "text": "ANSWER: A"}\n')
    for name in ("a", "b"):
        arguments = ("--suite", "mmlu-pro", "--sample", "--model", name, "--run", name)
        assert evals("import", "replies", path, *arguments, "--results", tmp_path / "r").status == 0
    arguments = ("--out", tmp_path / "out", "--model-id", "lab/a", "--results", tmp_path / "r")
    evals("export", "every-eval-ever", "a", "b", *arguments).assert_usage_error()


def test_every_eval_ever_keeps_interval_coverage_and_protocol(results: Path, tmp_path: Path) -> None:
    aggregate, samples = export("every-eval-ever", "m", results, tmp_path, "--model-id", "lab/model")
    exported = json.loads(aggregate.read_text())
    assert exported["model_info"]["id"] == "lab/model"
    (result,) = [r for r in exported["evaluation_results"] if r["evaluation_result_id"] == "accuracy"]
    card = card_of(results, "m")
    e = next(e for e in card.estimates if e.headline and not e.group)
    interval = result["score_details"]["uncertainty"]["confidence_interval"]
    assert (result["score_details"]["score"], interval["lower"], interval["upper"]) == (
        e.value,
        e.low,
        e.high,
    )
    details = result["score_details"]["details"]
    assert (details["protocol"], float(details["coverage"])) == (card.config.protocol, card.coverage)
    file_info = exported["detailed_evaluation_results"]
    assert file_info["checksum"] == sha256(samples.read_bytes()).hexdigest()
    assert file_info["total_rows"] == len(samples.read_text().splitlines()) == card.expected


def test_the_hub_export_has_the_score_in_percent_and_the_interval_in_the_notes(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "caveat", lambda card: "")
    (path,) = export("hub", "m", results, tmp_path)
    (entry,) = yaml.safe_load(path.read_text())
    headline = next(e for e in card_of(results, "m").estimates if e.headline and not e.group)
    assert entry["dataset"] == {"id": "TIGER-Lab/MMLU-Pro", "task_id": "mmlu_pro"}
    assert isclose(entry["value"], 100 * headline.value)
    assert "95 % interval" in entry["notes"]
    assert "protocol strict" in entry["notes"]


def test_two_runs_of_a_benchmark_are_refused_before_any_file_is_written(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "caveat", lambda card: "")
    run = store.find_one(results, "m")
    with raises(UsageError):
        hub.write([run, run], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_runs_on_sample_items_are_not_exported_to_the_hub(results: Path, tmp_path: Path) -> None:
    outcome = evals("export", "hub", "m", "--out", tmp_path, "--results", results)
    outcome.assert_usage_error()


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"counts": {"right": 10, "absent": 190}, "expected": 200}, "stopped early: 190 of 200"),
        ({"health": (Finding(kind="empty", message="all replies are empty", fault=True),)}, "looks broken"),
    ],
    ids=["stopped early", "broken"],
)
def test_scores_of_incomplete_and_broken_runs_are_marked_and_not_exported_to_the_hub(
    results: Path, tmp_path: Path, changes: dict[str, Any], note: str
) -> None:
    shutil.copytree(results, tmp_path / "r")
    run = store.find_one(tmp_path / "r", "m")
    store.write_card(run.path, structs.replace(run.card, data="local", **changes))
    evals("export", "hub", "m", "--out", tmp_path, "--results", tmp_path / "r").assert_usage_error()
    (table,) = export("markdown", "m", tmp_path / "r", tmp_path)
    assert note in table.read_text()


@pytest.mark.parametrize(
    "line",
    ["exel m", "csv nobody", "csv m --model-id a/b", "every-eval-ever m --model-id ab"],
)
def test_an_invalid_export_command_is_a_usage_error(line: str, results: Path, tmp_path: Path) -> None:
    evals("export", *line.split(), "--out", tmp_path, "--results", results).assert_usage_error()


def test_a_run_that_has_not_ended_is_not_exported(tmp_path: Path) -> None:
    writer = toy.writer(tmp_path / "r" / "toy@1" / "m" / "one")
    writer.write_samples([toy.sample("a")])
    writer.append(toy.record("a"))
    writer.close()
    evals("export", "csv", "one", "--out", tmp_path, "--results", tmp_path / "r").assert_usage_error()


def test_an_output_folder_that_cannot_be_written_is_a_usage_error(results: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for form in FORMATS:
        evals(
            "export", form, "m", "--out", tmp_path / "file" / "x", "--results", results
        ).assert_usage_error()


def test_rows_of_a_gated_run_have_no_prompt_reply_or_options(results: Path) -> None:
    from evals.interop.outgoing import rows

    row = next(rows(store.find_one(results, "m"), gated=True))
    assert (row.prompt, row.reply and row.reply.text, row.sample.choices) == ("", "", ())
    assert isinstance(row.reply, Reply)


@pytest.mark.slow
def test_exported_files_pass_the_validator_of_the_every_eval_ever_package(
    results: Path, tmp_path: Path
) -> None:
    """The validator needs Python 3.12, so it runs in an environment of its own."""
    python = next(filter(None, map(_newer_python, ("python3.13", "python3.12"))), None)
    if python is None:
        pytest.skip("NOT VALIDATED: every-eval-ever needs Python 3.12 or newer, and none is here")
    environment = Path.home() / ".cache" / "science-evals" / "every-eval-ever-0.3.0"
    command = environment / "bin" / "every_eval_ever"
    if not command.exists():
        subprocess.run([python, "-m", "venv", "--clear", environment], check=True)
        install = [environment / "bin" / "pip", "install", "-q", "every-eval-ever==0.3.0"]
        subprocess.run(install, check=True, timeout=600)
    files = [
        path.relative_to(tmp_path)
        for run in ("m", "g")
        for path in export("every-eval-ever", run, results, tmp_path, "--model-id", "lab/model")
    ]
    process = subprocess.run(
        [command, "validate", *files], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stdout + process.stderr


def _newer_python(name: str) -> str | None:
    """Return a Python of that name that starts, as shims of version managers may not; otherwise this one if it is 3.12 or newer."""
    pyenv_paths = sorted(Path.home().glob(f".pyenv/versions/{name.removeprefix('python')}*/bin/python"))
    for path in (shutil.which(name), *map(str, pyenv_paths)):
        if path and subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0:
            return path
    return sys.executable if sys.version_info >= (3, 12) else None


def test_a_symbolic_link_at_an_output_path_is_replaced_and_its_target_kept(
    results: Path, tmp_path: Path
) -> None:
    target = tmp_path / "precious"
    target.write_text("private")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "scores.md").symlink_to(target)
    assert evals("export", "markdown", "m", "--out", tmp_path / "out", "--results", results).status == 0
    assert target.read_text() == "private"
    assert not (tmp_path / "out" / "scores.md").is_symlink()
    assert "Benchmark" in (tmp_path / "out" / "scores.md").read_text()


def test_the_withheld_replies_of_an_exported_gated_run_are_failures_not_empty_replies(
    results: Path, tmp_path: Path
) -> None:
    export("lm-eval", "g", results, tmp_path / "out")
    outcome = evals("import", tmp_path / "out", "--sample", "--results", tmp_path / "again")
    assert outcome.status == 0, outcome.err
    (run,) = store.runs(tmp_path / "again")
    assert run.card.counts == {"failed:imported": run.card.expected}
    assert run.card.coverage == 0
