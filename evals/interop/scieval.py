"""SciEvalKit (InternScience/SciEvalKit @ 0817251a): VLMEvalKit's tables, with further data sets.

Replies are in `outputs/<model>/T<date>_G<commit>/<model>_<dataset>.xlsx` (or tsv, json), verdicts in other tables of that
folder: those for TRQA in `..._judge`, those for ProteinLMBench in `..._result`, whose `prediction` is only the extracted number.
"""

from __future__ import annotations

from pathlib import Path

from evals.interop import vlmevalkit
from evals.interop.foreign import Source

FORMAT = "scieval"
DATASETS = (
    "TRQA", "ProteinLMBench", "SGI-DeepResearch", "SGI-Experimental-Reasoning", "PHYSICS", *vlmevalkit.DATASETS,
)  # fmt: skip


def read(path: Path) -> list[Source]:
    """Read one table, or the tables of a model's folder; raises DataError."""
    return vlmevalkit.read(path, format_name=FORMAT, datasets=DATASETS)
