"""Replies that state no answer: read by their shape, the whole, the one emphasised answer, the last line, the last sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator

from evals.extract import moods
from evals.extract.later import later
from evals.extract.peel import peel
from evals.extract.statements import NOT, Statement

_BOLD = later(
    r"\*\*(?P<a>[^*\n]{1,300})\*\*|(?<![\w_])__(?P<b>[^_\n]{1,300})__(?!\w)|(?<!`)`(?P<c>[^`\n]{1,300})`(?!`)"
)
_CHECK = later(r"^[^\n]{0,200}(?:✓|✔|✅|☑|\[x\])[^\n]{0,200}$", re.MULTILINE | re.IGNORECASE)
_GIVES_UP = later(
    r"\b(?:sorry|cannot|can['’]t|unable|do(?:n['’]t|\s+not)\s+know|not\s+(?:sure|able|enough|possible|clear)|no\s+idea|insufficient|unclear|apologi[sz]e|as\s+an\s+ai|could\s+not|couldn['’]t)\b"
    r"|抱歉|无法|不能|不知道|不确定|对不起",
    re.IGNORECASE,
)
_LAST_SENTENCE = later(r"(?:[.!?](?=\s)|[。；！？\n])")


def gives_up(text: str, begin: int = 0) -> bool:
    """Tell whether words say that the model cannot or will not answer."""
    return _GIVES_UP.search(text, begin) is not None


def shapes(text: str, begin: int) -> Iterator[Statement]:
    """Yield the readings of a reply without a statement from `begin` on, the likeliest first."""
    lines = list(re.finditer(r"[^\n]*\S[^\n]*", text[begin:]))
    if not lines:
        return
    whole = begin == 0 or text[:begin].isspace()
    last = lines[-1]
    if len(lines) == 1 and whole:
        yield Statement("whole", begin + last.start(), begin + last.end())
    elif (
        whole and len(lines) <= 3 and len(text.strip()) <= 80 and not _repeats(last[0], lines[0][0])
    ):  # displayed over some lines
        yield Statement("whole", begin + lines[0].start(), begin + last.end())
    if gives_up(text, begin + last.start()) or text.rstrip().endswith(("?", "？")):
        return
    spans = [found for found in _BOLD.finditer(text, begin) if _emphasised(text, found)]
    in_last = [found for found in spans if found.start() >= begin + last.start()]
    for some in (in_last, spans):
        said = {found[str(found.lastgroup)].strip() for found in some}
        if len(said) == 1:
            group = str(some[-1].lastgroup)
            yield Statement("emphasis", some[-1].start(group), some[-1].end(group))
    yield Statement("last line", begin + last.start(), begin + last.end())
    if len(lines) > 1 and whole and _BOLD.fullmatch(lines[0][0].strip().rstrip(".")):
        yield Statement("emphasis", begin + lines[0].start(), begin + lines[0].end())
    sentence = begin + last.start()
    for cut in _LAST_SENTENCE.finditer(text, sentence, max(sentence, len(text.rstrip()) - 1)):
        sentence = cut.end()
    if found := _tail(text, sentence):
        yield found
        if (rounded := text.rfind("≈", sentence, found.begin)) >= 0 and (
            found := _tail(text, sentence, rounded)
        ):
            yield found  # what is rounded
    if subject := _SUBJECT.match(text, sentence):
        yield Statement("prose", *subject.span("subject"))


def _repeats(last: str, first: str) -> bool:
    """Tell whether the last line says again what the first one ends with."""
    return len(peel(last)) > 1 and peel(first).endswith(peel(last))


def _emphasised(text: str, found: re.Match[str]) -> bool:
    """Tell whether bold words are an answer and no heading or label."""
    said = found[str(found.lastgroup)].rstrip()
    return not said.endswith((":", "：")) and text[found.end() : found.end() + 1] not in (":", "：")


def _tail(text: str, sentence: int, end: int | None = None) -> Statement | None:
    """Return what the last sentence ends with, behind its last "is" or equals sign."""
    end = len(text.rstrip() if end is None else text[:end].rstrip())
    if moods.mood(text, end, end) != "asserted":
        return None
    if (count := _COUNT.match(text, sentence, end)) is not None:
        return Statement("prose", *count.span("number"))
    begin = -1
    for found in _TAIL_WORD.finditer(text, max(sentence, end - 300), end):
        begin = found.end()
    pairs = [pair.end() for pair in _EQUATIONS.finditer(text, max(sentence, end - 300), end)]
    if (
        begin < 0
        or (pairs and begin <= pairs[-1] + 2)
        or not text[begin:end].strip()
        or NOT.match(text, begin, end)
        or moods.mood(text, begin, begin) != "asserted"
    ):
        return None
    return Statement("prose", begin, end)


_EQUATIONS = later(r"[A-Za-z]\s*=\s*[^=,;\n]{1,40}[,;]\s*(?:and\s+)?[$\\(]{0,3}[A-Za-z]\s*=")
"""Several names with a value each."""
_COUNT = later(
    r"\s*(?:so|thus|therefore|hence|in\s+total|altogether|consequently)\b,?\s+(?:there\s+(?:are|is)|we\s+(?:have|get|count)|the\s+[a-z][a-z ]{1,60}\s(?:is|equals))\s+(?:exactly\s+|a\s+total\s+of\s+|only\s+)?[*_$]*(?P<number>\d[\d,]*)[*_$]*\s+(?!or\b|and\b|to\b|over\b|times\b|plus\b|minus\b|mod)[a-z ]{2,40}\s*[.!]?\s*$",
    re.IGNORECASE,
)
_SUBJECT = later(
    r"[\s*_]*(?P<subject>(?:the\s+)?[^\s,.;:]{1,30}(?:\s+[^\s,.;:]{1,30}){0,3}?)\s+(?:has|had|have|is|was|shows?|showed|records?|recorded|ranks?|sees|saw)\s+(?:by\s+far\s+)?the\s+(?:\w+\s+)?(?:lowest|highest|most|least|largest|smallest|greatest|fewest|biggest|longest|shortest|maximum|minimum|top)\b[^.\n]{0,60}[.\s*_]*$",
    re.IGNORECASE,
)
"""As in "Japan has the lowest rate."."""
_TAIL_WORD = later(
    r"(?:(?<=[\s,，、])|^)(?:is|are|was|were|equals?|equal\s+to|(?:amounts?|comes?)\s+to|it['’]s|be|measures?|totals?|gives?|giving|us|get|obtain|yields?|leaves?|makes?|(?:occur(?:s|red)|happen(?:s|ed)|took\s+place|beg[ai]ns?|start(?:s|ed)|end(?:s|ed)|peak(?:s|ed)|was|is)\s+in)(?=\s)\s+(?:(?:therefore|thus|then|hence|simply|just|exactly|now)\s+)?|[=≈]\s*|(?:是|为|等于|得到?|得出|共有?)\s*[:：]?",
    re.IGNORECASE,
)
