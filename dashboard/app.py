"""The script that Streamlit runs for `evals dashboard`: navigation between the pages."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from evals.dashboard import state
from evals.dashboard.untrusted import text as safe
from evals.dashboard.views import pickers
from evals.errors import EvalsError

favicon = str(Path(__file__).with_name("icon.png"))
# must precede `st.navigation`: otherwise Streamlit loads an icon from another host
st.set_page_config(page_icon=favicon, layout="wide")
if state.is_dark():
    st.html(Path(__file__).with_name("style.css"))
page = st.navigation(
    [
        st.Page(path, title=title, icon=icon, url_path=name, default=name == "leaderboard")
        for name, (path, title, icon) in state.PAGES.items()
    ],
    position="top",
)
st.set_page_config(page_title=f"{page.title} · science-evals")
state.restore_filters(page.url_path)
try:
    page.run()
except EvalsError as error:  # an unreadable run; other pages still work
    st.error(safe.label(error, 600), icon=":material/error:")
finally:
    pickers.write_url()
    state.save_filters(page.url_path)
