"""Tables -> figures, all of them Altair: plain functions from a frame to a chart. Nothing here reads or draws.

Colours come from `dashboard.colours`, and never alone: shape, position or text say the same.
"""

from __future__ import annotations

import altair as alt
import pandas as pd


def png(chart: alt.TopLevelMixin, *, scale: float = 2.0) -> bytes:
    """Draw a figure as a picture; needs vl-convert, no browser and no network."""
    import vl_convert

    return bytes(vl_convert.vegalite_to_png(chart.to_json(), scale=scale))


def board(words: pd.DataFrame, places: pd.DataFrame) -> alt.LayerChart | alt.FacetChart:
    """Draw the leaderboard's table as a picture: rows by columns, colour by place, the words of each cell."""
    names = list(words["model"])
    labels = [name for name in words if name != "model"]
    long = words.melt("model", labels, "column", "words")
    long["place"] = places[labels].melt()["value"].to_numpy()
    base = alt.Chart(long).encode(
        alt.X(
            "column:N", sort=labels, title=None, axis=alt.Axis(orient="top", labelAngle=-35, labelLimit=400)
        ),
        alt.Y("model:N", sort=names, title=None, axis=alt.Axis(labelLimit=400)),
    )
    boxes = base.mark_rect().encode(
        alt.Color("place:Q", scale=alt.Scale(range=["#ffffff", "#9cc3e5"], domain=[0, 1]), legend=None)
    )
    return alt.layer(boxes, base.mark_text(fontSize=11).encode(text="words:N")).properties(
        width=alt.Step(130), height=alt.Step(24), background="white"
    )
