r"""The letter that a reply states last, by the rule that accompanies the judge of `intern-s1`; frozen.

Under `intern-s1` a judge model grades MMLU-Pro, ChemBench4K and SFE; this rule gives the agreement reported beside its
verdicts, in old runs and new ones alike. `strict` reads otherwise since its version 2 (`evals.extract.choices`).

A reply is searched from its end for "ANSWER: B", `\boxed{B}`, `<answer>B</answer>`, "the answer is (B)", "B is correct",
"so B.", "I choose B", 答案是B; the last one decides. A negated, hypothetical or questioned one is none. A reply without any
is read if it is, begins or ends with nothing but a letter.
"""

from __future__ import annotations

import itertools
import re
from functools import cache

from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.tags import boxes

_WIDE = {0xFF21 + i: chr(0x41 + i) for i in range(26)} | {0xFF08: "(", 0xFF09: ")", 0xFF1A: ":", 0xFF0E: "."}
_WIDE_SEEN = lazy_pattern("[Ａ-Ｚ（）：．]")

_MARKS = r"}\s*_`~$\"'“”‘’«(\[{<（【「『,:：>#"
_COMMANDS = (
    r"\\(?:text\w*|math\w+|mbox|bf|rm|sf|boxed|fbox|underline|displaystyle|large|Large|huge|quad|[(\[{,;! ])"
)
_WORDS = (
    r"(?:the|my|our|la|le|option|options|choice|choices|letter|letters|answer|answers|statement|for|sure|definitely|certainly"
    r"|clearly|obviously|indeed|most|likely|probably|therefore|thus|hence|then|still|actually|simply|just|now|be|given|by"
    r"|in|as|follows|that|of|correct|best|right|final|only|here|is|are|it|both|either|closest|to|surely|exactly|one)\b"
)
_PREFIX = rf"(?P<prefix>(?:[{_MARKS}]|{_COMMANDS}|选项|项|选|{_WORDS})*+)"
_OPTION_WORD = lazy_pattern(r"option|choice|letter|选", re.IGNORECASE)
# What must not follow an option's letter: the rest of a word or a formula.
_STOP = (
    r"(?![A-Za-z0-9À-ɏͰ-Ͽ]|['’]\w|_[\w{\\]|[-–]\w|\.[A-Za-z]\.|/(?![A-Za-z](?![A-Za-z]))\w|\^|\([\w+-]{1,3}\)|\s*[-−–]\s*\w{1,3}\s*[-=+*/]"
    r"|[^\S\n]*(?:[=+×·≈≤≥→%∝]|<(?![/A-Za-z|!])|>(?!\s|$)|\\(?:times|cdot|approx|frac|leq?|geq?|to|rightarrow|in|sin|cos|propto)\b))"
)
_CLOSE = r"(?P<close>(?:[*_`~$\"'”’»)\]}）】」』]|\\[)\]}])*+)"
_FIRST = lazy_pattern(rf"{_PREFIX}(?P<letter>[A-Za-z]){_STOP}{_CLOSE}", re.IGNORECASE)
_NEXT = lazy_pattern(
    r"\s*+(?:,|;|/|&|、|，|\band\b|\bor\b|和|或|与|及)(?:\s*+(?:and|or|also)\b)?"
    r"(?P<prefix>(?:[\s*_`$\"'(\[{（【]|\\(?:text|mathrm|mathbf)\b|\b(?:option|choice)\b)*+)"
    rf"(?P<letter>[A-Za-z]){_STOP}{_CLOSE}",
    re.IGNORECASE,
)
_RUN = lazy_pattern(rf"{_PREFIX}(?P<run>[A-Z]{{2,10}})(?![A-Za-z0-9])")
_END = lazy_pattern(r"[^\S\n]*(?:$|\n|[.。!！;；:：,，)）]+(?=$|\s|[^\w])|</|<\||\[/|\\\\|[—–-]\s)")
_FULL_STOP = lazy_pattern(
    r"[^\S\n]*(?:$|\n|[.。!！;；](?=$|\s)|</|<\||,\s+(?:because|since|as|which|not|and\s+not)\b)",
    re.IGNORECASE,
)
_CONNECTIVE = lazy_pattern(
    r"\s+(?:because|since|as|and|or|which|for|due|based|given|so|but|while|where|according|by|both|are)\b|\s*[(（—–,:;.\-\n]",
    re.IGNORECASE,
)
_GOES_ON = lazy_pattern(r"\s+(?:because|since|as|are|both|which)\b")
_ASKED = lazy_pattern(r"[\s*_)\]}$\"']*[?？]")

_LINK = (
    r"(?:[*_\"'’”`)\]}\s]{0,6}(?:[:：=]|->|→|—|–|\s-\s)|\s+(?:is|are|was|will\s+be|would\s+be|must\s+be|should\s+be|has\s+to\s+be"
    r"|(?:seems|appears)\s+to\s+be|remains|becomes|est|es|ist|lautet)\b(?:\s+not\s+\S{1,4}\s*,?\s+but\b)?)"
)
_AFTER_ANSWER = lazy_pattern(
    rf"s?(?:_[a-z]{{1,10}})?(?:\s+(?:choice|option|letter))?(?:\s*\([^()\n]{{0,40}}\))?(?:\s+(?:to|for|of|in|among|from|here|that|we)\b[^.\n:?!]{{0,100}}?)??{_LINK}",
    re.IGNORECASE,
)
_AFTER_TAG = lazy_pattern(r"\s*[>\]]")
_AFTER_CHOICE = lazy_pattern(
    rf"s?(?:\s+(?:letter|here|from|among|for|to)\b[^.\n:?!]{{0,60}}?)??{_LINK}", re.IGNORECASE
)
_GUARD = lazy_pattern(
    r"(?:n['’]t\s+(?:think|believe|mean|say)|\b(?:if|whether|unless|suppos\w+|assum\w+|imagin\w+|doubt|not\s+(?:think|believe|mean|sure|say)|e\.g\.|for\s+example|could|might|may"
    r"|not|never|another|wrong|incorrect)|如果|假设|不)(?:\s+(?:that|if|whether))?(?:\s+(?:the|our|my|this|correct|right|best|final|only|possible|so|be))*[\s*_\"'“(]*$",
    re.IGNORECASE,
)
_BEFORE = lazy_pattern(
    r"(?P<word>[A-Za-z]+\s+|[,.:;]\s*|^\s*)?(?P<list>(?<![A-Za-z0-9_'’.+=^/-])(?P<open>[\s*_`$\"'“(\[{（]|\\(?:text|mathbf|mathrm|textbf|boxed)\b)*[A-Z]"
    r"(?:[*_`$\"'”)\]}）])*(?:\s*(?:,\s*and\b|,|&|\band\b)\s*[*_(]*[A-Z][*_)]*(?![A-Za-z]))*)[:.]?"
    r"\s*(?:is|are|must\s+be|would\s+be|should\s+be|seems|appears)\b(?:\s+(?:indeed|therefore|thus|clearly|definitely|the|my|our|only|most|likely|to|be|both|single|correct|right|best|final|appropriate|accurate|suitable))*\s+[*_]*$",
)
_FITS = lazy_pattern(
    r"[*_]*(?:(?:\s+(?:answer|option|choice|one|response|solution|match|fit)s?)?[*_]*"
    r"(?:[^\S\n]*(?:$|\n|[.。!,;:)])|\s+(?:because|since|as|and|so|based|given|according|due|which|here|among|from|to\s+th))|\s+(?:answer|option|choice)\b(?!\s*\?))",
    re.IGNORECASE,
)
_OTHER_NOUN = lazy_pattern(
    r"(?:option|choice|answer|letter|so|therefore|thus|hence|only|that|and|both|then|since|is|because|but|means|making|makes|conclude)\s*$",
    re.IGNORECASE,
)

# fmt: off
_MARKS_OF_STATEMENTS = (
    "answer", "ans", "choice", "option", "choose", "select", "pick", "opt", "go", "therefore", "thus", "hence", "so",
    "it's", "it’s", "it", "letter", "appropriate", "accurate", "suitable", "plausible", "correct", "right", "best", "réponse", "respuesta", "antwort", "\\boxed", "\\fbox",
    "答案", "正确", "选",
)
# fmt: on
_PRAISED = lazy_pattern(
    r"\b(?:correct|right|best|final|my|our|closest|likely|appropriate|accurate|suitable|answer|only|chosen|valid|nearest|remaining)[\s*_]*$",
    re.IGNORECASE,
)
_UNPRAISED = lazy_pattern(
    r"\b(?:first|second|third|another|other|each|every|next|last|which|incorrect|wrong|worst)\s*$",
    re.IGNORECASE,
)
_FURTHER = {
    "go": lazy_pattern(r"\s+with\b"),
    "opt": lazy_pattern(r"\s+for\b"),
    "it": lazy_pattern(r"\s+(?:is|must\s+be|should\s+be|has\s+to\s+be)\b", re.IGNORECASE),
}
_NEAR = 60
"""Number of characters before a mark in which the adjective of the mark stands."""
_MOST = 500
"""Number of marks examined from the end; a statement followed by as many that state nothing is not final."""
_VOID = lazy_pattern(
    r"[\s*_(\"'\[$\\{]*(?:text\{)?(?:none\b|unable\b|not\s+(?:listed|among|given|provided|available|in\s+the)|cannot\s+be\b|unknown\b|undetermined\b|n/a\b)",
    re.IGNORECASE,
)
_DENIED = lazy_pattern(
    r"\s+(?:is|are|was|were)(?:\s+(?:also|only|therefore))?(?:\s+(?:not|incorrect|wrong|false|partially|partly)\b|n['’]t)|\s+(?:does|do|can|would|could)(?:n['’]t|\s*not)\b",
    re.IGNORECASE,
)
_LAST_WORDS = lazy_pattern(r"\b(?:is|be|are|with)\s+(?:option\s+)?[*_$]*\(([A-Z])\)[*_$]*[.!]?\s*$")
# The form that our own prompts ask for, as the whole last line: nothing else needs to be examined.
_CLOSING = re.compile(r"\n?[*_\s]*(?:final\s+)?answer[*_\s]*:[*_\s(]*([A-Z])[*_)\s.]*", re.IGNORECASE)
_AFTER = dict.fromkeys(("answer", "answers", "ans", "réponse", "respuesta", "antwort"), _AFTER_ANSWER) | {
    "choice": _AFTER_CHOICE,
    "letter": _AFTER_CHOICE,
    "option": _AFTER_CHOICE,
    "答案": lazy_pattern(r"\s*(?:应该|应|就|只能)?\s*(?:是|为|选|:)"),
}
_CHINESE_BEFORE = lazy_pattern(
    r"(?:选项|选|项|答案)?\s*[(（]?(?<![A-Za-z0-9])([A-Z])[)）]?\s*(?:选?项)?(?:才)?(?:是|为)?(?:唯一|最)?$"
)
_VERB = lazy_pattern(r" (?:is|are|be|seems|appears) ")
_CONDITION = lazy_pattern(r"\bif\b[^.\n]*$", re.IGNORECASE)
_BARE_LEFT = lazy_pattern(r"(?:^|\n)[\s*_#>-]*(?:(?:my|the|final|correct)\s+)*$", re.IGNORECASE)
_BARE_RIGHT = lazy_pattern(r"\s+(?=[*_($\[]*[A-Z][*_)$\].]*\s*(?:$|\n))")
"""As in "Answer B" on a line of its own."""
_COLON = lazy_pattern(r"s?\s*[*_]*:")
_PRAISE = frozenset(("correct", "right", "best", "appropriate", "accurate", "suitable", "plausible", "正确"))
_JUDGED = frozenset(("answer", "choice", "option")) | _PRAISE
_PLACEHOLDER = "X"
"""As in 'the format "The answer is (X)"'; no benchmark has so many options."""
_NOTHING = "?"
"""A statement that no option fits."""
_WINDOW = 320
_MARGIN = 120


def letter(text: str, count: int) -> str | None:
    """Return the single letter, of the first `count`, that is stated last; None if there is none, or several."""
    if _WIDE_SEEN.search(text):
        text = text.translate(_WIDE)
    stated = _last_statement(text) or _whole(text)
    if not stated or stated == _NOTHING or max(stated) >= chr(ord("A") + count):
        return None
    return stated[0] if len(set(stated)) == 1 else None


def _last_statement(text: str) -> str:
    """Return the letters of the last statement, searching ever longer tails; empty if there is none."""
    low = text.lower()
    if len(low) != len(text):  # the one capital whose small form is longer: the dotted I of Turkish
        text = text.replace("İ", "I")
        low = text.lower()
    if closing := _CLOSING.fullmatch(text, max(text.rfind("\n", 0, len(text) - 1), len(text) - 40, 0)):
        return closing[1].upper()
    end = _LAST_WORDS.search(text, max(0, len(text.rstrip()) - 24))
    size = 384
    while True:
        start = max(0, len(text) - size)
        marks = _find_marks(low, start + _MARGIN if start else 0)
        for begin, word in marks[: -_MOST - 1 : -1]:
            if letters := _read(text, word, begin):
                return letters
        if end:
            return end[1]
        if start == 0 or len(marks) >= _MOST:
            return ""
        size *= 8


def _find_marks(low: str, start: int) -> list[tuple[int, str]]:
    """List (position, word) of all words that may begin a statement; `str.find` is faster than any pattern here."""
    marks = []
    for word in _MARKS_OF_STATEMENTS:
        at = low.find(word, start)
        while at >= 0:
            after = low[at + len(word) : at + len(word) + 1]
            if not ("a" <= after <= "z" and word.isascii()) or (word == "answer" and after == "s"):
                marks.append((at, word))
            at = low.find(word, at + len(word))
    marks.sort()
    return marks


def _read(text: str, word: str, begin: int) -> str:
    """Read the letters that one mark states; empty if none."""
    if word[0] == "\\":
        return _boxed(text, begin)
    end = begin + len(word)
    limit = min(len(text), end + _WINDOW)
    before = text[begin - 1] if begin else " "
    if before in "<[/_" and word in ("answer", "ans") and (tag := _AFTER_TAG.match(text, end, limit)):
        return "" if before == "/" else _listed(text, tag.end(), limit, strong=True, run=True)
    if before.isalnum() and before.isascii():
        return ""
    left = text[max(0, begin - _MARGIN) : begin]
    if word in _JUDGED and (letters := _looking_back(text, left, end, limit)):
        return letters
    near = max(0, len(left) - _NEAR)
    if (
        word in ("choice", "option", "letter")
        and not _PRAISED.search(left, near)
        and (_UNPRAISED.search(left, near) or _COLON.match(text, end))
    ):
        return ""
    letters = _looking_ahead(text, word, left, end, limit)
    if not letters or _GUARD.search(left):
        return ""
    if _CONDITION.search(left) and "would" in text[end : end + 20]:
        return ""
    return letters


def _looking_ahead(text: str, word: str, left: str, end: int, limit: int) -> str:
    """Read what follows a mark."""
    if word in _PRAISE:
        return ""
    if (pattern := _AFTER.get(word)) is not None:
        link = pattern.match(text, end, limit)
        if link is None and word == "answer" and _BARE_LEFT.search(left):
            link = _BARE_RIGHT.match(text, end, limit)
        if link is None:
            return ""
        if word != "option" and _VOID.match(text, link.end(), limit):
            return _NOTHING
        return _listed(text, link.end(), limit, strong=True, run=True)
    if word == "选":
        no = text.startswith(("项", "择题"), end)
        return "" if no else _listed(text, end + text.startswith("择", end), limit, strong=True, run=True)
    if (pattern := _FURTHER.get(word)) is not None:
        further = pattern.match(text, end, limit)
        return _listed(text, further.end(), limit, strong=False) if further else ""
    return _listed(text, end, limit, strong=False)


def _boxed(text: str, begin: int) -> str:
    """Read a box that holds only letters, or a letter with its option's text."""
    box = boxes(text[begin : begin + 600])
    if not box or box[0][0] != 0:
        return ""
    content = box[0][2]
    return _listed(content, 0, len(content), strong=True, run=True, closed=True)


def _listed(
    text: str, begin: int, limit: int, *, strong: bool, run: bool = False, closed: bool = False
) -> str:
    """Read "B", "(B)", "A, C and D" at `begin`; `run` allows "AC" too, weak contexts require a marked letter."""
    first = _FIRST.match(text, begin, limit)
    if first is None:
        letter_run = _RUN.match(text, begin, limit) if run else None
        return (
            letter_run["run"]
            if letter_run and _rising(letter_run["run"]) and _END.match(text, letter_run.end())
            else ""
        )
    if not _stands(text, first, strong=strong) or _ASKED.match(text, first.end()):
        return ""
    if first["letter"] == _PLACEHOLDER:
        return ""
    letters, end = first["letter"].upper(), first.end()
    while (next_letter := _NEXT.match(text, end, limit)) and _continues(text, next_letter):
        letters, end = letters + next_letter["letter"].upper(), next_letter.end()
    if "\n" in first["prefix"] and _next_label(letters[0]).search(text, end, limit):
        return ""  # a list of all options, not a choice among them
    return "" if _DENIED.match(text, end) else letters


@cache
def _next_label(name: str) -> re.Pattern[str]:
    return re.compile(rf"\n[\s*_(-]*{chr(ord(name) + 1)}[*_]*[.):]")


def _rising(run: str) -> bool:
    return all(a < b for a, b in itertools.pairwise(run))


def _stands(text: str, first: re.Match[str], *, strong: bool) -> bool:
    """Return whether a letter after an anchor is a label and not a word, an article or a symbol."""
    letter, end = first["letter"], first.end()
    ended = bool(_END.match(text, end))
    if letter.islower():
        return ended and (strong or first["prefix"].endswith("("))
    bracketed = bool(first["prefix"]) and (first["prefix"][-1] in "([{*（【" or bool(first["close"]))
    if bracketed or (ended if strong else _FULL_STOP.match(text, end)):
        return True
    if letter in "AI" and not _CONNECTIVE.match(text, end):
        return False
    return strong or (bool(_OPTION_WORD.search(first["prefix"])) and bool(_CONNECTIVE.match(text, end)))


def _continues(text: str, next_letter: re.Match[str]) -> bool:
    """Return whether a further letter belongs to the list and does not begin a clause."""
    if next_letter["letter"].islower():
        return next_letter["prefix"].endswith("(")
    if _END.match(text, next_letter.end()) or _NEXT.match(text, next_letter.end()):
        return True
    return bool(_GOES_ON.match(text, next_letter.end()))


def _looking_back(text: str, left: str, end: int, limit: int) -> str:
    """Read "option B is correct", "(B) is the best answer"; `left` ends where the anchor begins."""
    if text[end - 1] == "确":
        chosen = _CHINESE_BEFORE.search(left)
        return chosen[1] if chosen else ""
    if not _VERB.search(left[-60:]):
        return ""
    before = None if left.islower() else _BEFORE.search(left)  # it needs a capital letter
    if before is None or not _FITS.match(text, end, limit):
        return ""
    letters = re.findall(r"(?<![A-Za-z])[A-Z](?![A-Za-z])", before["list"])
    label = _LABEL.match(left, left.rfind("\n") + 1)
    if label and len(left) < _MARGIN and (label["a"] or label["b"]) not in letters:
        return ""  # "F. A and B are correct": the text of option F
    noun = before["word"]
    if noun and noun.strip().isalpha() and not _OTHER_NOUN.search(noun):
        return ""
    if letters == ["I"] and not re.search(r"\(I\)|option|choice", before[0]):
        return ""
    if _GUARD.search(left[: before.start("list")]) or re.search(
        r"(?i)\b(?:nor|neither|not)\s*\W*$", left[: before.start("list")]
    ):
        return ""
    return "".join(letters)


_LINE_ALONE = lazy_pattern(
    r"(?:[\s*_#]*(?:the\s+|my\s+)?(?:final|response|solution|result|correct|conclusion|verdict|output|prediction|selected|selection)\b)?"
    rf"(?:[{_MARKS}]|{_COMMANDS}|option\b|choice\b|选项?)*+(?P<letter>[A-Za-z])(?P<close>[\s*_`~$\"'”’»)\]}}）】」』.。:,!]|\\[)\]}}]|</s>)*",
    re.IGNORECASE,
)
_LABEL = lazy_pattern(
    r"[\s*_`\"'“#>-]*(?:(?i:option|choice)\s+)?(?:[(\[（【](?P<a>[A-Z])[)\]）】]|(?P<b>[A-Z])(?:[.)\]）。、](?=\s|\D)(?!\s?(?:coli|elegans|subtilis|melanogaster|cerevisiae|aureus|difficile|albicans|falciparum)\b)|[*_]+[.):]?(?=\s|$)|:\s|\s[-–—]\s|[^\S\n]*(?=[\u4e00-\u9fff])))",
)


def _whole(text: str) -> str:
    """Read a reply without a statement: its only line, its last line, or a label at its start."""
    lines = [line for line in text.strip().splitlines() if line.strip()]
    if not lines:
        return ""
    for line in (lines[-1], lines[0]):
        alone = _LINE_ALONE.fullmatch(line) if len(line) < 60 else None
        if alone and (alone["letter"].isupper() or len(lines) == 1):
            return alone["letter"].upper()
    labels = {(i, m["a"] or m["b"]) for i, line in enumerate(lines) if (m := _LABEL.match(line))}
    named = {name for _, name in labels}
    if len(named) != 1:
        return ""
    ends = {i for i, _ in labels}
    return named.pop() if 0 in ends or len(lines) - 1 in ends else ""
