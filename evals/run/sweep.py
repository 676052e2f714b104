"""Sweeps: models x suites x protocols x repeats, defined in a request file and executed in as few sessions as possible.

A request file defines a sweep if it has tables `[[sweep]]`, a key `protocols`, or a list as `repeats`. Keys above the tables
are defaults for all tables. A table stands for all combinations of its models, suites, protocols and repeats; its other keys
are options of a run. Combinations with the same models and options share a session, and thus one queue for each model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import msgspec
from msgspec import Struct, structs

from evals import load
from evals.errors import EvalsError, UnknownName, UsageError
from evals.run.budget import Spending
from evals.run.dry_run import Forecast, forecast
from evals.run.model_run import Outcome
from evals.run.request import RunRequest, make_request, options
from evals.run.session import Session
from evals.suite import Suite

TABLES, PROTOCOLS, REPEATS = "sweep", "protocols", "repeats"
"""Keys of a sweep's file."""
SINGLE_RUN_OPTIONS = ("run", "dry_run", "until_decided", "against", "policy", "promise", "detach")
"""Options that are not allowed in a sweep, except for `--detach` on the command line, which applies to the whole sweep."""


class Part(Struct, frozen=True, kw_only=True):
    """A part of a sweep, executed as one session."""

    request: RunRequest
    """Models and options, without suites, protocol and repeats."""
    suites: tuple[Suite, ...]
    """The suites, each with its protocol and number of repeats."""


class SweepResult(Struct, kw_only=True):
    """Outcomes of a sweep."""

    outcomes: list[Outcome]
    faults: list[str]
    """A line for each reason why parts failed or were not run."""


def plan_sweep(
    settings: Mapping[str, Any], overrides: Mapping[str, Any], source: str
) -> tuple[list[Part], list[str]]:
    """Return the parts of a sweep, and a line for each mistake in its settings.

    `overrides`: options from the command line, which take precedence over the file's.
    """
    faults: list[str] = []
    parts = []
    for name, levels in _settings_levels(settings, source, faults):
        table = _merge_levels([*levels, ("", overrides)], name, faults)
        parts += _table_parts(table, name, faults)
    return _merge_parts(parts), list(dict.fromkeys(faults))


def _settings_levels(
    settings: Mapping[str, Any], source: str, faults: list[str]
) -> Iterator[tuple[str, list[tuple[str, Mapping[str, Any]]]]]:
    """Yield (name, levels) for each table. Its levels are (source, settings): the keys above all tables, then the table's own."""
    defaults = source, {key: value for key, value in settings.items() if key != TABLES}
    tables = settings.get(TABLES, [{}])
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        faults.append(f"{source}: {TABLES} must be tables, each under a line [[{TABLES}]]")
        return
    for number, table in enumerate(tables, 1):
        name = f"{source}, [[{TABLES}]] {number}" if TABLES in settings else source
        yield name, [defaults, (name, table)]


def _merge_levels(
    levels: Sequence[tuple[str, Mapping[str, Any]]], name: str, faults: list[str]
) -> dict[str, Any]:
    """Merge the levels of a table; later levels take precedence, and mistakes are added to `faults`."""
    allowed = [key for key in (*options(), PROTOCOLS) if key not in SINGLE_RUN_OPTIONS]
    merged: dict[str, Any] = {}
    for source, level in levels:
        values: dict[str, Any] = {}
        for key, value in level.items():
            option = key.replace("-", "_")
            if option in SINGLE_RUN_OPTIONS and (source or option != "detach"):
                faults.append(f"{source or 'sweep'}: {key} is for single runs, not for a sweep")
            elif option not in allowed and option != "detach":
                faults.append(str(UnknownName("key", key, allowed, source=source or name)))
            elif option in values:
                faults.append(f"{source}: {key} is set twice, with hyphens and with underscores")
            else:
                values[option] = value
        if "protocol" in values and PROTOCOLS in values:
            faults.append(f"{source}: protocol and {PROTOCOLS} cannot be combined")
        if "protocol" in values:
            values[PROTOCOLS] = values.pop("protocol")
        merged |= values
    return merged


def _table_parts(table: dict[str, Any], name: str, faults: list[str]) -> list[Part]:
    """Return a part for each suite, protocol and number of repeats in a table; mistakes are added to `faults`."""
    protocols = _axis_values(table.pop(PROTOCOLS, None), str, f"{name}: {PROTOCOLS} must be names", faults)
    repeats = _axis_values(
        table.pop(REPEATS, None), int, f"{name}: {REPEATS} must be whole numbers above 0", faults
    )
    try:
        request = make_request(table, source=name)
    except UsageError as error:
        faults.append(str(error))
        return []
    for axis in ("models", "suites"):
        if not getattr(request, axis):
            faults.append(f"{name}: no {axis}")
    common_request = structs.replace(request, suites=[])
    parts = []
    for spec, protocol, count in product(request.suites, protocols, repeats):
        try:
            suites = load.suite(spec, protocol, shots=request.shots)
        except UsageError as error:
            faults.append(f"{name}: {error}")
            continue
        with_repeats = [structs.replace(suite, repeats=count) if count else suite for suite in suites]
        parts.append(Part(request=common_request, suites=tuple(with_repeats)))
    return parts


def _axis_values(value: Any, kind: type, fault: str, faults: list[str]) -> list[Any]:
    """Return the values of one axis of a sweep, [None] if it is not set; if they are invalid, add `fault` to `faults`."""
    if value is None:
        return [None]
    values = value if isinstance(value, list | tuple) else [value]
    has_valid_types = bool(values) and all(type(item) is kind and item != "" for item in values)
    if not has_valid_types or (kind is int and min(values) < 1):
        faults.append(fault)
        return []
    return list(dict.fromkeys(values))


def _merge_parts(parts: Sequence[Part]) -> list[Part]:
    """Merge parts with the same models and options; a suite with several numbers of repeats needs as many parts."""
    sessions: dict[tuple[bytes, int], tuple[RunRequest, dict[tuple[str, str], Suite]]] = {}
    for part in parts:
        encoded = msgspec.json.encode(part.request, enc_hook=str)
        for suite in part.suites:
            key, number = (suite.id, suite.protocol), 0
            while True:
                _, suites = sessions.setdefault((encoded, number), (part.request, {}))
                if suites.setdefault(key, suite).repeats == suite.repeats:
                    break
                number += 1
    return [Part(request=request, suites=tuple(suites.values())) for request, suites in sessions.values()]


def forecasts(parts: Sequence[Part], say: Callable[[str], None]) -> list[list[Forecast]]:
    """Return the forecasts for every suite and model of each part; no model is called and nothing is written."""
    return [forecast(Session(part.request, suites=part.suites, say=say)) for part in parts]


def run_sweep(parts: Sequence[Part], *, say: Callable[[str], None], quiet: bool) -> SweepResult:
    """Execute the parts one after the other; the limits on cost and tokens apply to the whole sweep.

    If one of several parts fails, it is reported and the others are executed; an interrupt ends the sweep.
    """
    for part in parts:  # so that conflicting options are found before the first call
        Session(part.request, suites=part.suites, say=lambda _: None)
    all_outcomes: list[Outcome] = []
    parts_by_reason: dict[str, list[int]] = {}
    spending = _Spending()
    for number, part in enumerate(parts, 1):
        request = spending.limit_to_remaining(part.request)
        if request is None:
            reason = "not run, since the limit on cost or tokens has been reached"
            parts_by_reason.setdefault(reason, []).append(number)
            continue
        if len(parts) > 1:
            say(f"part {number} of {len(parts)}: {', '.join(dict.fromkeys(s.id for s in part.suites))}")
        session = Session(request, suites=part.suites, say=say, quiet=quiet)
        try:
            outcomes = session.run()
        except EvalsError as error:
            if len(parts) == 1:
                raise
            parts_by_reason.setdefault(str(error), []).append(number)
            outcomes = []
        all_outcomes += outcomes
        spending.add(session.spending)
        if any(outcome.interrupted for outcome in outcomes):
            break
    faults = [
        f"part{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))} of {len(parts)}: {reason}"
        for reason, numbers in parts_by_reason.items()
    ]
    return SweepResult(outcomes=all_outcomes, faults=faults)


class _Spending:
    """What the parts of a sweep have spent so far."""

    def __init__(self) -> None:
        self.cost_usd, self.tokens = 0.0, 0

    def add(self, spending: Spending) -> None:
        """Add what one part has spent."""
        self.cost_usd += spending.spent_usd
        self.tokens += spending.spent_tokens

    def limit_to_remaining(self, request: RunRequest) -> RunRequest | None:
        """Return the request with what remains of its limits on cost and tokens; None if a limit has been reached."""
        cost = None if request.max_cost is None else request.max_cost - self.cost_usd
        tokens = None if request.max_total_tokens is None else request.max_total_tokens - self.tokens
        if (cost is not None and cost <= 0) or (tokens is not None and tokens <= 0):
            return None
        return structs.replace(request, max_cost=cost, max_total_tokens=tokens)
