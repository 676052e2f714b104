r"""Where a reply states a molecular formula or a systematic name.

>>> stated_formula("**C9H8O4** (molar mass: **180.16 g/mol**)", str.isalnum)
'C9H8O4'
>>> stated_name("The IUPAC name of this molecule is 2-acetyloxybenzoic acid (aspirin).")
'2-acetyloxybenzoic acid'

Places, the strongest first: the kind's own tag, an answer tag, a box, a JSON field, a label or "is", bold or code, a reply
of one line. Of the strongest kind the last one stated counts. What a tag or box holds is returned even if it is neither.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator

from evals.extract.later import later
from evals.extract.tags import boxed, tagged

TAIL = 5_000
"""Without a tag, an answer is looked for in so many last characters of a reply."""
LONGEST = 2_000
_LABELS, _SPANS = 30, 30
_WRAP = later(
    r"\\(?:text|mathrm|ce|textbf|mathbf|textit|mathit|rm|boxed|emph)\s?\{((?:[^{}]|\{[^{}]{0,200}\}){0,2000})\}"
)
_FENCE = later(r"```[A-Za-z]{0,12}[ \t]*\n?")
_REMARK = later(
    r"(?<=\S)\s+\([^()\n]{0,200}(?:\([^()\n]{0,100}\)[^()\n]{0,100}){0,5}\)(?=\s*(?:$|[,.;:!。]|\n))|（[^（）\n]{0,300}）|\s\[[^\[\]\n]{0,200}\](?=\s*\.?\s*$)"
)
_OPEN = later(r"<\s*([A-Z]{4,12})\s*>\s*([^<\n]{1,2000})\Z")
_CJK = later(r"[\u3000-\u303f\u3400-\u9fff\uff01-\uff60]+")
_KIND = {
    "formula": r"(?:(?:molecular|chemical|empirical|sum|condensed)\s+)*formula|分子式|化学式",
    "name": r"(?:(?:systematic|preferred|standard)\s+)*(?:IUPAC(?:\s+name)?|named?|called)|(?:IUPAC|系统)?(?:名称|命名|名)",
}
_LABEL = {
    kind: later(
        rf"(?:\b(?:(?:final|correct|the|its|my|resulting)\s+)*(?:{noun}|answer)\b|(?<=[A-Za-z])(?:名称|命名)|{noun}|答案)"
        r"(?P<of>(?:\s+(?:of|for|in|according)\b[^.\n:：=]{0,100}?)?)[*_\"'`)\]]{0,3}\s*(?:[(（][^()（）\n]{0,60}[)）])?[*_]{0,3}\s*"
        r"(?P<mark>[:：=]|\b(?:is|was|would\s+be|should\s+be|must\s+be)\b(?:\s+(?:therefore|thus|then))?|应?(?:为|是)|(?<=named)\s|(?<=called)\s"
        + (r"|(?-i:\s(?=[*_`$\\]{0,3}[A-Z\[(][A-Za-z]?[\d(A-Z\[_₀-₉])))" if kind == "formula" else ")")
        + r"\s*[:：]?",
        re.IGNORECASE,
    )
    for kind, noun in _KIND.items()
}
_FIELD = {
    "formula": later(
        r'"(?:[a-z_ ]{0,20}formula|answer|final_answer)"\s*:\s*"([^"\n]{1,500})"', re.IGNORECASE
    ),
    "name": later(
        r'"(?:[a-z_ ]{0,20}name|iupac|answer|final_answer)"\s*:\s*"([^"\n]{1,2000})"', re.IGNORECASE
    ),
}
_OTHER_NAME = later(
    r"\b(?:common|trivial|trade|brand|generic|traditional|retained|not|other|old)\s+(?:or\s+\w+\s+)?$|俗|通用|商品",
    re.IGNORECASE,
)
_BOLD = later(
    r"\*\*([^*\n]{1,500})\*\*|(?<!`)`([^`\n]{1,500})`(?!`)|```[A-Za-z]{0,12}[ \t]*\n([^`]{1,500})```"
)
_TALK = later(
    r",\s+(?:which|or|also|commonly|not|i\.e\.|known|because|since|so|where|with|and\s+not|rather)\b|\s(?:which|because|since|also\s+(?:known|called)|rather\s+than|instead\s+of|not)\s"
    r"|\s[–—=≡]\s|\s-\s|\.(?=\s|$)|[。；\n]|;\s(?=[a-z]+\s[a-z]+\s)",
)
_START = later(
    r"(?:the|an?|as\s+follows|given|based|determined|derived|obtained|not|in|also|simply|expected|therefore)\b(?!-)\s*",
    re.IGNORECASE,
)
_PREFIX = later(
    r"^[\s*_]*(?:(?:the\s+)?(?:molecular|chemical|empirical|iupac|systematic|final|correct)?\s*(?:formula|name|answer)|分子式|化学式|名称|答案)\s*(?:\([^()]{0,40}\))?\s*[*_]{0,2}\s*(?:[:：=]|\bis\b|为|是)[*_]{0,2}\s*",
    re.IGNORECASE,
)
_TOKENS = later(r"[\s,;，；、|：:]+")
_WORDS = frozenset(
    [
        "I",
        "In",
        "No",
        "On",
        "As",
        "At",
        "He",
        "His",
        "If",
        "Of",
        "Os",
        "Ho",
        "Hf",
        "OK",
        "NO",
        "Co",
        "CO",
        "Os",
        "Be",
        "Bi",
        "Po",
        "La",
        "Ni",
        "Am",
        "U",
        "V",
        "W",
        "Y",
        "K",
    ]
)


def _peeled(text: str) -> str:
    """Take code, bold, quotes, dollars, LaTeX wrappers and a trailing stop off."""
    text = _FENCE.sub("", text[:LONGEST])
    for _ in range(6):
        before = text
        text = text.strip().strip('*`"“”「」$ ').rstrip(".。;；!")
        for left, right in ((r"\(", r"\)"), (r"\[", r"\]"), ("'", "'"), ("<", ">")):
            if text.startswith(left) and text.endswith(right) and len(text) > len(left) + len(right):
                text = text[len(left) : -len(right)]
        if whole := _WRAP.fullmatch(text):
            text = whole[1]
        if text == before:
            break
    return text


def _places(text: str, kind: str, tag: str) -> Iterator[tuple[str, bool]]:
    """Yield (what is stated, whether it must be the answer), the strongest place first."""
    for name in (tag, "answer"):
        if (said := tagged(text, name)) is not None:
            yield said, True
    if (said := _bracketed(text)) is not None:
        yield said, True
    if (opened := _OPEN.search(text.rstrip()[-TAIL:])) and opened[1] == tag:
        yield opened[2], True
    tail = text[-TAIL:]
    if (said := boxed(tail)) is not None:
        yield said, True
    for field in reversed(_FIELD[kind].findall(tail)):
        yield field, False
    for label in reversed([*_LABEL[kind].finditer(tail)][-_LABELS:]):
        if not _OTHER_NAME.search(tail[max(0, label.start() - 30) : label.start()]):
            rest = tail[label.end() : label.end() + LONGEST]
            yield rest.lstrip(" \t\r\n*_`#").partition("\n")[0], False


def _bracketed(text: str) -> str | None:
    found = re.findall(
        r"\[(?:ANSWER|ANS)\]([^\[\]\n]{1,500})\[/?(?:ANSWER|ANS)\]", text[-TAIL:], re.IGNORECASE
    )
    return found[-1] if found else None


def stated_formula(text: str, is_formula: Callable[[str], bool], tag: str = "MOLFORMULA") -> str | None:
    """Read the formula that a reply states last; `is_formula` tells whether a token is one. None: nothing is stated."""
    for said, sure in _places(text, "formula", tag):
        if (found := formula_in(said, is_formula)) is not None:
            return found
        if sure:
            return _peeled(said) or None
    tail = text[-TAIL:]
    spans = [next(filter(None, match.groups())) for match in _BOLD.finditer(tail)][-_SPANS:]
    marked = [found for span in spans if (found := formula_in(span, is_formula)) is not None]
    if marked:
        return marked[-1]
    lines = [line for line in tail.splitlines() if line.strip()]
    if len(lines) == 1 and len(text) <= TAIL:
        return formula_in(lines[0], is_formula) or _odd_formula(lines[0])
    return formula_in(lines[-1], is_formula) if lines else None


def _odd_formula(line: str) -> str | None:
    """Return a lone word with figures in it: stated as a formula, and none."""
    bare = _peeled(line)
    return bare if len(bare.split()) == 1 and re.search(r"\d", bare) else None


def formula_in(text: str, is_formula: Callable[[str], bool]) -> str | None:
    """Read the one formula of a statement: the whole of it, or its only token that is one."""
    text = _peeled(text)
    if is_formula(text):
        return text
    text = _PREFIX.sub("", _REMARK.sub("", text)).strip()
    text = re.split(r",?\s+(?:not|rather\s+than|instead\s+of)\s", text, maxsplit=1)[0]
    if is_formula(bare := _peeled(text)):
        return bare
    plain = _WRAP.sub(r" \1 ", _CJK.sub(" ", text)).replace("$", " ")
    tokens = [token for token in map(_peeled, _TOKENS.split(plain)) if token and token not in _WORDS]
    found = [token for token in tokens if (re.search(r"\d|[A-Z].*[A-Z]|[₀-₉]", token)) and is_formula(token)]
    return found[0] if len(set(found)) == 1 else None


def stated_name(text: str, tag: str = "IUPAC") -> str | None:
    """Read the systematic name that a reply states last; None: nothing is stated."""
    for said, sure in _places(text, "name", tag):
        if sure:
            return _without_label(said) or None
        if found := name_in(said):
            return found
    tail = text[-TAIL:]
    spans = [next(filter(None, match.groups())) for match in _BOLD.finditer(tail)][-_SPANS:]
    marked = [found for span in spans if not span.rstrip().endswith((":", "：")) and (found := name_in(span))]
    if marked:
        return next((one for one in reversed(marked) if re.search(r"\d", one)), marked[-1])
    lines = [line for line in tail.splitlines() if line.strip()]
    return name_in(lines[0]) if len(lines) == 1 and len(text) <= TAIL else None


def _without_label(text: str) -> str:
    """Return what a tag holds, its label and formatting off, remarks too."""
    bare = _peeled(_PREFIX.sub("", _peeled(text)))
    return _peeled(_REMARK.sub("", bare)) or bare


def name_in(text: str) -> str | None:
    """Read the name that a statement begins with; None: this is no name."""
    text = text.strip()
    if code := re.match(r"[*_ ]{0,3}`([^`\n]{1,500})`", text):
        text = code[1]
    elif bold := re.match(r"\*\*([^*\n]{1,500})\*\*", text):
        text = bold[1]
    text = _PREFIX.sub("", text)
    if _CJK.search(text):
        text = _latin_part(text)
    cut = _TALK.search(text)
    text = _peeled(_REMARK.sub("", text[: cut.start()] if cut else text))
    text = re.sub(r"^(?:therefore|thus|then|probably|likely|most\s+likely)\s+", "", text)
    if _START.match(text) or not re.search(r"[A-Za-zα-ω]{3}", text) or len(text.split()) > 12:
        return None
    return None if re.fullmatch(r"[-+\d.,\s]+\s?[A-Za-z/%°·]+", text) else text


def _latin_part(text: str) -> str:
    """Return the longest part without Chinese characters whose brackets are balanced."""
    parts = [part.strip() for part in _CJK.split(text)]
    sound = [
        part for part in parts if part.count("(") == part.count(")") and part.count("[") == part.count("]")
    ]
    return unicodedata.normalize("NFKC", max(sound, key=len, default=""))
