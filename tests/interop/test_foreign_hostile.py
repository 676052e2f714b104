"""Importing truncated, corrupted or hostile files of any format is a one-line error with exit status 2, or a complete run.

Files of lm-eval, Inspect, evalscope, lighteval, HELM and most of OpenCompass' were written by the tools themselves; the
others are written here as documented. Changes are chosen by a random generator with a fixed seed, so that a case can be
repeated.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from evals.interop import evalscope
from tests.support.command import evals
from tests.support.cpu_time import assert_cpu_time
from tests.support.lazy import lazy
from tests.support.paths import ROOT, TESTS

openpyxl = lazy("openpyxl")

FOREIGN = TESTS / "foreign"
SAMPLES = ROOT / "suites" / "samples"
ITEMS = [json.loads(row) for row in (SAMPLES / "mmlu_pro" / "test.jsonl").read_text().splitlines()]
NESTED = "\0nested"
"""Placeholder for lists nested so deeply that a recursive parser fails."""
REPLACEMENTS = (
    None, True, -1, 0.5, 10**40, -(10**400), 1e308, "", "x", "=1+1", "\x00\x1b[2J\u202e", "\ud800", "A" * 100_000, [], {},
    [[]], {"": None}, [None], "attachment://none", "NaN", NESTED,
)  # fmt: skip
"""Values that are put in the place of a value of a JSON document."""


class Specimen(NamedTuple):
    """A file to be corrupted."""

    form: str
    file: str
    """Its path below the imported folder, or its name."""
    write: Callable[[Path], Path]
    """Writes the file and those imported with it to a folder; returns the path to import."""

    @property
    def name(self) -> str:
        return f"{self.form}:{self.file.rpartition('/')[2].partition('_2026')[0]}"


def copier(path: str) -> Callable[[Path], Path]:
    """Return a function that copies a file or folder of `tests/foreign` to a folder and returns the path of the copy."""

    def copy(folder: Path) -> Path:
        if (FOREIGN / path).is_file():
            return Path(shutil.copy(FOREIGN / path, folder))
        return Path(shutil.copytree(FOREIGN / path, folder / "in"))

    return copy


def recorded_specimens(form: str, path: str, *patterns: str) -> Iterator[Specimen]:
    """Yield the files of an imported folder that match the patterns, or the single imported file."""
    for pattern in patterns or ("",):
        (file,) = (FOREIGN / path).glob(pattern) if pattern else [FOREIGN / path]
        yield Specimen(form, str(file.relative_to(FOREIGN / path)) if pattern else file.name, copier(path))


def write_opencompass(folder: Path) -> Path:
    for subfolder, content in {
        "predictions": {
            str(n): {
                "origin_prompt": [{"role": "HUMAN", "prompt": f"Q: {row['question']}"}],
                "prediction": "ANSWER: A",
            }
            for n, row in enumerate(ITEMS)
        },
        "results": {"accuracy": 10.0, "details": [{"pred": "A", "correct": False} for _ in ITEMS]},
    }.items():
        (folder / "in" / subfolder / "m").mkdir(parents=True)
        (folder / "in" / subfolder / "m" / "mmlu_pro.json").write_text(json.dumps(content))
    return folder / "in"


def mmstar_rows() -> list[dict[str, Any]]:
    return [
        {"index": row["question_id"], "question": row["question"], "prediction": "ANSWER: A", "hit": 0}
        for row in ITEMS
    ]


def table_writer(ending: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / f"m_MMStar.{ending}"
        lines = [list(mmstar_rows()[0]), *(list(row.values()) for row in mmstar_rows())]
        if ending == "xlsx":
            book = openpyxl.Workbook()
            for line in lines:
                book.active.append(line)
            book.save(path)
            remove_timestamps(path)
        elif ending == "tsv":
            path.write_text("".join("\t".join(map(str, line)) + "\n" for line in lines))
        else:
            path.write_text(json.dumps(mmstar_rows()))
        return path

    return write


def remove_timestamps(path: Path) -> None:
    """Rewrite a workbook with a fixed creation time, so that its bytes do not depend on the time of the test."""
    with zipfile.ZipFile(path) as book:
        members = {name: book.read(name) for name in book.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        for name, content in members.items():
            content_with_fixed_time = re.sub(
                rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", b"2026-01-01T00:00:00Z", content
            )
            book.writestr(zipfile.ZipInfo(name), content_with_fixed_time, zipfile.ZIP_DEFLATED)


def json_writer(
    name: str, *, lines: bool, make_record: Callable[[dict[str, Any]], Any]
) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        records = [make_record(row) for row in ITEMS]
        text = "".join(json.dumps(item) + "\n" for item in records) if lines else json.dumps(records)
        if not lines and name.startswith("output_"):
            text = json.dumps({item["pid"]: item for item in records})
        (folder / name).write_text(text)
        return folder / name

    return write


def mathvista_record(row: dict[str, Any]) -> Any:
    return {"pid": str(row["question_id"]), "response": "ANSWER: A", "extraction": "A", "true_false": False}


def mathvision_record(row: dict[str, Any]) -> Any:
    return {"id": row["question_id"], "response": "ANSWER: A", "model_answer": "A", "correct": False}


def mmlu_pro_record(row: dict[str, Any]) -> Any:
    return row | {"pred": "A", "model_outputs": "ANSWER: A"}


def mmmu_record(row: dict[str, Any]) -> Any:
    return {"id": str(row["question_id"]), "response": "ANSWER: A", "pred_indexs": ["A"], "if_right": [False]}


def chembench_record(row: dict[str, Any]) -> Any:
    report = {"name": str(row["question_id"]), "output": {"text": "ANSWER: A"}, "metrics": {"all_correct": 0}}
    return {"path": "x", "report": [report]}


def chembench_question_record(row: dict[str, Any]) -> Any:
    return {"name": str(row["question_id"]), "output": {"text": "ANSWER: A"}, "metrics": {"hamming": 0.0}}


def older_lm_eval_record(row: dict[str, Any]) -> Any:
    return {
        "doc": row,
        "arguments": [[row["question"], {}]],
        "resps": [["ANSWER: A"]],
        "metrics": ["em"],
        "em": 1.0,
    }


def write_perplexities(folder: Path) -> Path:
    predictions = {
        str(n): {
            "label: A": {"testing input": row["question"], "PPL": 1.0},
            "prediction": {"A": 0.5, "B": 0.7},
        }
        for n, row in enumerate(ITEMS)
    }
    (folder / "mmlu_pro.json").write_text(json.dumps(predictions))
    return folder / "mmlu_pro.json"


def write_chembench_report(folder: Path) -> Path:
    results = [
        {
            "uuid": str(row["question_id"]),
            "results": [{"metrics": {"all_correct": False}, "completion": "ANSWER: A"}],
        }
        for row in ITEMS
    ]
    (folder / "law_report.json").write_text(json.dumps({"topic": "law", "results": results}))
    return folder / "law_report.json"


def reply_record(row: dict[str, Any]) -> Any:
    return {
        "id": row["question_id"],
        "repeat": 0,
        "text": "ANSWER: A",
        "reasoning": "x",
        "stop": "stop",
        "usage": {},
    }


SPECIMENS = (
    *recorded_specimens("lm-eval", "lm-eval/standin-1", "samples_mmlu_pro*", "results_*"),
    *recorded_specimens("inspect", "inspect/aime2025.json"),
    *recorded_specimens("inspect", "inspect/mmlu-pro-shuffled.eval"),
    *recorded_specimens("evalscope", "evalscope", "predictions/*/mmlu_pro_physics.jsonl", "reviews/*/mmlu_pro_physics.jsonl",
          "reports/*/mmlu_pro.json", "configs/task_config.yaml"),
    *recorded_specimens("lighteval", "lighteval", "details/**/*mmlu_pro*.parquet", "results/**/results_*.json"),
    *(
        specimen
        for run in (FOREIGN / "helm" / "runs" / "ours").glob("mmlu_pro*")
        for specimen in recorded_specimens("helm", str(run.relative_to(FOREIGN)), "scenario_state.json", "run_spec.json", "stats.json",
                             "per_instance_stats.json")
    ),
    *recorded_specimens("opencompass", "opencompass/20260101_000000", "predictions/*/*.json", "results/*/*.json"),
    Specimen("opencompass", "predictions/m/mmlu_pro.json", write_opencompass),
    Specimen("opencompass", "results/m/mmlu_pro.json", write_opencompass),
    Specimen("vlmevalkit", "m_MMStar.xlsx", table_writer("xlsx")),
    Specimen("vlmevalkit", "m_MMStar.tsv", table_writer("tsv")),
    Specimen("vlmevalkit", "m_MMStar.json", table_writer("json")),
    Specimen("chembench", "m.jsonl", json_writer("m.jsonl", lines=True, make_record=chembench_record)),
    Specimen("chembench", "law_report.json", write_chembench_report),
    Specimen("chembench", "x.json", json_writer("x.json", lines=False, make_record=chembench_question_record)),
    Specimen("lm-eval", "m_mmlu_pro.jsonl", json_writer("m_mmlu_pro.jsonl", lines=False, make_record=older_lm_eval_record)),
    Specimen("opencompass", "mmlu_pro.json", write_perplexities),
    Specimen("mathvista", "output_m.json", json_writer("output_m.json", lines=False, make_record=mathvista_record)),
    Specimen("mathvision", "m.jsonl", json_writer("m.jsonl", lines=True, make_record=mathvision_record)),
    Specimen("mmlu-pro", "model_outputs_m.json", json_writer("model_outputs_m.json", lines=False, make_record=mmlu_pro_record)),
    Specimen("mmmu", "m_standard.jsonl", json_writer("m_standard.jsonl", lines=True, make_record=mmmu_record)),
    Specimen("replies", "m.jsonl", json_writer("m.jsonl", lines=True, make_record=reply_record)),
)  # fmt: skip


def import_changed(specimen: Specimen, change: Callable[[bytes], bytes], folder: Path) -> int:
    """Import a specimen after changing the file, check what is written, and return the exit status."""
    work = folder / "work"
    work.mkdir()
    root = specimen.write(work)
    path = root if root.is_file() else root / specimen.file
    path.write_bytes(change(path.read_bytes()))
    suite = "aime:2025" if "aime" in specimen.file else "mmlu-pro"
    arguments = ("--suite", suite, "--sample", "--model", "m", "--results", folder / "r")
    sizes = {file: file.stat().st_size for file in work.rglob("*")}
    outcome = evals("import", specimen.form, root, *arguments)
    assert {file: file.stat().st_size for file in work.rglob("*")} == sizes
    if outcome.status:
        assert len(outcome.error_line) < 1500
        assert list(folder.glob("r/**/*.*")) == []
    else:
        (card,) = folder.glob("r/**/card.json")
        assert json.loads(card.read_text())["status"] in ("finished", "partial")
    shutil.rmtree(work)
    shutil.rmtree(folder / "r", ignore_errors=True)
    return outcome.status


def truncate(seed: int) -> Callable[[bytes], bytes]:
    return lambda raw: raw[: random.Random(seed).randrange(len(raw))]


def replace_bytes(seed: int) -> Callable[[bytes], bytes]:
    """Return a function that replaces some bytes, mostly by bytes that are invalid in UTF-8."""

    def change(raw: bytes) -> bytes:
        rng, content = random.Random(seed), bytearray(raw)
        for _ in range(rng.choice((1, 3, 30))):
            content[rng.randrange(len(content))] = rng.choice((0, 0xFF, 0x80, 0x22, 0x7B, rng.randrange(256)))
        return bytes(content)

    return change


def replace_value(seed: int) -> Callable[[bytes], bytes]:
    """Return a function that replaces one value of a JSON document, or of one of its lines, by another value."""

    def change(raw: bytes) -> bytes:
        rng = random.Random(seed)
        try:
            return _encode(_replace(json.loads(raw), rng))
        except ValueError:
            lines = raw.splitlines(keepends=True)
            number = rng.randrange(len(lines))
            lines[number] = _encode(_replace(json.loads(lines[number]), rng)) + b"\n"
            return b"".join(lines)

    return change


def _replace(value: Any, rng: random.Random) -> Any:
    """Replace or delete a random value at any depth, usually a leaf; return the changed value."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.1:
        return rng.choice(REPLACEMENTS)
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key = rng.choice(keys)
    if isinstance(value, dict) and rng.random() < 0.1:
        del value[key]
    else:
        value[key] = _replace(value[key], rng)
    return value


def _encode(value: Any) -> bytes:
    nested_lists = "[" * 100_000 + "]" * 100_000
    return json.dumps(value).replace(json.dumps(NESTED), nested_lists).encode()


def is_json(specimen: Specimen) -> bool:
    return specimen.file.endswith((".json", ".jsonl"))


CHANGES: dict[str, Callable[[int], Callable[[bytes], bytes]]] = {
    "truncate": truncate,
    "replace_bytes": replace_bytes,
    "replace_value": replace_value,
}


CASES = [
    pytest.param(specimen, change, id=f"{specimen.name}-{change}")
    for specimen in SPECIMENS
    for change in CHANGES
    if change != "replace_value" or is_json(specimen)
]


def import_with_seeds(specimen: Specimen, change: str, seeds: range, folder: Path) -> None:
    """Import a specimen once for each seed; an error names the seed."""
    for seed in seeds:
        try:
            import_changed(specimen, CHANGES[change](seed), folder)
        except BaseException as error:
            error.add_note(f"{specimen.name}, {change}({seed})")
            raise


@pytest.mark.slow
@pytest.mark.parametrize(("specimen", "change"), CASES)
def test_a_corrupted_file_is_a_usage_error_or_a_complete_run(
    specimen: Specimen, change: str, tmp_path: Path
) -> None:
    import_with_seeds(specimen, change, range(1 if specimen.form == "inspect" else 2), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("specimen", "change"), CASES)
def test_a_file_corrupted_with_many_seeds_is_a_usage_error_or_a_complete_run(
    specimen: Specimen, change: str, tmp_path: Path
) -> None:
    import_with_seeds(specimen, change, range(100, 104 if specimen.form == "inspect" else 116), tmp_path)


@pytest.mark.parametrize("specimen", SPECIMENS, ids=lambda specimen: specimen.name)
def test_the_unchanged_specimens_are_imported(specimen: Specimen, tmp_path: Path) -> None:
    assert import_changed(specimen, lambda raw: raw, tmp_path) == 0


# --- archives ------------------------------------------------------------------------------------------------------


def write_archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


@pytest.mark.parametrize("name", ["m_MMStar.xlsx", "x.eval", "model_outputs_m.zip", "run.bundle.zip"])
def test_an_archive_of_an_unknown_zip_version_is_a_usage_error(name: str, tmp_path: Path) -> None:
    raw = bytearray(
        write_archive(tmp_path / name, {"bundle.json" if "bundle" in name else "a.json": b"{}"}).read_bytes()
    )
    raw[raw.index(b"PK\x01\x02") + 6] = 0xFF
    (tmp_path / name).write_bytes(raw)
    if "bundle" in name:
        assert "zip file version 25.5" in evals("bundle", "verify", tmp_path / name).out
    else:
        outcome = evals("import", tmp_path / name, "--sample", "--results", tmp_path / "r")
        outcome.assert_usage_error()


def test_a_log_that_is_a_zip_bomb_is_rejected(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "x.eval", {"header.json": b" " * (80 << 20)})
    evals("import", path, "--results", tmp_path / "r").assert_usage_error()


def test_a_log_whose_archive_states_a_false_size_is_rejected(tmp_path: Path) -> None:
    content = zlib.compress(b" " * (80 << 20), 9)[2:-4]
    path = write_archive(tmp_path / "x.eval", {"header.json": b"{}"})
    raw = path.read_bytes()
    name = b"header.json"
    local_header = struct.pack(
        "<IHHHHHIIIHH", 0x04034B50, 20, 0, 8, 0, 0, zlib.crc32(b"{}"), len(content), 2, len(name), 0
    )
    central_directory = bytearray(raw[raw.index(b"PK\x01\x02") : raw.index(b"PK\x05\x06")])
    central_directory[20:24], central_directory[24:28] = struct.pack("<I", len(content)), struct.pack("<I", 2)
    directory_start = len(local_header) + len(name) + len(content)
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 1, 1, len(central_directory), directory_start, 0)
    path.write_bytes(local_header + name + content + bytes(central_directory) + end)
    evals("import", path, "--results", tmp_path / "r").assert_usage_error()


def test_archive_members_with_paths_outside_the_archive_are_not_written(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    members = {
        f"{start}evil{end}.json": b"{}"
        for start, end in (("../../", ""), ("/", ""), ("samples/../../", "_epoch_1"))
    }
    path = write_archive(tmp_path / "in" / "x.eval", members)
    evals("import", path, "--results", tmp_path / "r").assert_usage_error()
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == ["x.eval"]


@pytest.mark.slow
def test_a_parquet_file_whose_metadata_states_a_huge_size_is_rejected(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "doc": [{"query": "q"}],
        "model_response": [{"text": ["A" * (1 << 20)]}],
        "metric": [{"em": 1.0}],
    }
    table = pa.concat_tables([pa.table(columns)] * 4500)
    pq.write_table(table, tmp_path / "details_mmlu_pro|0_2026-01-01T00-00-00.0.parquet", row_group_size=64)
    outcome = evals("import", tmp_path, "--sample", "--model", "m", "--results", tmp_path / "r")
    outcome.assert_usage_error()


def test_the_error_for_a_table_with_other_columns_names_the_expected_ones(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [1]}), tmp_path / "details_mmlu_pro|0_2026-01-01T00-00-00.0.parquet")
    outcome = evals("import", tmp_path, "--sample", "--model", "m", "--results", tmp_path / "r")
    outcome.assert_usage_error()


@pytest.mark.parametrize("form", ["evalscope", "lm-eval"])
def test_an_invalid_repeat_number_is_a_usage_error(form: str, tmp_path: Path) -> None:
    if form == "evalscope":
        shutil.copytree(FOREIGN / "evalscope", tmp_path / "in")
        path = tmp_path / "in" / "reviews" / "standin-1" / "mmlu_pro_law.jsonl"
        path.write_text(
            path.read_text().replace('"generation_index": 1', '"generation_index": 1000000000000')
        )
    else:
        shutil.copytree(FOREIGN / "lm-eval" / "standin-1", tmp_path / "in")
        (path,) = (tmp_path / "in").glob("samples_mmlu*")
        first = json.loads(path.read_text().splitlines()[0]) | {
            "science_evals": [{"repeat": "x"}, {"repeat": 1}]
        }
        path.write_bytes(msgspec.json.encode(first))
    outcome = evals("import", tmp_path / "in", "--sample", "--results", tmp_path / "r")
    outcome.assert_usage_error()
    assert list(tmp_path.glob("r/**/card.json")) == []


@pytest.mark.parametrize(
    "record",
    [
        {"order": [99, 5]},
        {"order": ["a"]},
        {"order": [0, 0, 1]},
        {"stop": 5},
        {"stop": "eos"},
        {"seconds": -4},
    ],
    ids=json.dumps,
)
def test_impossible_values_in_our_own_lm_eval_export_are_usage_errors(
    record: dict[str, object], tmp_path: Path
) -> None:
    shutil.copytree(FOREIGN / "lm-eval" / "standin-1", tmp_path / "in")
    (path,) = (tmp_path / "in").glob("samples_mmlu*")
    first = json.loads(path.read_text().splitlines()[0]) | {"science_evals": [record]}
    path.write_bytes(msgspec.json.encode(first))
    outcome = evals("import", tmp_path / "in", "--sample", "--results", tmp_path / "r")
    outcome.assert_usage_error()
    assert list(tmp_path.glob("r/**/card.json")) == []


@pytest.mark.parametrize("opening", ["[", '{"status": 1, "a\\"[": ', '[1, {"b": '])
def test_a_deeply_nested_inspect_log_is_rejected_within_seconds(tmp_path: Path, opening: str) -> None:
    """Inspect's parser takes time quadratic in the nesting depth."""
    pytest.importorskip("inspect_ai")
    (tmp_path / "log.json").write_text('{"version": 2, "status": "success", "eval": ' + opening * 100_000)
    start = time.process_time()
    outcome = evals("import", "inspect", tmp_path / "log.json", "--results", tmp_path / "r")
    outcome.assert_usage_error()
    assert time.process_time() - start < 10  # importing Inspect takes most of this time


def test_a_configuration_whose_aliases_nest_lists_exponentially_is_read_within_a_second(
    tmp_path: Path,
) -> None:
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    settings = "generation_config: {temperature: 0.5, stop_seqs: [*a29, END]}"
    (tmp_path / "task_config.yaml").write_text("\n".join(["a0: &a0 [x]", *levels, settings]))
    sampling = assert_cpu_time(1, lambda: evalscope._sampling(tmp_path))
    assert (sampling.temperature, sampling.stop) == (0.5, ("END",))
