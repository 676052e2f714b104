"""Tables -> figures, all of them Altair: plain functions from a frame to a chart. Nothing here reads or draws.

Colours come from `dashboard.colours`, and never alone: shape, position or text say the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from evals.dashboard.charts.colours import ink, palette


def png(chart: alt.TopLevelMixin, *, scale: float = 2.0) -> bytes:
    """Draw a figure as a picture; needs vl-convert, no browser and no network."""
    import vl_convert

    return bytes(vl_convert.vegalite_to_png(chart.to_json(), scale=scale))


def board(
    words: pd.DataFrame, colours: pd.DataFrame, heads: Mapping[str, tuple[str, str]]
) -> alt.LayerChart | alt.FacetChart:
    """Draw the leaderboard's table as a picture: rows by columns, colour by standing, the words of each cell."""
    labels = [name for name in words if name != "model"]
    titles = {name: " · ".join(filter(None, heads[name])) for name in labels}
    long = words.melt("model", labels, "column", "words")
    long["standing"] = colours[labels].melt()["value"].to_numpy()
    long["column"] = long["column"].map(titles)
    top = alt.Axis(orient="top", labelAngle=-35, labelLimit=400)
    base = alt.Chart(long).encode(
        alt.X("column:N", sort=list(titles.values()), title=None, axis=top),
        alt.Y("model:N", sort=list(words["model"]), title=None, axis=alt.Axis(labelLimit=400)),
    )
    scale = alt.Scale(range=["#ffffff", "#9cc3e5"], domain=[0, 1])
    boxes = (
        base.transform_filter("isValid(datum.standing)")
        .mark_rect()
        .encode(alt.Color("standing:Q", scale=scale, legend=None))
    )
    return alt.layer(boxes, base.mark_text(fontSize=11).encode(text="words:N")).properties(
        width=alt.Step(130), height=alt.Step(24), background="white"
    )


KINDS = ("measured", "claimed")
NAMED = 14
"""Points up to which each has its name beside it; of more, only the front has."""
KEY = alt.Legend(title=None, orient="bottom", columns=3)


def scatter(points: pd.DataFrame, *, dark: bool) -> alt.LayerChart | alt.FacetChart:
    """Draw general ability against science: measured models filled with error crosses, claims hollow."""
    base = alt.Chart(apart(points, "general", "science")).encode(
        _axis(alt.X, "general"),
        _axis(alt.Y, "science"),
        _kind_colour(dark=dark),
        tooltip=[
            "model:N",
            "kind:N",
            "protocol:N",
            alt.Tooltip("general:Q", format=".1f"),
            alt.Tooltip("science:Q", format=".1f"),
        ],
    )
    names = base.mark_text(dx=8, dy=-8, align="left", fontSize=12).encode(
        _axis(alt.Y, "science", "_name"), text="name:N", color=alt.value(ink(dark=dark))
    )
    layers = [names]
    kinds = set(points["kind"])
    if "claimed" in kinds:
        claims = base.transform_filter("datum.kind == 'claimed'").mark_point(
            size=90, strokeWidth=2, opacity=1
        )
        layers.append(claims.encode(shape=_kind_shape()))
    if "measured" in kinds:
        measured = base.transform_filter("datum.kind == 'measured'")
        across = measured.mark_rule(strokeWidth=1.5).encode(
            _axis(alt.X, "general", "_low"), alt.X2("general_high:Q")
        )
        upright = measured.mark_rule(strokeWidth=1.5).encode(
            _axis(alt.Y, "science", "_low"), alt.Y2("science_high:Q")
        )
        dots = measured.mark_point(size=90, filled=True, opacity=1).encode(shape=_kind_shape())
        layers += [across, upright, dots]
    return alt.layer(*layers).properties(height=460)


def _axis(kind: type[alt.X] | type[alt.Y], name: str, part: str = "") -> Any:
    return kind(
        f"{name}{part}:Q",
        title=f"{name}: mean, %",
        scale=alt.Scale(zero=False, padding=24),
        axis=alt.Axis(tickCount=8),
    )


def apart(points: pd.DataFrame, x: str, y: str, name: str = "model") -> pd.DataFrame:
    """Add `<y>_name`, a height for each name at which it covers no other; a name without room is left to the tooltip."""
    found = points.sort_values(y, ascending=False).reset_index(drop=True)
    wide = (found[x].max() - found[x].min()) * 0.15 or 1.0
    high = (found[y].max() - found[y].min()) * 0.06 or 1.0
    placed: list[tuple[float, float]] = []
    heights, names = [], []
    for left, top, said in zip(found[x], found[y], found[name], strict=True):
        place = top
        for other, taken in placed:
            if abs(other - left) < wide and abs(taken - place) < high:
                place = taken - high
        room = bool(said) and top - place <= 1.5 * high
        if room:
            placed.append((left, place))
        heights.append(place if room else top)
        names.append(said if room else "")
    return found.assign(**{f"{y}_name": heights, "name": names})


def grouped_bars(table: pd.DataFrame, suites: list[str], *, dark: bool) -> alt.LayerChart | alt.FacetChart:
    """Draw a group of bars per suite; measured ones are full and have intervals, claims are outlines."""
    models = list(dict.fromkeys(table["model"]))
    there = [suite for suite in suites if suite in set(table["suite"])]
    colours = [palette(dark=dark)[i % 8] for i in range(len(models))]
    step = 0.8 / len(models)
    left = table["suite"].map(there.index) - 0.4 + table["model"].map(models.index) * step
    shown = table.assign(left=left + 0.06 * step, right=left + 0.94 * step, middle=left + 0.5 * step)
    names = alt.Axis(
        values=list(range(len(there))),
        labelExpr=f"{json.dumps(there)}[datum.value]",
        grid=False,
        ticks=False,
        labelLimit=160,
    )
    wide = alt.Scale(domain=[-0.5, len(there) - 0.5], nice=False)
    base = alt.Chart(shown).encode(
        tooltip=[
            "model:N",
            "kind:N",
            "suite:N",
            *(alt.Tooltip(f"{n}:Q", format=".1f") for n in ("value", "low", "high")),
        ]
    )
    bars = base.mark_bar(strokeWidth=1.5).encode(
        alt.X("left:Q", title=None, scale=wide, axis=names),
        alt.X2("right:Q"),
        alt.Y("value:Q", title="%", scale=alt.Scale(domain=[0, 100])),
        alt.Y2(datum=0),
        alt.Color(
            "model:N",
            sort=models,
            scale=alt.Scale(domain=models, range=colours),
            legend=alt.Legend(title=None, orient="bottom", columns=3, labelLimit=260),
        ),
        alt.Stroke("model:N", sort=models, scale=alt.Scale(domain=models, range=colours), legend=None),
        fillOpacity=alt.condition("datum.kind == 'measured'", alt.value(0.9), alt.value(0.12)),
        strokeDash=alt.condition("datum.kind == 'measured'", alt.value([1, 0]), alt.value([4, 3])),
    )
    ends = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=2, color=ink(dark=dark))
    return alt.layer(
        bars, ends.encode(alt.X("middle:Q", title=None), alt.Y("low:Q", title="%"), alt.Y2("high:Q"))
    ).properties(height=400)


def _kind_colour(*, dark: bool) -> alt.Color:
    blue, orange, *_ = palette(dark=dark)
    return alt.Color("kind:N", scale=alt.Scale(domain=list(KINDS), range=[blue, orange]), legend=KEY)


def _kind_shape() -> alt.Shape:
    return alt.Shape("kind:N", scale=alt.Scale(domain=list(KINDS), range=["circle", "diamond"]), legend=KEY)


def curve(table: pd.DataFrame, *, dark: bool) -> alt.LayerChart | alt.FacetChart:
    """Draw a running mean with its band, in percent."""
    blue = palette(dark=dark)[0]
    shown = table.assign(**{name: 100 * table[name] for name in ("mean", "low", "high")})
    base = alt.Chart(shown).encode(
        alt.X("n:Q", title="records scored", axis=alt.Axis(tickMinStep=1, tickCount=6)),
        tooltip=["n:Q", *(alt.Tooltip(f"{name}:Q", format=".1f") for name in ("mean", "low", "high"))],
    )
    band = base.mark_area(color=blue, opacity=0.2).encode(
        alt.Y("low:Q", title="%", scale=alt.Scale(domain=[0, 100])), alt.Y2("high:Q")
    )
    return alt.layer(band, base.mark_line(color=blue).encode(alt.Y("mean:Q"))).properties(height=220)


def pareto(
    table: pd.DataFrame, effort: str, titles: tuple[str, str], *, dark: bool
) -> alt.LayerChart | alt.FacetChart:
    """Draw score against effort: the front is a line through filled points, what it beats is hollow."""
    blue, orange, *_ = palette(dark=dark)
    title, unit = titles
    scale = 100.0 if unit == "%" else 1.0
    shown = table.assign(**{name: scale * table[name] for name in ("value", "low", "high")})
    shown["place"] = shown["front"].map({True: "on the front", False: "beaten in both"})
    kinds = alt.Scale(domain=["on the front", "beaten in both"], range=[blue, orange])
    shown["name"] = shown["model"] if len(shown) <= NAMED else shown["model"].where(shown["front"], "")
    base = alt.Chart(apart(shown, effort, "value", "name")).encode(
        alt.X(
            f"{effort}:Q", title=title, scale=alt.Scale(zero=False, padding=24), axis=alt.Axis(tickCount=6)
        ),
        alt.Color("place:N", scale=kinds, legend=KEY),
        tooltip=[
            "model:N",
            alt.Tooltip("value:Q", format=".4g"),
            alt.Tooltip(f"{effort}:Q", format=".4g"),
            "n:Q",
        ],
    )
    high = alt.Y("value:Q", title=unit, scale=alt.Scale(zero=False, padding=24))
    line = base.transform_filter("datum.front").mark_line(interpolate="step-after", color=blue, opacity=0.6)
    ends = base.mark_rule(strokeWidth=1.5).encode(alt.Y("low:Q", title=unit), alt.Y2("high:Q"))
    dots = base.mark_point(size=80, opacity=1, strokeWidth=2).encode(
        high,
        shape=alt.Shape(
            "place:N", scale=alt.Scale(domain=kinds["domain"], range=["circle", "diamond"]), legend=KEY
        ),
        fill=alt.Fill(
            "place:N", scale=alt.Scale(domain=kinds["domain"], range=[blue, "transparent"]), legend=None
        ),
    )
    names = base.mark_text(dx=8, dy=-8, align="left", fontSize=12).encode(
        alt.Y("value_name:Q", title=unit), text="name:N", color=alt.value(ink(dark=dark))
    )
    return alt.layer(line.encode(high), ends, dots, names).properties(height=380)


GATE_VERDICTS = ("pass", "regression", "cannot tell", "not comparable", "")


def history(table: pd.DataFrame, unit: str, *, dark: bool) -> alt.LayerChart | alt.FacetChart:
    """Draw a model's scores over time: a line breaks, and a dashed mark stands, where data, prompt or scorer changed."""
    blue, orange, green, _, yellow, _, grey, _ = palette(dark=dark)
    words = {"": "first"}
    shown = table.assign(gate=table["verdict"].replace(words))
    domain = [words.get(name, name) for name in GATE_VERDICTS]
    colours = alt.Scale(domain=domain, range=[green, orange, yellow, grey, blue])
    shapes = alt.Scale(domain=domain, range=["circle", "triangle-down", "square", "cross", "diamond"])
    base = alt.Chart(shown).encode(
        alt.X("started:T", title=None, axis=alt.Axis(tickCount=8, format="%Y-%m-%d", labelOverlap=True)),
        tooltip=[
            alt.Tooltip("started:T", format="%Y-%m-%d %H:%M"),
            "model:N",
            "run:N",
            alt.Tooltip("value:Q", format=".4g"),
            alt.Tooltip("low:Q", format=".4g"),
            alt.Tooltip("high:Q", format=".4g"),
            "n:Q",
            "gate:N",
            "changed:N",
        ],
    )
    high = alt.Y("value:Q", title=unit, scale=alt.Scale(zero=False, padding=16))
    marks = base.transform_filter("datum.changed != ''").mark_rule(
        strokeDash=[5, 4], color=ink(dark=dark), opacity=0.6
    )
    line = base.mark_line(color=blue, opacity=0.5).encode(high, detail="stretch:N")
    ends = base.mark_rule(strokeWidth=1.5, color=blue).encode(alt.Y("low:Q", title=unit), alt.Y2("high:Q"))
    dots = base.mark_point(size=90, filled=True, opacity=1).encode(
        high, alt.Color("gate:N", scale=colours, legend=KEY), alt.Shape("gate:N", scale=shapes, legend=KEY)
    )
    return alt.layer(marks, line, ends, dots).properties(height=360)
