"""science: stands here until its page is written."""

from __future__ import annotations

import streamlit as st

st.title("science".title())
