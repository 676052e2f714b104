"""The dashboard's frame: seven pages over one results folder. Started by `evals dashboard`."""

from __future__ import annotations

import streamlit as st

from dashboard.state import PAGES

st.set_page_config(page_title="science-evals", page_icon=":material/science:", layout="wide")
st.navigation(
    [
        st.Page(path, title=title, icon=icon, url_path=name, default=name == "leaderboard")
        for name, (path, title, icon) in PAGES.items()
    ],
    position="top",
).run()
