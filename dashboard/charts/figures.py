"""Figures of runs and models: plain functions from a frame to an Altair chart. Nothing here reads files.

Colour is never the only cue: shape, position or text say the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from evals.dashboard.charts.colours import ink, palette


def png(chart: alt.TopLevelMixin, *, scale: float = 2.0) -> bytes:
    """Render a figure as PNG; needs vl-convert, no browser and no network."""
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
    words_shown = base.mark_text(fontSize=11, font="DejaVu Sans").encode(text="words:N")  # it has the marks
    return alt.layer(boxes, words_shown).properties(
        width=alt.Step(130), height=alt.Step(24), background="white"
    )


PRINT_WIDTH, PRINT_HEIGHT = 620, 380
"""Size of a printed figure in points, for labels of 12 points."""


def printed(chart: alt.LayerChart | alt.FacetChart, form: str) -> bytes:
    """Render a figure for print as `svg` or `pdf`, on white; needs vl-convert, no browser and no network."""
    import vl_convert

    sized = chart.properties(width=PRINT_WIDTH, height=PRINT_HEIGHT, background="white", padding=8)
    look = sized.configure_view(stroke="#888888").configure_axis(
        labelFontSize=11, titleFontSize=12, gridColor="#e3e6ea", labelColor="#1c2330", titleColor="#1c2330"
    )
    spec = look.configure_legend(labelFontSize=11, labelLimit=260, columns=4).to_json()
    if form == "svg":
        return str(vl_convert.vegalite_to_svg(spec)).encode()
    return bytes(vl_convert.vegalite_to_pdf(spec))


KINDS = ("measured", "reported")
NAMED = 14
"""With more points than this, only Pareto-optimal ones are labelled."""
KEY = alt.Legend(title=None, orient="bottom", columns=2, labelLimit=170)


def scatter(points: pd.DataFrame, *, dark: bool) -> alt.LayerChart | alt.FacetChart:
    """Draw general ability against science: measured models filled with error crosses, reported ones hollow."""
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
    layers = _names(base, _axis(alt.Y, "science", "_name"), dark=dark)
    kinds = set(points["kind"])
    if "reported" in kinds:
        claims = base.transform_filter("datum.kind == 'reported'").mark_point(
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
        axis=alt.Axis(tickCount=6),
    )


def _scale(values: pd.Series[float]) -> alt.Scale:
    """Return a scale that holds all values; if they are equal, it still has a width, so that its ticks differ."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return alt.Scale(domain=[0.5 * low, 1.5 * high or 1.0])
    return alt.Scale(zero=False, padding=24)


LETTER = 0.021
"""Width of a character, as a fraction of a figure's width on a phone."""
PHONE = 22
"""Characters of a name of which two fit side by side on a phone."""
LIMIT = 28
"""Characters of a name that are drawn."""


def _covers(
    at: float, wide: float, place: tuple[bool, float], high: float, *, taken: list[tuple[float, float, float]]
) -> bool:
    """Return whether a label of a point at `at` would cover one of the `taken` places: (left end, height, width)."""
    left, height = place
    begin, end = (at - wide, at) if left else (at, at + wide)
    return any(
        begin - width < other < end and abs(taken_height - height) < high and (width or other != at)
        for other, taken_height, width in taken
    )


def apart(points: pd.DataFrame, x: str, y: str, *, name: str = "model") -> pd.DataFrame:
    """Place the labels of points so that none covers another label or a point.

    Adds `name`, `<y>_name` (its height) and `left` (whether it is left of its point); a label without room is empty,
    and left to the tooltip.
    """
    placed = points.sort_values(y, ascending=False).reset_index(drop=True)
    spans = [
        placed[[c for c in (axis, f"{axis}_low", f"{axis}_high", *bounds) if c in placed]]
        for axis, bounds in ((x, ()), (y, ("low", "high")))
    ]
    letter, high = (
        share * (float(part.max().max() - part.min().min()) or 1.0)
        for share, part in zip((LETTER, 0.06), spans, strict=True)
    )
    middle = (placed[x].max() + placed[x].min()) / 2
    ends = placed[x].min(), placed[x].max()
    # labels are drawn above their height, by half a line
    taken = [(float(at), float(top) - high / 2, 0.0) for at, top in zip(placed[x], placed[y], strict=True)]
    names, heights, sides = [], [], []
    for at, top, text in zip(placed[x], placed[y], placed[name], strict=True):
        own, wide = bool(at > middle), letter * (min(len(text), LIMIT) + 1)
        places = [
            (side, height)
            for side in (own, not own)
            for height in (top, top - high, top + high, top - 2 * high)
            if side == own or ends[0] <= (at - wide if side else at) <= ends[1] - (0 if side else wide)
        ]
        free = [place for place in places if not _covers(at, wide, place, high, taken=taken)]
        side, height = free[0] if text and free else (own, top)
        if text and free:
            taken.append((at - wide if side else at, height, wide))
        names.append(text if free else "")
        heights.append(height)
        sides.append(side)
    return placed.assign(**{f"{y}_name": heights, "name": names, "left": sides})


GROUND = {False: "#ffffff", True: "#12161c"}
"""Background of the page by whether the theme is dark."""


def _names(base: alt.Chart, y: Any, *, dark: bool) -> list[alt.Chart]:
    """Return the labels of points to the right and to the left of them, readable over lines by a halo."""
    text = alt.value(ink(dark=dark))
    halo: dict[str, Any] = {"stroke": GROUND[dark], "strokeWidth": 3, "strokeOpacity": 0.8}
    return [
        base.transform_filter(f"{'' if left else '!'}datum.left")
        .mark_text(
            dx=-8 if left else 8,
            dy=-8,
            align="right" if left else "left",
            fontSize=12,
            limit=7 * LIMIT,
            **outline,
        )
        .encode(y, text="name:N", color=text)
        for outline in (halo, {})
        for left in (False, True)
    ]


def grouped_bars(
    table: pd.DataFrame, suites: list[str], *, dark: bool, columns: int | None = None, unit: str = "%"
) -> alt.LayerChart | alt.FacetChart:
    """Draw a group of bars per suite: measured ones filled, with intervals; reported ones as outlines.

    `columns`: of the legend; None: two if they fit a phone. Percentages have an axis to 100, other units one that holds
    all values.
    """
    models = list(dict.fromkeys(table["model"]))
    columns = columns or (2 if max(map(len, models)) <= PHONE else 1)
    known = [suite for suite in suites if suite in set(table["suite"])]
    step = 0.8 / len(models)
    left = table["suite"].map(known.index) - 0.4 + table["model"].map(models.index) * step
    shown = table.assign(left=left + 0.06 * step, right=left + 0.94 * step, middle=left + 0.5 * step)
    names = alt.Axis(
        values=list(range(len(known))), labelExpr=f"{json.dumps(known)}[datum.value]", grid=False, ticks=False,
        labelLimit=160, labelAngle=-30, labelOverlap=False,
    )  # fmt: skip
    wide = alt.Scale(domain=[-0.5, len(known) - 0.5], nice=False)
    colours = alt.Scale(domain=models, range=[palette(dark=dark)[i % 8] for i in range(len(models))])
    legend = alt.Legend(title=None, orient="bottom", columns=columns, labelLimit=300)
    height = alt.Scale(domain=[0, 100]) if unit == "%" else alt.Scale(zero=True)
    digits = ".1f" if unit == "%" else ".2f"
    numbers = (alt.Tooltip(f"{name}:Q", format=digits) for name in ("value", "low", "high"))
    base = alt.Chart(shown).encode(tooltip=["model:N", "kind:N", "suite:N", *numbers])
    measured = "datum.kind == 'measured'"
    bars = base.mark_bar(strokeWidth=1.5).encode(
        alt.X("left:Q", title=None, scale=wide, axis=names),
        alt.X2("right:Q"),
        alt.Y("value:Q", title=unit, scale=height, axis=alt.Axis(tickCount=5)),
        alt.Y2(datum=0),
        alt.Color("model:N", sort=models, scale=colours, legend=legend),
        alt.Stroke("model:N", sort=models, scale=colours, legend=None),
        fillOpacity=alt.condition(measured, alt.value(0.9), alt.value(0.12)),
        strokeDash=alt.condition(measured, alt.value([1, 0]), alt.value([4, 3])),
    )
    ends = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=2, color=ink(dark=dark))
    intervals = ends.encode(alt.X("middle:Q", title=None), alt.Y("low:Q", title=unit), alt.Y2("high:Q"))
    layers = [bars, intervals] if shown["low"].notna().any() else [bars]
    return alt.layer(*layers).properties(height=340 + 30 * len(models) // columns)


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


OPTIMAL, DOMINATED = "Pareto-optimal", "dominated"


def pareto(
    table: pd.DataFrame, effort: str, titles: tuple[str, str], *, dark: bool
) -> alt.LayerChart | alt.FacetChart:
    """Draw score against cost: Pareto-optimal models are filled points on a line, dominated ones are hollow."""
    blue, orange, *_ = palette(dark=dark)
    title, unit = titles
    scale = 100.0 if unit.endswith("%") else 1.0
    shown = table.assign(**{name: scale * table[name] for name in ("value", "low", "high")})
    shown["place"] = shown["front"].map({True: OPTIMAL, False: DOMINATED})
    kinds = alt.Scale(domain=[OPTIMAL, DOMINATED], range=[blue, orange])
    shown["name"] = shown["model"] if len(shown) <= NAMED else shown["model"].where(shown["front"], "")
    base = alt.Chart(apart(shown, effort, "value", name="name")).encode(
        alt.X(f"{effort}:Q", title=title, scale=_scale(table[effort]), axis=alt.Axis(tickCount=6)),
        alt.Color("place:N", scale=kinds, legend=KEY),
        tooltip=[
            "model:N",
            alt.Tooltip("value:Q", format=".4g"),
            alt.Tooltip(f"{effort}:Q", format=".4g"),
            "n:Q",
        ],
    )
    high = alt.Y("value:Q", title=unit, scale=alt.Scale(zero=False, padding=24), axis=alt.Axis(tickCount=6))
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
    names = _names(base, alt.Y("value_name:Q", title=unit), dark=dark)
    return alt.layer(line.encode(high), ends, dots, *names).properties(height=380)


GATE_VERDICTS = ("pass", "regression", "inconclusive", "not comparable", "")


def history(table: pd.DataFrame, unit: str, *, dark: bool) -> alt.LayerChart | alt.FacetChart:
    """Draw a model's scores over time; the line is broken at a dashed rule when data, prompt or scorer changed."""
    blue, orange, green, _, yellow, _, grey, _ = palette(dark=dark)
    words = {"": "first"}
    shown = table.assign(gate=table["verdict"].replace(words))
    domain = [words.get(name, name) for name in GATE_VERDICTS]
    colours = alt.Scale(domain=domain, range=[green, orange, yellow, grey, blue])
    shapes = alt.Scale(domain=domain, range=["circle", "triangle-down", "square", "cross", "diamond"])
    base = alt.Chart(shown).encode(
        alt.X(
            "started:T",
            title=None,
            scale=alt.Scale(padding=16),
            axis=alt.Axis(tickCount=5, format="%Y-%m-%d", labelOverlap=True),
        ),
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
    high = alt.Y("value:Q", title=unit, scale=alt.Scale(zero=False, padding=16), axis=alt.Axis(tickCount=6))
    marks = base.transform_filter("datum.changed != ''").mark_rule(
        strokeDash=[5, 4], color=ink(dark=dark), opacity=0.6
    )
    line = base.mark_line(color=blue, opacity=0.5).encode(high, detail="stretch:N")
    ends = base.mark_rule(strokeWidth=1.5, color=blue).encode(alt.Y("low:Q", title=unit), alt.Y2("high:Q"))
    dots = base.mark_point(size=90, filled=True, opacity=1).encode(
        high, alt.Color("gate:N", scale=colours, legend=KEY), alt.Shape("gate:N", scale=shapes, legend=KEY)
    )
    return alt.layer(marks, line, ends, dots).properties(height=360)
