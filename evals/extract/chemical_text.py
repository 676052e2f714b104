"""Parse a formula or a systematic name in a short statement; `chemical.py` finds the statement in a reply.

>>> read_name("**butan-2-ol** (sec-butanol)"), read_formula("C9H8O4 (aspirin)", str.isalnum)
('butan-2-ol', 'C9H8O4')
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from evals.extract.answer_cues import concluding_clause
from evals.extract.lazy_pattern import lazy_pattern

MAX_CHARS = 2_000
"""Maximum number of characters of a statement that are read."""
MAX_NAME_WORDS = 12
"""Maximum number of words in a systematic name."""
MAX_LINE_CHARS = 300
"""Maximum number of characters that are read outside tags and boxes, for example after a label."""
_LATEX_WRAPPER = lazy_pattern(
    r"\\(?:text|mathrm|ce|textbf|mathbf|textit|mathit|rm|boxed|emph)\s?\{((?:[^{}]|\{[^{}]{0,200}\}){0,2000})\}"
)
_FENCE = lazy_pattern(r"```[A-Za-z]{0,12}[ \t]*\n?")
_REMARK = lazy_pattern(
    r"(?<=\S)\s+\([^()\n]{0,200}(?:\([^()\n]{0,100}\)[^()\n]{0,100}){0,5}\)(?=\s*(?:$|[,.;:!。]|\n))|（[^（）\n]{0,300}）|\([^()\n]{0,200}[\u4e00-\u9fff][^()\n]{0,200}\)|\s\[[^\[\]\n]{0,200}\](?=\s*\.?\s*$)"
)
_CJK = lazy_pattern(r"[\u3000-\u30ff\u3400-\u9fff\uff01-\uff60]+")
_CLAUSE_END = lazy_pattern(
    r"\s\||,\s+(?:which|or|also|better|best|commonly|often|usually|not|i\.e|namely|known|because|since|so|where|with|and\s+not|rather)\b|\s(?:which|because|since|also\s+(?:known|called)|rather\s+than|instead\s+of|not)\s"
    r"|\s[–—=≡]\s|\s-\s|\.(?=\s|$)|[。；\n]|;\s(?=[a-z]+\s[a-z]+\s)"
)
_SENTENCE_WORDS = lazy_pattern(
    r"[<>?]|\b(?:wrong|incorrect):|\b(?:is|are|was|or|if|then|both|neither|nor|either|some|people|others|none|this|that|not|it|we|you|i|cannot|can|could|seems?|says?|would|the|lets?|let)\b",
    re.IGNORECASE,
)
_SENTENCE_START = lazy_pattern(
    r"(?:it|this|these|i|we|there|the|an?|as\s+follows|given|based|determined|derived|obtained|not|in|also|simply|expected|therefore)\b(?!-)\s*",
    re.IGNORECASE,
)
_LEADING_LABEL = lazy_pattern(
    r"^[\s*_]*(?:(?:the\s+)?(?:molecular|chemical|empirical|iupac|systematic|final|correct)?\s*(?:formula|name|answer)|iupac|分子式|化学式|名称|答案)\s*(?:\([^()]{0,40}\))?\s*[*_]{0,2}\s*(?:[:：=]|\bis\b|为|是)[*_]{0,2}\s*",
    re.IGNORECASE,
)
_SPACED_CHARGE = lazy_pattern(
    r"(?<=[A-Z\d)\]₀-₉][a-z\d)\]₀-₉])[ \u00a0\u202f](?=[*(]{0,2}\d?[-+\u2212\u2013](?:[\s*.,;:)]*$|[*.,;)]+\s))"
)
"""The space between a formula and its charge, as in "SO4 2-"."""
_CHANGED = lazy_pattern(r"\S+\s(?:minus|plus|less)\s")
"""As in "C2H6O minus one hydrogen", which states another formula."""
_ADDUCT = lazy_pattern(r"[;,]\s*\[M\s?[-+\u2212][^\n]*$")
"""The ion of a mass spectrum after a formula."""
_CLAUSE_START = lazy_pattern(
    r"(?:[;:→⇒⟹；：，。]|\s[-=]>|,?\s(?:but|whereas|i\.e\.,?|hence|thus|therefore)\b,?|(?<=[\w)\]])[.!]\s)\s*(?=\S)"
)
_CLOSING_REMARK = lazy_pattern(
    r"(?<=\S)[.!]\s{1,3}(?:good|great|done|perfect|correct|okay|ok|yes)\b[.!\s]{0,9}\Z", re.IGNORECASE
)
_RESULT = lazy_pattern(
    r"(?:^|\s)(?:(?P<verb>reads?|gives?|giving|yields?|yielding|obtain(?:ing)?|becomes?|get|leaves?|arrives?\sat|makes?\sit)|is|it['’]s)\s(?P<result>\S+(?:\s\S+){0,2})$"
)
_CALLED_ANSWER = lazy_pattern(
    r"[\s*_]*(?:(?:so|thus|hence|therefore),?\s)?(?P<answer>\S+(?:\s\S+){0,3}?)\s(?:is|would\sbe)\s(?:therefore\s|thus\s)?(?:the|its)\s(?!common|trivial|empirical|wrong|incorrect|old)(?:[A-Za-z]+\s){0,3}(?:name|formula)\b",
    re.IGNORECASE,
)
"""As in "2-Methylbutane is the IUPAC name"."""
_OTHER_STATEMENT = lazy_pattern(r"\b(?:contains?|lacks?|empirical|unlike)\b")
_OTHER_ROLE = lazy_pattern(
    r"\b(?:groups?|fragment|substituent|moiety|ring|chain|(?:an|cat)?ion|salt|\w+chloride|precursor|reagent|solvent|parent|isomer|by-?product)\b",
    re.IGNORECASE,
)
"""Words for a part of a molecule or for another molecule."""
_OTHER_SUBJECT = lazy_pattern(
    r"[\s*_]*(?:the|an?|our|its)\s(?:\w+\s)?(?:reactant|reagent|substrate|solvent|precursor|catalyst|starting\smaterial|by-?product)\s(?:is|was)\b[^,;:.]*[.\s]*",
    re.IGNORECASE,
)
"""As in "The reactant is", a sentence about another molecule."""
_SEPARATORS = lazy_pattern(r"[\s,;，；、|：:]+")
_AMBIGUOUS = "I In No On As At He His If Of Os Ho Hf OK NO Co CO Be Bi Po La Ni Am U V W Y K"
_AMBIGUOUS_WORDS = frozenset(_AMBIGUOUS.split())
"""Words that are also formulas or element symbols; read only if a statement contains nothing else."""


def without_formatting(text: str) -> str:
    """Remove code fences, bold, quotes, dollar signs, brackets, LaTeX wrappers, full stop and copula around a statement."""
    text = _FENCE.sub("", text[:MAX_CHARS])
    for _ in range(6):
        previous = text
        text = text.strip().strip('*`"“”「」$|✅✓✔ ').rstrip(".。;；!")
        for opening, closing in ((r"\(", r"\)"), (r"\[", r"\]"), ("'", "'"), ("<", ">")):
            if text.startswith(opening) and text.endswith(closing) and len(text) > len(opening + closing):
                text = text[len(opening) : -len(closing)]
        if wrapped := _LATEX_WRAPPER.fullmatch(text):
            text = wrapped[1]
        if text.startswith("(") and _ENCLOSED.fullmatch(text):
            text = text[1:-1]
        text = _COPULA.sub("", text)
        if text == previous:
            break
    return text


def read_formula(text: str, is_formula: Callable[[str], bool]) -> str | None:
    """Read the formula in a statement: the whole statement, or its only token that is a formula."""
    text = _SPACED_CHARGE.sub("^", without_formatting(text[:MAX_LINE_CHARS]))
    if is_formula(text):
        return text
    if _CHANGED.match(text):
        return None
    text = _ADDUCT.sub("", text)
    text = _LEADING_LABEL.sub("", _REMARK.sub("", text)).strip()
    text = re.split(
        r",?\s+(?:not|rather\s+than|instead\s+of)\s|,\s+(?:which|whereas|while|unlike)\s|[,，]\s*(?:而不是|而非|不是)",
        text,
        maxsplit=1,
    )[0]
    if is_formula(unformatted := without_formatting(text)):
        return unformatted
    if (remainder := re.split(r"[=→]", text)[-1]) != text and is_formula(
        right_side := without_formatting(remainder.rstrip("✓✔✅ "))
    ):
        return right_side
    if "\\cdot" in text:
        hydrate_tokens = _unformatted_tokens(re.sub(r"\s*\\cdot\s*", "·", text.replace("\\,", "")))
        if len(formulas := {token for token in hydrate_tokens if "·" in token and is_formula(token)}) == 1:
            return formulas.pop()
    unwrapped = _LATEX_WRAPPER.sub(r" \1 ", _CJK.sub(" ", text)).replace("$", " ")
    tokens = {*_unformatted_tokens(unwrapped)} - _AMBIGUOUS_WORDS - {""}
    formulas = {token for token in tokens if re.search(r"\d|[A-Z].*[A-Z]|[₀-₉]", token) and is_formula(token)}
    return formulas.pop() if len(formulas) == 1 else None


def _unformatted_tokens(text: str) -> list[str]:
    return [without_formatting(token) for token in _SEPARATORS.split(text)]


def formula_like_word(line: str) -> str | None:
    """Return a line that is a single word with digits, probably a malformed formula; None for any other line."""
    unformatted = without_formatting(line)
    return unformatted if len(unformatted.split()) == 1 and re.search(r"\d", unformatted) else None


def is_about_another_molecule(line: str) -> bool:
    """Return whether a line is a single clause that states the reactant, the solvent or the like."""
    return _OTHER_SUBJECT.fullmatch(line) is not None


def read_conclusion(line: str, parse: Callable[[str], str | None]) -> str | None:
    """Read the answer in the last clause of a line: "so C2H6O", "..., but it is C2H6O.", "we obtain C2H6O"; else None."""
    line = _CLOSING_REMARK.sub("", line[-MAX_CHARS:]).rstrip(" .!*")
    line = line.removesuffix(" it is")
    if (called := _CALLED_ANSWER.match(line)) and (value := parse(called["answer"])):
        return value
    clause = concluding_clause(line)
    if clause and not _OTHER_STATEMENT.search(clause) and (value := parse(clause)):
        return value
    starts = [0, *(start.end() for start in _CLAUSE_START.finditer(line))]
    clause = line[starts[-1] :][-MAX_LINE_CHARS:]
    if result := _RESULT.search(clause):
        is_other = result["verb"] is None and _OTHER_ROLE.search(clause, 0, result.start())
        return None if is_other else parse(result["result"])
    label = line[starts[-2] : starts[-1]] if len(starts) > 1 else None
    max_words = 3 if parse is read_last_name else 1
    is_part = label is not None and label.rstrip()[-1:] in ":：" and _OTHER_ROLE.search(label)
    is_answer = label is not None and len(clause.split()) <= max_words and not is_part
    return parse(clause) if is_answer else None


def without_label(text: str) -> str:
    """Return the content of a tag without its label, formatting and remarks."""
    unformatted = without_formatting(_LEADING_LABEL.sub("", without_formatting(text)))
    return without_formatting(_REMARK.sub("", unformatted)) or unformatted


def read_name(text: str) -> str | None:
    """Read the name at the start of a statement; None if there is none."""
    text = text.strip()
    if code := re.match(r"[*_ ]{0,3}`([^`\n]{1,500})`", text):
        text = code[1]
    elif bold := re.match(r"\*\*([^*\n]{1,500})\*\*", text):
        text = bold[1]
    if text.count("**") % 2:  # the opening mark precedes the statement
        text = text.partition("**")[0]
    if "\\" in text:
        text = _LATEX_WRAPPER.sub(r"\1", text)
    text = _LEADING_LABEL.sub("", text)
    if _CJK.search(text):
        remark = _REMARK.search(text)
        text = _latin_part(_REMARK.sub("", text))
        if remark and not re.search(r"[A-Za-z]{3}", text):  # a Chinese name with the English one in brackets
            text = remark[0].strip(" ()（）")
    text = _REMARK.sub("", text)
    clause_end = _CLAUSE_END.search(text)
    text = without_formatting(text[: clause_end.start()] if clause_end else text)
    text = re.sub(r"^(?:therefore|thus|then|probably|likely|most\s+likely)\s+", "", text)
    if (
        _SENTENCE_START.match(text)
        or _SENTENCE_WORDS.search(text)
        or not re.search(r"[A-Za-zα-ω]{3}", text)
        or len(text.split()) > MAX_NAME_WORDS
    ):
        return None
    text = text.replace("*", "")  # asterisks of italic locants
    return None if re.fullmatch(r"[-+]?[\d.,\s]+\s?[A-Za-z/%°·]+", text) else text


def _latin_part(text: str) -> str:
    """Return the longest part that has balanced brackets and no Chinese or Japanese characters."""
    parts = [part.strip() for part in _CJK.split(text)]
    balanced = [
        part for part in parts if part.count("(") == part.count(")") and part.count("[") == part.count("]")
    ]
    longest = unicodedata.normalize("NFKC", max(balanced, key=len, default=""))
    return longest[1:-1] if _ENCLOSED.fullmatch(longest) else longest


_COPULA = lazy_pattern(r"(?:입니다|です|である|だ)$")
"""A Korean or Japanese "is", which follows the answer."""
_ENCLOSED = lazy_pattern(r"\((?:[^()]|\([^()]*\))*\)")
"""Text in brackets, with at most one level of brackets inside."""


_SUBJECT = lazy_pattern(r"(?:(?:the|this|that)\s+(?:\w+\s+){1,3}is|it\s+is|it['’]s)\s+", re.IGNORECASE)


def read_name_line(line: str) -> str | None:
    """Read a one-line reply: a name, or a sentence whose predicate is a name ("The compound is butan-2-ol.")."""
    if conclusion := read_conclusion(line, read_last_name):
        return conclusion
    subject = _SUBJECT.match(line)
    name = read_name(line[subject.end() :] if subject else line)
    return name if name and (subject is None or _is_systematic(name)) else None


_NAME_WITHOUT_LOCANTS = lazy_pattern(
    r"(?:[a-z]{3,20}(?:\s|yl\s))?(?:[a-z]{2,30}(?:ane|ene|yne|anol|enol|diol|anal|enal|anone|enone|amine|amide|oate|nitrile|aldehyde|idine|azole|thiol|azine|oline)|[a-z]{3,30}(?:oic|ic)\sacid|[a-z]{0,20}(?:phenol|furan|acetate|chloride|bromide|iodide|acetone))",
    re.IGNORECASE,
)
_CLASS_NAMES = frozenset(
    [
        "alkane",
        "alkene",
        "alkyne",
        "alkanol",
        "alkanal",
        "alkanone",
        "cycloalkane",
        "amine",
        "amide",
        "polyene",
    ]
)


def _is_systematic(name: str) -> bool:
    """Return whether a name has locants, or the ending of a systematic name without being that of a class."""
    has_ending = _NAME_WITHOUT_LOCANTS.fullmatch(name) is not None and name.casefold() not in _CLASS_NAMES
    return re.search(r"\d", name) is not None or has_ending


def read_last_name(text: str) -> str | None:
    """Read a short systematic name, or a sentence that ends with it ("it is butan-2-ol")."""
    subject = _SUBJECT.match(text)
    name = read_name(text[subject.end() :] if subject else text)
    return name if name and _is_systematic(name) and len(name.split()) <= 3 else None
