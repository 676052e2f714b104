"""Read the last sentence of a reply in a language other than English and Chinese: "C ist richtig.", "Donc C.", よってC。"""

from __future__ import annotations

import re
from typing import NamedTuple

from evals.extract import statement_mood
from evals.extract.languages import is_denied_or_conditional
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.reading import Reading

_MAX_CHARS = 160
"""Maximum number of characters, from the end of a reply, that are searched."""
_LETTER = r"[*_(\"'«„“]{0,3}(?P<letter>(?-i:[A-J]))[)*_\"'»“”]{0,3}"
_START = r"(?:^|[.!?。\n]\s*|[:;]\s+)[*_]{0,2}"
_END = r"(?:\s?\([^()\n]{1,40}\))?[.!。।*_\s]*$"


class _Phrases(NamedTuple):
    """Patterns of a language's phrases, in lower case; empty if not needed."""

    so: str
    it_is: str
    noun: str
    """Article and noun before the letter."""
    is_right: str
    """What follows the letter as the subject of the sentence."""
    right_is: str
    """What precedes the letter as the predicate of the sentence."""
    ending: str = r"(?:)"
    """A suffix of the letter."""


_LANGUAGES = (
    _Phrases(
        so=r"daher|somit|damit|folglich|deshalb|demnach|(?<=,\s)also",
        it_is=r"es\s+ist|das\s+ist|ist",
        noun=r"(?:(?:nur\s+|einzig\s+)?(?:die\s+)?(?:option|antwort|aussage|möglichkeit)|nur)",
        is_right=r"(?:(?:ist\s+)?(?:somit\s+|also\s+|daher\s+)?(?:richtig|korrekt|zutreffend|die\s+(?:einzige?\s+)?(?:richtige|korrekte|beste)\s+(?:antwort|option|lösung|wahl|aussage))|trifft\s+zu|stimmt)",
        right_is=r"(?:richtig|korrekt|zutreffend)\s+ist(?:\s+(?:nur|also|somit))?",
    ),
    _Phrases(
        so=r"donc|ainsi|par\s+conséquent|finalement|d['’]où",
        it_is=r"c['’]est|il\s+s['’]agit\s+de|ce\s+sera",
        noun=r"(?:seule\s+)?(?:la\s+|l['’])?(?:réponse|option|proposition|lettre)|la",
        is_right=r"est\s+(?:donc\s+)?(?:correcte?|juste|exacte?|vraie?|la\s+(?:seule\s+)?(?:bonne|meilleure)\s+(?:réponse|option|proposition)|la\s+(?:réponse|proposition)\s+(?:correcte|exacte))",
        right_is=r"la\s+(?:bonne|meilleure)\s+(?:réponse|option|proposition)\s+est(?:\s+donc)?",
    ),
    _Phrases(
        so=r"por\s+(?:lo\s+)?tanto|entonces|luego|así|en\s+conclusión",
        it_is=r"es|se\s+trata\s+de",
        noun=r"(?:la\s+)?(?:opción|respuesta|alternativa|letra)|la",
        is_right=r"es\s+(?:por\s+(?:lo\s+)?tanto\s+)?(?:(?:la\s+)?correct[ao]|la\s+(?:única\s+|mejor\s+)?(?:respuesta|opción|alternativa)(?:\s+correcta)?)",
        right_is=r"lo\s+correcto\s+es",
    ),
    _Phrases(
        so=r"portanto|logo|assim|então",
        it_is=r"é|trata-se\s+d[ae]",
        noun=r"(?:a\s+)?(?:alternativa|opção|letra|resposta)|a",
        is_right=r"(?:é|está)\s+(?:portanto\s+)?(?:(?:a\s+)?(?:corret[ao]|cert[ao])|a\s+(?:resposta|alternativa|opção)\s+(?:correta|certa))",
        right_is=r"o\s+correto\s+é",
    ),
    _Phrases(
        so=r"quindi|dunque|pertanto|perciò",
        it_is=r"è|si\s+tratta\s+d(?:i|ella)",
        noun=r"(?:la\s+|l['’])?(?:risposta|opzione|lettera|affermazione)|la",
        is_right=r"è\s+(?:quindi\s+)?(?:(?:quella\s+|la\s+)?(?:corrett[ao]|giust[ao]|esatt[ao])|la\s+risposta\s+(?:corretta|giusta|esatta))",
        right_is=r"quella\s+(?:giusta|corretta)\s+è",
    ),
    _Phrases(
        so=r"следовательно|итак|таким\s+образом|значит|поэтому",
        it_is=r"это|ответ",
        noun=r"вариант|ответ|утверждение",
        is_right=r"(?:—|-|является|это)?\s*(?:верн(?:ый|ое|о|ым)|верен|правильн(?:ый|ое|о|ым))(?:\s+(?:ответ|вариант|ответом|вариантом))?",
        right_is=r"верно|правильно|верным\s+является|подходит",
    ),
    _Phrases(
        so=r"więc|zatem|dlatego",
        it_is=r"to",
        noun=r"odpowiedź|opcja",
        is_right=r"jest\s+(?:poprawna|prawidłowa|właściwa)",
        right_is=r"(?:poprawna|prawidłowa)\s+jest(?:\s+odpowiedź)?",
    ),
    _Phrases(
        so=r"したがって|従って|よって|ゆえに|つまり|すなわち|以上より|以上から",
        it_is=r"、",
        noun=r"选択肢|选択肢の|選択肢",
        is_right=r"を(?:选ぶ|選ぶ|选択する|選択する|选びます)|が(?:正しい|適切|正解)(?:です|である|だ)?",
        right_is=r"(?:最も)?(?:正しい|適切な|正確な|妥当な)(?:の|もの|选択肢|選択肢|記述)は、?",
        ending=r"(?:です|である|だ|となる|になる)?",
    ),
    _Phrases(
        so=r"따라서|그러므로|즉|결국|그래서",
        it_is=r",",
        noun=r"선택지|보기|옵션",
        is_right=r"번?(?:이|가)\s*(?:올바릅니다|옳습니다|맞습니다|정답입니다|적절합니다|옳다|맞다)",
        right_is=r"(?:가장\s*)?(?:옳은|맞는|올바른|적절한|정확한|알맞은)\s*(?:것|선택지|보기|답|설명)(?:은|는)",
        ending=r"번?(?:입니다|이다|다|예요)?",
    ),
    _Phrases(
        so=r"vậy|jadi|इसलिए|dolayısıyla",
        it_is=r"là|,",
        noun=r"(?:phương\s+án|opsi|pilihan|विकल्प)",
        is_right=r"(?:đúng|benar|सही\s+है|doğru(?:dur)?)",
        right_is=r"सही\s+(?:विकल्प|उत्तर)|doğru\s+(?:seçenek|cevap|yanıt|şık)|(?:a\s+)?helyes\s+válasz\s+a(?:z)?|răspunsul\s+corect\s+este|(?:η\s+)?σωστή\s+απάντηση\s+είναι\s+(?:η|το)|oikea\s+vastaus\s+on",
        ending=r"(?:\s+है|['’][dt][ıiuü]r)?",
    ),
)


def _pattern(phrases: _Phrases) -> str:
    letter = rf"{_LETTER}{phrases.ending}"
    noun = rf"(?:(?:{phrases.noun})\s*)?"
    return (
        rf"(?:{_START}|,\s)(?:{phrases.so})\s*[,:]?\s*(?:(?:{phrases.it_is})\s*)?{noun}{letter}{_END}"
        rf"|{_START}(?:{phrases.it_is})\s*{noun}{letter.replace('<letter>', '<named>')}{_END}"
        rf"|{_START}(?:(?:{phrases.so})[,、]?\s*(?:ist\s+)?)?{noun}{_LETTER.replace('<letter>', '<subject>')}\s*(?:{phrases.is_right}){_END}"
        rf"|{_START}(?:(?:{phrases.so})[,、]?\s*)?(?:{phrases.right_is})\s*{noun}{letter.replace('<letter>', '<predicate>')}{_END}"
    )


_CLOSING_SENTENCES = tuple(lazy_pattern(_pattern(phrases), re.IGNORECASE) for phrases in _LANGUAGES)


def closing_in_other_language(text: str) -> Reading | None:
    """Return the option that the last sentence names."""
    end = len(text.rstrip())
    begin = max(0, end - _MAX_CHARS)
    for pattern in _CLOSING_SENTENCES:
        closing = pattern.search(text, begin, end)
        if closing is None:
            continue
        extent = closing.span(str(closing.lastgroup))
        if is_denied_or_conditional(text, extent[0]) or statement_mood.mood(text, *extent) != "asserted":
            return None
        return Reading(text[extent[0]], "prose", *extent)
    return None
