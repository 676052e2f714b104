"""Widgets whose values are in the URL under stable names, whatever label the reader sees.

Streamlit's own binding puts labels into the URL, but links between pages name runs and samples by their ids. A value
that is new in the URL (a link, the back button) replaces the widget's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from evals.dashboard import state
from evals.dashboard.downloads import day
from evals.dashboard.foreign import text as safe
from evals.dashboard.tables import frames
from evals.dashboard.tables.frames import Entry, Index


def select_one(
    param: str,
    label: str,
    options: Sequence[str],
    *,
    say: Callable[[str], str] = str,
    default: str = "",
    help: str | None = None,  # noqa: A002 - Streamlit's name
) -> str:
    """Draw a select box; without a value in the URL it shows `default`, or the first option. The default is not in the URL."""
    usual = default if default in options else options[0]
    key, wanted = f"pick-{param}", st.query_params.get(param)
    if wanted in options and _from_outside(param, wanted):
        st.session_state[key] = wanted
    elif st.session_state.get(key) not in options:
        st.session_state[key] = usual
    value: str = st.selectbox(label, options, key=key, format_func=say, help=help)
    _remember(param, value if value != usual or wanted is not None else None)
    return value


def select_many(
    param: str,
    label: str,
    options: Sequence[str],
    *,
    most: int,
    say: Callable[[str], str] = str,
    default: Callable[[], Sequence[str]] = tuple,
    placeholder: str = "",
    help: str | None = None,  # noqa: A002 - Streamlit's name
) -> list[str]:
    """Draw a multiselect; unknown names in the URL are ignored, and `default` is called only without any."""
    key = f"pick-{param}"
    wanted = [name for name in st.query_params.get_all(param) if name in options][:most]
    if wanted and _from_outside(param, wanted):
        st.session_state[key] = wanted
    elif key not in st.session_state:
        st.session_state[key] = [name for name in default() if name in options][:most]
    else:
        st.session_state[key] = [name for name in st.session_state[key] if name in options]
    values: list[str] = st.multiselect(
        label, options, key=key, format_func=say, max_selections=most, placeholder=placeholder, help=help
    )
    _remember(param, values or None)
    return values


def text(param: str, label: str, *, placeholder: str = "", help: str | None = None) -> str:  # noqa: A002
    """Draw a field for a short text."""
    key, wanted = f"pick-{param}", st.query_params.get(param, "")
    if wanted and _from_outside(param, wanted):
        st.session_state[key] = wanted
    value = st.text_input(label, key=key, placeholder=placeholder, help=help, max_chars=200)
    _remember(param, value or None)
    return value


def run(index: Index, cells: Sequence[DeltaGenerator]) -> tuple[Entry, list[Entry]]:
    """Draw the choice of a suite and of one of its runs into two cells; return the run, and the suite's runs, newest first."""
    unreadable(index, st.query_params.get_all("run"))
    newest = list(reversed(index.entries))
    named = index.find(st.query_params.get("run", ""), st.query_params.get("suite", ""))
    suites = sorted({entry.card.config.suite for entry in newest})
    with cells[0]:
        suite = select_one("suite", "Suite", suites, default=(named or _scored(newest)).card.config.suite)
    runs = {entry.card.run: entry for entry in newest if entry.card.config.suite == suite}
    with cells[1]:
        chosen = select_one(
            "run",
            "Run",
            list(runs),
            say=names(list(runs.values())).__getitem__,
            help="The newest first.",
            default=_scored(list(runs.values())).card.run,
        )
    return runs[chosen], list(runs.values())


def _scored(entries: Sequence[Entry]) -> Entry:
    """Return the first run with a number; if none has, the first."""
    return next(
        (entry for entry in entries if entry.headline and entry.headline.value is not None), entries[0]
    )


def unreadable(index: Index, names: Sequence[str]) -> None:
    """Stop the page if the URL names a broken run: another run must not be shown in its place."""
    reasons = {run.path.name: run.why for run in index.broken}
    for name in names:
        runs = [entry for entry in index.entries if entry.card.run == name]
        if runs and all(frames.fault(run.path) for run in runs):
            reasons[name] = frames.fault(runs[0].path)
            runs = []
        if name in reasons and not runs:
            st.error(
                f"Run {safe.label(name)} cannot be read: {safe.label(reasons[name], 600)}",
                icon=":material/error:",
            )
            state.link("runs", "All runs")
            st.stop()


def names(entries: Sequence[Entry]) -> dict[str, str]:
    """Return names of runs: model, protocol and minute; if several have the same, also their ids."""
    titles = {
        e.card.run: f"{e.card.model} · {e.card.config.protocol} · {day(e.card.started)[:16].replace('T', ' ')}"
        for e in entries
    }
    counts = Counter(titles.values())
    return {
        run: safe.visible(f"{name} · {run}" if counts[name] > 1 else name) for run, name in titles.items()
    }


def _from_outside(param: str, wanted: str | list[str] | None) -> bool:
    return st.session_state.get(f"url-{param}") != wanted or f"pick-{param}" not in st.session_state


def _remember(param: str, value: str | list[str] | None) -> None:
    """Remember a value to be put into the URL."""
    st.session_state[f"url-{param}"] = value
    st.session_state.setdefault("to-url", {})[param] = value


def write_url() -> None:
    """Put the values of this run of the script into the URL, so that all changes are one entry of the history."""
    values = st.session_state.pop("to-url", {})
    changed = {
        param: value
        for param, value in values.items()
        if value is not None
        and st.query_params.get_all(param) != (value if isinstance(value, list) else [value])
    }
    if changed:
        st.query_params.update(changed)
    for param in [param for param, value in values.items() if value is None and param in st.query_params]:
        del st.query_params[param]
