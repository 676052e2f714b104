"""Samples, groups and pairs of runs -> figures, all of them Altair: plain functions from a frame to a chart."""

from __future__ import annotations

import altair as alt
import pandas as pd

from evals.dashboard.charts.colours import palette

TICKS = alt.Axis(tickCount=6)
"""At most eight ticks are drawn for it, and no label lies over another."""


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
    frame: pd.DataFrame, *, unit: str, dark: bool, names: tuple[str, str]
) -> alt.LayerChart | alt.FacetChart:
    """Plot differences with their intervals: `label`, `difference`, `low`, `high`, `says`, `n`.

    What is shown at 5 % is told by colour and by shape; A stands to the left of 0 in a score of which more is better.
    """
    colours = [palette(dark=dark)[0], palette(dark=dark)[1], "#8a93a0"]
    order = list(frame["label"])
    said = {
        "B better": f"{names[1]} better",
        "A better": f"{names[0]} better",
        "n.s.": "not significantly different",
    }
    data = frame.assign(says=frame["says"].map(said))
    scale = alt.Scale(domain=list(said.values()), range=colours)
    base = alt.Chart(data).encode(
        alt.Y(
            "label:N",
            sort=order,
            title=None,
            axis=alt.Axis(labelLimit=150, labelFlush=False, labelBound=False, ticks=False),
        )
    )
    axis = alt.X("low:Q", title=f"B − A, {unit}", scale=alt.Scale(zero=True), axis=TICKS)
    told = [alt.Tooltip(f"{name}:{kind}", format=form) for name, kind, form in (
        ("label", "N", ""), ("difference", "Q", "+.3f"), ("low", "Q", "+.3f"), ("high", "Q", "+.3f"), ("n", "Q", ","))]  # fmt: skip
    legend = alt.Legend(orient="top", title=None, labelLimit=320, columns=1)
    lines = base.mark_rule(strokeWidth=2).encode(
        axis, alt.X2("high:Q"), alt.Color("says:N", scale=scale, legend=legend)
    )
    dots = base.mark_point(filled=True, size=70, opacity=1).encode(
        alt.X("difference:Q"), alt.Color("says:N", scale=scale, legend=legend),
        alt.Shape("says:N", scale=alt.Scale(domain=list(said.values()), range=["triangle-right", "triangle-left", "circle"]), legend=legend),
        tooltip=told,
    )  # fmt: skip
    zero = (
        alt.Chart(pd.DataFrame({"x": [0.0]}))
        .mark_rule(strokeDash=[4, 3], color="#8a93a0")
        .encode(alt.X("x:Q"))
    )
    return alt.layer(zero, lines, dots).properties(height=alt.Step(22), width="container")


def ladder(frame: pd.DataFrame, steps: dict[str, str]) -> alt.LayerChart | alt.FacetChart:
    """Plot what became of the samples as stacked bars: `run`, `step`, `n`, `share`; `steps` gives their colours in order."""
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
    said = list(APART)
    scale = alt.Scale(domain=said, range=[palette(dark=dark)[0], palette(dark=dark)[1], "#8a93a0"])
    legend = alt.Legend(orient="top", title=None, labelLimit=320, columns=1)
    base = alt.Chart(frame).encode(
        alt.Y(
            "label:N",
            sort=list(frame["label"]),
            title=None,
            axis=alt.Axis(labelLimit=150, labelFlush=False, labelBound=False, ticks=False),
        )
    )
    axis = alt.X("low:Q", title=unit, scale=alt.Scale(zero=False), axis=TICKS)
    lines = base.mark_rule(strokeWidth=2).encode(
        axis, alt.X2("high:Q"), alt.Color("says:N", scale=scale, legend=legend)
    )
    dots = base.mark_point(filled=True, size=70, opacity=1).encode(
        alt.X("value:Q"), alt.Color("says:N", scale=scale, legend=legend),
        alt.Shape("says:N", scale=alt.Scale(domain=said, range=["triangle-up", "triangle-down", "circle"]), legend=legend),
        tooltip=["label:N", alt.Tooltip("value:Q", format=".4g"), alt.Tooltip("low:Q", format=".4g"),
                 alt.Tooltip("high:Q", format=".4g"), alt.Tooltip("n:Q", format=",")],
    )  # fmt: skip
    mean = (
        alt.Chart(pd.DataFrame({"x": [whole]}))
        .mark_rule(strokeDash=[4, 3], color="#8a93a0")
        .encode(alt.X("x:Q"))
    )
    return alt.layer(mean, lines, dots).properties(height=alt.Step(22), width="container")


def lengths(frame: pd.DataFrame, *, unit: str, score: str, dark: bool) -> alt.LayerChart | alt.FacetChart:
    """Plot scores by the length of the reply: `length`, `value`, `value_low`, `value_high`, `n`, and `others`."""
    blue, orange = palette(dark=dark)[:2]
    order = list(frame["length"])
    base = alt.Chart(frame).encode(
        alt.X("length:N", sort=order, title=f"length of the reply, {unit}", axis=alt.Axis(labelAngle=-35))
    )
    tip = [alt.Tooltip("length:N", title=unit), alt.Tooltip("value:Q", format=".4g"), alt.Tooltip("n:Q", format=","),
           alt.Tooltip("others:Q", format=".4g"), alt.Tooltip("cut:Q", title="truncated", format=".1%")]  # fmt: skip
    scale = alt.Scale(domain=["this run", "other runs, same samples"], range=[blue, orange])
    legend = alt.Legend(orient="top", title=None, labelLimit=320, columns=1)
    shapes = alt.Scale(domain=["this run", "other runs, same samples"], range=["circle", "diamond"])
    lines = base.mark_rule(color=blue, strokeWidth=2).encode(
        alt.Y("value_low:Q", title=score, scale=alt.Scale(zero=True), axis=TICKS), alt.Y2("value_high:Q")
    )
    own = base.transform_calculate(who="'this run'").mark_point(filled=True, size=70, opacity=1).encode(
        alt.Y("value:Q"), alt.Color("who:N", scale=scale, legend=legend), alt.Shape("who:N", scale=shapes, legend=legend), tooltip=tip
    )  # fmt: skip
    theirs = base.transform_calculate(who="'other runs, same samples'").mark_point(size=60, opacity=1).encode(
        alt.Y("others:Q"), alt.Color("who:N", scale=scale, legend=legend), alt.Shape("who:N", scale=shapes, legend=legend), tooltip=tip
    )  # fmt: skip
    layers = [lines, own, theirs] if frame["others"].notna().any() else [lines, own]
    return alt.layer(*layers).properties(height=360, width="container")
