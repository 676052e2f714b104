"""The Sample page: a sample's question and, for up to four runs, verdict, extracted answer, gold answer and reply."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from evals.dashboard import state
from evals.dashboard.tables import frames, leaderboard
from evals.dashboard.tables import sample as samples
from evals.dashboard.tables.frames import Entry, Index
from evals.dashboard.tables.sample import Item
from evals.dashboard.untrusted import text as safe
from evals.dashboard.views import drawings, pickers, replies
from evals.errors import EvalsError


def select_runs(index: Index) -> list[Entry]:
    """Draw the selection of a run and of other runs to compare it with, and return them, the run first."""
    cells = st.columns([2, 3, 2])
    first, runs = pickers.select_run(index, cells)
    data_sha256 = first.card.config.data_sha256
    others = {
        name: entry
        for name, entry in runs.items()
        if entry is not first and entry.card.config.data_sha256 == data_sha256
    }
    if not others:
        return [first]
    with cells[2]:
        other_runs = pickers.select_many(
            "beside", "Compare with", list(others), format_func=pickers.run_labels(runs).__getitem__, max_selections=pickers.MAX_OTHER_RUNS,
            placeholder="other runs", help="The same sample in other runs, side by side.",
        )  # fmt: skip
    return [first, *(others[name] for name in other_runs)]


def draw_filters(listing: pd.DataFrame, entries: Sequence[Entry]) -> pd.DataFrame:
    """Draw the filters, and return the rows of the listing that match them."""
    groups = sorted(filter(None, listing["group"].unique()))
    cells = iter(st.columns(2 + bool(groups) + (len(entries) > 1)))
    verdicts = {}
    for run_index, param in enumerate(["verdict", "other"][: len(entries)]):
        with next(cells):
            label = "Verdict" if run_index == 0 else f"Verdict of {safe.label(entries[1].card.model, 40)}"
            options = ["", *samples.outcome_choices(listing, run_index)]
            verdicts[run_index] = pickers.select_one(param, label, options, format_func=lambda v: v or "any")
    group = ""
    if groups:
        with next(cells):
            group = pickers.select_one(
                "group", "Group", ["", *groups], format_func=lambda g: safe.visible(g) or "any"
            )
    with next(cells):
        text = pickers.enter_text("find", "Id contains", placeholder="part of a sample's id")
    return samples.filter_listing(listing, outcomes=verdicts, group=group, text=text)


def parse_int(text: str) -> int:
    """Return a number of up to nine digits; 0 for any other text.

    >>> parse_int("12"), parse_int("-1"), parse_int("9" * 5000)
    (12, 0, 0)
    """
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def draw_navigation(listing: pd.DataFrame, matching: pd.DataFrame) -> tuple[str, int]:
    """Draw the buttons that step through the matching samples; return the current sample and repeat."""
    sample = st.query_params.get("sample", "")
    repeat = parse_int(st.query_params.get("repeat", "0"))
    if not ((listing["sample"] == sample) & (listing["repeat"] == repeat)).any():
        if sample:
            st.warning(f"There is no sample {safe.label(sample)} in this run.")
        first = matching.iloc[0] if len(matching) else listing.iloc[0]
        sample, repeat = str(first["sample"]), int(first["repeat"])
    neighbours = samples.neighbours(matching, sample, repeat)
    is_match = neighbours.position is not None
    with st.container(horizontal=True, vertical_alignment="center"):
        _draw_step_button("Previous", neighbours.previous if is_match else None, "P", ":material/arrow_back:")
        _draw_step_button(
            "Next" if is_match else "First match", neighbours.next, "N", ":material/arrow_forward:"
        )
        position = (
            f"{(neighbours.position or 0) + 1:,} of {len(matching):,}"
            if is_match
            else f"not among the {len(matching):,}"
        )
        filter_note = "" if len(matching) == len(listing) else f" matches, of {len(listing):,}"
        st.markdown(f"{position}{filter_note}")
    return sample, repeat


def _draw_step_button(label: str, target: tuple[str, int] | None, shortcut: str, icon: str) -> None:
    def navigate(sample: str, repeat: int) -> None:
        # a single update, for a single entry of the browser's history
        st.query_params.update({"sample": sample, "repeat": str(repeat)})

    st.button(
        label, on_click=navigate, args=target or ("", 0), disabled=target is None, shortcut=shortcut, icon=icon, key=f"step-{shortcut}"
    )  # fmt: skip


def draw_sample(items: Sequence[Item]) -> None:
    """Draw a sample in one or several runs."""
    first = items[0]
    st.header(replies.heading(first), anchor=False)
    if first.entry.card.gated:
        draw_gated(items)
        return
    with st.container(horizontal=True):
        raw = st.toggle(
            "Replies as received",
            key="raw",
            bind="query-params",
            help="Formulas are not typeset, and nothing is marked.",
        )
        both_replied = len(items) == 2 and all(item.reply for item in items)
        show_differences = both_replied and st.toggle("Mark differences", key="differ", bind="query-params")
    left, right = st.columns([2, 3] if len(items) == 1 else [1, max(2, len(items))], gap="medium")
    with left:
        replies.draw_question(first, "asked")
    with right:
        if show_differences:
            replies.side_by_side(items[0], items[1])
        titles = pickers.run_labels({item.entry.name: item.entry for item in items})
        cells = st.columns(len(items)) if len(items) > 1 else [st.container()]
        for i, (cell, item) in enumerate(zip(cells, items, strict=True)):
            with cell, st.container(border=len(items) > 1):
                if len(items) > 1:
                    st.markdown(f"**{safe.label(titles[item.entry.name])}**")
                draw_run(item, f"{i}", raw=raw, same_prompt=item.prompt_text == first.prompt_text)


def draw_run(item: Item, key: str, *, raw: bool, same_prompt: bool) -> None:
    """Draw the verdict, drawings and reply of one run."""
    replies.draw_score(item)
    drawings.draw_structures(item, key)
    replies.draw_reply(item, key, raw=raw)
    replies.draw_parts(item)
    replies.draw_judgements(item)
    if not same_prompt:
        with st.expander("Different prompt", icon=":material/chat:", key=f"prompt-{key}"):
            replies.draw_question(item, f"asked{key}")


def draw_gated(items: Sequence[Item]) -> None:
    """Draw the verdicts of a gated sample, without texts."""
    st.info(
        "This suite is gated: its texts and answers are not shown, only ids and verdicts.",
        icon=":material/lock:",
    )
    for item in items:
        card = item.entry.card
        st.markdown(
            f"{safe.label(card.model)} ({safe.label(card.run)}): {replies.verdict_badge(item.verdict)}"
        )


def draw_links(entry: Entry, index: Index) -> None:
    """Draw links to the leaderboard, the suite and the run."""
    card = entry.card
    column = leaderboard.column_label(entry, index.entries)
    with st.container(horizontal=True):
        state.draw_link("leaderboard", "Back to leaderboard", **({"rank": column} if column else {}))
        state.draw_link("suite", "Groups and hard items", run=entry.name, suite=card.config.suite)
        state.draw_link("runs", "Run details", run=entry.name, suite=card.config.suite)


def main() -> None:
    """Draw the page."""
    st.title("Sample", anchor=False)
    index = frames.index(state.results())
    if not index.entries:
        state.list_broken_runs(index.broken)
        state.stop_with_hint("There are no runs yet.", "evals run mmlu-pro gpqa aime --sample -m smollm2")
    entries = select_runs(index)
    try:
        listing = samples.listing(entries)
        if listing.empty:
            state.stop_with_hint("This run has no samples yet.", "evals show")
        matching = draw_filters(listing, entries)
        sample, repeat = draw_navigation(listing, matching)
        items = [item for entry in entries if (item := samples.item(entry, sample, repeat)) is not None]
    except EvalsError as error:
        st.error(f"This run cannot be read: {safe.label(error, 600)}")
        st.stop()
    draw_sample(items)
    for entry in entries[1:]:
        if all(item.entry is not entry for item in items):
            st.caption(
                f"{safe.label(entry.card.model)} ({safe.label(entry.card.run)}) does not have this sample."
            )
    draw_links(entries[0], index)


main()
