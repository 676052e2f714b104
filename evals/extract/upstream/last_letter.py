r"""The last stated letter of a reply, by the frozen rule with which the judge of `intern-s1` is compared.

Under `intern-s1` a judge model grades MMLU-Pro, ChemBench4K, ProteinLMBench and SFE, and the judge's agreement with this
rule is reported; the rule is frozen so that the agreement is comparable between old and new runs. `strict` has used another
rule since version 2 (`evals.extract.choices`).

A reply is searched from its end for "ANSWER: B", `\boxed{B}`, `<answer>B</answer>`, "the answer is (B)", "B is correct",
"so B.", "I choose B", 答案是B ("the answer is B"); the last one counts. Negated, hypothetical and questioned statements are
ignored. A reply without an answer statement is read if its first or last line is a letter, or is labelled with one.
"""

from __future__ import annotations

import re

from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.option_letters import is_ascending, next_label_pattern
from evals.extract.tags import boxes

_FULL_WIDTH = {0xFF21 + i: 0x41 + i for i in range(26)}
_FULL_WIDTH |= str.maketrans("\uff08\uff09\uff1a\uff0e", "():.")
_FULL_WIDTH_PRESENT = lazy_pattern("[Ａ-Ｚ（）：．]")

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
# a letter followed by one of these is part of a word or formula
_NOT_A_LETTER = (
    r"(?![A-Za-z0-9À-ɏͰ-Ͽ]|['’]\w|_[\w{\\]|[-–]\w|\.[A-Za-z]\.|/(?![A-Za-z](?![A-Za-z]))\w|\^|\([\w+-]{1,3}\)|\s*[-−–]\s*\w{1,3}\s*[-=+*/]"
    r"|[^\S\n]*(?:[=+×·≈≤≥→%∝]|<(?![/A-Za-z|!])|>(?!\s|$)|\\(?:times|cdot|approx|frac|leq?|geq?|to|rightarrow|in|sin|cos|propto)\b))"
)
_CLOSING_MARKS = r"(?P<close>(?:[*_`~$\"'”’»)\]}）】」』]|\\[)\]}])*+)"
_FIRST_LETTER = lazy_pattern(rf"{_PREFIX}(?P<letter>[A-Za-z]){_NOT_A_LETTER}{_CLOSING_MARKS}", re.IGNORECASE)
_NEXT_LETTER = lazy_pattern(
    r"\s*+(?:,|;|/|&|、|，|\band\b|\bor\b|和|或|与|及)(?:\s*+(?:and|or|also)\b)?"
    r"(?P<prefix>(?:[\s*_`$\"'(\[{（【]|\\(?:text|mathrm|mathbf)\b|\b(?:option|choice)\b)*+)"
    rf"(?P<letter>[A-Za-z]){_NOT_A_LETTER}{_CLOSING_MARKS}",
    re.IGNORECASE,
)
_LETTER_RUN = lazy_pattern(rf"{_PREFIX}(?P<run>[A-Z]{{2,10}})(?![A-Za-z0-9])")
_STATEMENT_END = lazy_pattern(r"[^\S\n]*(?:$|\n|[.。!！;；:：,，)）]+(?=$|\s|[^\w])|</|<\||\[/|\\\\|[—–-]\s)")
_CLAUSE_END = lazy_pattern(
    r"[^\S\n]*(?:$|\n|[.。!！;；](?=$|\s)|</|<\||,\s+(?:because|since|as|which|not|and\s+not)\b)",
    re.IGNORECASE,
)
_CONTINUATION = lazy_pattern(
    r"\s+(?:because|since|as|and|or|which|for|due|based|given|so|but|while|where|according|by|both|are)\b|\s*[(（—–,:;.\-\n]",
    re.IGNORECASE,
)
_CLAUSE_START = lazy_pattern(r"\s+(?:because|since|as|are|both|which)\b")
_QUESTION_MARK = lazy_pattern(r"[\s*_)\]}$\"']*[?？]")

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
_NOT_ASSERTED = lazy_pattern(
    r"(?:n['’]t\s+(?:think|believe|mean|say)|\b(?:if|whether|unless|suppos\w+|assum\w+|imagin\w+|doubt|not\s+(?:think|believe|mean|sure|say)|e\.g\.|for\s+example|could|might|may"
    r"|not|never|another|wrong|incorrect)|如果|假设|不)(?:\s+(?:that|if|whether))?(?:\s+(?:the|our|my|this|correct|right|best|final|only|possible|so|be))*[\s*_\"'“(]*$",
    re.IGNORECASE,
)
_LETTERS_ARE = lazy_pattern(
    r"(?P<word>[A-Za-z]+\s+|[,.:;]\s*|^\s*)?(?P<list>(?<![A-Za-z0-9_'’.+=^/-])(?P<open>[\s*_`$\"'“(\[{（]|\\(?:text|mathbf|mathrm|textbf|boxed)\b)*[A-Z]"
    r"(?:[*_`$\"'”)\]}）])*(?:\s*(?:,\s*and\b|,|&|\band\b)\s*[*_(]*[A-Z][*_)]*(?![A-Za-z]))*)[:.]?"
    r"\s*(?:is|are|must\s+be|would\s+be|should\s+be|seems|appears)\b(?:\s+(?:indeed|therefore|thus|clearly|definitely|the|my|our|only|most|likely|to|be|both|single|correct|right|best|final|appropriate|accurate|suitable))*\s+[*_]*$"
)
_AFTER_ADJECTIVE = lazy_pattern(
    r"[*_]*(?:(?:\s+(?:answer|option|choice|one|response|solution|match|fit)s?)?[*_]*"
    r"(?:[^\S\n]*(?:$|\n|[.。!,;:)])|\s+(?:because|since|as|and|so|based|given|according|due|which|here|among|from|to\s+th))|\s+(?:answer|option|choice)\b(?!\s*\?))",
    re.IGNORECASE,
)
_MAY_PRECEDE = lazy_pattern(
    r"(?:option|choice|answer|letter|so|therefore|thus|hence|only|that|and|both|then|since|is|because|but|means|making|makes|conclude)\s*$",
    re.IGNORECASE,
)

# fmt: off
_CUE_WORDS = (
    "answer", "ans", "choice", "option", "choose", "select", "pick", "opt", "go", "therefore", "thus", "hence", "so",
    "it's", "it’s", "it", "letter", "appropriate", "accurate", "suitable", "plausible", "correct", "right", "best", "réponse", "respuesta", "antwort", "\\boxed", "\\fbox",
    "答案", "正确", "选",
)
# fmt: on
_ANSWER_QUALIFIER = lazy_pattern(
    r"\b(?:correct|right|best|final|my|our|closest|likely|appropriate|accurate|suitable|answer|only|chosen|valid|nearest|remaining)[\s*_]*$",
    re.IGNORECASE,
)
_OTHER_QUALIFIER = lazy_pattern(
    r"\b(?:first|second|third|another|other|each|every|next|last|which|incorrect|wrong|worst)\s*$",
    re.IGNORECASE,
)
_LINKS_OF_VERBS = {
    "go": lazy_pattern(r"\s+with\b"),
    "opt": lazy_pattern(r"\s+for\b"),
    "it": lazy_pattern(r"\s+(?:is|must\s+be|should\s+be|has\s+to\s+be)\b", re.IGNORECASE),
}
_NEAR_CHARS = 60
"""Maximum number of characters between a cue word and an adjective before it."""
_MAX_CUES = 500
"""Maximum number of cue words that are examined, from the end."""
_NO_OPTION_STATEMENT = lazy_pattern(
    r"[\s*_(\"'\[$\\{]*(?:text\{)?(?:none\b|unable\b|not\s+(?:listed|among|given|provided|available|in\s+the)|cannot\s+be\b|unknown\b|undetermined\b|n/a\b)",
    re.IGNORECASE,
)
_NOT_A_CHOICE = lazy_pattern(
    r"\s+(?:is|are|was|were)(?:\s+(?:also|only|therefore))?(?:\s+(?:not|incorrect|wrong|false|partially|partly)\b|n['’]t)|\s+(?:does|do|can|would|could)(?:n['’]t|\s*not)\b",
    re.IGNORECASE,
)
_CLOSING_PREDICATE = lazy_pattern(r"\b(?:is|be|are|with)\s+(?:option\s+)?[*_$]*\(([A-Z])\)[*_$]*[.!]?\s*$")
# "ANSWER: B", the form that our own prompts request
_CLOSING_LINE = re.compile(r"\n?[*_\s]*(?:final\s+)?answer[*_\s]*:[*_\s(]*([A-Z])[*_)\s.]*", re.IGNORECASE)
_LINKS = dict.fromkeys(("answer", "answers", "ans", "réponse", "respuesta", "antwort"), _AFTER_ANSWER) | {
    "choice": _AFTER_CHOICE,
    "letter": _AFTER_CHOICE,
    "option": _AFTER_CHOICE,
    "答案": lazy_pattern(r"\s*(?:应该|应|就|只能)?\s*(?:是|为|选|:)"),
}
_CHINESE_SUBJECT = lazy_pattern(
    r"(?:选项|选|项|答案)?\s*[(（]?(?<![A-Za-z0-9])([A-Z])[)）]?\s*(?:选?项)?(?:才)?(?:是|为)?(?:唯一|最)?$"
)
_VERB = lazy_pattern(r" (?:is|are|be|seems|appears) ")
_CONDITION = lazy_pattern(r"\bif\b[^.\n]*$", re.IGNORECASE)
_BARE_LEFT = lazy_pattern(r"(?:^|\n)[\s*_#>-]*(?:(?:my|the|final|correct)\s+)*$", re.IGNORECASE)
_BARE_RIGHT = lazy_pattern(r"\s+(?=[*_($\[]*[A-Z][*_)$\].]*\s*(?:$|\n))")
"""As in "Answer B" on its own line."""
_COLON = lazy_pattern(r"s?\s*[*_]*:")
_ADJECTIVES = frozenset(
    ("correct", "right", "best", "appropriate", "accurate", "suitable", "plausible", "正确")
)
_WORDS_AFTER_LETTERS = frozenset(("answer", "choice", "option")) | _ADJECTIVES
_PLACEHOLDER = "X"
"""Placeholder for a letter, as in 'the format "The answer is (X)"'; no benchmark has 24 options."""
_NO_OPTION = "?"
"""Result for a statement that no option fits."""
_WINDOW_CHARS, _CONTEXT_CHARS = 320, 120
"""Maximum numbers of characters that are examined after and before a cue word."""


def letter(text: str, count: int) -> str | None:
    """Return the last stated letter among the first `count`; None if the last statement names none or several."""
    if _FULL_WIDTH_PRESENT.search(text):
        text = text.translate(_FULL_WIDTH)
    letters = _last_statement(text) or _read_layout(text)
    if not letters or letters == _NO_OPTION or max(letters) >= chr(ord("A") + count):
        return None
    return letters[0] if len(set(letters)) == 1 else None


def _last_statement(text: str) -> str:
    """Return the letters of the last statement, searching increasingly long tails; empty if there is none."""
    lower = text.lower()
    if len(lower) != len(text):  # the Turkish dotted I is the only capital with a longer lower-case form
        text = text.replace("İ", "I")
        lower = text.lower()
    if closing := _CLOSING_LINE.fullmatch(text, max(text.rfind("\n", 0, len(text) - 1), len(text) - 40, 0)):
        return closing[1].upper()
    predicate = _CLOSING_PREDICATE.search(text, max(0, len(text.rstrip()) - 24))
    size = 384
    while True:
        start = max(0, len(text) - size)
        cues = _find_cues(lower, start + _CONTEXT_CHARS if start else 0)
        for begin, word in cues[: -_MAX_CUES - 1 : -1]:
            if letters := _read_cue(text, word, begin):
                return letters
        if predicate:
            return predicate[1]
        if start == 0 or len(cues) >= _MAX_CUES:
            return ""
        size *= 8


def _find_cues(lower: str, start: int) -> list[tuple[int, str]]:
    """Return (position, word) of all cue words; `str.find` is faster than any pattern here."""
    cues = []
    for word in _CUE_WORDS:
        position = lower.find(word, start)
        while position >= 0:
            after = lower[position + len(word) : position + len(word) + 1]
            if not ("a" <= after <= "z" and word.isascii()) or (word == "answer" and after == "s"):
                cues.append((position, word))
            position = lower.find(word, position + len(word))
    cues.sort()
    return cues


def _read_cue(text: str, word: str, begin: int) -> str:
    """Return the letters next to a cue word; empty if there are none."""
    if word[0] == "\\":
        return _read_box(text, begin)
    end = begin + len(word)
    limit = min(len(text), end + _WINDOW_CHARS)
    before = text[begin - 1] if begin else " "
    if before in "<[/_" and word in ("answer", "ans") and (tag := _AFTER_TAG.match(text, end, limit)):
        if before == "/":
            return ""
        return _parse_letters(text, tag.end(), limit, allow_unmarked=True, allow_run=True)
    if before.isalnum() and before.isascii():
        return ""
    context = text[max(0, begin - _CONTEXT_CHARS) : begin]
    if word in _WORDS_AFTER_LETTERS and (letters := _letters_before(text, context, end, limit)):
        return letters
    near_begin = max(0, len(context) - _NEAR_CHARS)
    if (
        word in ("choice", "option", "letter")
        and not _ANSWER_QUALIFIER.search(context, near_begin)
        and (_OTHER_QUALIFIER.search(context, near_begin) or _COLON.match(text, end))
    ):
        return ""
    letters = _letters_after(text, word, context, end, limit)
    if not letters or _NOT_ASSERTED.search(context):
        return ""
    if _CONDITION.search(context) and "would" in text[end : end + 20]:
        return ""
    return letters


def _letters_after(text: str, word: str, context: str, end: int, limit: int) -> str:
    if word in _ADJECTIVES:
        return ""
    if (pattern := _LINKS.get(word)) is not None:
        link = pattern.match(text, end, limit)
        if link is None and word == "answer" and _BARE_LEFT.search(context):
            link = _BARE_RIGHT.match(text, end, limit)
        if link is None:
            return ""
        if word != "option" and _NO_OPTION_STATEMENT.match(text, link.end(), limit):
            return _NO_OPTION
        return _parse_letters(text, link.end(), limit, allow_unmarked=True, allow_run=True)
    if word == "选":
        if text.startswith(("项", "择题"), end):
            return ""
        begin = end + text.startswith("择", end)
        return _parse_letters(text, begin, limit, allow_unmarked=True, allow_run=True)
    if (pattern := _LINKS_OF_VERBS.get(word)) is not None:
        link = pattern.match(text, end, limit)
        return _parse_letters(text, link.end(), limit, allow_unmarked=False) if link else ""
    return _parse_letters(text, end, limit, allow_unmarked=False)


def _read_box(text: str, begin: int) -> str:
    """Read a box with letters only, or with a letter and its option's text."""
    box = boxes(text[begin : begin + 600])
    if not box or box[0][0] != 0:
        return ""
    content = box[0][2]
    return _parse_letters(content, 0, len(content), allow_unmarked=True, allow_run=True)


def _parse_letters(
    text: str, begin: int, limit: int, *, allow_unmarked: bool, allow_run: bool = False
) -> str:
    """Return the letters at `begin` ("B", "(B)", "A, C and D"); for `allow_...` see `option_letters.parse_letters`."""
    first = _FIRST_LETTER.match(text, begin, limit)
    if first is None:
        letter_run = _LETTER_RUN.match(text, begin, limit) if allow_run else None
        if letter_run and is_ascending(letter_run["run"]) and _STATEMENT_END.match(text, letter_run.end()):
            return letter_run["run"]
        return ""
    if not _is_label(text, first, allow_unmarked=allow_unmarked) or _QUESTION_MARK.match(text, first.end()):
        return ""
    if first["letter"] == _PLACEHOLDER:
        return ""
    letters, end = first["letter"].upper(), first.end()
    while (next_letter := _NEXT_LETTER.match(text, end, limit)) and _continues_list(text, next_letter):
        letters, end = letters + next_letter["letter"].upper(), next_letter.end()
    if "\n" in first["prefix"] and next_label_pattern(letters[0]).search(text, end, limit):
        return ""  # a list of all options, not a choice among them
    return "" if _NOT_A_CHOICE.match(text, end) else letters


def _is_label(text: str, first: re.Match[str], *, allow_unmarked: bool) -> bool:
    """Return whether a letter after a cue word is a label and not a word, an article or a symbol."""
    letter, end = first["letter"], first.end()
    is_at_end = bool(_STATEMENT_END.match(text, end))
    if letter.islower():
        return is_at_end and (allow_unmarked or first["prefix"].endswith("("))
    is_marked = bool(first["prefix"]) and (first["prefix"][-1] in "([{*（【" or bool(first["close"]))
    if is_marked or (is_at_end if allow_unmarked else _CLAUSE_END.match(text, end)):
        return True
    if letter in "AI" and not _CONTINUATION.match(text, end):
        return False
    return allow_unmarked or (
        bool(_OPTION_WORD.search(first["prefix"])) and bool(_CONTINUATION.match(text, end))
    )


def _continues_list(text: str, next_letter: re.Match[str]) -> bool:
    """Return whether the next letter belongs to the list rather than to a new clause."""
    if next_letter["letter"].islower():
        return next_letter["prefix"].endswith("(")
    if _STATEMENT_END.match(text, next_letter.end()) or _NEXT_LETTER.match(text, next_letter.end()):
        return True
    return bool(_CLAUSE_START.match(text, next_letter.end()))


def _letters_before(text: str, context: str, end: int, limit: int) -> str:
    """Return the letters before a cue word: "option B is correct", "(B) is the best answer"."""
    if text[end - 1] == "确":
        chinese = _CHINESE_SUBJECT.search(context)
        return chinese[1] if chinese else ""
    if not _VERB.search(context[-60:]):
        return ""
    subject = None if context.islower() else _LETTERS_ARE.search(context)  # only a capital letter matches
    if subject is None or not _AFTER_ADJECTIVE.match(text, end, limit):
        return ""
    letters = re.findall(r"(?<![A-Za-z])[A-Z](?![A-Za-z])", subject["list"])
    label = _LABEL.match(context, context.rfind("\n") + 1)
    if label and len(context) < _CONTEXT_CHARS and (label["bracketed"] or label["bare"]) not in letters:
        return ""  # "F. A and B are correct": the text of option F
    word = subject["word"]
    if word and word.strip().isalpha() and not _MAY_PRECEDE.search(word):
        return ""
    if letters == ["I"] and not re.search(r"\(I\)|option|choice", subject[0]):
        return ""
    if _NOT_ASSERTED.search(context[: subject.start("list")]) or re.search(
        r"(?i)\b(?:nor|neither|not)\s*\W*$", context[: subject.start("list")]
    ):
        return ""
    return "".join(letters)


_SINGLE_LETTER_LINE = lazy_pattern(
    r"(?:[\s*_#]*(?:the\s+|my\s+)?(?:final|response|solution|result|correct|conclusion|verdict|output|prediction|selected|selection)\b)?"
    rf"(?:[{_MARKS}]|{_COMMANDS}|option\b|choice\b|选项?)*+(?P<letter>[A-Za-z])(?P<close>[\s*_`~$\"'”’»)\]}}）】」』.。:,!]|\\[)\]}}]|</s>)*",
    re.IGNORECASE,
)
_LABEL = lazy_pattern(
    r"[\s*_`\"'“#>-]*(?:(?i:option|choice)\s+)?(?:[(\[（【](?P<bracketed>[A-Z])[)\]）】]|(?P<bare>[A-Z])(?:[.)\]）。、](?=\s|\D)(?!\s?(?:coli|elegans|subtilis|melanogaster|cerevisiae|aureus|difficile|albicans|falciparum)\b)|[*_]+[.):]?(?=\s|$)|:\s|\s[-–—]\s|[^\S\n]*(?=[\u4e00-\u9fff])))"
)


def _read_layout(text: str) -> str:
    """Read a reply without an answer statement: a letter alone on the last or first line, or the only label of the lines."""
    lines = [line for line in text.strip().splitlines() if line.strip()]
    if not lines:
        return ""
    for line in (lines[-1], lines[0]):
        lone_letter = _SINGLE_LETTER_LINE.fullmatch(line) if len(line) < 60 else None
        if lone_letter and (lone_letter["letter"].isupper() or len(lines) == 1):
            return lone_letter["letter"].upper()
    letters = {
        i: label[str(label.lastgroup)] for i, line in enumerate(lines) if (label := _LABEL.match(line))
    }
    is_single = len(set(letters.values())) == 1
    return letters.get(0, letters.get(len(lines) - 1, "")) if is_single else ""
