"""Errata of data sets: known errors in items, and scores without them.

`suites/errata/<suite>.toml` contains a version and entries:

    version = "1"

    [[entry]]
    kind = "duplicate"          # or gold, question
    variant = "main"            # omitted: every variant
    evidence = "same question, same options"
    source = "counted over the pinned revision"
    items = { "894" = "893" }   # id -> id of the duplicate; correct answer; defect of the question

The items listed are still run, and scored by the data set's own gold answer. Their scores are marked: `excluded` for a
duplicate or a defective question, `corrected` with the value under the correct gold answer. The headline is then reported
twice, raw and as `..._corrected`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct, structs

from evals import disk
from evals.errors import DataError
from evals.types import Metric, Point, Sample
from evals.validation import cause

Kind = Literal["gold", "question", "duplicate"]
EXCLUDED, CORRECTED = "excluded", "corrected"
CORRECTED_SUFFIX = "_corrected"


class Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Items with the same kind of error, and the evidence for it."""

    kind: Kind
    evidence: str
    source: str
    items: dict[str, str | float | tuple[str, ...]]
    variant: str = ""


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    version: str
    entry: list[Entry] = []


class Erratum(Struct, frozen=True):
    """An error in an item."""

    kind: Kind
    value: str | float | tuple[str, ...]
    """The correct gold answer, the defect of the question, or the id of the duplicate."""


class Errata(Struct, frozen=True):
    """The errata of one suite."""

    version: str
    items: dict[str, Erratum]

    def of(self, sample: Sample) -> Erratum | None:
        """Return the erratum of a sample, or None."""
        return self.items.get(sample.id)

    @property
    def excluded(self) -> frozenset[str]:
        """Return the ids that corrected metrics exclude."""
        return frozenset(item for item, erratum in self.items.items() if erratum.kind != "gold")


NO_ERRATA = Errata("", {})


@cache
def entries(suite: str) -> tuple[str, tuple[Entry, ...]]:
    """Return the version and the entries of a suite's errata file; both empty if it has none."""
    name = f"{suite.replace('-', '_')}.toml"
    path = files("evals.suites") / "errata" / name
    return load(Path(str(path))) if path.is_file() else ("", ())


def load(path: Path) -> tuple[str, tuple[Entry, ...]]:
    """Read an errata file; raises DataError."""
    try:
        text = disk.read_small(path).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"errata {path.name}: {cause(error)}") from None
    return parse(text, path.name)


def parse(text: str, name: str) -> tuple[str, tuple[Entry, ...]]:
    """Parse the text of an errata file; `name`: its name, for messages. Raises DataError."""
    try:
        file = msgspec.convert(tomllib.loads(text), _File)
    except (ValueError, RecursionError) as error:
        raise DataError(f"errata {name}: {cause(error, _File)}") from None
    seen: set[tuple[str, str]] = set()
    for entry in file.entry:
        for item in entry.items:
            if (key := (entry.variant, item)) in seen:
                raise DataError(f"errata {name}: {item} is listed in two entries")
            seen.add(key)
    return file.version, tuple(file.entry)


def suite_errata(suite: str, variant: str = "") -> Errata:
    """Return the errata of a suite's variant."""
    version, entry_list = entries(suite)
    if not entry_list:
        return NO_ERRATA
    return Errata(
        version,
        {
            item: Erratum(entry.kind, value)
            for entry in entry_list
            if entry.variant in ("", variant)
            for item, value in entry.items.items()
        },
    )


def corrected_metrics(metrics: Sequence[Metric], errata: Errata, ids: Iterable[str]) -> tuple[Metric, ...]:
    """Return a suite's metrics, with a corrected version of the headline if it is a mean and errata affect the run."""
    reported = list(metrics)
    if not errata.items.keys().isdisjoint(ids):
        for metric in metrics:
            if metric.headline and metric.pool != "whole" and not metric.scorer:
                corrected = structs.replace(
                    metric,
                    name=metric.name + CORRECTED_SUFFIX,
                    of=CorrectedMetric(metric.of, errata.excluded),
                    headline=False,
                )
                reported.append(corrected)
    return tuple(reported)


class CorrectedMetric:
    """A metric over corrected points: without excluded ones, with corrected values."""

    def __init__(self, of: Any, excluded: frozenset[str] = frozenset()) -> None:
        self.of, self.excluded = of, excluded

    def renamed(self, new_ids: Mapping[str, str]) -> CorrectedMetric:
        """Return the same metric for samples whose ids were changed; `new_ids`: old id -> new id."""
        return CorrectedMetric(self.of, frozenset(new_ids.get(old_id, old_id) for old_id in self.excluded))

    def __call__(self, points: Sequence[Point]) -> float:
        """Return the metric of the remaining points; raises ValueError if there are none."""
        remaining = [
            structs.replace(point, value=point.parts[CORRECTED])
            if point.parts and CORRECTED in point.parts
            else point
            for point in points
            if point.id not in self.excluded and not (point.parts and EXCLUDED in point.parts)
        ]
        if not remaining:
            raise ValueError("all samples are excluded by errata")
        return float(self.of(remaining))


def marks_of(erratum: Erratum, value: float | None) -> Mapping[str, float]:
    """Return the entries of a score's `parts` that mark an erratum; `value`: the score's value under the correct gold answer, if known."""
    return {EXCLUDED: 1.0} if erratum.kind != "gold" or value is None else {CORRECTED: value}
