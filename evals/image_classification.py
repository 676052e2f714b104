"""Benchmarks for image classifiers: several data sets of labelled images, without a text prompt (FGVC, VTAB-1k)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data.labelled_images import Source, samples
from evals.prompts import images_only
from evals.scorers.classes import MAX_RANKED, Classes, classification
from evals.types import Sampling

NO_ROWS: Mapping[str, int] = {}


def classification_benchmark(
    sources: tuple[Source, ...],
    *,
    per_class: frozenset[str],
    rows: Mapping[str, int] = NO_ROWS,
    **fields: Any,
) -> Benchmark:
    """Return a benchmark with a variant per source, and the protocols `official` (top-1 accuracy) and `per-class`.

    `per_class`: the sources whose headline under `per-class` is the mean per-class accuracy; `rows`: source -> number of
    images, if known; `fields`: further fields of the benchmark.
    """
    by_name = {source.name: source for source in sources}

    def protocol(variant: str, *, macro: bool) -> Protocol:
        return Protocol(
            prompt=images_only,
            verbatim=True,
            scorers={"class": Classes()},
            metrics=classification(
                per_class=macro and variant in per_class, top5=by_name[variant].classes > MAX_RANKED
            ),
            sampling=Sampling(),
        )

    return Benchmark(
        variants={
            name: Variant(rows.get(name, 0), chance=1 / source.classes, classes=source.classes)
            for name, source in by_name.items()
        },
        samples=lambda data, variant: samples(data, by_name[variant]),
        protocols={"official": partial(protocol, macro=False), "per-class": partial(protocol, macro=True)},
        ideal=lambda sample, prompt: f'{{"classes": [{sample.target}]}}',
        needs=frozenset({"classes", "image"}),
        **fields,
    )
