r"""Remove formatting from an answer before it is parsed.

>>> strip_formatting(r"$\boxed{\textbf{113}}$."), strip_formatting("`Ｃ`。"), strip_formatting(r"\(\mathrm{27/64}\)")
('113', 'C', '27/64')
>>> list(shortened_answers("113, not 112"))
['113, not 112', '113']
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from evals.extract.lazy_pattern import lazy_pattern

MAX_CHARS = 2_000
"""Maximum number of characters of an answer that are kept."""
_FULL_WIDTH = {0xFF01 + i: 0x21 + i for i in range(94)}
_FULL_WIDTH |= str.maketrans("\u3000\u2212\u00a0\u202f\u2009\u2236\u2044\u2215", " -   ://")
_TRADITIONAL = "選擇項確為應該對錯綜題據結論無誤說終僅與義過總實個"
_FULL_WIDTH |= str.maketrans(_TRADITIONAL, "选择项确为应该对错综题据结论无误说终仅与义过总实个")
_FULL_WIDTH |= {  # circled and mathematical letters and digits, such as a bold or a sans-serif A
    code: letter
    for code in (*range(0x24B6, 0x24EA), *range(0x1D400, 0x1D7FF + 1))
    if (letter := unicodedata.normalize("NFKC", chr(code))).isascii()
}
_FULL_WIDTH_PRESENT = lazy_pattern(
    f"[\uff01-\uff5e\u3000\u2212\u00a0\u202f\u2009\u2236\u2044\u2215\u24b6-\u24e9\U0001d400-\U0001d7ff{_TRADITIONAL}]"
)
_INVISIBLE = lazy_pattern("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_WRAPPER_COMMAND = (
    r"\\(?:text|textbf|textit|textrm|textsf|texttt|textnormal|emph|mathrm|mathbf|mathit|mathsf|mathtt|mathbb|mathcal|mbox|hbox|boldsymbol|bm|underline"
    r"|boxed|fbox|operatorname|displaystyle|textstyle|bf|rm|it|sf|tt|large|Large|LARGE|huge|Huge|small|normalsize)\b\*?\s*"
)
_WRAPPED = lazy_pattern(rf"(?:{_WRAPPER_COMMAND})?\{{(?P<inner>.*)\}}", re.DOTALL)
_STYLE_COMMAND = lazy_pattern(
    r"\\(?:displaystyle|textstyle|bf|rm|it|sf|tt|large|Large|LARGE|huge|Huge|small|normalsize|left|right)\b\s*"
)
_COLOUR_COMMAND = lazy_pattern(r"\\(?:textcolor|colorbox|color)\s*\{[^{}]{0,40}\}\s*")
_EMPTY_BOX = lazy_pattern(r"\\(?:boxed|fbox)\s*(?:\{\s*\}|(?![\s{\w]*\w))")
_ALIGNMENT = lazy_pattern(
    r"\\(?:begin|end)\{(?:aligned|align|equation|gathered|split|center)\*?\}\s*|^\s*&|&(?==)"
)
HTML_TAG = lazy_pattern(
    r"</?(?:b|i|em|strong|u|span|p|div|mark|code|font|big|h\d|br|answer|result|solution|output)\b[^<>]{0,80}>",
    re.IGNORECASE,
)
_DELIMITER_PAIRS = (
    ("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("```", "```"), ("``", "``"), ("`", "`"), ("**", "**"), ("__", "__"), ("*", "*"),
    ('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’"), ("«", "»"), ("「", "」"), ("『", "』"), ("《", "》"), ("【", "】"), ("„", "“"),
)  # fmt: skip
_PAIRS_BY_FIRST_CHARACTER = {
    left[0]: [pair for pair in _DELIMITER_PAIRS if pair[0][0] == left[0]] for left, _ in _DELIMITER_PAIRS
}
_UNFORMATTED = re.compile(r"[A-Za-z0-9(](?:[A-Za-z0-9 ,;:()/+.°%=-]*[A-Za-z0-9)%])?")
"""Text without formatting; most options are of this form."""
_LEADING_MARKUP = lazy_pattern(
    r"(?:[\s:：*_`#≈~👉✅🎯🏆💡⭐🌟🔹🔸📌🎉✨🔑🧮📊]|>(?!\s*[-−\d.])|\\[,;:! ]|\\q?quad\b|->|=>|→|=(?!=)|\\approx\b|[-–—•]\s)+"
)
_TRAILING_MARKUP = lazy_pattern(
    r"(?:\s\||[\s*_`。．;；✓✔✅☑\ufe0f∎□■]|(?<![\d}])(?<![a-z\d]\))(?<!(?<![A-Za-z])[a-z])[!！]|\\[,;:! ]|\\\\|(?<!\.)\.|</s>)+\Z"
)
"""Marks and signs after an answer, except the exclamation mark of a factorial, as in "5!" and "(n-1)!"."""
_TRAILING_CHARACTERS = frozenset("|*_`。．.;；!！,:\\> \n\t✓✔✅☑\ufe0f∎□■")
"""The characters that can end a match of `_TRAILING_MARKUP`."""
_TRAILING_RUN = _TRAILING_CHARACTERS | frozenset("</s")
"""The characters that can occur in a match of `_TRAILING_MARKUP`, besides other white space."""
_COPULA_ENDING = lazy_pattern(r"(?:입니다|이다|예요|이에요|です|である|だ|となります)\s*[.。]?\s*\Z")
"""A Korean or Japanese "is" or "becomes", which follows the answer."""
_EXPLANATION_START = lazy_pattern(
    r"\s+(?=\((?!or\b))|(?=（)"
    r"|\s*[,;，；]\s*(?=(?:not|check|which|as|because|since|so|for|with|where|when|rather|though|although|and\s+not|and\s+hence|and\s+(?:the|this|it|so)|but|it|at|they|this|the|a|an|that|whose|since|however|from|reading|using|counting|assuming|judging|while|whereas|i|we|due|given|based|corresponding|q\.?e\.?d)\b|(?:而不是|而非|不是|因为|所以|即|而|其|这|当|此时))"
    r"|\s+(?=(?:because|since|as|which|where|rather|due|based|given|when|while|according|after|compared|versus|vs\.?|(?:up|down)\s+from|followed\s+by|from|between\s+(?:19|20)\d\d|corresponding|at\s+an?\s+angle)\b)"
    r"|(?:(?<=\byes)|(?<=\bno))[:：]\s|\s+(?:[—]+|--+)\s+|(?<![\d})$°%])\s+[-–]\s+|(?<=[\d})$°%])\s+[-–]\s+(?![\d\\$(√]|[a-z]\b)|[—；]|\s*(?:=>|⇒)\s*|\n|[.!](?=\*{0,2}\s)(?!\s(?:[=×·+/]|\\(?:cdot|times)\b))|。",
    re.IGNORECASE,
)
_BRACKETED = lazy_pattern(r"\([^(),;]{1,200}\)")
_MAX_SHORTENED, _MAX_SEARCHED_CHARS = 6, 400
"""Maximum numbers of shortened versions, and of characters that are searched for explanations."""
_MAX_LAYERS = 24
"""Maximum number of layers of formatting that are removed."""


CHINESE_LEAD_IN = lazy_pattern(r"^(?:[一总]?共|至少|最少|最多)?(?:需要?|有|要)?(?=\d)")
"""Words before a count, as in 共有3个."""


def half_width(text: str) -> str:
    """Replace full-width characters, special spaces and the traditional characters of cue words; positions are preserved."""
    if text.isascii() or not _FULL_WIDTH_PRESENT.search(text):
        return text
    return text.translate(_FULL_WIDTH)


_SUPERSCRIPT = lazy_pattern("[⁰¹²³⁴-⁹⁺⁻]+")
_PLAIN_DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_ADJACENT_NUMBERS = lazy_pattern(r"(?<=\d)(?:\\\)|\$|\*\*|`)\s+(?:\\\(|\$|\*\*|`)(?=[-−]?\d)")


def with_plain_powers(text: str) -> str:
    r"""Replace superscripts by powers in LaTeX, and separate numbers in markup of their own, as in `\(5\) \(600\)`.

    >>> with_plain_powers("10⁻² m"), with_plain_powers("$5$ $600$")
    ('10^{-2} m', '$5; 600$')
    """
    text = _SUPERSCRIPT.sub(lambda power: f"^{{{power[0].translate(_PLAIN_DIGITS)}}}", text)
    return _ADJACENT_NUMBERS.sub("; ", text)


def strip_formatting(text: str) -> str:
    r"""Remove the formatting around an answer: spaces, bold, code, quotes, dollar signs, `\text{}`, a final full stop.

    A sign such as ½ becomes 1/2.
    """
    text = text[:MAX_CHARS]
    if _UNFORMATTED.fullmatch(text):
        return text
    if not text.isascii():
        text = _FRACTION_SIGN.sub(_spell_out_fraction, _INVISIBLE.sub("", half_width(text)))
    if "<" in text:
        text = HTML_TAG.sub("", text)
    if "\\" in text:
        text = _EMPTY_BOX.sub("", _COLOUR_COMMAND.sub("", _ALIGNMENT.sub("", text)))
        text = _without_end_of_proof(text)
    for _ in range(_MAX_LAYERS):
        previous = text
        text = _strip_delimiters(text.strip())
        if text == previous:
            break
    return "-" + text[1:] if text[:1] in _DASHES and text[1:2].isdigit() else text


_FRACTION_SIGN = lazy_pattern("(?P<whole>\\d?)(?P<sign>[¼-¾⅐-⅞])")


def _spell_out_fraction(match: re.Match[str]) -> str:
    """Return "1 1/2" for "1½"."""
    fraction = unicodedata.normalize("NFKC", match["sign"]).replace("⁄", "/")
    return f"{match['whole']} {fraction}" if match["whole"] else fraction


_DASHES = ("–", "—")
_END_OF_PROOF_SIGNS = ("$\\blacksquare$", "\\blacksquare", "$\\square$", "\\qed")


def _without_end_of_proof(text: str) -> str:
    """Return an answer without a trailing end-of-proof sign."""
    text = text.rstrip()
    for sign in _END_OF_PROOF_SIGNS:
        if text.endswith(sign) and len(text) > len(sign):
            return text.removesuffix(sign)
    return text


_DISPLAY_PAIRS = (("\\[", "\\]"), ("\\(", "\\)"))


def _strip_delimiters(text: str) -> str:
    if match := _LEADING_MARKUP.match(text):
        text = text[match.end() :]
    if text[-1:] in _TRAILING_CHARACTERS:
        begin = len(text)
        while begin and (text[begin - 1] in _TRAILING_RUN or text[begin - 1].isspace()):
            begin -= 1
        if trailing := _TRAILING_MARKUP.search(text, begin):
            text = text[: trailing.start()]
    if not text.isascii():
        text = _COPULA_ENDING.sub("", text)
    for opening, closing in _PAIRS_BY_FIRST_CHARACTER.get(text[:1], ()):
        if len(text) > len(opening) + len(closing) and text.startswith(opening) and text.endswith(closing):
            inner = text[len(opening) : -len(closing)]
            if opening not in inner and closing not in inner:
                return inner
    if text[-1:] == "$" and text.count("$") == 1:
        return text[:-1]
    if text[:1] == "$" and text.count("$") == 1 and "\\" in text:
        return text[1:]
    for opening, closing in _DISPLAY_PAIRS:
        if text.endswith(closing) and opening not in text:
            return text[: -len(closing)]
    if text.endswith("}") and (match := _WRAPPED.fullmatch(text)) and _is_balanced(match["inner"]):
        return match["inner"]
    if match := _STYLE_COMMAND.match(text):
        return text[match.end() :]
    return text


def _is_balanced(text: str) -> bool:
    depth = 0
    for token in re.finditer(r"\\.|[{}]", text, re.DOTALL):
        depth += (token[0] == "{") - (token[0] == "}")
        if depth < 0:
            return False
    return depth == 0


def shortened_answers(text: str) -> Iterator[str]:
    """Yield an answer without formatting, then shorter versions without the explanation that follows.

    Answers are not split at "or", "and" or a bare comma, so that two answers are not shortened to one.
    """
    unformatted = strip_formatting(text)
    yield unformatted
    seen = {unformatted}
    if _BRACKETED.fullmatch(unformatted):
        yield unformatted[1:-1].strip()
    matches = _EXPLANATION_START.finditer(unformatted, 0, _MAX_SEARCHED_CHARS)
    ends = [match.start() for match in matches if match.start()]
    if len(ends) > _MAX_SHORTENED:
        ends = [*ends[: _MAX_SHORTENED - 1], ends[-1]]
    for end in reversed(ends):
        shortened = strip_formatting(unformatted[:end])
        if shortened and shortened not in seen:
            seen.add(shortened)
            yield shortened
