"""The local mirror of the shared real data has all rows, unchanged and with correct ids."""

from __future__ import annotations

import subprocess
import sys
from ast import literal_eval
from pathlib import Path

import pytest

from tests.support.tables import table
from tools import mirror as script

ROWS = {
    "mmlu-pro/test": 12_032,
    "aime/2024": 30,
    "aime/2025": 30,
    "mmmu/validation": 900,
    "mmmu/pro/standard": 1_730,
    "mmmu/pro/vision": 1_730,
    "mmmu/pro/examples": 21,
    "mathvision/test": 3_040,
    "mathvision/testmini": 304,
    "mathvista/testmini": 1_000,
    "chembench/lamalab/tasks": 2_788,
    "matbench/matbench_steels": 312,
    "matbench/matbench_expt_gap": 4_604,
    "matbench/matbench_expt_is_metal": 4_921,
    "matbench/matbench_glass": 5_680,
}
ID_COLUMN = {"mmlu-pro": "question_id", "mathvista": "pid", "chembench": "path", "matbench": "mbid"}
"""Suite -> column that identifies a row, if it is not `id`."""


def read_rows(mirror: Path, file: str) -> list[script.Row]:
    path = next(path for end in (".jsonl", ".jsonl.gz") if (path := mirror / f"{file}{end}").is_file())
    return list(script.lines(path))


def test_building_reports_row_counts_and_building_again_changes_nothing(shared: Path, tmp_path: Path) -> None:
    def content() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    assert script.build(tmp_path, shared) == ROWS
    before = content()
    assert script.build(tmp_path, shared) == ROWS
    assert content() == before


@table("file", ROWS)
def test_every_file_has_all_rows_with_unique_ids(mirror: Path, file: str) -> None:
    rows = read_rows(mirror, file)
    names = [row[ID_COLUMN.get(file.split("/")[0], "id")] for row in rows]
    assert len(names) == ROWS[file]
    assert len(set(names)) == len(names)


def test_chembench_has_two_duplicate_uuids_like_upstream(mirror: Path) -> None:
    rows = read_rows(mirror, "chembench/lamalab/tasks")
    assert len(rows) - len({row["task"]["uuid"] for row in rows}) == 2


@table(
    ("name", "answer"),
    [
        ("2024-I-1", "204"), ("2024-I-2", "25"), ("2024-I-10", "113"), ("2024-I-15", "721"),
        ("2024-II-1", "73"), ("2024-II-2", "236"), ("2024-II-10", "468"), ("2024-II-15", "315"),
        ("2025-I-1", "70"), ("2025-I-2", "588"), ("2025-I-10", "81"), ("2025-I-15", "735"),
        ("2025-II-1", "468"), ("2025-II-2", "49"), ("2025-II-15", "240"),
    ],
)  # fmt: skip
def test_aime_ids_belong_to_the_right_problems(mirror: Path, name: str, answer: str) -> None:
    (row,) = (row for row in read_rows(mirror, f"aime/{name[:4]}") if row["id"] == name)
    assert row["answer"] == answer


@pytest.mark.parametrize("year", [2024, 2025])
def test_aime_rows_are_in_the_order_of_the_contest_without_the_instruction(mirror: Path, year: int) -> None:
    rows = read_rows(mirror, f"aime/{year}")
    assert [row["id"] for row in rows] == [f"{year}-{p}-{n}" for p in ("I", "II") for n in range(1, 16)]
    for row in rows:
        assert list(row) == ["id", "problem", "answer"]
        assert "boxed" not in row["problem"]
        assert "reason step by step" not in row["problem"]
        assert row["problem"] == row["problem"].strip()
        assert 0 <= int(row["answer"]) <= 999


def test_mmlu_pro_has_no_worked_examples(mirror: Path) -> None:
    assert [path.name for path in (mirror / "mmlu-pro").iterdir()] == ["test.jsonl.gz"]


def test_the_letter_and_the_index_of_one_mmlu_pro_answer_disagree_like_upstream(mirror: Path) -> None:
    # the recorded runs were scored by the letter, so the index is ignored
    rows = [
        row for row in read_rows(mirror, "mmlu-pro/test") if ord(row["answer"]) - 65 != row["answer_index"]
    ]
    assert [(row["question_id"], row["answer"], row["answer_index"]) for row in rows] == [(3983, "C", 1)]


def test_mmmu_options_are_those_of_the_recorded_run(mirror: Path) -> None:
    rows = read_rows(mirror, "mmmu/validation")
    kinds = [row["question_type"] for row in rows]
    assert (kinds.count("multiple-choice"), kinds.count("open")) == (847, 53)
    assert len({row["subject"] for row in rows}) == 30
    for row in rows:
        options = literal_eval(row["options"])  # the hub stores this column as a Python literal
        assert bool(options) == (row["question_type"] == "multiple-choice")
        if options:
            assert "ABCDEFGHI".index(row["answer"]) < len(options)


def test_every_image_named_in_a_row_exists(mirror: Path) -> None:
    images = [("mathvision", row["image"]) for row in read_rows(mirror, "mathvision/testmini")]
    for file in ("mmmu/pro/examples", "mmmu/pro/standard"):
        images += [
            ("mmmu", v)
            for row in read_rows(mirror, file)
            for k, v in row.items()
            if k.startswith("image_") and v
        ]
    assert len(images) > 304 + 2 * 11
    assert [name for folder, name in images if not (mirror / folder / name).is_file()] == []


def test_mmmu_pro_rows_contain_no_recorded_reply(mirror: Path) -> None:
    for file in ("mmmu/pro/standard", "mmmu/pro/vision"):
        assert not {"response", "pred_indexs", "if_right"} & set(read_rows(mirror, file)[0])


def test_matbench_folds_are_the_official_ones(mirror: Path) -> None:
    official = script.document(mirror / "matbench" / script.MATBENCH_FILES[0])["splits"]
    for task in script.MATBENCH_TASKS:
        rows = read_rows(mirror, f"matbench/{task}")
        for fold, parts in official[task].items():
            assert [row["mbid"] for row in rows if f"fold_{row['fold']}" == fold] == parts["test"]


def test_compressed_sources_remain_compressed(mirror: Path) -> None:
    for file in ("chembench/lamalab/tasks", "mathvista/testmini", "mmlu-pro/test"):
        assert (mirror / f"{file}.jsonl.gz").is_file()
        assert not (mirror / f"{file}.jsonl").exists()


def test_a_suite_without_source_data_is_skipped_with_a_message(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "shared" / "data").mkdir(parents=True)
    (tmp_path / "shared" / "data" / "aime").symlink_to(shared / "data" / "aime")
    assert script.build(tmp_path / "mirror", tmp_path / "shared") == {"aime/2024": 30, "aime/2025": 30}
    assert "mmlu-pro is skipped" in capsys.readouterr().err


def test_without_shared_data_the_exit_status_is_2_with_a_message_of_one_line(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, script.__file__, str(tmp_path / "mirror")],
        env={"EVALS_SHARED": str(tmp_path / "nowhere")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 2
    assert process.stderr.count("\n") == 1
    assert "EVALS_SHARED" in process.stderr
    assert not (tmp_path / "mirror").exists()
