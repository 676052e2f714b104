"""Build a local mirror of the shared real data: `python -m tools.mirror DEST`, then `--data DEST`.

DEST gets one folder per suite with files of the hub's columns. The shared folder is named by the
environment variable EVALS_SHARED, else it is `../shared` beside the repository. What lies there compressed
stays compressed, because some data sets carry canary strings or ask not to be found as plain text; folders
of images are linked.

A suite is a function `(source, dest) -> {file: rows}` in the table `SUITES`; `source` is the shared data
folder, `dest` the suite's own folder in the mirror. Nothing but names and counts is printed, never an item.
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

    def enter(fill: Callable[[Path, Path], Counts]) -> Callable[[Path, Path], Counts]:
        SUITES[folder] = fill
        return fill

    return enter


def shared_folder() -> Path:
    """Return the folder of the shared data; raises FileNotFoundError that names the searched folder."""
    named = os.environ.get("EVALS_SHARED")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "data").is_dir():
        raise FileNotFoundError(
            f"no shared data: {folder / 'data'} is no folder; name the shared folder by EVALS_SHARED"
        )
    return folder


def build(dest: Path, shared: Path) -> Counts:
    """Fill `dest` with every suite in the shared data; return the number of rows by file, without its suffix.

    A suite without source data is skipped.
    """
    counts: Counts = {}
    for folder, fill in SUITES.items():
        try:
            counts |= {
                f"{folder}/{file}": rows for file, rows in fill(shared / "data", dest / folder).items()
            }
        except FileNotFoundError as error:
            print(f"mirror: {folder} is left out: {error}", file=sys.stderr)
    return counts


# --- suites -------------------------------------------------------------------------------------------------


@suite("mmlu-pro")
def mmlu_pro(source: Path, dest: Path) -> Counts:
    """All 12,032 items. The worked examples (the hub's split `validation`) are not in the shared data."""
    return {"test": linked(source / "mmlu_pro" / "test_items.jsonl.gz", dest / "test.jsonl.gz")}


AIME_SUFFIX = "\nPlease reason step by step, and put your final answer within \\boxed{}."
AIME_NATURAL = [f"{paper}-{number}" for paper in ("I", "II") for number in range(1, 16)]
AIME_ORDER = {2024: sorted(AIME_NATURAL), 2025: AIME_NATURAL}
"""The first file is sorted by the ids' text (I-1, I-10, ..., I-2), the second in the order of the contest."""


@suite("aime")
def aime(source: Path, dest: Path) -> Counts:
    """Thirty problems a year, with ids and without the instruction that was appended to them."""
    counts = {}
    for year, order in AIME_ORDER.items():
        given = list(lines(source / "aime" / f"aime{year % 100}.jsonl"))
        rows = [
            {"id": f"{year}-{place}", "problem": _without_suffix(row["prompt"]), "answer": str(row["answer"])}
            for place, row in zip(order, given, strict=True)
        ]
        if year == 2024:
            rows.sort(key=lambda row: AIME_NATURAL.index(row["id"].removeprefix("2024-")))
        counts[str(year)] = written(dest / f"{year}.jsonl", rows)
    return counts


def _without_suffix(prompt: str) -> str:
    if not prompt.endswith(AIME_SUFFIX):
        raise ValueError("an AIME prompt does not end in the expected instruction")
    return prompt.removesuffix(AIME_SUFFIX)


@suite("mmmu")
def mmmu(source: Path, dest: Path) -> Counts:
    """MMMU's 900 validation answers with the recorded run's choices, no questions; MMMU-Pro in `pro/`."""
    folder = source / "mmmu"
    golds = document(folder / "answer_dict_val.json")
    choices: dict[str, list[str]] = {}
    for output in sorted(folder.glob("example_outputs/llava1.5_13b/*/output.json")):
        choices |= {row["id"]: list(row.get("index2ans", {}).values()) for row in document(output)}
    rows = [
        {
            "id": name,
            # lists are text in the hub's columns, as Python writes them
            "options": repr(choices[name]),
            "answer": gold["ground_truth"]
            if isinstance(gold["ground_truth"], str)
            else repr(gold["ground_truth"]),
            "question_type": "multiple-choice" if gold["question_type"] == "multiple-choice" else "open",
            "subject": name.removeprefix("validation_").rpartition("_")[0],
        }
        for name, gold in golds.items()
    ]
    return {"validation": written(dest / "validation.jsonl", rows), **_mmmu_pro(source / "mmmu_pro", dest)}


def _mmmu_pro(source: Path, dest: Path) -> Counts:
    """Write both settings from the recorded run's rows; images are at hand for a few items alone."""
    examples = [
        {"id": Path(row["image_1"]).stem.removesuffix("_1"), **row}
        for row in lines(source / "tool_data.jsonl")
    ]
    images = {row["id"]: {k: v for k, v in row.items() if k.startswith("image_")} for row in examples}
    recorded = ("response", "pred_indexs", "if_right")
    standard = [
        {k: v for k, v in row.items() if k not in recorded} | images.get(row["id"], {})
        for row in lines(source / "gpt-4o_standard_10_options__direct.jsonl.gz")
    ]
    vision = [
        {k: row[k] for k in ("id", "options", "answer", "subject")}
        for row in lines(source / "gpt-4o_vision_direct.jsonl.gz")
    ]
    for folder in (dest, dest / "pro"):  # for the suite's folder, and for `--data .../pro/examples.jsonl`
        link(source / "images", folder / "images")
    return {
        "pro/standard": written(dest / "pro" / "standard.jsonl.gz", standard),
        "pro/vision": written(dest / "pro" / "vision.jsonl.gz", vision),
        "pro/examples": written(dest / "pro" / "examples.jsonl", examples),
    }


@suite("mathvision")
def mathvision(source: Path, dest: Path) -> Counts:
    """Both splits as they are; the images are those of testmini."""
    folder = source / "mathvision"
    link(folder / "images", dest / "images")
    return {name: linked(folder / f"{name}.jsonl", dest / f"{name}.jsonl") for name in ("test", "testmini")}


@suite("mathvista")
def mathvista(source: Path, dest: Path) -> Counts:
    """The texts of testmini; neither the images nor the hub's ready-made `query`."""
    items = document(source / "mathvista" / "testmini.json.gz")
    return {"testmini": written(dest / "testmini.jsonl.gz", items.values())}


@suite("chembench")
def chembench(source: Path, dest: Path) -> Counts:
    """The corpus of lamalab as it is: each row a task and its path in the repository."""
    tasks = linked(source / "chembench" / "tasks.jsonl.gz", dest / "lamalab" / "tasks.jsonl.gz")
    return {"lamalab/tasks": tasks}


MATBENCH_TASKS = ("matbench_steels", "matbench_expt_gap", "matbench_expt_is_metal", "matbench_glass")
MATBENCH_FILES = ("matbench_v0.1_validation_small_tasks.json.gz", "matbench_v0.1_dataset_metadata.json")


@suite("matbench")
def matbench(source: Path, dest: Path) -> Counts:
    """Four tables, a row per material: mbid, composition, the target under its own name, and `fold`.

    `fold` is the one of the five official folds that tests the material; the official files of splits and of
    metadata lie beside the tables.
    """
    folder = source / "matbench"
    for name in MATBENCH_FILES:
        link(folder / name, dest / name)
    splits = document(folder / MATBENCH_FILES[0])["splits"]
    counts = {}
    for task in MATBENCH_TASKS:
        folds = {
            mbid: int(fold.removeprefix("fold_"))
            for fold, parts in splits[task].items()
            for mbid in parts["test"]
        }
        table = document(folder / "tables" / f"{task}.json.bz2")
        columns = [list(column.values()) for column in table.values()]
        rows = [dict(zip(table, cells, strict=True)) for cells in zip(*columns, strict=True)]
        counts[task] = written(dest / f"{task}.jsonl", ({**row, "fold": folds[row["mbid"]]} for row in rows))
    return counts


# --- files --------------------------------------------------------------------------------------------------


def text(path: Path) -> str:
    """Return the text of a file, decompressed if its name says so."""
    unpack = {".gz": gzip.decompress, ".bz2": bz2.decompress}.get(path.suffix, bytes)
    return unpack(path.read_bytes()).decode()


def lines(path: Path) -> Iterator[Row]:
    """Read JSON lines."""
    return (json.loads(line) for line in text(path).split("\n") if line)


def document(path: Path) -> Any:
    """Read one JSON document."""
    return json.loads(text(path))


def written(path: Path, rows: Iterable[Row]) -> int:
    """Write JSON lines, compressed reproducibly if the name says so; return the number of rows."""
    encoded = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    content = "".join(encoded).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # never write through a link into the shared data
    path.write_bytes(gzip.compress(content, 1, mtime=0) if path.suffix == ".gz" else content)
    return len(encoded)


def linked(source: Path, path: Path) -> int:
    """Link a file of JSON lines and return the number of rows."""
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
