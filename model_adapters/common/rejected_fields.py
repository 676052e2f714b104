"""Request fields that a server rejects by name: omitted from then on, and noted on the run's card.

Outside batches, a field counts as rejected only after the same call has succeeded without it: a message that merely mentions
a field, e.g. its valid range or a quoted prompt, changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from evals.errors import ModelError, Rejected, ServerFault
from evals.model_adapters.common.http import Client

Body = dict[str, Any]
T = TypeVar("T")
SETTING_OF_FIELD = {
    "temperature": "temperature",
    "top_p": "top_p",
    "topP": "top_p",
    "top_k": "top_k",
    "topK": "top_k",
    "min_p": "min_p",
    "seed": "seed",
    "stop": "stop",
    "stop_sequences": "stop",
    "stopSequences": "stop",
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "maxOutputTokens": "max_tokens",
}
"""Request field that may be omitted -> the setting that it transmits. Reasoning switches are not included, since omitting one
would change what is measured."""
NESTED_SETTINGS = "generationConfig"
"""Object that contains the settings in Google's API."""
ALTERNATIVE_NAMES = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_REJECTION_MESSAGE = re.compile(
    r"unsupported|(?:not|n't|no)\b(?: \w+){0,3} (?:support|accept|allow|permit|valid|recogni|available|implement)\w*|"
    r"not (?:supported|accepted|allowed|permitted|recogni[sz]ed|available|implemented)|"
    r"no (?:support|such)|unrecogni[sz]ed|unknown|unexpected|cannot (?:both )?be |can't be (?:used|set)|cannot find field|"
    r"not in (?:the )?schema|not (?:defined|part of)|disallowed|no property|forbidden|illegal (?:param|field|argument)|additional propert|extra(?:neous)? (?:input|field|param|key)|"
    r"invalid (?:param|field|argument)|deprecated|instead|rather than|remove|use max_\w+|"
    r"only (?:the default )?\(?1(?:\.0)?\)? (?:value )?is |must be (?:set to )?1(?:\.0)?(?! or| and| to|[-.\d])",
    re.IGNORECASE,
)
_RANGE_MESSAGE = re.compile(
    r"above (?:the )?max|below (?:the )?min|at most|at least|between|[<>]=|(?:less|greater) than|valid range|in the range|"
    r"must be in \[|rather than -?[\d.]|got -?[\d.]+ instead",
    re.IGNORECASE,
)
"""Messages about a value that is out of range: omitting the field would replace the user's value with the server's."""
_REJECTION_CODES = frozenset(
    {"unknown_parameter", "unsupported_parameter", "unsupported_value", "extra_forbidden", "unknown_field"}
)
"""Error codes for rejected fields."""
_CRASH_MESSAGE = re.compile(
    r"unexpected keyword argument|(?:unknown|unrecogni[sz]ed|unsupported) (?:field|parameter|argument)|not implemented|"
    r"extra (?:inputs?|fields?) (?:are )?not (?:permitted|allowed)",
    re.IGNORECASE,
)
"""Messages of 5xx errors for unknown fields, on which some self-hosted servers crash."""
MAX_SEARCHED_CHARS = 600
"""Maximum number of characters of a message that are searched; some servers quote the prompt after them."""


class RejectedFields:
    """Fields that one server has rejected so far."""

    def __init__(self) -> None:
        self.left_out: dict[str, str] = {}
        """Field -> alternative name under which it is sent; empty: it is omitted."""

    @property
    def settings(self) -> frozenset[str]:
        """Return the settings that are omitted."""
        return frozenset(
            SETTING_OF_FIELD[field] for field, alternative in self.left_out.items() if not alternative
        )

    @property
    def notes(self) -> list[str]:
        """Return the notes for the run's card."""
        return [
            f"{field} is sent as {alternative}: the server rejects the field"
            if alternative
            else f"{field} is not sent: the server rejects the field"
            + ("; stop sequences are applied by the harness" if SETTING_OF_FIELD[field] == "stop" else "")
            for field, alternative in self.left_out.items()
        ]

    def without(self, body: Body) -> Body:
        """Return a body in which rejected fields are omitted or renamed."""
        return _without_fields(body, self.left_out)

    def add_from_error(self, error: Rejected, body: Body, keep: Mapping[str, Any]) -> bool:
        """Omit, from now on, the field that an error names; return whether it was still being sent.

        Used for batches, whose errors arrive too late to repeat the call.
        """
        field = field_named_in(error, self.without(body), keep)
        if field is None or field in self.left_out:
            return False
        self.left_out[field] = _alternative_name(field, error, self.left_out)
        return True

    async def post(
        self,
        client: Client,
        path: str,
        body: Body,
        *,
        keep: Mapping[str, Any],
        parse: Callable[[bytes, float], T],
    ) -> T:
        """Post a body without the rejected fields; if the server names another one, repeat the call without it.

        `keep`: fields that are never omitted. `parse`: (body of a response, its duration in seconds) -> result; it is called
        inside the loop, since some gateways reject a field in a 200 response. Raises the errors of `Client.post` and `parse`.
        """
        omitted = dict(self.left_out)
        while True:
            reduced_body = _without_fields(body, omitted)
            try:
                response = parse(*await client.post(path, reduced_body))
            except (Rejected, ServerFault) as error:
                field = field_named_in(error, reduced_body, keep)
                if field is None or field in omitted:
                    raise
                omitted[field] = _alternative_name(field, error, omitted)
            else:
                self.left_out |= omitted
                return response


def field_named_in(error: ModelError, body: Body, keep: Mapping[str, Any]) -> str | None:
    """Return the field that an error names as unknown or unsupported; None if it names none."""
    if type(error) not in (Rejected, ServerFault):  # subclasses: context length, content filter
        return None
    message = str(error)[:MAX_SEARCHED_CHARS]
    candidates = [
        field
        for field in (*body, *body.get(NESTED_SETTINGS, ()))
        if field in SETTING_OF_FIELD and field not in keep
    ]
    pattern = _CRASH_MESSAGE if isinstance(error, ServerFault) else _REJECTION_MESSAGE
    if not pattern.search(message) and not (isinstance(error, Rejected) and error.codes & _REJECTION_CODES):
        return None
    if isinstance(error, Rejected) and _RANGE_MESSAGE.search(message):
        return None
    param = error.param if isinstance(error, Rejected) else ""
    if (last := re.split(r"[.\[/]", param)[-1]) in candidates:
        return last
    positions = {
        field: match.start()
        for field in candidates
        if (match := re.search(rf"(?<![A-Za-z0-9_]){re.escape(field)}(?![A-Za-z0-9_])", message))
    }
    return min(positions, key=lambda field: positions[field], default=None)


def _alternative_name(field: str, error: ModelError, omitted: Mapping[str, str]) -> str:
    """Return the name under which an error asks for a field; empty if it names none, or one that was rejected before."""
    name = ALTERNATIVE_NAMES.get(field, "")
    return name if name and name not in omitted and name in str(error) else ""


def _without_fields(body: Body, left_out: Mapping[str, str]) -> Body:
    remaining = {}
    for field, value in body.items():
        if field == NESTED_SETTINGS and isinstance(value, dict):
            value = _without_fields(value, left_out)
        if field not in left_out:
            remaining[field] = value
        elif left_out[field]:
            remaining[left_out[field]] = value
    return remaining
