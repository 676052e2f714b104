"""Benchmark data: pinned sources, archives, media, time series, the sample store, errata."""

from evals.data.sources import Data, Row, Split, read_file, text_list

__all__ = ["Data", "Row", "Split", "read_file", "text_list"]
