r"""Where a reply states a molecule, or a set of molecules, in SMILES.

>>> stated_molecule("The product is <SMILES> OCC </SMILES>.").value
'OCC'
>>> stated_molecule("Reactants:\n1. CC(=O)Cl (acetyl chloride)\n2. NCc1ccccc1 (benzylamine)", several=True).value
'CC(=O)Cl.NCc1ccccc1'

Strong statements are tags, boxes, fields of JSON, answer lines and sentences; labels ("SMILES:", "the product is") count if
there are none, or if they correct one. A tag that holds something else is returned as it is: the answer is then invalid.
"""

from __future__ import annotations

import re
from typing import Any

from evals.extract import moods
from evals.extract.cues import (
    after_correction,
    asserted,
    field_at,
    label_at,
    narrowed,
    opens_tag,
    undecided,
    undenied,
)
from evals.extract.later import later
from evals.extract.molecule_spans import (
    BYPRODUCT,
    MAIN,
    MOST_SPANS,
    Span,
    head_of,
    last_group,
    main_spans,
    tags_of,
)
from evals.extract.peel import half_width
from evals.extract.reading import PROSE, REFUSED, Reading, own_part, read, runs_on
from evals.extract.shapes import gives_up
from evals.extract.smiles import (
    LONGEST,
    WORDS,
    Side,
    bare,
    believed,
    can_only_be_smiles,
    component_of,
    is_marked,
    looks_like_smiles,
    one_of,
    reaction_side,
    set_of,
    whole,
)
from evals.extract.statements import LONGEST as REPLY
from evals.extract.statements import Cue, Cues, Form, Statement
from evals.extract.visible import visible

NOUNS = (
    "smiles", "product", "products", "reactant", "reactants", "reagent", "reagents", "precursor", "precursors",
    "materials", "structure", "molecule", "产物", "反应物", "结构", "结构式", "原料",
)  # fmt: skip
_BLOCK, _LINES = 4_000, 40
"""Characters and lines of a list that are looked at on either side of a label."""
_LABELS, _STATEMENTS, _LINE = 40, 80, 1_000
"""Labels and statements that are looked at, from the end of a reply, and characters of a line."""
_PROSE = 20_000
"""Without a statement, a molecule is looked for in so many last characters."""
_LABEL = later(
    r"(?P<noun>[A-Za-z]+|反应物|结构式|[\u4e00-\u9fff]{2})(?:[ \t]+(?:string|notation|representation|code))?(?:[ \t]+(?:and|or|/|&)[ \t]+(?:reactants?|reagents?|products?|precursors?))?"
    r"(?:[ \t]+(?:\d{1,2}|[A-H])(?=[ \t*_]*[:：(]))?(?P<of>[^\n:=.。|]{0,80}?)[*_\"'`)\]]{0,3}\s*"
    r"(?P<mark>[:=|]|\b(?:is|are|was|has|should[ \t]+be|would[ \t]+be|must[ \t]+be)\b|(?:表示|写|记)?[为是作]|(?<=[Ss])[ \t](?=[*_`]{0,3}\S{2,}))[*_]{0,3}:?",
    re.IGNORECASE,
)
_ITEM = later(r"\s*(?:[-*•+–]\s|\(?\d{1,2}[.):、]|[①-⑳]|\||[*_]{0,3}[^:\n`|]{1,80}:)")
_EITHER = later(r"\S[*_`]*\s+or\s+[*_`]*\S|\bor\b|或者?|还是", re.IGNORECASE)


def _component(text: str, side: Side) -> str:
    """Return what one tag of a set holds: most hold one molecule and nothing else."""
    if is_marked(text) and text[0] != "(" and text[-1] not in ".:$":
        return text
    return set_of(text, side) or bare(text)


_REACTANTS_FIELD = later(r"\"(?:reactants?|precursors?|starting[_ ]materials?)\"\s*:", re.IGNORECASE)
_MARKED = later(
    r"```[A-Za-z]*[ \t]*\n?([^`]{1,5000})```|(?<!`)`([^`\n]{1,5000})`(?!`)|\*\*([^*\n]{1,5000})\*\*"
)
_LEADS = later(
    r"(?:\b(?:gives?|giving|yields?|yielding|affords?|affording|forms?|forming|produces?|producing|furnish(?:es|ing)?|is)\s(?:the|an?)\s(?:[\w-]+\s){0,3}[`*]*$|\b(?:is|are|gives?|giving|yields?|yielding|affords?|affording|forms?|forming|produces?|producing|furnish(?:es|ing)?|obtain(?:ed)?|be|as|has)\b|[=:→]|->|=>|为|是|得到|生成|[Ss][Mm][Ii][Ll][Ee][Ss])[\s*_`]*(?:SMILES\s*)?$"
)


def stated_molecule(
    text: str, *, several: bool = False, side: Side = "", truncated: bool = False
) -> Reading | None:
    """Return the molecule that a reply states, or the set of them joined by dots, with its place.

    `side`: of a reaction that is stated, the side that is wanted. `truncated`: the reply was cut off at its end.
    """
    shown, cut = visible(text)
    if cut:
        return None
    reader = _Reader(own_part(half_width(shown)), side, several=several)
    reading = reader.read(truncated=truncated)
    if reading is None or reading.form in PROSE:
        return reading
    return after_correction(reader.text, narrowed(reader.text, reading), reader.parse, reader.by_shape)


class _Reader:
    """Reads one reply, whose visible text in half-width forms is `text`."""

    def __init__(self, text: str, side: Side, *, several: bool) -> None:
        self.text = text
        self.side = side
        self.several = several
        self.refused = False
        self.labels_are_strong = False
        self._tags: list[Span] | None = None
        self._labels = self._statements = 0
        self._seen = (0, 0)
        """The list that was read last; labels within it need no second look."""

    def read(self, *, truncated: bool) -> Reading | None:
        cues = Cues(Cue(noun, self._at) for noun in NOUNS)
        for strong in (False, True):
            self.labels_are_strong, self._seen, self._labels = strong, (0, 0), 0
            reading = read(self.text, self.parse, cues=cues, shaped=False, truncated=truncated)
            if reading is not None or self.refused:
                return reading
        tail = self.text[-REPLY:]
        return None if truncated or runs_on(tail) else self.by_shape(self.text)

    # --- statements

    def _at(self, text: str, at: int) -> tuple[Any, Statement, bool] | None:
        end = at + 6
        if text[at:end].lower() == "smiles" and text[max(0, at - 4) : at].rstrip()[-1:] in ("<", "/"):
            inside = opens_tag(text, at, end)
            return self._in_tag(inside) if inside else None
        match = _LABEL.match(text, at, min(len(text), at + 200))
        word = re.match(r"\w+", text[at : at + 12])
        if field := field_at(text, at, at + len(word[0] if word else "")):
            if word and word[0].startswith("reagent") and _REACTANTS_FIELD.search(text):
                return None
            return None, field, True
        if match is None or self._seen[0] <= at < self._seen[1] or self._labels >= _LABELS:
            return None
        self._labels += 1
        return self._in_label(text, at, match)

    def _in_tag(self, inside: int) -> tuple[Any, Statement, bool] | None:
        """Read a tag, or the set that it ends."""
        if self._tags is None:
            self._tags = main_spans(self.text, tags_of(self.text), self.side, several=self.several)
        own = next((n for n, tag in enumerate(self._tags) if tag.begin == inside), None)
        if own is None:
            return None
        tag = self._tags[own]
        mood = moods.mood(self.text, self.text.rfind("<", 0, inside), tag.end)
        if not self.several:
            content = reaction_side(tag.text, self.side)
            return (
                whole(content) or content.replace(";", "."),
                Statement("tag", tag.begin, tag.end, mood),
                True,
            )
        group = last_group(self.text, self._tags[: own + 1], self.side)
        read_ones = [_component(tag.text, self.side) for tag in group]
        value = ".".join(dict.fromkeys(read_ones) if len(group) > 1 else read_ones)
        return value, Statement("tag", group[0].begin, tag.end, mood), True

    def _in_label(self, text: str, at: int, match: re.Match[str]) -> tuple[Any, Statement, bool] | None:
        line_begin = text.rfind("\n", 0, at) + 1
        head = text[max(line_begin, at - 14) : match.end()]
        other = self.side and re.search(
            "产物|^products?" if self.side == "reactants" else "反应物|原料|react|reag|precurs|materials",
            match["noun"],
            re.IGNORECASE,
        )
        if BYPRODUCT.search(head) or other or re.match(r"\s*\d{2}", match["of"]):
            return None
        if self.several and (block := self._block(text, line_begin)) is not None:
            return block
        statement = label_at(text, at, match)
        if statement is None:
            return None
        if (
            self.several
            and "\n" in text[match.end() : statement.begin]
            and (listed := self._list_below(text, statement))
        ):
            return listed
        return None, statement, self.labels_are_strong

    def _list_below(self, text: str, statement: Statement) -> tuple[Any, Statement, bool] | None:
        """Read the lines of a list or of a block of code under a heading; they end at an empty line."""
        end = min(
            (at for at in (text.find("\n\n", statement.begin), text.find("```", statement.begin)) if at >= 0),
            default=len(text),
        )
        end = min(end, statement.begin + LONGEST)
        value = set_of(text[statement.begin : end], self.side)
        if value is None:
            return None
        return value, Statement("line", statement.begin, end, statement.mood), self.labels_are_strong

    def _block(self, text: str, line_begin: int) -> tuple[Any, Statement, bool] | None:
        """Read the labelled, numbered or bulleted lines around a label as one set, if there are several of them."""
        if not _ITEM.match(text, line_begin):
            return None
        begin, stop = line_begin, len(text)
        after = text[line_begin : line_begin + _BLOCK].split("\n")[:_LINES]
        before = (
            text[max(0, line_begin - _BLOCK) : max(0, line_begin - 1)].split("\n")[-_LINES:]
            if line_begin
            else []
        )
        components = []
        stop = line_begin
        for line in after:
            component = (
                component_of(line, self.side) if _ITEM.match(line) else "" if not line.strip() else None
            )
            if component is None:
                break
            components.append(component)
            stop += len(line) + 1
        for line in reversed(before):
            component = (
                component_of(line, self.side) if _ITEM.match(line) else "" if not line.strip() else None
            )
            if component is None:
                break
            components.insert(0, component)
            begin -= len(line) + 1
        kept = [component for component in components if component]
        if len(kept) < 2:
            return None
        if self.side == "products" and (main := self._main_line(text[begin:stop])):
            kept = [main]
        self._seen = (begin, stop)
        mood = moods.mood(text, begin, begin)
        return ".".join(kept), Statement("line", begin, min(stop, len(text)), mood), self.labels_are_strong

    def _main_line(self, block: str) -> str | None:
        lines = [line for line in block.split("\n") if MAIN.search(line.partition(":")[0])]
        return component_of(lines[0], self.side) if len(lines) == 1 else None

    # --- typed parse

    def parse(self, content: str, form: Form) -> Any:
        """Read one statement; what follows its first thousand characters is left out, and statements beyond a number."""
        self._statements += 1
        if self._statements > _STATEMENTS:
            return None
        if form in ("line", "sentence"):
            content = content[:_LINE]
        asserted_content = undenied(content) if form == "sentence" else content
        value = REFUSED if asserted_content is None else self._parsed(asserted_content, form)
        if value is REFUSED:
            self.refused = True
        return value

    def _parsed(self, content: str, form: Form) -> Any:
        if form == "json":
            content = content.replace("\\\\", "\\").replace('"', "").replace("\\/", "/")
        head = content if form in ("tag", "box", "json") else head_of(content, several=self.several)
        value = self._value(head)
        if value is not None and (form in ("tag", "box", "json", "line") or value.upper() not in WORDS):
            return value
        if form == "tag" and content.strip():
            return bare(content) if self.several else content.strip().replace(";", ".")
        candidates = believed(content)
        if len(candidates) > 1 and _EITHER.search(content):
            return REFUSED
        if self.several and form in ("line", "sentence") and len(candidates) > 1 and form == "line":
            return REFUSED
        return REFUSED if gives_up(content) and form in ("line", "box") and not candidates else None

    # --- replies without a statement

    def by_shape(self, text: str) -> Reading | None:
        """Read code spans, bold words, a reply that is nothing but the answer, or the one molecule of its prose."""
        begin = max(0, len(text) - _PROSE)
        if gives_up(text, text.rstrip().rfind("\n") + 1) or runs_on(text[-REPLY:]):
            return None
        spans = [
            Span(match[group].strip(), match.start(group), match.end(group))
            for match in _MARKED.finditer(text, begin)
            if (group := match.lastindex) and (group < 3 or can_only_be_smiles(bare(match[group])))
        ]
        if (
            spans
            and (
                reading := self._marked(
                    text, main_spans(text, spans[-MOST_SPANS:], self.side, several=self.several)
                )
            )
            is not None
        ):
            return reading
        content = text.strip()
        start = text.find(content[:1]) if content else 0
        if len(content) <= 2 * LONGEST and ("\n" not in content or self.several):
            reply = bare(reaction_side(content, self.side))
            value = self._whole(reply, content)
            if value and value.upper() not in WORDS and any(char.isalpha() for char in value):
                return asserted(text, Reading(value, "whole", start, start + len(content)))
        if undecided(text, text.rfind("\n", 0, len(text.rstrip())) + 1):
            return None
        return self._last_paragraph(text) or self._in_prose(text, start)

    def _last_paragraph(self, text: str) -> Reading | None:
        """Read the last paragraph if it is a set of molecules, listed or joined, or a reaction."""
        end = len(text.rstrip())
        begin = max(text.rfind("\n\n", 0, end) + 2, end - LONGEST) if "\n\n" in text[:end] else 0
        value = set_of(text[begin:end], self.side) if self.several and end - begin <= LONGEST else None
        return asserted(text, Reading(value, "last line", begin, end)) if value else None

    def _whole(self, reply: str, content: str) -> str | None:
        if looks_like_smiles(reply):
            return reply
        return set_of(content, self.side) if self.several else whole(content)

    def _marked(self, text: str, spans: list[Span]) -> Reading | None:
        """Read code spans and bold words; what is a piece of an earlier one explains that one."""
        marked = [span._replace(text=value) for span in spans if (value := self._value(span.text))]
        apart = [
            span
            for n, span in enumerate(marked)
            if not any(span.text in other.text != span.text for other in marked[:n])
        ]
        if not apart:
            return None
        group = last_group(text, apart, self.side) if self.several else apart[-1:]
        begin, end = group[0].begin, group[-1].end
        others = {span.text for span in apart} - {span.text for span in group}
        arrow = self.side and re.search(r"→|->|=>|⟶|⟹|⇒", text[begin:end])
        value = set_of(text[begin:end], self.side) if arrow else ".".join(span.text for span in group)
        if value is None or (others and not _leads_to(text, begin)):
            return None
        return (
            Reading(value, "emphasis", begin, end)
            if moods.mood(text, begin - 1, end + 1) == "asserted"
            else None
        )

    def _value(self, content: str) -> str | None:
        return set_of(content, self.side) if self.several else one_of(reaction_side(content, self.side))

    def _in_prose(self, text: str, start: int) -> Reading | None:
        """Read the one token of a reply that can only be SMILES, or the one that its last line gives."""
        text = text.rstrip()
        if text.endswith("?"):
            return None
        if self.side and (reaction := [*_REACTION.finditer(text, max(0, len(text) - _PROSE))]):
            place = reaction[-1]
            value = set_of(place[0], self.side)
            return (value and asserted(text, Reading(value, "prose", place.start(), place.end()))) or None
        line = max(start, text.rfind("\n") + 1)
        everywhere, last = believed(_without_remarks(text[-_PROSE:])), believed(_without_remarks(text[line:]))
        if (
            not everywhere
            and len(in_remarks := believed(text[-_PROSE:])) == 1
            and _RESULTS.search(text[-_PROSE:])
        ):
            everywhere = in_remarks
        if not everywhere or (len(everywhere) > 1 and _EITHER.search(text[-LONGEST:])):
            return None
        value = everywhere[-1]
        at = text.rfind(value)
        several = len(everywhere) > 1
        if at < 0 or (several and (self.side == "reactants" or value not in last or not _leads_to(text, at))):
            return None
        return asserted(text, Reading(value, "prose", at, at + len(value)))


_RESULTS = later(
    r"\b(?:gives?|yields?|affords?|furnishes|produces?|products?\s+is|forms?)\s|得到|生成|产物[为是]",
    re.IGNORECASE,
)
_REACTION = later(r"(?<![^\s>`])[^\s>`]{1,2000}>[^\s>`]{0,500}>[^\s>`]{1,2000}")


def _leads_to(text: str, at: int) -> bool:
    """Tell whether the words before a molecule say that it is the result."""
    return _LEADS.search(text, max(0, at - 40), max(0, at)) is not None


def _without_remarks(text: str) -> str:
    return re.sub(r"(?<=\S)\s+\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)", "", text)
