"""Correlations, ROC-AUC and Fmax of a whole run, computed from the parts of each score.

A score stores its gold numbers in the parts `gold_0`, `gold_1`, ... and the stated numbers in `stated_0`, ...; a missing
part means that the number was not stated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from evals.errors import DataError
from evals.types import Point

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Kind = Literal["pearson", "spearman", "r2"]


class _RowStatistic(Struct, frozen=True):
    """A statistic of two tables with a row for each item: the gold numbers, and the stated numbers or NaN."""

    def __call__(self, points: Sequence[Point]) -> float:
        """Return the statistic; raises ValueError if it is undefined."""
        return self.of(*self._tables([point for point in points if self._is_counted(point)]))

    def of(self, gold: Floats, stated: Floats) -> float:
        """Return the statistic; NaN in `stated` marks a number that is not stated."""
        raise NotImplementedError

    def _is_counted(self, point: Point) -> bool:
        return "gold_0" in point.parts

    def _tables(self, points: Sequence[Point]) -> tuple[Floats, Floats]:
        """Return the gold numbers and the stated numbers of counted points; raises ValueError if there are none."""
        import numpy as np

        if not points:
            raise ValueError("at least one value is needed")
        width = sum(name.startswith("gold_") for name in points[0].parts)
        gold, stated = (
            np.array(
                [[p.parts.get(f"{name}_{i}", np.nan) for i in range(width)] for p in points], dtype=float
            )
            for name in ("gold", "stated")
        )
        return gold, stated

    def over(self, clusters: Sequence[Sequence[Point]]) -> Callable[[NDArray[np.intp]], float]:
        """Return a function from the indices of resampled clusters to the statistic."""
        import numpy as np

        indexed_points = [
            (index, p) for index, points in enumerate(clusters) for p in points if self._is_counted(p)
        ]
        gold, stated = self._tables([point for _, point in indexed_points])
        cluster_indices = np.array([index for index, _ in indexed_points], dtype=np.intp)

        def statistic(indices: NDArray[np.intp]) -> float:
            multiplicities = np.bincount(indices, minlength=len(clusters))[cluster_indices]
            rows = np.repeat(np.arange(len(cluster_indices)), multiplicities)
            return self.of(gold[rows], stated[rows])

        return statistic


class Correlation(_RowStatistic, frozen=True):
    """Correlation over items, times the share of items with a stated number; averaged over the numbers if items have several.

    `r2` is the square of Pearson's correlation; with `signed` it keeps the correlation's sign. `constant` is the value if
    all gold or all stated numbers are equal; None makes the statistic undefined.
    """

    kind: Kind
    signed: bool = False
    constant: float | None = None

    def of(self, gold: Floats, stated: Floats) -> float:
        """Return the statistic; raises ValueError if it is undefined."""
        values = [self._column_correlation(gold[:, i], stated[:, i]) for i in range(gold.shape[1])]
        return sum(values) / len(values)

    def _column_correlation(self, gold: Floats, stated: Floats) -> float:
        import numpy as np

        is_stated = ~np.isnan(stated)
        if not is_stated.any():
            return 0.0
        x, y = gold[is_stated], stated[is_stated]
        if self.kind == "spearman":
            x, y = _ranks(x), _ranks(y)
        with np.errstate(over="ignore", invalid="ignore"):  # an answer such as 1e300
            dx, dy = x - x.mean(), y - y.mean()
            denominator = float(np.sqrt(dx @ dx) * np.sqrt(dy @ dy))
        if not np.isfinite(denominator):
            raise ValueError("a stated number is too large")
        if np.ptp(x) == 0 or np.ptp(y) == 0 or not denominator > 0:
            if self.constant is None:
                raise ValueError("the correlation of constant numbers is undefined")
            return self.constant
        value = float(dx @ dy) / denominator
        if self.kind == "r2":
            value *= abs(value) if self.signed else value
        return value * float(is_stated.mean())


def _ranks(values: Floats) -> Floats:
    """Return ranks from 0; tied values get their mean rank."""
    import numpy as np

    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    means: Floats = np.cumsum(counts) - (counts + 1) / 2
    ranks: Floats = means[inverse]
    return ranks


class Mixed(_RowStatistic, frozen=True):
    """OpenCompass' mixed score for efficiencies in %, with a term for all stated numbers and one for those from 0 to 30.

    It is s ((1 - E / 100) + F1 ("below 30") (1 - L / 100)) / 2, where s is the share of items with a stated number up to
    1,000 in magnitude, E the MAE of these items, and L the MAE of those among them with a stated number from 0 to 30; E and
    L are clipped at 100. `default` replaces a number that is not stated; if it is None, a missing number reduces s.
    """

    default: float | None = None

    def of(self, gold: Floats, stated: Floats) -> float:
        """Return the statistic; 0 if no stated number is up to 1,000 in magnitude."""
        import numpy as np

        x, y = gold[:, 0], stated[:, 0]
        if self.default is not None:
            y = np.where(np.isnan(y), self.default, y)
        usable = np.abs(y) <= 1000.0
        if not usable.any():
            return 0.0
        return self._of_usable_numbers(x[usable], y[usable]) * float(usable.mean())

    def _of_usable_numbers(self, x: Floats, y: Floats) -> float:
        import numpy as np

        low_stated, low_gold = y < 30.0, x < 30.0
        hits = float((low_stated & low_gold).sum())
        f1 = 2 * hits / float(low_stated.sum() + low_gold.sum()) if hits else 0.0
        in_range = (y >= 0) & (y <= 30.0)
        error = min(float(np.abs(x - y).mean()), 100.0)
        low_error = min(float(np.abs(x - y)[in_range].mean()), 100.0) if in_range.any() else 100.0
        return (1 - error / 100) / 2 + (1 - low_error / 100) * f1 / 2


class LabelAuc(_RowStatistic, frozen=True):
    """Area under the ROC curve of hard labels, (sensitivity + specificity) / 2, averaged over labels.

    A label that is present in all items, or in none, is excluded.
    """

    def of(self, gold: Floats, stated: Floats) -> float:
        """Return the statistic; raises ValueError if no label is present in some items and absent in others."""
        import numpy as np

        present, stated_present = gold > 0.5, stated > 0.5
        present_count, absent_count = present.sum(axis=0), (~present).sum(axis=0)
        defined = (present_count > 0) & (absent_count > 0)
        if not defined.any():
            raise ValueError("no label is present in some items and absent in others")
        sensitivity = (present & stated_present).sum(axis=0)[defined] / present_count[defined]
        specificity = (~present & ~stated_present).sum(axis=0)[defined] / absent_count[defined]
        return float(np.mean((sensitivity + specificity) / 2))


class Fmax(_RowStatistic, frozen=True):
    """Protein-centric maximum F1 over a list of labels, as OpenCompass' `count_f1_max` computes it for predictions of 0 and 1.

    Tied scores are not grouped: predictions are added one by one, item by item, then all other labels of the list, and the
    largest F1 of this sequence counts. An empty prediction therefore scores above 0, and labels outside the list are ignored.
    """

    labels: Callable[[], tuple[str, ...]]
    """Returns the list; raises DataError if it is not available."""
    split: Callable[[str], Sequence[str]]
    """Splits an answer into labels."""
    resamples: int = 200
    """Number of bootstrap resamples; each sorts a table of items by labels."""

    def of(self, gold: Floats, stated: Floats) -> float:
        """Return the statistic of two tables (item by label) of 0 and 1."""
        return fmax(stated, gold)

    def _is_counted(self, point: Point) -> bool:
        return point.verdict != "missing"

    def _tables(self, points: Sequence[Point]) -> tuple[Floats, Floats]:
        """Return the gold labels and the stated labels; raises ValueError without points or if the list is not available."""
        import numpy as np

        try:
            index = {label: i for i, label in enumerate(self.labels())}
        except DataError as error:
            raise ValueError(str(error)) from error
        if not points:
            raise ValueError("at least one value is needed")
        stated, gold = (np.zeros((len(points), len(index))) for _ in range(2))
        for row, point in enumerate(points):
            for table, text in ((stated, point.answer or ""), (gold, str(point.target))):
                for label in self.split(text):
                    if label in index:
                        table[row, index[label]] = 1.0
        return gold, stated


def fmax(stated: Floats, gold: Floats) -> float:
    """Return the maximum F1 of two tables (item by label) of 0 and 1; see `Fmax`."""
    import numpy as np

    items, labels = stated.shape
    order = np.argsort(-stated, axis=1, kind="stable")
    hits = np.cumsum(np.take_along_axis(gold, order, axis=1), axis=1)
    precision = hits / np.arange(1, labels + 1)
    recall = hits / (gold.sum(axis=1, keepdims=True) + 1e-10)
    stated_counts = stated.sum(axis=1).astype(int)
    predicted = (np.arange(labels) < stated_counts[:, None]).ravel()
    sequence = np.concatenate((np.flatnonzero(predicted), np.flatnonzero(~predicted)))

    def increments(values: Floats) -> Floats:
        """Return each cell's difference from the previous cell of its row, in the order of `sequence`."""
        differences: Floats = np.diff(values, axis=1, prepend=0.0).ravel()[sequence]
        return differences

    items_so_far = np.cumsum(sequence % labels == 0)
    p = np.cumsum(increments(precision)) / items_so_far
    r = np.cumsum(increments(recall)) / items
    return float((2 * p * r / (p + r + 1e-10)).max())
