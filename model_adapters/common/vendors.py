"""Vendors with an OpenAI-compatible API: `deepseek:`, `moonshot:`, `openrouter:`, `together:`, `xai:`.

The key is read from `NAME_API_KEY`, a custom base URL from `NAME_BASE_URL`. A vendor is a row of `VENDORS`, taken from
its documentation as of November 2026.
"""

from __future__ import annotations

from msgspec import Struct

from evals.model_adapters.common.http import credentials
from evals.model_adapters.common.rules import SAMPLERS, Rule
from evals.model_adapters.openai import Hosted

UNKNOWN = frozenset({"top_k", "min_p"})
"""Settings that OpenAI's own API does not have."""


class Vendor(Struct, frozen=True, kw_only=True):
    """One vendor."""

    base: str
    rules: tuple[Rule, ...]
    note: str = ""
    """Note on the card of every run."""


def _typed(name: str) -> dict[str, dict[str, str]]:
    return {"thinking": {"type": name}}


VENDORS = {
    # api-docs.deepseek.com/guides/thinking_mode: sampling settings are accepted in thinking mode, but have no effect
    "deepseek": Vendor(
        base="https://api.deepseek.com",
        rules=(
            Rule(models="deepseek-chat", refuses=UNKNOWN | {"seed"}, on=_typed("enabled"), off={}),
            Rule(models="deepseek-reasoner", refuses=SAMPLERS | {"seed"}, reasons=True, on={}),
            Rule(
                refuses=UNKNOWN | {"seed"},
                reasoning=SAMPLERS,
                reasons=True,
                on=_typed("enabled"),
                off=_typed("disabled"),
            ),
        ),
    ),
    # platform.kimi.ai/docs/api/models-overview: from K2.5 on any temperature but the model's own is an error
    "moonshot": Vendor(
        base="https://api.moonshot.ai/v1",
        rules=(
            Rule(models=r"moonshot-v1|kimi-k2-(0711|0905|turbo)", refuses=UNKNOWN | {"seed"}, off={}),
            Rule(
                models=r"kimi-k2\.[56]",
                refuses=SAMPLERS | {"seed"},
                reasons=True,
                on=_typed("enabled"),
                off=_typed("disabled"),
            ),
            Rule(refuses=SAMPLERS | {"seed"}, reasons=True, on={}),
        ),
    ),
    # openrouter.ai/docs, Reasoning Tokens and Provider Routing
    "openrouter": Vendor(
        base="https://openrouter.ai/api/v1",
        rules=(Rule(on={"reasoning": {"enabled": True}}, off={"reasoning": {"enabled": False}}),),
        note="OpenRouter chooses the provider, and drops settings that the provider does not support",
    ),
    "together": Vendor(
        base="https://api.together.xyz/v1",
        rules=(Rule(on={"reasoning": {"enabled": True}}, off={"reasoning": {"enabled": False}}),),
    ),
    # docs.x.ai, Reasoning: for older models the name decides; from Grok 4.3 on the effort can be "none"
    "xai": Vendor(
        base="https://api.x.ai/v1",
        rules=(
            Rule(models=r".*non-reasoning|grok-2|grok-3(?!-mini)", refuses=UNKNOWN, off={}),
            Rule(
                models=r"grok-(3-mini|4$|4-|4\.20|code)",
                refuses=UNKNOWN | {"stop"},
                reasons=True,
                on={},
            ),
            Rule(
                refuses=UNKNOWN,
                reasoning=frozenset({"stop"}),
                reasons=True,
                on={"reasoning_effort": "high"},
                off={"reasoning_effort": "none"},
            ),
        ),
    ),
}


def model(name: str, rest: str) -> Hosted:
    """Return the model `NAME:REST`; raises UsageError without a key."""
    vendor = VENDORS[name]
    key, base = credentials(name, rest, base=vendor.base)
    return Hosted(rest, base=base, key=key, rules=vendor.rules, note=vendor.note)
