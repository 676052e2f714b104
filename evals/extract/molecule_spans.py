"""Find the spans of a reply that contain a molecule, and select those that belong to the answer."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.smiles import (
    Side,
    is_marked,
    parse_molecule,
    parse_molecule_set,
    reaction_side,
    strip_token,
    unmistakable_smiles,
)
from evals.extract.statements import MAX_CHARS

MAX_SPANS = 60
"""Maximum number of spans compared; the last ones of a reply."""
BYPRODUCT = lazy_pattern(r"by-?products?|minor|side[ -]?products?|副产物|次要", re.IGNORECASE)
MAIN = lazy_pattern(r"\b(?:major|main|desired|target|principal)\b|主要?产物", re.IGNORECASE)
_INPUT = lazy_pattern(
    r"\b(?:starting|reactants?|reagents?|substrates?|precursors?|catalysts?|solvents?)\b|反应物|原料|试剂|底物",
    re.IGNORECASE,
)
_TAG = lazy_pattern(r"<(/?)\s*SMILES\s*>", re.IGNORECASE)
_JOINS = lazy_pattern(
    r"\s*(?:[+.,;&，、]|and|plus|和|与|\d{1,2}[.)]|[-*•]|\([^()\n]{0,80}\)|[A-Z][\w ()-]{0,40}:|[\u4e00-\u9fff]{1,8}\d?:|\s)*\s*",
    re.IGNORECASE,
)
_HEAD_END = lazy_pattern(
    r"[。；]|(?<=\S)\.\s|\.\*{0,2}$|,\s(?:which|where|i\.e\.|so|because|not)\b|,\s?(?:而)?(?:不是|非)|\s[–—]\s|,?\s(?:not|but|rather than|instead of)\s|\s(?:reacts?|and the|which)\s"
)
_CODE = lazy_pattern(r"`([^`\n]+)`")
_EXPLAINED = lazy_pattern(r"\bwhere\b|:\s|\bor\b")
_MARKUP = lazy_pattern(r"</?\s*SMILES\s*>|`|\*\*", re.IGNORECASE)
_AFTER = lazy_pattern(
    r"(?:</\s*SMILES\s*>|[`*])*(?:\s*(?:[-–—(（]|,?\s(?:is|as|being)\s)[^\n<)）]{0,40})?", re.IGNORECASE
)


class MoleculeRequest(NamedTuple):
    """The kind of answer that a sample asks for: a molecule or a set, and the side of a reaction."""

    several: bool = False
    side: Side = ""

    def read(self, content: str) -> str | None:
        """Read a short statement as a molecule, or a set joined by dots; None if it has other content."""
        return (
            parse_molecule_set(content, self.side)
            if self.several
            else parse_molecule(reaction_side(content, self.side))
        )


class Span(NamedTuple):
    """A piece of a reply and its position."""

    text: str
    begin: int
    end: int


def answer_part(line: str, *, several: bool) -> str:
    """Return the part of a line that states the answer: its code spans, or else its first sentence."""
    end = None if "\n" in line else _HEAD_END.search(line)
    head = line[: end.start()] if end else line
    if several and (byproduct := BYPRODUCT.search(head)) and unmistakable_smiles(head[: byproduct.start()]):
        head = head[: byproduct.start()]
    spans = _code_spans(head)
    if not spans and not unmistakable_smiles(head):
        spans = _code_spans(line)
        head = line if spans else head
    if several and len(spans) > 1 and not _EXPLAINED.search(head.split(spans[0], 1)[1]):
        return ".".join(spans)
    return spans[0] if spans and len(set(spans)) == 1 else head


def _code_spans(text: str) -> list[str]:
    return [span for span in _CODE.findall(text) if is_marked(strip_token(span))]


def tag_spans(text: str) -> list[Span]:
    """Return the spans between an opening tag and the next closing tag; a second opening tag restarts the span.

    A tag that is never closed counts to the end of its line if nothing but that line follows it.
    """
    spans: list[Span] = []
    inside = -1
    for mark in _TAG.finditer(text, max(0, len(text) - MAX_CHARS)):
        if not mark[1]:
            inside = mark.end()
        elif inside >= 0:
            spans.append(Span(text[inside : mark.start()].strip(), inside, mark.start()))
            inside = -1
    if inside >= 0 and (remainder := text[inside:].strip()) and "\n" not in remainder:
        spans.append(Span(remainder, inside, len(text.rstrip())))
    return [span for span in spans if span.text][-MAX_SPANS:]


def last_group(text: str, spans: list[Span], side: Side) -> list[Span]:
    """Return the last span, with those before it that are joined to it only by signs, numbers and remarks."""
    group = [spans[-1]]
    for span in reversed(spans[:-1]):
        if group[0].begin - span.end > 400:
            break
        between = _MARKUP.sub("", text[span.end : group[0].begin])
        if len(between) > 200 or (side == "products" and "\n" in between) or not _JOINS.fullmatch(between):
            break
        group.insert(0, span)
    return group


def main_spans(text: str, spans: list[Span], request: MoleculeRequest) -> list[Span]:
    """Return the spans without by-products, and only the main product if one is called so.

    Starting materials that are labelled as such are excluded too, unless they are requested.
    """
    if len(spans) < 2:
        return spans
    kept, main = [], []
    ends = [0, *(span.end for span in spans)]
    for (previous, _), span in zip(pairwise(ends), spans, strict=True):
        after = _AFTER.match(text, span.end, span.end + 60)
        before = text[max(previous, span.begin - 90) : span.begin].rpartition("\n")[2]
        words = before + (after[0] if after else "")
        is_input = (request.side == "products" or not request.several) and _INPUT.search(before)
        if BYPRODUCT.search(words) or is_input:
            continue
        kept.append(span)
        if MAIN.search(words):
            main.append(span)
    return main or kept or spans
