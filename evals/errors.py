"""The errors of this project, and which of them are retried.

The lower-case name of a class is recorded as `Failure.kind`, so the names must not change.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from evals.plain import did_you_mean, similar_names

MAX_LISTED = 99
"""Maximum number of known names that a message lists; if there are more, it states their number."""


def install_command(extra: str) -> str:
    """Return the command that installs an extra, from this checkout or from the package index."""
    root = Path(__file__).resolve().parent.parent
    if not (root / "pyproject.toml").is_file():
        return f"pip install 'science-evals[{extra}]'"
    path = "." if root == Path.cwd() else root
    return f"pip install -e '{path}[{extra}]'"


def require_packages(feature: str, *packages: str, command: str) -> None:
    """Raise UsageError if packages that `feature` needs are not installed; `command`: how to install them."""
    if missing := [package for package in packages if find_spec(package) is None]:
        raise UsageError(f"{feature} needs {', '.join(missing)}: {command}")


class EvalsError(Exception):
    """Base of all errors that a user may see as one line."""


class UsageError(EvalsError):
    """A mistake that the user can fix; ends the command with exit status 2."""


class UnknownName(UsageError):
    """An unknown name; the message suggests similar ones or, if there are none, lists or counts the known names."""

    def __init__(
        self,
        kind: str,
        name: str,
        known: Iterable[str],
        *,
        see: str = "",
        source: object = "",
        more: str = "",
    ) -> None:
        """`kind`: such as "variant of gpqa"; `see`: the command that lists many names; `source`: the file with the name.

        `more`: a further hint.
        """
        names = sorted(known)
        close_matches = [
            close for spelling in (name, name.lower()) for close in similar_names(spelling, names)
        ]
        close_matches = list(dict.fromkeys(close_matches))[:3]
        listed = f"known: {', '.join(names)}" if names else "there are none"
        if len(names) > MAX_LISTED:
            listed = f"{len(names)} are known{f': `{see}` lists them' if see else ''}"
        hint = did_you_mean(close_matches) if close_matches else listed
        noun, *context = re.split(r" (?=(?:of|for|with) )", kind, maxsplit=1)
        unknown = " ".join(["unknown", noun, repr(name), *context])
        super().__init__(f"{f'{source}: ' if source else ''}{unknown}; {hint}{f'; {more}' if more else ''}")


class Untrusted(UsageError):
    """The data refer to a suite whose code the user has not trusted."""


class DataError(UsageError):
    """A data set is missing, incomplete or inconsistent."""


class StoreError(UsageError):
    """A results folder or a run in it cannot be read or written."""


@contextmanager
def needs(
    feature: str, extra: str, *, error: type[UsageError] = UsageError, otherwise: str = ""
) -> Iterator[None]:
    """Raise an error if a package imported in the context is missing: `feature` needs the extra. `otherwise`: another remedy."""
    try:
        yield
    except ImportError:
        raise error(f"{feature} needs `{install_command(extra)}`{otherwise}") from None


class ModelError(EvalsError):
    """A call to a model failed."""

    retry = False
    """Whether the call is retried."""
    slow_down = False
    """Whether the runner should reduce its concurrency."""


class Fatal(ModelError):
    """Wrong key, URL or model name: every call would fail the same way; ends the run before its first reply."""


class Gone(Fatal):
    """The model's server is lost permanently: ends the run at any time; the next command runs samples without a reply again."""


class OutOfQuota(Fatal):
    """The account's credit or quota is exhausted: ends the run at any time."""


class Rejected(ModelError):
    """The server rejects this request (400, 413, 422)."""

    def __init__(self, message: str, *, param: str = "", codes: frozenset[str] = frozenset()) -> None:
        """`param`: the request field at fault, if the server names it separately. `codes`: the server's error codes."""
        super().__init__(message)
        self.param = param
        self.codes = codes


class Context(Rejected):
    """Prompt and max_tokens exceed the model's context."""


class Filtered(Rejected):
    """The vendor's content filter rejects the prompt: a refusal, which counts as a reply and not as a failure."""


class Expired(ModelError):
    """A batch ended before this request was processed; the next command sends it again."""


class Transient(ModelError):
    """A temporary failure; the call is retried."""

    retry = True


class RateLimit(Transient):
    """The server is overloaded or a rate limit is exceeded (429, 503); the response may state a time to wait."""

    slow_down = True

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ServerFault(Transient):
    """The server failed while answering (5xx)."""


class Disconnected(Transient):
    """The connection was refused or lost."""

    def __init__(self, message: str, *, unreachable: bool = False) -> None:
        """`unreachable`: no connection could be made at all."""
        super().__init__(message)
        self.unreachable = unreachable


class Timeout(Transient):
    """No reply within the deadline."""

    slow_down = True


class BadReply(Transient):
    """The response does not follow the protocol: truncated JSON, an error body, HTML, no content."""


class Crash(EvalsError):
    """Foreign code (a plugin, a scorer, a library) raised an exception that is not one of this project's."""


class ScorerError(EvalsError):
    """A scorer failed or exceeded its deadline."""


class Unreadable(ScorerError):
    """A judge model returned no parsable verdict."""

    def __init__(self, message: str, *, tokens: Mapping[str, int | None]) -> None:
        """`tokens`: the fields of the attempts' `Usage`."""
        super().__init__(message)
        self.tokens = tokens


class Waiting(ScorerError):
    """The rule alone cannot decide, and no judge model is set."""


def from_status(
    status: int, message: str, *, codes: str = "", retry_after_s: float | None = None, param: str = ""
) -> ModelError:
    """Map an HTTP status other than 200 to the error that the runner should see.

    `codes`: the error's codes, separated by spaces: the body's fields `code`, `type` and `status`, and those of its details.
    Statuses are ambiguous: some vendors return 400 for a wrong key, and 429 for both an exhausted quota and a rate limit.
    Only the beginning of a message is searched, as some servers quote the prompt after it. `param`: see `Rejected`.
    """
    text = f"HTTP {status}: {message}"
    beginning, stated_codes = message.lower()[:_SEARCHED_CHARACTERS], frozenset(codes.lower().split())

    def mentions_any(known_codes: Collection[str], phrases: Iterable[str]) -> bool:
        return not stated_codes.isdisjoint(known_codes) or any(phrase in beginning for phrase in phrases)

    is_daily_quota = any("perday" in code for code in stated_codes)  # Google's quota ids contain PerDay
    if status == 402 or is_daily_quota or mentions_any(_QUOTA_CODES, _QUOTA_PHRASES):
        return OutOfQuota(text)
    if status in (429, 503, 529) and (retry_after_s or 0.0) > _MAX_WAIT_S:
        return OutOfQuota(f"{text}; no more calls for {(retry_after_s or 0.0) / 3600:.1f} hours")
    if status in (404, 409, 425, 500, 502, 504) and is_loading(beginning):
        return RateLimit(
            text, retry_after_s=None if retry_after_s is None else min(retry_after_s, _MAX_WAIT_S)
        )
    if 400 <= status < 500 and mentions_any(_FILTER_CODES, _FILTER_PHRASES):
        return Filtered(text)
    if status in (401, 403, 404, 405) or (status == 400 and mentions_any(_FATAL_CODES, _FATAL_PHRASES)):
        return Fatal(text)
    if status in (429, 503, 529):
        return RateLimit(text, retry_after_s=retry_after_s)
    if status in (408, 504):
        return Timeout(text)
    if status in (409, 425) or status >= 500:
        return ServerFault(text)
    if status in (400, 413, 422) and mentions_any(_CONTEXT_CODES, _CONTEXT_PHRASES):
        return Context(text)
    return Rejected(text, param=param, codes=stated_codes)


_LOADING = re.compile(
    r"(?:model|engine|server|weights|service|worker|backend)s?\b.{0,40}(?<!error )\b(?:loading|starting|warming|initiali[sz]ing)\b|"
    r"^(?:still |currently )?(?:loading|warming up|starting up|initiali[sz]ing)\b|"
    r"\b(?:loading|warming up|starting up) the (?:model|engine|server)|not (?:loaded|ready|available|up) yet|not yet (?:loaded|ready)"
)


def is_loading(beginning: str) -> bool:
    """Return whether the beginning of a message, in lower case, says that a model is being loaded.

    >>> is_loading("model m is currently loading"), is_loading("loading model"), is_loading("error loading model")
    (True, True, False)
    """
    return bool(_LOADING.search(beginning[:_SEARCHED_CHARACTERS]))


_MAX_WAIT_S = 1800.0
"""A server that requests a longer wait counts as out of quota."""
_SEARCHED_CHARACTERS = 160
_QUOTA_CODES = {
    "insufficient_quota",  # OpenAI
    "billing_hard_limit_reached",
    "billing_not_active",
    "billing_error",  # Anthropic
    "enforced_spend_limit_reached",
    "exceeded_current_quota_error",  # Moonshot
    "insufficient_credits",
    "insufficient_user_quota",  # One API and New API, gateways
    "insufficient_balance",
    "insufficient_funds",
    "payment_required",
}
_QUOTA_PHRASES = (
    "credit balance is too low",  # Anthropic, 400
    "specified api usage limits",  # Anthropic, 400: the limit that the user has set
    "insufficient balance",  # DeepSeek
    "insufficient credits",  # OpenRouter
    "insufficient funds",
    "payment required",
    "used all available credits",  # xAI
)
_FILTER_CODES = {
    "content_filter",  # Azure, Moonshot
    "content_policy_violation",  # OpenAI
    "invalid_prompt",
}
_FILTER_PHRASES = (
    "flagged as potentially violating",  # OpenAI
    "output blocked by content filtering",  # Anthropic
    "content exists risk",  # DeepSeek
    "considered high risk",  # Moonshot
    "violates usage guidelines",  # xAI, 403
)
_FATAL_CODES = {"api_key_invalid", "model_not_found", "invalid_api_key"}
_FATAL_PHRASES = (
    "api key",  # Google, xAI
    "location is not supported",  # Google
    "model not exist",  # DeepSeek
    "not a valid model",  # OpenRouter
)
_CONTEXT_CODES = {"context_length_exceeded", "exceed_context_size_error"}  # OpenAI; llama.cpp
_CONTEXT_PHRASES = (
    "context length",  # vLLM, DeepSeek
    "context size",  # llama.cpp
    "context limit",  # Anthropic
    "context window",
    "too long",  # Anthropic, SGLang
    "maximum prompt length",  # xAI
    "input token count",  # Google
    "token limit",  # Moonshot
)
