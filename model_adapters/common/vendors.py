"""Vendors with an OpenAI-compatible API: `deepseek:`, `moonshot:`, `openrouter:`, `together:`, `xai:`.

The key is read from `NAME_API_KEY`, a custom base URL from `NAME_BASE_URL`. A vendor is a row of `VENDORS`, taken from
its documentation as of November 2026.
"""

from __future__ import annotations

from msgspec import Struct

from evals.model_adapters.common.http import credentials
from evals.model_adapters.common.rules import NOT_IN_OPENAI_API, SAMPLERS, Rule
from evals.model_adapters.openai import Hosted


class Vendor(Struct, frozen=True, kw_only=True):
    """One vendor."""

    base: str
    rules: tuple[Rule, ...]
    note: str = ""
    """Note on the card of every run."""


def _thinking_type(name: str) -> dict[str, dict[str, str]]:
    return {"thinking": {"type": name}}


REASONING_OBJECT = Rule(
    thinking_on={"reasoning": {"enabled": True}}, thinking_off={"reasoning": {"enabled": False}}
)
"""Rule for APIs that switch reasoning on and off with an object `reasoning` in the request."""
VENDORS = {
    # api-docs.deepseek.com/guides/thinking_mode: sampling settings are accepted in thinking mode, but have no effect
    "deepseek": Vendor(
        base="https://api.deepseek.com",
        rules=(
            Rule(
                models="deepseek-chat",
                unsupported=NOT_IN_OPENAI_API | {"seed"},
                thinking_on=_thinking_type("enabled"),
                thinking_off={},
            ),
            Rule(
                models="deepseek-reasoner",
                unsupported=SAMPLERS | {"seed"},
                reasons_by_default=True,
                thinking_on={},
            ),
            Rule(
                unsupported=NOT_IN_OPENAI_API | {"seed"},
                unsupported_if_reasoning=SAMPLERS,
                reasons_by_default=True,
                thinking_on=_thinking_type("enabled"),
                thinking_off=_thinking_type("disabled"),
            ),
        ),
    ),
    # platform.kimi.ai/docs/api/models-overview: from K2.5 on any temperature but the model's own is an error
    "moonshot": Vendor(
        base="https://api.moonshot.ai/v1",
        rules=(
            Rule(
                models=r"moonshot-v1|kimi-k2-(0711|0905|turbo)",
                unsupported=NOT_IN_OPENAI_API | {"seed"},
                thinking_off={},
            ),
            Rule(
                models=r"kimi-k2\.[56]",
                unsupported=SAMPLERS | {"seed"},
                reasons_by_default=True,
                thinking_on=_thinking_type("enabled"),
                thinking_off=_thinking_type("disabled"),
            ),
            Rule(unsupported=SAMPLERS | {"seed"}, reasons_by_default=True, thinking_on={}),
        ),
    ),
    # openrouter.ai/docs, Reasoning Tokens and Provider Routing
    "openrouter": Vendor(
        base="https://openrouter.ai/api/v1",
        rules=(REASONING_OBJECT,),
        note="OpenRouter chooses the provider, and drops settings that the provider does not support",
    ),
    "together": Vendor(
        base="https://api.together.xyz/v1",
        rules=(REASONING_OBJECT,),
    ),
    # docs.x.ai, Reasoning: for older models the name decides; from Grok 4.3 on the effort can be "none"
    "xai": Vendor(
        base="https://api.x.ai/v1",
        rules=(
            Rule(
                models=r".*non-reasoning|grok-2|grok-3(?!-mini)",
                unsupported=NOT_IN_OPENAI_API,
                thinking_off={},
            ),
            Rule(
                models=r"grok-(3-mini|4$|4-|4\.20|code)",
                unsupported=NOT_IN_OPENAI_API | {"stop"},
                reasons_by_default=True,
                thinking_on={},
            ),
            Rule(
                unsupported=NOT_IN_OPENAI_API,
                unsupported_if_reasoning=frozenset({"stop"}),
                reasons_by_default=True,
                thinking_on={"reasoning_effort": "high"},
                thinking_off={"reasoning_effort": "none"},
            ),
        ),
    ),
}


def model(name: str, rest: str) -> Hosted:
    """Return the model `NAME:REST`; raises UsageError without a key."""
    vendor = VENDORS[name]
    key, base = credentials(name, rest, base=vendor.base)
    return Hosted(rest, base=base, key=key, rules=vendor.rules, note=vendor.note)
