r"""The `strict` rule for multiple choice: the option that a reply states and does not take back.

>>> letter("ANSWER: C. Note: the second-best choice is D.", 4), letter("The answer is B. Wait, no, C.", 4)
('C', 'C')
>>> choice("Hence $\\boxed{\\dfrac{27}{64}}$.", ["9/64", "27/64"]).value
'B'

Statements are found as for every kind of answer (`reading.py`). What is here is how letters and options' texts are
parsed; the further ways to name an option ("option B is correct", "only C remains", 故选C) are the table `option_cues.CUES`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from evals.extract.later import later
from evals.extract.option_cues import CUES
from evals.extract.option_letters import COMMANDS, MARKS, listed
from evals.extract.option_text import Options, labelled
from evals.extract.peel import half_width, peel
from evals.extract.reading import REFUSED, Reading, goes_on, read, runs_on
from evals.extract.statements import Form
from evals.extract.visible import visible

_VOID = later(
    r"[\s*_(\"'\[$\\{]*(?:text\{)?(?:none\b|neither\b|unable\b|not\s+(?:listed|among|given|provided|available|in\s+the)|cannot\s+be\b|unknown\b|undetermined\b|n/a\b|以上(?:都|皆|均)[不非]|无正确|没有正确)",
    re.IGNORECASE,
)
"""Says that no option fits."""
_TALK = 60
"""Characters: a longer answer line that names no option is talk."""
# The form that our own prompts ask for, as the whole last line: no need to look further.
_CLOSING = re.compile(
    r"[\n.]?[*_\s]*(?:(?:final\s+)?answer[*_\s]*:|(?:(?:so|thus|hence|therefore),?\s+)?the\s+(?:final\s+|correct\s+|best\s+)?answer\s+is:?)[*_\s(]*([A-Z])[*_)\s.]*",
    re.IGNORECASE,
)


def letter(text: str, count: int) -> str | None:
    """Read the single letter, of the first `count`, that the reply states; None rather than a guess.

    A last statement that names two options, or a letter beyond `count`, is no answer, and earlier
    statements are not gone back to: what the model took back must not be credited.

    >>> letter("The answer is A. No, wait: ANSWER: C", 4), letter("I am not sure.", 10), letter("A or B", 4)
    ('C', None, None)
    """
    found = stated_letters(text, count, single=True)
    return None if found is None else str(found.value)


def letters(text: str, count: int) -> tuple[str, ...] | None:
    """Read the set of letters, of the first `count`, that the reply states, in alphabetical order."""
    found = stated_letters(text, count)
    return None if found is None else tuple(sorted(set(found.value)))


def choice(text: str, options: Sequence[str]) -> Reading | None:
    """Read the one option that the reply states, by its letter or by its own text; the value is its letter as shown."""
    return stated_letters(text, len(options), options, single=True)


def stated_letters(
    text: str, count: int, options: Sequence[str] = (), *, single: bool = False
) -> Reading | None:
    """Read the options that the reply states; the value is a string of letters as shown, in the order stated.

    `single`: two options in one statement are no answer.
    """
    if (closing := _closing(text)) is not None:
        if closing.value >= chr(ord("A") + count):
            return None
        if not visible(text).truncated:
            return closing
    parser = _Parser(count, options, single=single)
    found = read(half_width(text), parser, cues=CUES, shaped=False)
    if found is None:
        found = None if parser.refused else _whole(half_width(text), parser)
    if (
        found is None
        or not found.value
        or (single and len(found.value) > 1)
        or max(found.value) >= chr(ord("A") + count)
    ):
        return None
    return found


def _closing(text: str) -> Reading | None:
    """Read a reply that ends with an answer line, or with the sentence "The answer is (B)."."""
    end = len(text.rstrip())
    last = max(text.rfind("\n", 0, end), text.rfind(". ", max(0, end - 60), end - 1), end - 80, -1)
    found = _CLOSING.fullmatch(text, max(last, 0))
    if found is None or goes_on(text) or not (last <= 0 or text[last] in "\n."):
        return None
    return Reading(found[1].upper(), "line", found.start(1), found.end(1))


class _Parser:
    """Reads one statement: letters, else an option's own text."""

    def __init__(self, count: int, options: Sequence[str], *, single: bool) -> None:
        self._count = count
        self._single = single
        self._given = options
        self._options: Options | None = None
        self.refused = False

    @property
    def options(self) -> Options:
        """The options' texts, prepared when first needed."""
        if self._options is None:
            self._options = Options(self._given)
        return self._options

    def __call__(self, content: str, form: Form) -> Any:
        said, _, _ = listed(content, 0, len(content), strong=True, run=True)
        said = "".join(dict.fromkeys(said))
        if self._single and len(said) > 1:
            self.refused = True
            return REFUSED
        if said:
            return self._agrees(content, said)
        outcome = self.by_text(content, form)
        self.refused = self.refused or outcome is REFUSED
        return outcome

    def shaped(self, text: str) -> Reading | None:
        """Read an option's own text off a reply that states no answer."""
        return read(text, self._text_alone) if self._given else None

    def _text_alone(self, content: str, form: Form) -> Any:
        return self.options.named(content)

    def _agrees(self, content: str, said: str) -> Any:
        """Refuse a letter beside the text of another option."""
        if len(said) == 1 and self._given and (both := labelled(content)) is not None:
            other = self.options.named(both[1])
            if other is not None and both[0] == said and other != said and self._given:
                self.refused = True
                return REFUSED
        return said

    def by_text(self, content: str, form: Form) -> Any:
        """Read an option by its own text; REFUSED: an answer is stated that is no option."""
        if self._given and (named := self.options.named(content)):
            return named
        if _VOID.match(content):
            return (self._given and self.options.none_of_them()) or REFUSED
        if (
            form in ("tag", "line", "json")
            and 0 < len(peel(content)) <= _TALK
            and "\n" not in content.strip()
        ):
            return REFUSED
        return None


# --- replies without a statement ----------------------------------------------------------------------------

_LINE_ALONE = later(
    r"(?:[\s*_#]*(?:the\s+|my\s+)?(?:final|response|solution|result|correct|conclusion|verdict|output|prediction|selected|selection)\b)?"
    rf"(?:[{MARKS}]|{COMMANDS}|option\b|choice\b|选项?)*+(?P<letter>[A-Za-z])(?P<close>[\s*_`~$\"'”’»)\]}}）】」』.。:,!]|\\[)\]}}]|</s>)*",
    re.IGNORECASE,
)
_LABEL = later(
    r"[\s*_`\"'“#>✅✔✓☑-]*(?:(?i:option|choice)\s+)?(?:[(\[（【](?P<a>[A-Z])[)\]）】]|(?P<b>[A-Z])(?:[.)\]）。、](?=\s|\D)(?!\s?(?:coli|elegans|subtilis|melanogaster|cerevisiae|aureus|difficile|albicans|falciparum)\b)|[*_]+[.):]?(?=\s|$)|:\s|\s[-–—]\s|[^\S\n]*(?=[\u4e00-\u9fff])))",
)
_LAST_WORDS = later(r"\b(?:is|be|are|with|to)\s+(?:option\s+)?[*_$]*\(([A-Z])\)[*_$]*[.!]?\s*$")
_REJECTS = later(r"[^\n]{0,200}(?:\b(?:incorrect|wrong|false|not)\b|✗|✘|❌|错|不)", re.IGNORECASE)


def _whole(text: str, parser: _Parser) -> Reading | None:
    """Read a reply without a statement: its only line, its last line, a label at its start, or an option's own text."""
    text, cut = visible(text)
    if cut:
        return None
    if runs_on(text):
        return None
    if end := _LAST_WORDS.search(text, max(0, len(text.rstrip()) - 24)):
        return Reading(end[1], "prose", end.start(1), end.end(1))
    lines = list(re.finditer(r"[^\n]*\S[^\n]*", text[-20_000:]))
    offset = max(0, len(text) - 20_000)
    if not lines:
        return None
    for line in (lines[-1], lines[0]):
        alone = _LINE_ALONE.fullmatch(line[0]) if len(line[0]) < 60 else None
        if alone and (alone["letter"].isupper() or len(lines) == 1):
            begin = offset + line.start() + alone.start("letter")
            form: Form = "whole" if len(lines) == 1 else "last line"
            return Reading(alone["letter"].upper(), form, begin, begin + 1)
    return _labelled(lines, offset) or parser.shaped(text)


def _labelled(lines: list[re.Match[str]], offset: int) -> Reading | None:
    """Read the one label that begins the first or the last line."""
    labels = {i: m for i, line in enumerate(lines) if (m := _LABEL.match(line[0]))}
    named = {m["a"] or m["b"] for m in labels.values()}
    if len(named) != 1 or not (0 in labels or len(lines) - 1 in labels):
        return None
    at = 0 if 0 in labels else len(lines) - 1
    if len(lines) > 1 and _REJECTS.match(lines[at][0]) and at:
        return None
    begin = offset + lines[at].start() + labels[at].start("a" if labels[at]["a"] else "b")
    return Reading(named.pop(), "whole" if at == 0 else "last line", begin, begin + 1)
