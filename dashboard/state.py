"""The results folder, the list of pages, links between pages, and elements shared by pages.

Pages keep their state in the URL: give widgets a `key` and `bind="query-params"`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import streamlit as st

from evals.dashboard.foreign import text as safe
from evals.dashboard.tables.frames import BrokenRun, Entry
from evals.dashboard.tables.styling import format_interval, format_value, unit
from evals.records.card import Card
from evals.records.promise import promise_status
from evals.types import Estimate

if TYPE_CHECKING:
    import altair as alt
    from streamlit.elements.vega_charts import AltairChart

PAGES = {
    "leaderboard": ("views/leaderboard.py", "Leaderboard", ":material/leaderboard:"),
    "science": ("views/science.py", "General and science", ":material/scatter_plot:"),
    "compare": ("views/compare.py", "Compare", ":material/compare_arrows:"),
    "suite": ("views/suite.py", "Suite", ":material/view_list:"),
    "sample": ("views/sample.py", "Sample", ":material/biotech:"),
    "runs": ("views/runs.py", "Runs", ":material/play_circle:"),
    "history": ("views/history.py", "History", ":material/timeline:"),
}
"""Name in the URL -> (file, title, icon)."""

FILTERS = frozenset(
    {"kind", "protocol", "rank", "sample", "weights", "size", "since", "columns", "pin", "mean", "reported"}
)
"""Names of the leaderboard's filters in the URL."""

RESULTS_VARIABLE = "EVALS_RESULTS"
"""Environment variable with which `evals dashboard` passes the results folder."""


def results() -> Path:
    """Return the results folder."""
    return Path(os.environ.get(RESULTS_VARIABLE, "results"))


def draw_link(page: str, label: str, *, help: str | None = None, **params: str | Sequence[str]) -> None:  # noqa: A002 - Streamlit's name
    """Draw a link to another page with URL parameters, e.g. `draw_link("suite", "MMLU-Pro", run="2026...-abc")`."""
    path, _, icon = PAGES[page]
    st.page_link(path, label=label, icon=icon, help=help, query_params=params)


def restore_filters(path: str) -> None:
    """Restore the leaderboard's filters when the user returns to it from another page.

    Streamlit removes a page's state from the URL when another page is opened. A URL that sets a filter is not changed, nor
    is the first one of a session.
    """
    previous_page, st.session_state["page"] = st.session_state.get("page"), path
    saved = st.session_state.get("filters")
    if path == "" and previous_page not in (None, "") and saved and not FILTERS & set(st.query_params):
        st.switch_page(PAGES["leaderboard"][0], query_params=saved)


def save_filters(path: str) -> None:
    """Save the leaderboard's filters in the session."""
    if path == "" and st.session_state.get("page") == "":
        saved = {name: st.query_params.get_all(name) for name in FILTERS if name in st.query_params}
        st.session_state["filters"] = saved


def stop_with_hint(message: str, command: str) -> None:
    """Draw a message and a command to run, and stop the page."""
    st.info(message, icon=":material/info:")
    st.code(command, language=None, wrap_lines=True)
    st.stop()


def list_broken_runs(runs: Iterable[BrokenRun]) -> None:
    """List the runs that cannot be read."""
    lines = [f"- {safe.label(run.reason, 600)}" for run in runs]
    if lines:
        with st.expander(
            f"{len(lines)} broken {'run' if len(lines) == 1 else 'runs'}", icon=":material/warning:"
        ):
            st.markdown("\n".join(lines))


def draw_health(card: Card) -> None:
    """Draw warnings about signs that a run is broken."""
    for finding in card.health:
        if finding.fault:
            st.error(f"This run looks broken: {safe.label(finding.message, 600)}", icon=":material/error:")
        else:
            st.warning(safe.label(finding.message, 600), icon=":material/warning:")


def draw_trust(entry: Entry) -> None:
    """Draw whether a run kept its promise, and the outcome of its challenge; nothing if it has neither."""
    facts = [f"promise {promise_status(entry.card)}"] if entry.card.promise else []
    facts += [entry.challenge.sentence] if entry.challenge else []
    if facts:
        text = "; ".join(facts)
        st.caption(safe.label(f"{text[0].upper()}{text[1:]}", 900))


def draw_estimate(number: Estimate, coverage: float) -> None:
    """Draw an estimate with its interval, n, coverage and bounds."""
    metrics: tuple[tuple[str, str, str | None], ...] = (
        (safe.label(f"{number.metric}, {unit(number.unit)}"), format_value(number.value, number.unit), None),
        ("95 % interval", format_interval(number.low, number.high, number.unit), safe.label(number.method)),
        ("n", f"{number.n:,}", f"sample-repeats in {number.clusters:,} independent clusters"),
        ("coverage", f"{100 * coverage:.1f} %", "scored of expected sample-repeats"),
        (
            "bounds",
            format_interval(number.worst, number.best, number.unit),
            "with missing outcomes counted as wrong, and as right",
        ),
    )
    with st.container(horizontal=True):
        for label, value, tooltip in metrics:
            st.metric(label, value, help=tooltip, width=max(150, 16 + 15 * len(value)))


class _Chart(NamedTuple):
    """A figure for Streamlit, without Altair's validation, which takes 0.1 s per figure."""

    figure: alt.TopLevelMixin

    def to_dict(self) -> dict[str, Any]:
        """Return the specification."""
        return self.figure.to_dict(validate=False)


def draw_chart(figure: alt.TopLevelMixin, *, alt: str) -> None:
    """Draw a figure; `alt` is its text alternative."""
    st.altair_chart(cast("AltairChart", _Chart(figure)), alt=alt)


def is_dark() -> bool:
    """Return whether the theme is dark."""
    return st.context.theme.type == "dark"
