r"""Separate the visible part of a reply from its reasoning and its special tokens.

>>> split_reasoning("[THINK]A is tempting.[/THINK]ANSWER: B")
('ANSWER: B', 'A is tempting.', False)
>>> split_reasoning("analysisA is tempting.assistantfinalANSWER: B")[0]
'ANSWER: B'

A reply that does not close its reasoning counts as truncated. A closing mark without an opening one ends reasoning that starts
with the reply, since chat templates put the opening mark into the prompt.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from evals.extract.lazy_pattern import lazy_pattern

_REASONING_TAGS = r"think(?:ing)?|thoughts?|thought_process|reasoning|scratchpad|inner_monologue|(?:seed|ant|antml):?_?think(?:ing)?"
_BRACKET_TAGS = r"\[/?THINK(?:ING)?\]|◁/?think(?:ing)?▷"
_REASONING_TOKENS = (
    r"<\|(?:START|END)_THINKING\|>|<\|(?:begin|end)_of_thought\|>|<\|/?think(?:ing)?\|>"
    r"|<unused9[45]>(?:thought\b)?|<\|channel>(?:thought|analysis)\b|<channel\|>"
)
_HARMONY_CHANNEL = r"(?:<\|start\|>\s*assistant\s*)?<\|channel\|>\s*(?:analysis|commentary|final)[^<\n]{0,60}(?:<\|constrain\|>[^<\n]{0,40})?<\|message\|>"
_MARK = lazy_pattern(
    rf"</?(?:{_REASONING_TAGS})\b[^<>\n]{{0,60}}>|{_BRACKET_TAGS}|{_REASONING_TOKENS}|{_HARMONY_CHANNEL}",
    re.IGNORECASE,
)
"""A mark that opens or closes reasoning."""
_CLOSING_MARK = lazy_pattern(
    r"</|\[/|◁/|<\|END_|<\|end_of_thought|<\|/|<unused95|<channel\||.*<\|channel\|>\s*final",
    re.IGNORECASE | re.DOTALL,
)
_BARE_CHANNEL = lazy_pattern(
    r"\s{0,200}(?:assistant)?(?:analysis|commentary)(?=[A-Z\d\"'“(\s]|We\b)(?!\s*(?:of|is|shows)\b)"
)
"""The name of a Harmony channel from which a tokenizer has dropped the special tokens."""
_BARE_FINAL_CHANNEL = lazy_pattern(r"(?:assistant)?\s*final(?=[^a-z\s]|\s*\n)|assistantfinal")
_REASONING_SENTENCE = lazy_pattern(r"\s{0,200}Here(?:'s| is) my thought process:", re.IGNORECASE)
_ANSWER_SENTENCE = lazy_pattern(r"\bHere(?:'s| is) my (?:response|answer):", re.IGNORECASE)
"""The sentences with which Granite begins its reasoning and its answer."""
_SPECIAL_TOKEN = lazy_pattern(
    r"<[|｜](?!(?:begin|end)_of_box)[A-Za-z▁_\d .:/-]{1,40}[|｜]>|</?s>|<\|?end_of_(?:turn|text|sentence)\|?>|<(?:start|end)_of_turn>(?:model\b)?|<eos>|<bos>|<pad>"
    r"|\[/?INST\]|▁|(?<![^\s*_(])~~(?=\S)[^~\n]{1,300}(?<=\S)~~(?![^\s*_.,;:)])|(?:\x08|(?<![\\\w])b)oxed(?=\{)",
    re.IGNORECASE,
)
_MAY_BE_REASONING = lazy_pattern(r"\s{0,200}(?:assistant)?(?:analysis|commentary|[Hh]ere)")
"""A necessary condition for `_BARE_CHANNEL` and `_REASONING_SENTENCE` that is faster to check."""
_MAX_SPECIAL_TOKENS = 10_000
"""Maximum number of special tokens that are removed."""


class Visible(NamedTuple):
    """The text of a reply without its reasoning, and possibly without special tokens."""

    text: str
    """The reply with spaces in place of what is removed, so that positions are preserved; empty if `truncated`."""
    truncated: bool = False
    """Whether the reply ends inside its reasoning."""


def split_reasoning(text: str) -> tuple[str, str | None, bool]:
    """Split a reply into (answer, reasoning, unclosed).

    The answer is the text after the last closing mark, whether or not an opening mark precedes it. If another opening mark
    follows, the reply was truncated while reasoning: the answer is empty, and `unclosed` is true.
    """
    if _has_no_mark(text):
        return text, None, False
    begin, reasoning_begin, unclosed = _answer_bounds(text)
    if unclosed:
        return "", _MARK.sub("", text[reasoning_begin:]).strip(), True
    if not begin:
        return text, None, False
    return (
        text[begin:].strip(),
        _MARK.sub("", _BARE_FINAL_CHANNEL.sub("", text[reasoning_begin:begin])).strip(),
        False,
    )


def without_reasoning(text: str) -> Visible:
    """Return a reply with spaces in place of its reasoning; special tokens are kept."""
    if _has_no_mark(text):
        return Visible(text)
    begin, _, unclosed = _answer_bounds(text)
    if unclosed:
        return Visible("", truncated=True)
    return Visible(" " * begin + text[begin:] if begin else text)


@lru_cache(maxsize=2)
def visible(text: str) -> Visible:
    """Return the visible text of a reply, with unchanged positions; cached, since several readers examine the same reply."""
    if _has_no_mark(text):
        return Visible(_without_offer(text))
    answer = without_reasoning(text)
    answer = answer._replace(text=_without_offer(answer.text))
    return answer._replace(text=_SPECIAL_TOKEN.sub(_to_spaces, answer.text, count=_MAX_SPECIAL_TOKENS))


_CLOSING_OFFER = lazy_pattern(
    r"(?:\n|(?<=[.!?)*✓✔✅])\s|(?<=[。！？，]))[\s*_>#-]*(?:\W{0,4}\s)?(?:would\s+you\s+like|do\s+you\s+(?:want|need)|want\s+me\s+to|(?:shall|should)\s+i\s+(?:also\s+)?(?:show|explain|provide|walk|go|derive|give|do)"
    r"|(?:please\s+)?let\s+me\s+know|feel\s+free\s+to|(?:i['’]m\s+|i['’]d\s+be\s+|i\s+am\s+)?happy\s+to|is\s+there\s+anything|(?:i\s+)?hope\s+(?:this|that|it)\s+(?:helps|is\s+helpful|was\s+helpful)"
    r"|if\s+you(?:['’]d)?\s+(?:would\s+)?(?:like|want|need|have\s+(?:any|more|further)|prefer|wish)\b[^\n.?!]{0,160},?\s+(?:i\s+can|i['’]d\s+be|just|let\s+me|feel\s+free|please)"
    r"|i\s+can\s+also\s+(?:show|provide|explain|walk|derive|give|help)|如果(?:你|您)?(?:还)?(?:需要|想|愿意|有)[^\n。？！]{0,60}(?:告诉我|我可以|请|随时)|(?:需要|要不要|要)我[^\n]{0,60}吗|希望(?:这|以上|对)[^\n]{0,40}帮助)[^\n]{0,300}[.!?。？！)][\s*_]*(?:[^\w\s]{1,3}\s*)?\Z",
    re.IGNORECASE,
)
"""The last sentence of a reply if it offers more help: "Would you like me to show the steps?"."""
_CLOSING_NOTE = lazy_pattern(
    r"\n[\s*_#>(-]*(?:note|nb|n\.b\.|remark|(?:quick\s+|sanity\s+|double[\s-])?check|verification|for\s+(?:comparison|reference)|as\s+a\s+check|we\s+can\s+(?:check|verify)|caveat|disclaimer|注|备注|验证|检验)(?![A-Za-z])[^\n]{0,400}[.!?)。✓✔✅][\s*_]*\Z"
    r"|\n\s*\((?=[A-Za-z]{3})[^\n]{14,300}\)[\s.]*\Z|(?<=[\w*%][.!?])\s\((?=[A-Za-z]{3})[^()\n]{12,300}\)[\s.]*\Z",
    re.IGNORECASE,
)
"""The last line of a reply if it is a note, a check or a remark in brackets."""
_STATES_ANSWER = lazy_pattern(
    r"\b(?:answers?|boxed|wait|actually|however|should|correct\w*|incorrect|error|mistake|wrong|instead|so|thus|hence|therefore|final|not|cannot|fails?|but|options?|choices?|results?|or|if|would)\b|n['’]t\b|\\boxed|答案|所以|因此|不|选|但",
    re.IGNORECASE,
)
"""Words of a note that may state, correct or doubt an answer."""
_MAX_OFFER_CHARS, _MAX_OFFERS = 500, 3


def _without_offer(text: str) -> str:
    """Return a reply with spaces in place of the offers of further help, and of notes beside the answer, at its end."""
    end = len(text.rstrip())
    for _ in range(_MAX_OFFERS):
        begin = max(0, end - _MAX_OFFER_CHARS)
        offer = _CLOSING_OFFER.search(text, begin, end)
        if offer is None and (note := _CLOSING_NOTE.search(text, begin, end)):
            offer = None if _STATES_ANSWER.search(text, note.start(), end) else note
        if offer is None or not text[: offer.start()].strip():
            break
        end = len(text[: offer.start()].rstrip())
    return text if end == len(text.rstrip()) else text[:end] + " " * (len(text) - end)


def _has_no_mark(text: str) -> bool:
    """Return whether a reply certainly has no marks of reasoning and no special tokens."""
    if any(sign in text for sign in ("<", "[/", "[T", "[t", "[INST", "◁", "▁", "\x08", "~~")):
        return False
    if "boxed{" in text and "\\boxed{" not in text:
        return False
    return _MAY_BE_REASONING.match(text) is None


def _to_spaces(token: re.Match[str]) -> str:
    if token[0].endswith(
        "oxed"
    ):  # a JSON decoder turns the \b of \boxed into a backspace or drops the backslash
        return r"\fbox"  # read like \boxed, and of the same length as the damaged command
    return " " * len(token[0])


def _answer_bounds(text: str) -> tuple[int, int, bool]:
    """Return the start of the answer, the start of the reasoning, and whether the reasoning is unclosed."""
    begin, open_begin = 0, -1
    if channel := _BARE_CHANNEL.match(text):
        return _bounds_between(text, channel, _BARE_FINAL_CHANNEL)
    if sentence := _REASONING_SENTENCE.match(text):
        return _bounds_between(text, sentence, _ANSWER_SENTENCE)
    for mark in _MARK.finditer(text):
        if _CLOSING_MARK.match(mark[0]):
            begin, open_begin = mark.end(), -1
        elif open_begin < 0:
            open_begin = mark.start()
    return begin, 0, open_begin >= 0


def _bounds_between(text: str, opening: re.Match[str], closing: re.Pattern[str]) -> tuple[int, int, bool]:
    marks = list(closing.finditer(text, opening.end()))
    return (marks[-1].end() if marks else 0), opening.end(), not marks
