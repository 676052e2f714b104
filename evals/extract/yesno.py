"""Extract a stated yes or no: "Answer: probably not", 是 ("yes"), "The assertion is correct."."""

from __future__ import annotations

import re
from typing import Any

from evals.extract.formatting import half_width, strip_formatting
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.reading import REJECTED, Reading, read_answer, unless_retracted
from evals.extract.statement_mood import mood
from evals.extract.statements import Cue, CueReading, Cues, Form, Statement
from evals.extract.visible import visible

MAX_CHARS = 100_000
"""Maximum number of characters that are read, from the end of a reply."""
_MAX_WORDS = 2_000
"""Maximum number of "yes" and "no" that are examined, from the end of a reply without an answer statement."""
_HEDGE = r"(?:(?:most\s+)?(?:likely|probably|possibly|definitely|certainly|clearly|almost\s+certainly|surely|i\s+(?:think|believe|would\s+say|say)|it\s+is|that\s+is|this\s+is|it['’]s|the\s+(?:answer|statement|claim|assertion)\s+is)[,:\s]+){0,3}"
_YES_ELSEWHERE = r"ja|oui|sí|sì|sim|да|はい|네|예|vrai|verdader[oa]|verdadeir[oa]|vero|richtig|wahr|верно|正しい(?:です)?|맞습니다|맞다"
_NO_ELSEWHERE = r"nein|non|não|nee|нет|いいえ|아니요|아니오|faux|falso|falsch|неверно|正しくありません|[誤误]り(?:です)?|틀렸습니다"
"""Yes and no in languages other than English and Chinese."""
_YES = rf"yes|yep|yeah|true|correct|right|affirmative|holds|是的?|对的?|正确|有|能|可以|真|成立|会|{_YES_ELSEWHERE}"
_NO = rf"no|nope|(?:(?:very|highly|extremely|most|quite)\s)?unlikely|improbable|not|false|incorrect|wrong|untrue|negative|不是|不对|不能|不会|不正确|否|不|错误?|没有|假|不成立|{_NO_ELSEWHERE}"
_STATED = lazy_pattern(rf"\W{{0,6}}{_HEDGE}(?:(?P<no>{_NO})|(?P<yes>{_YES}))(?![\w/'’-])", re.IGNORECASE)
_STATED_CHINESE = lazy_pattern(
    r"\W{0,6}(?:(?:所以|因此|因而|故)[,，]?)?(?:(?P<no>不是|不对|不能|不会|不正确|否|不|错误?|没有|假)|(?P<yes>是的?|对的?|没错(?![^。\n]{0,80}但)|正确|真|成立))(?=[\s,，。.;；!！:：、()（）]|$)"
)
_WITHOUT_VERDICT = r"(?i)\s+(?:data|information|answer|idea|clue|conclusion|verdict)\b"
"""What lacks if "no" is not an answer."""
_ALTERNATIVES = lazy_pattern(
    r"\W{0,6}(?:yes|no|true|false|是|否)\s*(?:/|\bor\b|\band\b|或|和|\|)\s*(?:yes|no|true|false|是|否)\b",
    re.IGNORECASE,
)
_YES_OR_NO = lazy_pattern(
    r"(?<![\w/'’-])(?P<before>(?:yes|no)\s*(?:/|\bor\b|\band\b)\s*)?(?P<word>yes|no)(?![\w'’/-])"
    r"(?P<after>\s*(?:\bor\b|\band\b(?=\s(?:yes|no)\b)|[^\w\s]|\n|$))?",
    re.IGNORECASE,
)
_DENIED_WORD = lazy_pattern(
    r"[*_\"'”’]{0,4}(?:\?|\s+is\s+what\b|\s+(?:would|could|might|requires|needs|unless|(?:only\s+)?if)\b|\s+(?:is|was|would\s+be)\s+(?:wrong|incorrect|false|not\s+(?:right|correct|true))\b)",
    re.IGNORECASE,
)
_BEFORE_ANSWER = lazy_pattern(
    r"(?:^|[.!?:>{\n。：✅❌✓✗=→⇒]|\b(?:is|be|so|therefore|thus|answer|say|with)\b,?)[\s*_\"'“(\[>{$\\✅❌✓✗]*(?:text\{)?(?:(?:most\s|very\s|quite\s)?(?:likely|probably|possibly|certainly|definitely|presumably|almost\scertainly),?\s[*_]{0,2})?$",
    re.IGNORECASE,
)
_IN_ONE_CASE = lazy_pattern(
    r"(?:(?:^|[.;:!?\n]\s*)if\b(?!\s+anything)[^.;:!?\n]*,\s*(?:then\s+)?|\botherwise,?\s*)[*_]*$",
    re.IGNORECASE,
)
"""As in "if the dashed line counts, yes; otherwise, no"."""
_NOT_ASSERTED = lazy_pattern(
    r"\b(?:whether|if|does|do|did|doubt|unclear|suppose|assum\w+|unless|not|nothing|would|could|might|may)\b|n['’]t\b",
    re.IGNORECASE,
)
"""Words with which a sentence does not assert that the chart supports the statement."""
_LEFT_OPEN = lazy_pattern(
    r"\b(?:whether|unclear|unsure|cannot\s+(?:tell|say|confirm|determine|decide)|(?:if|unless)(?=[^,;]*$))\b|是否|能否",
    re.IGNORECASE,
)
"""As in "I cannot tell whether the statement", before "is true"."""
_CLOSING_VERDICT = lazy_pattern(
    r"(?:\b(?:is|are|seems|appears\s+to\s+be|must\s+be|holds)\s+|\A\W*|[✅❌✓✗→⇒\n]\s*[*_]*|[.!]\s+[*_]*)(?:therefore\s+|thus\s+|clearly\s+|indeed\s+|not\s+(?P<not>)){0,2}(?P<english>correct|incorrect|true|false|right|wrong|untrue|accurate|inaccurate|valid|invalid)\W*$"
    r"|\b(?:statement|claim|assertion|it|this|that)\s+(?:holds(?:\s+(?:true|up))?|(?P<fails>(?:does\s+not|doesn['’]t)\s+hold(?:\s+(?:true|up))?))\W*$"
    r"|\b(?:chart|data|graph|figure|plot)\s+(?:clearly\s+)?(?:(?:supports?|confirms?)|(?P<denies>(?:does\s+not|do\s+not|doesn['’]t|don['’]t)\s+(?:support|confirm)|contradicts?|refutes?))\s+(?:(?:the|this)\s+(?:statement|claim|assertion)|this)\W*$"
    r"|\b(?:statement|claim|assertion|it|this|that|which)\s+(?:matches|agrees\s+with|is\s+consistent\s+with|(?P<disagrees>(?:does\s+not|doesn['’]t)\s+(?:match|agree\s+with)|disagrees\s+with|contradicts|is\s+(?:not\s+consistent|inconsistent)\s+with))\s+the\s+(?:chart|data|graph|figure|plot|(?:given\s+|stated\s+)?(?:statement|claim|assertion))(?:\s(?:of|that)\s[^.\n]{1,60}|,\s+(?:which|where|as|since)\b[^.\n]{1,60})?\W*$"
    r"|\b(?:statement|claim|assertion|it|this|that)\s+is\s+(?:therefore\s+|thus\s+|clearly\s+|fully\s+)?(?:(?P<unsupported>not\s+(?:supported|confirmed|consistent)|unsupported|contradicted|refuted|inconsistent)|supported|confirmed|consistent)\s+(?:by|with)\s+(?:the\s+)?(?:chart|data|graph|figure|plot)\W*$"
    r"|(?:(?<=\?)\s+|\A\W*(?:(?:yes|no|indeed),?\s+)?)[*_]*(?:it|they|this|that)\s+(?:does|do|is|are|has|was|were)(?P<short_no>\s+not|n['’]t)?\W*$"
    r"|(?:说法|断言|陈述|结论|描述)(?:(?!是否|能否)[^,,。\n]){0,12}?(?P<mismatch>不)?(?:符合|一致|相符|吻合|符)(?:(?!无法|不能)[^,,。\n]){0,8}\W*$"
    r"|(?:图表?|数据|图中)[^,,。\n]{0,12}?与[^,,。\n]{0,6}(?:说法|断言|陈述|描述)(?P<differs>不|并不)?(?:一致|相符|吻合|符合)\W*$"
    r"|(?:图表?|数据)[^,,。\n]{0,6}?(?P<unsupporting>并?不|未)?支持(?:该|此|这一?|上述)(?:个|种)?(?:说法|断言|陈述|描述|结论)\W*$"
    r"|(?:主張|記述|説明|文)は(?:(?P<japanese_no>[誤误]り|間違い|間違って|正しく(?:ない|ありません))|正しい)[^。\n]{0,6}\W*$"
    r"|\b(?:aussage|behauptung|affirmation|afirmación|afirmação|affermazione|énoncé|enunciado|утверждение)\s+(?:n['’])?(?:(?:ist|est|es|é|è)\s+)?(?:(?P<elsewhere_no>(?:nicht|pas|no|não|non|не)\s[^.,\n]{2,20}|falsch|inkorrekt|fausse|inexacte|falsa|incorrect[ae]?|incorreta|errada|errata|sbagliata|неверно|ложно)|richtig|korrekt|wahr|correcte|vraie|exacte|correcta|verdadera|correta|verdadeira|corretta|vera|esatta|верно|истинно)\W*$"
    r"|(?:说法|断言|陈述|结论|判断|描述)(?:是|为)?(?P<chinese>不?正确|错误|不?对|真|假|不?成立)的?\W*$",
    re.IGNORECASE,
)
_DENIALS = (
    "fails",
    "denies",
    "unsupported",
    "disagrees",
    "short_no",
    "mismatch",
    "differs",
    "unsupporting",
    "japanese_no",
    "elsewhere_no",
)
"""Groups of `_CLOSING_VERDICT` that deny the statement without a verdict such as "false"."""
_FALSE_WORDS = frozenset(
    [
        "incorrect",
        "inaccurate",
        "invalid",
        "false",
        "wrong",
        "untrue",
        "不正确",
        "错误",
        "不对",
        "假",
        "不成立",
    ]
)


def _read_conclusion(text: str, begin: int) -> CueReading | None:
    """Read "Prediction: no" and "结论：否" ("conclusion: no") at the start of a line."""
    line_begin = text.rfind("\n", 0, begin) + 1
    colon = text.find(":", begin, begin + 16)
    if colon < 0 or text[line_begin:begin].strip(" *_#>-"):
        return None
    end = text.find("\n", colon)
    end = len(text) if end < 0 else end
    return None, Statement("line", colon + 1, end, mood(text, begin, end)), True


_CUES = Cues(Cue(word, _read_conclusion) for word in ("conclusion", "prediction", "结论", "判断", "预测"))


def stated_yes_no(text: str) -> Reading | None:
    """Read the yes or no that is stated as an answer; the value is a bool. "There is no base" states none.

    Without an answer line, a word counts if it begins a line, sentence or bracket, or follows "is", "so" or "therefore",
    and if punctuation or the end of the line follows (a "yes" that begins the reply may be followed by a word). "Yes or no"
    and "yes and no" are not answers.
    """
    text = half_width(text)
    reading = read_answer(text, _parse_yes_no, cues=_CUES, use_layout=False)
    visible_text = visible(text).text
    return unless_retracted(visible_text, reading if reading is not None else _read_prose(visible_text))


def _parse_yes_no(content: str, form: Form) -> Any:
    content = strip_formatting(content)
    if _ALTERNATIVES.match(content):
        return REJECTED
    stated = _STATED.match(content) or _STATED_CHINESE.match(content)
    if stated is None:
        return None
    word = (stated["no"] or stated["yes"]).lower()
    remainder = content[stated.end() :]
    if word in ("right", "negative") and remainder[:1].isspace():
        return None
    if word == "not" and (negated := _STATED.match(remainder)):
        return negated["no"] is not None
    is_determiner = _WITHOUT_VERDICT if form != "sentence" else r"\s+[a-z]"
    if word == "no" and re.match(is_determiner, remainder):
        return None  # "Conclusion: no data", "the answer is no base at all"
    return stated["no"] is None


def _read_prose(text: str) -> Reading | None:
    """Read a reply without an answer statement: its last yes or no that is an answer, or else a verdict ("It is false.")."""
    begin = max(0, len(text) - MAX_CHARS)
    text_begin = begin + len(text[begin:]) - len(text[begin:].lstrip())
    answer: Reading | None = None
    opening = _STATED_CHINESE.match(text, text_begin) or _OPENING_WORD.match(text, text_begin)
    is_denied = opening is not None and _DENIED_WORD.match(text, opening.end()) is not None
    if opening is not None and not is_denied and not _ALTERNATIVES.match(text, text_begin):
        group = "no" if opening["no"] else "yes"
        answer = Reading(group == "yes", "whole", *opening.span(group))
    for word in [*_YES_OR_NO.finditer(text, begin)][-_MAX_WORDS:]:
        if word["before"] or (word["after"] or "").strip().lower() in ("or", "and", "/"):
            continue
        is_yes = word["word"].lower() == "yes"
        start = word.start("word")
        is_answer = _BEFORE_ANSWER.search(text, max(begin, start - 40), start) if start > text_begin else True
        is_answer = is_answer or (
            text[max(begin, start - 2) : start] in (", ", " (")
            and not text[word.end("word") :].strip(" .!*_)\n")
        )
        follows_clause = (
            text[max(begin, start - 12) : start].rstrip(" *_").endswith((",", "then", "otherwise"))
        )
        if follows_clause and _IN_ONE_CASE.search(text, max(begin, start - 120), start):
            continue
        if not is_answer or not (word["after"] is not None or (is_yes and start == text_begin)):
            continue
        if not _DENIED_WORD.match(text, word.end("word")) and mood(text, start, start) == "asserted":
            answer = Reading(is_yes, "whole" if start == text_begin else "prose", start, word.end("word"))
    return answer or _read_closing_verdict(text) or _read_opening_verdict(text, text_begin)


_OPENING_VERDICT = lazy_pattern(
    r"[*_]*(?:(?:(?:the|this)\s+)?(?:given\s+)?(?:statement|claim|assertion|sentence|proposition|it|that|this)\s+(?:is|holds)|(?:that|it)['’]s)\s+[*_]*(?P<not>not\s+)?(?P<verdict>true|correct|right|accurate|false|incorrect|wrong|inaccurate)\b[*_]*\s*(?:[,;:.—–]|because|since|as\b|according\s+to|based\s+on|that\b(?![^.\n]{0,120}(?:\bnot\b|cannot|n['’]t))|\n|$)",
    re.IGNORECASE,
)


def _read_opening_verdict(text: str, text_begin: int) -> Reading | None:
    """Read "The statement is false, because ..." at the beginning of a reply."""
    opening = _OPENING_VERDICT.match(text, text_begin)
    if opening is None:
        return None
    is_yes = (opening["verdict"].lower() not in _FALSE_WORDS) == (opening["not"] is None)
    return Reading(is_yes, "prose", *opening.span("verdict"))


_OPENING_WORD = lazy_pattern(
    rf"\W{{0,6}}(?:(?P<no>false|incorrect|wrong|nope|no|not\s+(?:quite|really|exactly)|(?:absolutely|definitely|certainly|of\s+course)\s+not|n(?=\W*$)|{_NO_ELSEWHERE})|(?P<yes>true|correct|yes|yep|yeah|(?:right|indeed|exactly|absolutely|definitely|certainly|y)(?=\W*$)|{_YES_ELSEWHERE}))(?=\W*(?:$|\n|[.,;:!—–、。]))",
    re.IGNORECASE,
)


def _read_closing_verdict(text: str) -> Reading | None:
    """Read "The assertion is correct." at the end of a reply."""
    end = len(text.rstrip())
    verdict = _CLOSING_VERDICT.search(text, max(0, end - 120), end)
    if verdict is None:
        return None
    group = "english" if verdict["english"] else "chinese"
    sentence_begin = max(text.rfind(stop, 0, verdict.start()) for stop in ".!?\n。") + 1
    if _LEFT_OPEN.search(text, sentence_begin, verdict.start()):
        return None
    if verdict[group] is None:
        if text[:end].endswith("?") or _NOT_ASSERTED.search(text, sentence_begin, verdict.start()):
            return None
        is_denied = any(verdict[group] for group in _DENIALS)
        return Reading(not is_denied, "prose", *verdict.span())
    is_yes = (verdict[group].lower() not in _FALSE_WORDS) == (verdict["not"] is None)
    return Reading(is_yes, "prose", *verdict.span(group))
