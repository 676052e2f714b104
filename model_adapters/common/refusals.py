"""Fields of a request that a server refuses by name: left out from then on, and noted on the card of the run.

A field counts as refused only once the same call has succeeded without it, so that a message that merely mentions a
field (its range, the prompt that it repeats) changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from evals.errors import Rejected
from evals.model_adapters.common.http import Client

Body = dict[str, Any]
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
"""Field of a request that may be left out -> the setting that it words. How to reason is not among them: without it
another question would be asked."""
NESTED = "generationConfig"
"""Google's object of settings."""
OTHER_NAME = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_UNKNOWN = re.compile(
    r"unsupported|not (?:be )?support|(?:does|do|is|are) not (?:accept|allow|permit|valid|recogni)|not (?:permitted|allowed|"
    r"recogni[sz]ed|accepted|available|implemented|a valid)|unrecogni[sz]ed|unknown|unexpected|no such|cannot be (?:used|set)|"
    r"cannot find field|can't be (?:used|set)|forbidden|additional propert|extra (?:input|field|param)|invalid param|"
    r"invalid (?:field|argument)|deprecated|instead|remove",
    re.IGNORECASE,
)
SAYS = 600
"""Characters of a message that are looked at: servers repeat the prompt behind that."""


class Refusals:
    """What one server refused so far."""

    def __init__(self) -> None:
        self.left_out: dict[str, str] = {}
        """Field -> the name that it goes under instead; empty: it is not sent."""

    @property
    def settings(self) -> frozenset[str]:
        """Return the settings that are not sent any more."""
        return frozenset(FIELDS[field] for field, other in self.left_out.items() if not other)

    @property
    def notes(self) -> list[str]:
        """Say what the card of a run must say."""
        return [
            f"{field} is sent as {other}: the server refuses the field"
            if other
            else f"{field} is not sent: the server refuses the field"
            + ("; replies are ended here" if FIELDS[field] == "stop" else "")
            for field, other in self.left_out.items()
        ]

    def without(self, body: Body) -> Body:
        """Return a body without what was refused."""
        return _without(body, self.left_out)

    def learn(self, error: Rejected, body: Body, keep: Mapping[str, Any]) -> bool:
        """Leave out what a refusal of a body names from now on; whether it names a field that was still sent.

        For batches, whose refusals come too late for another try of the same call.
        """
        field = named(error, self.without(body), keep)
        if field is None or field in self.left_out:
            return False
        other = OTHER_NAME.get(field, "")
        self.left_out[field] = other if other and other in str(error) else ""
        return True

    async def post(
        self, client: Client, path: str, body: Body, *, keep: Mapping[str, Any]
    ) -> tuple[bytes, float]:
        """Post a body without what was refused; what is refused by name now is left out and the call made again.

        `keep`: what the user wants sent as it is. Raises what `Client.post` raises.
        """
        tried = dict(self.left_out)
        while True:
            sent = _without(body, tried)
            try:
                response = await client.post(path, sent)
            except Rejected as error:
                field = named(error, sent, keep)
                if field is None or field in tried:
                    raise
                other = OTHER_NAME.get(field, "")
                tried[field] = other if other and other not in tried and other in str(error) else ""
            else:
                self.left_out |= tried
                return response


def named(error: Rejected, body: Body, keep: Mapping[str, Any]) -> str | None:
    """Return the field of a body that a refusal names as one that is not known or not taken; None: it names none."""
    if type(error) is not Rejected:  # the context, the filter
        return None
    message = str(error)[:SAYS]
    sent = [field for field in (*body, *body.get(NESTED, ())) if field in FIELDS and field not in keep]
    if not _UNKNOWN.search(message):
        return None
    if (last := re.split(r"[.\[/]", error.param)[-1]) in sent:
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
