"""The hosted API of Intern-S1: `intern:intern-s1`, `intern:intern-s1-pro`, `intern:intern-latest`.

Key from INTERN_API_KEY (internlm.intern-ai.org.cn/api/tokens), custom base URL from INTERN_BASE_URL. The API allows 30
requests per minute; set INTERN_PER_MINUTE if you were granted another limit.
"""

from __future__ import annotations

import os
from hashlib import sha256
from typing import Any

import msgspec

from evals import profiles
from evals.calls.secrets import Mask, url_secrets
from evals.errors import UsageError
from evals.model_adapters.common.fetch import list_models
from evals.model_adapters.common.http import credentials, parse_base_url, without_secrets
from evals.model_adapters.openai import Chat
from evals.types import Prompt, Sampling

BASE = "https://chat.intern-ai.org.cn/api/v1"
DEFAULT_PER_MINUTE = 30
"""Requests per minute that each user may send by default, from docEn/docs/Chat."""
PUBLISHED_CONTEXT = 65_536
"""Context length in tokens for the published numbers: `max_seq_len` in opencompass's intern_s1.py at a5acc4bb."""


class Intern(Chat):
    """A model of this API; always sends the reasoning switch, as the English and Chinese docs disagree on its default."""

    def __init__(self, name: str, *, base: str, key: str, per_minute: float, alias: str = "") -> None:
        super().__init__(name, base=base, key=key)
        self.per_minute = per_minute
        self.account = f"{without_secrets(base)} {sha256(key.encode()).hexdigest()[:16]}"
        self._alias = alias

    def remarks(self, sampling: Sampling) -> list[str]:
        """See `HasRemarks`."""
        notes = [f"{self._alias} was an alias of {self.name} when the run started"] if self._alias else []
        if sampling.thinking is None:
            notes.append("thinking_mode is sent as true, as for the published numbers")
        profile = profiles.find(f"intern:{self.name}")
        if profile and profile.context and profile.context < PUBLISHED_CONTEXT:
            notes.append(
                f"the context is {profile.context:,} tokens, but {PUBLISHED_CONTEXT:,} for the published numbers: "
                "longer reasoning is truncated"
            )
        return notes

    async def body(self, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
        """Return the body of a request."""
        request = await super().body(prompt, msgspec.structs.replace(sampling, thinking=None))
        return {"thinking_mode": sampling.thinking is not False, **request}


def resolve_alias(alias: str, *, base: str, key: str) -> str:
    """Return the name of the model to which an alias refers; raises UsageError if the alias cannot be resolved."""
    url = parse_base_url(base).join("/models")
    try:
        models = list_models(url, headers={"Authorization": f"Bearer {key}"})
    except (OSError, ValueError) as error:
        reason = Mask([key, *url_secrets(base)]).text(str(error))
        raise UsageError(
            f"cannot resolve intern:{alias} at {without_secrets(url)} ({reason}); use the name of the model itself"
        ) from None
    target = next((entry.ref_model for entry in models if entry.id == alias), None)
    if not target:
        names = ", ".join(entry.id for entry in models if entry.id != alias)
        raise UsageError(
            f"{without_secrets(url)} lists no model for the alias intern:{alias}; use the name of the model itself"
            + (f": {names}" if names else "")
        )
    return target


def _rate_limit() -> float:
    text = os.environ.get("INTERN_PER_MINUTE", "")
    try:
        limit = float(text) if text else float(DEFAULT_PER_MINUTE)
        if not 0 < limit < float("inf"):
            raise ValueError(text)
    except ValueError:
        raise UsageError(f"INTERN_PER_MINUTE={text!r}: must be a number above 0") from None
    return limit


def model(rest: str) -> Intern:
    """Return the model `intern:NAME`; raises UsageError without a key or for an alias that cannot be resolved."""
    key, base = credentials("intern", rest, base=BASE)
    alias = rest if rest.endswith("-latest") else ""
    name = resolve_alias(alias, base=base, key=key) if alias else rest
    return Intern(name, base=base, key=key, per_minute=_rate_limit(), alias=alias)
