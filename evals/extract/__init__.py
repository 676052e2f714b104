r"""Read answers from replies: a text in, an answer or None out; pure functions, linear in time on any text.

>>> letter("It can't be A. The answer is (B).", 4)
'B'
>>> integer(r"So $m+n = \boxed{042}$.")
42

A reader returns what the reply *states* and never guesses: a letter inside a word, the pronoun "I" or a number that
merely comes last is not an answer. Readers named after a project implement that project's published rule, flaws
included; the others are the rules of protocol `strict`.
"""

from __future__ import annotations

from evals.extract.choices import choice, letter
from evals.extract.free import number, stated_text
from evals.extract.numbers import integer, stated_integer
from evals.extract.peel import peel
from evals.extract.tags import boxed, boxed_all, json_object, stated, tagged
from evals.extract.upstream.integers import integer_matharena
from evals.extract.upstream.letters import letter_mmlu_pro
from evals.extract.upstream.vlmevalkit import option_vlmevalkit
from evals.extract.verdicts import (
    number_bare,
    number_stated,
    text_stated,
    verdict,
    verdict_bare,
    verdict_opencompass,
)
from evals.extract.visible import split_reasoning, visible
from evals.extract.yesno import stated_yes_no, yes_no

__all__ = [
    "boxed",
    "boxed_all",
    "choice",
    "integer",
    "integer_matharena",
    "json_object",
    "letter",
    "letter_mmlu_pro",
    "number",
    "number_bare",
    "number_stated",
    "option_vlmevalkit",
    "peel",
    "split_reasoning",
    "stated",
    "stated_integer",
    "stated_text",
    "stated_yes_no",
    "tagged",
    "text_stated",
    "verdict",
    "verdict_bare",
    "verdict_opencompass",
    "visible",
    "yes_no",
]
