"""Read the option that the last sentence of a reply without an answer statement names: "It is B that ...", "Not A, but B."."""

from __future__ import annotations

import re

from evals.extract import statement_mood
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.option_parser import OptionParser
from evals.extract.reading import Reading

_MAX_CHARS = 400
"""Maximum number of characters, from the end of a reply, that are searched."""
_FIGURES = "[Pp]icture|[Ff]igure|[Ii]mage|[Pp]iece|[Cc]ube|[Ss]hape|[Pp]attern|[Dd]iagram|[Gg]raph|[Pp]anel|[Nn]et|[Tt]ile|[Dd]rawing|[Pp]lot"
"""Words for options that are figures."""
_FIGURE = rf"(?:(?:{_FIGURES})\s)"
_NOUN = rf"(?:(?:[Oo]ption|[Cc]hoice|[Ss]tatement|{_FIGURES})\s)"
_OTHER = rf"{_NOUN}?[*_(]{{0,3}}[A-Z][)*_]{{0,3}}"
_LETTER = r"[*_(]{0,3}(?P<letter>[A-Z])[)*_]{0,3}"
_START = r"(?:^|(?<=[.,;:!?\n]\s)|(?<=\n)|(?<=\b[Ss]o\s))"
_END = r"[.!*_\s]*$"
_THEREFORE = r"(?:(?:[Ss]o|[Tt]hus|[Hh]ence|[Tt]herefore),?\s)?"
_BEST = "(?:best|only|correct|right|final|true|accurate|likely|probable|plausible|suitable|appropriate|reasonable|precise)"
_CLOSING_SENTENCES = tuple(
    map(
        lazy_pattern,
        (
            rf"{_START}[Nn]ot\s{_OTHER},?\sbut\s(?:rather\s)?{_NOUN}?{_LETTER}{_END}",
            rf"\b[Ii]t(?:['’]s|\sis|\smust\sbe)\s{_NOUN}?{_LETTER}\s(?:that|which)\s",
            rf"\b[Bb]etween\s{_OTHER}\sand\s{_OTHER},\s{_NOUN}?{_LETTER}\s(?:is\s(?:the\s|a\s|clearly\s|much\s)?(?:more|better|closer|stronger|likelier)\b|(?:makes\smore\ssense|fits\sbetter){_END})",
            rf"{_NOUN}{_LETTER}\sis\sthe\s(?:only\s)?one\sthat\s(?:holds|fits|works|applies|is\s(?:true|correct|right)){_END}",
            rf"{_NOUN}{_LETTER}\sstands\sout\b",
            rf"(?:{_START}|,\s)(?:[Tt]his|[Tt]hat)\sis\s{_NOUN}?{_LETTER}{_END}",
            rf"\b(?:choice|answer)\sis\s(?:(?!\b(?:not|n?either|between|[A-Z])\b)[^.;:\n]){{1,60}},\s{_NOUN}?{_LETTER}{_END}",
            rf"\b(?:[Tt]herefore|[Tt]hus|[Hh]ence|[Ss]o),?\s{_LETTER},\s[^.,;:\n]{{1,60}},\sis\s(?:the\s)?(?:most\slikely|correct|right|best|answer)\b",
            rf"\b(?:listed|given|stated|described|found|named|mentioned|appears|offered|written|shown|depicted|drawn|seen)\s(?:under|in|as|by|at)\s(?:the\s)?{_NOUN}?{_LETTER}{_END}",
            rf"{_START}{_NOUN}?{_LETTER}\s(?:must|should|has\sto|is\sto)\sbe\s(?:selected|chosen|picked|marked){_END}",
            rf"\bonly\s(?:happens|occurs|holds|works|fits|is\spossible|is\strue|is\sseen|is\sfound)\s(?:in|for|with|by)\s{_NOUN}?{_LETTER}{_END}",
            rf"{_START}(?:[Mm]ark|[Tt]ick|[Cc]ircle|[Ee]nter|[Ww]rite)\s{_NOUN}?{_LETTER}{_END}",
            rf"(?:{_START}|,\s){_NOUN}?{_LETTER}\s(?:is|was)\s(?:therefore\s|thus\s)?(?:chosen|selected|picked){_END}",
            rf"(?:{_START}|,\s){_NOUN}?{_LETTER}\sis\sthe\s(?:only\s)?one\s(?:with|whose|having)\s[^.,;\n]{{1,80}}{_END}",
            rf"{_START}{_THEREFORE}(?:[Tt]he|[Mm]y|[Oo]ur)\s(?:(?:most\s)?{_BEST}\s){{1,2}}(?:\w+\s){{0,3}}?is\s{_NOUN}?{_LETTER}{_END}",
            rf"{_START}{_THEREFORE}(?:[Tt]he|[Mm]y|[Oo]ur)\s(?:final\s)?(?:solution|result|response|verdict|conclusion|pick|winner|statement\sthat\s(?:is\s(?:true|correct|right)|holds))\sis\s{_NOUN}?{_LETTER}{_END}",
            rf"{_START}{_THEREFORE}[Ww]hat\s(?:fits|remains|works|we\s(?:need|want)|is\s(?:asked\sfor|left|needed|required))\sis\s{_NOUN}?{_LETTER}{_END}",
            rf"\bdecides?\sfor\s{_NOUN}?{_LETTER}{_END}",
            rf"\b[Ii]\s(?:clearly\s|would\s|['’]d\s)?prefer\s{_NOUN}?{_LETTER}{_END}",
            rf"{_START}{_LETTER}\sbeats\s{_OTHER}(?:\shere)?{_END}",
            rf"{_START}{_LETTER}\sgets\smy\svote{_END}",
            rf"\bconsistent\s(?:only\s)?with\s{_NOUN}?{_LETTER}{_END}",
            rf"\b(?:rules?|ruled|ruling)\sout\s(?:everything|all|all\sothers|all\soptions)\s(?:but|except)\s(?:for\s)?{_NOUN}?{_LETTER}{_END}",
            rf"{_START}{_THEREFORE}(?:[Ee]verything|[Aa]ll(?:\soptions)?)\s(?:but|except)\s(?:for\s)?{_NOUN}?{_LETTER}\s(?:can|must|is|are|has\sto)\s(?:be\s)?(?:ruled\sout|excluded|eliminated|rejected|discarded){_END}",
            rf"{_START}(?:[Ff]rom|[Aa]mong|[Bb]y|[Oo]n|[Aa]fter|[Gg]iven|[Hh]ere|[Aa]ll|[Ii]n\s(?:the\send|short|sum|total|this\scase)|[Ff]inal(?:ly|\sanswer)|[Gg]un|[Ii]f\s(?:I|we)\s(?:had|have|must))\b[^,.;:\n]{{0,60}},\s(?:then\s)?{_NOUN}?{_LETTER}{_END}",
            rf"(?:{_START}|\bbut\s|\bthat\s){_NOUN}?{_LETTER}\s(?:seems|is|looks|appears)\s(?:to\sbe\s)?(?:the\s)?most\s(?:likely|plausible|probable|reasonable|appropriate|consistent)(?:\s(?:answer|choice|option|one|candidate))?{_END}",
            rf"{_OTHER}(?:,\s(?:and\s)?{_OTHER}){{0,8}}(?:,?\sand\s{_OTHER})?\s(?:do(?:es)?|are|is|can)(?:\snot|n['’]t)\b[^.;\n]{{0,40}}[;,]\s(?:only\s|but\s)?{_LETTER}\s(?:does|is|fits|works|can){_END}",
            rf"(?:{_START}|,\s){_THEREFORE}(?:(?:[Ww]e|[Ii]|[Tt]his|[Tt]hat|[Ii]t|[Ww]hich|[Tt]hese)\s(?:gets?|obtains?|have|finds?|reach|went\swith|(?:gives?|yields?)(?:\sus)?|means?|confirms?|makes\sit|leads?\s(?:us\s)?to|agrees?\swith|is\sanswer)|leading\s(?:us\s)?to|corresponding\sto|yielding|as\sin|[Ii](?:['’]ll|\swill)\s(?:take|submit|enter)|[Mm]arking|[Ee]verything\s(?:fits|matches)|(?<!thing,\s)(?<!all,\s)(?<=,\s)but|[Ii](?:['’]m|\sam)\sconfident\s(?:in|with)|(?:[Cc]orrect|[Rr]ight)\sis)\s{_NOUN}?{_LETTER}{_END}",
            rf"{_START}(?:[Tt]o\s(?:sum\sup|conclude|summari[sz]e)|[Uu]ltimately|[Aa]t\sthe\send\sof\sthe\sday|[Oo]f\scourse|[Nn]aturally|[Ww]ithout\s(?:a\s)?(?:doubt|question)|[Ii]ndeed|[Ee]xactly|[Pp]recisely|[Ss]imply|[Jj]ust|[Ee]vidently|[Pp]resumably|[Aa]pparently),?\s{_NOUN}?{_LETTER}{_END}",
            rf"{_START}{_THEREFORE}{_NOUN}?{_LETTER}\s(?:only|alone|is\s(?:it|valid)|(?:alone\s)?(?:fits|works|holds|stands|applies|satisfies\s(?:all|every|the)\s[^.,;\n]{{1,40}}|meets\s(?:all|every|the)\s[^.,;\n]{{1,40}})){_END}",
            rf"\b[Cc]omparing\s(?:\w+\s){{0,5}}gives\s{_NOUN}?{_LETTER}{_END}",
            rf"{_START}{_THEREFORE}[Nn]o(?:ne|thing|\s(?:option|choice|answer))(?:\sof\s(?:the|these)\s(?:\w+\s)?(?:options|choices|answers|statements))?\s(?:but|except|other\sthan|besides)\s(?:for\s)?{_NOUN}?{_LETTER}\s(?:is|works|fits|holds|remains|applies|can|survives|satisfies|matches|explains)\b[^.,;\n]{{0,80}}{_END}",
            rf"(?:{_START}|,\s)(?:[Tt]his|[Tt]hat|[Ii]t)\swould\sbe\s{_NOUN}?{_LETTER}{_END}",
            rf"(?:{_START}|\b[Ii](?:['’]m|\sam)\s)(?:[Cc]hoosing|[Ss]electing|[Pp]icking|[Ss]ettling\son)\s{_NOUN}?{_LETTER}{_END}",
            rf"{_START}{_NOUN}?{_LETTER}\s(?:matches|wins|looks\s(?:right|correct)|is\s(?:the\sone|true|what\s(?:we|you)\s(?:want|need|are\slooking\sfor))){_END}",
            rf"(?:['’]s|\b(?:is|be|as\sin|sees|gets?|obtains?|gives|yields|matches|corresponds\sto|namely)|i\.e\.,?)\s(?:therefore\s|thus\s)?{_FIGURE}{_LETTER}{_END}",
            rf"{_START}(?:[Tt]herefore,?\s|[Tt]hus,?\s|[Hh]ence,?\s)?[Oo]nly\s{_FIGURE}{_LETTER}\s",
            rf"{_START}{_NOUN}?{_LETTER}\s(?:is|are)\s(?:all\s)?(?:what|that)\s(?:remains|is\sleft){_END}",
            rf"(?:{_START}|\bthat\s){_NOUN}?{_LETTER}\s(?:has\sto|must)\sbe\s(?:the\sone|the\sanswer|right|correct|true){_END}",
            rf"\bleaving\s(?:us\swith\s)?only\s{_NOUN}?{_LETTER}\s(?:standing|remaining)\b",
            rf"\bis\s\((?P<letter>[A-Z])\),\snot\s\([A-Z]\){_END}",
            rf"\b(?:correct|right|best)\s(?:answer|response|choice|option),\s(?:however|then|therefore|though|in\sfact),\sis\s{_NOUN}?{_LETTER}{_END}",
            r"\\(?:Rightarrow|implies|therefore|Longrightarrow)\s*\\(?:text\w*|math\w+)\s*\{\s*\((?P<letter>[A-Z])\)\s*\}[\s$.*]*$",
        ),
    )
)
_SENTENCE_END = lazy_pattern(r"(?<!i\.e)[.!?](?=\s+\S)|\n(?=\s*\S)")
_DENIES_OR_DOUBTS = lazy_pattern(
    r"\b(?:wrong|incorrect|false|least|less|worst|doubt|hardly|whether|suppose|assuming|tempting|misleading|confus\w+|distractor|students|people|nobody|if|unless|could|might|may|perhaps|maybe|would|cannot|never|starting|initial|original|reference|ruled|eliminated|excluded|except|however|although|question|asks|guess\w*|oxidi\w+|reduced|protonated|atoms?|bonds?|charges?|electrons?)\b|n['’]t\b|\?",
    re.IGNORECASE,
)
_NOT_BEFORE = lazy_pattern(r"(?:\b(?:not|never|nothing|hardly)|n['’]t)\s*$", re.IGNORECASE)
_DENIES_OR_NAMES_ANOTHER = lazy_pattern(r"\b(?:not|never|or|fails?|[A-J])\b")
_NUMERALS = r"[IVX]{1,4}(?:(?:,\s|\sand\s|,\sand\s|\s&\s)[IVX]{1,4}){0,3}"
_TRUE_STATEMENTS = lazy_pattern(
    rf"(?:^|[.!?:,;\n]\s|\b(?:so|thus|hence|therefore)\s)(?P<only>(?:[Oo]nly|[Bb]oth)\s)?(?:[Ss]tatements?\s)?(?P<statements>{_NUMERALS})\s(?:(?:is|are)\s(?:true|correct|right|valid)|holds?)"
    rf"(?P<contrast>,?\s(?:while|whereas|but|and)\s(?:statements?\s)?{_NUMERALS}\s(?:is|are)\s(?:false|incorrect|wrong|untrue|not\s(?:true|correct)))?[.!*_\s]*$"
)
_ALL_TRUE = lazy_pattern(
    r"(?:^|[.!?:,;\n]\s|\b(?:so|thus|hence|therefore),?\s)[Aa]ll\s(?:of\sthe\s|the\s)?(?:(?P<count>three|four|five)\s)?(?:of\sthe\s|of\sthem\s)?(?:statements\s)?are\s(?:true|correct|right|valid)[.!*_\s]*$"
)
_COUNTS = {"three": 3, "four": 4, "five": 5}


def closing_option(text: str) -> Reading | None:
    """Return the option that the last sentence names; None if another sentence names another one in the same way."""
    end = len(text.rstrip())
    tail_begin = max(0, end - _MAX_CHARS)
    sentence_begin = max((stop.end() for stop in _SENTENCE_END.finditer(text, tail_begin, end)), default=0)
    if tail_begin > 0 and sentence_begin == 0:
        return None
    for pattern in _CLOSING_SENTENCES:
        matches = list(pattern.finditer(text, tail_begin, end))
        if not matches or len({match["letter"] for match in matches}) > 1:
            continue
        begin, letter_end = matches[-1].span("letter")
        clause_begin = matches[-1].start() if matches[-1][0].startswith("but ") else sentence_begin
        if (
            matches[-1].start() >= sentence_begin
            and not _NOT_BEFORE.search(text, sentence_begin, matches[-1].start())
            and not _DENIES_OR_DOUBTS.search(matches[-1].re.sub("", text[clause_begin:end]))
            and not _DENIES_OR_NAMES_ANOTHER.search(text, matches[-1].end(), end)
            and statement_mood.mood(text, begin, matches[-1].end()) == "asserted"
        ):
            return Reading(text[begin], "prose", begin, letter_end)
    return None


def true_statements(text: str, parser: OptionParser) -> Reading | None:
    """Return the option "II only" for the last sentence "Only II is true.", or that of all statements for "All three are true."."""
    end = len(text.rstrip())
    begin = max(0, end - _MAX_CHARS)
    if parser.names_statements and (all_true := _ALL_TRUE.search(text, begin, end)):
        letter = parser.letter_of_all_statements(_COUNTS.get(all_true["count"] or ""))
        return Reading(letter, "prose", *all_true.span()) if letter else None
    stated = _TRUE_STATEMENTS.search(text, begin, end)
    if stated is None or statement_mood.mood(text, *stated.span("statements")) != "asserted":
        return None
    statements = stated["statements"]
    is_list = len(statements.split()) > 1
    if not (stated["only"] or stated["contrast"] or is_list):
        return None
    letter = parser.options.letter_of_exact_text(f"{statements} only") or (
        parser.options.letter_of_exact_text(statements) if is_list else None
    )
    return Reading(letter, "prose", *stated.span("statements")) if letter else None
