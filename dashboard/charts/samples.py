"""Figures of samples, groups and pairs of runs: plain functions from a frame to an Altair chart."""

from __future__ import annotations

import altair as alt
import pandas as pd

from evals.dashboard.charts.colours import palette

TICKS = alt.Axis(tickCount=6)
"""Vega draws at most eight ticks for this count."""
GREY = "#8a93a0"


def series(frame: pd.DataFrame, *, dark: bool) -> alt.FacetChart:
    """Plot a time series of `x`, `channel`, `y`, a panel per channel over one axis."""
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
) -> alt.LayerChart | alt.FacetChart:
    """Plot differences B - A with their intervals: `label`, `value`, `low`, `high`, `says`, `n`.

    `letters`: of the pair, for the axis. Colour and shape show significance at 5 %. If more is better, points left of 0 favour A.
    """
    kinds = (f"{names[1]} better", f"{names[0]} better", "not significantly different")
    verdicts = dict(zip(("B better", "A better", "n.s."), kinds, strict=True))
    shapes = dict(zip(kinds, ("triangle-right", "triangle-left", "circle"), strict=True))
    data = frame.assign(says=frame["says"].map(verdicts))
    return _intervals(
        data, shapes, title=f"{letters[1]} − {letters[0]}, {unit}", rule=0.0, form="+.3f", dark=dark
    )


def _intervals(
    frame: pd.DataFrame, shapes: dict[str, str], *, title: str, rule: float, form: str, dark: bool
) -> alt.LayerChart | alt.FacetChart:
    """Plot values with their intervals, a row per label; `shapes`: what `says` may say -> the shape of the point."""
    blue, orange, *_ = palette(dark=dark)
    kinds = list(shapes)
    legend = alt.Legend(orient="top", title=None, labelLimit=320, columns=1)
    colour = alt.Color("says:N", scale=alt.Scale(domain=kinds, range=[blue, orange, GREY]), legend=legend)
    shape = alt.Shape("says:N", scale=alt.Scale(domain=kinds, range=list(shapes.values())), legend=legend)
    labels = alt.Axis(labelLimit=150, labelFlush=False, labelBound=False, ticks=False)
    numbers = [alt.Tooltip(f"{name}:Q", format=form) for name in ("value", "low", "high")]
    base = alt.Chart(frame).encode(
        alt.Y("label:N", sort=list(frame["label"]), title=None, axis=labels),
        colour,
        tooltip=["label:N", *numbers, alt.Tooltip("n:Q", format=",")],
    )
    axis = alt.X("low:Q", title=title, scale=alt.Scale(zero=rule == 0), axis=TICKS)
    lines = base.mark_rule(strokeWidth=2).encode(axis, alt.X2("high:Q"))
    dots = base.mark_point(filled=True, size=70, opacity=1).encode(alt.X("value:Q"), shape)
    dashed = alt.Chart(pd.DataFrame({"x": [rule]})).mark_rule(strokeDash=[4, 3], color=GREY).encode(x="x:Q")
    return alt.layer(dashed, lines, dots).properties(height=alt.Step(22), width="container")


def ladder(frame: pd.DataFrame, steps: dict[str, str]) -> alt.LayerChart | alt.FacetChart:
    """Plot outcomes as stacked bars: `run`, `step`, `n`, `share`; `steps` maps steps to colours, in order."""
    order = list(dict.fromkeys(frame["run"]))
    places = {step: place for place, step in enumerate(steps)}
    data = frame.assign(place=frame["step"].map(places), words=frame["n"].map("{:,}".format))
    base = alt.Chart(data).encode(
        alt.Y("run:N", sort=order, title=None, axis=alt.Axis(labelLimit=220, labelFlush=False)),
        alt.X(
            "share:Q",
            title="share of expected sample-repeats",
            axis=alt.Axis(format="%", tickCount=5),
            stack="zero",
        ),
        order=alt.Order("place:Q"),
        tooltip=["run:N", "step:N", alt.Tooltip("n:Q", format=","), alt.Tooltip("share:Q", format=".1%")],
    )
    bars = base.mark_bar(height=20).encode(
        alt.Color(
            "step:N", scale=alt.Scale(domain=list(steps), range=list(steps.values())),
            legend=alt.Legend(orient="top", title=None, columns=2, labelLimit=170),
        )
    )  # fmt: skip
    return alt.layer(bars).properties(height=alt.Step(30), width="container")


APART = ("better than the rest", "worse than the rest", "not significantly different")


def groups(frame: pd.DataFrame, *, whole: float, unit: str, dark: bool) -> alt.LayerChart | alt.FacetChart:
    """Plot a run's groups with their intervals against the whole: `label`, `value`, `low`, `high`, `says`, `n`."""
    shapes = dict(zip(APART, ("triangle-up", "triangle-down", "circle"), strict=True))
    return _intervals(frame, shapes, title=unit, rule=whole, form=".4g", dark=dark)


def lengths(frame: pd.DataFrame, *, unit: str, score: str, dark: bool) -> alt.LayerChart | alt.FacetChart:
    """Plot scores by the length of the reply: `length`, `value`, `value_low`, `value_high`, `n`, and `others`."""
    blue, orange = palette(dark=dark)[:2]
    order = list(frame["length"])
    base = alt.Chart(frame).encode(
        alt.X("length:N", sort=order, title=f"length of the reply, {unit}", axis=alt.Axis(labelAngle=-35))
    )
    tip = [alt.Tooltip("length:N", title=unit), alt.Tooltip("value:Q", format=".4g"), alt.Tooltip("n:Q", format=","),
           alt.Tooltip("others:Q", format=".4g"), alt.Tooltip("truncated:Q", format=".1%")]  # fmt: skip
    scale = alt.Scale(domain=["this run", "other runs, same samples"], range=[blue, orange])
    legend = alt.Legend(orient="top", title=None, labelLimit=320, columns=1)
    shapes = alt.Scale(domain=["this run", "other runs, same samples"], range=["circle", "diamond"])
    lines = base.mark_rule(color=blue, strokeWidth=2).encode(
        alt.Y("value_low:Q", title=score, scale=alt.Scale(zero=True), axis=TICKS), alt.Y2("value_high:Q")
    )
    this_run = base.transform_calculate(who="'this run'").mark_point(filled=True, size=70, opacity=1).encode(
        alt.Y("value:Q"), alt.Color("who:N", scale=scale, legend=legend), alt.Shape("who:N", scale=shapes, legend=legend), tooltip=tip
    )  # fmt: skip
    other_runs = base.transform_calculate(who="'other runs, same samples'").mark_point(size=60, opacity=1).encode(
        alt.Y("others:Q"), alt.Color("who:N", scale=scale, legend=legend), alt.Shape("who:N", scale=shapes, legend=legend), tooltip=tip
    )  # fmt: skip
    layers = [lines, this_run, other_runs] if frame["others"].notna().any() else [lines, this_run]
    return alt.layer(*layers).properties(height=360, width="container")
