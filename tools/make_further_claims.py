"""Write `results/claims/further.toml` from the second shared table of published scores: `python -m tools.make_further_claims`.

Numbers of the merging benchmark OptMerge, of SGI-Bench's leaderboard, and single ones from abstracts. A number that was
read in a digest by others, and not compared with the paper, says so in its note.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools import mirror
from tools.make_claims import Row, inline
from tools.optmerge_errata import Errata, errata

TARGET = Path(__file__).resolve().parent.parent / "results" / "claims" / "further.toml"

SOURCES = {
    "arXiv": "https://arxiv.org/abs/{}",
    "InternScience/SGI-Bench@8268d434": "https://github.com/InternScience/SGI-Bench/blob/8268d434/README.md",
    "sheercold14/MLLMerging@cddedc20": "https://github.com/sheercold14/MLLMerging/tree/cddedc20",
}
"""First word of a source -> its address; of arXiv, with the paper's number."""
UNITS = {"hours": ("hours", "h"), "GB": ("GPU memory", "GB")}
"""Metric -> (metric, unit) of what is no percentage; gains in points are told by their metric."""
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
"""Benchmark -> suite, unless that is the benchmark's name in small letters."""
ITEMS = {
    "SGI-Bench DeepResearch": 318,
    "SGI-Bench Experimental reasoning": 291,
    "SGI-Bench Dry experiment": 271,
    "OptMerge ChartQA": 2500,
}
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
"""What the code of the source implies (MLLMerging, its VLMEvalKit, SGI-Bench evaluation/sgi_score.py)."""
QWEN: dict[str, Any] = {"max_tokens": 2048, "temperature": 0.01, "top_p": 0.001}
"""Of VLMEvalKit's wrapper (0.2rc1) that the paper's code calls for the models merged from Qwen2-VL."""
BY_BENCHMARK: dict[str, dict[str, Any]] = {
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
BY_BENCHMARK |= dict.fromkeys(("MMMU", "DocVQA", "InfoVQA", "ScienceQA", "AI2D"), BY_BENCHMARK["OptMerge"])
"""Beginning of a benchmark's name -> what the code of its source implies."""
NOTES = {
    "FGVC mean": "a difference, not an accuracy; the absolute means are not known here",
    "VTAB-1k mean": "a difference, not an accuracy; whether of 19 tasks or of three groups is not known here",
    "OptMerge average": "mean over the columns that are there; a row with blanks is not comparable with a full one",
    "OptMerge MATH-Vision (geometry rows)": "four rows of 19 items, 76 in all: one item is 1.32 points, the standard error about 5",
    "OptMerge MathVista (geometry rows)": "three overlapping labels: 304 items count 728 times, 206 of them three times",
    "SGI-Bench DeepResearch": "Intern-S2-Preview's column called SGI-Bench is probably this part alone",
}
UNVERIFIED = "read in a digest by others, not compared with the paper"


def rows(shared: Path) -> list[Row]:
    with (shared / "reference" / "published_more.csv").open(encoding="utf-8", newline="") as stream:
        return [Row(**row) for row in csv.DictReader(stream) if row["score"]]


def suite(benchmark: str) -> str:
    named = SUITES.get(benchmark) or benchmark.removeprefix("OptMerge ").lower()
    return named if benchmark in SUITES else re.sub(r"[^a-z0-9]+", "-", named).strip("-")


def address(source: str) -> str:
    if paper := re.search(r"arXiv (?:of )?(\d{4}\.\d{5}(?:v\d+)?)", source):
        return SOURCES["arXiv"].format(paper[1])
    return SOURCES[source.split()[0]]


def tables(some: list[Row]) -> Iterator[list[str]]:
    wrong = errata(some)
    grouped: dict[tuple[str, str, str], list[Row]] = {}
    for row in some:
        grouped.setdefault((row.benchmark, row.metric, row.source), []).append(row)
    for (benchmark, metric, source), members in grouped.items():
        yield list(lines(benchmark, metric, source, members, wrong))


def lines(benchmark: str, metric: str, source: str, members: list[Row], wrong: Errata) -> Iterator[str]:
    yield "[[claim]]"
    yield f'suite = "{suite(benchmark)}"'
    yield f"benchmark = {json.dumps(benchmark)}"
    stated, unit = UNITS.get(metric, (metric, "points" if "points" in metric else ""))
    if stated:
        yield f"metric = {json.dumps(stated)}"
    yield f'source = "{address(source)}"'
    scores = ", ".join(f"{json.dumps(row.model)} = {row.score}" for row in members)
    yield f"{'values' if unit else 'percent'} = {{ {scores} }}"
    if unit:
        yield f'unit = "{unit}"'
    if items := ITEMS.get(benchmark):
        yield f"items = {items}"
    inferred = next((known for start, known in BY_BENCHMARK.items() if benchmark.startswith(start)), {})
    if benchmark.startswith("OptMerge") and all(row.model.startswith("Qwen2-VL-7B") for row in members):
        inferred = inferred | QWEN
    if inferred := inferred | INFERRED.get(benchmark, {}):
        yield f"inferred = {inline(inferred)}"
    table = re.search(r"Table \d+|abstract|README leaderboard|Skills/Results.*", source)
    parts = (table and table[0], NOTES.get(benchmark), UNVERIFIED if "UNVERIFIED" in source else "")
    yield f"note = {json.dumps('; '.join(filter(None, parts)))}"
    remarks = {
        json.dumps(row.model): text for row in members if (text := wrong.get((row.model, benchmark, source)))
    }
    if remarks:
        yield f"errata = {inline(remarks)}"


def written(shared: Path) -> str:
    head = "# Published numbers beyond those of intern-s1.toml. Written by tools/make_further_claims.py; do not edit.\n"
    return head + "".join("\n" + "\n".join(table) + "\n" for table in tables(rows(shared)))


if __name__ == "__main__":
    TARGET.write_text(written(mirror.shared_folder()), encoding="utf-8")
