"""Upstream rules whose regular expressions were slow on hostile text return the same results here, in linear time."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from functools import partial

import pytest

from evals.extract import smiles
from evals.extract.units import notation
from evals.extract.units.statement import stated_number
from evals.extract.upstream import letters
from evals.scorers import math, options
from evals.scorers.upstream import lamalab
from tests.support.cpu_time import assert_cpu_time
from tests.support.tables import table

LETTERS = re.compile(
    r"(?:\[ANSWER\]|\[ANS\]|<ANS>|<ANSWER>|<ans>)\s*([A-Z](?:,\s*[A-Z])*)\s*(?:[.,].{0,2000}?)?"
    r"(?:\[/?ANSWER\]|\[/ANS\]|</ANS>|</ANSWER>|</ans>)",
    re.DOTALL,
)
NUMBER = re.compile(r"\[ANSWER\][\s\n]*(.*?)[\s\n]*\[/?ANSWER\]")
TOKEN = re.compile(
    r"(?<!\w)([+-]?[0-9]*\.?[0-9]+\s?)?(\^[-+]?[0-9]+)?((?:[eE]|exp|EXP)[-+]?[0-9]+)?"
    r"((?:[*x]|\\times|\\u00d7)\s?[0-9]+\^([-+]?[0-9]+|\{[-+]?[0-9]+\}))?(?!\w)"
)
FENCE = re.compile(r"(?<=```json\n)([\s\S]*?)(?=\n```)")
OBJECT = re.compile(r"\{[^}]*\}")
OPTION = re.compile(r"\s*([a-dA-D])(?!\w)\s*[):.,\s]?\s*(.*)$")
LIST = re.compile(
    r"[(\[]?([A-Z])[)\]]?(?:\s*(?:,|;|/|&|\band\b|\s|(?<=[)\]])(?=[(\[]))\s*[(\[]?([A-Z])[)\]]?)*[.:]?"
)
FRACTION = re.compile(r"\\[dtc]?frac\s*\{\s*([^{}]{1,40}?)\s*\}\s*\{\s*([^{}]{1,40}?)\s*\}")
TOWER = re.compile(
    r"\d{4,}\s*!|!\s*!\s*!|\^\s*\{?\s*\(?\s*\d{5,}|(?:\^\s*\{?\s*\d+\s*\}?\s*){3,}|\*\*\s*\d{5,}|\d{2000,}"
)


def upstream_option(text: str) -> tuple[str | None, str | None]:
    match = OPTION.match(text)
    return (None, text.strip()) if match is None else (match[1], match[2].strip() or None)


def first_match(pattern: re.Pattern[str], text: str) -> str | None:
    match = pattern.search(text)
    return match[0] if match else None


RULES: dict[str, tuple[Callable[[str], object], Callable[[str], object], str]] = {
    "letters of lamalab": (
        LETTERS.findall,
        lambda text: list(lamalab._tagged_letters(text)),
        "[ANSWER]|[/ANSWER]|<ans>|</ans>|[ANS]|A|B|,|, |.| |\n|x|words ",
    ),
    "number of lamalab": (
        lambda text: first_match(NUMBER, text),
        lamalab._tagged_number,
        "[ANSWER]|[/ANSWER]|1|.5| |\n|x|\t",
    ),
    "token of lamalab": (
        lambda text: [match[0] for match in TOKEN.finditer(text)],
        lambda text: [match[0] for match in lamalab._NUMBER_TOKEN.finditer(text)],
        "1|23|.|e|E|exp|-|+|x|*| |^|{|}|10|a|\\\\times",
    ),
    "fence of MSEarth": (
        lambda text: first_match(FENCE, text),
        letters._json_block,
        "```json\n|\n```|```|{|a|\n",
    ),
    "braces of MSEarth": (lambda text: first_match(OBJECT, text), letters._first_braces, "{|}|a|\n|answer"),
    "option of MSEarth": (upstream_option, letters.option_msearth, "A|b|)|.|:| |\n|E|words"),
    "list of options": (
        lambda text: bool(LIST.fullmatch(text)),
        lambda text: bool(options._LETTERS.fullmatch(text)),
        "A|B|C|(|)|[|]|,|;| |and|&|.|:|  ",
    ),
    "fractions": (
        lambda text: FRACTION.sub(r"\1/\2", text),
        lambda text: re.sub(
            r"\\[dtc]?frac\s*+\{([^{}]*+)\}\s*+\{([^{}]*+)\}", notation._inline_fraction, text
        ),
        "\\\\frac|\\\\dfrac|{|}|{ |1|a| |" + "w" * 23,
    ),
    "towers": (
        lambda text: bool(TOWER.search(text)),
        lambda text: bool(math._HUGE_VALUE.search(text)),
        "^|{|}|(|1|12345|!| |*|**|a",
    ),
}
"""Name -> (upstream's rule, the linear rule, alphabet of random texts, separated by `|`)."""


@pytest.mark.parametrize("name", RULES)
def test_the_linear_rule_agrees_with_the_upstream_pattern_on_random_text(name: str) -> None:
    upstream, linear, alphabet = RULES[name]
    rng = random.Random(name)
    tokens = alphabet.replace("\\\\", "\\").split("|")
    for _ in range(6000):
        text = "".join(rng.choices(tokens, k=rng.randrange(1, 14)))
        assert linear(text) == upstream(text), repr(text)


HOSTILE_INPUTS = {
    "options: letters without end": lambda: options.options_stated(
        "ANSWER: " + "A    " * 4000 + "!", ("x", "y")
    ),
    "options: gaps": lambda: options.options_stated("ANSWER: A" + " " * 90_000 + "!", ("x", "y")),
    "lamalab: tags": lambda: lamalab.options_lamalab("[ANSWER]A." * 10_000, ()),
    "lamalab: list": lambda: lamalab.options_lamalab("[ANSWER]" + "A," * 49_000, ()),
    "lamalab: blanks": lambda: lamalab.number_lamalab("[ANSWER]x" + " " * 99_000),
    "lamalab: digits": lambda: lamalab.number_lamalab("[ANSWER]" + "1" * 99_000 + "a[/ANSWER]"),
    "lamalab: product": lambda: lamalab.number_lamalab("[ANSWER]" + "1" * 99_000 + "exp3[/ANSWER]"),
    "lamalab: exponent": lambda: lamalab.number_lamalab("[ANSWER]1x10^" + "1" * 90_000 + "[/ANSWER]"),
    "msearth: fences": lambda: letters.answer_msearth("```json\na " * 90_000),
    "msearth: braces": lambda: letters.answer_msearth("{" * 900_000),
    "msearth: blanks": lambda: letters.option_msearth("A" + " " * 90_000 + "\nx\n"),
    "msearth: commas": lambda: letters.answer_msearth("{" + "," + " " * 90_000 + "x}"),
    "marks: fraction of blanks": lambda: notation.normalise_notation("\\frac{" + " " * 19_000),
    "marks: fractions": lambda: notation.normalise_notation("\\frac{1}{" * 2000),
    "marks: degrees": lambda: notation.normalise_notation("^" + " " * 19_000),
    "numbers: words between": lambda: stated_number("等于 " + "约" * 65_000 + "!"),
    "numbers: colons": lambda: stated_number("is " + ":" * 65_000 + "!"),
    "math: powers": lambda: math._HUGE_VALUE.search("^" + " " * 19_000 + "^1" + " " * 900),
    "math: gaps": lambda: math._HUGE_VALUE.search(("^1" + " " * 9000) * 2 + "x"),
    "math: factorials": lambda: math._HUGE_VALUE.search("1" * 1999 + " " * 18_000),
}


@table("name", HOSTILE_INPUTS)
def test_a_hostile_reply_does_not_block_the_event_loop(name: str) -> None:
    assert_cpu_time(0.25, HOSTILE_INPUTS[name])  # a few milliseconds on an idle machine


def test_reaction_sides_are_split_at_arrows_in_linear_time() -> None:
    for text in ("<-" * 30_000 + ">x", "->" * 30_000, "<->" * 20_000, "->" * 20_000 + " x", ">" * 60_000):
        assert_cpu_time(0.5, partial(smiles.reaction_side, text, "products"))
    assert smiles.reaction_side("N->[Pd]<-N>>CC", "products") == "CC"
    assert smiles.reaction_side("CO>[H+]>CC", "reactants") == "CO.[H+]"
