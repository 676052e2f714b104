"""Widgets that write their values (ids of runs and samples) into the URL, as in links between pages.

Streamlit's own binding writes the displayed labels instead. A new value in the URL, from a link or the back button,
replaces the widget's value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from evals.dashboard import state
from evals.dashboard.tables import frames
from evals.dashboard.tables.frames import Entry, Index
from evals.dashboard.untrusted import text as safe
from evals.terminal.figures import utc_time

MAX_OTHER_RUNS = 3
"""Maximum number of other runs that the Sample page shows beside a run."""


def select_one(param: str, label: str, options: Sequence[str], *, default: str = "", **settings: Any) -> str:
    """Draw a select box, and return its value; the initial one (`default`, or the first option) is left out of the URL.

    `settings`: Streamlit's, e.g. `format_func`.
    """
    initial = default if default in options else options[0]
    key, url_value = f"pick-{param}", st.query_params.get(param)
    if url_value in options and _is_new(param, url_value):
        st.session_state[key] = url_value
    elif st.session_state.get(key) not in options:
        st.session_state[key] = initial
    value: str = st.selectbox(label, options, key=key, **settings)
    _store_value(param, value if value != initial or url_value is not None else None)
    return value


def select_many(
    param: str,
    label: str,
    options: Sequence[str],
    *,
    max_selections: int,
    default: Callable[[], Sequence[str]] = tuple,
    **settings: Any,
) -> list[str]:
    """Draw a multiselect, and return its values. Unknown names in the URL are ignored.

    `default` is called only if neither the URL nor the session has values. `settings`: Streamlit's, e.g. `format_func`.
    """
    key = f"pick-{param}"
    url_value = [name for name in st.query_params.get_all(param) if name in options][:max_selections]
    if url_value and _is_new(param, url_value):
        st.session_state[key] = url_value
    elif key not in st.session_state:
        st.session_state[key] = [name for name in default() if name in options][:max_selections]
    else:
        st.session_state[key] = [name for name in st.session_state[key] if name in options]
    values: list[str] = st.multiselect(label, options, key=key, max_selections=max_selections, **settings)
    _store_value(param, values or None)
    return values


def enter_text(param: str, label: str, *, placeholder: str = "") -> str:
    """Draw a text field, and return its text."""
    key, url_value = f"pick-{param}", st.query_params.get(param, "")
    if url_value and _is_new(param, url_value):
        st.session_state[key] = url_value
    value = st.text_input(label, key=key, placeholder=placeholder, max_chars=200)
    _store_value(param, value or None)
    return value


def select_run(index: Index, cells: Sequence[DeltaGenerator]) -> tuple[Entry, dict[str, Entry]]:
    """Draw the selection of a suite and a run in two cells; return the run, and all runs of the suite by name, newest first."""
    stop_if_unreadable(index, st.query_params.get_all("run"))
    entries = list(reversed(index.entries))
    url_run = index.find(st.query_params.get("run", ""), st.query_params.get("suite", ""))
    suites = sorted({entry.card.config.suite for entry in entries})
    with cells[0]:
        suite = select_one(
            "suite", "Suite", suites, default=(url_run or _first_scored(entries)).card.config.suite
        )
    runs = {entry.name: entry for entry in entries if entry.card.config.suite == suite}
    default = url_run if url_run and url_run.name in runs else _first_scored(list(runs.values()))
    with cells[1]:
        label_of = run_labels(runs).__getitem__
        name = select_one(
            "run", "Run", list(runs), default=default.name, format_func=label_of, help="Newest first."
        )
    return runs[name], runs


def _first_scored(entries: Sequence[Entry]) -> Entry:
    """Return the first run with a score, or the first run if none has a score."""
    return next((run for run in entries if run.is_scored), entries[0])


def stop_if_unreadable(index: Index, names: Sequence[str]) -> None:
    """Stop the page with an error if one of these run ids, from the URL, belongs to a broken run."""
    reasons = {run.path.name: run.reason for run in index.broken}
    for name in names:
        runs = [entry for entry in index.entries if name in (entry.name, entry.card.run)]
        if runs and all(frames.fault(run.path) for run in runs):
            reasons[name] = frames.fault(runs[0].path)
            runs = []
        if name in reasons and not runs:
            st.error(
                f"Run {safe.label(name)} cannot be read: {safe.label(reasons[name], 600)}",
                icon=":material/error:",
            )
            state.draw_link("runs", "All runs")
            st.stop()


def run_labels(runs: Mapping[str, Entry]) -> dict[str, str]:
    """Return a label for each name of a run: model, protocol and time, and the id if these are not unique."""
    titles = {
        name: f"{entry.card.model} · {entry.card.config.protocol} · {utc_time(entry.card.started)}"
        for name, entry in runs.items()
    }
    counts = Counter(titles.values())
    return {
        name: safe.visible(f"{title} · {runs[name].card.run}" if counts[title] > 1 else title)
        for name, title in titles.items()
    }


def _is_new(param: str, url_value: str | list[str] | None) -> bool:
    """Return whether a value in the URL differs from the stored one, or the widget has no value yet."""
    return st.session_state.get(f"url-{param}") != url_value or f"pick-{param}" not in st.session_state


def _store_value(param: str, value: str | list[str] | None) -> None:
    """Store a value until `write_url` writes it into the URL; None removes the parameter."""
    st.session_state[f"url-{param}"] = value
    st.session_state.setdefault("to-url", {})[param] = value


def write_url() -> None:
    """Write all stored values into the URL in one step, so that the browser's history gets a single entry."""
    values = st.session_state.pop("to-url", {})
    changed_values = {
        param: value
        for param, value in values.items()
        if value is not None
        and st.query_params.get_all(param) != (value if isinstance(value, list) else [value])
    }
    if changed_values:
        st.query_params.update(changed_values)
    for param in [param for param, value in values.items() if value is None and param in st.query_params]:
        del st.query_params[param]
