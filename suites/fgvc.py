"""FGVC: five sets of fine-grained image classification, by which parameter-efficient tuning is compared (VPT, arXiv 2203.12119).

The models are image classifiers (`timm:`, `petl:`), one checkpoint per set. They read no words: a sample is an image, and
there is no prompt. A test split is VPT's own `test.json`, {image: class} (KMnP/vpt @ 4410440e,
src/data/datasets/json_dataset.py, which numbers classes in the order of their ids), or, for Flowers and Cars, torchvision's
files or the copy of CLIP_benchmark on the hub, which could not be reached where this was written. VPT split training from
validation images itself, so that accuracies of models tuned on other splits are of another protocol.

`official` is VPT's rule, top-1 accuracy for every set; `per-class` has the mean of the classes' accuracies for Flowers, as the
set is evaluated elsewhere (Kornblith et al., arXiv 1805.08974, recalled and not checked).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data.labelled_images import Source, samples
from evals.prompts import image_alone
from evals.report.aggregate import mean_of_variants
from evals.scorers.classes import Classes, classification
from evals.types import Prompt, Sample, Sampling

SOURCES = {
    "cub": Source(name="cub", classes=200, folders=("CUB_200_2011", "CUB"), images="images"),
    "nabirds": Source(name="nabirds", classes=555, folders=("nabirds",), images="images"),
    "flowers": Source(
        name="flowers",
        classes=102,
        folders=("OxfordFlower", "flowers-102"),
        layout="flowers",
        hub="clip-benchmark/wds_vtab-flowers",
    ),
    "dogs": Source(name="dogs", classes=120, folders=("Stanford-dogs", "stanford_dogs"), images="Images"),
    "cars": Source(
        name="cars",
        classes=196,
        folders=("Stanford-cars", "stanford_cars"),
        layout="cars",
        hub="clip-benchmark/wds_cars",
    ),
}
"""Numbers of classes: VPT's configs/finetune/*.yaml."""
PER_CLASS = frozenset({"flowers"})


def _protocol(variant: str, *, per_class: bool) -> Protocol:
    return Protocol(
        prompt=image_alone,
        verbatim=True,
        scorers={"class": Classes()},
        metrics=classification(per_class=per_class and variant in PER_CLASS),
        sampling=Sampling(),
    )


def _ideal(sample: Sample, prompt: Prompt) -> str:
    return f'{{"classes": [{sample.target}]}}'


def aggregate(protocol: str, cards: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mean of the five sets."""
    return mean_of_variants(SOURCES, cards)


BENCHMARK = Benchmark(
    name="fgvc",
    title="FGVC: birds (CUB, NABirds), flowers, dogs and cars for vision models; no prompt (arXiv 2203.12119).",
    variants={
        name: Variant(chance=1 / source.classes, classes=source.classes) for name, source in SOURCES.items()
    },
    samples=lambda data, variant: samples(data, SOURCES[variant]),
    protocols={
        "official": partial(_protocol, per_class=False),
        "per-class": partial(_protocol, per_class=True),
    },
    ideal=_ideal,
    needs=frozenset({"classes", "image"}),
    licence="each set has its own",
    cite="arXiv 2203.12119",
    aggregate=aggregate,
)
