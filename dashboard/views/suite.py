"""Suite: one run in detail: groups, scores by length, missing outcomes, and items that no model gets right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from evals.dashboard import downloads, state
from evals.dashboard.charts import samples as item_charts
from evals.dashboard.foreign import text as safe
from evals.dashboard.tables import frames, leaderboard, styling
from evals.dashboard.tables import suite as suites
from evals.dashboard.tables.frames import Entry
from evals.dashboard.views import pickers
from evals.errors import EvalsError
from evals.types import Estimate
from evals.verdicts import formatting

AGREE = 0.5
"""Share of replies with the same wrong answer from which on an item is listed as suspect."""


def headline(entry: Entry, head: Estimate) -> None:
    """Draw the run's headline."""
    state.estimate(head, entry.card.coverage)
    state.health(entry.card)
    state.trust(entry)
    if entry.card.data == "sample":
        st.caption("Bundled sample items: not a benchmark score.")


def page_links(entry: Entry, entries: Sequence[Entry]) -> None:
    """Draw the links to other pages."""
    run = {"run": entry.card.run, "suite": entry.card.config.suite}
    column = leaderboard.label_of(entry, entries)
    with st.container(horizontal=True):
        state.link("leaderboard", "Back to leaderboard", **({"rank": column} if column else {}))
        state.link("sample", "Wrong samples", verdict="not right", **run)
        state.link("runs", "Run details", **run)


def breakdown(entry: Entry, head: Estimate) -> None:
    """Draw the groups with their intervals; those that differ from the rest are flagged."""
    st.header("Groups", anchor=False)
    frame = suites.breakdown(entry)
    if frame.empty:
        st.caption(
            "This suite has no groups, or its headline is a mean over them that has no parts of its own."
        )
        return
    scale = 100.0 if frame["unit"][0] == "fraction" else 1.0
    unit = styling.unit(frame["unit"][0])
    above = (frame["apart"] > 0) == (frame["better"][0] == "higher")
    better, worse, nothing = item_charts.APART
    says = pd.Series(nothing, frame.index)
    says[frame["flagged"]] = above.map({True: better, False: worse})
    shown = pd.DataFrame(
        {
            "label": frame["group"].map(safe.visible), "value": scale * frame["value"].astype(float),
            "low": scale * frame["low"].astype(float), "high": scale * frame["high"].astype(float),
            "n": frame["n"], "says": says, "coverage": 100 * frame["coverage"], "p": frame["p"].map(formatting.format_p, na_action="ignore"), "group": frame["group"],
        }
    ).sort_values("value", ascending=frame["better"][0] != "higher")  # fmt: skip
    whole = scale * (head.value or 0.0)
    drawn = shown[shown["n"] > 1] if (shown["n"] > 1).any() else shown
    state.chart(
        item_charts.groups(drawn, whole=whole, unit=f"{frame['metric'][0]}, {unit}", dark=state.dark()),
        alt="Groups of the suite with their intervals",
    )
    tested = frame["p"].notna().any()
    how = (
        "Flagged: groups that differ significantly from the rest of this run, Benjamini-Hochberg at 5 %."
        if tested
        else "Groups are not tested: the headline is not a mean of samples."
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
            "p": st.column_config.Column("p (BH)", alignment="right", help="Adjusted over all groups (Benjamini-Hochberg)."),
        },
    )  # fmt: skip
    places = event["selection"]["rows"]
    if places and places[0] < len(shown):
        name = str(shown.iloc[places[0]]["group"])
        run = {"run": entry.card.run, "suite": entry.card.config.suite, "group": name}
        state.link("sample", f"Wrong samples of {safe.label(name, 60)}", verdict="not right", **run)
    else:
        st.caption("Choose a group to go to its samples.")


def length(entry: Entry, head: Estimate, others: Sequence[Entry]) -> None:
    """Draw scores against the length of the reply."""
    st.header("Difficulty and length", anchor=False)
    lengths = suites.lengths(entry, others)
    if lengths is None or lengths.frame.empty:
        st.caption("No reply has a value yet.")
        return
    if len(lengths.frame) == 1:
        st.caption(f"All {int(lengths.frame['n'][0]):,} replies are about equally long.")
        return
    percent = head.unit == "fraction"
    frame = lengths.frame.assign(
        length=[
            f"{low:,}–{high:,}" if low != high else f"{low:,}"
            for low, high in zip(lengths.frame["low"], lengths.frame["high"], strict=True)
        ]
    )
    for name in ("value", "value_low", "value_high", "others"):
        frame[name] = frame[name].astype(float) * (100.0 if percent else 1.0)
    score = (
        "mean score, %"
        if percent
        else f"mean error, {head.unit}"
        if head.better == "lower"
        else f"mean, {head.unit}"
    )
    state.chart(
        item_charts.lengths(frame, unit=lengths.unit, score=score, dark=state.dark()),
        alt="Scores by the length of the reply",
    )
    n = int(lengths.frame["n"].sum())
    beside = (
        f" Hollow: {len(others)} other {'run' if len(others) == 1 else 'runs'} on the same samples; if both fall, the items are hard."
        if others
        else ""
    )
    st.caption(
        f"{n:,} replies in {len(frame)} bins of about equal size, 95 % intervals; lengths in {lengths.unit}"
        f"{', reasoning included' if lengths.unit == 'tokens' else ' of the answer, because tokens were not recorded'}.{beside}"
    )


def missing(entry: Entry, head: Estimate, others: Sequence[Entry]) -> None:
    """Draw how other runs score on what this run did not answer."""
    st.header("What is missing", anchor=False)
    frame = suites.missing(entry, others)
    if len(frame) == 1:
        st.caption(f"Nothing: all {int(frame['n'][0]):,} expected sample-repeats were answered.")
        return
    percent = 100.0 if head.unit == "fraction" else 1.0
    unit = styling.unit(head.unit)
    table = pd.DataFrame(
        {
            "outcome": frame["outcome"], "n": frame["n"], "share": 100 * frame["share"],
            "others": percent * frame["others"], "low": percent * frame["low"], "high": percent * frame["high"],
        }
    )  # fmt: skip
    number = st.column_config.NumberColumn
    st.dataframe(
        table.dropna(axis=1, how="all"), hide_index=True, placeholder="", alt="What was answered and what was not",
        column_config={
            "n": number("n", format="localized", help="Sample-repeats."), "share": number("share, %", format="%.2f"),
            "others": number(f"other runs there, {unit}", format="%.4g", help="Mean of the other runs on these samples."),
            "low": number("low", format="%.4g"), "high": number("high", format="%.4g"),
        },
    )  # fmt: skip
    if others:
        st.caption(
            f"Scores of {len(others)} other {'run' if len(others) == 1 else 'runs'} on the samples of each outcome, with "
            "95 % intervals. If they are lower on what this run left open, its score over what it answered is too high."
        )
    else:
        st.caption(
            "No other model has a comparable run, so it is not known whether what is missing is harder."
        )


def hard(entry: Entry, head: Estimate, others: Sequence[Entry]) -> None:
    """Draw the items that every model gets wrong: their gold answers may be wrong."""
    st.header("Items that every model gets wrong", anchor=False)
    if not others:
        st.caption("This needs comparable runs of at least two models.")
        return
    runs = [entry, *others]
    errors = head.better == "lower"
    frame = suites.farthest(runs) if errors else suites.unsolved(runs)
    if frame.empty:
        st.caption(f"None: of {len(runs)} models at least one is right on each.")
        return
    number = st.column_config.NumberColumn
    config: dict[str, Any] = {"runs": number("of runs", format="%d")}
    if errors:
        caption = f"The {len(frame)} items on which even the nearest of {len(runs)} models is farthest off"
        st.caption(f"{caption}: their gold answers are suspect.")
        config["error"] = number(f"least error, {head.unit}", format="%.4g")
        config["answer"] = "nearest answer"
    else:
        st.caption(
            f"{len(frame):,} items that none of {len(runs)} models gets right. If most of them agree on another answer, "
            "the gold answer is suspect: these come first, and those on which half of the replies agree are in the file."
        )
        config["agree"] = number("agree, %", format="%.0f", help="Share of the replies that gave it.")
        config["answer"] = "most frequent answer"
    shown = frame.map(lambda cell: safe.visible(cell) if isinstance(cell, str) else cell)
    event = st.dataframe(
        shown if errors else shown.assign(agree=100 * shown["agree"]),
        hide_index=True, key="hard", on_select="rerun", selection_mode="single-row", placeholder="", height=380,
        column_config=config, alt="Items that every model gets wrong",
    )  # fmt: skip
    suspect_items(suites.errata(frame if errors else frame[frame["agree"] >= AGREE], entry))
    places = event["selection"]["rows"]
    if places and places[0] < len(frame):
        name = str(frame.iloc[places[0]]["sample"])
        state.link(
            "sample", f"Replies to {safe.label(name, 60)}", run=entry.card.run, suite=entry.card.config.suite,
            sample=name, beside=[other.card.run for other in others[:3]],
        )  # fmt: skip


def suspect_items(items: pd.DataFrame) -> None:
    """Offer a list of items as CSV and JSON."""
    contents = {"csv": lambda: downloads.csv(items), "json": lambda: items.to_json(orient="records").encode()}
    with st.container(horizontal=True):
        for form, kind in (("csv", "text/csv"), ("json", "application/json")):
            st.download_button(
                f"Suspect items ({len(items)}), {form.upper()}", contents[form], f"suspect-items.{form}", kind,
                icon=":material/download:", on_click="ignore",
            )  # fmt: skip


def main() -> None:
    """Draw the page."""
    st.title("Suite", anchor=False)
    index = frames.index(state.results())
    if not index.entries:
        state.broken_runs(index.broken)
        state.empty_state(
            "There is no run to look into yet.", "evals run mmlu-pro gpqa aime --sample -m smollm2"
        )
    entry, _ = pickers.run(index, st.columns([2, 3]))
    head = entry.headline
    if head is None or head.value is None:
        state.empty_state("This run has no number yet.", f"evals show {entry.card.run}")
        return
    others = suites.comparable(entry, index.entries)
    page_links(entry, index.entries)
    try:
        headline(entry, head)
        breakdown(entry, head)
        length(entry, head, others)
        missing(entry, head, others)
        hard(entry, head, others)
    except EvalsError as error:
        st.error(f"This run cannot be read: {safe.label(error, 600)}")
    state.broken_runs(index.broken)


main()
