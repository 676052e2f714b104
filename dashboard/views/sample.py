"""Sample: what was asked, what was replied, what was read out of it and why it counts as it does."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from evals.dashboard import state
from evals.dashboard.foreign import text as safe
from evals.dashboard.tables import frames
from evals.dashboard.tables import leaderboard as board
from evals.dashboard.tables import sample as items
from evals.dashboard.tables.frames import Entry, Index
from evals.dashboard.tables.sample import Item
from evals.dashboard.views import pickers, replies
from evals.errors import EvalsError

SHORT = 2_000  # characters of a prompt that is not folded

BESIDE = 3  # further runs that stand beside the first


def pick_runs(found: Index) -> list[Entry]:
    """Draw the choice of a run, and of others to stand beside it."""
    first, runs = pickers.run(found)
    data = first.card.config.data_sha256
    others = {e.card.run: e for e in runs if e is not first and e.card.config.data_sha256 == data}
    if not others:
        return [first]
    beside = pickers.many(
        "beside", "Beside it", list(others), say=pickers.names(runs).__getitem__, most=BESIDE,
        placeholder="other runs of the same samples", help="The same sample in other runs, side by side.",
    )  # fmt: skip
    return [first, *(others[name] for name in beside)]


def pick_filter(frame: pd.DataFrame, entries: Sequence[Entry]) -> pd.DataFrame:
    """Draw the filters; gives what they leave of the list."""
    groups = sorted(filter(None, frame["group"].unique()))
    cells = st.columns(2 + bool(groups) + (len(entries) > 1))
    outcomes = {}
    names = ["verdict", "other"][: 1 + (len(entries) > 1)]
    for run, (cell, param) in enumerate(zip(cells, names, strict=False)):
        with cell:
            whose = "Verdict" if run == 0 else f"Verdict of {safe.label(entries[1].card.model, 40)}"
            outcomes[run] = pickers.one(
                param, whose, ["", *items.verdicts(frame, run)], say=lambda v: v or "any"
            )
    group = ""
    if groups:
        with cells[len(names)]:
            group = pickers.one("group", "Group", ["", *groups], say=lambda g: safe.visible(g) or "any")
    with cells[-1]:
        text = pickers.text("find", "Id contains", placeholder="a part of a sample's id")
    return items.chosen(frame, outcomes=outcomes, group=group, text=text)


def position(frame: pd.DataFrame, kept: pd.DataFrame) -> tuple[str, int]:
    """Draw the way through the list; gives sample and repeat."""
    sample = st.query_params.get("sample", "")
    wanted = st.query_params.get("repeat", "0")
    repeat = int(wanted) if wanted.isdecimal() and len(wanted) < 10 else 0
    if not ((frame["sample"] == sample) & (frame["repeat"] == repeat)).any():
        if sample:
            st.warning(f"There is no sample {safe.label(sample)} in this run.")
        first = kept.iloc[0] if len(kept) else frame.iloc[0]
        sample, repeat = str(first["sample"]), int(first["repeat"])
    here = items.walk(kept, sample, repeat)
    with st.container(horizontal=True, vertical_alignment="center"):
        _step("Previous", here.before if here.place is not None else None, "P", ":material/arrow_back:")
        _step(
            "Next" if here.place is not None else "First of the filter",
            here.after,
            "N",
            ":material/arrow_forward:",
        )
        where = (
            f"{here.place + 1:,} of {len(kept):,}" if here.place is not None else f"none of the {len(kept):,}"
        )
        st.markdown(f"{where} that fit the filter, of {len(frame):,}")
    return sample, repeat


def _step(label: str, to: tuple[str, int] | None, key: str, icon: str) -> None:
    def go(sample: str, repeat: int) -> None:
        st.query_params["sample"] = sample
        st.query_params["repeat"] = str(repeat)

    st.button(
        label,
        on_click=go,
        args=to or ("", 0),
        disabled=to is None,
        shortcut=key,
        icon=icon,
        key=f"step-{key}",
    )


def show(several: Sequence[Item]) -> None:
    """Draw one sample in one run or several."""
    first = several[0]
    st.subheader(replies.heading(several), anchor=False)
    if first.entry.card.gated:
        gated(several)
        return
    asked = len({one.asked for one in several}) > 1
    if not asked:
        with st.expander(
            "Prompt as sent", expanded=len(first.asked) < SHORT, icon=":material/chat:", key="prompt"
        ):
            replies.prompt(first, "asked")
    raw = st.toggle("Replies as received, no formulas set", key="raw", bind="query-params")
    if len(several) == 2 and all(one.reply for one in several):
        marked = st.toggle("Mark what differs", key="differ", bind="query-params")
        if marked:
            replies.beside(several[0], several[1])
    titles = pickers.names([one.entry for one in several])
    cells = st.columns(len(several)) if len(several) > 1 else [st.container()]
    for number, (cell, one) in enumerate(zip(cells, several, strict=True)):
        with cell, st.container(border=len(several) > 1):
            in_run(
                one,
                f"{number}",
                raw=raw,
                title=titles[one.entry.card.run] if len(several) > 1 else "",
                prompted=asked,
            )


def in_run(item: Item, key: str, *, raw: bool, title: str, prompted: bool) -> None:
    """Draw what one run made of the sample."""
    if title:
        st.markdown(f"**{safe.label(title)}**")
    replies.scored(item)
    replies.pictures(item, key)
    if prompted:
        with st.expander("Prompt as sent", icon=":material/chat:", key=f"prompt-{key}"):
            replies.prompt(item, f"asked{key}")
    if item.outcome is not None:
        st.markdown("**Reply**")
    replies.reply(item, key, raw=raw)
    replies.judged(item)


def gated(several: Sequence[Item]) -> None:
    """Draw verdicts alone: the texts of this data set must not leave the machine."""
    st.info(
        "This suite is gated: its texts and answers are not shown, only ids and verdicts.",
        icon=":material/lock:",
    )
    for one in several:
        st.markdown(
            f"{safe.label(one.entry.card.model)} ({safe.label(one.entry.card.run)}): {replies.badge(one.verdict)}"
        )


def ways_on(entry: Entry, found: Index) -> None:
    """Draw the links to what the sample is a part of."""
    card = entry.card
    column = board.label_of(entry, found.entries)
    with st.container(horizontal=True):
        state.link("leaderboard", "Back to its column", **({"rank": column} if column else {}))
        state.link("suite", "Its groups and hard items", run=card.run, suite=card.config.suite)
        state.link("runs", "How it was run", run=card.run, suite=card.config.suite)


def main() -> None:
    """Draw the page."""
    st.title("Sample", anchor=False)
    found = frames.index(state.results())
    if not found.entries:
        state.broken(found.broken)
        state.nothing("There is no run to look into yet.", "evals run mmlu-pro gpqa aime --sample -m smollm2")
    entries = pick_runs(found)
    try:
        frame = items.listing(entries)
        if frame.empty:
            state.nothing("This run expects no samples yet.", "evals show")
        kept = pick_filter(frame, entries)
        sample, repeat = position(frame, kept)
        several = [one for entry in entries if (one := items.item(entry, sample, repeat)) is not None]
    except EvalsError as error:
        st.error(f"This run cannot be read: {safe.label(error, 600)}")
        st.stop()
    ways_on(entries[0], found)
    show(several)
    for entry in entries[1:]:
        if all(one.entry is not entry for one in several):
            st.caption(
                f"{safe.label(entry.card.model)} ({safe.label(entry.card.run)}) does not expect this sample."
            )


main()
