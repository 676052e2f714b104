"""Molecules in replies without a statement: code spans, bold words, the whole reply, its last paragraph, its prose."""

from __future__ import annotations

import re

from evals.extract import moods
from evals.extract.cues import asserted, undecided
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.molecule_spans import MOST_SPANS, Span, Wanted, last_group, main_spans
from evals.extract.reading import Reading, runs_on
from evals.extract.shapes import gives_up
from evals.extract.smiles import (
    LONGEST,
    WORDS,
    bare,
    believed,
    can_only_be_smiles,
    looks_like_smiles,
    reaction_side,
    set_of,
    whole,
)
from evals.extract.statements import LONGEST as REPLY

EITHER = lazy_pattern(r"\S[*_`]*\s+or\s+[*_`]*\S|\bor\b|或者?|还是", re.IGNORECASE)
_TAIL = 20_000
"""Number of characters searched, from the end of a reply."""
_OPTIONS = 4_000
"""Number of characters before the last line that are searched for the option that it names."""
_CHOICE = lazy_pattern(
    r"\bI(?:['’]d|\s+would)?\s+(?:recommend|choose|prefer|select|suggest|pick|go\s+with)\s+(?P<label>(?:option|route|method|candidate|pathway)\s+(?:\d|[A-D]\b))",
    re.IGNORECASE,
)
_MARKED = lazy_pattern(
    r"```[A-Za-z]*[ \t]*\n?([^`]{1,5000})```|(?<!`)`([^`\n]{1,5000})`(?!`)|\*\*([^*\n]{1,5000})\*\*"
)
_LEADS = lazy_pattern(
    r"(?:\b(?:gives?|giving|yields?|yielding|affords?|affording|forms?|forming|produces?|producing|furnish(?:es|ing)?|is)\s(?:the|an?)\s(?:[\w-]+\s){0,3}[`*]*$|\bI\s(?:would\s|['’]d\s|will\s)?(?:answer|choose|pick|propose|suggest|select|go\swith|opt\sfor)\s[\s*_`]*$|\b(?:is|are|gives?|giving|yields?|yielding|affords?|affording|forms?|forming|produces?|producing|furnish(?:es|ing)?|obtain(?:ed)?|be|as|has)\b|[=:→]|->|=>|为|是|得到|生成|[Ss][Mm][Ii][Ll][Ee][Ss])[\s*_`]*(?:SMILES\s*)?$"
)
_RESULTS = lazy_pattern(
    r"\b(?:gives?|yields?|affords?|furnishes|produces?|products?\s+is|forms?)\s|得到|生成|产物[为是]",
    re.IGNORECASE,
)
_REACTION = lazy_pattern(r"(?<![^\s>`])[^\s>`]{1,2000}>[^\s>`]{0,500}>[^\s>`]{1,2000}")
_ARROW = lazy_pattern(r"→|->|=>|⟶|⟹|⇒")


def by_shape(text: str, wanted: Wanted) -> Reading | None:
    """Read code spans, bold words, a reply that is nothing but the answer, or the one molecule of its prose."""
    if gives_up(text, _last_line(text)) or runs_on(text[-REPLY:]):
        return None
    reading = _emphasised(text, wanted) or _whole_reply(text, wanted) or _chosen_option(text, wanted)
    if reading is not None or undecided(text, _last_line(text)):
        return reading
    return _last_paragraph(text, wanted) or _in_prose(text, wanted)


def _last_line(text: str) -> int:
    """Return where the last line with content begins."""
    return text.rfind("\n", 0, len(text.rstrip())) + 1


def _emphasised(text: str, wanted: Wanted) -> Reading | None:
    """Read code spans and bold words; one that is part of an earlier one explains that one."""
    spans = [
        Span(match[group].strip(), match.start(group), match.end(group))
        for match in _MARKED.finditer(text, max(0, len(text) - _TAIL))
        if (group := match.lastindex) and (group < 3 or can_only_be_smiles(bare(match[group])))
    ]
    molecules = [
        span._replace(text=molecule)
        for span in main_spans(text, spans[-MOST_SPANS:], wanted)
        if (molecule := wanted.read(span.text))
    ]
    apart = [
        span
        for n, span in enumerate(molecules)
        if not any(span.text in earlier.text != span.text for earlier in molecules[:n])
    ]
    if not apart:
        return None
    answer = last_group(text, apart, wanted.side) if wanted.several else apart[-1:]
    begin, end = answer[0].begin, answer[-1].end
    others = {span.text for span in apart} - {span.text for span in answer}
    is_reaction = wanted.side and _ARROW.search(text, begin, end)
    value = set_of(text[begin:end], wanted.side) if is_reaction else ".".join(span.text for span in answer)
    if value is None or (others and not _leads_to(text, begin)):
        return None
    if moods.mood(text, begin - 1, end + 1) != "asserted":
        return None
    return Reading(value, "emphasis", begin, end)


def _whole_reply(text: str, wanted: Wanted) -> Reading | None:
    """Read a reply that is nothing but the answer."""
    content = text.strip()
    if not content or len(content) > 2 * LONGEST or ("\n" in content and not wanted.several):
        return None
    value: str | None = bare(reaction_side(content, wanted.side))
    if not looks_like_smiles(value or ""):
        value = set_of(content, wanted.side) if wanted.several else whole(content)
    if not value or value.upper() in WORDS or not any(char.isalpha() for char in value):
        return None
    begin = text.find(content[0])
    return asserted(text, Reading(value, "whole", begin, begin + len(content)))


def _chosen_option(text: str, wanted: Wanted) -> Reading | None:
    """Read the line of the option that the last line recommends: "I recommend option 1"."""
    begin = _last_line(text)
    choice = _CHOICE.search(text, begin)
    if choice is None:
        return None
    option = re.compile(
        rf"^\W*{re.escape(choice['label'])}\b[^:\n]{{0,60}}:(?P<content>[^\n]+)$",
        re.MULTILINE | re.IGNORECASE,
    )
    lines = list(option.finditer(text, max(0, begin - _OPTIONS), begin))
    value = wanted.read(lines[0]["content"]) if len(lines) == 1 else None
    return Reading(value, "mark", *lines[0].span("content")) if value else None


def _last_paragraph(text: str, wanted: Wanted) -> Reading | None:
    """Read the last paragraph if it is a set of molecules, listed or joined, or a reaction."""
    end = len(text.rstrip())
    begin = max(text.rfind("\n\n", 0, end) + 2, end - LONGEST) if "\n\n" in text[:end] else 0
    if not wanted.several or end - begin > LONGEST:
        return None
    value = set_of(text[begin:end], wanted.side)
    return asserted(text, Reading(value, "last line", begin, end)) if value else None


def _in_prose(text: str, wanted: Wanted) -> Reading | None:
    """Read the one token of a reply that can only be SMILES, or the one that its last line gives as the result."""
    text = text.rstrip()
    if text.endswith("?"):
        return None
    tail = text[-_TAIL:]
    reactions = [*_REACTION.finditer(text, max(0, len(text) - _TAIL))] if wanted.side else []
    if reactions:
        place = reactions[-1].span()
        value = set_of(text[slice(*place)], wanted.side)
        return asserted(text, Reading(value, "prose", *place)) if value else None
    molecules = believed(_without_remarks(tail))
    if not molecules and _RESULTS.search(tail):
        in_remarks = believed(tail)
        molecules = in_remarks if len(in_remarks) == 1 else []
    if not molecules or (
        len(molecules) > 1 and (wanted.side == "reactants" or EITHER.search(text[-LONGEST:]))
    ):
        return None
    value = molecules[0] if len(molecules) == 1 else _result(text, molecules[-1])
    begin = text.rfind(value) if value else -1
    return (
        asserted(text, Reading(value, "prose", begin, begin + len(value))) if value and begin >= 0 else None
    )


def _result(text: str, last: str) -> str | None:
    """Return the molecule that the last line gives as the result; `last` is the last one of the reply."""
    in_line = believed(_without_remarks(text[_last_line(text) :]))
    results = [molecule for molecule in in_line if _leads_to(text, text.rfind(molecule))]
    if not results:
        return None
    return results[-1] if len(results) == 1 or results[-1] == last else None


def _leads_to(text: str, begin: int) -> bool:
    """Return whether the words before a molecule say that it is the result."""
    return _LEADS.search(text, max(0, begin - 40), max(0, begin)) is not None


def _without_remarks(text: str) -> str:
    return _REMARK.sub("", text)


_REMARK = lazy_pattern(r"(?<=\S)\s+\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)")
