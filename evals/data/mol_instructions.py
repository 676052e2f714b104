"""Rows of Mol-Instructions' molecule tasks: from the hub's archive, its unpacked folder, or OpenCompass' files.

The hub's repository needs a loading script, which is not run; its archive contains a list of rows per task. Only rows
of the split `test` are used. OpenCompass' files (`mol-instructions/NAME.jsonl`) contain dialogues of two turns.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

from evals.data.archive import Tree, download_archive
from evals.data.sources import Data, Row, Split
from evals.errors import DataError
from evals.types import Sample, Text

HUB, REVISION = "zjunlp/Mol-Instructions", "7046749ae12eba3fe9fc54f146fb938d75569891"
ARCHIVE = "data/Molecule-oriented_Instructions.zip"


class Task(NamedTuple):
    """One task: its file, rows in the test split (0: unknown), kind of answer, and description of the answer."""

    name: str
    rows: int
    kind: str
    answer_description: str


TASKS = {
    "MC": Task("molecular_description_generation", 1000, "caption", "a description of the molecule"),
    "MG": Task("description_guided_molecule_design", 1000, "molecule", "a molecule that fits the description"),
    "FS": Task("forward_reaction_prediction", 1000, "products", "the product of the reaction"),
    "RS": Task("retrosynthesis", 1000, "reactants", "all reactants from which the product can be made, joined by dots"),
    "RP": Task("reagent_prediction", 1000, "reagents", "all reagents of the reaction, joined by dots"),
    "PP": Task("property_prediction", 0, "number", "the property in hartree"),
}  # fmt: skip
"""By the short names of OpenCompass' configuration."""
_STATED_SPLIT = re.compile(r"""["']?split["']?\s{0,9}:\s{0,9}["'](\w{1,20})["']""")
_TAGGED_ANSWER = re.compile(r"<(SELFIES|SMILES|NUMBER)>([^<>]*)</\1>")


def rows(data: Data, task: Task) -> Iterator[Row]:
    """Yield a task's test rows, unchanged; raises DataError."""
    tree = _open_archive(data)
    if tree is None:
        all_rows = data.rows(Split(hub=HUB, revision=REVISION, stems=(task.name,), rows=task.rows or None))
    else:
        row_list = tree.json(f"{task.name}.json")
        if not isinstance(row_list, list) or not all(isinstance(row, dict) for row in row_list):
            raise DataError(f"mol-instructions: {task.name}.json is not a list of rows")
        all_rows = iter(row_list)
    count = 0
    for row in all_rows:
        if _row_split(row) == "test":
            count += 1
            yield row
    if data.origin == "hub" and task.rows and count != task.rows:
        raise DataError(f"mol-instructions: {HUB} has {count} test rows of {task.name}, expected {task.rows}")


def _open_archive(data: Data) -> Tree | None:
    """Return the hub's archive; None if the rows are in one file per task."""
    if data.origin == "hub":
        return Tree(download_archive("mol-instructions", HUB, ARCHIVE, REVISION))
    local = data.local
    return Tree(local) if local is not None and local.is_file() and local.suffix == ".zip" else None


def _row_split(row: Row) -> str:
    """Return the split stated in a row's metadata (a dictionary, or one as text); `test` if it states none."""
    metadata = row.get("metadata")
    if isinstance(metadata, dict):
        return str(metadata.get("split", "test"))
    stated = _STATED_SPLIT.search(metadata) if isinstance(metadata, str) else None
    return stated[1] if stated else "test"


def samples(data: Data, variant: str) -> Iterator[Sample]:
    """Yield a task's samples; `meta["also"]` lists other gold answers to the same question. Raises DataError."""
    task = TASKS[variant]
    parsed_rows = [_parse_row(row, task, position) for position, row in enumerate(rows(data, task), 1)]
    golds: dict[str, dict[str, None]] = defaultdict(dict)
    for input_text, _, gold in parsed_rows:
        golds[input_text][gold] = None
    counts = Counter(input_text for input_text, _, _ in parsed_rows)
    for position, (input_text, question, gold) in enumerate(parsed_rows, 1):
        alternatives = (
            [other for other in golds[input_text] if other != gold] if task.kind != "number" else []
        )
        meta: dict[str, Any] = {"also": alternatives} if alternatives else {}
        yield Sample(
            id=f"{task.name}.{position}",
            question=(Text(question),),
            target=_parse_number(gold, task, position) if task.kind == "number" else gold,
            unit="hartree" if task.kind == "number" else "",
            group=_energy_kind(question) if task.kind == "number" else "",
            cluster=input_text if counts[input_text] > 1 else "",
            meta=meta,
        )


def _parse_row(row: Row, task: Task, position: int) -> tuple[str, str, str]:
    """Return the input, the question and the gold answer of a row from the authors' or OpenCompass' files."""
    dialogue = row.get("dialogs")
    if isinstance(dialogue, list) and len(dialogue) > 1:
        question, gold = (str(turn.get("content", "")) for turn in dialogue[:2])
        input_text = question
    elif {"instruction", "input", "output"} <= set(row):
        input_text = str(row["input"]).strip()
        question, gold = f"{str(row['instruction']).strip()}\n{input_text}", str(row["output"])
    else:
        raise DataError(
            f"mol-instructions: {task.name}, row {position} has neither instruction, input and output, nor a dialogue"
        )
    tag = _TAGGED_ANSWER.fullmatch(gold.strip())
    return input_text, question, (tag[2] if tag else gold).strip()


def _parse_number(gold: str, task: Task, position: int) -> float:
    try:
        return float(gold)
    except ValueError:
        raise DataError(
            f"mol-instructions: {task.name}, row {position}: the gold answer {gold!r} is not a number"
        ) from None


def _energy_kind(question: str) -> str:
    """Return which energy a question asks for: HOMO, LUMO, gap or other."""
    instruction = question.partition("\n")[0].upper()
    homo = "HOMO" in instruction or "HIGHEST OCCUPIED" in instruction
    lumo = "LUMO" in instruction or "LOWEST UNOCCUPIED" in instruction
    if "GAP" in instruction or (homo and lumo):
        return "gap"
    return "HOMO" if homo else "LUMO" if lumo else "other"
