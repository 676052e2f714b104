"""Find candidates in a reply without an answer statement: the whole reply, emphasised words, the last line or sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator

from evals.extract import statement_mood
from evals.extract.formatting import strip_formatting
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.number_words import SPELLED_PATTERN
from evals.extract.statements import NEGATED_ANSWER, Statement

_EMPHASIS = lazy_pattern(
    r"\*\*(?P<bold>[^*\n]{1,300})\*\*|(?<![\w_])__(?P<underscored>[^_\n]{1,300})__(?!\w)|(?<!`)`(?P<code>[^`\n]{1,300})`(?!`)"
)
_GIVES_UP = lazy_pattern(
    r"\b(?:sorry|cannot|can['’]t|unable|do(?:n['’]t|\s+not)\s+know|not\s+(?:sure|able|enough|possible|clear)|no\s+idea|insufficient|unclear|apologi[sz]e|as\s+an\s+ai|could\s+not|couldn['’]t)\b"
    r"|抱歉|无法|不能|不知道|不确定|对不起"
)
_SENTENCE_END = lazy_pattern(r"(?:(?<!\bi\.e)(?<!\be\.g)[.!?](?=[*_]{0,3}\s)(?!\s=)|[。；！？\n])")
_GUESS = lazy_pattern(
    r"\b(?:my\s+(?:best\s+)?(?:guess|estimate)|best\s+guess|(?:i|would)\s+(?:guess|estimate))\b",
    re.IGNORECASE,
)
"""A phrase that introduces an answer even in a reply that `_GIVES_UP` matches."""


def gives_up(text: str, begin: int = 0) -> bool:
    """Return whether the text says that the model cannot or will not answer."""
    return _GIVES_UP.search(text[begin:].lower()) is not None


def answer_candidates(text: str, begin: int) -> Iterator[Statement]:
    """Yield the candidates for the answer after `begin`, the most likely first."""
    text = text.rstrip().rstrip("∎□■✅✓✔🎉\ufe0f ")
    lines = list(_nonblank_lines(text, begin))
    if not lines:
        return
    is_whole_reply = begin == 0 or text[:begin].isspace()
    (first_begin, first_end), (last_begin, end) = lines[0], lines[-1]
    if len(lines) == 1 and is_whole_reply:
        yield Statement("whole", last_begin, end)
    elif (
        is_whole_reply
        and len(lines) <= 3
        and len(text.strip()) <= 80
        and not _repeats_end(text[last_begin:end], text[first_begin:first_end])
    ):  # e.g. a formula over several lines
        yield Statement("whole", first_begin, end)
    if text.endswith(("?", "？")) or (gives_up(text, last_begin) and not _GUESS.search(text, last_begin)):
        return
    spans = [
        span
        for span in _EMPHASIS.finditer(text, begin)
        if _is_emphasised_answer(text, span)
        and statement_mood.mood(text, span.start(), span.end()) == "asserted"
    ]
    for group in ([span for span in spans if span.start() >= last_begin], spans):
        if len({span[str(span.lastgroup)].strip() for span in group}) == 1:
            yield Statement("emphasis", *group[-1].span(str(group[-1].lastgroup)))
    if is_whole_reply and (number := first_line_number(text)):
        yield Statement("last line", *number)
    if total := _TOTAL_ROW.match(text, last_begin):
        yield Statement("last line", *total.span("cell"))
    yield Statement("last line", last_begin, end)
    if (
        len(lines) > 1
        and is_whole_reply
        and _EMPHASIS.fullmatch(text[first_begin:first_end].strip().rstrip("."))
    ):
        yield Statement("emphasis", first_begin, first_end)
    yield from _sentence_candidates(text, last_begin)


_FIRST_LINE_NUMBER = lazy_pattern(
    r"\s*(?P<number>[*_$\\(~≈]*\s?[-−+]?\d[\d.,]*(?<![.,])(?:\s?[A-Za-z%°µΩÅ][A-Za-z%°²³⁻¹/^-]{0,11}){0,2}[*_$\\).]{0,6})[^\S\n]*\n\s*\n\s*(?![-*\d]|#)"
)
_DOUBT = lazy_pattern(
    r"\b(?:wait|actually|however|wrong|incorrect|instead|correction|mistake|re-?check|hmm|final|answer|not\s+(?:sure|certain))\b|不对|更正|答案",
    re.IGNORECASE,
)


def first_line_number(text: str) -> tuple[int, int] | None:
    """Return the extent of a number that is the first line of a reply, if an explanation that does not doubt it follows."""
    number = _FIRST_LINE_NUMBER.match(text)
    return None if number is None or _DOUBT.search(text, number.end()) else number.span("number")


_TOTAL_ROW = lazy_pattern(
    r"\s*\|[\s*_]*(?:grand\s+)?(?:total|sum|answer|result|overall|合计|总计)\b[^|\n]{0,40}\|(?:[^|\n]{0,80}\|){0,3}?\s*(?P<cell>[^|\n]{1,80})\|\s*\Z",
    re.IGNORECASE,
)
"""The last row of a table, as in "| Total | 13 |"."""


def _sentence_candidates(text: str, begin: int) -> Iterator[Statement]:
    """Yield the predicate of the last sentence on the line at `begin`, and its subject if that may be the answer."""
    for sentence_end in _SENTENCE_END.finditer(text, begin, max(begin, len(text.rstrip()) - 1)):
        begin = sentence_end.end()
    if counted := _COUNTED_SUBJECT.match(text, begin):
        yield Statement("prose", *counted.span("number"))
    if subject := (
        _CALLED_ANSWER.match(text, begin)
        or _EXTREME_NUMBER.match(text, begin)
        or _THEN_CALLED_ANSWER.search(text, max(begin, len(text) - 120))
    ):
        yield Statement("prose", *subject.span("subject"))
    if predicate := _find_predicate(text, begin):
        yield predicate
        approximation = text.rfind("≈", begin, predicate.begin)
        if approximation >= 0 and (exact := _find_predicate(text, begin, approximation)):
            yield exact
    if subject := _SUPERLATIVE_SUBJECT.match(text, begin) or _CHART_SUBJECT.match(text, begin):
        yield Statement("prose", *subject.span("subject"))


def _nonblank_lines(text: str, begin: int) -> Iterator[tuple[int, int]]:
    """Yield the extents of the lines that are neither blank nor only the delimiter of a formula."""
    for line in text[begin:].split("\n"):
        if line and not line.isspace() and not _DELIMITER_LINE.fullmatch(line):
            yield begin, begin + len(line)
        begin += len(line) + 1


_DELIMITER_LINE = lazy_pattern(r"[\s*_]*+(?:\\[\[\]]|\$\$|\\(?:begin|end)\{[a-z]{1,12}\*?\}|\s)+[\s*_.]*+")


def _repeats_end(last: str, first: str) -> bool:
    """Return whether the last line repeats the end of the first one."""
    return len(strip_formatting(last)) > 1 and strip_formatting(first).endswith(strip_formatting(last))


def _is_emphasised_answer(text: str, span: re.Match[str]) -> bool:
    """Return whether emphasised words are an answer, not a heading or label."""
    words = span[str(span.lastgroup)].rstrip()
    return not words.endswith((":", "：")) and text[span.end() : span.end() + 1] not in (":", "：")


def _find_predicate(text: str, sentence_begin: int, end: int | None = None) -> Statement | None:
    """Return the count or else the predicate that a sentence asserts, without a reason ("because ..."); None if it asserts neither."""
    end = len(text.rstrip() if end is None else text[:end].rstrip())
    reason = _REASON_OR_CONTRAST.search(text, sentence_begin, end)
    if reason and not text[sentence_begin : reason.start()].isspace() and reason.start() > sentence_begin:
        end = reason.start()
    if statement_mood.mood(text, end, end) != "asserted" or _NO_ASSERTION.match(text, sentence_begin, end):
        return None
    if _TWO_VALUES.search(text, max(sentence_begin, end - 200), end):
        return None
    if contrast := _CONTRASTED_VALUE.search(text, max(sentence_begin, end - 200), end):
        if not contrast["requested"]:
            return None
        end = contrast.end("value")
    count = _COUNT.match(text, sentence_begin, end) or (
        _ONLY_COUNT.match(text, 0, end) if sentence_begin == 0 else None
    )
    if count is not None:
        return Statement("prose", *count.span(count.lastgroup or "number"))
    begin = -1
    for verb in _PREDICATE_START.finditer(text, max(sentence_begin, end - 300), end):
        begin = verb.end()
    assignments = [pair.end() for pair in _ASSIGNMENTS.finditer(text, max(sentence_begin, end - 300), end)]
    if (
        begin < 0
        or (assignments and begin <= assignments[-1] + 2)
        or not text[begin:end].strip()
        or NEGATED_ANSWER.match(text, begin, end)
        or statement_mood.mood(text, begin, begin) != "asserted"
    ):
        return None
    return Statement("prose", begin, end)


_NO_ASSERTION = lazy_pattern(
    r"\W*(?:(?:if|unless|suppose|assum(?:e|ing)|let|consider)\s++(?!we\b|you\b|i\b|one\b|us\b|me\b)|(?:there\s+(?:is|are)|has|have)\s+no\b|(?:the|an?|our|my)\s(?:[a-z]+\s){0,2}(?:lower|upper)\sbound\b)",
    re.IGNORECASE,
)
"""As in "If n = 4, then the number is 12." and "There is no solution for n = 5."."""
_TWO_VALUES = lazy_pattern(
    r"\b(?:is|are|measures?)\s[$*]{0,3}\d[\d.]{0,12}(?P<unit>\s?°|\s[A-Za-z]{1,12}),?\s(?:and|while)\s(?:(?!\b(?:so|thus|hence|therefore)\b)[^.;\n]){1,60}?\s(?:is|are|measures?)\s[$*]{0,3}\d[\d.]{0,12}(?P=unit)[\s.$*]*$",
    re.IGNORECASE,
)
"""As in "The base angles are 36 degrees and the apex is 72 degrees"."""
_CONTRASTED_VALUE = lazy_pattern(
    r"(?:\b(?P<requested>requested|required|desired|answer)\b[^.;,\n]{0,60}?\s)?\b(?:is|are|equals)\s(?P<value>[$*]{0,3}\d[\d.]{0,12}[$*]{0,3}),\s(?:while|whereas)\s[^.;\n]{1,60}?\s(?:is|are|equals)\s[$*]{0,3}\d[\d.]{0,12}[\s.$*]*$",
    re.IGNORECASE,
)
"""As in "The requested value is 17, while the largest is 45"; two values without a word such as "requested" are not an answer."""
_NUMBER = rf"(?:\d[\d,]*|{SPELLED_PATTERN})"
_COUNTED_SUBJECT = lazy_pattern(
    r"[\s*_]*+(?:(?:so|thus|hence|therefore),?\s+)?(?:exactly\s+|only\s+|a\s+total\s+of\s+)?[*_]*(?P<number>"
    + _NUMBER
    + r")[*_]*\s+[a-z ]{2,40}\s(?:is|are|was|were)\s+(?:listed|included|displayed|depicted|left|remaining|shown|visible|hidden|present|needed|required|missing|possible|there)(?:\s+(?:after|in|on|from|at)\b[^.,;\n]{1,60})?[.!\s*_]*$",
    re.IGNORECASE,
)
"""As in "8 objects are left."."""
_CALLED_ANSWER = lazy_pattern(
    r"[\s*_]*+(?:(?:so|thus|hence|therefore),?\s+)?(?!(?:this|that|it|here|which|what|nothing|none|neither|one)\b)(?P<subject>[^\s,;:]{1,60}(?:\s[^\s,;:]{1,20}){0,2}?)\s+(?:is|must\s+be)\s+(?:therefore\s+|thus\s+)?(?:the|our|my)\s+(?:final\s+|correct\s+|required\s+|desired\s+)?(?:answer|result)[.!\s*_]*$",
    re.IGNORECASE,
)
"""As in "So 25 is the answer."."""
_THEN_CALLED_ANSWER = lazy_pattern(
    r"(?<![\d.,^/])(?P<subject>[*_$\\(]{0,4}[-−]?\d[\d,.]{0,20}[*_$\\)]{0,4}),?\s(?:which\s(?:is|must\sbe)(?:\s(?:therefore|thus|then))?|as)\s(?:the|our|my)\s(?:(?:final|correct|required|desired)\s)?(?:answer|result)[.!\s*_]*$",
    re.IGNORECASE,
)
"""As in "we need 510, which is our answer."."""
_EXTREME_NUMBER = lazy_pattern(
    r"[\s*_]*+(?:(?:so|thus|hence|therefore),?\s+)?(?:only\s+(?=\S{1,20}\s+(?:satisf|works|fits|remains|qualif))|(?=\S{1,20}\s+(?:is|was)\b))(?P<subject>[*_$\\(]{0,4}[-−]?\d[\d,.]{0,20}[*_$\\)]{0,4})"
    r"\s+(?:satisfies|works|fits|remains|qualifies|(?:is|was)\s+(?:therefore\s+|thus\s+|indeed\s+)?the\s+(?:peak|year|month|smallest|largest|least|greatest|minimum|maximum|lowest|highest|only|unique|required|desired))"
    r"(?:\s+(?!of\b|in\b|divisors?\b|factors?\b|prime\b|roots?\b|digits?\b|terms?\b|sides?\b|angles?\b|exponent\b|power\b)[a-z]+){0,8}[.!\s*_]*$",
    re.IGNORECASE,
)
"""As in "Hence 721 is the largest value that can be attained." and "Only 8 satisfies all the conditions."."""
_REASON_OR_CONTRAST = lazy_pattern(
    r"(?<=[\d$*}])(?:\s+when\b|,?\s\(?(?:(?:attained|achieved|reached|obtained|occurring)\s(?:when\b|if\b|at\b|for\b|by\b)|at\s(?=[$\\(]{0,2}[A-Za-z]\s?=))(?=(?:\([^()\n]{0,40}\)|[^,;(\n]){0,80}(?:$|,\snot\b)))|,?\s+(?:because|since)\b|,\s+(?:which(?!\s(?:gives?|makes?|leaves?|yields?|totals?)\s[*_$\\(]{0,3}\d)|compared|versus|followed|(?:up|down)\s+from)\b|,\s+as\b(?!\s(?:well|required|desired|claimed))|,\s*(?:当|此时|其中)|,\s+(?:and\s+)?not\b|,?\s+(?:rather\s+than|instead\s+of|as\s+opposed\s+to)\b",
    re.IGNORECASE,
)
"""As in ", because ...", ", which ..." and ", not ..."."""
_ASSIGNMENTS = lazy_pattern(
    r"[A-Za-z]\s*=\s*[^=,;\n]{1,40}(?:[,;]\s*(?:and\s+)?|\s(?:or|and)\s+)[$\\(]{0,3}[A-Za-z]\s*="
)
"""Two variables, each with a value: "x = 2, y ="."""
_COUNT = lazy_pattern(
    r"[\s*_]*+(?:so|thus|therefore|hence|in\s+total|altogether|consequently)\b,?\s+(?:there\s+(?:are|is)|we\s+(?:have|get|count|need)|it\s+takes|(?:you|one|she|he|they|we|the\s+[a-z]{2,20}|(?-i:[A-Z])[a-z]{1,12})\s+needs?(?:\s+at\s+least)?|the\s+[a-z][a-z ]{1,60}\s(?:is|equals))\s+(?:exactly\s+|a\s+total\s+of\s+|only\s+)?[*_$]*(?:[^$\n=]{1,40}=\s?)?(?P<number>"
    + _NUMBER
    + r")[*_$]*\s+(?!or\b|and\b|to\b|over\b|times\b|plus\b|minus\b|mod)[a-z ]{2,60}(?:\$[^$\n]{1,60}\$[a-z ]{0,40}){0,3}\s*[.!]?\s*$",
    re.IGNORECASE,
)
"""As in "So there are 12 such triangles."."""
_ONLY_COUNT = lazy_pattern(
    r"\s*(?:(?:in\s+(?:conclusion|total|all|summary)|so|thus|hence|therefore),?\s+)?(?:there\s+(?:are|is)\s+(?:exactly\s+|a\s+total\s+of\s+|only\s+)?|(?:exactly|only)\s+)[*_$]*(?P<number>"
    + _NUMBER
    + r")[*_$]*\s+(?!or\b|and\b|to\b|over\b|(?:different\s+|possible\s+)?(?:cases?|steps?|options?|possibilities|parts?|methods?|approach(?:es)?|scenarios?|reasons?|ways\s+(?:to\s+(?:solve|see|do|think|approach|view|prove|count|interpret|proceed|handle)|of\s+(?:solving|seeing|thinking|looking|doing))|things|answers?|solutions?|points\s+to)\b)[a-z ]{2,60}(?:\b(?:above|below|over|under|than)\s+\d[\d,.%]*)?\s*[.!]?\s*$"
    r"|\s*there\s+are\s+(?:exactly\s+|only\s+)?[*_$]*(?P<listed>"
    + _NUMBER
    + r")[*_$]*(?:\s[a-z ]{2,40}(?:(?<=above|below|under)\s\d[\d,.%]*|(?<=over|than)\s\d[\d,.%]*)?)?:\s[^\d\n:]{1,200}$",
    re.IGNORECASE,
)
"""A whole reply such as "There are eight small triangles in the figure."."""
_SUPERLATIVE_SUBJECT = lazy_pattern(
    r"[\s*_]*+(?:(?:from|in|based\son|according\sto|looking\sat)\sthe\s[a-z ]{1,20},\s)?(?P<subject>(?:the\s+)?[^\s,.;:]{1,30}(?:\s+[^\s,.;:]{1,30}){0,3}?)\s+(?:has|had|have|is|was|shows?|showed|records?|recorded|ranks?|sees|saw)\s+(?:[a-z]{2,12}ed\s+)?(?:by\s+far\s+)?the\s+(?:\w+\s+)?(?:lowest|highest|most|least|largest|smallest|greatest|fewest|biggest|longest|shortest|maximum|minimum|top|(?!rest\b|test\b|forest\b|interest\b|west\b|request\b|guest\b|quest\b|contest\b)[a-z]{2,9}est)\b[^.\n]{0,60}[.\s*_]*$",
    re.IGNORECASE,
)
"""As in "Japan has the lowest rate."."""
_CHART_SUBJECT = lazy_pattern(
    r"[\s*_]*+(?:the\s+)?(?P<subject>[*_]*(?!the\b)[A-Za-z]+(?:\s[A-Za-z]+)?[*_]*)\s+(?:line|bar|curve|segment|slice|sector|series|column|area)\s+(?:shows?|represents?|stands\s+for|indicates?|displays?)\b[^.\n]{0,80}[.\s]*$",
    re.IGNORECASE,
)
"""As in "The red line shows the unemployment rate."."""
_PREDICATE_START = lazy_pattern(
    r"(?:(?<=[\s,，、])|^)(?:is|are|was|were|equals?|equal\s+to|(?:amounts?|comes?)\s+to|(?:a|the)\s+total\s+of|(?:got|that['’]s|count(?:ed)?|(?:arrives?|leaves?|starts?|ends?|begins?)\sat|(?:rose|fell|grew|increased|decreased|dropped|declined)\sby|an?\s(?:increase|decrease|drop|rise|difference|gap|gain|decline|growth|reduction)\sof|i\.e\.,?|that\sis,|namely,?|(?:go|going|went|stick)\swith|settle\s(?:on|for)|believe|guess|say|answer|report|replaced\sby|(?:clock|watch|thermometer|scale|gauge|dial|meter|display|ruler|needle|pointer|bar|line|slice|curve|column|chart|graph)\s(?:shows?|reads?|displays?|indicates?|points?\s(?:to|at)|(?:stands|is)\sat)(?:\s(?:about|roughly|around|approximately|nearly|almost))?)(?=\s[*_$\\(]{0,3}(?:[-−]?\d|"
    + SPELLED_PATTERN
    + r"\b))|(?<!not\sthe\s)total[:,]|it['’]s|be|measures?|totals?|gives?|giving|us|get|obtain|yields?|leaves?|leaving(?:\s+(?:only|just|exactly))?|makes?|(?:highest|lowest|largest|smallest|greatest|most|least|fewest)\s+in|ha(?:s|ve)\s+(?:the\s+|an?\s+)?(?:coordinates|length|area|volume|radius|perimeter|value|slope|measure|size)(?:\s+of)?|(?:occur(?:s|red)|happen(?:s|ed)|took\s+place|beg[ai]ns?|start(?:s|ed)|end(?:s|ed)|peak(?:s|ed)|cross(?:es|ed)?|intersect(?:s|ed)?|was|is)\s+in|(?:is|are|was|were|equals?|gives?|yields?|get|obtain):)(?=\s)\s+(?:(?:(?:therefore|thus|then|hence|simply|just|exactly|now|most\s+likely|most\s+probably|likely|probably|clearly|located\s+at)\b|at\s+(?=[$\\(*]{0,4}\())\s*)?|[=≈]\s*|(?:(?<=[\uac00-\ud7a3][은는이가])\s+|(?<=[\u3040-\u30ff\u4e00-\u9fff])は\s*)(?=[*_$\\]{0,3}[-−]?\d)|(?:是|为|等于|得到?|得出|共有?|即|还剩下?|剩下|还有)\s*[:：]?",
    re.IGNORECASE,
)
