"""Figures of runs and models: functions that return an Altair chart of a table.

Colour is never the only carrier of information: shape, position or text conveys it too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import altair as alt
import pandas as pd

from evals.dashboard.charts.colours import ink, palette

Figure: TypeAlias = alt.LayerChart | alt.FacetChart


def png(chart: alt.TopLevelMixin) -> bytes:
    """Render a figure as PNG with vl-convert, without a browser or network."""
    import vl_convert

    return bytes(vl_convert.vegalite_to_png(chart.to_json(), scale=2.0))


def board(texts: pd.DataFrame, colours: pd.DataFrame, headings: Mapping[str, tuple[str, str]]) -> Figure:
    """Return the leaderboard as a figure, with cells coloured by standing."""
    labels = [name for name in texts if name != "model"]
    titles = {name: " · ".join(filter(None, headings[name])) for name in labels}
    cells = texts.melt("model", labels, "column", "text")
    cells["standing"] = colours[labels].melt()["value"].to_numpy()
    cells["column"] = cells["column"].map(titles)
    column_axis = alt.Axis(orient="top", labelAngle=-35, labelLimit=400)
    base = alt.Chart(cells).encode(
        alt.X("column:N", sort=list(titles.values()), title=None, axis=column_axis),
        alt.Y("model:N", sort=list(texts["model"]), title=None, axis=alt.Axis(labelLimit=400)),
    )
    scale = alt.Scale(range=["#ffffff", "#9cc3e5"], domain=[0, 1])
    boxes = (
        base.transform_filter("isValid(datum.standing)")
        .mark_rect()
        .encode(alt.Color("standing:Q", scale=scale, legend=None))
    )
    text = base.mark_text(fontSize=11, font="DejaVu Sans").encode(text="text:N")  # has a glyph for every mark
    return alt.layer(boxes, text).properties(width=alt.Step(130), height=alt.Step(24), background="white")


PRINT_WIDTH, PRINT_HEIGHT = 620, 380
"""Size of a printed figure in points; its text is set in 11 and 12 points."""


def render_for_print(chart: Figure, file_format: str) -> bytes:
    """Render a figure for print as `svg` or `pdf` on white with vl-convert, without a browser or network."""
    import vl_convert

    sized = chart.properties(width=PRINT_WIDTH, height=PRINT_HEIGHT, background="white", padding=8)
    styled = sized.configure_view(stroke="#888888").configure_axis(
        labelFontSize=11, titleFontSize=12, gridColor="#e3e6ea", labelColor="#1c2330", titleColor="#1c2330"
    )
    spec = styled.configure_legend(labelFontSize=11, labelLimit=260, columns=4).to_json()
    if file_format == "svg":
        return str(vl_convert.vegalite_to_svg(spec)).encode()
    return bytes(vl_convert.vegalite_to_pdf(spec))


KINDS = ("measured", "reported")
MAX_LABELS = 14
"""Maximum number of points that are all labelled; if there are more, only the Pareto-optimal points are labelled."""
LEGEND = alt.Legend(title=None, orient="bottom", columns=2, labelLimit=170)


def scatter(points: pd.DataFrame, *, dark: bool) -> Figure:
    """Draw science against general ability: measured models as filled points with error bars, reported ones as hollow points."""
    titles = {"general": "general: mean, %", "science": "science: mean, %"}
    kind_shape = coded(alt.Shape, "kind", zip(KINDS, ("circle", "diamond"), strict=True), LEGEND)
    base = alt.Chart(place_labels(points, "general", "science")).encode(
        _axis(alt.X, "general", titles["general"]),
        _axis(alt.Y, "science", titles["science"]),
        coded(alt.Color, "kind", zip(KINDS, palette(dark=dark), strict=False), LEGEND),
        tooltip=["model:N", "kind:N", "protocol:N", *tooltips(("general", "science"), ".1f")],
    )
    layers = _point_labels(base, _axis(alt.Y, "science_name", titles["science"]), dark=dark)
    kinds = set(points["kind"])
    if "reported" in kinds:
        hollow = base.transform_filter("datum.kind == 'reported'")
        layers.append(hollow.mark_point(size=90, strokeWidth=2, opacity=1).encode(shape=kind_shape))
    if "measured" in kinds:
        measured = base.transform_filter("datum.kind == 'measured'")
        layers += [
            measured.mark_rule(strokeWidth=1.5).encode(
                _axis(channel, f"{name}_low", titles[name]), high_channel(f"{name}_high:Q")
            )
            for name, channel, high_channel in (("general", alt.X, alt.X2), ("science", alt.Y, alt.Y2))
        ]
        layers.append(measured.mark_point(size=90, filled=True, opacity=1).encode(shape=kind_shape))
    return alt.layer(*layers).properties(height=460)


def tooltips(names: Sequence[str], number_format: str) -> list[alt.Tooltip]:
    """Return tooltips of numeric columns."""
    return [alt.Tooltip(f"{name}:Q", format=number_format) for name in names]


def coded(channel: Any, column: str, codes: Iterable[tuple[str, str]], legend: alt.Legend | None) -> Any:
    """Return a channel that shows a column's categories by colours or shapes; `codes`: (category, colour or shape)."""
    domain, codes_of_domain = zip(*codes, strict=True)
    scale = alt.Scale(domain=list(domain), range=list(codes_of_domain))
    return channel(f"{column}:N", scale=scale, legend=legend)


def _axis(channel: type[alt.X] | type[alt.Y], column: str, title: str, *, padding: int = 24) -> Any:
    scale = alt.Scale(zero=False, padding=padding)
    return channel(f"{column}:Q", title=title, scale=scale, axis=alt.Axis(tickCount=6))


def _padded_scale(values: pd.Series[float]) -> alt.Scale:
    """Return a scale that contains all values, with a positive width even if they are equal."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return alt.Scale(domain=[0.5 * low, 1.5 * high or 1.0])
    return alt.Scale(zero=False, padding=24)


CHARACTER_WIDTH, LINE_HEIGHT = 0.021, 0.06
"""Width of a character and height of a line, as fractions of a figure's width and height on a phone."""
MAX_TWO_COLUMN_CHARS = 22
"""Maximum length of names for a legend in two columns to fit on a phone."""
MAX_CHARS = 28
"""Maximum length of a label, in characters."""


_Box: TypeAlias = tuple[float, float, float]
"""Left end, vertical position and width of a label; a point is a box of width 0."""


def _overlaps(label: _Box, x: float, line_height: float, boxes: list[_Box]) -> bool:
    """Return whether the label of a point at `x` would overlap any box other than the point itself."""
    begin, label_y, label_width = label
    return any(
        begin - width < start < begin + label_width
        and abs(y - label_y) < line_height
        and (width or start != x)
        for start, y, width in boxes
    )


def place_labels(points: pd.DataFrame, x: str, y: str, *, name: str = "model") -> pd.DataFrame:
    """Return the points with labels that overlap neither each other nor a point.

    The new columns are `name` (the label), `<y>_name` (its vertical position) and `left` (whether it is left of its point).
    Labels that do not fit are empty; the names of these points appear only in tooltips.
    """
    placed = points.sort_values(y, ascending=False).reset_index(drop=True)
    axis_values = [
        placed[[c for c in (axis, f"{axis}_low", f"{axis}_high", *bounds) if c in placed]]
        for axis, bounds in ((x, ()), (y, ("low", "high")))
    ]
    character_width, line_height = (
        share * (float(values.max().max() - values.min().min()) or 1.0)
        for share, values in zip((CHARACTER_WIDTH, LINE_HEIGHT), axis_values, strict=True)
    )
    centre = (placed[x].max() + placed[x].min()) / 2
    x_limits = placed[x].min(), placed[x].max()
    positions = list(zip(placed[x], placed[y], strict=True))
    # a label is drawn half a line above its vertical position
    occupied = [(float(x_value), float(y_value) - line_height / 2, 0.0) for x_value, y_value in positions]
    labels, label_positions, on_left = [], [], []
    for (x_value, y_value), text in zip(positions, placed[name], strict=True):
        prefers_left, width = bool(x_value > centre), character_width * (min(len(text), MAX_CHARS) + 1)
        candidates = [
            (left, (begin, label_y, width))
            for left in (prefers_left, not prefers_left)
            for begin in [x_value - width if left else x_value]
            for label_y in (y_value, y_value - line_height, y_value + line_height, y_value - 2 * line_height)
            if left == prefers_left or x_limits[0] <= begin <= x_limits[1] - (0 if left else width)
        ]
        available = [
            (left, box) for left, box in candidates if not _overlaps(box, x_value, line_height, occupied)
        ]
        left, box = available[0] if text and available else (prefers_left, (x_value, y_value, width))
        if text and available:
            occupied.append(box)
        labels.append(text if available else "")
        label_positions.append(box[1])
        on_left.append(left)
    return placed.assign(**{f"{y}_name": label_positions, "name": labels, "left": on_left})


PAGE_BACKGROUND = {False: "#ffffff", True: "#12161c"}
"""Whether the theme is dark -> background of the page."""


def _point_labels(base: alt.Chart, y: Any, *, dark: bool) -> list[alt.Chart]:
    """Return layers with the labels to the right and to the left of points, each label with a halo."""
    text = alt.value(ink(dark=dark))
    halo: dict[str, Any] = {"stroke": PAGE_BACKGROUND[dark], "strokeWidth": 3, "strokeOpacity": 0.8}
    return [
        base.transform_filter(f"{'' if left else '!'}datum.left")
        .mark_text(
            dx=-8 if left else 8,
            dy=-8,
            align="right" if left else "left",
            fontSize=12,
            limit=7 * MAX_CHARS,
            **outline,
        )
        .encode(y, text="name:N", color=text)
        for outline in (halo, {})
        for left in (False, True)
    ]


def grouped_bars(
    table: pd.DataFrame, suites: list[str], *, dark: bool, columns: int | None = None, unit: str = "%"
) -> Figure:
    """Draw a group of bars per suite: measured scores as filled bars with intervals, reported ones as outlines.

    `columns`: number of legend columns; None: two if they fit on a phone, else one.
    """
    models = list(dict.fromkeys(table["model"]))
    columns = columns or (2 if max(map(len, models)) <= MAX_TWO_COLUMN_CHARS else 1)
    present_suites = [suite for suite in suites if suite in set(table["suite"])]
    step = 0.8 / len(models)
    left_edges = table["suite"].map(present_suites.index) - 0.4 + table["model"].map(models.index) * step
    bars_frame = table.assign(
        left=left_edges + 0.06 * step, right=left_edges + 0.94 * step, middle=left_edges + 0.5 * step
    )
    x_axis = alt.Axis(
        values=list(range(len(present_suites))), labelExpr=f"{json.dumps(present_suites)}[datum.value]", grid=False, ticks=False,
        labelLimit=160, labelAngle=-30, labelOverlap=False,
    )  # fmt: skip
    x_scale = alt.Scale(domain=[-0.5, len(present_suites) - 0.5], nice=False)
    colours = alt.Scale(domain=models, range=[palette(dark=dark)[i % 8] for i in range(len(models))])
    legend = alt.Legend(title=None, orient="bottom", columns=columns, labelLimit=300)
    y_scale, digits = (alt.Scale(domain=[0, 100]), 1) if unit == "%" else (alt.Scale(zero=True), 2)
    numbers = tooltips(("value", "low", "high"), f".{digits}f")
    base = alt.Chart(bars_frame).encode(tooltip=["model:N", "kind:N", "suite:N", *numbers])
    measured = "datum.kind == 'measured'"
    bars = base.mark_bar(strokeWidth=1.5).encode(
        alt.X("left:Q", title=None, scale=x_scale, axis=x_axis),
        alt.X2("right:Q"),
        alt.Y("value:Q", title=unit, scale=y_scale, axis=alt.Axis(tickCount=5)),
        alt.Y2(datum=0),
        alt.Color("model:N", sort=models, scale=colours, legend=legend),
        alt.Stroke("model:N", sort=models, scale=colours, legend=None),
        fillOpacity=alt.condition(measured, alt.value(0.9), alt.value(0.12)),
        strokeDash=alt.condition(measured, alt.value([1, 0]), alt.value([4, 3])),
    )
    error_bars = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=2, color=ink(dark=dark))
    intervals = error_bars.encode(alt.X("middle:Q", title=None), alt.Y("low:Q", title=unit), alt.Y2("high:Q"))
    layers = [bars, intervals] if bars_frame["low"].notna().any() else [bars]
    return alt.layer(*layers).properties(height=340 + 30 * len(models) // columns)


def running_mean(table: pd.DataFrame, *, dark: bool) -> Figure:
    """Draw a running mean with its confidence band, in percent."""
    blue = palette(dark=dark)[0]
    frame = table.assign(**{name: 100 * table[name] for name in ("mean", "low", "high")})
    base = alt.Chart(frame).encode(
        alt.X("n:Q", title="records scored", axis=alt.Axis(tickMinStep=1, tickCount=6)),
        tooltip=["n:Q", *tooltips(("mean", "low", "high"), ".1f")],
    )
    band = base.mark_area(color=blue, opacity=0.2).encode(
        alt.Y("low:Q", title="%", scale=alt.Scale(domain=[0, 100])), alt.Y2("high:Q")
    )
    return alt.layer(band, base.mark_line(color=blue).encode(alt.Y("mean:Q"))).properties(height=220)


STATUSES = ("Pareto-optimal", "dominated")


def pareto(table: pd.DataFrame, cost: str, titles: tuple[str, str], *, dark: bool) -> Figure:
    """Draw score against cost: Pareto-optimal models as filled points on a line, dominated ones as hollow points.

    `cost`: the column with the cost; `titles`: titles of the cost axis and of the score axis.
    """
    blue, orange, *_ = palette(dark=dark)
    cost_title, unit = titles
    scale = 100.0 if unit.endswith("%") else 1.0
    frame = table.assign(**{name: scale * table[name] for name in ("value", "low", "high")})
    frame["status"] = frame["optimal"].map(dict(zip((True, False), STATUSES, strict=True)))
    colours, shapes, fills = (
        list(zip(STATUSES, codes, strict=True))
        for codes in ((blue, orange), ("circle", "diamond"), (blue, "transparent"))
    )
    frame["name"] = frame["model"] if len(frame) <= MAX_LABELS else frame["model"].where(frame["optimal"], "")
    base = alt.Chart(place_labels(frame, cost, "value", name="name")).encode(
        alt.X(f"{cost}:Q", title=cost_title, scale=_padded_scale(table[cost]), axis=alt.Axis(tickCount=6)),
        coded(alt.Color, "status", colours, LEGEND),
        tooltip=["model:N", *tooltips(("value", cost), ".4g"), "n:Q"],
    )
    score = _axis(alt.Y, "value", unit)
    line = base.transform_filter("datum.optimal").mark_line(interpolate="step-after", color=blue, opacity=0.6)
    error_bars = base.mark_rule(strokeWidth=1.5).encode(alt.Y("low:Q", title=unit), alt.Y2("high:Q"))
    markers = base.mark_point(size=80, opacity=1, strokeWidth=2).encode(
        score, coded(alt.Shape, "status", shapes, LEGEND), coded(alt.Fill, "status", fills, None)
    )
    names = _point_labels(base, alt.Y("value_name:Q", title=unit), dark=dark)
    return alt.layer(line.encode(score), error_bars, markers, *names).properties(height=380)


GATE_VERDICTS = ("pass", "regression", "inconclusive", "not comparable", "")


def history(table: pd.DataFrame, unit: str, *, dark: bool) -> Figure:
    """Draw a model's scores over time; a dashed rule interrupts the line when anything but the model changed."""
    blue, orange, green, _, yellow, _, grey, _ = palette(dark=dark)
    frame = table.assign(gate=table["verdict"].replace({"": "first"}))
    domain = [name or "first" for name in GATE_VERDICTS]
    colours = zip(domain, (green, orange, yellow, grey, blue), strict=True)
    shapes = zip(domain, ("circle", "triangle-down", "square", "cross", "diamond"), strict=True)
    started = alt.Tooltip("started:T", format="%Y-%m-%d %H:%M")
    numbers = tooltips(("value", "low", "high"), ".4g")
    time_axis = alt.Axis(tickCount=5, format="%Y-%m-%d", labelOverlap=True)
    base = alt.Chart(frame).encode(
        alt.X("started:T", title=None, scale=alt.Scale(padding=16), axis=time_axis),
        tooltip=[started, "model:N", "run:N", *numbers, "n:Q", "gate:N", "changed:N"],
    )
    score = _axis(alt.Y, "value", unit, padding=16)
    change_rules = base.transform_filter("datum.changed != ''").mark_rule(
        strokeDash=[5, 4], color=ink(dark=dark), opacity=0.6
    )
    line = base.mark_line(color=blue, opacity=0.5).encode(score, detail="segment:N")
    bars = base.mark_rule(strokeWidth=1.5, color=blue).encode(alt.Y("low:Q", title=unit), alt.Y2("high:Q"))
    markers = base.mark_point(size=90, filled=True, opacity=1).encode(
        score, coded(alt.Color, "gate", colours, LEGEND), coded(alt.Shape, "gate", shapes, LEGEND)
    )
    return alt.layer(change_rules, line, bars, markers).properties(height=360)
