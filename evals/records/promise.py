"""Promises: preregistrations of a measurement (`evals gate promise`), which a run keeps or breaks.

A promise is a small JSON file: the policy's hash and, for each suite, protocol, version, data, seed, subset, repeats, judge
and estimand. It is stored on a run's card (`evals run --promise FILE`) to show that the configuration was chosen before
the numbers were known. It is not signed: to prove its date, commit the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import gmtime, strftime

import msgspec

from evals import disk
from evals.errors import UsageError
from evals.records.card import Card, Promise
from evals.validation import cause

NONE, KEPT, BROKEN = "none", "kept", "broken"
FORMAT = 1


def read(path: Path) -> Promise:
    """Read a promise file; raises UsageError."""
    try:
        promise = msgspec.json.decode(disk.read_small(path), type=Promise)
    except OSError as error:
        raise UsageError(f"cannot read the promise {path}: {error.strerror or error}") from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} was not written by `evals gate promise`: {cause(error, Promise)}") from None
    if promise.format != FORMAT:
        raise UsageError(f"{path}: a promise of format {promise.format}; this version reads {FORMAT}")
    return promise


def changes(promise: Promise, card: Card) -> Iterator[str]:
    """Yield the differences between a promise and a run; the gate checks the policy's hash."""
    config = card.config
    plans = {(plan.suite, plan.protocol): plan for plan in promise.suites}
    expected = plans.get((config.suite, config.protocol))
    if expected is None:
        yield f"{config.suite} ({config.protocol}) is not part of the promise"
        return
    for name in ("version", "data_sha256", "seed", "repeats", "limit", "judge"):
        promised, actual = getattr(expected, name), getattr(config, name)
        if promised != actual:
            formatted = [
                str(value)[:16] if value not in (None, "") else "none" for value in (actual, promised)
            ]
            yield f"{name.removesuffix('_sha256')} is {formatted[0]}, not {formatted[1]}"
    if config.sample_ids:
        yield "samples were selected by id"
    if card.started < promise.made:
        yield f"it was written after the run began ({strftime('%Y-%m-%d %H:%M', gmtime(card.started))} UTC)"


def promise_status(card: Card) -> str:
    """Return `none`, `kept`, or `broken: ` followed by the differences."""
    if card.promise is None:
        return NONE
    broken = "; ".join(changes(card.promise, card))
    return f"{BROKEN}: {broken}" if broken else KEPT
