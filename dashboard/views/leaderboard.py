"""Leaderboard: models by suites, each number with its interval and what it rests on."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import frames, state

st.title("Leaderboard")
found = frames.index(state.results())
if not found.entries and not found.broken:
    state.nothing(
        "There is no run in this results folder yet.", "evals run mmlu-pro gpqa aime --sample -m smollm2"
    )
for one in found.broken:
    st.warning(f"broken run: {one.why}")
st.dataframe(
    pd.DataFrame(
        [
            {
                "model": e.card.model,
                "suite": e.card.config.suite,
                "value": e.headline.value if e.headline else None,
            }
            for e in found.entries
        ]
    )
)
