"""Phrases that introduce an answer in languages other than English and Chinese: nouns, and the words after them.

For English and Chinese, `statements.py` has more detailed patterns.
"""

from __future__ import annotations

from typing import NamedTuple

from evals.extract.lazy_pattern import lazy_pattern


class Language(NamedTuple):
    """The nouns for "answer" or "solution" in a language, and the links that may follow them, in lower case."""

    nouns: tuple[str, ...]
    link: str
    """Pattern of the verb or particle between noun and answer; a colon is always accepted."""


LANGUAGES = {
    "korean": Language(("정답", "답변", "답"), r"(?:은|는|이|안은)(?:\s*\S{1,3}(?:이|가)\s*아니라)?"),
    "japanese": Language(
        ("正解", "答え", "解答", "回答"), r"(?:は|が|为|是)(?:[^\s、。]{1,6}?ではなく[、]?)?"
    ),
    "german": Language(
        ("antwort", "lösung", "antworten"), r"\s+(?:ist|lautet|wäre|sind)\b(?:\s+(?:also|daher|somit))?"
    ),
    "french": Language(
        ("réponse", "reponse", "réponses"), r"\s+(?:est|sera|sont)\b(?:\s+(?:donc|la|le)){0,2}"
    ),
    "spanish": Language(("respuesta", "solución", "respuestas"), r"\s+(?:es|sería|son)\b(?:\s+(?:la|el))?"),
    "italian": Language(
        ("risposta", "soluzione", "risposte"), r"\s+(?:è|e'|sono)(?:\s+(?:la|il|quindi)){0,2}"
    ),
    "portuguese": Language(
        ("resposta", "solução", "respostas"), r"\s+(?:é|será|são)(?:\s+a(?=\s+(?:letra|alternativa|op)))?"
    ),
    "dutch": Language(("antwoord",), r"\s+(?:is|luidt)\b(?:\s+dus)?"),
    "polish": Language(("odpowiedź", "odpowiedz"), r"\s+(?:to|jest)\b"),
    "turkish": Language(("cevap", "yanıt"), r"\s+(?=[*_(]{0,3}[A-Z\d])"),
    "vietnamese": Language(("đáp án", "câu trả lời"), r"(?:\s+(?:đúng|chính\s+xác|cuối\s+cùng))?\s+là\b"),
    "indonesian": Language(("jawaban", "jawabannya"), r"(?:\s+yang\s+(?:benar|tepat))?\s+adalah\b"),
    "arabic": Language(("الإجابة", "الجواب"), r"(?:\s+(?:الصحيحة|الصحيح|النهائية))?\s+(?:هي|هو)\b"),
    "hindi": Language(("उत्तर",), r"\s+(?:है\s+)?(?=[*_(]{0,3}[A-Z\d])"),
    "bengali": Language(("উত্তর",), r"\s+(?:হল|হলো|হচ্ছে|হবে)(?=\s)"),
    "thai": Language(("คำตอบ",), r"(?:ที่ถูกต้อง)?\s*(?:คือ|เป็น)"),
    "swahili": Language(("jibu",), r"(?:\s+sahihi)?\s+ni\b"),
    "czech": Language(("odpověď",), r"\s+(?:je|zní)\b"),
    "swedish": Language(("svaret", "svar"), r"\s+(?:är|blir|er)\b"),
    "ukrainian": Language(("відповідь",), r"(?:\s+(?:є|це)\b|\s*[—–-])"),
    "russian": Language(("ответ", "ответом"), r"(?:\s+(?:является|это|будет)\b|\s*[—–-])"),
}
"""English name of the language -> its phrases."""

NON_ENGLISH_OPTION_WORDS = (
    "opción", "opzione", "opção", "alternativa", "вариант", "letra", "lettre", "lettera", "选択肢", "선택지",
)  # fmt: skip
"""Non-English words for "option" or "letter" whose spelling differs from the English; `half_width` has replaced 選 by 选."""

_DENIED_OR_CONDITIONAL = lazy_pattern(
    r"(?:\b(?:nicht|kein\w*|weder|noch|pas|no|não|non|ni|nem|né|не|ни|бы)\b|\bn['’])[^.;:,\n]*$"
    r"|(?:^|[.;:!\n]\s*)(?:wäre|hätte|würde|gäbe)\b[^.;:\n]*,[^.;:\n]*$"
    r"|(?:^|[.;:,\n]\s*|\b(?:aber|und|mais|et|pero|y|mas|e|ma|но|и)\s)(?:wenn|falls|sofern|si|s['’]il|se|если)\b[^.;:,\n]*,[^.;:\n]*$"
    r"|\b(?:(?:viele|manche|certains|beaucoup|algunos|muchos|molti|alcuni)\s(?:\S+\s)?(?:denk|glaub|mein|wähl|würd|croi|pens|pien|cre|dic|dir)\w*|on\s+pourrait|man\s+könnte|se\s+podría|si\s+potrebbe)\b[^.;:\n]{0,60}$"
    r"|(?:もし|仮に|만약)[^.;:。\n]*$",
)
"""The clause before an answer that denies it ("weder A noch C"), makes it conditional ("wenn ...", "si ...") or attributes it to others ("viele glauben")."""

_PARTS_OF_DENIALS = (
    "n", "wäre", "hätte", "würde", "gäbe", "weder", "pas", "не", "ни", "бы", "falls", "s", "если", "もし", "仮に", "만약",
    "viele", "manche", "beaucoup", "algunos", "muchos", "molti", "alcuni", "pourrait", "podría", "potrebbe",
)  # fmt: skip
"""Each match of `_DENIED_OR_CONDITIONAL` contains one of these, which are faster to search for."""


def is_denied_or_conditional(text: str, begin: int) -> bool:
    """Return whether the clause before an answer in a language other than English and Chinese denies it or makes it conditional."""
    context = text[max(0, begin - 120) : begin].lower()
    may_match = any(part in context for part in _PARTS_OF_DENIALS)
    return may_match and _DENIED_OR_CONDITIONAL.search(context) is not None


LANGUAGE_BY_NOUN = {noun: language for language in LANGUAGES.values() for noun in language.nouns}
"""Noun -> its language."""

FILLER_PATTERN = (
    r"(?:(?:la|le|el|il|die|der|das|a|o|l')[^\S\n]*(?=(?:letra|lettre|lettera|option|opción|opzione|opção|alternativa|buchstabe|réponse|choix)\b)"
    r"|letra|lettre|lettera|buchstabe|opción|opzione|opção|alternativa|choix|вариант|буква|선택지|보기|选択肢)"
)
"""Pattern of a word that may precede an option's letter."""
