"""Request fields that a server rejects by name: omitted from then on, and noted on the run's card.

A field counts as rejected only after the same call has succeeded without it: a message that merely mentions a field
(its range, or a quoted prompt) changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from evals.errors import ModelError, Rejected, ServerFault
from evals.model_adapters.common.http import Client

Body = dict[str, Any]
T = TypeVar("T")
FIELDS = {
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
"""Request field that may be omitted -> its setting. Reasoning switches are not among them: omitting one would change
what is measured."""
NESTED = "generationConfig"
"""Google's object with the settings."""
OTHER_NAME = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_UNKNOWN = re.compile(
    r"unsupported|(?:not|n't|no)\b(?: \w+){0,3} (?:support|accept|allow|permit|valid|recogni|available|implement)\w*|"
    r"not (?:supported|accepted|allowed|permitted|recogni[sz]ed|available|implemented)|"
    r"no (?:support|such)|unrecogni[sz]ed|unknown|unexpected|cannot (?:both )?be |can't be (?:used|set)|cannot find field|"
    r"not in (?:the )?schema|not (?:defined|part of)|disallowed|no property|forbidden|illegal (?:param|field|argument)|additional propert|extra(?:neous)? (?:input|field|param|key)|"
    r"invalid (?:param|field|argument)|deprecated|instead|rather than|remove|use max_\w+|"
    r"only (?:the default )?\(?1(?:\.0)?\)? (?:value )?is |must be (?:set to )?1(?:\.0)?(?! or| and| to|[-.\d])",
    re.IGNORECASE,
)
_CODES = frozenset(
    {"unknown_parameter", "unsupported_parameter", "unsupported_value", "extra_forbidden", "unknown_field"}
)
"""Codes that say the same."""
_CRASHED = re.compile(
    r"unexpected keyword argument|(?:unknown|unrecogni[sz]ed|unsupported) (?:field|parameter|argument)|not implemented|"
    r"extra (?:inputs?|fields?) (?:are )?not (?:permitted|allowed)",
    re.IGNORECASE,
)
"""What a status of 5xx must say: servers of one's own crash on a field that they do not know."""
INSPECTED = 600
"""Characters of a message that are searched: after that, some servers repeat the prompt."""


class Refusals:
    """Fields that one server has rejected so far."""

    def __init__(self) -> None:
        self.left_out: dict[str, str] = {}
        """Field -> the name under which it is sent instead; empty: it is omitted."""

    @property
    def settings(self) -> frozenset[str]:
        """Return the settings that are omitted."""
        return frozenset(FIELDS[field] for field, other in self.left_out.items() if not other)

    @property
    def notes(self) -> list[str]:
        """Return the notes for the run's card."""
        return [
            f"{field} is sent as {other}: the server rejects the field"
            if other
            else f"{field} is not sent: the server rejects the field"
            + ("; stop sequences are applied here" if FIELDS[field] == "stop" else "")
            for field, other in self.left_out.items()
        ]

    def without(self, body: Body) -> Body:
        """Return a body without the rejected fields."""
        return _without(body, self.left_out)

    def learn(self, error: Rejected, body: Body, keep: Mapping[str, Any]) -> bool:
        """Omit the field that an error names from now on; return whether that field was still sent.

        For batches, whose errors arrive too late to repeat the same call.
        """
        field = named(error, self.without(body), keep)
        if field is None or field in self.left_out:
            return False
        other = OTHER_NAME.get(field, "")
        self.left_out[field] = other if other and other in str(error) else ""
        return True

    async def post(
        self,
        client: Client,
        path: str,
        body: Body,
        *,
        keep: Mapping[str, Any],
        read: Callable[[bytes, float], T],
    ) -> T:
        """Post a body without the rejected fields; repeat the call without any further field that the server names.

        `keep`: fields that are never omitted. `read`: parses the response, from its body and the seconds that it took; some
        gateways reject a field in a 200. Raises what `Client.post` and `read` raise.
        """
        tried = dict(self.left_out)
        while True:
            sent = _without(body, tried)
            try:
                answer = read(*await client.post(path, sent))
            except (Rejected, ServerFault) as error:
                field = named(error, sent, keep)
                if field is None or field in tried:
                    raise
                other = OTHER_NAME.get(field, "")
                tried[field] = other if other and other not in tried and other in str(error) else ""
            else:
                self.left_out |= tried
                return answer


def named(error: ModelError, body: Body, keep: Mapping[str, Any]) -> str | None:
    """Return the field that an error names as unknown or unsupported; None if there is none."""
    if type(error) not in (Rejected, ServerFault):  # subclasses: context length, content filter
        return None
    message = str(error)[:INSPECTED]
    sent = [field for field in (*body, *body.get(NESTED, ())) if field in FIELDS and field not in keep]
    said = _CRASHED if isinstance(error, ServerFault) else _UNKNOWN
    if not said.search(message) and not (isinstance(error, Rejected) and error.codes & _CODES):
        return None
    param = error.param if isinstance(error, Rejected) else ""
    if (last := re.split(r"[.\[/]", param)[-1]) in sent:
        return last
    positions = {
        field: match.start()
        for field in sent
        if (match := re.search(rf"(?<![A-Za-z0-9_]){re.escape(field)}(?![A-Za-z0-9_])", message))
    }
    return min(positions, key=lambda field: positions[field], default=None)


def _without(body: Body, left_out: Mapping[str, str]) -> Body:
    kept = {}
    for field, value in body.items():
        if field == NESTED and isinstance(value, dict):
            value = _without(value, left_out)
        if field not in left_out:
            kept[field] = value
        elif left_out[field]:
            kept[left_out[field]] = value
    return kept
