"""Write `results/claims/further.toml` from the second shared table of published scores: `python -m tools.make_further_claims`.

It contains numbers of the merging benchmark OptMerge, of SGI-Bench's leaderboard, and some from abstracts. If a number was
taken from a secondary source and not compared with the paper, its note says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools import make_claims, mirror
from tools.make_claims import Row, hyphenate, inline, join_tables
from tools.optmerge_errata import Errata, errata

TARGET = Path(__file__).resolve().parent.parent / "results" / "claims" / "further.toml"

SOURCES = {
    "arXiv": "https://arxiv.org/abs/{}",
    "InternScience/SGI-Bench@8268d434": "https://github.com/InternScience/SGI-Bench/blob/8268d434/README.md",
    "sheercold14/MLLMerging@cddedc20": "https://github.com/sheercold14/MLLMerging/tree/cddedc20",
}
"""First word of a source -> its address; for arXiv, a template for the paper's number."""
UNITS = {"hours": ("hours", "h"), "GB": ("GPU memory", "GB")}
"""Metric in the table -> (metric, unit), for numbers that are not percentages; gains in points are recognised by `points`."""
SUITES = {
    "OptMerge average": "mergebench",
    "OptMerge modality average": "mergebench:modality",
    "OptMerge MathVista (geometry rows)": "mathvista:geometry",
    "OptMerge MATH-Vision (geometry rows)": "mathvision:geometry",
    "OptMerge RefCOCO": "refcoco:val",
    "OptMerge RefCOCO+": "refcoco:plus-val",
    "OptMerge RefCOCOg": "refcoco:g-val",
    "OptMerge OCRVQA": "ocrvqa:testcore",
    "FGVC mean": "fgvc",
    "VTAB-1k mean": "vtab",
    "SGI-Bench DeepResearch": "sgi-bench:deep-research",
    "SGI-Bench Experimental reasoning": "sgi-bench:reasoning",
    "Biology-Instruction average": "biology-instructions",
    "Biology-Instruction Protein-Fluorescence": "biology-instructions:Protein-Fluorescence",
    "Biology-Instruction Protein-FunctionEC": "biology-instructions:Protein-FunctionEC",
    "Biology-Instruction DNA-pd": "biology-instructions:DNA-pd",
    "Biology-Instruction antibody_antigen": "biology-instructions:Multi_sequence-antibody_antigen",
}
"""Benchmark -> suite, if that is not the benchmark's name in lower case."""
ITEMS = {
    "SGI-Bench DeepResearch": 318,
    "SGI-Bench Experimental reasoning": 291,
    "SGI-Bench Dry experiment": 271,
    "OptMerge ChartQA": 2500,
}
"""Benchmark -> number of items."""
INFERRED: dict[str, dict[str, Any]] = {
    "SGI-Bench Dry experiment": {"rule": "at least five of an item's unit tests passed; not pass@5"},
    "OptMerge VizWiz": {
        "rule": "the whole reply is compared, so a sentence around the answer counts as wrong"
    },
    "OptMerge TextVQA": {
        "rule": "the whole reply is compared, so a sentence around the answer counts as wrong"
    },
    "OptMerge GQA": {"rule": "lower-case equality of the whole reply"},
    "OptMerge OCRVQA": {"rule": "lower-case equality of the whole reply"},
    "DocVQA": {"rule": "ANLS, 0 below one half"},
    "InfoVQA": {"rule": "ANLS, 0 below one half"},
    "OptMerge RefCOCO": {"threshold": 0.5},
    "OptMerge RefCOCO+": {"threshold": 0.5},
    "OptMerge RefCOCOg": {"threshold": 0.5},
}
"""Benchmark -> facts implied by the source's code (MLLMerging, its VLMEvalKit, SGI-Bench evaluation/sgi_score.py)."""
QWEN2_VL_SAMPLING: dict[str, Any] = {"max_tokens": 2048, "temperature": 0.01, "top_p": 0.001}
"""Sampling of VLMEvalKit's wrapper (0.2rc1), which the paper's code uses for the models merged from Qwen2-VL."""
INFERRED_BY_PREFIX: dict[str, dict[str, Any]] = {
    "OptMerge": {"toolkit": "VLMEvalKit 0.2rc1"},
    "SGI-Bench": {"toolkit": "SGI-Bench's own, evaluation/sgi_score.py"},
    "AVQA": {"rule": "first letter of the reply"},
    "MUSIC-AVQA": {"rule": "whole reply, normalised as EvalAI does"},
    "Biology-Instruction": {"toolkit": "OpenCompass"},
    "ChartQA": {
        "toolkit": "ChartMoE's own, chartmoe/eval_ChartQA.py",
        "temperature": 0,
        "max_tokens": 500,
        "rule": "an empty reply is right for every target",
    },
    "MathVista": {"toolkit": "VLMEvalKit 0.2rc1", "judge": "gpt-4o-mini"},
    "MathVision": {"toolkit": "VLMEvalKit 0.2rc1", "judge": "gpt-4o-mini"},
}
INFERRED_BY_PREFIX |= dict.fromkeys(
    ("MMMU", "DocVQA", "InfoVQA", "ScienceQA", "AI2D"), INFERRED_BY_PREFIX["OptMerge"]
)
"""Beginning of a benchmark's name -> facts implied by the source's code."""
NOTES = {
    "FGVC mean": "a difference, not an accuracy; the absolute means are unknown",
    "VTAB-1k mean": "a difference, not an accuracy; whether over 19 tasks or over three groups is unknown",
    "OptMerge average": "mean over the columns that have a value; a row with gaps is not comparable with a complete one",
    "OptMerge MATH-Vision (geometry rows)": "four rows of 19 items, 76 in all: one item is 1.32 points, the standard error about 5",
    "OptMerge MathVista (geometry rows)": "three overlapping labels: 304 items count 728 times, 206 of them three times",
    "SGI-Bench DeepResearch": "Intern-S2-Preview's column called SGI-Bench is probably this part alone",
}
UNVERIFIED = "taken from a secondary source, not compared with the paper"


def rows(shared: Path) -> list[Row]:
    """Return the rows of the second shared table that have a score."""
    return make_claims.rows(shared, "published_more.csv")


def suite_name(benchmark: str) -> str:
    """Return the suite of a benchmark, or a name in the same form if there is none."""
    return SUITES.get(benchmark) or hyphenate(benchmark.removeprefix("OptMerge "))


def address(source: str) -> str:
    """Return the URL of a source."""
    if paper := re.search(r"arXiv (?:of )?(\d{4}\.\d{5}(?:v\d+)?)", source):
        return SOURCES["arXiv"].format(paper[1])
    return SOURCES[source.split()[0]]


def claim_tables(all_rows: list[Row]) -> Iterator[list[str]]:
    """Yield the lines of each TOML table, for the rows with the same benchmark, metric and source."""
    remarks = errata(all_rows)
    grouped: dict[tuple[str, str, str], list[Row]] = {}
    for row in all_rows:
        grouped.setdefault((row.benchmark, row.metric, row.source), []).append(row)
    for (benchmark, metric, source), members in grouped.items():
        yield list(claim_lines(benchmark, metric, source, members, remarks))


def claim_lines(
    benchmark: str, metric: str, source: str, members: list[Row], remarks: Errata
) -> Iterator[str]:
    """Yield the lines of one TOML table."""
    yield "[[claim]]"
    yield f'suite = "{suite_name(benchmark)}"'
    yield f"benchmark = {json.dumps(benchmark)}"
    metric_name, unit = UNITS.get(metric, (metric, "points" if "points" in metric else ""))
    if metric_name:
        yield f"metric = {json.dumps(metric_name)}"
    yield f'source = "{address(source)}"'
    scores = ", ".join(f"{json.dumps(row.model)} = {row.score}" for row in members)
    yield f"{'values' if unit else 'percent'} = {{ {scores} }}"
    if unit:
        yield f'unit = "{unit}"'
    if items := ITEMS.get(benchmark):
        yield f"items = {items}"
    inferred = next((known for start, known in INFERRED_BY_PREFIX.items() if benchmark.startswith(start)), {})
    if benchmark.startswith("OptMerge") and all(row.model.startswith("Qwen2-VL-7B") for row in members):
        inferred = inferred | QWEN2_VL_SAMPLING
    if inferred := inferred | INFERRED.get(benchmark, {}):
        yield f"inferred = {inline(inferred)}"
    table = re.search(r"Table \d+|abstract|README leaderboard|Skills/Results.*", source)
    notes = (table and table[0], NOTES.get(benchmark), UNVERIFIED if "UNVERIFIED" in source else "")
    yield f"note = {json.dumps('; '.join(filter(None, notes)))}"
    table_remarks = {
        json.dumps(row.model): remark
        for row in members
        if (remark := remarks.get((row.model, benchmark, source)))
    }
    if table_remarks:
        yield f"errata = {inline(table_remarks)}"


def file_content(shared: Path) -> str:
    """Return the content of the file of claims."""
    comment = "Published numbers beyond those of intern-s1.toml. Written by tools/make_further_claims.py; do not edit."
    return join_tables(comment, claim_tables(rows(shared)))


if __name__ == "__main__":
    TARGET.write_text(file_content(mirror.shared_folder()), encoding="utf-8")
