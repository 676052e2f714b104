"""RefCOCO, RefCOCO+ (Yu et al., arXiv 1608.00272) and RefCOCOg (Mao et al., arXiv 1511.02283): which region does a phrase describe?

A sample is a phrase; a reply is right if the IoU of the stated rectangle and the object's is at least 0.5. Four
evaluators parse replies differently and ask for different units, so each is a protocol
(evals/scorers/upstream/grounding.py): `optmerge-qwen` and `internvl` produced OptMerge's tables for its two model
families, `lmms-eval` is the original from which `optmerge-qwen` was derived, and `vlmevalkit` defines RefCOCO-avg, the
mean of the eight splits. The evaluators' prompts are in no package (VLMEvalKit's are part of its data), so runs made
here are reworded (`vlmevalkit~` etc.). `strict` asks for thousandths and uses the last stated rectangle
(evals/scorers/boxes.py).

The hub's RefCOCO val has 8,811 objects and RefCOCOg val 7,573, while the usual (UNC, UMD) splits have 3,811 and 2,573:
scores on the hub's splits are not comparable with those on InternVL's files, which are supported too
(`refcoco_val.jsonl` etc. with `image`, `sent`, `bbox` (corners), `width` and `height`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any, Literal

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data import Data, Row, Split
from evals.data.media import image_size, with_image
from evals.errors import DataError
from evals.labels import ProtocolName
from evals.prompts import template
from evals.prompts.upstream import unavailable_prompts
from evals.report.aggregate import mean_of_variants
from evals.scorers.boxes import Boxes, grounding
from evals.scorers.upstream.grounding import UpstreamBox
from evals.types import Prompt, Prompter, Sample, Sampling


def _split(variant: str, hub: str, file: str, objects: int | None = None) -> Split:
    """Return a split; `file`: name of InternVL's file; `objects`: their number on the hub."""
    split = variant.rpartition("-")[2]
    stems = (f"{hub}/{split}", file, variant)
    return Split(hub=f"lmms-lab/{hub}", split=split, stems=stems, rows=objects)


SPLITS = {
    "val": _split("val", "RefCOCO", "refcoco_val", 8_811),
    "testA": _split("testA", "RefCOCO", "refcoco_testA", 1_975),
    "testB": _split("testB", "RefCOCO", "refcoco_testB", 1_810),
    "plus-val": _split("plus-val", "RefCOCOplus", "refcoco+_val"),
    "plus-testA": _split("plus-testA", "RefCOCOplus", "refcoco+_testA"),
    "plus-testB": _split("plus-testB", "RefCOCOplus", "refcoco+_testB"),
    "g-val": _split("g-val", "RefCOCOg", "refcocog_val", 7_573),
    "g-test": _split("g-test", "RefCOCOg", "refcocog_test", 5_023),
}
SETS = {
    "plus": ("plus-val", "plus-testA", "plus-testB"),
    "g": ("g-val", "g-test"),
    "all": tuple(SPLITS),
}


def _samples(data: Data, variant: str) -> Iterator[Sample]:
    phrase_counts: Counter[str] = Counter()
    for number, row in enumerate(data.rows(SPLITS[variant], required=("image", "bbox"))):
        object_id = str(row.get("question_id") or row.get("id") or number)
        phrases = _phrases(row, object_id)
        width, height = _image_dimensions(data, row, object_id)
        for phrase in phrases:
            yield Sample(
                id=f"{object_id}-{phrase_counts[object_id]}",
                question=with_image(data, phrase, row["image"], required=True),
                target=_gold(row, object_id),
                cluster=str(row.get("file_name") or ""),
                meta={"width": width, "height": height},
            )
            phrase_counts[object_id] += 1


def _phrases(row: Row, object_id: str) -> list[str]:
    value = row.get("answer") if row.get("answer") is not None else row.get("sent")
    phrases = [value] if isinstance(value, str) else value
    if not isinstance(phrases, list | tuple) or not phrases:
        raise DataError(f"refcoco: {object_id}: its column 'answer' or 'sent' contains no phrase")
    return [str(phrase) for phrase in phrases]


def _image_dimensions(data: Data, row: Row, object_id: str) -> tuple[int, int]:
    columns = row.get("width"), row.get("height")
    width, height = (int(n) if isinstance(n, int) else 0 for n in columns)
    if not (width > 0 and height > 0):
        width, height = image_size(data, row["image"])
    if not (width > 0 and height > 0):
        raise DataError(f"refcoco: {object_id}: the size of its image is unknown")
    return width, height


def _gold(row: Row, object_id: str) -> str:
    """Return the object's corners: InternVL's rows (with `sent`) contain both; the hub's contain one corner, width and height."""
    try:
        x1, y1, x2, y2 = (float(number) for number in row["bbox"])
    except (TypeError, ValueError):
        raise DataError(f"refcoco: {object_id}: its column 'bbox' is not a rectangle") from None
    if "sent" not in row:
        x2, y2 = x1 + x2, y1 + y2
    if not all(map(isfinite, (x1, y1, x2, y2))) or not (x1 < x2 and y1 < y2):
        raise DataError(f"refcoco: {object_id}: its column 'bbox' is not a rectangle")
    return f"[{x1:.8g}, {y1:.8g}, {x2:.8g}, {y2:.8g}]"


COORDINATE_FORMATS = {
    "thousand": "as whole numbers from 0 to 1000, thousandths of the image's width and height",
    "unit": "as numbers from 0 to 1, shares of the image's width and height",
}


def _prompter(unit: Literal["thousand", "unit", ""], *, phrase_format: str = "{}") -> Prompter:
    """Return a prompter; `unit`: unit of the coordinates; empty if the prompt does not ask for a rectangle."""
    instruction = (
        f"\nReply with its rectangle [left, top, right, bottom], {COORDINATE_FORMATS[unit]}." if unit else ""
    )
    phrase = phrase_format.format("{question}")
    return template(f"Which region of the image does this phrase describe? {phrase}{instruction}")


def _ideal(sample: Sample, prompt: Prompt) -> str:
    """Return the object's rectangle as fractions of width and height."""
    corners = [float(number) for number in str(sample.target).strip("[]").split(",")]
    sides = (float(sample.meta["width"]), float(sample.meta["height"])) * 2
    return f"[{', '.join(f'{x / side:.5f}' for x, side in zip(corners, sides, strict=True))}]"


def _upstream_protocol(
    rule: Literal["optmerge-qwen", "lmms-eval", "internvl", "vlmevalkit"],
    evaluator: str,
    prompt: Prompter,
    *,
    max_tokens: int,
) -> Protocol:
    return Protocol(
        prompt=prompt,
        upstream=unavailable_prompts(f"the prompt of {evaluator}"),
        scorers={"box": UpstreamBox(rule)},
        metrics=grounding(),
        sampling=Sampling(temperature=0.0, max_tokens=max_tokens),
    )


def aggregate(protocol: str, cards: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return VLMEvalKit's RefCOCO-avg, the mean of the eight splits, which share images; None under other protocols."""
    if ProtocolName.parse(protocol).base != "vlmevalkit":
        return None
    return {"name": "avg"} | mean_of_variants(SPLITS, cards, same_items=[tuple(SPLITS)])


BENCHMARK = Benchmark(
    name="refcoco",
    title="RefCOCO: locate the object that a phrase describes; `:plus` and `:g` are RefCOCO+ and RefCOCOg (arXiv 1608.00272).",
    variants={
        name: Variant(cite="arXiv 1511.02283") if name.startswith("g-") else Variant() for name in SPLITS
    },
    default=("val", "testA", "testB"),
    sets=SETS,
    samples=_samples,
    protocols={
        "strict": Protocol(
            prompt=_prompter("thousand"), scorers={"box": Boxes(scale="thousand")}, metrics=grounding()
        ),
        "optmerge-qwen": _upstream_protocol(
            "optmerge-qwen", "OptMerge's copy of lmms-eval", _prompter(""), max_tokens=128
        ),
        "internvl": _upstream_protocol(
            "internvl", "InternVL's evaluator", _prompter("", phrase_format="<ref>{}</ref>"), max_tokens=100
        ),
        "lmms-eval": _upstream_protocol("lmms-eval", "lmms-eval", _prompter("unit"), max_tokens=128),
        "vlmevalkit": _upstream_protocol("vlmevalkit", "VLMEvalKit's table", _prompter(""), max_tokens=2_048),
    },
    ideal=_ideal,
    needs=frozenset({"image"}),
    licence="not stated (github.com/lichengunc/refer); images under COCO's terms",
    cite="arXiv 1608.00272",
    aggregate=aggregate,
)
