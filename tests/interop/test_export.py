"""Exports: what a format can hold survives, what it cannot is said, and a gated suite's texts stay where they are."""

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

from evals.interop import hub
from evals.records import store
from evals.types import Reply, Score
from tests.support import toy
from tests.support.command import evals, files_with
from tests.support.paths import ROOT

SAMPLES = ROOT / "suites" / "samples"
FORMATS = ("every-eval-ever", "lm-eval", "csv", "parquet", "markdown", "latex")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MMLU-Pro twice over and GPQA, answered by a model that thinks aloud; one run of MMLU-Pro lacks samples."""
    folder = tmp_path_factory.mktemp("export")
    said = folder / "said.json"
    said.write_text(json.dumps(["=cmd|' /C calc'!A0 ANSWER: B", "ANSWER: A", "I cannot say"]))
    for words in (["mmlu-pro", "--repeats", 2, "--run", "m"], ["gpqa", "--run", "g"]):
        done = evals("run", *words, "--sample", "-m", f"scripted:list={said}", "--results", folder / "r")
        assert done.status == 0, done.err
    (folder / "some.jsonl").write_text('{"id": "ours-01", "text": "ANSWER: A"}\n')
    return folder / "r"


def exported(form: str, run: str, results: Path, out: Path, *words: object) -> list[Path]:
    done = evals("export", form, run, "--out", out, "--results", results, "--json", *words)
    assert done.status == 0, done.err
    assert done.json["lost"], "every format loses something, and says so"
    return [Path(name) for name in done.json["files"]]


def card_of(results: Path, run: str) -> Any:
    return store.find_one(results, run).card


@pytest.mark.parametrize("form", FORMATS)
def test_no_text_of_a_gated_suite_leaves(form: str, results: Path, tmp_path: Path) -> None:
    items = [json.loads(row) for row in (SAMPLES / "gpqa" / "diamond.jsonl").read_text().splitlines()]
    texts = [str(text).encode() for item in items for text in item.values() if len(str(text)) > 16]
    assert len(texts) > len(items)
    exported(form, "g", results, tmp_path)
    assert files_with(tmp_path, [*texts, b"I cannot say", b"calc"]) == []


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_tables_hold_every_estimate_and_every_record(form: str, results: Path, tmp_path: Path) -> None:
    scores, samples = exported(form, "m", results, tmp_path)
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


def test_a_cell_that_a_spreadsheet_would_run_is_text_and_a_negative_number_stays_one(tmp_path: Path) -> None:
    writer = toy.writer(tmp_path / "r" / "toy@1" / "m" / "one")
    writer.write_samples([toy.sample("a"), toy.sample("b")])
    for name, answer in (("a", "=1+1"), ("b", "-3.5")):
        score = Score(value=0.0, verdict="wrong", answer=answer)
        found = toy.record(name)
        writer.append(
            type(found)(**{f: getattr(found, f) for f in found.__struct_fields__} | {"scores": {"x": score}})
        )
    writer.card.status = "finished"
    writer.write_card()
    writer.close()
    _, samples = exported("csv", "one", tmp_path / "r", tmp_path / "out")
    assert [row["answer"] for row in _read_csv(samples)] == ["'=1+1", "-3.5"]


def test_markdown_escapes_what_would_be_markup(results: Path, tmp_path: Path) -> None:
    words = ("--suite", "mmlu-pro", "--sample", "--model", "<b>|x|*y*</b>", "--run", "odd")
    path = tmp_path / "r.jsonl"
    name = next(store.find_one(results, "m").samples()).id
    path.write_text(json.dumps({"id": name, "text": "ANSWER: A"}))
    assert evals("import", "replies", path, *words, "--results", tmp_path / "r").status == 0
    (found,) = exported("markdown", "odd", tmp_path / "r", tmp_path / "out")
    text = found.read_text()
    assert "<b>" not in text
    assert "\\|x\\|" in text
    assert "sample items, not a benchmark score" in text


def test_lm_eval_gets_its_own_standard_error_and_repeats_together(results: Path, tmp_path: Path) -> None:
    samples, document = exported("lm-eval", "m", results, tmp_path)
    found = json.loads(document.read_text())
    card = card_of(results, "m")
    ((task, scores),) = found["results"].items()
    head = next(e for e in card.estimates if e.headline and not e.group)
    assert scores[f"{head.metric},none"] == head.value
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    assert {len(line["resps"][0]) for line in lines} == {2}
    values = [line[head.metric] for line in lines]
    mean = sum(values) / len(values)
    spread = sum((v - mean) ** 2 for v in values) / (len(values) - 1)
    assert isclose(scores[f"{head.metric}_stderr,none"], (spread / len(values)) ** 0.5)
    assert found["n-samples"][task] == {"original": card.expected // 2, "effective": card.expected}
    assert found["configs"][task]["metadata"]["protocol"] == card.config.protocol


def test_lm_eval_gets_no_standard_error_that_is_another_figures(tmp_path: Path) -> None:
    words = ("mmlu-pro", "--protocol", "intern-s1~", "--sample", "-m", "scripted:ANSWER: B")
    # the mean of the subjects has another error than the mean of the samples, unless all are wrong
    for judge, error in (("letter_b", "N/A"), ("never", 0.0)):
        named = (
            "--judge",
            f"scripted:call=tests.support.judges:{judge}",
            "--run",
            judge,
            "--results",
            tmp_path / "r",
        )
        assert evals("run", *words, *named).status == 0
        _, document = exported("lm-eval", judge, tmp_path / "r", tmp_path / "out")
        ((_, scores),) = json.loads(document.read_text())["results"].items()
        assert scores["accuracy_macro_stderr,none"] == error


def test_every_eval_ever_tells_two_protocols_apart_and_invents_nothing_of_an_import(tmp_path: Path) -> None:
    path, results = tmp_path / "r.jsonl", tmp_path / "r"
    path.write_text("".join(f'{{"id": "90000{n}", "text": "ANSWER: A"}}\n' for n in (1, 2)))
    names = set()
    for protocol in ("strict", "official"):
        words = ("--suite", "mmlu-pro", "--sample", "--model", "m", "--protocol", protocol, "--run", protocol)
        assert evals("import", "replies", path, *words, "--results", results).status == 0
        aggregate, samples = exported("every-eval-ever", protocol, results, tmp_path / "out")
        found = json.loads(aggregate.read_text())
        names.add(found["evaluation_id"].partition("/")[0])
        assert "evaluation_timestamp" not in found  # when they were asked is not known
        assert found["evaluation_results"][0]["score_details"]["details"]["origin"] == "import replies"
        # without the question, a hash of the gold answer alone would make strangers the same sample
        assert {json.loads(line)["sample_hash"] for line in samples.read_text().splitlines()} == {None}
    assert names == {"mmlu-pro-strict", "mmlu-pro-official"}


def test_one_models_name_is_not_given_to_two(results: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"id": "900001", "text": "ANSWER: A"}\n')
    for name in ("a", "b"):
        words = ("--suite", "mmlu-pro", "--sample", "--model", name, "--run", name)
        assert evals("import", "replies", path, *words, "--results", tmp_path / "r").status == 0
    words = ("--out", tmp_path / "out", "--model-id", "lab/a", "--results", tmp_path / "r")
    assert "but the runs are of a, b" in evals("export", "every-eval-ever", "a", "b", *words).error_line


def test_every_eval_ever_keeps_interval_coverage_and_protocol(results: Path, tmp_path: Path) -> None:
    aggregate, samples = exported("every-eval-ever", "m", results, tmp_path, "--model-id", "lab/model")
    found = json.loads(aggregate.read_text())
    assert found["model_info"]["id"] == "lab/model"
    (head,) = [r for r in found["evaluation_results"] if r["evaluation_result_id"] == "accuracy"]
    card = card_of(results, "m")
    e = next(e for e in card.estimates if e.headline and not e.group)
    span = head["score_details"]["uncertainty"]["confidence_interval"]
    assert (head["score_details"]["score"], span["lower"], span["upper"]) == (e.value, e.low, e.high)
    details = head["score_details"]["details"]
    assert (details["protocol"], float(details["coverage"])) == (card.config.protocol, card.coverage)
    stated = found["detailed_evaluation_results"]
    assert stated["checksum"] == sha256(samples.read_bytes()).hexdigest()
    assert stated["total_rows"] == len(samples.read_text().splitlines()) == card.expected


def test_the_hub_gets_percent_and_is_told_the_interval(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "caveat", lambda card: "")
    (path,) = exported("hub", "m", results, tmp_path)
    (entry,) = yaml.safe_load(path.read_text())
    head = next(e for e in card_of(results, "m").estimates if e.headline and not e.group)
    assert entry["dataset"] == {"id": "TIGER-Lab/MMLU-Pro", "task_id": "mmlu_pro"}
    assert isclose(entry["value"], 100 * head.value)
    assert "95 % interval" in entry["notes"]
    assert "protocol strict" in entry["notes"]


def test_sample_items_are_no_score_for_the_hub(results: Path, tmp_path: Path) -> None:
    done = evals("export", "hub", "m", "--out", tmp_path, "--results", results)
    assert "sample items, not a benchmark score" in done.error_line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("exel", "m"), "unknown format 'exel'"),
        (("csv", "nobody"), "no run 'nobody'"),
        (("csv", "m", "--model-id", "a/b"), "requires every-eval-ever"),
        (("every-eval-ever", "m", "--model-id", "ab"), "ORG/NAME"),
    ],
)
def test_a_mistake_is_one_line(words: tuple[str, ...], said: str, results: Path, tmp_path: Path) -> None:
    assert said in evals("export", *words, "--out", tmp_path, "--results", results).error_line


def test_a_run_that_has_not_ended_is_refused(tmp_path: Path) -> None:
    writer = toy.writer(tmp_path / "r" / "toy@1" / "m" / "one")
    writer.write_samples([toy.sample("a")])
    writer.append(toy.record("a"))
    writer.close()
    assert (
        "has not ended"
        in evals("export", "csv", "one", "--out", tmp_path, "--results", tmp_path / "r").error_line
    )


def test_a_place_that_cannot_be_written_is_one_line(results: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for form in FORMATS:
        assert (
            "cannot write"
            in evals("export", form, "m", "--out", tmp_path / "file" / "x", "--results", results).error_line
        )


def test_rows_of_an_imported_run_have_no_prompt_and_say_so_by_its_hash(results: Path) -> None:
    from evals.interop.outgoing import rows

    row = next(rows(store.find_one(results, "m"), gated=True))
    assert (row.prompt, row.reply and row.reply.text, row.sample.choices) == ("", "", ())
    assert isinstance(row.reply, Reply)


@pytest.mark.slow
def test_the_every_eval_ever_package_itself_passes_both_files(results: Path, tmp_path: Path) -> None:
    """Its validator wants Python 3.12, so it runs in an environment of its own."""
    python = next(filter(None, map(_newer, ("python3.13", "python3.12"))), None)
    if python is None:
        pytest.skip("NOT VALIDATED: every-eval-ever needs Python 3.12 or newer, and none is here")
    home = Path.home() / ".cache" / "science-evals" / "every-eval-ever-0.3.0"
    command = home / "bin" / "every_eval_ever"
    if not command.exists():
        subprocess.run([python, "-m", "venv", "--clear", home], check=True)
        install = [home / "bin" / "pip", "install", "-q", "every-eval-ever==0.3.0"]
        subprocess.run(install, check=True, timeout=600)
    files = [
        path.relative_to(tmp_path)
        for run in ("m", "g")
        for path in exported("every-eval-ever", run, results, tmp_path, "--model-id", "lab/model")
    ]
    done = subprocess.run(
        [command, "validate", *files], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _newer(name: str) -> str | None:
    """A Python of that name that starts (a version manager's stand-in may not)."""
    homes = sorted(Path.home().glob(f".pyenv/versions/{name.removeprefix('python')}*/bin/python"))
    for found in (shutil.which(name), *map(str, homes)):
        if found and subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0:
            return found
    return sys.executable if sys.version_info >= (3, 12) else None


def test_a_link_where_an_export_is_written_is_replaced(results: Path, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("not yours")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "scores.md").symlink_to(target)
    assert evals("export", "markdown", "m", "--out", tmp_path / "out", "--results", results).status == 0
    assert target.read_text() == "not yours"
    assert not (tmp_path / "out" / "scores.md").is_symlink()
    assert "Benchmark" in (tmp_path / "out" / "scores.md").read_text()
