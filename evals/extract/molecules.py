r"""Extract a molecule, or a set of molecules, in SMILES from a reply.

>>> stated_molecule("The product is <SMILES> OCC </SMILES>.").value
'OCC'
>>> stated_molecule("Reactants:\n1. CC(=O)Cl (acetyl chloride)\n2. NCc1ccccc1 (benzylamine)", is_set=True).value
'CC(=O)Cl.NCc1ccccc1'

Strong statements are tags, boxes, JSON fields, answer lines and sentences; labels ("SMILES:", "the product is") count
only without a strong statement, or if they correct one. The content of a tag is returned even if it is not SMILES; the
answer is then invalid.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from evals.extract import statement_mood
from evals.extract.answer_cues import (
    after_correction,
    json_field_value,
    narrow_reading,
    tag_content_start,
    text_after_label,
    without_denial,
)
from evals.extract.formatting import half_width
from evals.extract.layout import gives_up
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.molecule_layout import ALTERNATIVES, read_layout
from evals.extract.molecule_spans import (
    MAIN_PRODUCT,
    MoleculeRequest,
    Span,
    answer_part,
    last_group,
    main_spans,
    tag_spans,
)
from evals.extract.reading import (
    REJECTED,
    UNMARKED_FORMS,
    Reading,
    before_next_question,
    breaks_off,
    read_answer,
)
from evals.extract.smiles import (
    BY_PRODUCT,
    ENGLISH_WORDS,
    MAX_TOKEN_CHARS,
    Side,
    can_be_smiles,
    parse_component,
    parse_molecule_set,
    parse_whole,
    reaction_side,
    smiles_with_dummies,
    strip_token,
    unmistakable_smiles,
)
from evals.extract.statements import DELIMITED_FORMS, Cue, CueReading, Cues, Form, Statement
from evals.extract.statements import MAX_CHARS as MAX_REPLY_CHARS
from evals.extract.visible import visible

NOUNS = (
    "smiles", "product", "products", "reactant", "reactants", "reagent", "reagents", "precursor", "precursors",
    "materials", "structure", "molecule", "产物", "反应物", "结构", "结构式", "原料",
)  # fmt: skip
"""Words that may name a tag or JSON field with the answer, or be part of a label before the answer."""
_MAX_LIST_CHARS, _MAX_LIST_LINES = 4_000, 40
"""Maximum numbers of characters and lines of a list that are examined on either side of a label."""
_MAX_LABELS, _MAX_STATEMENTS, _MAX_LINE_CHARS = 40, 80, 1_000
"""Maximum numbers of labels and statements that are examined, and of characters that are parsed of each line."""
_LABEL = lazy_pattern(
    r"(?P<noun>[A-Za-z]++|反应物|结构式|[\u4e00-\u9fff]{2})(?:[ \t]+(?:string|notation|representation|code))?(?:[ \t]+(?:and|or|/|&)[ \t]+(?:reactants?|reagents?|products?|precursors?))?"
    r"(?:[ \t]+(?:\d{1,2}|[A-H])(?=[ \t*_]*[:：(]))?(?P<qualifier>[^\n:=.。|`→]{0,80}?)[*_\"'`)\]]{0,3}\s*"
    r"(?P<mark>[:|→]|(?-i:(?<![()CNO\]\d]))=|\b(?:is|are|was|has|should[ \t]+be|would[ \t]+be|must[ \t]+be)\b|(?:表示|写|记)?[为是作]|(?<=[Ss])[ \t](?=[*_`]{0,3}\S{2,}))[*_]{0,3}:?",
    re.IGNORECASE,
)
_LIST_ITEM = lazy_pattern(r"\s*(?:[-*•+–]\s|\(?\d{1,2}[.):、]|[①-⑳]|\||[*_]{0,3}[^:\n`|]{1,80}:)")
_PRODUCT_LABEL = lazy_pattern(r"[\W\d]{0,8}(?:final\s)?(?:product|产物)\W{0,4}", re.IGNORECASE)
_REACTANTS_FIELD = lazy_pattern(r"\"(?:reactants?|precursors?|starting[_ ]materials?)\"\s*:", re.IGNORECASE)
_LISTS = {
    side: lazy_pattern(
        rf"\"(?:{names})\"\s*:\s*\[\s*(?P<objects>\{{[^{{}}]{{1,1000}}\}}(?:\s*,\s*\{{[^{{}}]{{1,1000}}\}}){{1,9}})\s*\]",
        re.IGNORECASE,
    )
    for side, names in (("reactants", "reactants|precursors|starting[_ ]materials"), ("products", "products"))
}
"""Requested side of a reaction -> pattern of a JSON list of objects that is named after this side."""
_SMILES_FIELD = lazy_pattern(r"\"smiles\"\s*:\s*\"([^\"\n]{1,2000})\"", re.IGNORECASE)
_OTHER_SIDE = {
    "reactants": lazy_pattern(r"产物|^products?", re.IGNORECASE),
    "products": lazy_pattern(r"反应物|原料|react|reag|precurs|materials", re.IGNORECASE),
}
"""Requested side of a reaction -> nouns that label the other side."""


def stated_molecule(
    text: str, *, is_set: bool = False, side: Side = "", truncated: bool = False
) -> Reading | None:
    """Return the molecule that a reply states, or the set of molecules joined by dots, with its position.

    `side`: the requested side of a stated reaction; `truncated`: the reply was cut off.
    """
    visible_text, in_reasoning = visible(text)
    if in_reasoning:
        return None
    request = MoleculeRequest(is_set, side)
    reader = _Reader(before_next_question(half_width(visible_text)), request)
    reading = reader.read(truncated=truncated)
    if reading is None or reading.form in UNMARKED_FORMS:
        return reading
    return after_correction(
        reader.text,
        narrow_reading(reader.text, reading),
        reader.parse,
        lambda remaining: read_layout(remaining, request),
    )


class _Reader:
    """Reads one reply; `text` is its visible part, in half-width characters."""

    def __init__(self, text: str, request: MoleculeRequest) -> None:
        self.text = text
        self.request = request
        self.has_rejected = False
        self.labels_are_strong = False
        self._tags: list[Span] | None = None
        self._label_count = self._statement_count = 0
        self._list_extent = (0, 0)
        """Extent of the list that was read last; labels within it are not read again."""

    def read(self, *, truncated: bool) -> Reading | None:
        """Return the stated answer; without one, the answer that the layout of the reply implies."""
        cues = Cues(Cue(noun, self._read_cue) for noun in NOUNS)
        for strong in (False, True):
            self.labels_are_strong, self._list_extent, self._label_count = strong, (0, 0), 0
            reading = read_answer(self.text, self.parse, cues=cues, use_layout=False, truncated=truncated)
            if reading is not None or self.has_rejected:
                return reading
        return (
            None
            if truncated or breaks_off(self.text[-MAX_REPLY_CHARS:])
            else read_layout(self.text, self.request)
        )

    # --- statements

    def _read_cue(self, text: str, noun_begin: int) -> CueReading | None:
        """Read the tag or JSON field that a noun names, or the text after the label that begins with the noun."""
        end = noun_begin + len("smiles")
        before = text[max(0, noun_begin - 4) : noun_begin].rstrip()
        if text[noun_begin:end].lower() == "smiles" and before[-1:] in ("<", "[", "/"):
            content_begin = tag_content_start(text, noun_begin, end)
            return self._read_tag(content_begin) if content_begin else None
        label = _LABEL.match(text, noun_begin, noun_begin + 200)
        word = re.match(r"\w+", text[noun_begin : noun_begin + 12])
        noun = word[0] if word else ""
        if field := json_field_value(text, noun_begin, noun_begin + len(noun)):
            if noun.lower() == "smiles" and (molecules := self._read_objects(noun_begin)):
                return molecules
            if BY_PRODUCT.search(text, max(0, noun_begin - 8), noun_begin + len(noun)):
                return None
            has_reactants_field = noun.startswith("reagent") and _REACTANTS_FIELD.search(text)
            return None if has_reactants_field else (None, field, True)
        if (
            label is None
            or self._list_extent[0] <= noun_begin < self._list_extent[1]
            or self._label_count >= _MAX_LABELS
        ):
            return None
        self._label_count += 1
        return self._read_label(text, noun_begin, label)

    def _read_objects(self, position: int) -> CueReading | None:
        """Read the SMILES of all objects of the JSON list around a position, if the list is named after the requested side."""
        pattern = _LISTS.get(self.request.side) if self.request.is_set else None
        objects = pattern.search(self.text, max(0, position - _MAX_LIST_CHARS)) if pattern else None
        if objects is None or not objects.start() <= position < objects.end():
            return None
        molecules = _SMILES_FIELD.findall(objects["objects"])
        return ".".join(molecules), Statement("json", *objects.span("objects")), True

    def _read_tag(self, content_begin: int) -> CueReading | None:
        """Read a tag, or the group of tags that ends with it."""
        if self._tags is None:
            self._tags = main_spans(self.text, tag_spans(self.text), self.request)
        index = next((i for i, tag in enumerate(self._tags) if tag.begin == content_begin), None)
        if index is None:
            return None
        tag = self._tags[index]
        mood = statement_mood.mood(self.text, self.text.rfind("<", 0, content_begin), tag.end)
        if not self.request.is_set:
            content = reaction_side(tag.text, self.request.side)
            value = smiles_with_dummies(content) or parse_whole(content) or content.replace(";", ".")
            return value, Statement("tag", tag.begin, tag.end, mood), True
        group = last_group(self.text, self._tags[: index + 1], self.request.side)
        statement = Statement("tag", group[0].begin, tag.end, mood)
        molecules = [_tag_component(span.text, self.request.side) for span in group]
        if len(group) == 1:
            return molecules[0], statement, True
        distinct = list(dict.fromkeys(molecules))
        if _have_common_component(distinct):
            self.has_rejected = True
            return REJECTED, statement, True
        return ".".join(distinct), statement, True

    def _read_label(self, text: str, noun_begin: int, label: re.Match[str]) -> CueReading | None:
        """Read the list that contains a label, the list below it, or the rest of its line or sentence."""
        line_begin = text.rfind("\n", 0, noun_begin) + 1
        head = text[max(line_begin, noun_begin - 14) : label.end()]
        names_other_side = self.request.side and _OTHER_SIDE[self.request.side].search(label["noun"])
        if BY_PRODUCT.search(head) or names_other_side or re.match(r"\s*\d{2}", label["qualifier"]):
            return None
        if self.request.is_set and (list_reading := self._list_around(text, line_begin)) is not None:
            return list_reading
        statement = text_after_label(text, noun_begin, label)
        if statement is None:
            return None
        is_heading = "\n" in text[label.end() : statement.begin]
        if self.request.is_set and is_heading and (list_reading := self._list_below(text, statement)):
            return list_reading
        return None, statement, self.labels_are_strong

    def _list_below(self, text: str, statement: Statement) -> CueReading | None:
        """Read a list or code block below a heading, up to the next empty line or code fence."""
        ends = (text.find("\n\n", statement.begin), text.find("```", statement.begin))
        end = min((position for position in ends if position >= 0), default=len(text))
        end = min(end, statement.begin + MAX_TOKEN_CHARS)
        value = parse_molecule_set(text[statement.begin : end], self.request.side)
        if value is None:
            return None
        return value, Statement("line", statement.begin, end, statement.mood), self.labels_are_strong

    def _list_around(self, text: str, line_begin: int) -> CueReading | None:
        """Read the labelled, numbered or bulleted lines around a label as one set, if they contain several molecules."""
        if not _LIST_ITEM.match(text, line_begin):
            return None
        after = text[line_begin : line_begin + _MAX_LIST_CHARS].split("\n")[:_MAX_LIST_LINES]
        before = text[max(0, line_begin - _MAX_LIST_CHARS) : max(0, line_begin - 1)].split("\n")[
            -_MAX_LIST_LINES:
        ]
        following, chars_after = self._list_items(after)
        preceding, chars_before = self._list_items(reversed(before) if line_begin else ())
        components = [component for component in (*reversed(preceding), *following) if component]
        if len(components) < 2:
            return None
        begin, end = line_begin - chars_before, line_begin + chars_after
        if _have_common_component(list(dict.fromkeys(components))):
            self.has_rejected, self._list_extent = True, (begin, end)
            return REJECTED, Statement("line", begin, min(end, len(text))), True
        if self.request.side == "products" and (main := self._main_product(text[begin:end])):
            components = [main]
        self._list_extent = (begin, end)
        statement = Statement("line", begin, min(end, len(text)), statement_mood.mood(text, begin, begin))
        return ".".join(components), statement, self.labels_are_strong

    def _list_items(self, lines: Iterable[str]) -> tuple[list[str], int]:
        """Return the molecules of the leading list items ("" for an empty line), and the number of characters of these lines."""
        components, length = [], 0
        for line in lines:
            component = parse_component(line, self.request.side) if _LIST_ITEM.match(line) else None
            if component is None and line.strip():
                break
            components.append(component or "")
            length += len(line) + 1
        return components, length

    def _main_product(self, lines: str) -> str | None:
        labels = [(line, line.partition(":")[0]) for line in lines.split("\n")]
        main = [line for line, label in labels if MAIN_PRODUCT.search(label)] or [
            line for line, label in labels if _PRODUCT_LABEL.fullmatch(label)
        ]
        return parse_component(main[0], self.request.side) if len(main) == 1 else None

    # --- parsing

    def parse(self, content: str, form: Form) -> Any:
        """Parse one statement; long lines are truncated, and at most `_MAX_STATEMENTS` are parsed."""
        if form in ("line", "sentence"):
            content = content[:_MAX_LINE_CHARS]
        self._statement_count += 1
        if self._statement_count > _MAX_STATEMENTS:
            return None
        asserted_content = without_denial(content) if form == "sentence" else content
        value = REJECTED if asserted_content is None else self._parse_asserted(asserted_content, form)
        if value is REJECTED:
            self.has_rejected = True
        return value

    def _parse_asserted(self, content: str, form: Form) -> Any:
        if form == "json":
            content = content.replace("\\\\", "\\").replace('"', "").replace("\\/", "/")
        is_delimited = form in DELIMITED_FORMS
        if is_delimited and (with_dummies := smiles_with_dummies(content)):
            return with_dummies
        value = self.request.read(
            content if is_delimited else answer_part(content, is_set=self.request.is_set)
        )
        if value is not None and (is_delimited or form == "line" or value.upper() not in ENGLISH_WORDS):
            return value
        if form == "tag" and content.strip():
            return strip_token(content) if self.request.is_set else content.strip().replace(";", ".")
        candidates = unmistakable_smiles(content)
        if len(candidates) > 1 and (ALTERNATIVES.search(content) or (self.request.is_set and form == "line")):
            return REJECTED
        return REJECTED if gives_up(content) and form in ("line", "box") and not candidates else None


def _tag_component(text: str, side: Side) -> str:
    """Return the content of one tag of a set, usually a single molecule."""
    if can_be_smiles(text) and text[0] != "(" and text[-1] not in ".:$":
        return text
    return parse_molecule_set(text, side) or strip_token(text)


def _have_common_component(sets: list[str]) -> bool:
    """Return whether two of the sets have a component in common, and so are alternatives."""
    components = [component for molecules in sets for component in set(molecules.split("."))]
    return len(set(components)) < len(components)
