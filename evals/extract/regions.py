r"""Extract bounding boxes in an image from replies, in the notations that models use.

>>> regions("<ref>the cat</ref><box>[[10, 20, 110, 220]]</box>")
[Region(numbers=(10.0, 20.0, 110.0, 220.0), label='the cat', form='tag', begin=0, end=49, is_named=False)]
>>> [region.numbers for region in regions("It is at (0.1, 0.2), (0.5, 0.75).")]
[(0.1, 0.2, 0.5, 0.75)]

The first of these notations that occurs in a reply is read: box tags (`<box>`, `<|box_start|>`, with `<ref>` before),
JSON objects with a box (`bbox`, `bbox_2d`, `box`, `box_2d`) and an optional `label`, four numbers in brackets or two
points, named coordinates ("left: 10, top: 20, right: 110, bottom: 220"), and four bare numbers as the stated answer. No
notation defines the scale (pixels, thousandths); only named coordinates define the order of the numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import isfinite
from typing import NamedTuple

from evals.extract.formatting import half_width
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.statement_mood import mood
from evals.extract.statements import Form
from evals.extract.tags import stated_answer
from evals.extract.visible import split_reasoning

MAX_CHARS = 50_000
"""Maximum number of characters read, from the end of a reply."""
MAX_REGIONS = 1_000
"""Maximum number of regions that are returned, from the end of a reply."""
_MAX_PROSE_REGIONS = 20
"""Maximum number of bracketed regions; if a reply has more, none is checked for a denial ("it is not at [...]")."""
_SPACE = r"\s{0,20}"
_PLAIN_NUMBER = r"([-+]?\d{0,9}\.?\d{1,12}(?:[eE][-+]?\d{1,3})?)"
_NUMBER = f"{_SPACE}{_PLAIN_NUMBER}{_SPACE}"
_FOUR_NUMBERS = rf"{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}"
_FOUR_QUOTED_NUMBERS = ",".join([rf"{_SPACE}[\"']?{_PLAIN_NUMBER}[\"']?{_SPACE}"] * 4)
_FOUR_SPACED_NUMBERS = r"\s".join([_PLAIN_NUMBER] * 4)
_BOTTOM_RIGHT = r"[*_\s,;.-]{0,6}(?:and\s)?(?i:(?:the\s)?(?:bottom|lower)[- ]?right(?:\scorner)?|右下角?)(?:\s(?:at|is|=))?[*_:=\s]{0,6}"
"""The text between the points in "Top-left: (10, 20), bottom-right: (110, 220)"."""
_BETWEEN_POINTS = rf"(?:{_SPACE}(?:,|to|and|-|–|—|->|→|到|至)?{_SPACE}|{_BOTTOM_RIGHT})"
_POINTS = rf"[(\[<]{_NUMBER},{_NUMBER}[)\]>]{_BETWEEN_POINTS}[(\[<]{_NUMBER},{_NUMBER}[)\]>]"
_TAGGED_BOX = lazy_pattern(
    r"(?:(?:<ref>(?P<ref>[^<]{0,300})</ref>|<\|object_ref_start\|>(?P<ref2>[^<]{0,300})<\|object_ref_end\|>)\s*)?"
    r"(?:<box>(?P<box>[^<]{0,2000})</box>|<\|box_start\|>(?P<box2>[^<]{0,2000})<\|box_end\|>)"
)
_JSON_OBJECT = lazy_pattern(r"\{[^{}]{0,2000}\}")
_BOX_FIELD = lazy_pattern(
    rf'["\'](?:bbox(?:_2d)?|box(?:_2d)?|bounding_box)["\']\s*:\s*\[{_FOUR_QUOTED_NUMBERS}\]'
)
_LABEL_FIELD = lazy_pattern(r'["\'](?:label|name|object|ref)["\']\s*:\s*"(?P<label>[^"\\]{0,300})"')
_NUMBERS = lazy_pattern(rf"{_POINTS}|{_FOUR_NUMBERS}|{_FOUR_SPACED_NUMBERS}")
_BRACKETED_NUMBERS = lazy_pattern(rf"{_POINTS}|[\[(]{_FOUR_NUMBERS}[\])]")
_BARE_NUMBERS = lazy_pattern(rf"\A\W{{0,5}}(?:{_FOUR_NUMBERS}|{_FOUR_SPACED_NUMBERS})\W{{0,5}}\Z")
_SIDES = {
    name: position
    for position, names in enumerate(("left x1 xmin", "top y1 ymin", "right x2 xmax", "bottom y2 ymax"))
    for name in names.split()
}
"""Name of a coordinate -> its position in left, top, right, bottom."""
_SIDE_NAME = r"(left|top|right|bottom|[xy]_?(?:[12]|min|max))"
_NAMED_COORDINATE = lazy_pattern(
    rf"(?<![A-Za-z-]){_SIDE_NAME}[\"'`*)]{{0,3}}\s{{0,3}}[:=]{_NUMBER}(?![\d.]*\s?%)", re.IGNORECASE
)
_COORDINATE_TABLE = lazy_pattern(
    rf"{_SPACE}\|{_SPACE}".join([_SIDE_NAME] * 4)
    + r" ?\|?[ \t]{0,9}\n[ \t|:-]{1,200}\n[ \t]{0,9}\|?"
    + r"\|".join([_NUMBER] * 4),
    re.IGNORECASE,
)
_MAX_COORDINATE_GAP = 60
"""Maximum number of characters between two named coordinates of a box."""


class Region(NamedTuple):
    """The four numbers of a bounding box as stated, with the label that the reply gives."""

    numbers: tuple[float, float, float, float]
    label: str = ""
    form: Form = "whole"
    begin: int = 0
    end: int = 0
    """The region is stated between `begin` and `end` of the reply."""
    is_named: bool = False
    """Whether the reply names the numbers; they are then left, top, right and bottom."""


def regions(text: str) -> list[Region]:
    """Return the bounding boxes that a reply states after its reasoning, in order; at most the last thousand."""
    answer, _, _ = split_reasoning(text)
    answer = answer[-MAX_CHARS:]
    begin = text.rfind(answer)
    answer = half_width(answer)
    for reader in (_tagged_regions, _json_regions, _bracketed_regions, _named_regions, _bare_region):
        if stated_regions := list(reader(answer)):
            return [
                region._replace(begin=region.begin + begin, end=region.end + begin)
                for region in stated_regions[-MAX_REGIONS:]
            ]
    return []


def _tagged_regions(text: str) -> Iterator[Region]:
    for tag in _TAGGED_BOX.finditer(text):
        label = (tag["ref"] or tag["ref2"] or "").strip()
        for match in _NUMBERS.finditer(tag["box"] or tag["box2"] or ""):
            yield from _finite_region(match, "tag", tag.span(), label)


def _json_regions(text: str) -> Iterator[Region]:
    for json_object in _JSON_OBJECT.finditer(text):
        label = _LABEL_FIELD.search(json_object[0])
        for match in _BOX_FIELD.finditer(json_object[0]):
            label_text = label["label"].strip() if label else ""
            yield from _finite_region(match, "json", json_object.span(), label_text)


def _bracketed_regions(text: str) -> Iterator[Region]:
    matches = list(_BRACKETED_NUMBERS.finditer(text))
    for match in matches:
        if len(matches) > _MAX_PROSE_REGIONS or mood(text, *match.span()) != "negated":
            yield from _finite_region(match, "line", match.span())


def _named_regions(text: str) -> Iterator[Region]:
    """Yield the boxes whose four coordinates are named, in a table or one after the other in any order."""
    if table := _COORDINATE_TABLE.search(text):
        sides = [_SIDES[name.lower().replace("_", "")] for name in table.groups()[:4]]
        yield from _named_region(text, dict(zip(sides, table.groups()[4:], strict=True)), table.span())
        return
    numbers: dict[int, str] = {}
    begin = end = 0
    for match in _NAMED_COORDINATE.finditer(text):
        side = _SIDES[match[1].lower().replace("_", "")]
        if side in numbers or match.start() - end > _MAX_COORDINATE_GAP:
            numbers = {}
        begin, end = match.start() if not numbers else begin, match.end()
        numbers[side] = match[2]
        if len(numbers) == 4:
            yield from _named_region(text, numbers, (begin, end))
            numbers = {}


def _named_region(text: str, numbers: dict[int, str], extent: tuple[int, int]) -> Iterator[Region]:
    left, top, right, bottom = (float(numbers.get(side, "inf")) for side in range(4))
    if all(map(isfinite, (left, top, right, bottom))) and mood(text, *extent) in ("asserted", "other"):
        yield Region((left, top, right, bottom), "", "line", *extent, is_named=True)


def _bare_region(text: str) -> Iterator[Region]:
    if match := _BARE_NUMBERS.match(stated_answer(text) or text.strip()):
        yield from _finite_region(match, "line", (0, len(text)))


def _finite_region(
    match: re.Match[str], form: Form, extent: tuple[int, int], label: str = ""
) -> Iterator[Region]:
    """Yield the region with the numbers of a match; nothing if one of them is infinite."""
    a, b, c, d = (float(number) for number in match.groups() if number is not None)
    if all(map(isfinite, (a, b, c, d))):
        yield Region((a, b, c, d), label, form, *extent)
