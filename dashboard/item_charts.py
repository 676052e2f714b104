"""Samples, groups and pairs of runs -> figures, all of them Altair: plain functions from a frame to a chart."""

from __future__ import annotations

import altair as alt
import pandas as pd

from dashboard.colours import palette


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
