"""Build a local mirror of the shared real data: `python -m tools.mirror DEST`, then `--data DEST`.

DEST gets a folder per suite, with files that have the hub's columns. The shared folder is that of the environment variable
EVALS_SHARED, or else `../shared` beside the repository. Compressed files stay compressed, as some data sets contain canary
strings or ask not to be published as plain text; folders of images are linked.

Each suite has a function `(source, dest) -> {file: rows}` in the table `SUITES`; `source` is the shared data folder, `dest`
the suite's folder in the mirror. Only names and counts are printed, never an item.
"""

from __future__ import annotations

import bz2
import gzip
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]
Counts: TypeAlias = dict[str, int]

SUITES: dict[str, Callable[[Path, Path], Counts]] = {}
"""Folder in the mirror -> the function that fills it."""


def suite(folder: str) -> Callable[[Callable[[Path, Path], Counts]], Callable[[Path, Path], Counts]]:
    """Register a function that builds one suite."""

    def register(fill: Callable[[Path, Path], Counts]) -> Callable[[Path, Path], Counts]:
        SUITES[folder] = fill
        return fill

    return register


def shared_folder() -> Path:
    """Return the folder of the shared data; raises FileNotFoundError if there is none."""
    given_folder = os.environ.get("EVALS_SHARED")
    folder = Path(given_folder) if given_folder else Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "data").is_dir():
        raise FileNotFoundError(
            f"no shared data: {folder / 'data'} is not a folder; set EVALS_SHARED to the shared folder"
        )
    return folder


def build(dest: Path, shared: Path) -> Counts:
    """Write every suite in the shared data to `dest`; return the number of rows by file without suffix.

    A suite without source data is skipped.
    """
    counts: Counts = {}
    for folder, fill in SUITES.items():
        try:
            counts |= {
                f"{folder}/{file}": rows for file, rows in fill(shared / "data", dest / folder).items()
            }
        except FileNotFoundError as error:
            print(f"mirror: {folder} is skipped: {error}", file=sys.stderr)
    return counts


# --- suites -------------------------------------------------------------------------------------------------


@suite("mmlu-pro")
def mmlu_pro(source: Path, dest: Path) -> Counts:
    """Link all 12,032 items. The worked examples (the hub's split `validation`) are not in the shared data."""
    return {"test": link_lines(source / "mmlu_pro" / "test_items.jsonl.gz", dest / "test.jsonl.gz")}


AIME_SUFFIX = "\nPlease reason step by step, and put your final answer within \\boxed{}."
CONTEST_ORDER = [f"{paper}-{number}" for paper in ("I", "II") for number in range(1, 16)]
AIME_ORDER = {2024: sorted(CONTEST_ORDER), 2025: CONTEST_ORDER}
"""Year -> ids in the order of that year's file; that of 2024 is sorted alphabetically (I-1, I-10, ..., I-2)."""


@suite("aime")
def aime(source: Path, dest: Path) -> Counts:
    """Write thirty problems per year, with ids and without the instruction that was appended to them."""
    counts = {}
    for year, order in AIME_ORDER.items():
        source_rows = lines(source / "aime" / f"aime{year % 100}.jsonl")
        rows = [
            {"id": f"{year}-{name}", "problem": _without_suffix(row["prompt"]), "answer": str(row["answer"])}
            for name, row in zip(order, source_rows, strict=True)
        ]
        if year == 2024:
            rows.sort(key=lambda row: CONTEST_ORDER.index(row["id"].removeprefix("2024-")))
        counts[str(year)] = write_lines(dest / f"{year}.jsonl", rows)
    return counts


def _without_suffix(prompt: str) -> str:
    if not prompt.endswith(AIME_SUFFIX):
        raise ValueError("an AIME prompt does not end in the expected instruction")
    return prompt.removesuffix(AIME_SUFFIX)


@suite("mmmu")
def mmmu(source: Path, dest: Path) -> Counts:
    """Write MMMU's 900 validation answers with the choices of a recorded run, without questions; and MMMU-Pro to `pro/`."""
    folder = source / "mmmu"
    golds = document(folder / "answer_dict_val.json")
    choices: dict[str, list[str]] = {}
    for output in sorted(folder.glob("example_outputs/llava1.5_13b/*/output.json")):
        choices |= {row["id"]: list(row.get("index2ans", {}).values()) for row in document(output)}
    rows = [
        {
            "id": name,
            # the hub stores lists as Python literals
            "options": repr(choices[name]),
            "answer": gold["ground_truth"]
            if isinstance(gold["ground_truth"], str)
            else repr(gold["ground_truth"]),
            "question_type": "multiple-choice" if gold["question_type"] == "multiple-choice" else "open",
            "subject": name.removeprefix("validation_").rpartition("_")[0],
        }
        for name, gold in golds.items()
    ]
    return {
        "validation": write_lines(dest / "validation.jsonl", rows),
        **_mmmu_pro(source / "mmmu_pro", dest),
    }


def _mmmu_pro(source: Path, dest: Path) -> Counts:
    """Write both settings from the rows of a recorded run; images are available for only a few items."""
    examples = [
        {"id": Path(row["image_1"]).stem.removesuffix("_1"), **row}
        for row in lines(source / "tool_data.jsonl")
    ]
    images = {row["id"]: {k: v for k, v in row.items() if k.startswith("image_")} for row in examples}
    run_columns = ("response", "pred_indexs", "if_right")
    standard = [
        {k: v for k, v in row.items() if k not in run_columns} | images.get(row["id"], {})
        for row in lines(source / "gpt-4o_standard_10_options__direct.jsonl.gz")
    ]
    vision = [
        {k: row[k] for k in ("id", "options", "answer", "subject")}
        for row in lines(source / "gpt-4o_vision_direct.jsonl.gz")
    ]
    for folder in (dest, dest / "pro"):  # for the suite's folder, and for `--data .../pro/examples.jsonl`
        link(source / "images", folder / "images")
    return {
        "pro/standard": write_lines(dest / "pro" / "standard.jsonl.gz", standard),
        "pro/vision": write_lines(dest / "pro" / "vision.jsonl.gz", vision),
        "pro/examples": write_lines(dest / "pro" / "examples.jsonl", examples),
    }


@suite("mathvision")
def mathvision(source: Path, dest: Path) -> Counts:
    """Link both splits, and the images of testmini."""
    folder = source / "mathvision"
    link(folder / "images", dest / "images")
    return {
        name: link_lines(folder / f"{name}.jsonl", dest / f"{name}.jsonl") for name in ("test", "testmini")
    }


@suite("mathvista")
def mathvista(source: Path, dest: Path) -> Counts:
    """Write the texts of testmini, without the images and the hub's column `query`."""
    items = document(source / "mathvista" / "testmini.json.gz")
    return {"testmini": write_lines(dest / "testmini.jsonl.gz", items.values())}


@suite("chembench")
def chembench(source: Path, dest: Path) -> Counts:
    """Link the corpus of lamalab, in which each row has a task and its path in the repository."""
    tasks = link_lines(source / "chembench" / "tasks.jsonl.gz", dest / "lamalab" / "tasks.jsonl.gz")
    return {"lamalab/tasks": tasks}


MATBENCH_TASKS = ("matbench_steels", "matbench_expt_gap", "matbench_expt_is_metal", "matbench_glass")
MATBENCH_FILES = ("matbench_v0.1_validation_small_tasks.json.gz", "matbench_v0.1_dataset_metadata.json")


@suite("matbench")
def matbench(source: Path, dest: Path) -> Counts:
    """Write four tables with a row per material: mbid, composition, the target under its own name, and `fold`.

    `fold` is the official fold whose test set contains the material; the official files of splits and metadata are linked
    beside the tables.
    """
    folder = source / "matbench"
    for name in MATBENCH_FILES:
        link(folder / name, dest / name)
    splits = document(folder / MATBENCH_FILES[0])["splits"]
    counts = {}
    for task in MATBENCH_TASKS:
        folds = {
            mbid: int(fold.removeprefix("fold_"))
            for fold, split in splits[task].items()
            for mbid in split["test"]
        }
        table = document(folder / "tables" / f"{task}.json.bz2")
        columns = [list(column.values()) for column in table.values()]
        rows = [dict(zip(table, cells, strict=True)) for cells in zip(*columns, strict=True)]
        counts[task] = write_lines(
            dest / f"{task}.jsonl", ({**row, "fold": folds[row["mbid"]]} for row in rows)
        )
    return counts


# --- files --------------------------------------------------------------------------------------------------


def text(path: Path) -> str:
    """Return the text of a file, decompressed if its name ends in .gz or .bz2."""
    decompress = {".gz": gzip.decompress, ".bz2": bz2.decompress}.get(path.suffix, bytes)
    return decompress(path.read_bytes()).decode()


def lines(path: Path) -> Iterator[Row]:
    """Return the rows of a JSON Lines file."""
    return (json.loads(line) for line in text(path).split("\n") if line)


def document(path: Path) -> Any:
    """Return the content of a JSON file."""
    return json.loads(text(path))


def write_lines(path: Path, rows: Iterable[Row]) -> int:
    """Write a JSON Lines file, compressed reproducibly if the name ends in .gz; return the number of rows."""
    encoded = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    content = "".join(encoded).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # never write through a link into the shared data
    path.write_bytes(gzip.compress(content, 1, mtime=0) if path.suffix == ".gz" else content)
    return len(encoded)


def link_lines(source: Path, path: Path) -> int:
    """Link a JSON Lines file and return the number of rows."""
    link(source, path)
    return sum(1 for line in text(path).split("\n") if line)


def link(source: Path, path: Path) -> None:
    """Link a file or a folder, or copy it if links are not supported."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or path.is_file():
        path.unlink()
    try:
        path.symlink_to(source.resolve(), target_is_directory=source.is_dir())
    except OSError:
        if source.is_dir():
            shutil.copytree(source, path, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, path)


def main(arguments: list[str]) -> int:
    """Run the command line."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python -m tools.mirror DEST", file=sys.stderr)
        return 2
    try:
        counts = build(Path(arguments[0]), shared_folder())
    except OSError as error:
        print(f"mirror: {error}", file=sys.stderr)
        return 2
    for file, rows in counts.items():
        print(f"{rows:>7,}  {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
