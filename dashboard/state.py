"""The results folder, the pages, links that carry their state in the URL, and elements that several pages draw.

Widgets keep their state there themselves: give them `key` and `bind="query-params"`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import streamlit as st

from evals.dashboard.foreign import text as safe
from evals.dashboard.tables.frames import Broken, Entry
from evals.dashboard.tables.styling import plain, span, unit
from evals.records.card import Card
from evals.records.promise import promise_standing
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

RESULTS = "EVALS_RESULTS"
"""Environment variable in which `evals dashboard` passes the results folder."""


def results() -> Path:
    """Return the results folder."""
    return Path(os.environ.get(RESULTS, "results"))


def link(page: str, label: str, *, help: str | None = None, **params: str | Sequence[str]) -> None:  # noqa: A002 - Streamlit's name
    """Draw a link to another page with its state, e.g. `link("suite", "MMLU-Pro", run="2026...-abc")`."""
    path, _, icon = PAGES[page]
    st.page_link(path, label=label, icon=icon, help=help, query_params=params)


def restore_filters(path: str) -> None:
    """Restore the leaderboard's filters when a reader returns to it, by the menu or the back button.

    Streamlit removes a page's state from the address when another page is opened. An address that names a filter is
    left as it is, and so is the first one of a session.
    """
    known, st.session_state["page"] = st.session_state.get("page"), path
    kept = st.session_state.get("filters")
    if path == "" and known not in (None, "") and kept and not FILTERS & set(st.query_params):
        st.switch_page(PAGES["leaderboard"][0], query_params=kept)


def save_filters(path: str) -> None:
    """Remember the leaderboard's filters."""
    if path == "" and st.session_state.get("page") == "":
        kept = {name: st.query_params.get_all(name) for name in FILTERS if name in st.query_params}
        st.session_state["filters"] = kept


def empty_state(what: str, command: str) -> None:
    """Show an empty state, a sentence and the command to run, and stop the page."""
    st.info(what, icon=":material/info:")
    st.code(command, language=None, wrap_lines=True)
    st.stop()


def broken_runs(runs: Iterable[Broken]) -> None:
    """List the runs that cannot be read."""
    lines = [f"- {safe.label(run.why, 600)}" for run in runs]
    if lines:
        with st.expander(
            f"{len(lines)} broken {'run' if len(lines) == 1 else 'runs'}", icon=":material/warning:"
        ):
            st.markdown("\n".join(lines))


def health(card: Card) -> None:
    """Show what looks broken about a run."""
    for finding in card.health:
        if finding.fault:
            st.error(f"This run looks broken: {safe.label(finding.message, 600)}", icon=":material/error:")
        else:
            st.warning(safe.label(finding.message, 600), icon=":material/warning:")


def trust(entry: Entry) -> None:
    """Show whether the promise of a run was kept, and the outcome of its challenge; nothing if it has neither."""
    facts = [f"promise {promise_standing(entry.card)}"] if entry.card.promise else []
    facts += [entry.challenge.sentence] if entry.challenge else []
    if facts:
        text = "; ".join(facts)
        st.caption(safe.label(f"{text[0].upper()}{text[1:]}", 900))


def estimate(number: Estimate, coverage: float) -> None:
    """Draw a number with its interval, n, coverage and bounds."""
    facts: tuple[tuple[str, str, str | None], ...] = (
        (safe.label(f"{number.metric}, {unit(number.unit)}"), plain(number.value, number.unit), None),
        ("95 % interval", span(number.low, number.high, number.unit), safe.label(number.method)),
        ("n", f"{number.n:,}", f"sample-repeats in {number.clusters:,} independent clusters"),
        ("coverage", f"{100 * coverage:.1f} %", "scored of expected sample-repeats"),
        (
            "bounds",
            span(number.worst, number.best, number.unit),
            "with missing outcomes counted as wrong, and as right",
        ),
    )
    with st.container(horizontal=True):
        for label, value, hint in facts:
            st.metric(label, value, help=hint, width=max(150, 16 + 15 * len(value)))


class _Chart(NamedTuple):
    """A figure as Streamlit takes it, without Altair's own check of it, which takes 0.1 s a figure."""

    figure: alt.TopLevelMixin

    def to_dict(self) -> dict[str, Any]:
        """Return the specification."""
        return self.figure.to_dict(validate=False)


def chart(figure: alt.TopLevelMixin, *, alt: str) -> None:
    """Draw a figure; `alt` describes it to those who do not see it."""
    st.altair_chart(cast("AltairChart", _Chart(figure)), alt=alt)


def dark() -> bool:
    """Return whether the reader sees the dark theme."""
    return st.context.theme.type == "dark"
