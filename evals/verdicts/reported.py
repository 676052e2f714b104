"""Numbers that others published: what model, on what, how as far as they say, when and where. Never mixed with ours.

A file `claims/*.toml` holds tables as a source prints them, one `[[claim]]` per benchmark:

    [[claim]]
    suite = "mmlu-pro"              # as `evals run` names it, or would
    benchmark = "MMLU Pro"          # as the source spells it
    protocol = "intern-s1"          # left out: not known
    metric = "accuracy"             # in the source's words; left out: it does not say
    source = "https://..."
    date = 2026-05-19               # of the source in the state that was read; left out: not known
    percent = { "Intern-S1" = 83.5 }    # or `values` with `unit`; with as many digits as are printed
    note = "..."                    # what is known of the row; `notes` of single models
    items = 198                     # in the benchmark, if no suite here tells it; left out: not known
    told = "https://..."            # where the source states the conditions below
    [claim.knobs]                   # how it was measured: temperature, repeats, judge ...; absent: not known
    [claim.model_knobs."Intern-S1"] # and this one model beyond that
    [claim.inferred]                # conditions that no source states, but that its numbers or its code imply

>>> next(c for c in load() if c.model == "Intern-S1" and c.suite == "mmlu-pro" and c.protocol).value
0.835
"""

from __future__ import annotations

import datetime
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from evals import disk
from evals.errors import DataError
from evals.validation import explained

PLACES = (
    Path(__file__).resolve().parents[2] / "results" / "claims",  # a checkout
    Path(__file__).resolve().parents[1] / "published",  # the wheel
)


class Claim(Struct, frozen=True, kw_only=True):
    """One published number."""

    model: str
    """As the source spells it."""
    suite: str
    benchmark: str
    """As the source spells it."""
    protocol: str = ""
    """Empty: not known."""
    metric: str = ""
    value: float
    """Fractions as fractions."""
    unit: str
    digits: int | None = None
    """Behind the point as printed, of percent if the unit is a fraction; None: not known."""
    source: str
    date: datetime.date | None = None
    """Of the source in the state that was read."""
    first: datetime.date | None = None
    """When it was first published, if that is known."""
    superseded: bool = False
    """Whether the source itself printed another number later."""
    note: str = ""
    knobs: dict[str, Any] = {}
    """Conditions that are known: temperature, top_p, top_k, max_tokens, thinking, repeats, judge ("none": a rule)."""
    told: str = ""
    """Where the source states the conditions."""
    inferred: dict[str, Any] = {}
    """Conditions that are not stated, but implied by the source's numbers or code; never used to compare."""
    items: int = 0
    """Number of items of the benchmark; 0: not known, or as the suite here has it."""


class _Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    suite: str
    benchmark: str
    source: str
    protocol: str = ""
    metric: str = ""
    date: datetime.date | None = None
    first: datetime.date | None = None
    superseded: bool = False
    percent: dict[str, Decimal] = {}
    values: dict[str, Decimal] = {}
    unit: str = ""
    note: str = ""
    notes: dict[str, str] = {}
    """Model -> what the source adds to its number."""
    knobs: dict[str, Any] = {}
    told: str = ""
    model_knobs: dict[str, dict[str, Any]] = {}
    """Further conditions of single models."""
    inferred: dict[str, Any] = {}
    items: Annotated[int, Meta(ge=0)] = 0


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    claim: tuple[_Table, ...] = ()


def load(results: Path | None = None) -> list[Claim]:
    """Read the claims that come with the package and those of a results folder; raises DataError."""
    own = [results / "claims"] if results else []
    shipped = [place for place in PLACES if place.is_dir()][:1]
    folders = dict.fromkeys(place.resolve() for place in (*shipped, *own))
    return [claim for folder in folders for path in sorted(folder.glob("*.toml")) for claim in read(path)]


def named(results: Path | None = None) -> dict[str, Claim]:
    """Return all claims by id: `intern-s1/mmlu-pro`, with protocol, date and a number if that is needed."""
    claims = load(results if results and (results / "claims").is_dir() else None)
    short = Counter(map(_id, claims))
    names: dict[str, Claim] = {}
    for claim in claims:
        name = _id(claim)
        if short[name] > 1:
            name = f"{name}/{claim.protocol or 'unknown'}/{claim.date or 'undated'}"
        count = 1
        while (full := name if count == 1 else f"{name}/{count}") in names:
            count += 1
        names[full] = claim
    return names


def _id(claim: Claim) -> str:
    return f"{re.sub(r'[^a-z0-9.]+', '-', claim.model.lower()).strip('-')}/{claim.suite}"


def read(path: Path) -> list[Claim]:
    """Read one file of claims; raises DataError that names it."""
    try:
        text = disk.read_small(path).decode("utf-8-sig")
        content = msgspec.convert(tomllib.loads(text, parse_float=Decimal), _File)  # 88.00 is not 88.0
        return [claim for table in content.claim for claim in _claims(table)]
    except msgspec.ValidationError as error:
        raise DataError(f"{path}: {explained(error, _File)}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: {error}") from error


def _claims(table: _Table) -> Iterator[Claim]:
    if bool(table.values) != bool(table.unit) or not (table.percent or table.values):
        raise ValueError(f"{table.benchmark}: give `percent`, or `values` with their `unit`")
    printed = [(model, value, 100.0, "fraction") for model, value in table.percent.items()]
    printed += [(model, value, 1.0, table.unit) for model, value in table.values.items()]
    for model, value, scale, unit in printed:
        if not value.is_finite():
            raise ValueError(f"{table.benchmark}: {model} has {float(value)}")
        yield Claim(
            model=model,
            suite=table.suite,
            benchmark=table.benchmark,
            protocol=table.protocol,
            metric=table.metric,
            value=round(float(value) / scale, 12),
            unit=unit,
            digits=max(0, -int(value.as_tuple().exponent)),
            source=table.source,
            date=table.date,
            first=table.first,
            superseded=table.superseded,
            note="; ".join(filter(None, (table.note, table.notes.get(model)))),
            knobs=(knobs := _plain(table.knobs | table.model_knobs.get(model, {}))),
            told=table.told if knobs else "",
            inferred=_plain(table.inferred),
            items=table.items,
        )


def _plain(knobs: dict[str, Any]) -> dict[str, Any]:
    return {name: float(value) if isinstance(value, Decimal) else value for name, value in knobs.items()}
