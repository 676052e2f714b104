"""Format verdicts, differences and rules for tables and Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from evals.plain import plain
from evals.verdicts.flips import Flip

VERDICT_SYMBOLS = {"pass": "✓", "regression": "✗", "cannot tell": "?"}


def format_amount(value: float | None, unit: str, *, signed: bool = False) -> str:
    """Format a value in its unit; fractions in percent, differences of fractions in points (pp)."""
    if value is None:
        return "-"
    if unit == "fraction":
        return f"{100 * value:{'+' if signed else ''}.2f}{' pp' if signed else ' %'}"
    return f"{value:{'+' if signed else ''}.4g}{f' {unit}' if unit else ''}"


def format_size(value: float, unit: str) -> str:
    """Format the size of a difference without a plus sign; fractions in percentage points."""
    return format_amount(value, unit, signed=True).lstrip("+")


def format_interval(low: float | None, high: float | None, unit: str) -> str:
    """Format the interval of a difference, without its unit."""
    if low is None and high is None:
        return "-"
    scale, spec = (100.0, ".2f") if unit == "fraction" else (1.0, ".3g")
    limits = ("..." if limit is None else f"{scale * limit:+{spec}}" for limit in (low, high))
    return f"[{', '.join(limits)}]"


def format_items(n: int, repeats_a: int, repeats_b: int) -> str:
    """Format the number of paired items, with the repeats of each: `198`, `198 x 4`, `198 x 4/16`."""
    if repeats_a == repeats_b == 1:
        return f"{n:,}"
    return f"{n:,} x {repeats_a}" if repeats_a == repeats_b else f"{n:,} x {repeats_a}/{repeats_b}"


def format_p(p: float | None) -> str:
    """Format a p-value with two significant digits, or more if they would round it to 0.05 (0.0496)."""
    if p is None:
        return "-"
    digits = next((digits for digits in (2, 3, 4) if p == 0.05 or float(f"{p:.{digits}g}") != 0.05), 5)
    return "< 0.0001" if p < 0.0001 else f"{p:.{digits}g}"


def format_p_with_name(p: float | None) -> str:
    """Format a p-value with its name: `p = 0.012`, `p < 0.0001`, never `p = 0`."""
    return f"p {format_p(p)}" if p is not None and p < 0.0001 else f"p = {format_p(p)}"


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Format a Markdown table."""
    lines = [f"| {' | '.join(headings)} |", f"|{'|'.join('---' for _ in headings)}|"]
    return lines + [f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in rows]


_MARKDOWN_SYNTAX = re.compile(r"[\\\\`*_{}\[\]<>|#~!]")


def markdown_text(text: str) -> str:
    """Escape text for Markdown, since the names of models and runs are untrusted."""
    return _MARKDOWN_SYNTAX.sub(lambda match: f"&#{ord(match[0])};", " ".join(plain(text).split()))


def flip_line(flip: Flip, *, quote: str = "", formula: Callable[[str], str] | None = None) -> str:
    """Format one changed sample; `quote` is put around ids and answers (a backtick in Markdown, since they are untrusted).

    `formula` returns the molecular formula to show after a SMILES, or an empty string if it cannot be parsed.
    """

    def format_answer(answer: str | None) -> str:
        formula_text = formula(answer) if formula and flip.molecule and answer else ""
        return f"{_quoted(answer, quote)}{f' = {formula_text}' if formula_text else ''}"

    answers = ""
    if flip.answer_a is not None or flip.answer_b is not None:
        answers = f" ({format_answer(flip.answer_a)} → {format_answer(flip.answer_b)})"
    repeat = f" #{flip.repeat}" if flip.repeat else ""
    return f"{flip.suite} {_quoted(flip.id, quote)}{repeat}: {flip.a} → {flip.b}{answers}"


def _quoted(text: str | None, quote: str) -> str:
    if text is None:
        return "nothing"
    line = " ".join(plain(text).split()).replace("`", "'")
    return f"{quote}{line if len(line) <= 40 else f'{line[:37]}...'}{quote}"


def format_usage(tokens: Mapping[str, int], cost_usd: float | None) -> str:
    """Format a run's tokens and cost; empty if neither is known."""
    token_text = (
        f"{tokens.get('input', 0):,} + {tokens.get('output', 0):,} tokens" if any(tokens.values()) else ""
    )
    return ", ".join(filter(None, [token_text, "" if cost_usd is None else f"{cost_usd:.2f} USD"]))


def format_usage_difference(
    tokens_a: Mapping[str, int], tokens_b: Mapping[str, int], cost_a: float | None, cost_b: float | None
) -> str:
    """Format the difference in usage, B minus A."""
    token_text = ", ".join(
        f"{tokens_b.get(kind, 0) - tokens_a.get(kind, 0):+,} {kind} tokens" for kind in ("input", "output")
    )
    return token_text if cost_a is None or cost_b is None else f"{token_text}, {cost_b - cost_a:+.2f} USD"


def shorten_list(lines: Sequence[str], max_lines: int, noun: str = "lines") -> list[str]:
    """Return at most `max_lines` lines; if some are omitted, the last one states how many."""
    if len(lines) <= max_lines:
        return list(lines)
    return [*lines[: max_lines - 1], f"... and {len(lines) - max_lines + 1} more {noun}"]


def format_setting(value: object) -> str:
    """Format a setting; booleans as on or off."""
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


# --- rules ---------------------------------------------------------------------------------------------------

MAX_RULE_TOKENS = 400
"""Maximum number of tokens of a rule that are parsed."""
_SETTING_KEY = re.compile(r"([A-Za-z_]\w*)=(?!=)")
_RULE_TOKEN = re.compile(r"[(),]|(?:[^(),'\"]|'[^']*'|\"[^\"]*\"|['\"])+")


def format_rule(rule: str) -> str:
    """Format the rule, options and version of a scorer, given as recorded in cards.

    >>> format_rule("Judged(Choice(opencompass_letter), cascade, correctness@572ea366, audit=0.1)@1")
    'choice (opencompass letter), then a judge (cascade, correctness 572ea366, audit 0.1), version 1'
    """
    body, separator, version = rule.rpartition("@")
    if not separator or not version.isdecimal():
        body, version = rule, ""
    tokens = _RULE_TOKEN.findall(body)[:MAX_RULE_TOKENS]
    try:
        words = _parse_rule(tokens, 0)[0]
    except (IndexError, RecursionError):
        words = body.replace("(", " ").replace(")", " ").replace("=", " ")
    return f"{words}, version {version}" if version else words


def _parse_rule(tokens: Sequence[str], position: int) -> tuple[str, int]:
    """Parse the `Name(argument, key=value)` at a position; return its formatted text and the position after it."""
    name = _format_name(tokens[position])
    position += 1
    if position >= len(tokens) or tokens[position] != "(":
        return name, position
    arguments: list[str] = []
    position += 1
    while tokens[position] != ")":
        if tokens[position] == "," or not tokens[position].strip():
            position += 1
            continue
        argument, position = _parse_rule(tokens, position)
        arguments += [argument] if argument else []
    position += 1
    if name == "judged" and arguments:
        settings = f" ({', '.join(arguments[1:])})" if len(arguments) > 1 else ""
        return f"{arguments[0]}, then a judge{settings}", position
    return f"{name} ({', '.join(arguments)})" if arguments else name, position


def _format_name(token: str) -> str:
    """Format a name or `key=value`; return an empty text for a setting that is False or None."""
    token = token.strip().strip("'\"")
    match = _SETTING_KEY.match(token)
    key, equals_sign, value = (match[1], "=", token[match.end() :].strip("'\"")) if match else (token, "", "")
    if equals_sign and value in ("None", "False"):
        return ""
    if equals_sign and value == "True":
        value = ""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", key) if not equals_sign and "/" not in key else key
    spaced = spaced.lower() if spaced.replace(" ", "").isalpha() else spaced
    words = spaced if "/" in spaced else spaced.replace("_", " ").replace("@", " ")
    return f"{words} {value}".strip()
