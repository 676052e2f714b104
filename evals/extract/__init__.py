r"""Readers: pure, linear-time functions that find the answer in a reply, or return None if there is none.

>>> letter("It can't be A. The answer is (B).", 4)
'B'
>>> integer(r"So $m+n = \boxed{042}$.")
42

Readers named after another project implement its published rule, including the defects. All others implement the rule of
protocol `strict`: they return the answer that a reply *states* and never guess. A letter inside a word, the pronoun "I" or
the last number of a reply is not an answer by itself.
"""

from __future__ import annotations

from evals.extract.choices import choice, letter
from evals.extract.formatting import strip_formatting
from evals.extract.free_text import number, stated_text
from evals.extract.judge_verdicts import (
    bare_number,
    bare_verdict,
    extracted_answer,
    extracted_number,
    verdict,
)
from evals.extract.numbers import integer, stated_integer
from evals.extract.tags import json_object, last_box, last_tag, stated_answer
from evals.extract.upstream.integers import integer_matharena
from evals.extract.upstream.letters import letter_mmlu_pro
from evals.extract.upstream.vlmevalkit import option_vlmevalkit
from evals.extract.visible import split_reasoning, visible
from evals.extract.yesno import stated_yes_no

__all__ = [
    "bare_number", "bare_verdict", "choice", "extracted_answer", "extracted_number",
    "integer", "integer_matharena", "json_object", "last_box", "last_tag", "letter", "letter_mmlu_pro",
    "number", "option_vlmevalkit", "split_reasoning", "stated_answer", "stated_integer", "stated_text",
    "stated_yes_no", "strip_formatting", "verdict", "visible",
]  # fmt: skip
