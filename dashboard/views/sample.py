"""Sample: the question on the left; verdict, extracted answer, gold answer and reply on the right."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from evals.dashboard import state
from evals.dashboard.foreign import text as safe
from evals.dashboard.tables import frames, leaderboard
from evals.dashboard.tables import sample as samples
from evals.dashboard.tables.frames import Entry, Index
from evals.dashboard.tables.sample import Item
from evals.dashboard.views import drawings, pickers, replies
from evals.errors import EvalsError

BESIDE = 3  # further runs shown side by side with the first


def pick_runs(index: Index) -> list[Entry]:
    """Draw the choice of a run, and of others to show beside it."""
    cells = st.columns([2, 3, 2])
    first, runs = pickers.run(index, cells)
    data = first.card.config.data_sha256
    others = {e.card.run: e for e in runs if e is not first and e.card.config.data_sha256 == data}
    if not others:
        return [first]
    with cells[2]:
        beside = pickers.select_many(
            "beside", "Beside it", list(others), say=pickers.names(runs).__getitem__, most=BESIDE,
            placeholder="other runs", help="The same sample in other runs, side by side.",
        )  # fmt: skip
    return [first, *(others[name] for name in beside)]


def pick_filter(listing: pd.DataFrame, entries: Sequence[Entry]) -> pd.DataFrame:
    """Draw the filters; return the rows that pass."""
    groups = sorted(filter(None, listing["group"].unique()))
    cells = iter(st.columns(2 + bool(groups) + (len(entries) > 1)))
    outcomes = {}
    for run, param in enumerate(["verdict", "other"][: len(entries)]):
        with next(cells):
            whose = "Verdict" if run == 0 else f"Verdict of {safe.label(entries[1].card.model, 40)}"
            kinds = ["", *samples.verdicts(listing, run)]
            outcomes[run] = pickers.select_one(param, whose, kinds, say=lambda v: v or "any")
    group = ""
    if groups:
        with next(cells):
            group = pickers.select_one(
                "group", "Group", ["", *groups], say=lambda g: safe.visible(g) or "any"
            )
    with next(cells):
        text = pickers.text("find", "Id contains", placeholder="a part of a sample's id")
    return samples.chosen(listing, outcomes=outcomes, group=group, text=text)


def whole(text: str) -> int:
    """Return the number in a query; 0 if there is none of at most nine digits.

    >>> whole("12"), whole("-1"), whole("9" * 5000)
    (12, 0, 0)
    """
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def position(listing: pd.DataFrame, kept: pd.DataFrame) -> tuple[str, int]:
    """Draw the buttons that walk through the list; return sample and repeat."""
    sample = st.query_params.get("sample", "")
    repeat = whole(st.query_params.get("repeat", "0"))
    if not ((listing["sample"] == sample) & (listing["repeat"] == repeat)).any():
        if sample:
            st.warning(f"There is no sample {safe.label(sample)} in this run.")
        first = kept.iloc[0] if len(kept) else listing.iloc[0]
        sample, repeat = str(first["sample"]), int(first["repeat"])
    here = samples.neighbours(kept, sample, repeat)
    inside = here.place is not None
    with st.container(horizontal=True, vertical_alignment="center"):
        _step("Previous", here.before if inside else None, "P", ":material/arrow_back:")
        _step("Next" if inside else "First of the filter", here.after, "N", ":material/arrow_forward:")
        place = f"{(here.place or 0) + 1:,} of {len(kept):,}" if inside else f"none of the {len(kept):,}"
        rest = "" if len(kept) == len(listing) else f" that fit the filter, of {len(listing):,}"
        st.markdown(f"{place}{rest}")
    return sample, repeat


def _step(label: str, to: tuple[str, int] | None, key: str, icon: str) -> None:
    def go(sample: str, repeat: int) -> None:
        st.query_params.update({"sample": sample, "repeat": str(repeat)})  # one message, one history entry

    st.button(
        label, on_click=go, args=to or ("", 0), disabled=to is None, shortcut=key, icon=icon, key=f"step-{key}"
    )  # fmt: skip


def show(items: Sequence[Item]) -> None:
    """Draw one sample in one run or several."""
    first = items[0]
    st.header(replies.heading(items), anchor=False)
    if first.entry.card.gated:
        gated(items)
        return
    with st.container(horizontal=True):
        raw = st.toggle(
            "Replies as received", key="raw", bind="query-params", help="No formulas set, nothing marked."
        )
        differ = len(items) == 2 and all(item.reply for item in items)
        marked = differ and st.toggle("Mark what differs", key="differ", bind="query-params")
    left, right = st.columns([2, 3] if len(items) == 1 else [1, max(2, len(items))], gap="medium")
    with left:
        replies.question(first, "asked")
    with right:
        if marked:
            replies.beside(items[0], items[1])
        titles = pickers.names([item.entry for item in items])
        cells = st.columns(len(items)) if len(items) > 1 else [st.container()]
        for number, (cell, item) in enumerate(zip(cells, items, strict=True)):
            with cell, st.container(border=len(items) > 1):
                if len(items) > 1:
                    st.markdown(f"**{safe.label(titles[item.entry.card.run])}**")
                in_run(item, f"{number}", raw=raw, same_prompt=item.asked == first.asked)


def in_run(item: Item, key: str, *, raw: bool, same_prompt: bool) -> None:
    """Draw the verdict, drawings and reply of one run."""
    replies.scored(item)
    drawings.pictures(item, key)
    replies.reply(item, key, raw=raw)
    replies.parts(item)
    replies.judged(item)
    if not same_prompt:
        with st.expander("Another prompt", icon=":material/chat:", key=f"prompt-{key}"):
            replies.question(item, f"asked{key}")


def gated(items: Sequence[Item]) -> None:
    """Draw verdicts only: the texts of this data set must not leave the machine."""
    st.info(
        "This suite is gated: its texts and answers are not shown, only ids and verdicts.",
        icon=":material/lock:",
    )
    for item in items:
        card = item.entry.card
        st.markdown(f"{safe.label(card.model)} ({safe.label(card.run)}): {replies.badge(item.verdict)}")


def page_links(entry: Entry, index: Index) -> None:
    """Draw links to the leaderboard, the suite and the run."""
    card = entry.card
    column = leaderboard.label_of(entry, index.entries)
    with st.container(horizontal=True):
        state.link("leaderboard", "Back to leaderboard", **({"rank": column} if column else {}))
        state.link("suite", "Groups and hard items", run=card.run, suite=card.config.suite)
        state.link("runs", "Run details", run=card.run, suite=card.config.suite)


def main() -> None:
    """Draw the page."""
    st.title("Sample", anchor=False)
    index = frames.index(state.results())
    if not index.entries:
        state.broken_runs(index.broken)
        state.empty_state(
            "There is no run to look into yet.", "evals run mmlu-pro gpqa aime --sample -m smollm2"
        )
    entries = pick_runs(index)
    try:
        listing = samples.listing(entries)
        if listing.empty:
            state.empty_state("This run expects no samples yet.", "evals show")
        kept = pick_filter(listing, entries)
        sample, repeat = position(listing, kept)
        items = [item for entry in entries if (item := samples.item(entry, sample, repeat)) is not None]
    except EvalsError as error:
        st.error(f"This run cannot be read: {safe.label(error, 600)}")
        st.stop()
    show(items)
    for entry in entries[1:]:
        if all(item.entry is not entry for item in items):
            st.caption(
                f"{safe.label(entry.card.model)} ({safe.label(entry.card.run)}) does not expect this sample."
            )
    page_links(entries[0], index)


main()
