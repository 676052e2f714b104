"""SciEvalKit (InternScience/SciEvalKit @ 0817251a): VLMEvalKit's tables with data sets of its own.

`outputs/<model>/T<date>_G<commit>/<model>_<dataset>.xlsx` (or tsv, json); TRQA's verdicts are beside it in `..._judge`,
ProteinLMBench's in `..._result`, where `prediction` is the number that its rule read: replies are those of the first table.
"""

from __future__ import annotations

from pathlib import Path

from evals.interop import vlmevalkit
from evals.interop.foreign import Source

FORMAT = "scieval"
DATASETS = (
    "TRQA",
    "ProteinLMBench",
    "SGI-DeepResearch",
    "SGI-Experimental-Reasoning",
    "PHYSICS",
    *vlmevalkit.DATASETS,
)


def read(path: Path) -> list[Source]:
    """Read one table, or the tables of a model's folder; raises DataError."""
    return vlmevalkit.read(path, name=FORMAT, datasets=DATASETS)
