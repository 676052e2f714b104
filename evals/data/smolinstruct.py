"""SMolInstruct's rows: from the hub's archive, its unpacked folder, or a file per task.

The repository on the hub needs a loading script, which is not run; its archive is read directly.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from evals.data.archive import Tree, download_archive
from evals.data.sources import Data, Row, Split
from evals.errors import DataError
from evals.types import Sample, Text

HUB, REVISION = "osunlp/SMolInstruct", "b3e028007c6abc043f62ed0aef4824dc9e86bacc"


class Task(NamedTuple):
    """One task: name on the hub, rows in the test split, kind of answer, tag around the answer, and description of the answer."""

    name: str
    rows: int
    kind: str
    tag: str
    answer_description: str


TASKS = {
    "NC-I2F": Task("name_conversion-i2f", 2993, "formula", "MOLFORMULA", "the molecular formula of the named compound"),
    "NC-I2S": Task("name_conversion-i2s", 2993, "molecule", "SMILES", "the SMILES of the named compound"),
    "NC-S2F": Task("name_conversion-s2f", 2993, "formula", "MOLFORMULA", "the molecular formula of the compound"),
    "NC-S2I": Task("name_conversion-s2i", 2993, "name", "IUPAC", "the IUPAC name of the compound"),
    "PP-ESOL": Task("property_prediction-esol", 112, "number", "NUMBER", "the log solubility (mol/L) of the compound"),
    "PP-Lipo": Task("property_prediction-lipo", 420, "number", "NUMBER", "the octanol/water distribution (logD) at pH 7.4"),
    "PP-BBBP": Task("property_prediction-bbbp", 197, "boolean", "BOOLEAN", "whether it crosses the blood-brain barrier"),
    "PP-ClinTox": Task("property_prediction-clintox", 144, "boolean", "BOOLEAN", "whether the compound is toxic"),
    "PP-HIV": Task("property_prediction-hiv", 4107, "boolean", "BOOLEAN", "whether it inhibits the replication of HIV"),
    "PP-SIDER": Task("property_prediction-sider", 2860, "boolean", "BOOLEAN", "whether it has such side effects"),
    "MC": Task("molecule_captioning", 2538, "caption", "", "a description of the molecule"),
    "MG": Task("molecule_generation", 2493, "molecule", "SMILES", "the SMILES of a molecule that fits the description"),
    "FS": Task("forward_synthesis", 4062, "molecules", "SMILES", "the SMILES of the product of the reaction"),
    "RS": Task("retrosynthesis", 4156, "molecules", "SMILES", "the SMILES of all reactants and reagents, joined by dots"),
}  # fmt: skip


def rows(data: Data, task_name: str, expected: int) -> Iterator[Row]:
    """Yield a task's test rows, with the columns of the hub's loading script; `expected`: their number. Raises DataError."""
    tree = open_archive(data)
    all_rows: Iterator[Row]
    if tree is None:
        split = Split(hub=HUB, revision=REVISION, stems=(task_name, "test"), rows=expected)
        all_rows = (
            row
            for row in data.rows(split, required=("sample_id", "raw_output"))
            if row.get("task", task_name) == task_name
        )
    else:
        all_rows = _from_tree(tree, task_name)
    count = 0
    for row in all_rows:
        count += 1
        yield row
    if data.origin == "hub" and count != expected:
        raise DataError(f"smolinstruct: {HUB} has {count} rows of {task_name}, expected {expected}")


def open_archive(data: Data) -> Tree | None:
    """Return the archive or its unpacked folder; None if the rows are in one file per task."""
    if data.origin == "hub":
        return Tree(download_archive("smolinstruct", HUB, "data.zip", REVISION))
    if data.sample:
        return None
    local = data.local
    if local is not None and local.is_file():
        return Tree(local) if local.suffix == ".zip" else None
    folder = data.folder()
    for root in (folder / "data.zip", folder / "data", folder):
        if root.is_file() or (root / "raw").is_dir():
            return Tree(root)
    return None


def _from_tree(tree: Tree, task_name: str) -> Iterator[Row]:
    """Yield rows assembled from raw rows, sample selection and templates, as in the hub's loading script (v1.3.1)."""
    selection = tree.json(f"sample/instruction_tuning/test/{task_name}.json")
    templates = tree.json(f"template/{selection['template_name']}/{task_name}.json")
    tags = tree.json(f"core_tag/{task_name}.json")
    raw_rows = list(tree.lines(f"raw/test/{task_name}.jsonl"))
    for entry in selection["samples"]:
        raw_row, template = raw_rows[entry["idx"]], templates[entry["template_id"]]
        target = entry.get("target") if isinstance(raw_row["output"], dict) else None
        output = raw_row["output"] if target is None else raw_row["output"][target]
        yield {
            "sample_id": f"{task_name}.test.{entry['idx']}.{target}",
            "input": template["input"].replace("<INPUT>", _wrap_in_tags(tags["input"], raw_row["input"])),
            "output": template["output"].replace("<OUTPUT>", _wrap_in_tags(tags["output"], output)),
            "raw_input": raw_row["input"],
            "raw_output": output,
            "target": target,
            "task": task_name,
        }


def _wrap_in_tags(tags: Sequence[str | None], text: str) -> str:
    return text if tags[0] is None else f"{tags[0]} {text} {tags[1]}"


def samples(data: Data, variant: str) -> Iterator[Sample]:
    """Yield a task's samples; `meta["also"]` lists other gold answers to the same input. Raises DataError."""
    task = TASKS[variant]
    test_rows = list(rows(data, task.name, task.rows))
    golds: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for row in test_rows:
        golds[_input_and_target(row)][str(row["raw_output"])] = None
    input_counts = Counter(str(row.get("raw_input") or "") for row in test_rows)
    training = _training_statistics(data, task) if task.kind == "number" else {}
    for row in test_rows:
        own_gold, raw_input = str(row["raw_output"]).strip(), str(row.get("raw_input") or "")
        alternatives = (
            [gold for gold in golds[_input_and_target(row)] if gold.strip() != own_gold]
            if raw_input and task.kind not in ("boolean", "number")
            else []
        )
        meta: dict[str, Any] = {"also": alternatives} if alternatives else dict(training)
        if task.kind == "caption" and row.get("output"):
            meta["output"] = row["output"]
        if task.kind == "name" and raw_input:
            meta["smiles"] = raw_input.replace(";", ".")
        yield Sample(
            id=str(row["sample_id"]),
            question=(Text(str(row["input"])),) if row.get("input") else (),
            target=_target(task, own_gold, row),
            group=str(row.get("target") or ""),
            cluster=raw_input if input_counts[raw_input] > 1 and raw_input else "",
            meta=meta,
        )


def _training_statistics(data: Data, task: Task) -> dict[str, float]:
    """Return the mean and range of the training targets, for imputing missing answers; empty if the data lack them."""
    tree = open_archive(data)
    name = f"raw/train/{task.name}.jsonl"
    if tree is None or not tree.has(name):
        return {}
    values = [float(row["output"]) for row in tree.lines(name)]
    return {"train_mean": fmean(values), "train_low": min(values), "train_high": max(values)}


def _input_and_target(row: Row) -> tuple[str, str]:
    return str(row.get("raw_input") or ""), str(row.get("target") or "")


def _target(task: Task, gold: str, row: Row) -> str | float:
    if task.kind == "number":
        try:
            return float(gold)
        except ValueError:
            raise DataError(
                f"smolinstruct: {row['sample_id']}: the gold answer {gold!r} is not a number"
            ) from None
    return gold.lower() if task.kind == "boolean" else gold
