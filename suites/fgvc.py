"""FGVC: five data sets of fine-grained image classification, used to compare parameter-efficient tuning (VPT, arXiv 2203.12119).

The models are image classifiers (`timm:`, `petl:`), one checkpoint per data set. A sample is an image; there is no text
prompt. The test split is VPT's own `test.json`, {image: class} (KMnP/vpt @ 4410440e, src/data/datasets/json_dataset.py,
which numbers classes in the order of their ids), or, for Flowers and Cars, torchvision's files or CLIP_benchmark's copy
on the hub (not tested against the hub). VPT made its own split of training and validation images, so accuracies of
models tuned on other splits are not comparable.

`official` is VPT's metric, top-1 accuracy for every data set; `per-class` reports the mean per-class accuracy for Flowers,
as is usual elsewhere (Kornblith et al., arXiv 1805.08974; not verified).
"""

from __future__ import annotations

from evals.data.labelled_images import Source
from evals.image_classification import classification_benchmark
from evals.report.aggregate import mean_of_variants

SOURCES = (
    Source(name="cub", classes=200, folders=("CUB_200_2011", "CUB"), images="images"),
    Source(name="nabirds", classes=555, folders=("nabirds",), images="images"),
    Source(
        name="flowers",
        classes=102,
        folders=("OxfordFlower", "flowers-102"),
        layout="flowers",
        hub="clip-benchmark/wds_vtab-flowers",
    ),
    Source(name="dogs", classes=120, folders=("Stanford-dogs", "stanford_dogs"), images="Images"),
    Source(
        name="cars",
        classes=196,
        folders=("Stanford-cars", "stanford_cars"),
        layout="cars",
        hub="clip-benchmark/wds_cars",
    ),
)
"""Numbers of classes: VPT's configs/finetune/*.yaml."""

BENCHMARK = classification_benchmark(
    SOURCES,
    per_class=frozenset({"flowers"}),
    name="fgvc",
    title="FGVC: birds (CUB, NABirds), flowers, dogs and cars for vision models; no prompt (arXiv 2203.12119).",
    licence="each data set has its own",
    cite="arXiv 2203.12119",
    aggregate=lambda protocol, cards: mean_of_variants([source.name for source in SOURCES], cards),
)
