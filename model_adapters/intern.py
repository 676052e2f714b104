"""The hosted API of Intern-S1: `intern:intern-s1`, `intern:intern-s1-pro`, `intern:intern-latest`.

The key is read from INTERN_API_KEY (internlm.intern-ai.org.cn/api/tokens), a custom base URL from INTERN_BASE_URL. The
API allows 30 requests a minute; set INTERN_PER_MINUTE if another limit was granted.
"""

from __future__ import annotations

import os
from hashlib import sha256
from typing import Any

import msgspec

from evals import profiles
from evals.calls.secrets import Mask, url_secrets
from evals.errors import UsageError
from evals.model_adapters.common.fetch import listed
from evals.model_adapters.common.http import base_of, credentials, without_secrets
from evals.model_adapters.openai import Chat
from evals.types import Prompt, Sampling

BASE = "https://chat.intern-ai.org.cn/api/v1"
PER_MINUTE = 30
"""Requests allowed to each user by default, from docEn/docs/Chat."""
PUBLISHED_CONTEXT = 65_536
"""Context length in tokens of the published numbers: `max_seq_len` of opencompass's intern_s1.py at a5acc4bb."""


class Intern(Chat):
    """Always sends the reasoning switch: the API's English documentation says off by default, the Chinese one on."""

    def __init__(self, name: str, *, base: str, key: str, per_minute: float, alias: str = "") -> None:
        super().__init__(name, base=base, key=key)
        self.per_minute = per_minute
        self.account = f"{without_secrets(base)} {sha256(key.encode()).hexdigest()[:16]}"
        self._alias = alias

    def remarks(self, sampling: Sampling) -> list[str]:
        """Return the remarks for the run's card: the alias, and a context shorter than that of the published numbers."""
        notes = [f"{self._alias} stood for {self.name} at the start"] if self._alias else []
        if sampling.thinking is None:
            notes.append("thinking_mode is sent as true, as for the published numbers")
        profile = profiles.find(f"intern:{self.name}")
        if profile and profile.context and profile.context < PUBLISHED_CONTEXT:
            notes.append(
                f"a context of {profile.context:,} tokens here, {PUBLISHED_CONTEXT:,} behind the published numbers: "
                "longer reasoning is cut"
            )
        return notes

    async def body(self, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
        """Return the request's body."""
        request = await super().body(prompt, msgspec.structs.replace(sampling, thinking=None))
        return {"thinking_mode": sampling.thinking is not False, **request}


def resolve_alias(alias: str, *, base: str, key: str) -> str:
    """Return the model that an alias stands for; raises UsageError if the API does not list it."""
    url = base_of(base).join("/models")
    try:
        models = listed(url, headers={"Authorization": f"Bearer {key}"})
    except (OSError, ValueError) as error:
        reason = Mask([key, *url_secrets(base)]).text(str(error))
        raise UsageError(
            f"cannot ask {without_secrets(url)} what intern:{alias} stands for ({reason}); name the model itself"
        ) from None
    target = next((entry.ref_model for entry in models if entry.id == alias), None)
    if not target:
        raise UsageError(
            f"intern:{alias} stands for nothing; known: {', '.join(entry.id for entry in models)}"
        )
    return target


def _per_minute() -> float:
    text = os.environ.get("INTERN_PER_MINUTE", "")
    try:
        limit = float(text) if text else float(PER_MINUTE)
        if not 0 < limit < float("inf"):
            raise ValueError(text)
    except ValueError:
        raise UsageError(f"INTERN_PER_MINUTE={text!r}: a number of requests above 0 is wanted") from None
    return limit


def model(rest: str) -> Intern:
    """Return the model `intern:NAME`; raises UsageError without a key or for an alias that cannot be resolved."""
    key, base = credentials("intern", rest, base=BASE)
    alias = rest if rest.endswith("-latest") else ""
    name = resolve_alias(alias, base=base, key=key) if alias else rest
    return Intern(name, base=base, key=key, per_minute=_per_minute(), alias=alias)
