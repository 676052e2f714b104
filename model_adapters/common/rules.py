"""Supported settings of hosted models and their switches for reasoning: a table whose first matching row applies.

Vendors reject settings that a model does not support, and newer models support fewer of them. Older models, which no longer
change, therefore have separate rows, and the last row applies to all newer ones. Unsupported settings are not sent, which is
noted on the run's card. Stop sequences that cannot be sent are applied to the reply by the harness.
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
"""Settings that control how the next token is sampled."""
NOT_IN_OPENAI_API = frozenset({"top_k", "min_p"})
"""Settings that do not exist in OpenAI's API."""


class Rule(Struct, frozen=True, kw_only=True):
    """One row of the table."""

    models: str = ""
    """Regular expression for the beginning of a model's name."""
    unsupported: frozenset[str] = frozenset()
    """Settings that the model does not support."""
    unsupported_if_reasoning: frozenset[str] = frozenset()
    """Additional settings that the model does not support while it reasons."""
    reasons_by_default: bool = False
    """Whether the model reasons by default."""
    thinking_on: Mapping[str, Any] | None = None
    """Request fields that switch reasoning on; None: not possible."""
    thinking_off: Mapping[str, Any] | None = None
    """Request fields that switch reasoning off; None: not possible."""

    def thinking_fields(self, model: str, sampling: Sampling) -> Mapping[str, Any]:
        """Return the request fields that switch reasoning on or off; raises UsageError if the model cannot do so."""
        if sampling.thinking is None:
            return {}
        if (switch := self.thinking_on if sampling.thinking else self.thinking_off) is None:
            option, reason = ("", "does not reason") if sampling.thinking else ("no-", "always reasons")
            raise UsageError(f"--{option}thinking: {model} {reason}")
        return switch

    def unsupported_settings(self, sampling: Sampling) -> list[str]:
        """Return the names of the settings that are set but not supported by the model."""
        reasons = self.reasons_by_default if sampling.thinking is None else sampling.thinking
        unsupported = self.unsupported | (self.unsupported_if_reasoning if reasons else frozenset())
        return [
            name for name in SETTINGS if name in unsupported and getattr(sampling, name) not in (None, ())
        ]

    def supported(self, sampling: Sampling) -> Sampling:
        """Return the sampling parameters without settings that the model does not support."""
        names = self.unsupported_settings(sampling)
        return structs.replace(sampling, **{name: () if name == "stop" else None for name in names})

    def remarks(self, model: str, sampling: Sampling) -> list[str]:
        """Return the notes on settings for the run's card; raises UsageError like `thinking_fields`."""
        self.thinking_fields(model, sampling)
        names = self.unsupported_settings(sampling)
        notes = []
        if omitted := [setting for setting in names if setting != "stop"]:
            pronoun = "them" if len(omitted) > 1 else "it"
            notes.append(f"{', '.join(omitted)} not sent: {model} does not support {pronoun}")
        if "stop" in names:
            notes.append(f"stop sequences are applied by the harness: {model} does not support them")
        return notes


def find_rule(rules: Sequence[Rule], model: str) -> Rule:
    """Return the row for a model: the first that matches its name, else the last."""
    return next((rule for rule in rules if re.match(rule.models, model.lower())), rules[-1])


def truncate_at_stop(reply: Reply, stops: Sequence[str]) -> Reply:
    """Truncate a reply before its first stop sequence."""
    positions = [position for stop in stops if stop and (position := reply.text.find(stop)) >= 0]
    return structs.replace(reply, text=reply.text[: min(positions)], stop="stop") if positions else reply


def template_variables(sampling: Sampling, switch_path: str) -> dict[str, Any]:
    """Return the chat template's variables set by the sampling parameters: the reasoning switch, and the user's own.

    `switch_path`: the dotted request field of the switch, e.g. `chat_template_kwargs.enable_thinking`, whose last part is the
    variable.
    """
    user_variables = sampling.extra.get("chat_template_kwargs")
    variables = dict(user_variables) if isinstance(user_variables, dict) else {}
    if sampling.thinking is not None:
        variables.setdefault(switch_path.rpartition(".")[2], sampling.thinking)
    return variables
