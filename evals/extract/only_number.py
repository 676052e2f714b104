"""Read the number of a reply that is a single sentence with a single number.

>>> only_number("She needs 7 cuts.").value, only_number("It is less than 7."), only_number("In 3 of 7 cases.")
('7', None, None)
"""

from __future__ import annotations

import re

from evals.extract import statement_mood
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.reading import Reading

MAX_CHARS = 120
"""Maximum length of a reply that is read."""
_NUMBER = lazy_pattern(
    r"(?<![\w.,^/\\-])\\?\$?(?P<number>[-−]?\d{1,3}(?:,\d{3})+|[-−]?\d+(?:\.\d+)?)(?![\w^/]|[.,:]\d|-\w|\s?[²³%:]|\s[-–−]\s)"
)
_DIGITS = lazy_pattern(r"\d[\d.,]*")
_OTHER_STATEMENT = lazy_pattern(
    r"\b(?:exceeds?|fails?|for\s+(?:example|instance|comparison)|not|no|never|cannot|if|or|than|least|most|between|about|approximately|around|roughly|nearly|almost|over|up\s+to|minimum|maximum|candidates?|but\s+(?:it|this|that)|violat\w+|i|we|us|let|lets|suppose|assum\w+|could|should|might|maybe|perhaps|sorry|unable|divid\w+|multipl\w+|modulo|mod|power|factors?|times|half|twice|double|triple|squared?(?!\s+(?:units?|(?:centi|milli|kilo)?met(?:er|re)s?|inch(?:es)?|feet|foot|miles?|[ckm]?m)\b)|cubed?|roots?|below|above|under|within|beyond|until|before|none|nobody|nothing|neither|hardly|differs?|reject\w*|exclud\w*|contradict\w*|wanted|begins?|started|away|bounds?|can\s+be|would|some|hundred|thousand|million|billion|dozen|percent|first|second|third|only)\b"
    r"|n['’]t\b|[<>≤≥≠≢∤≈=±*+×÷√π?？{}\n]"
    r"|\d\s+(?:\w+\s+)?(?:cases?|possibilities|options|answers|solutions?|methods|approaches|reasons|parts|scenarios|things|ways\s+to)\b"
    r"|\b(?:steps?|cases?|parts?|figures?|questions?|problems?|options?|pages?|chapters?|equations?|theorems?|tables?|days?|levels?|grades?|rows?|columns?|numbers?|class|age|year|version|base|degree|order|size|exponent|after|using|every|each)\s+\$?[-−]?\d",
    re.IGNORECASE,
)
"""Words and signs in a sentence whose number need not be the answer."""
_SENTENCE_END = lazy_pattern(r"[.!;:](?=\s+\S)")


def only_number(text: str) -> Reading | None:
    """Return the only number, as text, of a reply that is one sentence of three words or more and asserts it; else None."""
    begin = len(text) - len(text.lstrip())
    sentence = text.strip()
    if len(sentence) > MAX_CHARS or len(sentence.split()) < 3 or len(_DIGITS.findall(sentence)) != 1:
        return None
    number = _NUMBER.search(sentence)
    if number is None or _OTHER_STATEMENT.search(sentence) or _SENTENCE_END.search(sentence):
        return None
    start, end = number.span("number")
    if statement_mood.mood(sentence, start, end) != "asserted":
        return None
    return Reading(number["number"], "prose", begin + start, begin + end)
