"""VTAB-1k (Zhai et al. 2019, arXiv 1910.04867): 19 image-classification tasks in three groups, with 1,000 training images each.

The models are image classifiers (`timm:`, `petl:`), one checkpoint per task. A sample is an image; there is no text prompt.
The tasks, numbers of classes and test splits are those of VPT (KMnP/vpt @ 4410440e, src/data/vtab_datasets/), the usual
reference of papers on parameter-efficient tuning.

`official` is VPT's metric, top-1 accuracy for every task. `per-class` reports the mean per-class accuracy for the data sets
for which this is usual elsewhere (Caltech-101, Flowers, Pets: Kornblith et al., arXiv 1805.08974; not verified), and top-1
accuracy for the others. The literature uses two overall means, which differ by several points: over the 19 tasks, and over
the three groups. Both are computed, each under its own name.

Rows on the hub are those of CLIP_benchmark (LAION-AI/CLIP_benchmark @ 48de38c, clip_benchmark/datasets/builder.py), created
with VTAB's own code (not tested against the hub). CLIP_benchmark's split of SUN397 differs, so it is not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evals.data.labelled_images import Source
from evals.image_classification import classification_benchmark
from evals.report.aggregate import mean_of_groups, mean_of_variants


def _source(name: str, classes: int, hub_name: str = "", **options: Any) -> Source:
    hub = f"clip-benchmark/wds_vtab-{hub_name}" if hub_name else ""
    return Source(name=name, classes=classes, hub=hub, **options)


SOURCES = (
    _source("caltech101", 102, "caltech101"),
    _source("cifar", 100, "cifar100", folders=("cifar100",)),
    _source("dtd", 47, "dtd", layout="dtd"),
    _source("oxford_flowers102", 102, "flowers", folders=("flowers-102",), layout="flowers"),
    _source("oxford_iiit_pet", 37, "pets", folders=("oxford-iiit-pet",), layout="pets"),
    _source("svhn", 10, "svhn"),
    _source("sun397", 397),
    _source("patch_camelyon", 2, "pcam"),
    _source("eurosat", 10, "eurosat"),
    _source("resisc45", 45, "resisc45"),
    _source("diabetic_retinopathy", 5, "diabetic_retinopathy"),
    _source("clevr_count", 8, "clevr_count_all", folders=("clevr",), layout="clevr-count"),
    _source("clevr_dist", 6, "clevr_closest_object_distance", folders=("clevr",), layout="clevr-distance"),
    _source("dmlab", 6, "dmlab"),
    _source("kitti", 4, "kitti_closest_vehicle_distance"),
    _source("dsprites_loc", 16, "dsprites_label_x_position", original_classes=32),
    _source("dsprites_ori", 16, "dsprites_label_orientation", original_classes=40),
    _source("smallnorb_azi", 18, "smallnorb_label_azimuth"),
    _source("smallnorb_ele", 9, "smallnorb_label_elevation"),
)
"""Named like the exported lists that RepAdapter (@ a7b33b74), NOAH, SSF and others read."""
ROWS = {
    "eurosat": 5_400, "resisc45": 6_300, "clevr_count": 15_000, "clevr_dist": 15_000, "dsprites_loc": 73_728,
    "dsprites_ori": 73_728, "smallnorb_azi": 12_150, "smallnorb_ele": 12_150,
}  # fmt: skip
"""Sizes of test splits that follow from VPT's code; the other sizes are not verified (docs/vision.md)."""
NAMES = tuple(source.name for source in SOURCES)
GROUPS = {"natural": NAMES[:7], "specialized": NAMES[7:11], "structured": NAMES[11:]}
SAME_IMAGES = (
    ("clevr_count", "clevr_dist"),
    ("dsprites_loc", "dsprites_ori"),
    ("smallnorb_azi", "smallnorb_ele"),
)
"""Tasks that use the same images."""


def aggregate(protocol: str, cards: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the mean of each group that was run and, if all were, the means over groups and over the 19 tasks."""
    groups = {group: names for group, names in GROUPS.items() if set(names) & set(cards)}
    means = {
        group: mean_of_variants(names, cards, same_items=SAME_IMAGES)
        | {"metric": f"mean of {len(names)} tasks"}
        for group, names in groups.items()
    }
    if len(means) == len(GROUPS):
        means["groups"] = mean_of_groups(list(means.values())) | {"metric": "mean of three group means"}
        means["tasks"] = mean_of_variants(NAMES, cards, same_items=SAME_IMAGES) | {
            "metric": "mean of 19 tasks"
        }
    return [{"name": name, **mean} for name, mean in means.items()]


BENCHMARK = classification_benchmark(
    SOURCES,
    per_class=frozenset({"caltech101", "oxford_flowers102", "oxford_iiit_pet"}),
    rows=ROWS,
    name="vtab",
    title="VTAB-1k: 19 image-classification tasks (natural, specialized, structured) for vision models; no prompt (arXiv 1910.04867).",
    sets=GROUPS,
    licence="each data set has its own",
    cite="arXiv 1910.04867",
    aggregate=aggregate,
)
