"""Compare mathematical expressions symbolically with the library math-verify (extra `math`).

sympy may loop or exhaust memory on hostile text. math-verify's time limits use SIGALRM, which works only in the main
thread, and are therefore off: run `equivalent` in a worker (`evals.sandbox`) with a deadline.
"""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from typing import Any

from evals.errors import UsageError, install_command

MAX_CHARS = 20_000
"""Number of characters at the end of a reply that are parsed."""
MAX_GOLD_CHARS = 8_000
_MAX_DEPTH = 60
"""Maximum depth of braces; sympy's parser is recursive."""
_HUGE_VALUE = re.compile(
    r"(?<!\d)\d{4,}+\s*+!|!\s*+!\s*+!|\^\s*+(?:\{\s*+)?(?:\(\s*+)?\d{5,}"
    r"|(?:\^\s*+(?:\{\s*+)?\d++\s*+(?:\}\s*+)?){3,}|\*\*\s*+\d{5,}|(?<!\d)\d{2000,}"
)
"""Powers and factorials that sympy would compute in full, and numbers of 2,000 or more digits."""
_POWER_TOWER = re.compile(r"(?:(?:\^|\*\*)\s*+(?:[{(]\s*+){0,2}\d{1,4}\s*+[})]*+\s*+){2,}+")
_MAX_EXPONENT = 99_999
_CJK_BOUNDARY = re.compile(r"(?<=[\u4e00-\u9fff])(?=[-\d.$\\])|(?<=\d)(?=[\u4e00-\u9fff])")
"""Boundary between Chinese text and a number without a space; math-verify needs a word boundary."""
_DELIMITER_SIZE = re.compile(r"\\[bB]igg?[lrm]?(?![A-Za-z])")
_GREEK_CAPITALS = "Alpha Beta Gamma Delta Epsilon Zeta Eta Theta Iota Kappa Lambda Mu Nu Xi Omicron Pi Rho Sigma Tau Upsilon Phi Chi Psi Omega"
_CAPITAL = re.compile(rf"[A-Z]|\\(?:{'|'.join(_GREEK_CAPITALS.split())})")
"""A capital letter; `\\Rightarrow` and the like are none."""
LETTER_OR_COMMAND = re.compile(r"\\[A-Za-z]+|[A-Za-z]")


def equivalent(gold: str, reply: str, *, precision: int = 6, symbols: bool = False) -> bool | None:
    r"""Return whether the last stated expression of `reply` equals `gold`; None if either cannot be parsed.

    `gold` may be a bare expression (`\frac12`), one between dollar signs, or a solution that contains it. With `symbols`,
    every letter is a symbol as written. Otherwise math-verify drops letters that may be a unit (`5m` is 5) and converts the
    rest to lower case (M is m, E is Euler's e). Numbers are compared to `precision` decimal places.

    Raises UsageError if math-verify is not installed.
    """
    try:
        from math_verify import LatexExtractionConfig, verify
    except ImportError:
        raise UsageError(f"math answers need math-verify: {install_command('math')}") from None
    for name in ("math_verify.parser", "math_verify.grader", "math_verify.utils"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # it warns on each call that its timers are off
    gold, reply = gold[:MAX_GOLD_CHARS], _CJK_BOUNDARY.sub(" ", reply[-MAX_CHARS:])
    if is_hostile(gold) or is_hostile(reply):
        return None
    latex = LatexExtractionConfig()
    if symbols:
        gold, reply = with_lowercase_symbols(*(_DELIMITER_SIZE.sub("", text) for text in (gold, reply)))
        latex = replace(latex, normalization_config=replace(latex.normalization_config, units=False))
    target = _parse(gold, latex)
    if not target and "$" not in gold:
        target = _parse(f"${gold}$", latex)
    if not target or not (answer := _parse(reply, latex)):
        return None
    return bool(verify(target, answer, float_rounding=precision, timeout_seconds=None))


def _parse(text: str, latex: Any = None) -> list[Any]:
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse

    notations = [latex or LatexExtractionConfig(), ExprExtractionConfig()]
    return list(parse(text, notations, parsing_timeout=None))


def quotient(gold: str, reply: str) -> float | None:
    """Return the quotient of two numbers, computed to 20 digits; None if either is not a number."""
    from sympy import Expr

    parsed = [_parse(text) for text in (gold, reply)]
    if not all(parsed) or not all(isinstance(side[0], Expr) for side in parsed):
        return None  # e.g. an equation
    value = (parsed[0][0] / parsed[1][0]).evalf(20)
    return float(value) if value.is_real else None


_TEST_POINTS = (1.37, 2.113, 0.731)
"""Values of up to three symbols at which two expressions are compared."""
_SHIFTS = (0, 0.4, 1.9)
"""Numbers added to all test points, one per comparison."""
_MAX_OPERATIONS = 60
"""An expression with this many operations or more is not evaluated at the test points."""


def equal_if_positive(gold: str, reply: str) -> bool:
    """Return whether two expressions with roots agree to 15 digits if their symbols, the same in both, are positive.

    Expressions without roots are left to `equivalent`: only a root, such as that of x squared, depends on a symbol's sign.
    """
    import sympy

    sides = [parsed[0] for text in (gold, reply) if (parsed := _parse(text))]
    if len(sides) < 2 or not all(
        isinstance(side, sympy.Expr) and _is_short_with_root(side) for side in sides
    ):
        return False
    names = [sorted(symbol.name for symbol in side.free_symbols) for side in sides]
    if names[0] != names[1] or not 0 < len(names[0]) <= len(_TEST_POINTS):
        return False
    for shift in _SHIFTS:
        values_by_symbol = {
            sympy.Symbol(name): sympy.Float(x + shift, 30)
            for name, x in zip(names[0], _TEST_POINTS, strict=False)
        }
        values = [
            side.subs({s: values_by_symbol[sympy.Symbol(s.name)] for s in side.free_symbols}).evalf(30)
            for side in sides
        ]
        if not all(value.is_real for value in values) or abs(values[0] - values[1]) > 1e-15 * abs(values[0]):
            return False
    return True


def _is_short_with_root(side: Any) -> bool:
    """Return whether a sympy expression is short and contains a root of a symbol, but no absolute value."""
    from sympy import Abs, Pow, count_ops

    roots = [
        power
        for power in side.atoms(Pow)
        if power.free_symbols and power.exp.is_Rational and not power.exp.is_Integer
    ]
    return bool(roots) and not side.has(Abs) and count_ops(side) < _MAX_OPERATIONS


def with_lowercase_symbols(gold: str, reply: str) -> tuple[str, str]:
    r"""Replace each capital letter, Latin or Greek, with a lower-case letter that neither text uses, the same in both.

    >>> with_lowercase_symbols(r"\frac{Mg}{m}", r"g M/m")
    ('\\frac{ag}{m}', 'g a/m')
    """
    tokens = [match[0] for text in (gold, reply) for match in LETTER_OR_COMMAND.finditer(text)]
    unused = (letter for letter in "abcfghjklmnopqrstuvwxyz" if letter not in tokens)
    capitals = dict.fromkeys(filter(_CAPITAL.fullmatch, tokens))
    replacements = dict(zip(capitals, unused, strict=False))
    if len(replacements) < len(capitals):
        return gold, ""  # too few unused letters: an empty reply equals nothing

    def replace_letter(match: re.Match[str]) -> str:
        letter = replacements.get(match[0], match[0])
        return f"{letter} " if match[0] != letter and match[0].startswith("\\") else letter

    return LETTER_OR_COMMAND.sub(replace_letter, gold), LETTER_OR_COMMAND.sub(replace_letter, reply)


def _is_huge_tower(exponents: str) -> bool:
    """Return whether a power tower, as in `^{9^{9}}`, exceeds the largest exponent that is computed."""
    value = 1
    for exponent in reversed([int(digits) for digits in re.findall(r"\d+", exponents)]):
        if exponent > 1 and value > _MAX_EXPONENT.bit_length():
            return True
        value = exponent**value
    return value > _MAX_EXPONENT


def is_hostile(text: str) -> bool:
    """Return whether a text would make a symbolic parser recurse or compute endlessly; takes linear time."""
    if "\0" in text or _HUGE_VALUE.search(text) or any(map(_is_huge_tower, _POWER_TOWER.findall(text))):
        return True
    depth = 0
    for bracket in re.finditer(r"[{}()]", text):
        depth = max(0, depth + (1 if bracket[0] in "{(" else -1))
        if depth > _MAX_DEPTH:
            return True
    return False
