"""Keys and other secrets: read from the environment, and masked in messages and replies."""

from __future__ import annotations

import json
import os
import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from evals.errors import UsageError

MASK = "***"
MIN_SECRET_CHARS = 4
"""Minimum length of a secret that is masked in messages; shorter ones could occur in words."""
MIN_SECRET_CHARS_IN_REPLIES = 12
"""The same for replies, since a dummy key such as `EMPTY` may also occur in an answer."""

_SECRET_WORDS_ANYWHERE = frozenset(
    {"apikey", "authorization", "credential", "credentials", "passphrase", "passwd", "password", "secret"}
)
"""Words that mark a value as a secret wherever they stand in its name."""
SECRET_WORDS = _SECRET_WORDS_ANYWHERE | {
    "auth", "bearer", "jwt", "key", "keys", "pat", "pwd", "secrets", "token",
}  # fmt: skip
"""Words that mark a value as a secret if its name ends in them."""
_VOCABULARY_WORDS = frozenset(
    {"bos", "cls", "end", "eos", "image", "mask", "next", "pad", "sep", "start", "stop", "think", "unk"}
)
"""Words that mark a following `token` as a token of a vocabulary, not a secret."""
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
"""One word of a name such as `hf-token`, `API_KEY2` or `awsSecretKey`."""
_FIELD_NAME = re.compile(r"""([A-Za-z][\w.-]*+)\\*+["']?+\s*+[:=]\s*+(?!null\b|""|''|$)""")
"""The name in `name=value`, `name: value` or `"name": value`, at any depth of a JSON text, unless the value is empty or null."""
_PASSWORD_IN_URL = re.compile(r"://[^/\s:@]*+:[^/\s@]++@")
_KEY_PREFIX = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{20}|sk-[\w-]{20}|gh[opsru]_\w{20}|github_pat_\w{20}|glpat-[\w-]{16}|AKIA[A-Z0-9]{16})"
)
"""The beginning of a vendor's key, recognised whatever the value is called."""


def name_words(name: str) -> list[str]:
    """Return the words of a name in lower case.

    >>> name_words("--kvConfig.API_KEY2")
    ['kv', 'config', 'api', 'key']
    """
    return [word.lower() for word in _WORD.findall(name)]


def is_secret_name(name: str) -> bool:
    """Return whether the name of an option, a field or a variable marks its value as a secret.

    >>> [is_secret_name(n) for n in ("--hf-token", "awsSecretAccessKey", "eos_token", "max_tokens", "ssl-keyfile")]
    [True, True, False, False, False]
    """
    words = name_words(name)
    if not words or (words[-1] == "token" and words[-2:-1] and words[-2] in _VOCABULARY_WORDS):
        return False
    return words[-1] in SECRET_WORDS or not _SECRET_WORDS_ANYWHERE.isdisjoint(words)


def secret_argument(arguments: Sequence[str]) -> str:
    """Return the name or a description of the first secret in command-line arguments; empty if there is none.

    >>> secret_argument(["--kv-transfer-config", '{"extra": {"redis_password": "x"}}'])
    'redis_password'
    """
    for argument in arguments:
        name, _, value = argument.partition("=") if argument.startswith("-") else ("", "", argument)
        if is_secret_name(name):
            return name
        if field := next((field for field in _FIELD_NAME.findall(value) if is_secret_name(field)), ""):
            return field
        if _PASSWORD_IN_URL.search(argument):
            return "a URL with a password"
        if _KEY_PREFIX.search(argument):
            return "a key"
        if variable := _secret_variable_in(argument):
            return f"the value of {variable}"
    return ""


def _secret_variable_in(text: str) -> str:
    """Return the name of an environment variable whose secret value the text contains; empty if there is none."""
    secrets = ((name, value.strip()) for name, value in os.environ.items() if is_secret_name(name))
    return next(
        (name for name, secret in secrets if len(secret) >= MIN_SECRET_CHARS_IN_REPLIES and secret in text),
        "",
    )


def environment_secret(variable: str, *, allow_spaces: bool = False) -> str:
    """Return a secret from an environment variable, stripped; empty if it is not set.

    Raises UsageError, without showing the value, if it cannot be a key, e.g. because of a space (unless `allow_spaces`).
    """
    secret = os.environ.get(variable, "").strip()
    if not secret.isascii() or not secret.isprintable() or (" " in secret and not allow_spaces):
        raise UsageError(
            f"{variable} contains a space, a control character or a character outside ASCII, which keys never do (its value is not shown)"
        )
    return secret


def api_key(*variables: str) -> str:
    """Return the key in the first of these environment variables that is set; empty if none is."""
    return next((key for name in variables if (key := environment_secret(name))), "")


def url_secrets(url: str) -> list[str]:
    """Return the secrets in a URL: the password, `user:password` (also in Base64, as in a header), and long query values."""
    try:
        parts = urlsplit(url)
        user, password = parts.username, parts.password
    except ValueError:
        return []
    secrets = [value for _, value in parse_qsl(parts.query) if len(value) >= MIN_SECRET_CHARS_IN_REPLIES]
    if password:
        credentials = b64encode(f"{unquote(user or '')}:{unquote(password)}".encode()).decode()
        secrets += [password, unquote(password), credentials, f"{user}:{password}"]
    return secrets


class Mask:
    """Masks secrets in messages and in servers' responses."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: list[str] = []
        self._secret_bytes: list[bytes] = []
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Mask these secrets too, including their escaped forms in JSON and URLs; secrets that are too short are ignored."""
        for secret in secrets:
            if len(secret) >= MIN_SECRET_CHARS:
                self._secrets += _spellings(secret)
            if len(secret) >= MIN_SECRET_CHARS_IN_REPLIES:
                self._secret_bytes += map(str.encode, _spellings(secret))
        self._secrets.sort(key=len, reverse=True)
        self._secret_bytes.sort(key=len, reverse=True)

    def text(self, message: str) -> str:
        """Return a message without secrets."""
        for secret in self._secrets:
            message = message.replace(secret, MASK)
        return message

    def raw(self, body: bytes) -> bytes:
        """Return the body of a response without secrets."""
        for secret in self._secret_bytes:
            if secret in body:
                body = body.replace(secret, MASK.encode())
        return body


def _spellings(secret: str) -> Sequence[str]:
    """Return a secret unescaped, escaped as in JSON (with and without escaped slashes), and escaped as in URLs."""
    escaped = json.dumps(secret)[1:-1]
    return list(dict.fromkeys((secret, escaped, escaped.replace("/", "\\/"), quote(secret, safe=""))))
