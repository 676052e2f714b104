"""Files for other programs: JSON with its schema, CSV, an Atom feed, BibTeX, CITATION.cff and badges."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from evals.board import trust
from evals.board.results import EntryResult, SuiteResult
from evals.board.site.contents import Column, Contents, Entrant
from evals.board.site.pages import environment
from evals.board.submission import ModelCard
from evals.plain import escape_formula
from evals.verdicts import formatting

if TYPE_CHECKING:
    from jinja2 import Template

FORMAT = 1


class ExportedNumber(Struct, kw_only=True):
    """A score with its uncertainty and provenance; fractions range from 0 to 1."""

    entry: str
    suite: str
    protocol: str
    version: str
    metric: str
    unit: str
    better: str
    value: float | None
    low: float | None
    """95 % interval."""
    high: float | None
    worst: float | None
    best: float | None
    n: int
    repeats: int
    coverage: float
    truncated: int
    rank_low: int | None
    rank_high: int | None
    groups: str
    """Group letters: entries that share one are not significantly different."""
    level: str
    """Verification level: recomputed, challenged or rerun."""
    challenge: str
    """Verdict of the challenge: consistent, close, different or untestable; empty if no challenge counts."""
    promise: str
    """State of the preregistration: none, kept or broken."""
    cost_usd: float | None
    tokens: int
    run: str
    data_sha256: str


class ExportedEntry(Struct, kw_only=True):
    """A model version without its scores."""

    entry: str
    label: str
    model: ModelCard | None
    status: str
    """`published`, or the decision in force for it."""
    content_sha256: str


class ExportedBoard(Struct, kw_only=True):
    """The content of `data/board.json`."""

    format: int = FORMAT
    title: str
    url: str
    entries: list[ExportedEntry]
    numbers: list[ExportedNumber]


def export(site: Contents) -> ExportedBoard:
    """Return the entrants and their scores for `data/board.json`."""
    return ExportedBoard(
        title=site.title,
        url=site.url,
        entries=[
            ExportedEntry(
                entry=entrant.name,
                label=entrant.label,
                model=entrant.model,
                status=entrant.decision.kind if entrant.decision else "published",
                content_sha256=entrant.content_sha256,
            )
            for entrant in site.entrants
        ],
        numbers=[
            _number(entrant, column, entrant.results[column.key])
            for column in site.columns
            for entrant in site.entrants
            if column.key in entrant.results
        ],
    )


def _number(entrant: Entrant, column: Column, result: SuiteResult) -> ExportedNumber:
    headline = column.headline_of(result)
    rank = column.comparison.ranks.get(entrant.name)
    estimate = {
        name: getattr(headline, name)
        for name in ("metric", "unit", "better", "value", "low", "high", "worst", "best", "n")
    }
    return ExportedNumber(
        entry=entrant.name, suite=result.suite, protocol=result.protocol, version=result.version, repeats=result.repeats,
        coverage=result.coverage, truncated=result.truncated, level=result.level, cost_usd=result.cost_usd,
        challenge=entrant.verdict(column.key) or "", promise=trust.promise_state(result.promise),
        tokens=result.tokens.get("input", 0) + result.tokens.get("output", 0), run=result.run,
        data_sha256=result.data_sha256, rank_low=rank.rank_low if rank else None,
        rank_high=rank.rank_high if rank else None, groups=rank.groups if rank else "", **estimate,
    )  # fmt: skip


def files(site: Contents) -> Iterator[tuple[str, bytes]]:
    """Yield the path and content of every file."""
    board, templates = export(site), environment()
    badge = templates.get_template("badge.svg")
    yield "data/board.json", _json(board)
    yield "data/schema.json", _json(msgspec.json.schema(ExportedBoard))
    yield "data/entry.schema.json", _json(msgspec.json.schema(EntryResult))
    yield "data/board.csv", _csv(board)
    yield "feed.atom", _atom(site, templates.get_template("feed.xml"))
    yield "board.bib", _bibtex(site, None).encode()
    yield "CITATION.cff", _citation(site).encode()
    for entrant in site.entrants:
        if entrant.model is not None:
            yield f"cite/{entrant.name}.bib", _bibtex(site, entrant).encode()
        for column in site.columns:
            if (result := entrant.results.get(column.key)) is not None:
                yield f"badges/{entrant.name}--{column.name}.svg", _badge(column, result, entrant, badge)


def _json(content: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(content), indent=1)


def _csv(board: ExportedBoard) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = ExportedNumber.__struct_fields__
    writer.writerow(names)
    for number in board.numbers:
        writer.writerow([escape_formula(getattr(number, name)) for name in names])
    return stream.getvalue().encode()


def _atom(site: Contents, template: Template) -> bytes:
    """Return an Atom feed (RFC 4287) of the entrants with their scores and decisions, the latest run first."""
    entrants = sorted(site.entrants, key=lambda entrant: entrant.latest_start, reverse=True)
    entries = [{"entrant": e, "changed": _last_change(e), "summary": _summary(e)} for e in entrants]
    return template.render(site=site, base=site.url or "urn:science-evals:board:", entries=entries).encode()


def _last_change(entrant: Entrant) -> float:
    changes = [entrant.latest_start, *(challenge.challenged for challenge in entrant.challenges.values())]
    if entrant.decision is not None:
        decision_time = datetime.combine(entrant.decision.date, datetime.min.time(), tzinfo=UTC)
        changes.append(decision_time.timestamp())
    return max(changes)


def _summary(entrant: Entrant) -> str:
    scores = (
        f"{result.label}: {formatting.format_amount(result.headline.value, result.headline.unit)} ({entrant.level(key)})"
        for key, result in entrant.results.items()
        if result.headline is not None
    )
    decision = f"{entrant.decision.kind}: {entrant.decision.reason}. " if entrant.decision else ""
    return decision + "; ".join(scores)


def _bibtex(site: Contents, entrant: Entrant | None) -> str:
    """Return a BibTeX entry for an entrant's results, or for the board if `entrant` is None."""
    title = site.title if entrant is None else f"Results of {entrant.label}, {site.title}"
    key = "".join(c for c in (entrant.name if entrant else site.title) if c.isalnum()) or "board"
    started = max((e.latest_start for e in site.entrants), default=0.0)
    address = site.url + (f"models/{entrant.name}.html" if entrant else "") if site.url else ""
    lines = [
        f"@misc{{{key},", f"  title = {{{{{_escape_tex(title)}}}}},",
        *([f"  year = {{{datetime.fromtimestamp(started, tz=UTC).year}}},"] if started else []),
        *([f"  url = {{{address}}},"] if address else []),
        *([f"  note = {{sha256:{entrant.content_sha256}}},"] if entrant and entrant.content_sha256 else []),
        "}", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _escape_tex(text: str) -> str:
    """Return text with the special characters of TeX escaped or omitted."""
    return "".join(f"\\{c}" if c in "&%$#_" else c for c in text if c not in "\\{}~^")


def _citation(site: Contents) -> str:
    """Return the content of CITATION.cff; JSON strings are valid YAML strings."""
    lines = [
        "cff-version: 1.2.0",
        "type: dataset",
        f"title: {_quote(site.title)}",
        "message: Cite the board by its title and address.",
    ]
    lines += [f"url: {_quote(site.url)}"] if site.url else []
    return "\n".join([*lines, f"authors:\n  - name: {_quote(site.contact or site.title)}", ""])


def _quote(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _badge(column: Column, result: SuiteResult, entrant: Entrant, template: Template) -> bytes:
    """Return an SVG with the suite and the score or, if the entrant is not ranked, the decision that removed it."""
    headline = column.headline_of(result)
    score = (
        formatting.format_amount(headline.value, headline.unit)
        if entrant.is_ranked or entrant.decision is None
        else entrant.decision.kind
    )
    if entrant.verdict(column.key) == "different":
        score = f"{score}, {trust.CHALLENGES['different'].words}"
    left, right = (7 * len(text) + 12 for text in (column.label, score))  # 7 px per character, and margins
    return template.render(label=column.label, score=score, left=left, right=right).encode()
