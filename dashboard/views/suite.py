"""Suite: one run in depth; its groups, long and short answers, what is missing, and items that nobody gets right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from evals.dashboard import downloads as files
from evals.dashboard import state
from evals.dashboard.charts import samples as item_charts
from evals.dashboard.foreign import text as safe
from evals.dashboard.tables import frames
from evals.dashboard.tables import leaderboard as board
from evals.dashboard.tables import styling as heat
from evals.dashboard.tables import suite as groups
from evals.dashboard.tables.frames import Entry
from evals.dashboard.views import pickers
from evals.errors import EvalsError
from evals.types import Estimate

AGREE = 0.5
"""Share of the replies that gave the same other answer, from which on an item is listed as suspect."""


def headline(entry: Entry, one: Estimate) -> None:
    """Draw the number that stands for the run, and what it rests on."""
    state.estimate(one, entry.card.coverage)
    state.health(entry.card)
    if entry.card.data == "sample":
        st.caption("Bundled sample items: not a benchmark score.")


def ways_on(entry: Entry, entries: Sequence[Entry]) -> None:
    """Draw the links to other pages."""
    where = {"run": entry.card.run, "suite": entry.card.config.suite}
    column = board.label_of(entry, entries)
    with st.container(horizontal=True):
        state.link("leaderboard", "Back to leaderboard", **({"rank": column} if column else {}))
        state.link("sample", "Wrong samples", verdict="not right", **where)
        state.link("runs", "Run details", **where)


def breakdown(entry: Entry, one: Estimate) -> None:
    """Draw the groups with their intervals, those that stand apart flagged."""
    st.subheader("Groups", anchor=False)
    frame = groups.breakdown(entry)
    if frame.empty:
        st.caption(
            "This suite has no groups, or its headline is a mean over them that has no parts of its own."
        )
        return
    scale = 100.0 if frame["unit"][0] == "fraction" else 1.0
    unit = heat.unit(frame["unit"][0])
    above = (frame["apart"] > 0) == (frame["better"][0] == "higher")
    better, worse, nothing = item_charts.APART
    says = pd.Series(nothing, frame.index)
    says[frame["flagged"]] = above.map({True: better, False: worse})
    shown = pd.DataFrame(
        {
            "label": frame["group"].map(safe.visible), "value": scale * frame["value"].astype(float),
            "low": scale * frame["low"].astype(float), "high": scale * frame["high"].astype(float),
            "n": frame["n"], "says": says, "coverage": 100 * frame["coverage"], "p": frame["p"], "group": frame["group"],
        }
    ).sort_values("value", ascending=frame["better"][0] != "higher")  # fmt: skip
    whole = scale * (one.value or 0.0)
    drawn = shown[shown["n"] > 1] if (shown["n"] > 1).any() else shown
    state.chart(
        item_charts.groups(drawn, whole=whole, unit=f"{frame['metric'][0]}, {unit}", dark=state.dark()),
        alt="Groups of the suite with their intervals",
    )
    tested = frame["p"].notna().any()
    how = (
        "Flagged: groups that stand apart from all others of this run, Benjamini-Hochberg at 5 %."
        if tested
        else "Groups are not tested: the headline is no mean of samples."
    )
    alone = len(shown) - len(drawn)
    left = f" {alone} groups of a single sample are in the table alone." if alone else ""
    st.caption(f"{len(frame)} groups; 95 % intervals. {how}{left}")
    group_table(entry, shown, unit)


def group_table(entry: Entry, shown: pd.DataFrame, unit: str) -> None:
    """Draw the groups as a table; a chosen one leads to its samples."""
    number = st.column_config.NumberColumn
    form = "%.1f" if unit == "%" else "%.4g"
    event = st.dataframe(
        shown.drop(columns=["group"] if shown["p"].notna().any() else ["group", "p", "says"]), hide_index=True, key="groups", on_select="rerun", selection_mode="single-row",
        placeholder="", alt="Groups of the suite", height="content" if len(shown) < 16 else 400,
        column_config={
            "label": "group", "value": number(f"value, {unit}", format=form), "low": number("low", format=form),
            "high": number("high", format=form), "n": number("n", format="localized", help="Sample-repeats."),
            "says": "compared with the rest", "coverage": number("coverage, %", format="%.1f"),
            "p": number("p (BH)", format="%.2g", help="Adjusted over all groups."),
        },
    )  # fmt: skip
    places = event["selection"]["rows"]
    if places and places[0] < len(shown):
        name = str(shown.iloc[places[0]]["group"])
        where = {"run": entry.card.run, "suite": entry.card.config.suite, "group": name}
        state.link("sample", f"Wrong samples of {safe.label(name, 60)}", verdict="not right", **where)
    else:
        st.caption("Choose a group to go to its samples.")


def length(entry: Entry, one: Estimate, others: Sequence[Entry]) -> None:
    """Draw scores against the length of the reply."""
    st.subheader("Difficulty and length", anchor=False)
    found = groups.lengths(entry, others)
    if found is None or found.frame.empty:
        st.caption("No reply has a value yet.")
        return
    if len(found.frame) == 1:
        st.caption(f"All {int(found.frame['n'][0]):,} replies are about equally long.")
        return
    percent = one.unit == "fraction"
    frame = found.frame.assign(
        length=[
            f"{low:,}–{high:,}" if low != high else f"{low:,}"
            for low, high in zip(found.frame["low"], found.frame["high"], strict=True)
        ]
    )
    for name in ("value", "value_low", "value_high", "others"):
        frame[name] = frame[name].astype(float) * (100.0 if percent else 1.0)
    score = (
        "mean score, %"
        if percent
        else f"mean error, {one.unit}"
        if one.better == "lower"
        else f"mean, {one.unit}"
    )
    state.chart(
        item_charts.lengths(frame, unit=found.unit, score=score, dark=state.dark()),
        alt="Scores by the length of the reply",
    )
    n = int(found.frame["n"].sum())
    beside = (
        f" Hollow: {len(others)} other {'run' if len(others) == 1 else 'runs'} on the same samples; where both fall, the items are hard."
        if others
        else ""
    )
    st.caption(
        f"{n:,} replies in {len(frame)} bins of about equal size, 95 % intervals; lengths in {found.unit}"
        f"{', reasoning included' if found.unit == 'tokens' else ' of the answer, because tokens were not recorded'}.{beside}"
    )


def missing(entry: Entry, one: Estimate, others: Sequence[Entry]) -> None:
    """Draw whether what was not answered is like what was."""
    st.subheader("What is missing", anchor=False)
    frame = groups.missing(entry, others)
    if len(frame) == 1:
        st.caption(f"Nothing: all {int(frame['n'][0]):,} expected sample-repeats were answered.")
        return
    percent = 100.0 if one.unit == "fraction" else 1.0
    unit = heat.unit(one.unit)
    table = pd.DataFrame(
        {
            "outcome": frame["outcome"], "n": frame["n"], "share": 100 * frame["share"],
            "others": percent * frame["others"], "low": percent * frame["low"], "high": percent * frame["high"],
        }
    )  # fmt: skip
    number = st.column_config.NumberColumn
    st.dataframe(
        table, hide_index=True, placeholder="", alt="What was answered and what was not",
        column_config={
            "n": number("n", format="localized", help="Sample-repeats."), "share": number("share, %", format="%.2f"),
            "others": number(f"other runs there, {unit}", format="%.4g", help="Mean of the other runs on these samples."),
            "low": number("low", format="%.4g"), "high": number("high", format="%.4g"),
        },
    )  # fmt: skip
    if others:
        st.caption(
            f"How {len(others)} other {'run does' if len(others) == 1 else 'runs do'} on the samples of each outcome, with "
            "95 % intervals: where they do worse on what this run left open, its score over what it answered flatters it."
        )
    else:
        st.caption("No other model was asked the same, so whether what is missing is harder cannot be said.")


def hard(entry: Entry, one: Estimate, others: Sequence[Entry]) -> None:
    """Draw the items that every model gets wrong, as a list to check the gold answers by."""
    st.subheader("Items that every model gets wrong", anchor=False)
    if not others:
        st.caption("This needs runs of two models at least, asked the same in the same way.")
        return
    several = [entry, *others]
    errors = one.better == "lower"
    frame = groups.farthest(several) if errors else groups.unsolved(several)
    if frame.empty:
        st.caption(f"None: of {len(several)} models at least one is right on each.")
        return
    number = st.column_config.NumberColumn
    shown = frame.map(lambda cell: safe.visible(cell) if isinstance(cell, str) else cell)
    if errors:
        st.caption(
            f"The {len(frame)} items on which even the nearest of {len(several)} models is farthest off: suspect gold answers."
        )
        config: dict[str, Any] = {
            "error": number(f"least error, {one.unit}", format="%.4g"),
            "said": "nearest answer",
        }
    else:
        shown["agree"] = 100 * shown["agree"]
        st.caption(
            f"{len(frame):,} items that none of {len(several)} models gets right. Where most of them agree on another answer, "
            "the gold answer is suspect; these come first, and those on which half of the replies agree are in the file."
        )
        config = {
            "agree": number("agree, %", format="%.0f", help="Share of the replies that gave it."),
            "said": "most frequent answer",
        }
    event = st.dataframe(
        shown, hide_index=True, key="hard", on_select="rerun", selection_mode="single-row", placeholder="", height=380,
        column_config=config | {"runs": number("of runs", format="%d")}, alt="Items that every model gets wrong",
    )  # fmt: skip
    list_ = groups.errata(frame if errors else frame[frame["agree"] >= AGREE], entry)
    with st.container(horizontal=True):
        st.download_button(
            f"Suspect items ({len(list_)}), CSV",
            lambda: files.csv(list_),
            "suspect-items.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
        )
        st.download_button(
            "JSON", lambda: str(list_.to_json(orient="records")).encode(), "suspect-items.json", "application/json",
            icon=":material/download:", on_click="ignore",
        )  # fmt: skip
    places = event["selection"]["rows"]
    if places and places[0] < len(frame):
        name = str(frame.iloc[places[0]]["sample"])
        state.link(
            "sample", f"Replies to {safe.label(name, 60)}", run=entry.card.run, suite=entry.card.config.suite,
            sample=name, beside=[other.card.run for other in others[:3]],
        )  # fmt: skip


def main() -> None:
    """Draw the page."""
    st.title("Suite", anchor=False)
    found = frames.index(state.results())
    if not found.entries:
        state.broken(found.broken)
        state.nothing("There is no run to look into yet.", "evals run mmlu-pro gpqa aime --sample -m smollm2")
    entry, _ = pickers.run(found, st.columns([2, 3]))
    one = entry.headline
    if one is None or one.value is None:
        state.nothing("This run has no number yet.", f"evals show {entry.card.run}")
        return
    others = groups.alike(entry, found.entries)
    ways_on(entry, found.entries)
    try:
        headline(entry, one)
        breakdown(entry, one)
        length(entry, one, others)
        missing(entry, one, others)
        hard(entry, one, others)
    except EvalsError as error:
        st.error(f"This run cannot be read: {safe.label(error, 600)}")
    state.broken(found.broken)


main()
