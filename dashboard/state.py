"""The results folder, the list of pages, links between them, and elements that several pages draw.

A page keeps its state in the URL: give its widgets a `key` and `bind="query-params"`.
"""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import streamlit as st

from evals.dashboard.tables.frames import BrokenRun, Entry
from evals.dashboard.tables.styling import format_interval, format_value, unit_symbol
from evals.dashboard.untrusted import text as safe
from evals.plain import count_of, percent
from evals.records.card import Card
from evals.records.promise import promise_status
from evals.types import Estimate

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd
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


def restore_filters(url_path: str) -> None:
    """Restore the filters when the user returns from another page to the leaderboard, whose URL path is empty.

    Streamlit removes a page's state from the URL when another page is opened. A URL that sets a filter is not changed, nor
    is the first URL of a session.
    """
    previous_page, st.session_state["page"] = st.session_state.get("page"), url_path
    saved = st.session_state.get("filters")
    if url_path == "" and previous_page not in (None, "") and saved and not FILTERS & set(st.query_params):
        st.switch_page(PAGES["leaderboard"][0], query_params=saved)


def save_filters(url_path: str) -> None:
    """Save the leaderboard's filters in the session."""
    if url_path == "" and st.session_state.get("page") == "":
        saved = {name: st.query_params.get_all(name) for name in FILTERS if name in st.query_params}
        st.session_state["filters"] = saved


def stop_with_hint(message: str, command: str) -> None:
    """Draw a message and a command for the user to run, and end the page."""
    st.info(message, icon=":material/info:")
    st.code(command, language=None, wrap_lines=True)
    st.stop()


def list_broken_runs(runs: Iterable[BrokenRun]) -> None:
    """List the runs that cannot be read."""
    lines = [f"- {safe.label(run.reason, 600)}" for run in runs]
    if lines:
        with st.expander(count_of(len(lines), "broken run"), icon=":material/warning:"):
            st.markdown("\n".join(lines))


def draw_health(card: Card) -> None:
    """Draw the card's findings about a run that is, or may be, broken."""
    for finding in card.health:
        if finding.fault:
            st.error(f"This run looks broken: {safe.label(finding.message, 600)}", icon=":material/error:")
        else:
            st.warning(safe.label(finding.message, 600), icon=":material/warning:")


def draw_trust(entry: Entry) -> None:
    """Draw whether a preregistered run kept its promise, and the outcome of its challenge if it was challenged."""
    facts = [f"promise {promise_status(entry.card)}"] if entry.card.promise else []
    facts += [entry.challenge.sentence] if entry.challenge else []
    if facts:
        text = "; ".join(facts)
        st.caption(safe.label(f"{text[0].upper()}{text[1:]}", 900))


def marks_legend(meanings: Mapping[str, str]) -> str:
    """Return a legend of marks as Markdown; empty if there are no marks. `meanings`: mark -> meaning."""
    marks = "; ".join(f"**{mark}** {safe.literal(meaning)}" for mark, meaning in meanings.items())
    return f"Marks: {marks}." if marks else ""


def draw_estimate(estimate: Estimate, coverage: float) -> None:
    """Draw an estimate with its interval, n, coverage and bounds."""
    score = safe.label(f"{estimate.metric}, {unit_symbol(estimate.unit)}")
    interval = format_interval(estimate.low, estimate.high, estimate.unit)
    bounds = format_interval(estimate.worst, estimate.best, estimate.unit)
    metrics: tuple[tuple[str, str, str | None], ...] = (
        (score, format_value(estimate.value, estimate.unit), None),
        ("95 % interval", interval, safe.label(estimate.method)),
        ("n", f"{estimate.n:,}", f"sample-repeats in {estimate.clusters:,} independent clusters"),
        ("coverage", f"{percent(coverage)} %", "share of the expected sample-repeats that are scored"),
        ("bounds", bounds, "the score if all missing outcomes were wrong, and if all were right"),
    )
    with st.container(horizontal=True):
        for label, value, tooltip in metrics:
            st.metric(label, value, help=tooltip, width=max(150, 16 + 15 * len(value)))


class _Chart(NamedTuple):
    """A figure for Streamlit, without Altair's validation, which takes 0.1 s per figure."""

    figure: alt.TopLevelMixin

    def to_dict(self) -> dict[str, Any]:
        """Return the figure's Vega-Lite specification."""
        return self.figure.to_dict(validate=False)


def draw_chart(figure: alt.TopLevelMixin, *, alt: str) -> None:
    """Draw a figure; `alt` is its text alternative."""
    st.altair_chart(cast("AltairChart", _Chart(figure)), alt=alt)


def draw_table(frame: pd.DataFrame, *, alt: str, key: str = "", **options: Any) -> int | None:
    """Draw a table; with a `key`, a row can be selected: return its position, None if none is.

    `alt`: text alternative; `options`: Streamlit's, e.g. `column_config` and `height`.
    """
    if key:
        options |= {"key": key, "on_select": "rerun", "selection_mode": "single-row"}
    event = st.dataframe(frame, hide_index=True, placeholder="", alt=alt, **options)
    rows = event["selection"]["rows"] if key else []
    return rows[0] if rows and rows[0] < len(frame) else None


def draw_download(label: str, content: Callable[[], bytes], file: str, **options: Any) -> None:
    """Draw a button to download a file, whose content is created on request; `options`: Streamlit's."""
    mime_type = mimetypes.guess_type(file)[0] or "application/octet-stream"
    icon = ":material/download:"
    st.download_button(label, content, file, mime_type, icon=icon, on_click="ignore", **options)


def is_dark() -> bool:
    """Return whether the theme is dark."""
    return st.context.theme.type == "dark"
