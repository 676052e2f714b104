"""Find the spans of a reply that contain a molecule, and select those that belong to the answer."""

from __future__ import annotations

import re
from typing import NamedTuple

from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.smiles import (
    BY_PRODUCT,
    Side,
    can_be_smiles,
    parse_molecule,
    parse_molecule_set,
    reaction_side,
    strip_token,
    unmistakable_smiles,
)
from evals.extract.statements import MAX_CHARS

MAX_SPANS = 60
"""Maximum number of spans that are compared, from the end of a reply."""
MAIN_PRODUCT = lazy_pattern(r"\b(?:major|main|desired|target|principal)\b|主要?产物", re.IGNORECASE)
_STARTING_MATERIAL = lazy_pattern(
    r"\b(?:starting|reactants?|reagents?|substrates?|precursors?|catalysts?|solvents?|intermediates?)\b|反应物|原料|试剂|底物|中间体",
    re.IGNORECASE,
)
_TAG = lazy_pattern(r"[<\[](/?)\s*SMILES\s*[>\]]", re.IGNORECASE)
_END_OF_LINE = lazy_pattern(r"[ \t.。]{0,9}(?:\n|\Z)")
_SEPARATORS = lazy_pattern(
    r"\s*(?:[+.,;&，、]|and|plus|和|与|\d{1,2}[.)]|[-*•]|\([^()\n]{0,80}\)|[A-Z][\w ()-]{0,40}:|[\u4e00-\u9fff]{1,8}\d?:|\s)*\s*",
    re.IGNORECASE,
)
_ANSWER_CLAUSE_END = lazy_pattern(
    r"[。；]|(?<=\S)\.\s|\.\*{0,2}$|,\s(?:which|where|i\.e\.|so|because|not)\b|,\s?(?:而)?(?:不是|非)|,?\s(?:or|also|or\s+also)\s(?:equivalently|written\s+as)\b|\s[–—]\s|,?\s(?:not|but|rather than|instead of)\s|\s(?:reacts?|and the|which)\s"
)
_CODE_SPAN = lazy_pattern(r"`([^`\n]+)`")
_EXPLANATION = lazy_pattern(r"\bwhere\b|:\s|\bor\b")
_MARKUP = lazy_pattern(r"</?\s*SMILES\s*>|`|\*\*", re.IGNORECASE)
_FOLLOWING_REMARK = lazy_pattern(
    r"(?:</\s*SMILES\s*>|[`*])*(?:\s*(?:[-–—(（]|,?\s(?:is|as|being)\s)[^\n<)）]{0,40})?", re.IGNORECASE
)


class MoleculeRequest(NamedTuple):
    """The kind of answer that a sample asks for: one molecule or a set, and which side of a reaction."""

    is_set: bool = False
    side: Side = ""

    def read(self, content: str) -> str | None:
        """Read a short statement as a molecule, or as a set joined by dots; None if it does not state one."""
        return (
            parse_molecule_set(content, self.side)
            if self.is_set
            else parse_molecule(reaction_side(content, self.side))
        )


class Span(NamedTuple):
    """A piece of a reply and its position."""

    text: str
    begin: int
    end: int


def answer_part(line: str, *, is_set: bool) -> str:
    """Return the part of a line that states the answer: a code span (or several for a set), or else the first clause."""
    head_end = None if "\n" in line else _ANSWER_CLAUSE_END.search(line)
    head = line[: head_end.start()] if head_end else line
    if is_set and (byproduct := BY_PRODUCT.search(head)) and unmistakable_smiles(head[: byproduct.start()]):
        head = head[: byproduct.start()]
    spans = _code_spans(head)
    if not spans and not unmistakable_smiles(head):
        spans = _code_spans(line)
        head = line if spans else head
    if is_set and len(spans) > 1 and not _EXPLANATION.search(head.split(spans[0], 1)[1]):
        return ".".join(spans)
    return spans[0] if spans and len(set(spans)) == 1 else head


def _code_spans(text: str) -> list[str]:
    return [span for span in _CODE_SPAN.findall(text) if can_be_smiles(strip_token(span))]


def tag_spans(text: str) -> list[Span]:
    """Return the spans between an opening tag and the next closing tag; a second opening tag restarts the span.

    An opening tag directly after a molecule, at the end of its line, is meant as the closing tag. The content of an unclosed
    tag extends to the end of the reply, but counts only if it is a single line.
    """
    spans: list[Span] = []
    content_begin = -1
    for tag in _TAG.finditer(text, max(0, len(text) - MAX_CHARS)):
        if not tag[1] and content_begin >= 0 and _is_meant_as_closing(text, content_begin, tag):
            spans.append(Span(text[content_begin : tag.start()].strip(), content_begin, tag.start()))
            content_begin = -1
        elif not tag[1]:
            content_begin = tag.end()
        elif content_begin >= 0:
            spans.append(Span(text[content_begin : tag.start()].strip(), content_begin, tag.start()))
            content_begin = -1
    if content_begin >= 0 and (remainder := text[content_begin:].strip()) and "\n" not in remainder:
        spans.append(Span(remainder, content_begin, len(text.rstrip())))
    return [span for span in spans if span.text][-MAX_SPANS:]


def _is_meant_as_closing(text: str, content_begin: int, tag: re.Match[str]) -> bool:
    """Return whether an opening tag follows a molecule and ends its line."""
    content = text[content_begin : tag.start()].strip()
    return can_be_smiles(content) and _END_OF_LINE.match(text, tag.end()) is not None


def last_group(text: str, spans: list[Span], side: Side) -> list[Span]:
    """Return the last span and the spans before it that only punctuation, numbers, labels and remarks separate from it."""
    group = [spans[-1]]
    for span in reversed(spans[:-1]):
        if group[0].begin - span.end > 400:
            break
        between = _MARKUP.sub("", text[span.end : group[0].begin])
        if (
            len(between) > 200
            or (side == "products" and "\n" in between)
            or not _SEPARATORS.fullmatch(between)
        ):
            break
        group.insert(0, span)
    return group


def main_spans(text: str, spans: list[Span], request: MoleculeRequest) -> list[Span]:
    """Return the spans that are not by-products, or only the main product if one is labelled as such.

    Labelled starting materials are also excluded, unless they are requested.
    """
    if len(spans) < 2:
        return spans
    candidates, main = [], []
    previous_ends = [0, *(span.end for span in spans[:-1])]
    for previous_end, span in zip(previous_ends, spans, strict=True):
        after = _FOLLOWING_REMARK.match(text, span.end, span.end + 60)
        before = text[max(previous_end, span.begin - 90) : span.begin].rpartition("\n")[2]
        words = before + (after[0] if after else "")
        is_starting_material = (
            request.side == "products" or not request.is_set
        ) and _STARTING_MATERIAL.search(before)
        if BY_PRODUCT.search(words) or is_starting_material:
            continue
        candidates.append(span)
        if MAIN_PRODUCT.search(words):
            main.append(span)
    return main or candidates or spans
