"""Normalise the notation of numbers and units: LaTeX, Unicode signs, special spaces, vulgar fractions."""

from __future__ import annotations

import re
from collections.abc import Callable

MAX_CHARS = 20_000
"""Maximum number of characters that are examined, from the end of the text."""

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_VULGAR_FRACTIONS = {"½": 1 / 2, "⅓": 1 / 3, "⅔": 2 / 3, "¼": 1 / 4, "¾": 3 / 4, "⅛": 1 / 8, "⅕": 1 / 5}
_CHARACTERS = str.maketrans(
    {"−": "-", "–": "-", "—": "-", "‐": "-", "‑": "-", "﹣": "-", "－": "-", "μ": "µ", "⋅": "·", "∙": "·",
     "•": "·", "✕": "×", "✖": "×", "∼": "~", "≃": "≈", "％": "%", "Å": "Å", "℃": "°C", "℉": "°F", "º": "°",
     "\u00a0": " ", "\u2007": " ", "\u2009": " ", "\u202f": " ", "\u200a": " ", "\u200b": "", "\x00": ""}
)  # fmt: skip
_CHINESE_UNITS = {
    "电子伏特": " eV", "电子伏": " eV", "兆帕": " MPa", "吉帕": " GPa", "千帕": " kPa", "千焦/摩尔": " kJ/mol", "千焦每摩尔": " kJ/mol",
    "每原子": "/atom", "/原子": "/atom", "开尔文": " K", "摄氏度": " °C", "摩尔/升": " mol/L", "克/摩尔": " g/mol", "纳米": " nm",
    "太赫兹": " THz", "波数": " 1/cm",
}  # fmt: skip


def _inline_fraction(match: re.Match[str]) -> str:
    """Return a short `\\frac{a}{b}` as a/b, a longer one unchanged."""
    numerator, denominator = (part.strip() or part[-1:] for part in match.groups())
    is_short = 0 < len(numerator) <= 40 and 0 < len(denominator) <= 40
    return f"{numerator}/{denominator}" if is_short else match[0]


_MARKUP_RULES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\(?:SI|qty|SIrange)\s*\{([^{}]{0,99})\}\s*\{([^{}]{0,99})\}", r"\1 \2"),
        (r"\\(?:text|mathrm|mathbf|textbf|mathit|textrm|mathsf|operatorname|num|unit|si|boxed|bm|rm|ce)\b\*?", ""),
        (r"<sup>\s?([-+]?\d{1,4}(?:\.\d{1,4})?)\s?</sup>", r"^\1"), (r"(?<=[A-Za-z}])\s?(?:\$|\\\()\s?(?=\^)", ""),
        (r"\^\s*\{\s*([-+]?\s?\d{1,4}(?:\.\d{1,4})?)\s*\}", r"^\1"),
        (r"~?\{\s?~?\s?([A-Za-zµ°Å][A-Za-zµ°Å/·\d^ -]{0,30}+)\}(?=\s*[\^}])", r" \1"),
        (r"\\[dtc]?frac\s*+\{([^{}]*+)\}\s*+\{([^{}]*+)\}", _inline_fraction),
        (r"\\(?:left|right|displaystyle|bigl?|bigr)\b", ""),
        (r"\^\s*+(?:\{\s*+)?\\circ\s*\}?|\\(?:degree|textdegree|degC)\b", "°"),
        (r"\\times(?![A-Za-z])", "×"), (r"\\cdot(?![A-Za-z])", "·"), (r"\\pm(?![A-Za-z])|\+/-|\+-", "±"),
        (r"\\(?:approx|simeq)(?![A-Za-z])", "≈"), (r"\\sim(?![A-Za-z])", "~"),
        (r"\\(?:leq?|leqslant)\b", "≤"), (r"\\(?:geq?|geqslant)\b", "≥"),
        (r"\\mu(?![A-Za-z])[ {]{0,3}(?=[A-Za-z])|\\mu(?![A-Za-z])", "µ"),
        (r"\\Omega\b", "Ω"), (r"\\AA\b|\\r\s*\{A\}|\\mathring\s*\{A\}", "Å"), (r"\\per\b\s*\\?", "/"),
        (r"\{,\}", ","), (r"(?<=\d)\\[,;:! ](?=\d{3}(?!\d))", ","), (r"\\[,;:! ]|(?<=[\d.{ ])~(?=[A-Za-z\\{])", " "),
        (r"\\%", "%"), (r"\\[()\[\]]|\$", " "), (r"(?<![\w)\]*^])\*\*(?=[^\s*])([^*\n]{1,300})\*\*(?!\d)", r" \1 "), (r"(?<=[\w)\]])\*\*(?=\s*[-+({]?\d)", "^"), (r"\*{2,}|__", " "), (r"\\(?=[a-z])", ""),
        (r"\^\s*\(\s*([-+]?\d{1,4})\s*\)", r"^\1"), (r"[{}]", " "),
    )
)  # fmt: skip
_MIXED_FRACTION = re.compile(r"(?<![\d.,/])(\d{1,4}) (\d{1,2})/(\d{1,2})(?![\d/])")
_BRACKETED_MANTISSA = re.compile(r"\(\s*([-+]?[\d.]{1,20})\s*±\s*[\d.]{1,20}\s*\)(?=\s*(?:×|x|·|\*)\s*10)")


def _mixed_fraction_value(match: re.Match[str]) -> str:
    """Return the value of "1 1/2" as text: 1.5."""
    whole, numerator, denominator = (int(part) for part in match.groups())
    return str(whole + numerator / denominator) if numerator < denominator else match.group()


def strip_around(text: str, characters: str) -> str:
    """Strip characters around a text; the point of a decimal fraction is kept.

    >>> strip_around("(.5).", "()."), strip_around(". 5.", ". ")
    ('.5', '5')
    """
    begin = len(text) - len(text.lstrip(characters))
    if text[:begin].endswith(".") and text[begin : begin + 1].isdigit():
        begin -= 1
    return text[begin:].rstrip(characters)


def normalise_notation(text: str) -> str:
    """Replace LaTeX, vulgar fractions, superscripts, Chinese units, special signs and special spaces with plain notation.

    Also remove Markdown's bold marks, and the uncertainty of a bracketed mantissa, as in "(1.2 ± 0.1)×10^3"; powers written
    with `**` get a `^`. Only the last `MAX_CHARS` characters are kept.
    """
    text = text[-MAX_CHARS:].translate(_CHARACTERS)
    for sign, value in _VULGAR_FRACTIONS.items():
        if sign in text:
            text = re.sub(rf"(?<=\d) ?{sign}", f"{value:.15f}"[1:], text).replace(sign, str(value))
    text = re.sub("[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda match: "^" + match.group().translate(_SUPERSCRIPTS), text)
    if not text.isascii():
        for name, unit in _CHINESE_UNITS.items():
            text = text.replace(name, unit)
    if any(mark in text for mark in "\\$*{+<"):
        for pattern, replacement in _MARKUP_RULES:
            text = pattern.sub(replacement, text)
    text = re.sub(r"[ \t]{2,}", " ", text)
    return _BRACKETED_MANTISSA.sub(r"\1", _MIXED_FRACTION.sub(_mixed_fraction_value, text))
