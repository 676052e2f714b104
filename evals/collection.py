"""A collection: a table whose columns are several benchmarks, and the mean over all columns.

`evals run mergebench -m MODEL` runs all columns, each under the benchmark's own name, so that separate runs of a benchmark
count too. The mean has no value while a column is missing, since a mean over fewer columns is not comparable.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from evals.errors import UnknownName


class Column(Struct, frozen=True, kw_only=True):
    """A column: one suite, or the unweighted mean of several."""

    name: str
    suites: tuple[str, ...]
    """Ids, e.g. `refcoco:plus-val`."""
    protocols: Mapping[str, str]
    """Protocol of the collection -> protocol of the suites."""
    images: str = ""
    """Name shared by columns on the same images, whose sampling errors may be correlated; empty: independent of all others."""


class Collection(Struct, frozen=True, kw_only=True):
    """A named set of columns."""

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
        """Return the (suite, protocol) pairs of a column, or of all columns if `column` is empty; raises UnknownName."""
        requested = protocol or self.protocol_names[0]
        if requested not in self.protocol_names:
            raise UnknownName(f"protocol of {self.name}", requested, self.protocol_names)
        selected = [entry for entry in self.columns if column in ("", entry.name)]
        if not selected:
            raise UnknownName(f"column of {self.name}", column, [entry.name for entry in self.columns])
        return [(suite, entry.protocols[requested]) for entry in selected for suite in entry.suites]


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
"""The columns of OptMerge's tables. The authors evaluated two model families with different code, hence the protocols
`optmerge-qwen` and `optmerge-internvl`."""
COLLECTIONS: Mapping[str, Collection] = {MERGEBENCH.name: MERGEBENCH}
