"""Rows of Biology-Instructions in OpenCompass' layout: a JSON Lines file per task, in a folder or an archive.

The rows are not on the hub; OpenCompass' utils/datasets_info.py lists the archive `biology-instruction-fixed.zip` (MD5
5e9bc19f403372bed50c7c46afed8291).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from evals.data.archive import Tree
from evals.data.sources import Data, Row, Split
from evals.errors import DataError
from evals.types import Sample, Text


class Task(NamedTuple):
    """One task: its metric, the kind of its answers, and the gold value that corresponds to 1 %."""

    metric: str
    kind: str
    percent: float = 0.01


FAMILIES = (
    "leader", "tRNA", "5_8S_rRNA", "ribozyme", "CD-box", "Intron_gpII", "IRES", "5S_rRNA", "scaRNA", "miRNA", "riboswitch",
    "Intron_gpI", "HACA-box",
)  # fmt: skip
MODIFICATIONS = (
    "AtoI", "m6A", "none", "m1A", "m5C", "m5U", "m6Am", "m7G", "Cm", "Am", "Gm", "Um", "Psi",
)  # fmt: skip
TASKS = {
    "DNA-cpd": Task("mcc", "yes or no"),
    "DNA-emp": Task("mcc", "yes or no"),
    "DNA-pd": Task("mcc", "yes or no"),
    "DNA-tf-h": Task("mcc", "yes or no"),
    "DNA-tf-m": Task("mcc", "yes or no"),
    "Multi_sequence-antibody_antigen": Task("mcc", "yes or no"),
    "Multi_sequence-promoter_enhancer_interaction": Task("mcc", "yes or no"),
    "Multi_sequence-rna_protein_interaction": Task("mcc", "yes or no"),
    "DNA-enhancer_activity": Task("pearson", "numbers"),
    "RNA-CRISPROnTarget": Task("spearman", "numbers"),
    "Protein-Fluorescence": Task("spearman", "numbers"),
    "Protein-Stability": Task("spearman", "numbers"),
    "Protein-Thermostability": Task("spearman", "numbers"),
    "RNA-Isoform": Task("r2", "numbers"),
    "RNA-MeanRibosomeLoading": Task("r2", "numbers"),
    "RNA-ProgrammableRNASwitches": Task("r2", "numbers"),
    "RNA-Modification": Task("auc", "modifications"),
    "Protein-Solubility": Task("accuracy", "yes or no"),
    "RNA-NoncodingRNAFamily": Task("accuracy", "family"),
    "Protein-FunctionEC": Task("fmax", "enzymes"),
    "Multi_sequence-sirnaEfficiency": Task("mixed", "numbers", 1.0),
}
"""In the order of OpenCompass' summary (configs/summarizers/groups/biodata.py)."""
FORMS = {
    "yes or no": "cls",
    "numbers": "number",
    "family": "Non-coding RNA Function Classification",
    "modifications": "Modification Prediction",
    "enzymes": "Function EC",
}
"""Kind of answer -> OpenCompass' answer form, for rows that do not state it."""
_YES_NO = {"positive": "yes", "negative": "no"}


def samples(data: Data, variant: str) -> Iterator[Sample]:
    """Yield a task's samples; raises DataError."""
    task = TASKS[variant]
    rows = list(_rows(data, variant))
    counts = Counter(str(row["prompt"]) for row in rows)
    for position, row in enumerate(rows, 1):
        prompt = str(row["prompt"])
        target, keys = _target(task, row, f"biology-instructions: {variant}, row {position}")
        yield Sample(
            id=f"{variant}.{position}",
            question=(Text(prompt),),
            target=target,
            cluster=prompt if counts[prompt] > 1 else "",
            meta={"form": _answer_form(task, row, keys)} | ({"keys": keys} if keys else {}),
        )


def _answer_form(task: Task, row: Row, keys: list[str]) -> str:
    """Return the answer form, by which OpenCompass' loader selects a hint."""
    column = row.get("meta_data")
    metadata = column if isinstance(column, dict) else {}
    form = str(metadata.get("ans_type", ""))
    if form == "string":
        return str(metadata.get("task", ""))
    return form or ("dict" if keys else FORMS[task.kind])


def _rows(data: Data, variant: str) -> Iterator[Row]:
    local, name = data.local, f"{variant}.jsonl"
    if data.origin == "hub":
        raise DataError(
            "biology-instructions: its data are not on the hub; pass OpenCompass' folder or archive "
            "(biology-instruction-fixed.zip) with --data, or try --sample"
        )
    if local is not None and local.is_file() and local.suffix == ".zip":
        for number, row in enumerate(Tree(local).lines(name), 1):
            if not {"prompt", "ground_truth"} <= set(row):
                raise DataError(f"biology-instructions: {name}, row {number} lacks prompt or ground_truth")
            yield row
    else:
        yield from data.rows(Split(stems=(variant,)), required=("prompt", "ground_truth"))


def _target(task: Task, row: Row, location: str) -> tuple[str | float, list[str]]:
    """Return the gold answer and its keys: several named numbers are encoded as JSON; other answers have no keys."""
    gold: Any = row["ground_truth"]
    try:
        if isinstance(gold, dict):
            numbers = {str(key): float(value) for key, value in gold.items()}
            return json.dumps(numbers), list(numbers)
        if task.kind == "numbers":
            return float(gold), []
    except (TypeError, ValueError):
        raise DataError(f"{location}: the gold answer {gold!r:.80} is not a number") from None
    text = str(gold).strip()
    if task.kind == "yes or no":
        text = _YES_NO.get(text.lower(), text.lower())
        if text not in ("yes", "no"):
            raise DataError(f"{location}: the gold answer {gold!r:.80} is neither yes nor no")
    return text, []
