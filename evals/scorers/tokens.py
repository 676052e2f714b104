"""Score tokenizers by the number of characters per token.

A reply of the `tokens:` adapter is `{"tokens": [n, ...]}`, one number per message of the prompt. The first message contains
the string, which may stand between tags such as `<SMILES>`; a second message contains the tags alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from evals.prompts import plain_text
from evals.types import Point, Prompt, Reply, Sample, Score


class Counts(Struct, frozen=True):
    """Token counts, one per message."""

    tokens: Annotated[tuple[Annotated[int, Meta(ge=0)], ...], Meta(min_length=1, max_length=2)]


_decode = msgspec.json.Decoder(Counts).decode


class Tokens(Struct, frozen=True):
    """Scores the characters per token of a string; a reply without a positive token count is `invalid`."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply; parts: `characters` and `inner_tokens` without tags, `all_characters` and `tokens` with them."""
        try:
            counts = _decode(reply.text).tokens
        except msgspec.DecodeError as error:
            return Score(value=None, verdict="invalid", why=f"not a token count: {error}")
        characters, tokens = len(str(sample.target)), counts[0]
        inner = tokens - counts[1] if len(counts) > 1 else tokens
        if inner <= 0:
            return Score(value=None, verdict="invalid", why=f"{tokens} tokens for {characters} characters")
        tag_characters = len(plain_text(prompt.messages[1].parts)) if len(counts) > 1 else 0
        parts: dict[str, float] = {
            "characters": characters,
            "all_characters": characters + tag_characters,
            "tokens": tokens,
            "inner_tokens": inner,
        }
        return Score(
            value=(characters + tag_characters) / tokens, verdict="graded", answer=str(tokens), parts=parts
        )


def _ratio_of_sums(points: Sequence[Point], numerator: str, denominator: str) -> float:
    """Return the ratio of two parts' sums; raises ValueError if no string was counted."""
    counted_parts = [point.parts for point in points if denominator in point.parts]
    if not counted_parts:
        raise ValueError("no string was counted")
    return sum(parts[numerator] for parts in counted_parts) / sum(
        parts[denominator] for parts in counted_parts
    )


def characters_per_token(points: Sequence[Point]) -> float:
    """Return the compression ratio: all characters divided by all tokens, tags included."""
    return _ratio_of_sums(points, "all_characters", "tokens")


def characters_per_token_inside(points: Sequence[Point]) -> float:
    """Return the compression ratio without the tags and their tokens."""
    return _ratio_of_sums(points, "characters", "inner_tokens")


def tokens_per_character(points: Sequence[Point]) -> float:
    """Return the inverse of `characters_per_token`."""
    return _ratio_of_sums(points, "tokens", "all_characters")
