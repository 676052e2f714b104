r"""Extract bounding boxes in an image from replies, in the notations that models use.

>>> regions("<ref>the cat</ref><box>[[10, 20, 110, 220]]</box>")
[Region(numbers=(10.0, 20.0, 110.0, 220.0), label='the cat', form='tag', begin=0, end=49)]
>>> [region.numbers for region in regions("It is at (0.1, 0.2), (0.5, 0.75).")]
[(0.1, 0.2, 0.5, 0.75)]

The first of these notations that occurs in a reply is read: box tags (`<box>`, `<|box_start|>`, with `<ref>` before),
JSON objects with a box (`bbox`, `bbox_2d`, `box`, `box_2d`) and an optional `label`, four numbers in brackets or two
points, and four bare numbers as the stated answer. No notation defines the scale (pixels, thousandths) or the order of
the numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import isfinite
from typing import NamedTuple

from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.statements import Form
from evals.extract.tags import stated_answer
from evals.extract.visible import split_reasoning

MAX_CHARS = 50_000
"""Maximum number of characters read, from the end of a reply."""
MAX_REGIONS = 1_000
"""Maximum number of regions that are returned, from the end of a reply."""
_NUMBER = r"\s*([-+]?\d{0,9}\.?\d{1,12}(?:[eE][-+]?\d{1,3})?)\s*"
_FOUR_NUMBERS = rf"{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}"
_POINTS = rf"[(\[<]{_NUMBER},{_NUMBER}[)\]>]\s*,?\s*[(\[<]{_NUMBER},{_NUMBER}[)\]>]"
_TAGGED_BOX = lazy_pattern(
    r"(?:<ref>(?P<ref>[^<]{0,300})</ref>|<\|object_ref_start\|>(?P<ref2>[^<]{0,300})<\|object_ref_end\|>)?\s*"
    r"(?:<box>(?P<box>[^<]{0,2000})</box>|<\|box_start\|>(?P<box2>[^<]{0,2000})<\|box_end\|>)"
)
_JSON_OBJECT = lazy_pattern(r"\{[^{}]{0,2000}\}")
_BOX_FIELD = lazy_pattern(rf'["\'](?:bbox(?:_2d)?|box(?:_2d)?|bounding_box)["\']\s*:\s*\[{_FOUR_NUMBERS}\]')
_LABEL_FIELD = lazy_pattern(r'["\'](?:label|name|object|ref)["\']\s*:\s*"(?P<label>[^"\\]{0,300})"')
_NUMBERS = lazy_pattern(rf"{_POINTS}|{_FOUR_NUMBERS}")
_BRACKETED_NUMBERS = lazy_pattern(rf"{_POINTS}|[\[(]{_FOUR_NUMBERS}[\])]")
_BARE_NUMBERS = lazy_pattern(rf"\A\W{{0,5}}{_FOUR_NUMBERS}\W{{0,5}}\Z")


class Region(NamedTuple):
    """The four numbers of a bounding box as stated, with the label that the reply gives."""

    numbers: tuple[float, float, float, float]
    label: str = ""
    form: Form = "whole"
    begin: int = 0
    end: int = 0
    """The region is stated between `begin` and `end` of the reply."""


def regions(text: str) -> list[Region]:
    """Return the bounding boxes that a reply states after its reasoning, in order; at most the last thousand."""
    answer, _, _ = split_reasoning(text)
    answer = answer[-MAX_CHARS:]
    begin = text.rfind(answer)
    for reader in (_tagged_regions, _json_regions, _bracketed_regions):
        if rectangles := list(reader(answer)):
            return [
                region._replace(begin=region.begin + begin, end=region.end + begin)
                for region in rectangles[-MAX_REGIONS:]
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
    rectangles = [
        region
        for match in _BRACKETED_NUMBERS.finditer(text)
        for region in _finite_region(match, "line", match.span())
    ]
    if not rectangles and (match := _BARE_NUMBERS.match(stated_answer(text) or text.strip())):
        rectangles = list(_finite_region(match, "line", (0, len(text))))
    yield from rectangles


def _finite_region(
    match: re.Match[str], form: Form, extent: tuple[int, int], label: str = ""
) -> Iterator[Region]:
    """Yield the region with the numbers of a match; nothing if one of them is infinite."""
    a, b, c, d = (float(number) for number in match.groups() if number is not None)
    if all(map(isfinite, (a, b, c, d))):
        yield Region((a, b, c, d), label, form, *extent)
