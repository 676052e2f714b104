"""Keys and other secrets: read from the environment, and masked in messages and replies."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from collections.abc import Iterable, Sequence
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from evals.errors import UsageError

MASK = "***"
SHORTEST = 4
"""Minimum length of a secret that is masked in messages; shorter ones could occur in words."""
SHORTEST_IN_REPLIES = 12
"""The same for replies, in which a common key like `EMPTY` may be part of the answer."""


def environment_secret(variable: str, *, spaces: bool = False) -> str:
    """Return a secret from an environment variable, stripped; empty if it is not set.

    Raises UsageError, without its value, if it cannot be sent in a header. `spaces`: whether it may contain spaces.
    """
    secret = os.environ.get(variable, "").strip()
    if not secret.isascii() or not secret.isprintable() or (" " in secret and not spaces):
        raise UsageError(
            f"{variable} contains a blank, a control character or one outside ASCII, as no key does (its value is not shown)"
        )
    return secret


def api_key(*variables: str) -> str:
    """Return the first key that is set among these variables; empty if there is none."""
    return next((key for name in variables if (key := environment_secret(name))), "")


def in_url(url: str) -> list[str]:
    """Return the secrets of a URL: password, user and password as sent, and long values of its query."""
    try:
        parts = urlsplit(url)
        user, password = parts.username, parts.password
    except ValueError:
        return []
    secrets = [value for _, value in parse_qsl(parts.query) if len(value) >= SHORTEST_IN_REPLIES]
    if password:
        pair = f"{unquote(user or '')}:{unquote(password)}"
        secrets += [password, unquote(password), b64encode(pair.encode()).decode(), f"{user}:{password}"]
    return secrets


class Mask:
    """Masks secrets in messages and in what servers send."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: list[str] = []
        self._raw: list[bytes] = []
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Mask further secrets, in all their spellings in JSON and URLs."""
        for secret in secrets:
            spellings = _spellings(secret) if len(secret) >= SHORTEST else []
            self._secrets += spellings
            self._raw += [spelling.encode() for spelling in spellings if len(secret) >= SHORTEST_IN_REPLIES]
        self._secrets.sort(key=len, reverse=True)
        self._raw.sort(key=len, reverse=True)

    def text(self, message: str) -> str:
        """Return a message without secrets."""
        for secret in self._secrets:
            message = message.replace(secret, MASK)
        return message

    def raw(self, body: bytes) -> bytes:
        """Return the body of a response without secrets."""
        for secret in self._raw:
            if secret in body:
                body = body.replace(secret, MASK.encode())
        return body


def _spellings(secret: str) -> Sequence[str]:
    escaped = json.dumps(secret)[1:-1]
    return list(dict.fromkeys((secret, escaped, escaped.replace("/", "\\/"), quote(secret, safe=""))))
