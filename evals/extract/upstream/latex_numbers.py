"""Evaluate numbers in LaTeX by a closed grammar, in place of the symbolic parsers of other harnesses."""

from __future__ import annotations

import math
import re

MAX_CHARS = 200
"""Maximum length of a number in LaTeX."""
_MAX_EXPONENT, _MAX_EXACT_EXPONENT = 100, 5_000
"""Largest magnitudes of an exponent: in general, and for an integer base below `_MAX_EXACT_BASE` in magnitude."""
_MAX_EXACT_BASE = 10_000
_TOKEN = re.compile(r"\s*(\d+\.?\d*|\.\d+|\\d?frac|\\t?frac|\\sqrt|\\pi|pi|\\cdot|\\times|[-+*/:^(){}])")


def up_to_unmatched_brace(text: str) -> str:
    r"""Return a formula up to its first unmatched closing brace, where upstream's LaTeX parser stops.

    >>> up_to_unmatched_brace(r"\frac{1}{2}}{cm")
    '\\frac{1}{2}'
    """
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if depth < 0:
            return text[:position]
    return text


def latex_value(text: str) -> float | None:
    r"""Return the value of a number in LaTeX (`2\sqrt{3}`, `\frac{1}{2}`, `3\pi/4`); None for anything else."""
    text = text.replace("$", "").replace("\\displaystyle", "")
    if not text or len(text) > MAX_CHARS:
        return None
    tokens, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            return None
        tokens.append(match[1])
        position = match.end()
    try:
        parser = _ExpressionParser(tokens)
        result = parser.sum()
        return float(result) if not parser.tokens and math.isfinite(result) else None
    except (ValueError, IndexError, ZeroDivisionError, OverflowError, RecursionError, TypeError):
        return None


class _ExpressionParser:
    """Recursive descent parser for sums of products of powers; adjacent factors are multiplied, and integers are exact."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens[::-1]

    def _accept(self, *expected: str) -> str | None:
        return self.tokens.pop() if self.tokens and self.tokens[-1] in expected else None

    def sum(self) -> float:
        sign = self._accept("+", "-")
        total = self.product() * (-1 if sign == "-" else 1)
        while sign := self._accept("+", "-"):
            total += self.product() * (-1 if sign == "-" else 1)
        return total

    def product(self) -> float:
        total = self.power()
        while self.tokens and self.tokens[-1] not in "+-)}":
            if self._accept("/", ":"):
                total /= self.power()
            else:
                self._accept("*", "\\cdot", "\\times")
                total *= self.power()
        return total

    def power(self) -> float:
        base = self.atom()
        if self._accept("^"):
            exponent = self.atom()
            is_exact = isinstance(base, int) and abs(base) < _MAX_EXACT_BASE
            if abs(exponent) > (_MAX_EXACT_EXPONENT if is_exact else _MAX_EXPONENT):
                raise ValueError(exponent)
            base = base**exponent
        return base

    def atom(self) -> float:
        symbol = self.tokens.pop()
        if symbol in "({":
            inner = self.sum()
            if self.tokens.pop() != {"(": ")", "{": "}"}[symbol]:
                raise ValueError(symbol)
            return inner
        if symbol.endswith("frac"):
            return self.atom() / self.atom()
        if symbol == "\\sqrt":
            return math.sqrt(self.atom())
        if symbol == "-":
            return -self.atom()
        return math.pi if symbol.endswith("pi") else int(symbol) if symbol.isdigit() else float(symbol)
