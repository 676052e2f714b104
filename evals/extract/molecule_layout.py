"""Extract molecules from replies without an answer statement, by their layout: code spans, bold words, the last paragraph."""

from __future__ import annotations

import re

from evals.extract import statement_mood
from evals.extract.answer_cues import asserted_reading, is_undecided
from evals.extract.layout import gives_up
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.molecule_spans import MAX_SPANS, MoleculeRequest, Span, last_group, main_spans
from evals.extract.reading import Reading, breaks_off, retracts
from evals.extract.smiles import (
    ENGLISH_WORDS,
    MAX_TOKEN_CHARS,
    Side,
    can_only_be_smiles,
    looks_like_smiles,
    parse_molecule_set,
    parse_whole,
    reaction_side,
    strip_token,
    unmistakable_smiles,
)
from evals.extract.statements import MAX_CHARS as MAX_REPLY_CHARS

ALTERNATIVES = lazy_pattern(r"\S[*_`]*\s+or\s+[*_`]*\S|\bor\b|或者?|还是", re.IGNORECASE)
_MAX_TAIL_CHARS = 20_000
"""Maximum number of characters searched, from the end of a reply."""
_MAX_SENTENCE_CHARS = 1_000
"""Maximum length of a last sentence that names the starting materials."""
_MAX_OPTION_CHARS = 4_000
"""Maximum number of characters before the last line that are searched for the option that this line recommends."""
_RECOMMENDATION = lazy_pattern(
    r"\bI(?:['’]d|\s+would)?\s+(?:recommend|choose|prefer|select|suggest|pick|go\s+with)\s+(?P<label>(?:option|route|method|candidate|pathway)\s+(?:\d|[A-D]\b))",
    re.IGNORECASE,
)
_EMPHASIS = lazy_pattern(
    r"```[A-Za-z]*[ \t]*\n?([^`]{1,5000})```|(?<!`)`([^`\n]{1,5000})`(?!`)|\*\*([^*\n]{1,5000})\*\*"
)
_INTRODUCES_RESULT = lazy_pattern(
    r"(?:\b(?:gives?|giving|yields?|yielding|affords?|affording|forms?|forming|produces?|producing|furnish(?:es|ing)?|is|(?:leads?|convert\w*|reduced|oxidi[sz]ed|hydroly[sz]ed)\s(?:in)?to)\s(?:the|an?|its)\s(?:[\w-]+\s){0,3}[`*]*$|\b(?:gives?|giving|yields?|yielding|affords?|affording|forms?|forming|produces?|furnish(?:es)?)\s(?:[\w-]+\s){0,3}[\w-]+,\s[`*]*$|\bI\s(?:would\s|['’]d\s|will\s)?(?:answer|choose|pick|propose|suggest|select|go\swith|opt\sfor)\s[\s*_`]*$|\b(?:is|are|gives?|giving|yields?|yielding|affords?|affording|forms?|forming|produces?|producing|furnish(?:es|ing)?|obtain(?:ed)?|becomes?|reads?|(?:arrives?|stops?)\sat|(?:I|we)\s(?:need|get)|but(?:\srather)?(?:\s(?:the|an?)(?:\s[\w-]+){1,3})?|be|as|has|(?:leads?|leading|collaps\w+|convert\w*|rearrang\w+|cycli[sz]\w+|tautomeri[sz]\w+)\s(?:in)?to)\b|[=:→⟶⇒⟹⇌]|->|=>|为|是|得到|生成|[Ss][Mm][Ii][Ll][Ee][Ss])[\s*_`]*(?:SMILES\s*)?$"
)
_DENIED_END = lazy_pattern(r",\s(?:and\s|but\s)?not\s(?:to\s|the\s|an?\s)[^.,\n]{1,2000}\.?\Z")
"""As in ", and not the acid X"."""
_IS_FORMED = lazy_pattern(
    r"[^\s]{1,2000}\s(?:results|(?:is|are)\s(?:formed|obtained|produced|isolated)|is\sthe\s(?:main\s|major\s|final\s)?product)\b"
)
_OTHER_COMPOUND = lazy_pattern(
    r"[;,.]\s(?:(?:and|while|whereas)\s)?(?:(?!(?:so|thus|hence|therefore|it|the|its|my|answer|smiles|product)\b)[\w-]{4,40}|(?:the|its|an?)\s(?:[\w()-]{1,15}\s){0,2}(?:enantiomer|(?:\w{2,9}o)?isomer|tautomer|epimer|anomer|salt|ester|acid|form|analogue|homologue))\swould\sbe\s[\s*_`]*$",
    re.IGNORECASE,
)
"""As in "; propylamine would be" and ". The D enantiomer would be"."""
_OTHER_ROLE = lazy_pattern(
    r"(?:\b(?:intermediate|reactant|reagent|substrate|starting\smaterial|precursor|catalyst|solvent|by-?product)s?|中间体|反应物|原料|试剂|底物|副产物)"
    r"(?:\s(?:is|are)|[为是])?\s?[:：]?[\s*_`]*$",
    re.IGNORECASE,
)
"""A label of a molecule that is not the result."""
_RESULT_VERB = lazy_pattern(
    r"\b(?:gives?|yields?|affords?|furnishes|produces?|products?\s+is|forms?|(?:is|are)\s(?:formed|obtained|produced))\b|得到|生成|产物[为是]",
    re.IGNORECASE,
)
_REACTION = lazy_pattern(r"(?<![^\s>`])[^\s>`]{1,2000}>[^\s>`]{0,500}>[^\s>`]{1,2000}")
_STARTING_MATERIALS = lazy_pattern(
    r"\b(?:disconnect\w*|cleav\w*|split|broken)\b[^.\n]{0,80}\s(?:in)?to\s(\S[^\n]{1,400})$"
    r"|\bstarting\s(?:from|with)\s(\S[^\n,]{1,400}),\s"
    r"|\b(?:synthetic\sequivalents|building\sblocks):\s(\S[^\n]{1,400})$"
    r"|\b(?:comes?|made|prepared|obtained|synthesi[sz]ed|formed|derived|arises?)\sfrom\s(?:the\s)?(\S[^\n]{1,800})$"
    r"|(?:^|[.:]\s)(\S[^\n]{1,400}?)\s(?:are|serve\sas|would\sbe)\s(?:the\s|suitable\s)?(?:reactants|starting\smaterials|precursors|reagents)[.\s]*$",
    re.IGNORECASE | re.MULTILINE,
)
"""As in "The ester is made from X and Y." and "X and Y are the starting materials."."""
_ARROW = lazy_pattern(r"→|->|=>|⟶|⟹|⇒|⇌")


def read_layout(text: str, request: MoleculeRequest) -> Reading | None:
    """Read code spans and bold words, the whole reply, the option that it recommends, its last paragraph, or its prose."""
    if gives_up(text, _last_line_start(text)) or breaks_off(text[-MAX_REPLY_CHARS:]):
        return None
    reading = (
        _read_emphasised(text, request)
        or _read_whole_reply(text, request)
        or _read_chosen_option(text, request)
    )
    if reading is not None or is_undecided(text, _last_line_start(text)):
        return reading
    first = _first_line(text, request)
    if first and not retracts(text, first.end):
        return Reading(first.text, "last line", first.begin, first.end)
    return _read_last_paragraph(text, request) or _read_prose(text, request)


def _last_line_start(text: str) -> int:
    return text.rfind("\n", 0, len(text.rstrip())) + 1


def _read_emphasised(text: str, request: MoleculeRequest) -> Reading | None:
    """Read code spans and bold words, except spans that repeat a part of an earlier one to explain it."""
    spans = [
        Span(match[group].strip(), match.start(group), match.end(group))
        for match in _EMPHASIS.finditer(text, max(0, len(text) - _MAX_TAIL_CHARS))
        if (group := match.lastindex) and (group < 3 or can_only_be_smiles(strip_token(match[group])))
    ]
    molecules = [
        span._replace(text=molecule)
        for span in main_spans(text, spans[-MAX_SPANS:], request)
        if (molecule := request.read(span.text))
    ]
    if molecules and (first := _first_line(text, request)):
        molecules.insert(0, first)
    denied = {span.text for span in molecules if _is_denied(text, span)}
    if any(span.text not in denied for span in molecules):  # "`CCO`, not `CCN`"
        molecules = [span for span in molecules if span.text not in denied]
    main_molecules = [
        span
        for index, span in enumerate(molecules)
        if not any(span.text in earlier.text != span.text for earlier in molecules[:index])
    ]
    if not main_molecules:
        return None
    answer = last_group(text, main_molecules, request.side) if request.is_set else main_molecules[-1:]
    begin, end = answer[0].begin, answer[-1].end
    others = {span.text for span in main_molecules} - {span.text for span in answer}
    if request.side and len(molecules) > 1:
        begin, end = _equation_extent(text, begin, end, request.side)
    is_reaction = request.side and _ARROW.search(text, begin, end)
    value = (
        parse_molecule_set(text[begin:end], request.side)
        if is_reaction
        else ".".join(span.text for span in answer)
    )
    if value is None or (others and not _is_result(text, begin, request.side)):
        return None
    if statement_mood.mood(text, begin - 1, end + 1) != "asserted":
        return None
    return Reading(value, "emphasis", begin, end)


def _first_line(text: str, request: MoleculeRequest) -> Span | None:
    """Return the molecule that is the first line of a reply, apart from the explanation below it."""
    line = text.lstrip().partition("\n\n")[0].strip()
    begin = text.find(line)
    is_molecule = can_only_be_smiles(line) and request.read(line) == line
    return Span(line, begin, begin + len(line)) if is_molecule else None


def _equation_extent(text: str, begin: int, end: int, side: Side) -> tuple[int, int]:
    """Return the extent of the line around a molecule if it is a reaction, which is read as a whole, or else of the molecule."""
    line = max(begin - MAX_TOKEN_CHARS, text.rfind("\n", 0, begin) + 1), (text + "\n").find("\n", end)
    is_equation = _ARROW.search(text, *line) and parse_molecule_set(text[slice(*line)], side)
    return line if is_equation else (begin, end)


def _is_denied(text: str, span: Span) -> bool:
    """Return whether the text denies a molecule or says that it is another compound."""
    return (
        statement_mood.mood(text, span.begin - 1, span.end + 1) == "negated"
        or _OTHER_COMPOUND.search(text, max(0, span.begin - 60), span.begin) is not None
    )


def _read_whole_reply(text: str, request: MoleculeRequest) -> Reading | None:
    content = text.strip()
    if not content or len(content) > 2 * MAX_TOKEN_CHARS or ("\n" in content and not request.is_set):
        return None
    value: str | None = strip_token(reaction_side(content, request.side))
    if not looks_like_smiles(value or ""):
        value = parse_molecule_set(content, request.side) if request.is_set else parse_whole(content)
    if not value or value.upper() in ENGLISH_WORDS or not any(char.isalpha() for char in value):
        return None
    begin = text.find(content[0])
    return asserted_reading(text, Reading(value, "whole", begin, begin + len(content)))


def _read_chosen_option(text: str, request: MoleculeRequest) -> Reading | None:
    """Read the line of the option that the last line recommends: "I recommend option 1"."""
    begin = _last_line_start(text)
    recommendation = _RECOMMENDATION.search(text, begin)
    if recommendation is None:
        return None
    option = re.compile(
        rf"^\W*{re.escape(recommendation['label'])}\b[^:\n]{{0,60}}:(?P<content>[^\n]+)$",
        re.MULTILINE | re.IGNORECASE,
    )
    lines = list(option.finditer(text, max(0, begin - _MAX_OPTION_CHARS), begin))
    value = request.read(lines[0]["content"]) if len(lines) == 1 else None
    return Reading(value, "mark", *lines[0].span("content")) if value else None


def _read_last_paragraph(text: str, request: MoleculeRequest) -> Reading | None:
    """Read the last paragraph if it is a reaction or a set of molecules."""
    end = len(text.rstrip())
    begin = max(text.rfind("\n\n", 0, end) + 2, end - MAX_TOKEN_CHARS) if "\n\n" in text[:end] else 0
    if not request.is_set or end - begin > MAX_TOKEN_CHARS:
        return None
    value = parse_molecule_set(text[begin:end], request.side)
    return asserted_reading(text, Reading(value, "last line", begin, end)) if value else None


def _read_prose(text: str, request: MoleculeRequest) -> Reading | None:
    """Read a reaction, the single unmistakable SMILES of a reply, or the result in the last line."""
    text = _DENIED_END.sub("", text.rstrip())
    if text.endswith("?"):
        return None
    tail = text[-_MAX_TAIL_CHARS:]
    reactions = [*_REACTION.finditer(text, max(0, len(text) - _MAX_TAIL_CHARS))] if request.side else []
    if reactions:
        span = reactions[-1].span()
        value = parse_molecule_set(text[slice(*span)], request.side)
        return asserted_reading(text, Reading(value, "prose", *span)) if value else None
    begin = max(_last_line_start(text), len(text) - _MAX_SENTENCE_CHARS)
    if request.side == "reactants" and (starting := _STARTING_MATERIALS.search(text, begin)):
        span = starting.span(starting.lastindex or 0)
        if value := parse_molecule_set(text[slice(*span)], request.side):
            return asserted_reading(text, Reading(value, "prose", *span))
    molecules = unmistakable_smiles(_REMARK.sub("", tail))
    if not molecules and _RESULT_VERB.search(tail):
        in_remarks = unmistakable_smiles(tail)
        molecules = in_remarks if len(in_remarks) == 1 else []
    if not molecules or (
        len(molecules) > 1 and (request.side == "reactants" or ALTERNATIVES.search(text[-MAX_TOKEN_CHARS:]))
    ):
        return None
    value = molecules[0] if len(molecules) == 1 else _read_result_line(text, molecules[-1])
    begin = text.rfind(value) if value else -1
    if value is None or begin < 0:
        return None
    return asserted_reading(text, Reading(value, "prose", begin, begin + len(value)))


def _read_result_line(text: str, last_molecule: str) -> str | None:
    """Return the molecule that the last line states as the result; of several, the last if no other molecule follows it."""
    molecules = unmistakable_smiles(_REMARK.sub("", text[_last_line_start(text) :]))
    results = [molecule for molecule in molecules if _is_result(text, text.rfind(molecule))]
    if not results:
        return None
    return results[-1] if len(results) == 1 or results[-1] == last_molecule else None


def _is_result(text: str, begin: int, side: Side = "") -> bool:
    """Return whether the words before a molecule introduce it as the result."""
    before = max(0, begin - 40), max(0, begin)
    has_other_role = side != "reactants" and _OTHER_ROLE.search(text, *before) is not None
    if has_other_role:
        return False
    return _INTRODUCES_RESULT.search(text, *before) is not None or _IS_FORMED.match(text, begin) is not None


_REMARK = lazy_pattern(r"(?<=\S)\s+\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)")
