"""Which settings a hosted model takes, and how it is told to reason: rows of facts, the first that fits a name counts.

Vendors refuse a setting that one of their models does not know, and their newest models know the fewest; so a row
names the models of the past, which do not change any more, and the last row is for whatever comes next. What a
model does not take is not sent, and the run's card says so. A stop sequence that is not sent is applied here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, structs

from evals.errors import UsageError
from evals.types import Reply, Sampling

SETTINGS = ("temperature", "top_p", "top_k", "min_p", "seed", "stop")
SAMPLERS = frozenset({"temperature", "top_p", "top_k", "min_p"})
"""How the next token is drawn."""


class Rule(Struct, frozen=True, kw_only=True):
    """One row."""

    models: str = ""
    """Regular expression that a name begins with."""
    refuses: frozenset[str] = frozenset()
    """Settings that are never sent."""
    reasoning: frozenset[str] = frozenset()
    """Settings that are not sent while it reasons."""
    reasons: bool = False
    """Whether it does, where nobody says."""
    on: Mapping[str, Any] | None = None
    """Fields of the request that make it reason; None: it cannot."""
    off: Mapping[str, Any] | None = None
    """Fields that make it answer at once; None: it cannot."""


def rule_for(rules: Sequence[Rule], name: str) -> Rule:
    """Find a model's row; the last one fits all."""
    return next((rule for rule in rules if re.match(rule.models, name.lower())), rules[-1])


def thinking_fields(rule: Rule, name: str, thinking: bool | None) -> Mapping[str, Any]:  # noqa: FBT001 - as in Sampling
    """Return the fields that tell a model whether to reason; raises UsageError where it has no such choice."""
    if thinking is None:
        return {}
    chosen = rule.on if thinking else rule.off
    if chosen is None:
        raise UsageError(
            f"--thinking: {name} does not reason" if thinking else f"--no-thinking: {name} always reasons"
        )
    return chosen


def unsupported_settings(rule: Rule, sampling: Sampling) -> list[str]:
    """Name the settings of `sampling` that are set and that the model does not take."""
    reasons = rule.reasons if sampling.thinking is None else sampling.thinking
    refused = rule.refuses | rule.reasoning if reasons else rule.refuses
    return [name for name in SETTINGS if name in refused and getattr(sampling, name) not in (None, ())]


def supported_sampling(rule: Rule, sampling: Sampling) -> Sampling:
    """Return the sampling without what the model does not take."""
    names = unsupported_settings(rule, sampling)
    if not names:
        return sampling
    return structs.replace(sampling, **{name: () if name == "stop" else None for name in names})


def remarks(rule: Rule, name: str, sampling: Sampling) -> list[str]:
    """Say what a card must say of it; raises what `thinking_fields` does."""
    thinking_fields(rule, name, sampling.thinking)
    names = unsupported_settings(rule, sampling)
    notes = []
    if sent := [n for n in names if n != "stop"]:
        notes.append(f"{', '.join(sent)} not sent: {name} does not take {'them' if len(sent) > 1 else 'it'}")
    if "stop" in names:
        notes.append(f"stop sequences are applied here and not by the server: {name} does not take them")
    return notes


def cut(reply: Reply, stops: Sequence[str]) -> Reply:
    """End a reply before its first stop sequence."""
    positions = [position for stop in stops if stop and (position := reply.text.find(stop)) >= 0]
    return structs.replace(reply, text=reply.text[: min(positions)], stop="stop") if positions else reply
