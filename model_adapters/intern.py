"""The hosted API of Intern-S1: `intern:intern-s1`, `intern:intern-s1-pro`, `intern:intern-latest`.

The key comes from INTERN_API_KEY (internlm.intern-ai.org.cn/api/tokens), another address from INTERN_BASE_URL. The
API lets a user ask 30 times a minute; INTERN_PER_MINUTE says so where another limit was granted.
"""

from __future__ import annotations

import os
from typing import Any

import msgspec

from evals import profiles
from evals.calls.secrets import Mask, in_url
from evals.errors import UsageError
from evals.model_adapters.common.fetch import listed
from evals.model_adapters.common.http import base_of, credentials, without_secrets
from evals.model_adapters.openai import Chat
from evals.types import Prompt, Sampling

BASE = "https://chat.intern-ai.org.cn/api/v1"
PER_MINUTE = 30
"""docEn/docs/Chat: of every user, unless more was granted."""
PUBLISHED_CONTEXT = 65_536
"""Tokens that the published numbers were measured with: `max_seq_len` of opencompass's intern_s1.py at a5acc4bb."""


class Intern(Chat):
    """Always says whether to reason: the API's English page calls that off by default, its Chinese one on."""

    def __init__(self, name: str, *, base: str, key: str, per_minute: float, alias: str = "") -> None:
        super().__init__(name, base=base, key=key)
        self.per_minute = per_minute
        self._alias = alias

    def remarks(self, sampling: Sampling) -> list[str]:
        """Say what a run's card must say: the context beside that of the published numbers, and the alias."""
        found = [f"{self._alias} stood for {self.name} at the start"] if self._alias else []
        if sampling.thinking is None:
            found.append("thinking_mode is sent as true, as for the published numbers")
        profile = profiles.find(f"intern:{self.name}")
        if profile and profile.context and profile.context < PUBLISHED_CONTEXT:
            found.append(
                f"a context of {profile.context:,} tokens here, {PUBLISHED_CONTEXT:,} behind the published numbers: "
                "longer reasoning is cut"
            )
        return found

    async def body(self, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
        """Return the request's body."""
        found = await super().body(prompt, msgspec.structs.replace(sampling, thinking=None))
        return {"thinking_mode": sampling.thinking is not False, **found}


def behind(alias: str, *, base: str, key: str) -> str:
    """Ask which model an alias stands for; raises UsageError where the API does not say."""
    url = base_of(base).join("/models")
    try:
        models = listed(url, headers={"Authorization": f"Bearer {key}"})
    except (OSError, ValueError) as error:
        why = Mask([key, *in_url(base)]).text(str(error))
        raise UsageError(
            f"cannot ask {without_secrets(url)} what intern:{alias} stands for ({why}); name the model itself"
        ) from None
    found = next((one.ref_model for one in models if one.id == alias), None)
    if not found:
        raise UsageError(f"intern:{alias} stands for nothing; known: {', '.join(one.id for one in models)}")
    return found


def _per_minute() -> float:
    text = os.environ.get("INTERN_PER_MINUTE", "")
    try:
        found = float(text) if text else float(PER_MINUTE)
        if not 0 < found < float("inf"):
            raise ValueError(text)
    except ValueError:
        raise UsageError(f"INTERN_PER_MINUTE={text!r}: a number of requests above 0 is wanted") from None
    return found


def model(rest: str) -> Intern:
    """Make `intern:NAME`; raises UsageError without a key, and for an alias that cannot be resolved."""
    key, base = credentials("intern", rest, base=BASE)
    alias = rest if rest.endswith("-latest") else ""
    name = behind(alias, base=base, key=key) if alias else rest
    return Intern(name, base=base, key=key, per_minute=_per_minute(), alias=alias)
