"""Any server with an OpenAI-compatible API: `server:http://127.0.0.1:8000/v1#name`, or several: `server:URL1,URL2#name`.

Without `#name`, the model is the only one in the server's list. `server:@FILE#name` reads the addresses from a file. If the
server requires a key, it is read from EVALS_SERVER_KEY; OPENAI_API_KEY is never sent to such a server.
"""

from __future__ import annotations

import math
import re
import ssl
import time
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Struct

from evals.calls.backoff import wait_s
from evals.calls.secrets import Mask, api_key, url_secrets
from evals.errors import BadReply, Fatal, ModelError, RateLimit, Rejected, UsageError
from evals.model_adapters.common.addresses import Addresses
from evals.model_adapters.common.endpoints import Endpoints
from evals.model_adapters.common.faults import fault_message, invalid_response
from evals.model_adapters.common.fetch import HttpStatusError, ListedModel, list_models
from evals.model_adapters.common.http import parse_base_url, suggest_base_url, without_secrets
from evals.model_adapters.common.retry_after import requested_wait_s
from evals.model_adapters.common.rules import template_variables
from evals.model_adapters.common.server_likelihoods import ServerLikelihoods
from evals.model_adapters.openai import Chat
from evals.plain import count_of, notice
from evals.seams import Decoding, TokenLikelihoods
from evals.types import Likelihood, Prompt, Reply, Sampling


class _LogProbs(Struct):
    token_logprobs: list[float | None] = []
    top_logprobs: list[dict[str, float] | None] | None = None


class _EchoChoice(Struct):
    text: str
    index: int = 0
    logprobs: _LogProbs | None = None


class _Completions(Struct):
    choices: list[_EchoChoice] = []


_COMPLETIONS = msgspec.json.Decoder(_Completions)


ECHO_FIELDS = {
    "max_tokens": 0,
    "echo": True,
    "logprobs": 1,
    "temperature": 0.0,
    "return_tokens_as_token_ids": True,
}
"""Request fields for the likelihoods of a prompt's own tokens. Token ids, which only vLLM supports, distinguish likely tokens
with the same text (parts of one character)."""


TIME_SERIES_MODELS = re.compile(r"intern-?s(?:1-?pro|2)", re.IGNORECASE)
"""Names of models with a time series encoder; only LMDeploy accepts time series (lmdeploy @ 38b20fcc)."""


class Server(Chat):
    """A chat model whose server may also return log-likelihoods, through `/completions` with `echo` (vLLM, SGLang)."""

    accepts = frozenset({"image", "logprobs"})

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, **options)
        if TIME_SERIES_MODELS.search(name):
            self.accepts = self.accepts | {"time_series"}

    async def logprobs(self, prompt: str, continuations: Sequence[str]) -> tuple[Likelihood, ...]:
        """See `LogProbs`; raises Fatal if the server does not support `echo`.

        The prompt is also sent alone, to find out how many tokens it has.
        """
        stripped_prompt = prompt.rstrip()
        if not stripped_prompt:
            raise Rejected("likelihoods need a prompt: the first token of a text has no likelihood")
        prompts = [stripped_prompt, *(prompt + text for text in continuations)]
        raw, _ = await self.client.post(
            "/completions", {"model": self.name, "prompt": prompts, **ECHO_FIELDS}
        )
        url = self.client.display_url("/completions")
        try:
            choices = _COMPLETIONS.decode(raw).choices
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadReply(self.client.without_key(str(invalid_response(raw, error, url)))) from None
        if len(choices) != len(prompts):
            raise BadReply(
                f"{count_of(len(choices), 'reply', 'replies')} to {len(prompts)} prompts from {url}"
            )
        echoes = [
            _prompt_logprobs(choice, text, url)
            for choice, text in zip(sorted(choices, key=lambda c: c.index), prompts, strict=True)
        ]
        start = len(echoes[0].token_logprobs)
        return tuple(
            _likelihood(echo, start, text) for echo, text in zip(echoes[1:], continuations, strict=True)
        )

    def backend(self) -> str:
        """See `SupportsReplyLikelihoods`."""
        return f"prompt_logprobs of {self.client.display_url('/completions')}"

    async def reply_likelihoods(
        self, exchanges: Sequence[tuple[Prompt, Reply]], sampling: Sampling, decoding: Decoding
    ) -> Sequence[TokenLikelihoods | ModelError]:
        """See `SupportsReplyLikelihoods`."""
        variables = template_variables(sampling, self.switch)
        likelihoods = ServerLikelihoods(self.client, self.name, variables)
        return await likelihoods.compute(exchanges, decoding, has_stops=bool(sampling.stop))


def _prompt_logprobs(choice: _EchoChoice, text: str, url: str) -> _LogProbs:
    """Return the log-probabilities of the prompt's tokens; raises Fatal if the server did not echo the prompt."""
    logprobs = choice.logprobs
    if (
        choice.text != text
        or logprobs is None
        or not logprobs.token_logprobs
        or logprobs.token_logprobs[0] is not None
    ):
        raise Fatal(
            f"{url} does not return likelihoods: it ignores `echo` with `logprobs`; vLLM and SGLang support it"
        )
    return logprobs


def _likelihood(echo: _LogProbs, start: int, text: str) -> Likelihood:
    """Return the likelihood of the tokens from `start` on, summed in order to be rounded as in lm-evaluation-harness."""
    token_logprobs = [value if value is not None else math.nan for value in echo.token_logprobs[start:]]
    if not token_logprobs:
        raise Rejected(f"{text!r} adds no token to this prompt")
    total = sum(token_logprobs)
    if math.isnan(total):
        raise BadReply("a likelihood is null or NaN")
    top_logprobs = (echo.top_logprobs or [])[start:]
    if len(top_logprobs) != len(token_logprobs):
        raise BadReply(
            f"the server returned the likeliest token for {len(top_logprobs)} of {count_of(len(token_logprobs), 'token')}"
        )
    greedy = all(
        value >= max((top or {}).values(), default=math.inf)
        for value, top in zip(token_logprobs, top_logprobs, strict=True)
    )
    return Likelihood(logprob=total, tokens=len(token_logprobs), greedy=greedy)


def model(rest: str) -> Server | Endpoints:
    """Return the client for `URL#NAME`, `URL1,URL2#NAME` or `@FILE#NAME`; raises UsageError."""
    location, _, name = rest.partition("#")
    location = location.strip()
    addresses = Addresses(location, _check_url)
    if len(addresses.urls) == 1 and not location.startswith("@"):
        return _connect(name or _only_model(location), location)
    name = name or _common_model(addresses.urls)
    return Endpoints(name, addresses, partial(_connect, name))


def _connect(name: str, base: str) -> Server:
    return Server(name, base=base, key=_server_key())


def _common_model(urls: Sequence[str]) -> str:
    """Return the model that all servers list; raises UsageError."""
    names = {_only_model(url): url for url in urls}
    if len(names) > 1:
        served = " and ".join(f"{without_secrets(url)} serves {name}" for name, url in names.items())
        raise UsageError(f"{served}: all servers of a run must serve the same model")
    return next(iter(names))


def _check_url(base: str) -> None:
    if not _is_url(base):
        raise UsageError(
            f"{without_secrets(base) or 'an empty address'} is not a valid http URL: write server:http://HOST:PORT/v1#NAME"
        )
    if _server_key() and urlsplit(base).username is not None:
        raise UsageError(
            f"server:{without_secrets(base)}: set either EVALS_SERVER_KEY or a user in the URL, not both"
        )


def _server_key() -> str | None:
    return api_key("EVALS_SERVER_KEY") or None


def _is_url(base: str) -> bool:
    try:
        parts = urlsplit(base)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


MAX_WAIT_S = 1800.0
"""Longest pause between two attempts, even if the server requests a longer one."""
WARM_UP_S = 60.0
"""Default wait for a server that is loading its model."""


def _only_model(base: str) -> str:
    """Return the only model that a server lists; raises UsageError with the cause and a remedy."""
    parts = parse_base_url(base)
    display_url = without_secrets(parts.join("/models"))
    url = f"{display_url}?{parts.query}" if parts.query else display_url  # user and password go in a header
    key = _server_key()
    mask = Mask([key or "", *url_secrets(base)])
    try:
        names = [served.id for served in _list_with_retries(url, display_url, _authorization(base, key))]
    except (OSError, ValueError) as error:
        raise UsageError(
            mask.text(_listing_failure(display_url, without_secrets(parts.url), error))
        ) from None
    if len(names) != 1:
        raise UsageError(
            f"{without_secrets(base)} serves {', '.join(names) or 'nothing'}: add #NAME to the URL"
        )
    return names[0]


def _list_with_retries(url: str, display_url: str, headers: Mapping[str, str]) -> list[ListedModel]:
    """Return the models of a server; if it is busy or loading, retry: for as long as it requests, else up to a minute."""
    deadline, attempt = time.monotonic() + WARM_UP_S, 0
    while True:
        attempt += 1
        try:
            return list_models(url, headers=headers)
        except HttpStatusError as error:
            requested_s = requested_wait_s(error.headers, fault_message(error.body))
            pause_s = min(wait_s(attempt, RateLimit("", retry_after_s=requested_s)), MAX_WAIT_S)
            if (
                error.status not in (429, 503)
                or time.monotonic() + (0.0 if requested_s else pause_s) > deadline
            ):
                raise
            if attempt == 1:
                notice(
                    f"{display_url} responded with HTTP {error.status}: {fault_message(error.body)}; waiting for the server"
                )
            time.sleep(pause_s)


def _authorization(base: str, key: str | None) -> dict[str, str]:
    parts = urlsplit(base)
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return {"Authorization": f"Basic {b64encode(user.encode()).decode()}"}
    return {"Authorization": f"Bearer {key}"} if key else {}


def _listing_failure(display_url: str, base: str, error: Exception) -> str:
    """Explain in one line why a server's models could not be listed, and what to do."""
    if not isinstance(error, HttpStatusError):
        return _connection_failure(display_url, base, error)
    refusal = f"{display_url} responded with HTTP {error.status}: {fault_message(error.body)}"
    if error.status in (401, 403):
        return f"{refusal}; the server requires a key: set EVALS_SERVER_KEY"
    if error.status in (404, 405) and (suggestion := suggest_base_url(base)):
        return f"{refusal}; base URLs usually end in /v1: server:{suggestion}#NAME"
    if error.status in (404, 405):
        return f"{refusal}; it does not list its models: check the address, or add #NAME to it"
    if error.status in (429, 503):
        return f"{refusal}; it is still busy or loading its model: try again later"
    return f"cannot list the models of {display_url} ({error}); add #NAME to the URL"


def _connection_failure(display_url: str, base: str, error: Exception) -> str:
    """Explain in one line why a request got no valid HTTP response, and what to do."""
    cause = getattr(error, "reason", error)
    if isinstance(cause, ssl.SSLError) and base.startswith("https:"):
        return f"{display_url} does not speak TLS ({cause.reason or cause}): is the server's URL http:// instead?"
    if isinstance(cause, OSError) and cause.errno is not None:
        return f"cannot reach {display_url}: {cause.strerror or cause}; is the server running there?"
    return f"cannot list the models of {display_url} ({cause}); add #NAME to the URL"
