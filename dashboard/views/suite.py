"""The Suite page: groups of a run, scores by length, missing outcomes, and items that no model gets right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from evals.dashboard import downloads, state
from evals.dashboard.charts import samples as charts
from evals.dashboard.tables import frames, leaderboard, styling
from evals.dashboard.tables import suite as suites
from evals.dashboard.tables.frames import Entry
from evals.dashboard.tables.sample import NOT_RIGHT
from evals.dashboard.untrusted import text as safe
from evals.dashboard.views import pickers
from evals.errors import EvalsError
from evals.plain import count_of
from evals.types import Estimate
from evals.verdicts import formatting

MIN_AGREEMENT = 0.5
"""An item that no model gets right is listed as suspect if at least this share of the replies agree on an answer."""


def draw_headline(entry: Entry, estimate: Estimate) -> None:
    """Draw the headline score and warnings."""
    state.draw_estimate(estimate, entry.card.coverage)
    state.draw_health(entry.card)
    state.draw_trust(entry)
    if entry.card.data == "sample":
        st.caption("Bundled sample items: not a benchmark score.")


def draw_links(entry: Entry, entries: Sequence[Entry]) -> None:
    """Draw the links to other pages."""
    link_params = {"run": entry.name, "suite": entry.card.config.suite}
    column = leaderboard.column_label(entry, entries)
    with st.container(horizontal=True):
        state.draw_link("leaderboard", "Back to leaderboard", **({"rank": column} if column else {}))
        state.draw_link("sample", "Samples that are not right", verdict=NOT_RIGHT, **link_params)
        state.draw_link("runs", "Run details", **link_params)


def draw_groups(entry: Entry, estimate: Estimate) -> None:
    """Draw the groups with their intervals; groups that differ significantly from the rest have another colour and shape."""
    st.header("Groups", anchor=False)
    frame = suites.breakdown(entry)
    if frame.empty:
        st.caption("This suite has no groups, or its headline has no values by group.")
        return
    scale = 100.0 if frame["unit"][0] == "fraction" else 1.0
    unit = styling.unit_symbol(frame["unit"][0])
    is_better = (frame["difference"] > 0) == (frame["better"][0] == "higher")
    better, worse, same = charts.GROUP_RESULTS
    results = pd.Series(same, frame.index)
    results[frame["flagged"]] = is_better.map({True: better, False: worse})
    group_rows = pd.DataFrame(
        {
            "label": frame["group"].map(safe.visible), "value": scale * frame["value"].astype(float),
            "low": scale * frame["low"].astype(float), "high": scale * frame["high"].astype(float),
            "n": frame["n"], "result": results, "coverage": 100 * frame["coverage"], "p": frame["p"].map(formatting.format_p, na_action="ignore"), "group": frame["group"],
        }
    ).sort_values("value", ascending=frame["better"][0] != "higher")  # fmt: skip
    overall = scale * (estimate.value or 0.0)
    charted_rows = group_rows[group_rows["n"] > 1] if (group_rows["n"] > 1).any() else group_rows
    state.draw_chart(
        charts.groups(
            charted_rows, overall=overall, unit=f"{frame['metric'][0]}, {unit}", dark=state.is_dark()
        ),
        alt="Groups of the suite with their intervals",
    )
    has_tests = frame["p"].notna().any()
    test_note = (
        "Flagged: groups that differ significantly from the rest of this run, Benjamini-Hochberg at 5 %."
        if has_tests
        else "Groups are not tested: the headline is not a mean of samples."
    )
    single_count = len(group_rows) - len(charted_rows)
    single_note = (
        f" Only in the table: {count_of(single_count, 'group')} of a single sample." if single_count else ""
    )
    st.caption(f"{count_of(len(frame), 'group')}; 95 % intervals. {test_note}{single_note}")
    draw_group_table(entry, group_rows, unit)


def draw_group_table(entry: Entry, group_rows: pd.DataFrame, unit: str) -> None:
    """Draw the groups as a table, with a link to the samples of the selected group."""
    number = st.column_config.NumberColumn
    number_format = "%.1f" if unit == "%" else "%.4g"
    selected = state.draw_table(
        group_rows.drop(columns=["group"] if group_rows["p"].notna().any() else ["group", "p", "result"]),
        alt="Groups of the suite", key="groups", height="content" if len(group_rows) < 16 else 400,
        column_config={
            "label": "group", "value": number(f"value, {unit}", format=number_format), "low": number("low", format=number_format),
            "high": number("high", format=number_format), "n": number("n", format="localized", help="Number of samples times repeats."),
            "result": "compared with the rest", "coverage": number("coverage, %", format="%.1f"),
            "p": st.column_config.Column("p (BH)", alignment="right", help="Adjusted over all groups (Benjamini-Hochberg)."),
        },
    )  # fmt: skip
    if selected is None:
        st.caption("Select a group for a link to its samples.")
        return
    name = str(group_rows.iloc[selected]["group"])
    params = {"run": entry.name, "suite": entry.card.config.suite, "group": name, "verdict": NOT_RIGHT}
    state.draw_link("sample", f"Samples of {safe.label(name, 60)} that are not right", **params)


def draw_lengths(entry: Entry, estimate: Estimate, others: Sequence[Entry]) -> None:
    """Draw scores by the length of the reply."""
    st.header("Difficulty and length", anchor=False)
    lengths = suites.lengths(entry, others)
    if lengths is None or lengths.frame.empty:
        st.caption("No reply has been scored yet.")
        return
    if len(lengths.frame) == 1:
        st.caption(f"All {int(lengths.frame['n'][0]):,} replies have about the same length.")
        return
    is_fraction = estimate.unit == "fraction"
    frame = lengths.frame.assign(
        length=[
            f"{low:,}–{high:,}" if low != high else f"{low:,}"
            for low, high in zip(lengths.frame["low"], lengths.frame["high"], strict=True)
        ]
    )
    for name in ("value", "value_low", "value_high", "others"):
        frame[name] = frame[name].astype(float) * (100.0 if is_fraction else 1.0)
    quantity = "mean score" if is_fraction else "mean error" if estimate.better == "lower" else "mean"
    score_title = f"{quantity}, {styling.unit_symbol(estimate.unit)}"
    state.draw_chart(
        charts.lengths(frame, unit=lengths.unit, score_title=score_title, dark=state.is_dark()),
        alt="Scores by the length of the reply",
    )
    n = int(lengths.frame["n"].sum())
    hollow_points = f"Hollow points: {count_of(len(others), 'other run')} on the same samples"
    others_note = f" {hollow_points}; if both curves fall, the items are hard." if others else ""
    st.caption(
        f"{n:,} replies in {len(frame)} bins of about equal size, 95 % intervals; lengths in {lengths.unit}"
        f"{', reasoning included' if lengths.unit == 'tokens' else ' of the answer, because tokens were not recorded'}.{others_note}"
    )


def draw_missing(entry: Entry, estimate: Estimate, others: Sequence[Entry]) -> None:
    """Draw the scores of other runs on the samples that this run did not answer."""
    st.header("Missing outcomes", anchor=False)
    frame = suites.missing(entry, others)
    if len(frame) == 1:
        st.caption(f"None: all {int(frame['n'][0]):,} expected samples and repeats were answered.")
        return
    scale = 100.0 if estimate.unit == "fraction" else 1.0
    unit = styling.unit_symbol(estimate.unit)
    table = pd.DataFrame(
        {
            "outcome": frame["outcome"], "n": frame["n"], "share": 100 * frame["share"],
            "others": scale * frame["others"], "low": scale * frame["low"], "high": scale * frame["high"],
        }
    )  # fmt: skip
    number = st.column_config.NumberColumn
    state.draw_table(
        table.dropna(axis=1, how="all"), alt="Outcomes, with the scores of other runs",
        column_config={
            "n": number("n", format="localized", help="Number of samples times repeats."), "share": number("share, %", format="%.2f"),
            "others": number(f"other runs, {unit}", format="%.4g", help="Mean of the other runs on these samples."),
            "low": number("low", format="%.4g"), "high": number("high", format="%.4g"),
        },
    )  # fmt: skip
    if others:
        st.caption(
            f"Scores of {count_of(len(others), 'other run')} on the samples of each outcome, with "
            "95 % intervals. If they are lower on samples that this run did not answer, its score on the answered ones is too high."
        )
    else:
        st.caption("No other model has a comparable run, so the difficulty of missing samples is unknown.")


def draw_unsolved(entry: Entry, estimate: Estimate, others: Sequence[Entry]) -> None:
    """Draw the items that no model gets right, or those with the largest errors: their gold answers may be wrong."""
    st.header("Items that all models get wrong", anchor=False)
    if not others:
        st.caption("This needs comparable runs of at least two models.")
        return
    runs = [entry, *others]
    is_error = estimate.better == "lower"
    frame = suites.largest_errors(runs) if is_error else suites.unsolved(runs)
    if frame.empty:
        st.caption(f"None: each item is answered correctly by at least one of {len(runs)} models.")
        return
    number = st.column_config.NumberColumn
    config: dict[str, Any] = {"runs": number("of runs", format="%d")}
    if is_error:
        st.caption(
            f"Items on which even the best of {len(runs)} models has a large error; check the gold answers."
        )
        config["error"] = number(f"smallest error, {estimate.unit}", format="%.4g")
        config["answer"] = "best answer"
    else:
        st.caption(
            f"{count_of(len(frame), 'item')} that none of {len(runs)} models gets right. If most models agree on another answer, "
            "the gold answer is suspect. Such items come first; those on which at least half of the replies agree can be downloaded."
        )
        config["agree"] = number("agree, %", format="%.0f", help="Share of the replies with this answer.")
        config["answer"] = "most frequent answer"
    displayed_items = frame.map(lambda cell: safe.visible(cell) if isinstance(cell, str) else cell)
    selected = state.draw_table(
        displayed_items if is_error else displayed_items.assign(agree=100 * displayed_items["agree"]),
        alt="Items that all models get wrong", key="hard", height=380, column_config=config,
    )  # fmt: skip
    suspects = frame if is_error else frame[frame["agree"] >= MIN_AGREEMENT]
    draw_suspect_downloads(suites.with_provenance(suspects, entry))
    if selected is not None:
        sample = str(frame.iloc[selected]["sample"])
        beside = [run.name for run in others[: pickers.MAX_OTHER_RUNS]]
        params = {"run": entry.name, "suite": entry.card.config.suite, "sample": sample}
        state.draw_link("sample", f"Replies to {safe.label(sample, 60)}", beside=beside, **params)


def draw_suspect_downloads(items: pd.DataFrame) -> None:
    """Draw buttons to download a list of items as CSV and JSON."""
    contents = {"csv": lambda: downloads.csv(items), "json": lambda: items.to_json(orient="records").encode()}
    with st.container(horizontal=True):
        for extension, content in contents.items():
            label = f"Suspect items ({len(items)}), {extension.upper()}"
            state.draw_download(label, content, f"suspect-items.{extension}")


def main() -> None:
    """Draw the page."""
    st.title("Suite", anchor=False)
    index = frames.index(state.results())
    if not index.entries:
        state.list_broken_runs(index.broken)
        state.stop_with_hint("There are no runs yet.", "evals run mmlu-pro gpqa aime --sample -m smollm2")
    entry, _ = pickers.select_run(index, st.columns([2, 3]))
    estimate = entry.headline
    if estimate is None or estimate.value is None:
        state.stop_with_hint("This run has no score yet.", f"evals show {entry.card.run}")
        return
    others = suites.comparable_runs(entry, index.entries)
    draw_links(entry, index.entries)
    try:
        draw_headline(entry, estimate)
        draw_groups(entry, estimate)
        draw_lengths(entry, estimate, others)
        draw_missing(entry, estimate, others)
        draw_unsolved(entry, estimate, others)
    except EvalsError as error:
        st.error(f"This run cannot be read: {safe.label(error, 600)}")
    state.list_broken_runs(index.broken)


main()
