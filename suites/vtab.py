"""VTAB-1k (Zhai et al. 2019, arXiv 1910.04867): 19 image-classification tasks in three groups, tuned on 1,000 images each.

The models are image classifiers (`timm:`, `petl:`), one checkpoint per task. They read no words: a sample is an image, and
there is no prompt. The tasks, numbers of classes and test splits are those of VPT (KMnP/vpt @ 4410440e,
src/data/vtab_datasets/), by which parameter-efficient tuning is compared.

`official` is VPT's rule, top-1 accuracy for every task. `per-class` has the mean of the classes' accuracies for the sets that
are evaluated so elsewhere (Caltech-101, Flowers, Pets: Kornblith et al., arXiv 1805.08974, recalled and not checked), top-1
for the others. The literature has two overall means, which differ by several points: of the 19 tasks, and of the three
groups. Both are computed, each under its name.

Rows on the hub are those of CLIP_benchmark (LAION-AI/CLIP_benchmark @ 48de38c, clip_benchmark/datasets/builder.py), made by
VTAB's own code; they could not be reached where this was written. For SUN397 that project uses another split, so there is none here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data.labelled_images import Source, samples
from evals.prompts import image_alone
from evals.report.aggregate import mean_of_groups, mean_of_variants
from evals.scorers.classes import RANKED, Classes, classification
from evals.types import Prompt, Sample, Sampling

HUB = "clip-benchmark/wds_vtab-{}"
SOURCES = {
    "caltech101": Source(name="caltech101", classes=102, hub=HUB.format("caltech101")),
    "cifar": Source(name="cifar", classes=100, folders=("cifar100",), hub=HUB.format("cifar100")),
    "dtd": Source(name="dtd", classes=47, layout="dtd", hub=HUB.format("dtd")),
    "oxford_flowers102": Source(
        name="oxford_flowers102",
        classes=102,
        folders=("flowers-102",),
        layout="flowers",
        hub=HUB.format("flowers"),
    ),
    "oxford_iiit_pet": Source(
        name="oxford_iiit_pet",
        classes=37,
        folders=("oxford-iiit-pet",),
        layout="pets",
        hub=HUB.format("pets"),
    ),
    "svhn": Source(name="svhn", classes=10, hub=HUB.format("svhn")),
    "sun397": Source(name="sun397", classes=397),
    "patch_camelyon": Source(name="patch_camelyon", classes=2, hub=HUB.format("pcam")),
    "eurosat": Source(name="eurosat", classes=10, hub=HUB.format("eurosat")),
    "resisc45": Source(name="resisc45", classes=45, hub=HUB.format("resisc45")),
    "diabetic_retinopathy": Source(
        name="diabetic_retinopathy", classes=5, hub=HUB.format("diabetic_retinopathy")
    ),
    "clevr_count": Source(
        name="clevr_count",
        classes=8,
        folders=("clevr",),
        layout="clevr-count",
        hub=HUB.format("clevr_count_all"),
    ),
    "clevr_dist": Source(
        name="clevr_dist",
        classes=6,
        folders=("clevr",),
        layout="clevr-distance",
        hub=HUB.format("clevr_closest_object_distance"),
    ),
    "dmlab": Source(name="dmlab", classes=6, hub=HUB.format("dmlab")),
    "kitti": Source(name="kitti", classes=4, hub=HUB.format("kitti_closest_vehicle_distance")),
    "dsprites_loc": Source(
        name="dsprites_loc",
        classes=16,
        hub=HUB.format("dsprites_label_x_position"),
        original_classes=32,
    ),
    "dsprites_ori": Source(
        name="dsprites_ori",
        classes=16,
        hub=HUB.format("dsprites_label_orientation"),
        original_classes=40,
    ),
    "smallnorb_azi": Source(name="smallnorb_azi", classes=18, hub=HUB.format("smallnorb_label_azimuth")),
    "smallnorb_ele": Source(name="smallnorb_ele", classes=9, hub=HUB.format("smallnorb_label_elevation")),
}
"""By the names of the exported lists (RepAdapter @ a7b33b74, NOAH, SSF and others read them)."""
ROWS = {
    "eurosat": 5_400, "resisc45": 6_300, "clevr_count": 15_000, "clevr_dist": 15_000, "dsprites_loc": 73_728,
    "dsprites_ori": 73_728, "smallnorb_azi": 12_150, "smallnorb_ele": 12_150,
}  # fmt: skip
"""Sizes of test splits that follow from VPT's code; those of the others are only recalled (docs/vision.md)."""
NAMES = tuple(SOURCES)
GROUPS = {"natural": NAMES[:7], "specialized": NAMES[7:11], "structured": NAMES[11:]}
SHARED = (("clevr_count", "clevr_dist"), ("dsprites_loc", "dsprites_ori"), ("smallnorb_azi", "smallnorb_ele"))
"""Tasks on the same images."""
PER_CLASS = frozenset({"caltech101", "oxford_flowers102", "oxford_iiit_pet"})


def _protocol(variant: str, *, per_class: bool) -> Protocol:
    few = SOURCES[variant].classes <= RANKED
    return Protocol(
        prompt=image_alone,
        verbatim=True,
        scorers={"class": Classes()},
        metrics=classification(per_class=per_class and variant in PER_CLASS, top5=not few),
        sampling=Sampling(),
    )


def _ideal(sample: Sample, prompt: Prompt) -> str:
    return f'{{"classes": [{sample.target}]}}'


def aggregate(protocol: str, cards: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the means of the groups that were run, and, of all three, the mean of the groups and that of the 19 tasks."""
    begun = {group: names for group, names in GROUPS.items() if set(names) & set(cards)}
    means = {
        group: mean_of_variants(names, cards, shared=SHARED) | {"metric": f"mean of {len(names)} tasks"}
        for group, names in begun.items()
    }
    if len(means) == len(GROUPS):
        means["groups"] = mean_of_groups(list(means.values())) | {"metric": "mean of three group means"}
        means["tasks"] = mean_of_variants(NAMES, cards, shared=SHARED) | {"metric": "mean of 19 tasks"}
    return [{"name": name, **mean} for name, mean in means.items()]


BENCHMARK = Benchmark(
    name="vtab",
    title="VTAB-1k: 19 image-classification tasks (natural, specialized, structured) for vision models; no prompt (arXiv 1910.04867).",
    variants={
        name: Variant(ROWS.get(name, 0), chance=1 / source.classes, classes=source.classes)
        for name, source in SOURCES.items()
    },
    sets=GROUPS,
    samples=lambda data, variant: samples(data, SOURCES[variant]),
    protocols={
        "official": partial(_protocol, per_class=False),
        "per-class": partial(_protocol, per_class=True),
    },
    ideal=_ideal,
    needs=frozenset({"classes", "image"}),
    licence="each task has its data set's own",
    cite="arXiv 1910.04867",
    aggregate=aggregate,
)
