"""Score numeric answers by absolute error (regression) or within a tolerance.

For `AbsoluteError`, a reply without a number has no error: `Score.value` is None, and each metric below states how it treats
such a reply. `Within` scores it 0. A number in a unit whose dimension is not the target's is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf, sqrt
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from evals.errors import ScorerError, UsageError
from evals.extract.quantity import stated
from evals.extract.reading import Reading
from evals.extract.statements import DELIMITED_FORMS
from evals.extract.units import DIMENSIONLESS, Quantity, close, convert, load_units
from evals.scorers.folds import INTERVAL_RULES, ByGroup, Pooled, Reduction, weighted_mean
from evals.scorers.outcomes import binary_score, no_stated_answer, with_reading
from evals.scorers.run_intervals import Columns, mean_error_rule, rms_interval
from evals.types import Metric, Point, Prompt, Reply, Sample, Score

if TYPE_CHECKING:
    from evals.scorers.folds import Floats

NumberReader = Callable[[str, str], Reading | Quantity | None]
"""(reply, unit of the target) -> the number stated, or None."""


def stated_value_of(names: str) -> NumberReader:
    """Return a reader of the value of a property; `names` is a pattern that matches its names, or empty."""
    if not names:
        return stated

    def stated_value(text: str, unit: str) -> Reading | None:
        return stated(text, unit, names=names)

    return stated_value


def gold_number(sample: Sample) -> float:
    """Return the target as a number; raises ScorerError for several targets."""
    if isinstance(sample.target, tuple):
        raise ScorerError(f"{sample.id}: {len(sample.target)} targets where one number is expected")
    return float(sample.target)


def read_number(reader: NumberReader, reply: Reply, unit: str) -> tuple[Quantity | None, Reading | None]:
    """Return the number that a reader finds, and the `Reading` if the reader returns one; neither if the reply was filtered.

    A `Reading` at the end of a truncated reply is dropped, since the number may be incomplete, unless it comes from a box, a
    tag or JSON.
    """
    answer = None if reply.stop == "filter" else reader(reply.text, unit)
    if not isinstance(answer, Reading):
        return answer, None
    is_at_end = answer.end >= len(reply.text.rstrip())
    if reply.stop == "length" and is_at_end and answer.form not in DELIMITED_FORMS:
        return None, None
    return answer.value, answer


def _unanswered_number(reply: Reply, value: float | None, parts: dict[str, float]) -> Score:
    return replace(no_stated_answer(reply, "no number stated"), value=value, parts=parts)


class UsesUnits(Struct, frozen=True):
    """Base of scorers that convert units."""

    def warm(self) -> None:
        """Import pint and compile the units, before the first reply is scored; do nothing without pint."""
        with suppress(UsageError):
            load_units()

    def require(self) -> None:
        """Raise UsageError without pint, which is needed for replies in other units."""
        load_units()


class AbsoluteError(UsesUnits, frozen=True):
    """Scores |stated - target| in the target's unit; None if no comparable number is stated.

    Parts: the signed `error`; `error_imputed`, the error of the training mean, and `error_worst`, the largest
    possible error within the training range, if `sample.meta` contains `train_mean`, `train_low` and `train_high`. A number
    outside `possible` is suspect.
    """

    read: NumberReader = stated
    unit: str = ""
    """Unit to which answers are converted if `sample.unit` is not specific enough: `log10(GPa)`, `dimensionless`, `eV/cell`."""
    possible: tuple[float, float] = (-inf, inf)
    """The physically possible range, in the target's unit."""

    def __repr__(self) -> str:
        settings = {"unit": self.unit, "possible": self.possible if self.possible != (-inf, inf) else ""}
        options = "".join(f", {name}={value!r}" for name, value in settings.items() if value)
        return f"AbsoluteError({self.read.__name__}{options})"

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        target = gold_number(sample)
        parts, unit = substitute_errors(sample, target), self.unit or sample.unit
        quantity, reading = read_number(self.read, reply, unit)
        if quantity is None:
            return _unanswered_number(reply, None, parts)
        return with_reading(reading, self._score(quantity, target, unit, parts))

    def _score(self, quantity: Quantity, target: float, unit: str, parts: dict[str, float]) -> Score:
        value = convert(quantity.value, quantity.unit, unit)
        if value is None:
            expectation = "a plain number" if unit == DIMENSIONLESS else f"in {unit}"
            why = f"stated in {quantity.unit}, but the target is {expectation}"
            return Score(value=None, verdict="wrong", answer=quantity.text, why=why, parts=parts)
        parts["error"] = value - target
        is_possible = self.possible[0] <= value <= self.possible[1]
        return Score(
            value=abs(value - target),
            verdict="graded",
            answer=f"{value!r}",
            why=_explain(quantity, None if is_possible else self.possible),
            suspect=quantity.approximate or not is_possible,
            parts=parts,
        )


def _explain(quantity: Quantity, exceeded_range: tuple[float, float] | None) -> str:
    """Return a note on a number that is approximate, has a unit or lies outside the possible range."""
    notes = [f"stated {quantity.text}"] if quantity.approximate or quantity.unit else []
    if exceeded_range is not None:
        low, high = exceeded_range
        notes.append(f"outside the physically possible range, {low:g} to {high:g}")
    return "; ".join(notes)


def substitute_errors(sample: Sample, target: float) -> dict[str, float]:
    """Return the parts `error_imputed` and `error_worst` of `AbsoluteError`, which replace the error of a missing answer."""
    meta = sample.meta
    parts = {"error_imputed": abs(float(meta["train_mean"]) - target)} if "train_mean" in meta else {}
    if "train_low" in meta and "train_high" in meta:
        parts["error_worst"] = max(
            abs(target - float(meta["train_low"])), abs(target - float(meta["train_high"]))
        )
    return parts


class Within(UsesUnits, frozen=True):
    """Scores 1 if the stated number lies within a tolerance of the target; the relative tolerance refers to the target's magnitude.

    `sample.meta["relative_tolerance"]` overrides `relative`.
    """

    relative: float = 0.01
    absolute: float = 0.0
    read: NumberReader = stated

    def __repr__(self) -> str:
        return f"Within({self.read.__name__}, relative={self.relative}, absolute={self.absolute})"

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply; the target may be a number or a string."""
        target = gold_number(sample)
        quantity, reading = read_number(self.read, reply, sample.unit)
        if quantity is None:
            return _unanswered_number(reply, 0.0, {})
        return with_reading(reading, self._score(sample, quantity, target))

    def _score(self, sample: Sample, quantity: Quantity, target: float) -> Score:
        value = convert(quantity.value, quantity.unit, sample.unit) if sample.unit else quantity.value
        if value is None:
            why = f"stated in {quantity.unit}, but the target is in {sample.unit}"
            return Score(value=0.0, verdict="wrong", answer=quantity.text, why=why)
        relative = float(sample.meta.get("relative_tolerance") or self.relative)
        right = close(value, target, relative=relative, absolute=self.absolute) and _is_narrow(
            quantity, relative
        )
        return binary_score(
            right=right,
            answer=f"{value!r}",
            why="" if right else f"stated {quantity.text}, off by {value - target:.4g}",
            suspect=quantity.approximate,
            parts={"error": value - target},
        )


def _is_narrow(quantity: Quantity, relative: float) -> bool:
    """Return False for a range more than twice as wide as the tolerance interval; its middle could be right by chance."""
    if quantity.low is None or quantity.high is None:
        return True
    return quantity.high - quantity.low <= 4 * relative * max(abs(quantity.low), abs(quantity.high))


def mae_answered_of(columns: Columns, weights: Floats) -> float:
    """Return the mean absolute error of the answered samples."""
    return weighted_mean(columns.value, weights, "comparable answer")


def mae_imputed_of(columns: Columns, weights: Floats) -> float:
    """Return the mean absolute error; a missing answer counts as the error of the training mean."""
    return _mean_with_substitutes(columns, columns.error_imputed, weights)


def mae_worst_of(columns: Columns, weights: Floats) -> float:
    """Return the mean absolute error; a missing answer counts as the largest possible error within the training range."""
    return _mean_with_substitutes(columns, columns.error_worst, weights)


def _mean_with_substitutes(columns: Columns, substitutes: Floats, weights: Floats) -> float:
    import numpy as np

    errors = _errors_with_substitutes(columns, substitutes)
    if np.isnan(errors[weights > 0]).any():
        raise ValueError("the samples lack the training statistics that replace missing answers")
    return weighted_mean(errors, weights, "answer")


def _errors_with_substitutes(columns: Columns, substitutes: Floats) -> Floats:
    import numpy as np

    errors: Floats = np.where(np.isnan(columns.value), substitutes, columns.value)
    return errors


def rmse_of(columns: Columns, weights: Floats) -> float:
    """Return the root mean square error of the answered samples."""
    import numpy as np

    with np.errstate(over="ignore"):  # an answer of 1e200 makes it infinite, which the report rejects
        squares = columns.value**2
    return sqrt(weighted_mean(squares, weights, "comparable answer"))


def max_error_of(columns: Columns, weights: Floats) -> float:
    """Return the largest absolute error of the answered samples."""
    import numpy as np

    errors = columns.value[(weights > 0) & ~np.isnan(columns.value)]
    if not len(errors):
        raise ValueError("there is no comparable answer")
    return float(errors.max())


def mape_of(columns: Columns, weights: Floats) -> float:
    """Return the mean of |error / target| over the answered samples with targets above 1e-5 in magnitude, as matbench does."""
    import numpy as np

    magnitudes = np.abs(columns.target)
    relative_errors = np.divide(
        columns.value, magnitudes, out=np.full_like(magnitudes, np.nan), where=magnitudes > 1e-5
    )
    return weighted_mean(relative_errors, weights, "answer with a target above 1e-5 in magnitude")


INTERVAL_RULES[mae_answered_of] = mean_error_rule(lambda columns: columns.value)
INTERVAL_RULES[mae_imputed_of] = mean_error_rule(
    lambda columns: _errors_with_substitutes(columns, columns.error_imputed)
)
INTERVAL_RULES[mae_worst_of] = mean_error_rule(
    lambda columns: _errors_with_substitutes(columns, columns.error_worst)
)
INTERVAL_RULES[rmse_of] = rms_interval
# a function `<name>_of` takes columns and weights; the metric `<name>` applies it to all points
mae_answered, mae_imputed, mae_worst = Pooled(mae_answered_of), Pooled(mae_imputed_of), Pooled(mae_worst_of)
rmse, max_error, mape = Pooled(rmse_of), Pooled(max_error_of), Pooled(mape_of)


def answered(points: Sequence[Point]) -> float:
    """Return the share of replies with a comparable number."""
    if not points:
        raise ValueError("at least one value is needed")
    # `missing`: an outcome replaced by a bound; 0 counts as unanswered, a positive bound as answered
    answered_count = sum(
        point.value is not None and (point.verdict != "missing" or point.value > 0) for point in points
    )
    return answered_count / len(points)


def regression(unit: str) -> tuple[Metric, ...]:
    """Return regression metrics, averaged over groups (folds), with `mae` as the headline.

    In `mae` a missing answer counts as the error of the training mean, in `mae_worst` as the largest possible error within
    the training range; `mae_answered`, `rmse`, `max_error` and `mape` exclude it, and `answered` is the share of
    answered samples.
    """
    reductions: dict[str, Reduction] = {
        "mae": mae_imputed_of,
        "mae_answered": mae_answered_of,
        "mae_worst": mae_worst_of,
        "rmse": rmse_of,
        "max_error": max_error_of,
        "mape": mape_of,
    }
    errors = tuple(
        Metric(
            name=name,
            of=ByGroup(reduction),
            pool="whole",
            unit="fraction" if name == "mape" else unit,
            better="lower",
            headline=name == "mae",
            bounds=None,
        )
        for name, reduction in reductions.items()
    )
    return (*errors, Metric(name="answered", of=answered))
