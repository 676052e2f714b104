"""Write `results/claims/intern-s1.toml` from the shared table of published scores: `python -m tools.make_claims`.

The table has no dates, but its sources do: they are files of a repository at a dated commit. The table spells some
benchmarks in two ways; here a suite has one name, and each claim keeps the spelling of its source.
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
"""Abbreviated commit -> (longest known form of its hash, date), with an empty date if it is unknown."""

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
    "mmmupro": "mmmu:pro",
    "refcocoavg": "refcoco:avg",
    "moleculariq": "molecular-iq",
    "molinstructions": "mol-instructions",
    "msearthmcq": "msearth",
    "physics": "physics:all",
    "sfe": "sfe:en",
    "xlrsbench": "xlrs:lite",
}
"""Benchmark in lower case, letters and digits only -> suite, if its name differs."""

TEXT_SUITES = (
    "mmlu-pro", "gpqa:diamond", "aime:2025", "smolinstruct", "chembench:4k", "matbench", "ifeval", "proteinlmbench",
)  # fmt: skip
"""Suites in OpenCompass' example configurations for these models, which state max tokens and repeats for every model, but
sampling only for the developers' own models."""
OPENCOMPASS = "https://github.com/open-compass/opencompass/blob/a5acc4bb/examples"
INTERN_S1_SAMPLING = {"temperature": 0.7, "top_p": 0.95, "thinking": True}
"""Source: configs/models/interns1/intern_s1.py; the sampling of other developers' models is not stated."""
INTERN_S1_PRO_SAMPLING = {"temperature": 0.8, "max_tokens": 65_536}
"""Source: eval_intern_s1_pro.py, which contradicts itself on whether thinking was on."""
PRO_REPEATS = {"gpqa:diamond": 8, "aime:2025": 32}
"""Suite -> repeats of Intern-S1-Pro, from the same file."""
WITHOUT_JUDGE = {"ifeval": {"judge": "none"}}
"""Suite -> condition, for suites whose definition excludes a judge."""
PRO_TABLE = "assets/s1_pro_performance.jpeg"
"""Image with the table of Intern-S1-Pro."""
UNKNOWN_RULE = ("xlrs:lite",)
"""Suites whose numbers in the README were scored by an unknown rule, although the toolkit is known."""
NOTES = {
    "aime:2024": "not all numbers in this row are multiples of 1/30: several passes, whose number is not stated",
    "aime:2025": "not all numbers in this row are multiples of 1/30: several passes, whose number is not stated",
    "chembench:4k": "ChemBench4K (AI4Chem), eight of its nine tasks; not the ChemBench of lamalab-org",
    "matbench": "the formula is not stated with the number; OpenCompass added one later, on 2026-05-15",
    "smolinstruct": "the formula is not stated with the number; OpenCompass added one later, on 2026-05-15",
    "xlrs:lite": "VLMEvalKit's rule gives Intern-S1-mini 14.51 % (its issue 1331), not the published 51.63 %",
}
"""Notes on rows of the README beyond their conditions."""
TOP_P_REMARK = "top_p 0.95 is from OpenCompass' configuration; the model's own guide states 1.0"
THINKING_REMARK = (
    "OpenCompass' configuration switches thinking on; a comment in it says off for scientific benchmarks"
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
    "mmmu:pro": 1730,
    "swe-bench-verified": 500,
    "sgi-bench": 318,
}
"""Benchmark without a suite here, or whose suite does not know it -> number of items."""
INFERRED: dict[str, dict[str, Any]] = {
    "biology-instructions": {"rule": "mean of 21 tasks, each times 100 (summarizers/groups/biodata.py)"},
    "mol-instructions": {
        "rule": "mean of six tasks, (3 - error) / 3 for the energy (summarizers/groups/mol_instruct.py)"
    },
    "ifeval": {"metric": "prompt-level accuracy", "repeats": 1},
    "ifbench": {"metric": "mean of four accuracies"},
    "chartqapro": {"metric": "mean score of items, which are worth 0 to 1 (relaxed accuracy and ANLS)"},
    "sgi-bench": {
        "part": "deep research alone: six of eight numbers are multiples of 1/318, its number of items",
        "repeats": 1,
    },
    "hmmt:2026": {"repeats": 32},
    "imo-answerbench": {"repeats": 1},
    "simpleqa-verified": {"repeats": 1},
    "frontierscience-research": {"repeats": 3},
    "frontierscience-olympiad": {"repeats": 3},
    "mmmu:pro": {"repeats": 1},
    "microvqa": {"repeats": 1},
    "lcb-pro": {"repeats": 1},
    "swe-bench-verified": {"repeats": 1},
}
"""Benchmark -> facts inferred from the toolkit's code, or, for repeats, from the printed numbers: (nearly) all are multiples of
1 / (items x repeats), see `evals claims check --grid`."""
TOOLKITS = {
    "OpenCompass": (
        "aime:2024", "aime:2025", "biology-instructions", "chembench:4k", "gpqa:diamond", "hle-text-only", "hmmt:2026",
        "ifbench", "ifeval", "imo-answerbench", "lcb-v6", "matbench", "mmlu-pro", "mol-instructions", "molecular-iq",
        "proteinlmbench", "scicode", "scireasoner", "simpleqa-verified", "smolinstruct",
    ),
    "VLMEvalKit": (
        "chartqapro", "hle-multimodal", "mathvision", "mathvista", "microvqa", "mmmu", "mmmu:pro", "mmstar", "msearth",
        "ocrbench-v2-chn", "ocrbench-v2-eng", "physics:all", "refcoco:avg", "sarena-icon", "screenspot-v2", "sfe:en",
        "xlrs:lite",
    ),
    "AgentCompass": ("gaia-text-only", "pinchbench", "swe-bench-verified", "tau2-bench"),
}  # fmt: skip
"""Toolkit -> benchmarks in its code; the developers name these three toolkits for all their tables."""
TOOLKIT = {name: toolkit for toolkit, names in TOOLKITS.items() for name in names}

FIRST_TABLE = range(142, 159)
"""Lines of the README with the table of Intern-S1, first published with the model."""


class Row(NamedTuple):
    """A row of the shared table."""

    model: str
    benchmark: str
    metric: str
    score: str
    source: str


class Source(NamedTuple):
    """The parsed source of a row: a file, or a line of it, in the developers' repository."""

    commit: str
    file: str
    line: int | None
    superseded: bool
    note: str


def rows(shared: Path, file: str = "published_scores.csv") -> list[Row]:
    """Return the rows of a shared table that have a score."""
    with (shared / "reference" / file).open(encoding="utf-8", newline="") as stream:
        return [Row(**row) for row in csv.DictReader(stream) if row["score"]]


def parse_source(text: str) -> Source:
    """Parse a row's source."""
    match = re.fullmatch(
        r"InternLM/Intern-S1@(\w+) ([\w./]+?)(?::(\d+))?(?: \((read from image|SUPERSEDED by HEAD)\))?(?: ; (.*))?",
        text,
    )
    assert match, text
    commit, file, line, mark, note = match.groups()
    return Source(commit, file, int(line) if line else None, mark == "SUPERSEDED by HEAD", note or "")


def suite_name(benchmark: str) -> str:
    """Return the suite of a benchmark, or a name in the same form if there is none."""
    return SUITES.get(re.sub(r"[^a-z0-9]", "", benchmark.lower())) or hyphenate(benchmark)


def hyphenate(name: str) -> str:
    """Return a name in lower case, with hyphens between its words."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def claim_tables(all_rows: Iterable[Row]) -> Iterator[list[str]]:
    """Yield the lines of each TOML table, for the rows with the same benchmark, metric and source."""
    grouped: dict[tuple[str, str, Source], list[tuple[Row, str]]] = {}
    for row in all_rows:
        source = parse_source(row.source)
        grouped.setdefault((row.benchmark, row.metric, source._replace(note="")), []).append(
            (row, source.note)
        )
    for (benchmark, metric, source), members in grouped.items():
        yield list(claim_lines(benchmark, metric, source, members))


def claim_lines(benchmark: str, metric: str, source: Source, members: list[tuple[Row, str]]) -> Iterator[str]:
    """Yield the lines of one TOML table; `members`: its rows with their notes."""
    commit, date = COMMITS[source.commit]
    anchor = f"#L{source.line}" if source.line else ""
    suite = suite_name(benchmark)
    yield "[[claim]]"
    yield f'suite = "{suite}"'
    yield f"benchmark = {json.dumps(benchmark)}"
    if source.file == "README.md" and suite not in UNKNOWN_RULE:  # images do not state the protocol
        yield 'protocol = "intern-s1"'
    if metric:
        yield f"metric = {json.dumps(metric)}"
    yield f'source = "{REPOSITORY}/{commit}/{source.file}{anchor}"'
    if date:
        yield f"date = {date}"
    if source.line in FIRST_TABLE and not source.superseded:
        yield "first = 2025-07-26"
    if source.superseded:
        yield "superseded = true"
    yield f"percent = {{ {', '.join(f'{json.dumps(row.model)} = {row.score}' for row, _ in members)} }}"
    if items := ITEMS.get(suite):
        yield f"items = {items}"
    yield from conditions(suite, source, {row.model for row, _ in members})
    inferred = {"toolkit": TOOLKIT[suite]} if suite in TOOLKIT else {}
    if inferred := inferred | INFERRED.get(suite, {}):
        yield f"inferred = {inline(inferred)}"
    if source.file == "README.md" and not source.superseded and (note := NOTES.get(suite)):
        yield f"note = {json.dumps(note)}"
    notes = {row.model: note for row, note in members if note} | remarks(suite, source, members)
    if notes:
        yield f"notes = {inline({json.dumps(model): note for model, note in notes.items()})}"


def remarks(suite: str, source: Source, members: list[tuple[Row, str]]) -> dict[str, str]:
    """Return, by model, a remark on a contradiction between the developers' sources."""
    if suite not in TEXT_SUITES:
        return {}
    notes = {"Intern-S1-Pro": THINKING_REMARK} if source.file == PRO_TABLE else {}
    if source.line in FIRST_TABLE:
        notes = {"Intern-S1": TOP_P_REMARK}
    return {row.model: notes[row.model] for row, _ in members if row.model in notes}


def conditions(suite: str, source: Source, models: set[str]) -> Iterator[str]:
    """Yield lines with the known conditions of a table.

    The judge is not stated. AIME's repeats are omitted, as its 86.0 % is impossible in one pass over 30 items.
    """
    if suite not in TEXT_SUITES:
        return
    if source.file == "README.md" and source.line not in FIRST_TABLE and suite in WITHOUT_JUDGE:
        yield f"knobs = {inline(WITHOUT_JUDGE[suite])}"
    if source.line in FIRST_TABLE:
        yield f'told = "{OPENCOMPASS}/eval_bench_intern_s1.py"'
        known: dict[str, Any] = {"max_tokens": 65_536}
        known |= {} if suite == "aime:2025" else {"repeats": 1}
        yield f"knobs = {inline(known | WITHOUT_JUDGE.get(suite, {}))}"
        yield f'model_knobs = {{ "Intern-S1" = {inline(INTERN_S1_SAMPLING)} }}'
    elif source.file == PRO_TABLE and "Intern-S1-Pro" in models:
        yield f'told = "{OPENCOMPASS}/eval_intern_s1_pro.py"'
        known = INTERN_S1_PRO_SAMPLING | ({"repeats": PRO_REPEATS[suite]} if suite in PRO_REPEATS else {})
        yield f'model_knobs = {{ "Intern-S1-Pro" = {inline(known)} }}'


def inline(table: Mapping[str, Any]) -> str:
    """Return a mapping as an inline table of TOML."""
    return "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in table.items()) + " }"


def join_tables(comment: str, tables: Iterable[list[str]]) -> str:
    """Return the content of a claims file."""
    return f"# {comment}\n" + "".join("\n" + "\n".join(lines) + "\n" for lines in tables)


def file_content(shared: Path) -> str:
    """Return the content of the claims file."""
    comment = "Published numbers of the Intern-S1 family and its rivals. Written by tools/make_claims.py; do not edit."
    return join_tables(comment, claim_tables(rows(shared)))


if __name__ == "__main__":
    TARGET.write_text(file_content(mirror.shared_folder()), encoding="utf-8")
