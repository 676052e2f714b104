"""A collection: a table whose columns are runs of several benchmarks, and the mean over all of them.

`evals run mergebench -m MODEL` runs its columns, each under the benchmark's own name, so that runs made apart count as well. The mean
has no value while a column is missing: a mean over the columns that are there is another quantity, and not comparable.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from evals.errors import UnknownName


class Column(Struct, frozen=True, kw_only=True):
    """A column: one suite, or several whose plain mean it is."""

    name: str
    suites: tuple[str, ...]
    """Ids, e.g. `refcoco:plus-val`."""
    protocols: Mapping[str, str]
    """Protocol of the collection -> protocol of the suites."""
    images: str = ""
    """Name shared by columns about the same images, whose errors may add up; empty: independent of all others."""


class Collection(Struct, frozen=True, kw_only=True):
    """Columns under one name."""

    name: str
    title: str
    cite: str
    protocol_names: tuple[str, ...]
    """The default first."""
    columns: tuple[Column, ...]

    @property
    def suite_list(self) -> str:
        """Return the ids of all suites, for messages."""
        return ", ".join(suite for column in self.columns for suite in column.suites)

    def suites(self, column: str, protocol: str | None) -> list[tuple[str, str]]:
        """Return (suite, protocol) of a column, of all if it is empty; raises UnknownName."""
        wanted = protocol or self.protocol_names[0]
        if wanted not in self.protocol_names:
            raise UnknownName(f"protocol of {self.name}", wanted, self.protocol_names)
        chosen = [each for each in self.columns if column in ("", each.name)]
        if not chosen:
            raise UnknownName(f"column of {self.name}", column, [each.name for each in self.columns])
        return [(suite, each.protocols[wanted]) for each in chosen for suite in each.suites]


def _column(name: str, *suites: str, qwen: str, internvl: str, images: str = "") -> Column:
    protocols = {"strict": "strict", "optmerge-qwen": qwen, "optmerge-internvl": internvl}
    return Column(name=name, suites=suites or (name,), protocols=protocols, images=images)


MERGEBENCH = Collection(
    name="mergebench",
    title="OptMerge's benchmark of merged models: ten columns, VQA, geometry, charts, text in images, grounding (arXiv 2505.19892).",
    cite="arXiv 2505.19892",
    protocol_names=("strict", "optmerge-qwen", "optmerge-internvl"),
    columns=(
        _column("vizwiz", qwen="qwen2-vl", internvl="internvl"),
        _column("gqa", qwen="qwen2-vl", internvl="official"),
        _column("mathvista", "mathvista:geometry", qwen="vlmevalkit", internvl="vlmevalkit"),
        _column("mathvision", "mathvision:geometry", qwen="vlmevalkit", internvl="vlmevalkit"),
        _column("chartqa", "chartqa:human", "chartqa:augmented", qwen="official", internvl="official"),
        _column("textvqa", qwen="qwen2-vl", internvl="official"),
        _column("ocrvqa", "ocrvqa:testcore", qwen="qwen2-vl", internvl="official"),
        _column("refcoco", "refcoco:val", qwen="optmerge-qwen", internvl="internvl", images="COCO"),
        _column("refcoco+", "refcoco:plus-val", qwen="optmerge-qwen", internvl="internvl", images="COCO"),
        _column("refcocog", "refcoco:g-val", qwen="optmerge-qwen", internvl="internvl", images="COCO"),
    ),
)
"""Columns as in its tables, in their order. Its two families were evaluated by different code: `optmerge-qwen`, `optmerge-internvl`."""
COLLECTIONS: Mapping[str, Collection] = {MERGEBENCH.name: MERGEBENCH}
