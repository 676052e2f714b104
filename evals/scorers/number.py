"""Numeric answers: absolute errors for regression, tolerances for questions with one number.

A reply without a number has no error: `Score.value` is None, and each metric below says how that counts.
A number in a unit of another dimension than the target's is wrong and is not converted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import inf, sqrt
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from evals.extract.cues import after_correction, asserted, concluded, narrowed, opens_tag, undecided, undenied
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.moods import mood
from evals.extract.peel import half_width
from evals.extract.reading import REFUSED, Reading, own_part, read, runs_on
from evals.extract.shapes import gives_up
from evals.extract.statements import Cue, Cues, Form, Statement
from evals.extract.units import (
    DIMENSIONLESS,
    Quantity,
    close,
    convert,
    convertible,
    plain,
    quantities,
    stated_number,
    warm,
)
from evals.extract.visible import visible
from evals.scorers.choice import unread, where
from evals.scorers.folds import RULES, ByGroup, Pooled, Reduction, weighted_mean
from evals.scorers.whole_intervals import Columns, of_errors, of_root_mean_squares
from evals.types import Metric, Point, Prompt, Reply, Sample, Score

if TYPE_CHECKING:
    from evals.scorers.folds import Floats

LONGEST = 100_000
"""Characters of a reply that are read, from its end."""
_TAIL, _SPANS = 4_000, 20
"""Without a marked answer: characters, and bold spans among them, that are looked at, from the end."""
_SHORT = 60
"""Characters: a longer statement without a digit is talk."""
NumberReader = Callable[[str, str], Reading | Quantity | None]
"""(reply, unit of the target) -> the number stated, or None."""


def stated(text: str, unit: str = "") -> Reading | None:
    """Return the number that a reply states: in its box, tag, answer line or "answer is", as a Quantity with its place.

    Without any of these: the only number in bold, the only number of the reply, the only one in a unit that fits, the
    one that its last line is or gives ("... is 1.42 eV."). A number that merely stands last is no answer, and an answer
    that is stated without one ("Answer: unknown", "5 or 6") is none, whatever stands before it.
    """
    shown, cut = visible(text[-LONGEST:])
    if cut:
        return None
    offset, refused = max(0, len(text) - LONGEST), False

    def parse(content: str, form: Form) -> Any:
        nonlocal refused
        held = None if undecided(content[:_SHORT]) else undenied(content)
        quantity = None if held is None else stated_number(held, unit)
        if quantity is None and (re.search(r"\d", content) or len(content) <= _SHORT):
            refused = True
            return REFUSED
        return quantity

    shown = own_part(half_width(shown))
    reading = read(shown, parse, cues=Cues([Cue("number", _number_tag)]), shaped=False)
    if reading is not None:
        final = concluded(shown, reading, parse)
        if _comparable(reading.value, final.value, unit):
            reading = final
        reading = after_correction(shown, narrowed(shown, reading), parse, lambda rest: _by_shape(rest, unit))
    elif not refused:
        reading = _by_shape(shown, unit)
    return reading and reading._replace(begin=reading.begin + offset, end=reading.end + offset)


def _comparable(boxed: Quantity, concluded: Quantity, unit: str) -> bool:
    """Return whether a conclusion can be the answer as well as the box before it can: a number of the same dimension."""
    if bool(boxed.unit) != bool(concluded.unit):
        return bool(concluded.unit) and (not unit or convertible(concluded.unit, unit))
    return not boxed.unit or convertible(concluded.unit, boxed.unit)


def _by_shape(text: str, unit: str) -> Reading | None:
    last_line = text.rfind("\n", 0, len(text.rstrip())) + 1
    if gives_up(text) or runs_on(text) or text.rstrip().endswith("?") or undecided(text, last_line):
        return None
    return _in_bold(text, unit) or _only_one(text, unit) or _in_last_line(text, unit)


def _number_tag(text: str, at: int) -> tuple[Any, Statement, bool] | None:
    """Return what stands between <NUMBER> and </NUMBER>."""
    inside = opens_tag(text, at, at + len("number"))
    close = text.find("<", inside, inside + 200) if inside else -1
    return (None, Statement("tag", inside, close), True) if close > inside else None


_BOLD = lazy_pattern(r"\*\*([^*\n]{1,300})\*\*|`([^`\n]{1,300})`")


def _in_bold(text: str, unit: str) -> Reading | None:
    """Read the one number that stands in bold; of several the one whose unit alone fits."""
    spans = [*_BOLD.finditer(text, max(0, len(text) - _TAIL))][-_SPANS:]
    readings = [
        Reading(quantity, "emphasis", span.start(), span.end())
        for span in spans
        if (quantity := stated_number(span[span.lastindex or 1], unit)) is not None
        and mood(text, span.start(), span.end()) == "asserted"
    ]
    fitting = [one for one in readings if _fits(one.value, unit)]
    some = fitting or readings
    return some[-1] if some and len({one.value.value for one in some}) == 1 else None


def _fits(quantity: Quantity, unit: str) -> bool:
    return bool(unit and quantity.unit) and convertible(quantity.unit, unit)


def _only_one(text: str, unit: str) -> Reading | None:
    numbers = quantities(text)
    some = [one for one in numbers if _fits(one, unit)] or numbers
    if len(some) != 1:
        return None
    at = text.find(some[0].text)
    if at >= 0 and (
        not _ENDS.match(text, at + len(some[0].text)) or _COUNTS.search(text, max(0, at - 20), at)
    ):
        return None
    return asserted(text, Reading(some[0], "prose", 0, len(text.rstrip())))


_COUNTS = lazy_pattern(
    r"\b(?:steps?|cases?|parts?|questions?|problems?|options?|equations?|eq\.?|figures?|tables?|sections?|methods?|approach)\s*$|(?:步骤|第)\s*$|(?:^|\n)\s*$",
    re.IGNORECASE,
)
"""What stands before a number that only counts, as "Step 1", or at the beginning of a line."""
_ENDS = lazy_pattern(
    r"[*_`$\s)\]}%]*(?:\Z|[|.,;:!。，；、(\n—–±~\\]|[\u4e00-\u9fff]|\s(?:at|for|with|and|in|which|because|as|on|by|from|under|but|or|based|given|when)\b)"
)
"""What may follow the only number of a reply: "3 cases to consider" states none."""


def _in_last_line(text: str, unit: str) -> Reading | None:
    """Read the last line: nothing but a number, or a sentence that gives one in a unit that fits."""
    end = len(text.rstrip())
    begin = text.rfind("\n", 0, end) + 1
    line = text[begin:end]
    quantity = stated_number(line, unit)
    if quantity is None:
        return None
    whole = plain(line).strip("*`. ") == quantity.text.rstrip(".")
    return (
        asserted(text, Reading(quantity, "last line", begin, end)) if whole or _fits(quantity, unit) else None
    )


def _read(reader: NumberReader, reply: Reply, unit: str) -> tuple[Quantity | None, Reading | None]:
    """Return the number that a reader finds, and its place if the reader tells it.

    At the end of a reply that was cut off a number could go on: there is none then.
    """
    answer = None if reply.stop == "filter" else reader(reply.text, unit)
    if not isinstance(answer, Reading):
        return answer, None
    if (
        reply.stop == "length"
        and answer.end >= len(reply.text.rstrip())
        and answer.form not in ("box", "tag", "json")
    ):
        return None, None
    return answer.value, answer


def _unread(reply: Reply, value: float | None, parts: dict[str, float]) -> Score:
    return replace(unread(reply, "no number stated"), value=value, parts=parts)


class AbsoluteError(Struct, frozen=True):
    """|stated - target| in the target's unit; None where nothing comparable is stated.

    Parts: `error` with its sign; `error_imputed`, the error that the training mean would make, and
    `error_worst`, the largest within the training range, where `sample.meta` gives `train_mean`,
    `train_low` and `train_high`. A number outside of `possible` is suspect.
    """

    read: NumberReader = stated
    unit: str = ""
    """Unit that answers are converted to where `sample.unit` does not say it: `log10(GPa)`, `dimensionless`, `eV/cell`."""
    possible: tuple[float, float] = (-inf, inf)
    """What the quantity can physically be, in the target's unit."""

    def warm(self) -> None:
        """Get ready what reads and converts units, before the first reply waits for it."""
        warm()

    def __repr__(self) -> str:
        """Name the rule, so that a change of it shows in a run's card."""
        shown = {"unit": self.unit, "possible": self.possible if self.possible != (-inf, inf) else ""}
        given = "".join(f", {name}={value!r}" for name, value in shown.items() if value)
        return f"AbsoluteError({self.read.__name__}{given})"

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Judge one reply."""
        target = float(sample.target)  # type: ignore[arg-type]
        parts, unit = stand_ins(sample, target), self.unit or sample.unit
        found, place = _read(self.read, reply, unit)
        if found is None:
            return _unread(reply, None, parts)
        score = self._judged(found, target, unit, parts)
        return where(place, score) if place else score

    def _judged(self, found: Quantity, target: float, unit: str, parts: dict[str, float]) -> Score:
        value = convert(found.value, found.unit, unit)
        if value is None:
            wanted = "a plain number" if unit == DIMENSIONLESS else f"in {unit}"
            why = f"stated in {found.unit}, the target is {wanted}"
            return Score(value=None, verdict="wrong", answer=found.text, why=why, parts=parts)
        parts["error"] = value - target
        possible = self.possible[0] <= value <= self.possible[1]
        return Score(
            value=abs(value - target),
            verdict="graded",
            answer=f"{value!r}",
            why=_remark(found, None if possible else self.possible),
            suspect=found.rough or not possible,
            parts=parts,
        )


def _remark(found: Quantity, possible: tuple[float, float] | None) -> str:
    """Say how the number was stated where that matters, and whether it is beyond what is physically possible."""
    said = f"stated {found.text}" if found.rough or found.unit else ""
    beyond = f"outside of what is physically possible, {possible[0]:g} to {possible[1]:g}" if possible else ""
    return "; ".join(filter(None, (said, beyond)))


def stand_ins(sample: Sample, target: float) -> dict[str, float]:
    """Return the errors that count for a missing answer: the training mean's, and the largest within the training range."""
    meta = sample.meta
    parts = {"error_imputed": abs(float(meta["train_mean"]) - target)} if "train_mean" in meta else {}
    if "train_low" in meta and "train_high" in meta:
        parts["error_worst"] = max(
            abs(target - float(meta["train_low"])), abs(target - float(meta["train_high"]))
        )
    return parts


class Within(Struct, frozen=True):
    """Scores 1 where the stated number lies within a tolerance of the target, whatever the target's sign.

    `sample.meta["relative_tolerance"]` overrides `relative`.
    """

    relative: float = 0.01
    absolute: float = 0.0
    read: NumberReader = stated

    def warm(self) -> None:
        """Get ready what reads and converts units, before the first reply waits for it."""
        warm()

    def __repr__(self) -> str:
        """Name the rule with its tolerances."""
        return f"Within({self.read.__name__}, relative={self.relative}, absolute={self.absolute})"

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Judge one reply; the target may be a number or its text."""
        target = float(sample.target)  # type: ignore[arg-type]
        found, place = _read(self.read, reply, sample.unit)
        if found is None:
            return _unread(reply, 0.0, {})
        score = self._judged(sample, found, target)
        return where(place, score) if place else score

    def _judged(self, sample: Sample, found: Quantity, target: float) -> Score:
        value = convert(found.value, found.unit, sample.unit) if sample.unit else found.value
        if value is None:
            why = f"stated in {found.unit}, the target is in {sample.unit}"
            return Score(value=0.0, verdict="wrong", answer=found.text, why=why)
        relative = float(sample.meta.get("relative_tolerance") or self.relative)
        right = close(value, target, relative=relative, absolute=self.absolute) and _narrow(found, relative)
        return Score(
            value=float(right),
            verdict="right" if right else "wrong",
            answer=f"{value!r}",
            why="" if right else f"stated {found.text}, off by {value - target:.4g}",
            suspect=found.rough,
            parts={"error": value - target},
        )


def _narrow(found: Quantity, relative: float) -> bool:
    """Return whether a stated range is as narrow as a tolerance asks for; the middle of a wide one is luck."""
    if found.low is None or found.high is None:
        return True
    return found.high - found.low <= 4 * relative * max(abs(found.low), abs(found.high))


def mae_of(columns: Columns, weights: Floats) -> float:
    """Mean absolute error of the answers there are."""
    return weighted_mean(columns.value, weights, "comparable answer")


def mae_imputed_of(columns: Columns, weights: Floats) -> float:
    """Mean absolute error where a missing answer makes the error of the training mean."""
    return _filled(columns, columns.imputed, weights)


def mae_worst_of(columns: Columns, weights: Floats) -> float:
    """Mean absolute error where a missing answer makes the largest error within the training range."""
    return _filled(columns, columns.worst, weights)


def _filled(columns: Columns, stand_in: Floats, weights: Floats) -> float:
    import numpy as np

    values = _imputed(columns, stand_in)
    if np.isnan(values[weights > 0]).any():
        raise ValueError("the range of the training targets is not known, and answers are missing")
    return weighted_mean(values, weights, "answer")


def _imputed(columns: Columns, stand_in: Floats) -> Floats:
    import numpy as np

    found: Floats = np.where(np.isnan(columns.value), stand_in, columns.value)
    return found


def rmse_of(columns: Columns, weights: Floats) -> float:
    """Root mean square error of the answers there are."""
    import numpy as np

    with np.errstate(over="ignore"):  # an answer of 1e200 makes it infinite, which the report refuses
        squares = columns.value**2
    return sqrt(weighted_mean(squares, weights, "comparable answer"))


def max_error_of(columns: Columns, weights: Floats) -> float:
    """Greatest absolute error of the answers there are."""
    import numpy as np

    seen = columns.value[(weights > 0) & ~np.isnan(columns.value)]
    if not len(seen):
        raise ValueError("there is no comparable answer")
    return float(seen.max())


def mape_of(columns: Columns, weights: Floats) -> float:
    """Mean of |error / target| over targets above 1e-5 in magnitude, as the matbench package masks them."""
    import numpy as np

    size = np.abs(columns.target)
    shares = np.divide(columns.value, size, out=np.full_like(size, np.nan), where=size > 1e-5)
    return weighted_mean(shares, weights, "answer to a target that is not zero")


RULES[mae_of] = of_errors(lambda found: found.value)
RULES[mae_imputed_of] = of_errors(lambda found: _imputed(found, found.imputed))
RULES[mae_worst_of] = of_errors(lambda found: _imputed(found, found.worst))
RULES[rmse_of] = of_root_mean_squares
mae, rmse, max_error, mape = Pooled(mae_of), Pooled(rmse_of), Pooled(max_error_of), Pooled(mape_of)
mae_imputed, mae_worst = Pooled(mae_imputed_of), Pooled(mae_worst_of)


def answered(points: Sequence[Point]) -> float:
    """Share of replies that state something measurable."""
    if not points:
        raise ValueError("there is nothing to reduce")
    stated = sum(
        point.value is not None and (point.verdict != "missing" or point.value > 0) for point in points
    )
    return stated / len(points)


def regression(unit: str, *, headline: str = "mae") -> tuple[Metric, ...]:
    """Regression metrics as the mean over groups (folds), and each per group.

    In `mae` a missing answer makes the error of the training mean, in `mae_worst` the largest error within
    the training range; `mae_answered`, `rmse`, `max_error` and `mape` leave it out, and `answered` says how
    many there are.
    """
    reductions: dict[str, Reduction] = {
        "mae": mae_imputed_of,
        "mae_answered": mae_of,
        "mae_worst": mae_worst_of,
        "rmse": rmse_of,
        "max_error": max_error_of,
        "mape": mape_of,
    }
    if headline not in reductions:
        raise ValueError(f"{headline=} is none of {', '.join(reductions)}")
    errors = tuple(
        Metric(
            name=name,
            of=ByGroup(of),
            pool="whole",
            unit="fraction" if name == "mape" else unit,
            better="lower",
            headline=name == headline,
            bounds=None,
        )
        for name, of in reductions.items()
    )
    return (*errors, Metric(name="answered", of=answered))
