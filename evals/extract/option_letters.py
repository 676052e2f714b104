"""Parse the option letters at a given position; words, the pronoun "I", formulas and molecules are not options."""

from __future__ import annotations

import itertools
import re
from functools import cache

from evals.extract.languages import FILLER_PATTERN
from evals.extract.lazy_pattern import lazy_pattern

MARKS = r"}\s*_`~$\"'“”‘’«(\[{<（【「『《,':：>#✅✔✓☑…👉➡➤▶►🟢🔹🔸🎯⭐📌\ufe0f"
COMMANDS = r"\\(?:text\w*|math\w+|mbox|bf|rm|sf|boxed|fbox|underline|displaystyle|large|Large|huge|quad|color\{\w{1,20}\}|[(\[{,;! ])"
"""The characters (`MARKS`) and LaTeX commands that may precede a letter."""
_WORDS = (
    r"(?:the|my|our|option|options|choice|choices|letter|letters|answer|answers|statement|for|sure|definitely|certainly"
    r"|clearly|obviously|indeed|most|likely|probably|therefore|thus|hence|then|still|actually|simply|just|now|be|given|by"
    r"|course|undoubtedly|(?:i|we)\s+(?:think|believe|guess|suspect)|opinion|view"
    r"|in|as|follows|that|of|correct|best|right|final|only|here|is|are|it|both|either|closest|to|surely|exactly|one|item|case|number)\b"
)
_PREFIX = rf"(?P<prefix>(?:[{MARKS}]|{COMMANDS}|选项|选择|项|选|为|是|{FILLER_PATTERN}|{_WORDS})*+)"
_OPTION_WORD = lazy_pattern(r"option|choice|letter|statement|选|letra|lettre|lettera", re.IGNORECASE)
# a letter followed by one of these is part of a word, formula or molecule
_NOT_A_LETTER = (
    r"(?![A-Za-z0-9À-ɏͰ-Ͽ₀-₉⁰-⁹²³¹⁺⁻]|['’](?!(?:d[ıiuü]r|t[ıiuü]r)\b)\w|_[\w{\\]|[-–]\w|\.[A-Za-z]\.|/(?![A-Za-z](?![A-Za-z]))\w|\^|\((?-i:[A-Z0-9+-][A-Za-z0-9+-]{0,2}|[a-z]|[a-z]\d)\)|\((?![^()\s]{0,30}(?-i:[a-z]{3}))[=#@A-Za-z0-9\[][^()\s]{2,}|[#=@][A-Za-z\[(@]|\[[A-Za-z@+-]"
    r"|\s*[-−–]\s*\w{1,3}\s*[-=+*/]"
    r"|[^\S\n]*(?:[=+×·≈≤≥→%∝]|<(?![/A-Za-z|!])|>(?!\s|$)|\\(?:times|cdot|approx|frac|leq?|geq?|to|rightarrow|in|sin|cos|propto)\b))"
)
_CLOSING_MARKS = r"(?P<close>(?:[*_`~$\"'”’»)\]}）】」』》]|\\[)\]}])*+)"
_FIRST_LETTER = lazy_pattern(rf"{_PREFIX}(?P<letter>[A-Za-z]){_NOT_A_LETTER}{_CLOSING_MARKS}", re.IGNORECASE)
_NEXT_LETTER = lazy_pattern(
    r"(?:\s\([^()\n]{2,60}\))?(?:\s|\\[,;:! ]|\\(?:text\w*|mathrm|mbox)\s*\{)*+(?:,|;|/|&|、|，|\band\b(?:\s?/\s?or\b)?|\bor\b|\b(?:und|et|y)\b|和|或|与|及|と|와|과)(?:\s*+(?:and|or|also|possibly|perhaps|maybe|even)\b)*+"
    r"(?P<prefix>(?:[\s*_`$\"'(\[{}（【]|\\[,;:! ]|\\(?:text|mathrm|mathbf)\b|\b(?:option|choice)\b)*+)"
    rf"(?P<letter>[A-Za-z]){_NOT_A_LETTER}{_CLOSING_MARKS}",
    re.IGNORECASE,
)
_GLOSS = lazy_pattern(r"\s\([^()\n]{2,60}\)")
"""The option's text in brackets after its letter."""
_OR = lazy_pattern(r"\s*(?:or\b|或)", re.IGNORECASE)
_LETTER_RUN = lazy_pattern(rf"{_PREFIX}(?P<run>[A-Z]{{2,10}})(?![A-Za-z0-9])")
_STATEMENT_END = lazy_pattern(
    r"[^\S\n]*(?:$|\n|\||[.。!！;；:：,，、)）(（]+(?=$|\s|[^\w]|[\u4e00-\u9fff])|[。，；（、]|</|<\||\[/|\\\\|[—–-]\s|—|\([a-z]{2,}|번?(?:입니다|이다|예요)|です|である|だ|选?项|正确|[（(](?=[\u4e00-\u9fff]))"
)
CLAUSE_END = lazy_pattern(
    r"[^\S\n]*(?:$|\n|[.。!！;；](?=$|[\s*_)\]\"'”’])|。|</|<\||\s[—–-]\s|,\s+(?:because|since|as|which|not|and\s+not|with|though|although|while|whereas|followed)\b|\s+\((?!(?!I)[A-Z]\b)[^()\n]{2,60}\)(?=[.!*_\s]*(?:\n|$))|\s+as\s+the\b|\s+(?:rather\s+than|instead\s+of|over|on\s+this\s+one|(?:here|then|overall)(?=[.,;!\n]|$))\b)",
    re.IGNORECASE,
)
"""The end of a statement whose letter is unmarked: a full stop, the end of the line, the start of a reason or contrast."""
_CONTINUATION = lazy_pattern(
    r"\s+(?:because|since|as|and|or|und|et|y|which|for|due|based|given|so|but|while|where|according|by|both|are|here|though|over|instead|rather|after|from)\b|\s*[(（—–,:;.\-\n]|\s*[和或与及、と와과]",
    re.IGNORECASE,
)
_CLAUSE_START = lazy_pattern(r"\s+(?:because|since|as|are|both|which)\b")
_QUESTION_MARK = lazy_pattern(r"[\s*_)\]}$\"']*[?？]")
_NOT_A_CHOICE = lazy_pattern(
    r"\s+(?:describes?|names?|refers|states?|says|shows?|means|asks)\b|\s+(?:is|are|was|were)(?:\s+(?:also|only|therefore))?(?:\s+(?:not|incorrect|wrong|false|partially|partly|eliminated|excluded|ruled|rejected|dismissed|discarded|impossible|implausible|out)\b|n['’]t)|\s+(?:can|could|may|must)\s+(?:all\s+|both\s+)?be\s+(?:eliminated|excluded|ruled|rejected|dismissed|discarded)\b|\s+(?:does|do|can|would|could)(?:n['’]t|\s*not)\b",
    re.IGNORECASE,
)
_PLACEHOLDER = "X"
"""Placeholder for a letter, as in 'the format "The answer is (X)"'; no benchmark has 24 options."""


def parse_letters(
    text: str,
    begin: int,
    end_limit: int,
    *,
    allow_unmarked: bool,
    allow_run: bool = False,
    after_choice: bool = False,
) -> tuple[str, int, int]:
    """Return the letters at `begin` ("B", "(B)", "A, C and D") and their extent; ("", begin, begin) if there are none.

    `allow_unmarked`: accept a letter without brackets or other marks even if its sentence continues; `allow_run`: accept a
    run such as "AC"; `after_choice`: accept a letter followed by "because" or a similar word, as after "I choose".
    """
    no_letters = "", begin, begin
    first = _FIRST_LETTER.match(text, begin, end_limit)
    if first is None:
        letter_run = _LETTER_RUN.match(text, begin, end_limit) if allow_run else None
        if letter_run and is_ascending(letter_run["run"]) and _STATEMENT_END.match(text, letter_run.end()):
            return letter_run["run"], letter_run.start("run"), letter_run.end("run")
        return no_letters
    is_label = _is_label(text, first, allow_unmarked=allow_unmarked, after_choice=after_choice)
    if not is_label or first["letter"] == _PLACEHOLDER or _QUESTION_MARK.match(text, first.end()):
        return no_letters
    letters, end = first["letter"].upper(), first.end()
    stop = first.end("letter")
    while (next_letter := _NEXT_LETTER.match(text, end, end_limit)) and _continues_list(text, next_letter):
        letters += next_letter["letter"].upper()
        end, stop = next_letter.end(), next_letter.end("letter")
    if "\n" in first["prefix"] and next_label_pattern(letters[0]).search(text, end, end_limit):
        return no_letters  # a list of all options, not a choice among them
    return no_letters if _NOT_A_CHOICE.match(text, end) else (letters, first.start("letter"), stop)


@cache
def next_label_pattern(letter: str) -> re.Pattern[str]:
    """Return the pattern of the start of a line that is labelled with the letter after `letter`."""
    return re.compile(rf"\n[\s*_(-]*{chr(ord(letter) + 1)}[*_]*[.):]")


def is_ascending(run: str) -> bool:
    """Return whether letters are in ascending order."""
    return all(a < b for a, b in itertools.pairwise(run))


def _is_label(text: str, first: re.Match[str], *, allow_unmarked: bool, after_choice: bool) -> bool:
    """Return whether a matched letter is a label and not a word, an article or a symbol."""
    letter, end = first["letter"], first.end()
    is_at_end = bool(_STATEMENT_END.match(text, end))
    if letter.islower():
        return (is_at_end or text[end - 1] == ")") and (allow_unmarked or first["prefix"].endswith("("))
    is_marked = bool(first["prefix"]) and (first["prefix"][-1] in "([{*（【" or bool(first["close"]))
    is_list_label = allow_unmarked and first["close"].startswith((")", "]"))  # "A) Type 1 diabetes"
    if is_marked or is_list_label or (is_at_end if allow_unmarked else CLAUSE_END.match(text, end)):
        return True
    if letter in "AI" and not _CONTINUATION.match(text, end):
        return False
    is_named = after_choice or bool(_OPTION_WORD.search(first["prefix"]))
    return allow_unmarked or (is_named and bool(_CONTINUATION.match(text, end)))


def _continues_list(text: str, next_letter: re.Match[str]) -> bool:
    """Return whether the next letter belongs to the list rather than to a new clause."""
    if next_letter["letter"].islower():
        return next_letter["prefix"].endswith("(")
    gloss = _GLOSS.match(text, next_letter.end())
    if _STATEMENT_END.match(text, gloss.end() if gloss else next_letter.end()) or _NEXT_LETTER.match(
        text, next_letter.end()
    ):
        return True
    if next_letter["letter"] not in "AI" and _OR.match(text, next_letter.start()):
        return True
    return bool(_CLAUSE_START.match(text, next_letter.end()))
