"""Decisions of a board's maintainers: `decisions.toml`, an append-only list.

    [[decision]]
    entry = "organisation-name@v1"
    kind = "withdrawn"          # or disputed, superseded, accepted
    by = "maintainer"
    date = 2026-11-29
    reason = "trained on the test split, according to its authors, 28 November"

`accepted` publishes an entry that the automatic checks hold for review. A published score never disappears without a
decision, and decisions cannot disappear: `index.json` stores the hash of those that an ingest read, and the next ingest
checks that they are still the first ones in the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from evals.board.submission import unsuitable_text
from evals.errors import UsageError
from evals.validation import read_struct

NAME = "decisions.toml"
Kind: TypeAlias = Literal["withdrawn", "disputed", "superseded", "accepted"]


class Decision(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A decision on one entry."""

    entry: str
    kind: Kind
    by: str
    date: date
    reason: str
    replacement: str = ""
    """Entry that supersedes this one."""


class _DecisionFile(Struct, frozen=True, forbid_unknown_fields=True):
    """The content of `decisions.toml`."""

    decision: tuple[Decision, ...] = ()


def read(folder: Path) -> tuple[Decision, ...]:
    """Read the decisions of a board; raises UsageError. Without a file, there are none."""
    path = folder / NAME
    if not path.exists():
        return ()
    decisions: tuple[Decision, ...] = read_struct(path, _DecisionFile).decision
    for number, decision in enumerate(decisions, 1):
        for name in ("entry", "by", "reason"):
            text = getattr(decision, name)
            if why := unsuitable_text(text) or ("" if text.strip() else "is empty"):
                raise UsageError(f"{path}: decision {number}: {name} {why}")
        if (decision.kind == "superseded") != bool(decision.replacement):
            raise UsageError(
                f"{path}: decision {number}: `replacement` is required for superseded, and allowed only there"
            )
    return decisions


def digest(decisions: Sequence[Decision]) -> str:
    """Return the hash of decisions, which does not depend on the file's layout and comments."""
    return sha256(msgspec.json.encode(list(decisions))).hexdigest()


def check_only_added(decisions: Sequence[Decision], number: int, expected_digest: str) -> None:
    """Raise UsageError unless the first `number` decisions have the expected digest."""
    if len(decisions) < number or digest(decisions[:number]) != expected_digest:
        raise UsageError(
            f"{NAME}: one of its first {number} decisions was changed or removed; decisions may only be appended"
        )


def latest(decisions: Sequence[Decision], entry: str) -> Decision | None:
    """Return the decision in force for an entry; None if there is none."""
    return next((decision for decision in reversed(decisions) if decision.entry == entry), None)


def accepts(decisions: Sequence[Decision], entry: str) -> bool:
    """Return whether a decision accepts an entry, even if a later one disputes or withdraws it (the entry is then shown with that mark)."""
    return any(decision.kind == "accepted" for decision in decisions if decision.entry == entry)
