"""Figures of samples, groups and pairs of runs: functions that return an Altair chart of a table."""

from __future__ import annotations

import altair as alt
import pandas as pd

from evals.dashboard.charts.colours import palette
from evals.dashboard.charts.figures import Figure, coded, tooltips

AXIS = alt.Axis(tickCount=6)
"""An axis for which Vega draws at most eight ticks."""
GREY = "#8a93a0"
LEGEND = alt.Legend(orient="top", title=None, labelLimit=320, columns=1)


def series(frame: pd.DataFrame, *, dark: bool) -> alt.FacetChart:
    """Plot a time series (columns `x`, `channel`, `y`) with a panel per channel."""
    base = (
        alt.Chart(frame)
        .mark_line(strokeWidth=1, color=palette(dark=dark)[0])
        .encode(alt.X("x:Q", title=None), alt.Y("y:Q", title=None, scale=alt.Scale(zero=False)))
    )
    channels = list(dict.fromkeys(frame["channel"]))
    panels: alt.FacetChart = (
        base.properties(height=90, width="container" if len(channels) == 1 else 600)
        .facet(row=alt.Row("channel:N", title=None, sort=channels), spacing=4)
        .resolve_scale(y="independent")
    )
    return panels


def forest(
    frame: pd.DataFrame,
    *,
    unit: str,
    dark: bool,
    names: tuple[str, str],
    letters: tuple[str, str] = ("A", "B"),
) -> Figure:
    """Plot differences B - A with their intervals, from columns `label`, `value`, `low`, `high`, `result`, `n`.

    `names`: the names of A and B; `letters`: the letters in the axis title. Colour and shape show `result`.
    """
    labels = (f"{names[1]} better", f"{names[0]} better", "not significantly different")
    label_by_result = dict(zip(("B better", "A better", "n.s."), labels, strict=True))
    shapes = dict(zip(labels, ("triangle-right", "triangle-left", "circle"), strict=True))
    data = frame.assign(result=frame["result"].map(label_by_result))
    title = f"{letters[1]} − {letters[0]}, {unit}"
    return _intervals(data, shapes, title=title, reference=0.0, number_format="+.3f", dark=dark)


def _intervals(
    frame: pd.DataFrame,
    shapes: dict[str, str],
    *,
    title: str,
    reference: float,
    number_format: str,
    dark: bool,
) -> Figure:
    """Plot values with their intervals, a row per label, and a line at `reference`; `shapes`: `result` -> point shape."""
    blue, orange, *_ = palette(dark=dark)
    label_axis = alt.Axis(labelLimit=150, labelFlush=False, labelBound=False, ticks=False)
    numbers = tooltips(("value", "low", "high"), number_format)
    base = alt.Chart(frame).encode(
        alt.Y("label:N", sort=list(frame["label"]), title=None, axis=label_axis),
        coded(alt.Color, "result", zip(shapes, (blue, orange, GREY), strict=False), LEGEND),
        tooltip=["label:N", *numbers, *tooltips(["n"], ",")],
    )
    axis = alt.X("low:Q", title=title, scale=alt.Scale(zero=reference == 0), axis=AXIS)
    lines = base.mark_rule(strokeWidth=2).encode(axis, alt.X2("high:Q"))
    shape = coded(alt.Shape, "result", shapes.items(), LEGEND)
    markers = base.mark_point(filled=True, size=70, opacity=1).encode(alt.X("value:Q"), shape)
    reference_line = (
        alt.Chart(pd.DataFrame({"x": [reference]})).mark_rule(strokeDash=[4, 3], color=GREY).encode(x="x:Q")
    )
    return alt.layer(reference_line, lines, markers).properties(height=alt.Step(22), width="container")


def outcome_bars(frame: pd.DataFrame, outcome_colours: dict[str, str]) -> Figure:
    """Plot a stacked bar of outcomes per run, in the order of `outcome_colours`; columns `run`, `outcome`, `n`, `share`."""
    order = list(dict.fromkeys(frame["run"]))
    order_by_outcome = {outcome: index for index, outcome in enumerate(outcome_colours)}
    data = frame.assign(position=frame["outcome"].map(order_by_outcome))
    base = alt.Chart(data).encode(
        alt.Y("run:N", sort=order, title=None, axis=alt.Axis(labelLimit=220, labelFlush=False)),
        alt.X(
            "share:Q",
            title="share of expected sample-repeats",
            axis=alt.Axis(format="%", tickCount=5),
            stack="zero",
        ),
        order=alt.Order("position:Q"),
        tooltip=["run:N", "outcome:N", *tooltips(["n"], ","), *tooltips(["share"], ".1%")],
    )
    legend = alt.Legend(orient="top", title=None, columns=2, labelLimit=170)
    bars = base.mark_bar(height=20).encode(coded(alt.Color, "outcome", outcome_colours.items(), legend))
    return alt.layer(bars).properties(height=alt.Step(30), width="container")


GROUP_RESULTS = ("better than the rest", "worse than the rest", "not significantly different")


def groups(frame: pd.DataFrame, *, overall: float, unit: str, dark: bool) -> Figure:
    """Plot a run's groups with their intervals, and the overall score; columns `label`, `value`, `low`, `high`, `result`, `n`."""
    shapes = dict(zip(GROUP_RESULTS, ("triangle-up", "triangle-down", "circle"), strict=True))
    return _intervals(frame, shapes, title=unit, reference=overall, number_format=".4g", dark=dark)


def lengths(frame: pd.DataFrame, *, unit: str, score_title: str, dark: bool) -> Figure:
    """Plot scores by the length of the reply, from the columns of `LengthBins.frame` and `length`, the label of a bin."""
    blue, orange = palette(dark=dark)[:2]
    order = list(frame["length"])
    base = alt.Chart(frame).encode(
        alt.X("length:N", sort=order, title=f"length of the reply, {unit}", axis=alt.Axis(labelAngle=-35))
    )
    tooltip = [
        alt.Tooltip("length:N", title=unit), *tooltips(["value"], ".4g"), *tooltips(["n"], ","), *tooltips(["others"], ".4g"),
        *tooltips(["truncated"], ".1%"),
    ]  # fmt: skip
    names = ("this run", "other runs, same samples")
    colour = coded(alt.Color, "series", zip(names, (blue, orange), strict=True), LEGEND)
    shape = coded(alt.Shape, "series", zip(names, ("circle", "diamond"), strict=True), LEGEND)
    lines = base.mark_rule(color=blue, strokeWidth=2).encode(
        alt.Y("value_low:Q", title=score_title, scale=alt.Scale(zero=True), axis=AXIS), alt.Y2("value_high:Q")
    )
    this_run, other_runs = (
        base.transform_calculate(series=f"'{name}'")
        .mark_point(filled=is_filled, size=size, opacity=1)
        .encode(alt.Y(f"{column}:Q"), colour, shape, tooltip=tooltip)
        for name, column, is_filled, size in ((names[0], "value", True, 70), (names[1], "others", False, 60))
    )
    layers = [lines, this_run, other_runs] if frame["others"].notna().any() else [lines, this_run]
    return alt.layer(*layers).properties(height=360, width="container")
