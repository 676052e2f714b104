"""What evalscope before 1.0 wrote in the same places: {choices, raw_input, index} with what came of each in the review.

A prediction holds the row of the data set as it was asked, in most versions without the prompt. GPQA's options were
shuffled, and then only the letter of the right one is known: the wrong ones are taken in the data's order, which changes
no verdict. A call that failed leaves no line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from evals.interop.foreign import Item
from evals.interop.values import count, number, turns
from evals.types import Usage

QUESTION = ("question", "Question", "problem", "Problem", "input")
NAMES = ("question_id", "Record ID", "id")
STOPS: dict[Any, Literal["stop", "length", "filter"]] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "filter",
}


def key(row: Mapping[str, Any]) -> str:
    """Say which prediction a row is, or is a review of."""
    return str(row.get("answer_id") or row["index"])


def items(row: Mapping[str, Any], where: str, review: Mapping[str, Any]) -> Iterator[Item]:
    """Give the replies to a question; several choices are repeats."""
    asked = row["raw_input"] if isinstance(row.get("raw_input"), dict) else {}
    prompt = _prompt(row.get("origin_prompt"))
    judged = review.get("choices") or []
    for place, choice in enumerate(row["choices"]):
        message = choice["message"]
        said = message.get("content")
        made = judged[place].get("review") or {} if place < len(judged) else {}
        yield Item(
            where=where,
            id=next((str(asked[name]) for name in NAMES if isinstance(asked.get(name), str | int)), ""),
            question=next((asked[name] for name in QUESTION if isinstance(asked.get(name), str)), ""),
            prompt=prompt,
            options=() if prompt else _options(asked),
            text=said if isinstance(said, str) else turns([message]) if said else None,
            reasoning=message.get("reasoning_content") or None,
            stop=STOPS.get(choice.get("finish_reason")),
            usage=_usage(row.get("usage") or {}) if len(row["choices"]) == 1 else Usage(),
            repeat=place if len(row["choices"]) > 1 else None,
            failure="" if said is not None else "no reply",
            score=number(made.get("result")),
            answer=str(made.get("pred") or "")[:200],
        )


def _prompt(origin: Any) -> str:
    sent = origin.get("data") if isinstance(origin, dict) else None
    return sent[0] if isinstance(sent, list) and sent and isinstance(sent[0], str) else ""


def _options(asked: Mapping[str, Any]) -> tuple[str, ...]:
    if isinstance(asked.get("options"), list):
        return tuple(map(str, asked["options"]))
    right, place = asked.get("Correct Answer"), "ABCD".find(str(asked.get("answer") or "-"))
    wrong = [asked.get(f"Incorrect Answer {n}") for n in (1, 2, 3)]
    if place < 0 or right is None or None in wrong:
        return ()
    return tuple(map(str, [*wrong[:place], right, *wrong[place:]]))


def _usage(found: Mapping[str, Any]) -> Usage:
    return Usage(input=count(found.get("prompt_tokens")), output=count(found.get("completion_tokens")))
