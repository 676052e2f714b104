"""Where samples come from: pinned sources, archives, media, series, the sample store, known errata."""

from evals.data.sources import Data, Row, Split, read_file

__all__ = ["Data", "Row", "Split", "read_file"]
