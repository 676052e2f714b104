"""The HTML pages, rendered from the templates in `evals/templates/site`, which escape every text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from evals.board import trust
from evals.board.site.contents import Column, Contents, Entrant
from evals.board.site.marks import challenge_facts, day, legend, percent, table_marks
from evals.errors import UsageError, install_command
from evals.verdicts import formatting

if TYPE_CHECKING:
    from jinja2 import Environment

    from evals.board.site.comparison import Difference
    from evals.types import Estimate
    from evals.verdicts.ranks import Rank

MADE = "Made by science-evals."


class Page(NamedTuple):
    """A page: its path in the site and its HTML."""

    path: str
    html: str


def environment() -> Environment:
    """Return the Jinja environment with the filters of the pages; raises UsageError if Jinja is not installed."""
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise UsageError(f"the pages of a board require {install_command('board')}") from None
    templates = Environment(
        loader=PackageLoader("evals", "templates/site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(
        amount=formatting.format_amount, figure=figure, interval=interval, bounds=bounds, percent=percent, rank=rank_text,
        total=total, cost=cost, day=day, difference=difference_text,
        state=trust.promise_state,
    )  # fmt: skip
    return templates


def figure(estimate: Estimate) -> str:
    """Format a value with the half-width of its interval: `54.2 ±1.3`; a fraction is in percent, without the percent sign."""
    if estimate.value is None:
        return "-"
    scale, digits = (100.0, ".1f") if estimate.unit == "fraction" else (1.0, ".4g")
    text = f"{scale * estimate.value:{digits}}"
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} ±{scale * (estimate.high - estimate.low) / 2:{digits if scale > 1 else '.2g'}}"


def interval(estimate: Estimate) -> str:
    """Format an estimate's interval."""
    return _span(estimate.low, estimate.high, estimate.unit)


def bounds(estimate: Estimate) -> str:
    """Format an estimate's bounds: its value if all missing outcomes were wrong, and if all were right."""
    return _span(estimate.worst, estimate.best, estimate.unit)


def _span(low: float | None, high: float | None, unit: str) -> str:
    if low is None or high is None:
        return "-"
    scale, digits = (100.0, ".2f") if unit == "fraction" else (1.0, ".4g")
    return f"{scale * low:{digits}} to {scale * high:{digits}}"


def rank_text(rank: Rank | None) -> str:
    """Format an interval of ranks."""
    if rank is None:
        return "-"
    return f"{rank.rank_low}" if rank.rank_low == rank.rank_high else f"{rank.rank_low}–{rank.rank_high}"


def total(tokens: dict[str, int]) -> int:
    """Return the sum of input and output tokens."""
    return tokens.get("input", 0) + tokens.get("output", 0)


def cost(usd: float | None) -> str:
    """Format a cost in US dollars."""
    return "unknown" if usd is None else f"${usd:,.2f}"


def difference_text(difference: Difference, unit: str) -> str:
    """Format a difference with its interval."""
    return f"{formatting.format_amount(difference.value, unit, signed=True)} {formatting.format_interval(difference.low, difference.high, unit)}"


def render(site: Contents) -> Iterator[Page]:
    """Yield every HTML page."""
    templates = environment()

    def page(path: str, template: str, title: str, **values: Any) -> Page:
        values |= {"site": site, "root": "../" * path.count("/"), "title": title, "made": MADE}
        return Page(path, templates.get_template(template).render(values))

    yield page(
        "index.html", "index.html", site.title, groups=_groups(site), level_note=_level_note(site),
        legend=legend((entrant, key) for entrant in site.entrants for key in entrant.results),
    )  # fmt: skip
    yield page("about.html", "about.html", "About", decisions=site.decisions)
    yield page("suites.html", "list.html", "Suites", headings=SUITE_HEADINGS, rows=list(_suite_rows(site)))
    yield page("models.html", "list.html", "Models", headings=MODEL_HEADINGS, rows=list(_model_rows(site)))
    for column in site.columns:
        entrants = site.entrants_of(column)
        yield page(
            f"suites/{column.name}.html", "suite.html", column.label, column=column, entrants=entrants,
            significance=significance(site, column), suite_title=_suite_title(column),
            **table_marks([(entrant.label, entrant, column.key) for entrant in entrants]),
        )  # fmt: skip
    for entrant in site.entrants:
        columns = [column for column in site.columns if column.key in entrant.results]
        yield page(
            f"models/{entrant.name}.html", "model.html", entrant.label, entrant=entrant, columns=columns,
            card=_card_rows(entrant), versions=_other_versions(site, entrant), names={e.name for e in site.entrants},
            has_bundle=(site.source / "entries" / f"{entrant.name}.zip").is_file(),
            **table_marks([(column.label, entrant, column.key) for column in columns]),
        )  # fmt: skip
        others = [other for other in site.entrants if other is not entrant and other.is_ranked]
        yield page(
            f"compare/{entrant.name}.html", "compare.html", f"{entrant.label} compared", parts=_by_protocol(columns),
            entrant=entrant, others=others,
        )  # fmt: skip
        for column in columns:
            yield page(
                f"runs/{entrant.name}--{column.name}.html", "run.html", f"Run of {column.label}",
                column=column, entrant=entrant, **_run_variables(entrant, column),
            )  # fmt: skip


def _suite_title(column: Column) -> str:
    """Return the title of a column's suite with a full stop; empty if the suite is not installed here."""
    from evals import load
    from evals.errors import EvalsError

    try:
        return f"{load.recorded_benchmark(column.suite.partition(':')[0]).title.rstrip('.')}."
    except EvalsError:
        return ""


def significance(site: Contents, column: Column) -> str:
    """Return a sentence that states how many pairs of entrants in a column are significantly different."""
    if column.comparison.reason:
        return f"Not compared: {column.comparison.reason}."
    count = len(site.entrants_of(column))
    significant = sum(d.p <= 0.05 for d in column.comparison.differences.values())
    return (
        f"{significant} of {len(column.comparison.differences)} pairs of {count} models are significantly different; models "
        "that share a letter are not."
    )


def _level_note(site: Contents) -> str:
    if site.is_board:
        return "Every score was recomputed from the replies; see About for the levels."
    return "Scores of your own runs."


def _by_protocol(columns: Sequence[Column]) -> list[dict[str, Any]]:
    """Return the columns of each protocol, with the protocol's name and its anchor on the page."""
    ordered = sorted(columns, key=lambda column: (column.protocol, column.suite))
    return [
        {"protocol": protocol, "id": f"protocol-{number}", "columns": list(members)}
        for number, (protocol, members) in enumerate(groupby(ordered, key=lambda column: column.protocol))
    ]


def _groups(site: Contents) -> list[dict[str, Any]]:
    """Return the columns and entrants of each protocol; entrants are in order of their scores in its first column."""
    groups = _by_protocol(site.columns)
    for group in groups:
        keys = [column.key for column in group["columns"]]
        group["entrants"] = site.entrants_of(group["columns"][0])
        group["entrants"] += [
            e
            for e in site.entrants
            if e.is_ranked and e not in group["entrants"] and any(key in e.results for key in keys)
        ]
    return groups


SUITE_HEADINGS = ("suite", "models", "metric", "items", "protocol", "version")
MODEL_HEADINGS = ("model", "suites", "latest run", "weights", "licence", "parameters (10⁹)")


def _suite_rows(site: Contents) -> Iterator[dict[str, Any]]:
    for column in site.columns:
        entrants = site.entrants_of(column)
        items = max((e.results[column.key].items for e in entrants), default=0)
        yield {
            "href": f"suites/{column.name}.html", "name": column.suite, "mark": "",
            "cells": (len(entrants), column.headline.metric, f"{items:,}" if items else "-", column.protocol, column.version),
        }  # fmt: skip


def _model_rows(site: Contents) -> Iterator[dict[str, Any]]:
    for entrant in site.entrants:
        card = entrant.model
        size = card.parameters_b if card else None
        yield {
            "href": f"models/{entrant.name}.html", "name": entrant.label,
            "mark": entrant.decision.kind if entrant.decision and entrant.decision.kind != "accepted" else "",
            "cells": (
                len(entrant.results), day(entrant.latest_start), card.weights if card else "-", card.licence if card else "-",
                "-" if size is None else f"{size:g}",
            ),
        }  # fmt: skip


def _other_versions(site: Contents, entrant: Entrant) -> list[Entrant]:
    """Return the other versions of a model, the latest first."""
    if entrant.model is None:
        return []
    model = entrant.model.model
    versions = [e for e in site.entrants if e is not entrant and e.model and e.model.model == model]
    return sorted(versions, key=lambda other: other.latest_start, reverse=True)


def _card_rows(entrant: Entrant) -> list[tuple[str, Any]]:
    card = entrant.model
    if card is None:
        return []
    sizes = [f"{size:g} · 10⁹" if size is not None else None for size in (card.parameters_b, card.active_b)]
    return [
        ("model", card.model), ("revision", card.revision), ("weights", card.weights), ("parameters", sizes[0]),
        ("active parameters", sizes[1]), ("licence", card.licence), ("training data", card.training_data),
        ("conflicts of interest", card.conflicts), ("contact", card.contact), ("page", card.url),
        ("hash of its results", entrant.content_sha256),
    ]  # fmt: skip


def _run_variables(entrant: Entrant, column: Column) -> dict[str, Any]:
    result, challenge = entrant.results[column.key], entrant.challenges.get(column.key)
    sampling = result.sampling
    settings = {
        name: getattr(sampling, name) for name in ("temperature", "top_p", "top_k", "max_tokens", "thinking")
    }
    sampling_text = ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)
    provenance = [
        ("run", result.run), ("started", day(result.started)), ("served as", result.served),
        ("sampling", sampling_text or "the server's defaults"), ("repeats", result.repeats), ("judge", result.judge),
        ("suite version", result.version), ("errata", result.errata), ("preregistration", result.promise),
        ("hash of the data", result.data_sha256), ("hash of the bundle", result.bundle_sha256),
    ]  # fmt: skip
    outcomes = [
        *sorted(result.counts.items()), ("coverage", percent(result.coverage)), ("truncated", result.truncated),
        *((f"{kind} tokens", f"{number:,}") for kind, number in sorted(result.tokens.items())),
        ("cost", cost(result.cost_usd)),
    ]  # fmt: skip
    headline = result.headline
    groups = [e for e in result.estimates if headline is not None and e.group and e.metric == headline.metric]
    return {
        "result": result, "head": headline, "outcomes": outcomes, "provenance": provenance, "groups": groups,
        "challenge": challenge_facts(challenge) if challenge else [],
    }  # fmt: skip
