"""Published results, with their conditions as far as the source states them.

A file `claims/*.toml` contains tables as printed in a source, one `[[claim]]` per benchmark:

    [[claim]]
    suite = "mmlu-pro"              # the suite's name here; it need not exist
    benchmark = "MMLU Pro"          # as spelled in the source
    protocol = "intern-s1"          # absent: unknown
    metric = "accuracy"             # as named in the source; absent: not stated
    source = "https://..."
    date = 2026-05-19               # of the version of the source that was read; absent: unknown
    percent = { "Intern-S1" = 83.5 }    # or `values` with `unit`; with all printed digits
    note = "..."                    # on the whole row; `notes` for single models
    errata = { "Intern-S1" = "..." }    # what is wrong with a number, or cannot be concluded from it
    items = 198                     # number of items, if there is no suite here; absent: unknown
    told = "https://..."            # where the source states the conditions below
    [claim.knobs]                   # conditions: temperature, repeats, judge ...; absent: unknown
    [claim.model_knobs."Intern-S1"] # further conditions of one model
    [claim.inferred]                # conditions that no source states, but its numbers or code imply

>>> next(c for c in load_claims() if c.model == "Intern-S1" and c.suite == "mmlu-pro" and c.protocol).value
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
from evals.validation import cause, explain

CLAIM_FOLDERS = (
    Path(__file__).resolve().parents[2] / "results" / "claims",  # a checkout
    Path(__file__).resolve().parents[1] / "published",  # the wheel
)


class Claim(Struct, frozen=True, kw_only=True):
    """One published number."""

    model: str
    """As spelled in the source."""
    suite: str
    benchmark: str
    """As spelled in the source."""
    protocol: str = ""
    """Empty: unknown."""
    metric: str = ""
    value: float
    """Percentages are stored as fractions from 0 to 1."""
    unit: str
    digits: int | None = None
    """Number of printed decimals, of the percentage if the unit is a fraction; None: unknown."""
    source: str
    date: datetime.date | None = None
    """Date of the version of the source that was read."""
    first: datetime.date | None = None
    """Date of first publication, if known."""
    superseded: bool = False
    """Whether a later version of the source replaced the number."""
    note: str = ""
    erratum: str = ""
    """What is wrong with the number, or cannot be concluded from it, in our view."""
    knobs: dict[str, Any] = {}
    """Known conditions: temperature, top_p, top_k, max_tokens, thinking, repeats, judge ("none": scored by a rule)."""
    told: str = ""
    """Where the source states the conditions."""
    inferred: dict[str, Any] = {}
    """Conditions that the source does not state, but its numbers or code imply; never used in comparisons."""
    items: int = 0
    """Number of items of the benchmark; 0: unknown, or the same as in our suite."""


MAX_VALUE = 10**12
"""Largest absolute value of a printed number."""
MAX_DIGITS = 30
"""Maximum number of decimals of a printed number."""


def is_same_model(name: str, other_name: str) -> bool:
    """Return whether two names are spellings of the same model."""
    return normalise_model_name(name) == normalise_model_name(other_name)


def normalise_model_name(name: str) -> str:
    """Return a model's name without organisation and punctuation, in lower case, to compare names.

    >>> normalise_model_name("internlm/Intern-S1-mini")
    'interns1mini'
    """
    return "".join(c for c in name.rpartition("/")[2].lower() if c.isalnum())


class _ClaimTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
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
    """Model -> remark in the source."""
    errata: dict[str, str] = {}
    """Model -> what is wrong with its number."""
    knobs: dict[str, Any] = {}
    told: str = ""
    model_knobs: dict[str, dict[str, Any]] = {}
    """Further conditions of single models."""
    inferred: dict[str, Any] = {}
    items: Annotated[int, Meta(ge=0)] = 0


class _ClaimsFile(Struct, frozen=True, forbid_unknown_fields=True):
    claim: tuple[_ClaimTable, ...] = ()


def load_claims(results: Path | None = None) -> list[Claim]:
    """Read the claims of the package and of a results folder; raises DataError if a file is broken."""
    extra = [results / "claims"] if results else []
    packaged = [folder for folder in CLAIM_FOLDERS if folder.is_dir()][:1]
    folders = dict.fromkeys(folder.resolve() for folder in (*packaged, *extra))
    return [claim for folder in folders for path in sorted(folder.glob("*.toml")) for claim in read(path)]


def claims_by_id(results: Path | None = None) -> dict[str, Claim]:
    """Return all claims by id: `intern-s1/mmlu-pro`, followed by protocol and date, and then a number, if several share it."""
    claims = load_claims(results if results and (results / "claims").is_dir() else None)
    id_counts = Counter(map(_short_id, claims))
    by_id: dict[str, Claim] = {}
    for claim in claims:
        claim_id = _short_id(claim)
        if id_counts[claim_id] > 1:
            claim_id = f"{claim_id}/{claim.protocol or 'unknown'}/{claim.date or 'undated'}"
        count = 1
        while (unique_id := claim_id if count == 1 else f"{claim_id}/{count}") in by_id:
            count += 1
        by_id[unique_id] = claim
    return by_id


def _short_id(claim: Claim) -> str:
    return f"{re.sub(r'[^a-z0-9.]+', '-', claim.model.lower()).strip('-')}/{claim.suite}"


def read(path: Path) -> list[Claim]:
    """Read a claims file; raises DataError if it is broken."""
    try:
        # Decimal keeps the printed digits: 88.00 has two decimals, 88.0 one
        toml = tomllib.loads(disk.read_small(path).decode("utf-8-sig"), parse_float=Decimal)
        return [claim for table in msgspec.convert(toml, _ClaimsFile).claim for claim in _claims_of(table)]
    except msgspec.ValidationError as error:
        raise DataError(f"{path}: {explain(error, _ClaimsFile)}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: {cause(error)}") from error


def _claims_of(table: _ClaimTable) -> Iterator[Claim]:
    if bool(table.values) != bool(table.unit) or not (table.percent or table.values):
        raise ValueError(f"{table.benchmark}: set `percent`, or `values` with their `unit`")
    for field, by_model in (
        ("errata", table.errata),
        ("notes", table.notes),
        ("model_knobs", table.model_knobs),
    ):
        if unknown := by_model.keys() - table.percent.keys() - table.values.keys():
            raise ValueError(
                f"{table.benchmark}: {field}: {min(unknown)[:80]!r} has no number here; is it spelled as in the table?"
            )
    printed = [(model, value, 100.0, "fraction") for model, value in table.percent.items()]
    printed += [(model, value, 1.0, table.unit) for model, value in table.values.items()]
    for model, value, scale, unit in printed:
        knobs = _knobs_with_floats(table.knobs | table.model_knobs.get(model, {}))
        if not value.is_finite() or abs(value) > MAX_VALUE or -int(value.as_tuple().exponent) > MAX_DIGITS:
            raise ValueError(
                f"{table.benchmark}: {model}: {str(value)[:40]} is not a plausible printed number"
            )
        yield Claim(
            model=model, suite=table.suite, benchmark=table.benchmark, protocol=table.protocol,
            metric=table.metric, value=round(float(value) / scale, 12), unit=unit,
            digits=max(0, -int(value.as_tuple().exponent)), source=table.source, date=table.date,
            first=table.first, superseded=table.superseded,
            note="; ".join(filter(None, (table.note, table.notes.get(model)))), erratum=table.errata.get(model, ""),
            knobs=knobs, told=table.told if knobs else "", inferred=_knobs_with_floats(table.inferred), items=table.items,
        )  # fmt: skip


def _knobs_with_floats(knobs: dict[str, Any]) -> dict[str, Any]:
    return {name: float(value) if isinstance(value, Decimal) else value for name, value in knobs.items()}
