"""Promises: preregistrations of runs (`evals gate promise`). A run keeps its promise, or breaks it.

A promise is a small JSON file with the hash of the gate's policy and, for each suite, its protocol, version, data, seed,
subset, repeats, judge and estimand. It is stored on a run's card (`evals run --promise FILE`) to show that the configuration
was chosen before the results were known. It is not signed: to prove its date, commit the file.
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
    """Read a promise from a file; raises UsageError."""
    try:
        promise = msgspec.json.decode(disk.read_small(path), type=Promise)
    except OSError as error:
        raise UsageError(f"cannot read the promise {path}: {error.strerror or error}") from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} was not written by `evals gate promise`: {cause(error, Promise)}") from None
    if promise.format != FORMAT:
        raise UsageError(f"{path}: a promise of format {promise.format}; this version reads format {FORMAT}")
    return promise


def _differences(promise: Promise, card: Card) -> Iterator[str]:
    """Yield the differences between a promise and a run; comparing the policy's hash is left to the gate."""
    config = card.config
    promised_suites = {(suite.suite, suite.protocol): suite for suite in promise.suites}
    promised_suite = promised_suites.get((config.suite, config.protocol))
    if promised_suite is None:
        yield f"{config.suite} ({config.protocol}) is not part of the promise"
        return
    for name in ("version", "data_sha256", "seed", "repeats", "limit", "judge"):
        promised, actual = getattr(promised_suite, name), getattr(config, name)
        if promised != actual:
            formatted = [
                str(value)[:16] if value not in (None, "") else "none" for value in (actual, promised)
            ]
            yield f"{name.removesuffix('_sha256')} is {formatted[0]}, not {formatted[1]}"
    if config.sample_ids:
        yield "samples were selected by id"
    if card.started < promise.made:
        yield f"the promise was made after the run began ({strftime('%Y-%m-%d %H:%M', gmtime(card.started))} UTC)"


def promise_status(card: Card) -> str:
    """Return `none`, `kept`, or `broken: ` followed by the differences."""
    if card.promise is None:
        return NONE
    broken = "; ".join(_differences(card.promise, card))
    return f"{BROKEN}: {broken}" if broken else KEPT
