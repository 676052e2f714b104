"""Write `results/claims/intern-s1.toml` from the shared table of published scores: `python -m tools.make_claims`.

The table has no dates; its sources have: they are files of a repository at a commit, and a commit has a date. It
spells some benchmarks in two ways; a suite has one name here, and each claim keeps the spelling of its source.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tools import mirror

TARGET = Path(__file__).resolve().parent.parent / "results" / "claims" / "intern-s1.toml"
REPOSITORY = "https://github.com/InternLM/Intern-S1/blob"

COMMITS = {
    "b3885e44fdb0": ("b3885e44fdb0bdddd1baa1d95e402d9cda361dde", "2026-05-19"),
    "5230424": ("5230424", ""),
}
"""Abbreviated commit -> (as far as it is known, its date)."""

SUITES = {
    "gpqa": "gpqa:diamond",
    "aime2024": "aime:2024",
    "aime2025": "aime:2025",
    "hmmt2026": "hmmt:2026",
    "chembench": "chembench:4k",
    "biologyinstruction": "biology-instructions",
    "biologyinstructions": "biology-instructions",
    "imoanswerbench": "imo-answerbench",
    "imobenchanswerbench": "imo-answerbench",
    "mmlupro": "mmlu-pro",
    "mmmupro": "mmmu-pro",
    "moleculariq": "molecular-iq",
    "molinstructions": "mol-instructions",
    "msearthmcq": "msearth",
    "physics": "physics:all",
    "sfe": "sfe:en",
    "xlrsbench": "xlrs:lite",
}
"""Benchmark without hyphens, spaces and capitals -> suite, where that is another name."""

TEXTS = (
    "mmlu-pro",
    "gpqa:diamond",
    "aime:2025",
    "smolinstruct",
    "chembench:4k",
    "matbench",
    "ifeval",
    "proteinlmbench",
)
"""Measured with OpenCompass; its example configurations tell max tokens and repeats of the data sets, for every model,
and the sampling of the makers' own."""
OPENCOMPASS = "https://github.com/open-compass/opencompass/blob/a5acc4bb/examples"
OWN = {"temperature": 0.7, "top_p": 0.95, "thinking": True}
"""configs/models/interns1/intern_s1.py; of the rivals' sampling nothing is told."""
PRO = {"temperature": 0.8, "max_tokens": 65_536}
"""eval_intern_s1_pro.py; whether thinking was on is told in two ways."""
PRO_REPEATS = {"gpqa:diamond": 8, "aime:2025": 32}
RULED = {"ifeval": {"judge": "none"}}
"""Suites that are not ours and have no judge by their definition."""
PRO_TABLE = "assets/s1_pro_performance.jpeg"
OPEN = ("xlrs:lite",)
"""Suites whose first numbers came of no rule that is known, though the toolkit's name is."""
NOTES = {
    "aime:2024": "not all numbers of this row are whole problems of 30: several passes, how many is not told",
    "aime:2025": "not all numbers of this row are whole problems of 30: several passes, how many is not told",
    "chembench:4k": "ChemBench4K (AI4Chem), eight of its nine tasks; not the ChemBench of lamalab-org",
    "matbench": "the formula is not told with the number; OpenCompass added one on 2026-05-15, later than it",
    "smolinstruct": "the formula is not told with the number; OpenCompass added one on 2026-05-15, later than it",
    "xlrs:lite": "VLMEvalKit's rule gives Intern-S1-mini 14.51 % (its issue 1331), not the 51.63 % that are published",
}
"""What is known of a row of the README beyond its conditions."""
TOP_P = "top_p 0.95 is of OpenCompass' configuration; the model's own guide says 1.0"
THINKING = (
    "OpenCompass' configuration has thinking on, and a comment in it says off for scientific benchmarks"
)

ITEMS = {
    "ifeval": 541,
    "proteinlmbench": 944,
    "hmmt:2026": 33,
    "imo-answerbench": 400,
    "simpleqa-verified": 1000,
    "frontierscience-research": 60,
    "frontierscience-olympiad": 100,
    "lcb-pro": 706,
    "mmmu-pro": 1730,
    "swe-bench-verified": 500,
    "sgi-bench": 318,
}
"""Items of benchmarks that are no suite here, by that name."""
INFERRED: dict[str, dict[str, Any]] = {
    "biology-instructions": {"rule": "mean of 21 tasks, each times 100 (summarizers/groups/biodata.py)"},
    "mol-instructions": {
        "rule": "mean of six tasks, (3 - error) / 3 for the energy (summarizers/groups/mol_instruct.py)"
    },
    "ifeval": {"metric": "prompt-level accuracy", "repeats": 1},
    "ifbench": {"metric": "mean of four accuracies"},
    "chartqapro": {"metric": "mean score of items, which are worth 0 to 1 (relaxed accuracy and ANLS)"},
    "sgi-bench": {
        "part": "deep research alone: six of eight numbers are shares of its 318 items",
        "repeats": 1,
    },
    "hmmt:2026": {"repeats": 32},
    "imo-answerbench": {"repeats": 1},
    "simpleqa-verified": {"repeats": 1},
    "frontierscience-research": {"repeats": 3},
    "frontierscience-olympiad": {"repeats": 3},
    "mmmu-pro": {"repeats": 1},
    "microvqa": {"repeats": 1},
    "lcb-pro": {"repeats": 1},
    "swe-bench-verified": {"repeats": 1},
}
"""What the printed numbers imply: all or nearly all are shares of the items times these repeats (`claims check --grid`)."""
TOOLKITS = {
    "OpenCompass": [
        "aime:2024",
        "aime:2025",
        "biology-instructions",
        "chembench:4k",
        "gpqa:diamond",
        "hle-text-only",
        "hmmt:2026",
        "ifbench",
        "ifeval",
        "imo-answerbench",
        "lcb-v6",
        "matbench",
        "mmlu-pro",
        "mol-instructions",
        "molecular-iq",
        "proteinlmbench",
        "scicode",
        "scireasoner",
        "simpleqa-verified",
        "smolinstruct",
    ],
    "VLMEvalKit": [
        "chartqapro",
        "hle-multimodal",
        "mathvision",
        "mathvista",
        "microvqa",
        "mmmu",
        "mmmu-pro",
        "mmstar",
        "msearth",
        "ocrbench-v2-chn",
        "ocrbench-v2-eng",
        "physics:all",
        "refcoco-avg",
        "sarena-icon",
        "screenspot-v2",
        "sfe:en",
        "xlrs:lite",
    ],
    "AgentCompass": ["gaia-text-only", "pinchbench", "swe-bench-verified", "tau2-bench"],
}
"""The makers name three toolkits for all their tables; which of them has a benchmark is seen in its code."""
TOOLKIT = {name: toolkit for toolkit, names in TOOLKITS.items() for name in names}

FIRST_TABLE = range(142, 159)
"""Lines of the README with the table of Intern-S1, first published with the model."""


class Row(NamedTuple):
    model: str
    benchmark: str
    metric: str
    score: str
    source: str


class Source(NamedTuple):
    commit: str
    file: str
    line: int | None
    superseded: bool
    note: str


def rows(shared: Path) -> list[Row]:
    with (shared / "reference" / "published_scores.csv").open(encoding="utf-8", newline="") as stream:
        return [Row(**row) for row in csv.DictReader(stream) if row["score"]]


def source(text: str) -> Source:
    match = re.fullmatch(
        r"InternLM/Intern-S1@(\w+) ([\w./]+?)(?::(\d+))?(?: \((read from image|SUPERSEDED by HEAD)\))?(?: ; (.*))?",
        text,
    )
    assert match, text
    commit, file, line, mark, note = match.groups()
    return Source(commit, file, int(line) if line else None, mark == "SUPERSEDED by HEAD", note or "")


def suite(benchmark: str) -> str:
    plain = re.sub(r"[^a-z0-9]", "", benchmark.lower())
    return SUITES.get(plain) or re.sub(r"[^a-z0-9]+", "-", benchmark.lower()).strip("-")


def tables(found: Iterable[Row]) -> Iterator[list[str]]:
    grouped: dict[tuple[str, str, Source], list[tuple[Row, str]]] = {}
    for row in found:
        location = source(row.source)
        grouped.setdefault((row.benchmark, row.metric, location._replace(note="")), []).append(
            (row, location.note)
        )
    for (benchmark, metric, location), some in grouped.items():
        yield list(lines(benchmark, metric, location, some))


def lines(benchmark: str, metric: str, place: Source, some: list[tuple[Row, str]]) -> Iterator[str]:
    commit, date = COMMITS[place.commit]
    anchor = f"#L{place.line}" if place.line else ""
    yield "[[claim]]"
    yield f'suite = "{suite(benchmark)}"'
    yield f"benchmark = {json.dumps(benchmark)}"
    if place.file == "README.md" and suite(benchmark) not in OPEN:  # the images say nothing of how
        yield 'protocol = "intern-s1"'
    if metric:
        yield f"metric = {json.dumps(metric)}"
    yield f'source = "{REPOSITORY}/{commit}/{place.file}{anchor}"'
    if date:
        yield f"date = {date}"
    if place.line in FIRST_TABLE and not place.superseded:
        yield "first = 2025-07-26"
    if place.superseded:
        yield "superseded = true"
    yield f"percent = {{ {', '.join(f'{json.dumps(row.model)} = {row.score}' for row, _ in some)} }}"
    if items := ITEMS.get(suite(benchmark)):
        yield f"items = {items}"
    yield from conditions(suite(benchmark), place, {row.model for row, _ in some})
    inferred = {"toolkit": TOOLKIT[name]} if (name := suite(benchmark)) in TOOLKIT else {}
    if inferred := inferred | INFERRED.get(name, {}):
        yield f"inferred = {inline(inferred)}"
    if place.file == "README.md" and not place.superseded and (note := NOTES.get(suite(benchmark))):
        yield f"note = {json.dumps(note)}"
    notes = {row.model: note for row, note in some if note} | remarks(suite(benchmark), place, some)
    if notes:
        yield f"notes = {inline({json.dumps(model): note for model, note in notes.items()})}"


def remarks(name: str, location: Source, some: list[tuple[Row, str]]) -> dict[str, str]:
    """Return remarks on contradictions between the developers' sources."""
    notes = {} if name not in TEXTS else {PRO_TABLE: {"Intern-S1-Pro": THINKING}}.get(location.file, {})
    if name in TEXTS and location.line in FIRST_TABLE:
        notes = {"Intern-S1": TOP_P}
    return {row.model: notes[row.model] for row, _ in some if row.model in notes}


def conditions(name: str, place: Source, models: set[str]) -> Iterator[str]:
    """Return the known conditions: the judge is not stated, and AIME's 86.0 % is impossible in one pass over 30 items."""
    if name not in TEXTS:
        return
    if place.file == "README.md" and place.line not in FIRST_TABLE and name in RULED:
        yield f"knobs = {inline(RULED[name])}"
    if place.line in FIRST_TABLE:
        yield f'told = "{OPENCOMPASS}/eval_bench_intern_s1.py"'
        known: dict[str, Any] = {"max_tokens": 65_536}
        known |= {} if name == "aime:2025" else {"repeats": 1}
        yield f"knobs = {inline(known | RULED.get(name, {}))}"
        yield f'model_knobs = {{ "Intern-S1" = {inline(OWN)} }}'
    elif place.file == PRO_TABLE and "Intern-S1-Pro" in models:
        yield f'told = "{OPENCOMPASS}/eval_intern_s1_pro.py"'
        known = PRO | ({"repeats": PRO_REPEATS[name]} if name in PRO_REPEATS else {})
        yield f'model_knobs = {{ "Intern-S1-Pro" = {inline(known)} }}'


def inline(table: Mapping[str, Any]) -> str:
    return "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in table.items()) + " }"


def written(shared: Path) -> str:
    head = "# Published numbers of the Intern-S1 family and its rivals. Written by tools/make_claims.py; do not edit.\n"
    return head + "".join("\n" + "\n".join(some) + "\n" for some in tables(rows(shared)))


if __name__ == "__main__":
    TARGET.write_text(written(mirror.shared_folder()), encoding="utf-8")
