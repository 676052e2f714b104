"""RefCOCO, RefCOCO+ (Yu et al., arXiv 1608.00272) and RefCOCOg (Mao et al., arXiv 1511.02283): which region does a phrase mean?

One sample per phrase, correct if the stated rectangle overlaps the object's (IoU) by half. Four evaluators read replies differently and
ask for different units, so each is a protocol (evals/scorers/upstream/grounding.py): `optmerge-qwen` and `internvl` made OptMerge's tables
of its two families, `lmms-eval` is what the first one was before its authors changed it, `vlmevalkit` gives RefCOCO-avg, the
mean of the eight splits. Their prompts are in no package, and VLMEvalKit's are part of its table: runs made here are `...~`. `strict` asks for
thousandths and takes the last rectangle stated (evals/scorers/boxes.py).

The hub's RefCOCO val has 8,811 objects and RefCOCOg val 7,573; the common (UNC, UMD) splits have 3,811 and 2,573. The 5,000 more of each
are inferred from these counts, and make the hub's figures incomparable with those over InternVL's files, which are read too:
`refcoco_val.jsonl` and so on, with `image`, `sent`, `bbox` (corners), `width` and `height`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any, Literal, NamedTuple

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data import Data, Row, Split
from evals.data.media import size, with_image
from evals.errors import DataError
from evals.labels import ProtocolName
from evals.prompts import ask_with_images, plain_text
from evals.prompts.upstream import unavailable_prompts
from evals.report.aggregate import mean_of_variants
from evals.scorers.boxes import Boxes, grounding
from evals.scorers.upstream.grounding import UpstreamBox
from evals.types import Prompt, Prompter, Sample, Sampling


class Part(NamedTuple):
    """A split: repository of the hub, its name there, the name in InternVL's files, and its number of objects on the hub."""

    hub: str
    split: str
    file: str
    objects: int | None = None


PARTS = {
    "val": Part("RefCOCO", "val", "refcoco_val", 8_811),
    "testA": Part("RefCOCO", "testA", "refcoco_testA", 1_975),
    "testB": Part("RefCOCO", "testB", "refcoco_testB", 1_810),
    "plus-val": Part("RefCOCOplus", "val", "refcoco+_val"),
    "plus-testA": Part("RefCOCOplus", "testA", "refcoco+_testA"),
    "plus-testB": Part("RefCOCOplus", "testB", "refcoco+_testB"),
    "g-val": Part("RefCOCOg", "val", "refcocog_val", 7_573),
    "g-test": Part("RefCOCOg", "test", "refcocog_test", 5_023),
}
SETS = {
    "plus": ("plus-val", "plus-testA", "plus-testB"),
    "g": ("g-val", "g-test"),
    "all": tuple(PARTS),
}


def _samples(data: Data, variant: str) -> Iterator[Sample]:
    part = PARTS[variant]
    split = Split(
        hub=f"lmms-lab/{part.hub}",
        split=part.split,
        stems=(f"{part.hub}/{part.split}", part.file, variant),
        rows=part.objects,
    )
    seen: Counter[str] = Counter()
    for number, row in enumerate(data.rows(split, required=("image", "bbox"))):
        name = str(row.get("question_id") or row.get("id") or number)
        phrases = _phrases(row, name)
        width, height = _size(data, row, name)
        for phrase in phrases:
            yield Sample(
                id=f"{name}-{seen[name]}",
                question=with_image(data, phrase, row["image"], required=True),
                target=_gold(row, name),
                cluster=str(row.get("file_name") or ""),
                meta={"width": width, "height": height},
            )
            seen[name] += 1


def _phrases(row: Row, name: str) -> list[str]:
    value = row.get("answer") if row.get("answer") is not None else row.get("sent")
    phrases = [value] if isinstance(value, str) else value
    if not isinstance(phrases, list | tuple) or not phrases:
        raise DataError(f"refcoco: {name}: there is no phrase in its column 'answer' or 'sent'")
    return [str(phrase) for phrase in phrases]


def _size(data: Data, row: Row, name: str) -> tuple[int, int]:
    stated = row.get("width"), row.get("height")
    width, height = (int(n) if isinstance(n, int) else 0 for n in stated)
    if not (width > 0 and height > 0):
        width, height = size(data, row["image"])
    if not (width > 0 and height > 0):
        raise DataError(f"refcoco: {name}: the size of its image is not known")
    return width, height


def _gold(row: Row, name: str) -> str:
    """Return the corners of the object: InternVL's rows with `sent` have them, the hub's have corner, width and height."""
    try:
        a, b, c, d = (float(number) for number in row["bbox"])
    except (TypeError, ValueError):
        raise DataError(f"refcoco: {name}: its column 'bbox' is no rectangle") from None
    x2, y2 = (c, d) if "sent" in row else (a + c, b + d)
    if not all(map(isfinite, (a, b, x2, y2))) or not (a < x2 and b < y2):
        raise DataError(f"refcoco: {name}: its column 'bbox' is no rectangle")
    return f"[{a:.8g}, {b:.8g}, {x2:.8g}, {y2:.8g}]"


UNITS = {
    "thousand": "as whole numbers from 0 to 1000, thousandths of the image's width and height",
    "unit": "as numbers from 0 to 1, shares of the image's width and height",
    "": "",
}


def _asking(unit: Literal["thousand", "unit", ""], *, mark: str = "{}") -> Prompter:
    form = f"\nReply with its rectangle [left, top, right, bottom], {UNITS[unit]}." if unit else ""

    def ask(sample: Sample, repeat: int) -> Prompt:
        phrase = mark.format(plain_text(sample.question))
        return ask_with_images(sample, f"Which region of the image does this phrase describe? {phrase}{form}")

    return ask


def _ideal(sample: Sample, prompt: Prompt) -> str:
    """Return the object's rectangle as shares of width and height."""
    corners = [float(number) for number in str(sample.target).strip("[]").split(",")]
    sides = (float(sample.meta["width"]), float(sample.meta["height"])) * 2
    return f"[{', '.join(f'{x / side:.5f}' for x, side in zip(corners, sides, strict=True))}]"


def _upstream(
    rule: Literal["optmerge-qwen", "lmms-eval", "internvl", "vlmevalkit"],
    whose: str,
    prompt: Prompter,
    *,
    tokens: int,
) -> Protocol:
    return Protocol(
        prompt=prompt,
        upstream=unavailable_prompts(whose),
        scorers={"box": UpstreamBox(rule)},
        metrics=grounding(),
        sampling=Sampling(temperature=0.0, max_tokens=tokens),
    )


def aggregate(protocol: str, cards: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return VLMEvalKit's RefCOCO-avg, the mean of the eight splits, under its protocol; they share images."""
    if ProtocolName.parse(protocol).base != "vlmevalkit":
        return None
    return {"name": "avg"} | mean_of_variants(PARTS, cards, shared=[tuple(PARTS)])


BENCHMARK = Benchmark(
    name="refcoco",
    title="RefCOCO: rectangles of objects that phrases describe; `:plus` and `:g` are RefCOCO+ and RefCOCOg (arXiv 1608.00272).",
    variants={
        name: Variant(cite="arXiv 1511.02283") if name.startswith("g-") else Variant() for name in PARTS
    },
    default=("val", "testA", "testB"),
    sets=SETS,
    samples=_samples,
    protocols={
        "strict": Protocol(
            prompt=_asking("thousand"), scorers={"box": Boxes(scale="thousand")}, metrics=grounding()
        ),
        "optmerge-qwen": _upstream("optmerge-qwen", "OptMerge's copy of lmms-eval", _asking(""), tokens=128),
        "internvl": _upstream(
            "internvl", "InternVL's evaluator", _asking("", mark="<ref>{}</ref>"), tokens=100
        ),
        "lmms-eval": _upstream("lmms-eval", "lmms-eval", _asking("unit"), tokens=128),
        "vlmevalkit": _upstream("vlmevalkit", "VLMEvalKit's table", _asking(""), tokens=2_048),
    },
    ideal=_ideal,
    needs=frozenset({"image"}),
    licence="not stated (github.com/lichengunc/refer); images under COCO's terms",
    cite="arXiv 1608.00272",
    aggregate=aggregate,
)
