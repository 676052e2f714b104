"""Read the option of a reply without an answer statement: a lone letter, a label, verdicts on all options, an option's text."""

from __future__ import annotations

import re

from evals.extract import statement_mood
from evals.extract.languages import FILLER_PATTERN
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.option_closing import closing_option
from evals.extract.option_closing_non_english import closing_in_other_language
from evals.extract.option_cues_non_english import closing_letter
from evals.extract.option_letters import COMMANDS, MARKS
from evals.extract.option_parser import INLINE_LABEL, LABEL, MAX_GLOSS_CHARS, OptionParser, is_denied
from evals.extract.option_verdicts import option_verdicts
from evals.extract.reading import Reading, breaks_off
from evals.extract.statements import Form
from evals.extract.visible import visible

_SINGLE_LETTER_LINE = lazy_pattern(
    r"(?:[\s*_#]*(?:the\s+|my\s+)?(?:final(?:\s+(?:decision|selection|pick|verdict|response))?|response|sol(?:ution)?|result|correct|conclusion|verdict|output|prediction|decision|selected|selection|key|a(?=:\s+[*_(]{0,3}[a-z][*_).]{0,3}$)|q(?:uestion)?\s?\d{1,2}|hmm|yes|ok(?:ay)?|alright|well|sure|boxed|tl;?dr|bottom\s+line|elimination)\b)?"
    rf"(?:</?(?:b|i|p|em|strong|u|span|div|h\d)>|[{MARKS}|—–-]|=>|->|[→⇒⟹➜➔∴]|{COMMANDS}|{FILLER_PATTERN}|(?:option|choice|letter|picture|figure|image|diagram|graph|panel|shape|pattern)\b|选项?)*+(?P<letter>[A-Za-z])(?P<close>[\s*_`~$|\"'”’»>)\]}}）】」』.。:;,!]|\\[)\]}}]|</?(?:s|br|b|i|p|em|strong|u|span|div|h\d)>)*",
    re.IGNORECASE,
)
_CLOSING_PREDICATE = lazy_pattern(
    r"\b(?:is|be|are|with|to|matching|matches|yields|(?:shown|depicted|illustrated|displayed)\s+(?:in|by))\s+(?:the\s+)?(?:option\s+)?(?:[*_$]*\((?P<bracketed>[A-Z])\)[*_$]*|[\"“](?P<quoted>[A-Z])[\"”]|\*\*(?P<bold>[A-Z])\s\([^()\n]{2,60}\)\*\*|\*\*(?P<noun>[A-Z])\*\*\s(?:option|choice|answer)|\\\(\s*\\(?:text|math)\w*\{\(?(?P<math>[A-Z])(?:[).:]+\s[^{}\n]{1,80})?\}\s*\\\))[.!]?\s*$"
)
"""As in "... so the answer must be (B)."."""
_LAST_LABEL = lazy_pattern(
    r"(?:[.!?。]\s*[*_]*(?:\(|\[\[)(?P<bracketed>[A-Z])(?:\)|\]\])|[.!?]\s+(?:[*_]*(?P<alone>[A-Z])[*_]*\.|\*\*(?P<only>[A-Z])\*\*)|(?:[→⇒⟹➜➔➡]\ufe0f?|=>|->)\s*(?:[*_]{2}\(?(?P<bold>[A-Z])\)?[*_]{2}|\((?P<arrow>[A-Z])\))|(?:(?<=[A-Za-z\d%/.]{3})|(?<=[✓✔✅✗✘❌])|(?<=[a-z]{2})|(?<=[.。]))\s(?:[→⇒⟹➜➔]|[=-]>)\s(?P<plain>[A-Z])|(?<=[a-z]{3})[*_]{0,2}:\s[*_(]{0,3}(?P<colon>[A-Z])\)?|(?:[→⇒⟹➜➔]|=>)\s(?:option|choice)\s[*_(]*(?P<named>[A-Z])\)?|\s—\s?(?P<dash>[A-Z])\.?|(?:\bFinish|\bfinal_answer|\bsubmit|\bprint)[\[(][\"']?(?P<call>[A-J])[\"']?[\])]|\{\s*\"\w{3,12}\":\s*\"(?P<field>[A-J])\"\s*\})[*_.\s]*$"
)
"""As in "So the pressure rises. (C)", "No other has pigments. C." and "E = 37.5 kJ/mol → **C**"."""
_EXCLUDES = lazy_pattern(
    r"[^.;\n]{0,200}?\s(?:is|are|would\s+be|must\s+be)\s+(?:also\s+|clearly\s+|therefore\s+)?(?:wrong|incorrect|false|impossible|ruled|eliminated|excluded|not\s+(?:right|correct|true|possible))\b",
    re.IGNORECASE,
)
_DENIES_OR_LEAVES_OPEN = lazy_pattern(
    r"[\s*_(]{0,4}[A-Z][\s*_)]{0,4}\s(?:only\s+)?(?:if|unless)\s+(?!(?:i|my)\b)|[^A-Za-z]{0,6}[A-Z]\s*(?:选?项)?(?:的)?(?:说法|描述|表述)?(?:是|为)?(?:[错误假]|不[对正成符能会])|[^A-Za-z]{0,6}[A-Z]\s*[、,和与及或]\s*[A-Z]|[^A-Za-z]{0,6}[A-Z][^A-Z\n]{0,40}(?:不选|不能选|排除|不符|有误|错误|不正确|不对|过于|并不|不太|不合适|不恰当|不妥|是否|未必|不一定)"
)
"""A first line that denies its letter, makes it conditional or names two.

As in "B不正确" ("B is incorrect"), "B if ...", "B、C都对" ("B and C are both right").
"""
_BRACKETED_END = lazy_pattern(r"\(([A-Z])\)[*_.\s]*$")
_BRACKETED = lazy_pattern(r"\([A-Z]\)")
_FOLLOWS_BRACKETED = lazy_pattern(r"\([A-Z]\),?\s(?:and|or)\s[^,.;:()\n]{0,40}$")
"""As in "the mitochondrion (A) and the nucleus "."""
_LETTER_WITH_COMMENT = lazy_pattern(
    r"[\s*_(\[\"'$]*([A-Z])[)\]*_\"'$]*,?\s*(?:(?:and\s+|but\s+)?\(?(?:not|over|rather\s+than|instead\s+of)\s+[*_(\[]*[A-Z]\b[^?\n]{0,40}"
    r"|\((?![^()\n]*\b(?:not|wrong|incorrect|false|no|maybe|perhaps|might|may|if|unless|or|but|guess)\b)[a-z][^()\n?]{8,80}\)[.\s]*"
    r"|\([\u4e00-\u9fff]{1,20}\)[.。*_\s]*|[(\[](?:(?:with\s+)?(?:confidence|probability)[:\s][^()\[\]\n]{1,20}|(?:very\s)?(?:high|medium|moderate|low)\sconfidence|~?\d{1,3}\s?%[^()\[\]\n]{0,20})[)\]][.*_\s]*"
    r"|\(?(?:(?:is\s+)?(?:my|the)\s+)?(?:final\s+answer|definitely|certainly|clearly|obviously|probably|of\s+course|naturally|undoubtedly|without\s+(?:a\s+)?doubt|hands\s+down|for\s+sure|most\s+likely|no\s+doubt|i\s+(?:think|believe|guess))\)?[.!*_\s]*)$",
    re.IGNORECASE,
)
"""As in "B, not C", "B is my final answer" and "B (probably)"."""
_MAX_TAIL_CHARS = 20_000
"""Maximum number of characters, from the end of a reply, whose lines are examined."""
_MAX_PREDICATE_CHARS = 120
_MAX_LABEL_DISTANCE = 24
"""Maximum distance of a closing label's start from the end of the reply."""
_MAX_LINE_CHARS = 60
"""Only shorter lines can be a single letter."""
_ITEM_MARK = lazy_pattern(r"\s*(?:\(?1[.)]|[-–•])\s+")
_DENIES = lazy_pattern(
    r"\b(?:not|least|less|worst|wrong|incorrect|false|except|excluded|ruled|second)\b|n['’]t\b", re.IGNORECASE
)
_ALNUM = lazy_pattern(r"[^\W_]")
_CALLS_WRONG = lazy_pattern(r"[^\n]{0,200}(?:\b(?:incorrect|wrong|false|not)\b|✗|✘|❌|错|不)", re.IGNORECASE)


def read_option_layout(text: str, parser: OptionParser) -> Reading | None:
    """Read a reply without an answer statement: a lone letter, a label, verdicts on all options, or an option's text."""
    text, unclosed = visible(text)
    if unclosed or breaks_off(text):
        return None
    if (closing := closing_option(text) or _read_closing_label(text, parser)) is not None:
        return closing
    if (closing := closing_in_other_language(text)) is not None:
        return closing
    if (chinese := closing_letter(text)) is not None:
        return Reading(text[chinese.begin], "prose", chinese.begin, chinese.end)
    lines = [line for line in re.finditer(r"[^\n]+", text[-_MAX_TAIL_CHARS:]) if _ALNUM.search(line[0])]
    offset = max(0, len(text) - _MAX_TAIL_CHARS)
    if not lines:
        return None
    if len(lines) == 1 and (letter := parser.letter_with_own_text(lines[0][0])):
        begin = offset + lines[0].start() + _position_of_letter(lines[0][0], letter)
        return Reading(letter, "whole", begin, begin + 1)
    stated = _LETTER_WITH_COMMENT.match(lines[0][0]) if len(lines) == 1 else None
    if stated and stated[1].isupper() and not parser.has_other_gloss(lines[0][0], stated[1]):
        begin = offset + lines[0].start() + stated.start(1)
        return Reading(stated[1], "whole", begin, begin + 1)
    for line in (lines[-1], lines[0]):
        item = _ITEM_MARK.match(line[0]) if len(lines) == 1 else None
        start = item.end() if item else 0
        lone_letter = len(line[0]) < _MAX_LINE_CHARS and _SINGLE_LETTER_LINE.fullmatch(line[0], start)
        if lone_letter and (lone_letter["letter"].isupper() or len(lines) == 1):
            begin = offset + line.start() + lone_letter.start("letter")
            form: Form = "whole" if len(lines) == 1 else "last line"
            return Reading(lone_letter["letter"].upper(), form, begin, begin + 1)
    return (
        _read_only_true_option(text, parser.count)
        or _read_marked_option(lines, offset, parser.count)
        or _read_text_then_letter(lines[-1], offset, parser)
        or _read_edge_label(lines, offset, parser)
        or parser.read_option_text(text)
    )


def _read_closing_label(text: str, parser: OptionParser) -> Reading | None:
    """Read the letter at the end of the last line: "So the pressure rises. (C)", "... must be (B).", "the nucleus (D)"."""
    end = len(text.rstrip())
    predicate = _CLOSING_PREDICATE.search(text, max(0, end - _MAX_PREDICATE_CHARS))
    group = str(predicate.lastgroup) if predicate else ""
    if predicate and statement_mood.mood(text, *predicate.span(group)) in ("asserted", "conditional"):
        return Reading(predicate[group], "prose", *predicate.span(group))
    line_begin = text.rfind("\n", 0, end) + 1
    tail_begin = max(line_begin, end - _MAX_LABEL_DISTANCE)
    label = _LAST_LABEL.search(text, tail_begin)
    if (
        label
        and not (label.lastgroup in ("colon", "dash") and _DENIES.search(text, line_begin))
        and len(_BRACKETED.findall(text, line_begin)) <= 1
        and statement_mood.mood(text, *label.span(str(label.lastgroup))) == "asserted"
    ):
        return Reading(label[str(label.lastgroup)], "prose", *label.span(str(label.lastgroup)))
    bracketed = _BRACKETED_END.search(text, tail_begin)
    if (
        bracketed
        and parser.follows_option_text(text[line_begin:], bracketed, offset=line_begin)
        and not is_denied(text, line_begin, bracketed.start())
        and not _FOLLOWS_BRACKETED.search(text, line_begin, bracketed.start())
        and statement_mood.mood(text, *bracketed.span(1)) == "asserted"
    ):
        return Reading(bracketed[1], "prose", *bracketed.span(1))
    return None


def _position_of_letter(line: str, letter: str) -> int:
    """Return the position of a letter that stands alone as a word; 0 if there is none."""
    word = re.search(rf"(?<![A-Za-z]){letter}(?![A-Za-z])", line)
    return word.start() if word else 0


_TEXT_THEN_LETTER = lazy_pattern(
    r"(?P<text>[^\n]{1,200}?)\s*(?:=|,?\s(?:or|i\.e\.,?|matching|namely)\s|:\s|\s\[)\s*(?:(?:option|choice|answer)\s+)?[*_(\[]{0,3}(?P<letter>(?-i:[A-Z]))[)\]*_]{0,3}[.\s]*",
    re.IGNORECASE,
)
"""As in "27/64, or option D" and "27/64 = D"."""


def _read_text_then_letter(line: re.Match[str], offset: int, parser: OptionParser) -> Reading | None:
    """Read the letter at the end of the last line, if it follows the text of its own option."""
    stated = _TEXT_THEN_LETTER.fullmatch(line[0][-2 * MAX_GLOSS_CHARS :])
    if stated is None or not parser.has_text(stated["text"], stated["letter"]):
        return None
    begin = offset + line.end() - len(line[0][-2 * MAX_GLOSS_CHARS :]) + stated.start("letter")
    return Reading(stated["letter"], "prose", begin, begin + 1)


_MARKED_LINE = lazy_pattern(
    r"\s*(?:[-*•]\s+)?(?:\*\*|__)[(\[]?[A-Z][.):\]][^*\n]*(?:\*\*|__)\s*(?:\|[^\n]*)?|[^\n]*(?:<-{1,2}|←|⟵|⬅\ufe0f?)\s*(?:this|(?:the\s)?(?:correct|right|answer))\b[^\n]{0,20}",
    re.IGNORECASE,
)
"""An option in bold type, or with an arrow from "correct"."""


def _read_marked_option(lines: list[re.Match[str]], offset: int, count: int) -> Reading | None:
    """Read the only option of a complete list that is in bold type or has an arrow."""
    starts = [len(line[0]) - len(line[0].lstrip("| ")) for line in lines]
    labels = [
        (line, label, start)
        for line, start in zip(lines, starts, strict=True)
        if (label := LABEL.match(line[0], start))
    ]
    letters = [label["bracketed"] or label["bare"] for _, label, _ in labels]
    marked = [(line, label) for line, label, start in labels if _MARKED_LINE.fullmatch(line[0], start)]
    if len(marked) != 1 or count < 3 or letters != [chr(ord("A") + i) for i in range(count)]:
        return None
    ((line, label),) = marked
    group = str(label.lastgroup)
    begin = offset + line.start() + label.start(group)
    return Reading(label[group], "mark", begin, begin + 1)


def _read_only_true_option(text: str, count: int) -> Reading | None:
    """Read a reply that assesses every option, or at least three, and calls exactly one of them true."""
    verdicts = option_verdicts(text, count)
    true_verdicts = [verdict for verdict in verdicts if verdict.is_correct]
    if len(true_verdicts) != 1 or len(verdicts) < min(3, count):
        return None
    (verdict,) = true_verdicts
    return Reading(verdict.letter, "mark", verdict.position, verdict.position + 1)


def _read_edge_label(lines: list[re.Match[str]], offset: int, parser: OptionParser) -> Reading | None:
    """Read the only letter that labels a line, if it labels the first or the last line."""
    labels = {i: label for i, line in enumerate(lines) if (label := LABEL.match(line[0]))}
    if len(lines) > 2 and parser.letter_with_own_text(lines[0][0]):  # then why each other option is wrong
        labels = {i: label for i, label in labels.items() if i == 0 or not _CALLS_WRONG.match(lines[i][0])}
    letters = {label["bracketed"] or label["bare"] for label in labels.values()}
    introduced = [i for i in labels if i and lines[i - 1][0].rstrip(" *_").endswith(":")]
    indices = [i for i in (0, len(lines) - 1, *introduced) if i in labels]
    if len(letters) != 1 or not indices:
        return None
    index = indices[0]
    if 0 < index < len(lines) - 1 and _CALLS_WRONG.match(lines[index - 1][0]):
        return None
    line = lines[0][0][:2_000]
    if len(lines) == 1 and any(
        other[1] not in letters and not parser.follows_option_text(line, other)
        for other in INLINE_LABEL.finditer(line)
    ):
        return None
    if index > 0 and _CALLS_WRONG.match(lines[index][0]):
        return None
    if index == 0 and (_EXCLUDES.match(line, labels[index].end()) or _DENIES_OR_LEAVES_OPEN.match(line)):
        return None
    if parser.has_other_gloss(lines[index][0][:MAX_GLOSS_CHARS], max(letters)):
        return None
    begin = offset + lines[index].start() + labels[index].start(str(labels[index].lastgroup))
    return Reading(letters.pop(), "whole" if index == 0 else "last line", begin, begin + 1)
