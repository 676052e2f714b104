"""Cues for options in Chinese and other languages, except English."""

from __future__ import annotations

import re

from evals.extract import statement_mood
from evals.extract.languages import NON_ENGLISH_OPTION_WORDS, is_denied_or_conditional
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.letters_at_cue import OptionCueReader, is_word_start, letter_at, read_cue
from evals.extract.option_letters import parse_letters
from evals.extract.statements import CueReading, Statement

# --- Chinese ------------------------------------------------------------------------------------------------

_CHINESE_SUBJECT = lazy_pattern(
    r"(?:选项|选|项|答案)?\s*[*_]{0,2}[(（]?(?P<letters>(?<![A-Za-z0-9])[A-Z](?:\s*[、,和与及]\s*(?:选项)?[A-Z](?![A-Za-z0-9]))*)[)）]?[*_]{0,2}\s*(?:[(][^()\n]{1,20}[)])?(?:[两三四]?选?项)?(?:的)?(?:才|都|均|皆)?(?:说法|描述|表述)?(?:才|都|均|皆)?(?:是|为)?(?:唯一|最为?|更|较|比较)?$"
)
"""The letters before a predicate, as in "选项C的说法是" ("the claim of option C is")."""
_AFTER_CHOSEN = lazy_pattern(r"(?:项|择|出|选)?\s*(?:答案|选项|项)?(?:应该|应|就)?(?:是|为|:)?")


def read_chosen(text: str, begin: int, word: str) -> CueReading | None:
    """Read "故选C" ("so choose C"), "选项C" ("option C"), "选择C选项" ("choose option C")."""
    if text.startswith(("择题", "项有"), begin + 1) or text[max(0, begin - 1) : begin] in ("错", "误"):
        return None
    is_option_noun = text.startswith("项", begin + 1)
    if is_option_noun and not re.search(
        r"(?:正确|合适|佳|恰当|对|符合|确|应|优|终|符|案|是|为|题|即|故|则)的?\Z",
        text[max(0, begin - 6) : begin],
    ):
        return None
    link = _AFTER_CHOSEN.match(text, begin + 1)
    chosen = read_cue(
        text, begin, link.end() if link else begin + 1, is_strong=True, allow_unmarked=True, allow_run=True
    )
    is_open = text.endswith(("还是", "或者"), max(0, begin - 2), begin) or (
        chosen is not None and text.startswith(("还是", "或者"), chosen[1].end)
    )
    return None if is_open else chosen


_LETTER = r"[*_(\[「“\"']{0,3}(?P<letter>[A-J])[)\]」”\"'*_]{0,3}"
_CLOSING_CLAUSE = lazy_pattern(
    r"(?:^|[。,;:!\n]\s*)[*_]{0,2}(?:(?:综上(?:所述)?|总之|由此|据此|因此|所以|因而|于是|故|显然|最后|最终|那么?|用?排除法?后?|看来)\s*[,:]?\s*)*"
    r"(?:即为?|也即|也?就是|便是|是|为|应是|而是|只能是|必[为是]|答|对应于?|属于|锁定|(?:只|仅)?剩下?|留下|余下|(?:我的)?回答[是为]?:?|选项:?|我?(?:觉得|认为|猜|想)(?:应该)?[是选]?|大概就?[是选]|应该就?是"
    r"|(?:说法|描述|表述)对的[是为]|(?:最|较|更)?(?:有)?(?:接近|可能|相符|吻合|一致)的?(?:选项)?[是为]|排除后剩下?|(?<=[是即故为以此然:,上终后])|(?<=[以此然故即为]\s))"
    rf"\s*(?:选项)?\s*{_LETTER}\s*(?:选?项)?(?:\s*[(][^()\n]{{1,40}}[)])?(?:了|吧)?[。.!*_\s]*$"
    r"|(?:与|和|跟)\s*(?:选项)?\s*[*_(]{0,3}(?P<same>[A-J])[)*_]{0,3}\s*(?:选?项)?(?:的[^。,;\n]{1,8})?最?(?:接近|一致|相符|吻合|符合|匹配)[。.!*_\s]*$"
    rf"|(?:^|[。;!\n]\s*)(?:选项)?{_LETTER.replace('letter', 'right')}\s*(?:选?项)?是?(?:对|正确)的[。.\s]*$"
    rf"|^\s*{_LETTER.replace('letter', 'alone')}\s*选?项[。.\s]*$|^\s*选项:?\s*{_LETTER.replace('letter', 'labelled')}\s*(?:[(]?[\u4e00-\u9fff]{{1,20}}[)]?)?[。.\s]*$"
)
"""As in 所以C ("so C"), 只剩下C选项 ("only option C is left"), 与C一致 ("agrees with C"), at the end of a reply."""
_MAX_CLOSING_CHARS = 100


def closing_letter(text: str) -> Statement | None:
    """Return the letter with which the last clause of a Chinese reply concludes."""
    end = len(text.rstrip())
    begin = max(0, end - _MAX_CLOSING_CHARS)
    if text.isascii() or (closing := _CLOSING_CLAUSE.search(text, begin, end)) is None:
        return None
    group = str(closing.lastgroup)
    mood = statement_mood.mood(text, *closing.span(group))
    return Statement("prose", *closing.span(group)) if mood == "asserted" else None


_LABEL = lazy_pattern(r"[A-Z]\s*(?:选?项)?:\s*$")
"""A letter before the verdict on its option, as in "选项B：正确"."""
_AFTER_CORRECT = lazy_pattern(
    r"(?:题意|要求|条件)?(?:的)?(?:选项|答案|说法|项|一项|选择)?(?:应该|应|就)?\s*(?:是|为|:)\s*"
)


def read_correct(text: str, begin: int, word: str) -> CueReading | None:
    """Read "C选项正确" ("option C is correct"), "正确的是C" ("the correct one is C")."""
    context = text[max(0, begin - 24) : begin]
    if context.endswith("不") or _LABEL.search(context):
        return None
    if (subject := _read_subject(text, begin, context)) is not None:
        return subject
    link = _AFTER_CORRECT.match(text, begin + len(word))
    if link is None:
        return None
    return read_cue(text, begin, link.end(), is_strong=True, allow_unmarked=True, allow_run=True)


def read_fitting(text: str, begin: int, word: str) -> CueReading | None:
    """Read "B 选项最符合题意" ("option B fits the question best"), "最符合题意的是B" ("the one that fits it best is B")."""
    subject = _read_subject(text, begin, text[max(0, begin - 24) : begin])
    is_denied = text.endswith("不", 0, begin)
    return None if is_denied else subject or read_correct(text, begin, word)


def _read_subject(text: str, begin: int, context: str) -> CueReading | None:
    """Return the letters that are the subject of a predicate at `begin`, which `context` precedes."""
    subject = _CHINESE_SUBJECT.search(context)
    if subject is None:
        return None
    letters = "".join(filter(str.isupper, subject["letters"]))
    start = begin - len(context) + subject.start("letters")
    mood = statement_mood.mood(text, start, start)
    return letters, Statement("cue", start, start + len(subject["letters"]), mood), True


def read_should_be(text: str, begin: int, word: str) -> CueReading | None:
    """Read "应为C", "应该是C" ("it should be C"), "不对, C" ("wrong, C")."""
    link = re.compile(r"(?:[是为选]|[,，。:：\s]{1,3})?").match(text, begin + len(word))
    end = link.end() if link else begin
    letters, letters_begin, letters_end = parse_letters(text, end, end + 40, allow_unmarked=True)
    if not letters or not text[letters_begin].isupper():
        return None
    mood = statement_mood.mood(text, begin, letters_end)
    return letters, Statement("correction", letters_begin, letters_end, mood), True


_CHINESE_FITS = lazy_pattern(r"[^A-Za-z\n。;，,]{0,6}?(?:符合|正确|成立|满足|对|合适|可行|是)")


def read_only_cue(text: str, begin: int, word: str) -> CueReading | None:
    """Read "只有C符合题意" ("only C fits the question")."""
    letters, letters_begin, letters_end = parse_letters(
        text, begin + len(word), begin + 40, allow_unmarked=True
    )
    if len(letters) != 1 or not text[letters_begin].isupper() or not _CHINESE_FITS.match(text, letters_end):
        return None
    mood = statement_mood.mood(text, begin, begin)
    return letters, Statement("cue", letters_begin, letters_end, mood), True


# --- other languages ----------------------------------------------------------------------------------------

_CORRECT = lazy_pattern(
    r"(?:richtig|korrekt|правильн|верн|correct|corrett|corret|esatt|giust|bonne|juste|exact|mejor|melhor|miglior|meilleur|best|正しい|正解の|올바른|맞는)\w{0,4}[\s*_]*$",
    re.IGNORECASE,
)
"""A word for "correct" or "best", at the end of the text."""
_LINK = lazy_pattern(
    r"(?:\s+(?:correct|corrett|corret|esatt|giust|just|exact|richtig)\w{0,3})?\s*[*_]{0,2}\s*(?:[:：—–-]|(?:is|ist|est|es|è|é|lautet|будет|является|это)\b(?:\s+(?:la|le|el|il|a|die))?|は|が|은|는)",
    re.IGNORECASE,
)
"""The sign, verb or particle for "is" between the cue word and the letter."""
_CALLED_CORRECT = lazy_pattern(
    r"\s+[*_(]*(?-i:(?P<letter>[A-Z]))[*_)]*(?:\s\([^()\n]{1,60}\))?\s+(?:(?:(?:qui|que)\s+)?(?:ist|es|est|è|é|—|является)\s+(?:(?:die|la|le|el|il|a|o|однозначно)\s+)?(?:bonne\s+|única\s+)?|(?:die\s+|qui\s+)?(?=richtig|korrekt|convient|trifft\s+zu|stimmt|passt))(?:convient|trifft\s+zu|stimmt|passt|adecuad|adequad|adatt|indicad|appropri|richtig|korrekt|correct|corrett|corret|esatt|giust|bonne|exact|правильн|верн)",
    re.IGNORECASE,
)
"""As in "Antwort C ist richtig", "ist Antwort C richtig" and "La opción C es la correcta" ("option C is correct")."""

_CLOSING_LETTER = lazy_pattern(r"\s+[*_(]*(?P<letter>[A-Z])[*_)]*[.!]?\s*$")
_INTRODUCES = lazy_pattern(
    r"(?:[,:;.]|\b(?:es|é|è|est|ist|decir|seja|portanto|logo|luego|entonces|assim|quindi|dunque|donc|also|somit|daher|только|подходит|значит))\s+(?:(?:a|la|le|el|il|die|l['’])\s*)?$",
    re.IGNORECASE,
)
"""As in "portanto a letra C.", at the end of a reply."""


def read_option_in_other_language(text: str, begin: int, word: str) -> CueReading | None:
    """Read "La opción correcta es la C" and "Правильный вариант — C" ("the correct option is C")."""
    if not is_word_start(text, begin):
        return None
    if called_correct := _CALLED_CORRECT.match(text, begin + len(word), begin + len(word) + 80):
        is_asserted = not is_denied_or_conditional(text, begin)
        return letter_at(text, called_correct.start("letter"), is_strong=True) if is_asserted else None
    closing = _CLOSING_LETTER.match(text, begin + len(word), begin + len(word) + 20)
    if closing and _INTRODUCES.search(text, max(0, begin - 30), begin):
        is_asserted = not is_denied_or_conditional(text, begin)
        return letter_at(text, closing.start("letter"), is_strong=False) if is_asserted else None
    link = _LINK.match(text, begin + len(word), begin + len(word) + 60)
    if link is None or not (
        _CORRECT.search(text, max(0, begin - 30), begin)
        or _CORRECT.search(text, begin + len(word), link.end())
        or re.search(r"correct|corrett|corret|esatt|giust|exact|richtig", link[0], re.IGNORECASE)
    ):
        return None
    return read_cue(text, begin, link.end(), is_strong=True, allow_unmarked=True)


_NOUN = r"(?:antwort|aussage|option|lösung|réponse|proposition|opción|respuesta|alternativa|letra|opzione|risposta|lettera|opção|resposta|вариант|ответ|утверждение)"
_ARTICLE = r"(?:\s+(?:die|la|le|el|il|a|à|por|pour|für|per|l['’]))*"
_ADVERB = r"(?:\s+(?:also|somit|daher|demnach|damit|folglich|hier|nur|donc|quindi|portanto|dunque|только))*"
_IS_CORRECT = rf"\s+(?:ist|sind|bleibt|является|будет){_ADVERB}{_ARTICLE}(?:\s*{_NOUN})?"
_CHOOSES = rf"{_ADVERB}{_ARTICLE}(?:\s*{_NOUN})?"
_WRONG_AFTER = lazy_pattern(
    r"[)*_]{0,3}\s+(?:ist|est|es|é|è)?\s*(?:nicht|falsch|fals[ao]|faux|fausse|incorrect|errad|sbagliat|невер|не\b|no\b|non\b|là\s+sai|không)",
    re.IGNORECASE,
)
_LINK_TO_LETTER = {
    **dict.fromkeys(("richtig", "korrekt", "верным", "правильным"), lazy_pattern(_IS_CORRECT, re.IGNORECASE)),
    **dict.fromkeys(
        ("wähle", "choisis", "elijo", "escolho", "scelgo", "выбираю", "chọn"),
        lazy_pattern(_CHOOSES, re.IGNORECASE),
    ),
    **dict.fromkeys(
        ("reste", "bleibt", "queda", "resta", "остаётся", "остается"),
        lazy_pattern(
            rf"(?:\s+(?:que|plus|donc|également|also|somit|nur|noch|allein|solo|sólo|apenas|só|quindi|только))*{_ARTICLE}(?:\s*{_NOUN})?(?=\s+\(?[A-Z]\)?(?:\s+übrig|\s+als\b)?[*_]*\s*(?:[.!,]|\n|$))",
            re.IGNORECASE,
        ),
    ),
    **dict.fromkeys(
        ("solo", "sólo", "seule", "nur", "apenas", "somente", "только"),
        lazy_pattern(rf"{_ARTICLE}\s*{_NOUN}(?=\s+\(?[A-Z]\)?\s+[^\W\d_]{{3,}})", re.IGNORECASE),
    ),
    "gabarito": lazy_pattern(rf"\s*(?::|é|—|-){_ARTICLE}(?:\s*{_NOUN})?", re.IGNORECASE),
}
"""Word for "correct", "I choose", "remains", "only" or "key" -> the pattern of the text between it and the letter."""


def read_before_letter(text: str, begin: int, word: str) -> CueReading | None:
    """Read "Richtig ist also C", "Elijo la opción C" ("I choose option C"), "Gabarito: C" ("key: C")."""
    link = _LINK_TO_LETTER[word].match(text, begin + len(word), begin + len(word) + 80)
    if link is None or not is_word_start(text, begin):
        return None
    if is_denied_or_conditional(text, begin):
        return None
    reading = read_cue(text, begin, link.end(), is_strong=True, allow_unmarked=True)
    return None if reading and _WRONG_AFTER.match(text, reading[1].end) else reading


_SUBJECT_AND_PARTICLE = lazy_pattern(
    r"(?<![A-Za-z0-9])(?P<letter>[A-Z])[)*_]*\s*(?:번|の选択肢|の記述)?\s*(?:が|は|を|이|가|를|을)\s*(?:最も)?$"
)
"""As in "C가" and "Cが", a letter as the subject of a predicate."""
NEGATED_AFTER = lazy_pattern(
    r"\s*(?:이|가|은|는)?\s*아[니닌닙]|\S{0,4}지(?:\s|$|는|도)|(?:と|で)?は?(?:ない|ありません|限ら|言え)|か(?:どうか|[?？。])|なら|とすれば|の?よう[にだで]|に見え|かもしれ|처럼|일\s*수|인\s*것\s*같지만|라고\s*\S{1,3}\s*수|[^。.\n]{0,20}(?:지만|が[、,，]|けれ?ど)|[^。.\n]{0,6}[?？]"
)


def read_after_subject(text: str, begin: int, word: str) -> CueReading | None:
    """Read "C가 정답입니다" and "Cが正しい" ("C is correct")."""
    subject = _SUBJECT_AND_PARTICLE.search(text, max(0, begin - 24), begin)
    if subject is None or NEGATED_AFTER.match(text, begin + len(word)):
        return None
    if is_denied_or_conditional(text, subject.start()):
        return None
    return letter_at(text, subject.start("letter"), is_strong=True)


CUES: dict[str, OptionCueReader] = {
    "选": read_chosen,  # "choose", also in the word for "option"
    "正确": read_correct,  # "correct"
    **dict.fromkeys(("符合", "恰当", "合适", "妥当"), read_fitting),  # "fits", "is appropriate"
    # "should be" (twice), "that is wrong"
    **dict.fromkeys(("应为", "应该", "不对"), read_should_be),
    **dict.fromkeys(("只有", "唯有", "仅有"), read_only_cue),  # "only"
    **dict.fromkeys(
        (
            *NON_ENGLISH_OPTION_WORDS,
            "antwort",
            "aussage",
            "réponse",
            "respuesta",
            "risposta",
            "resposta",
            "ответ",
        ),
        read_option_in_other_language,
    ),
    **dict.fromkeys(_LINK_TO_LETTER, read_before_letter),
    **dict.fromkeys(
        ("正しい", "正解", "適切", "选び", "选択し", "정답", "맞", "옳", "선택", "고르"), read_after_subject
    ),
}
"""Cue word -> its reader."""
