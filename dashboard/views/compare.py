"""Compare: two to four models sample by sample, with differences per suite, per group and per sample."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pandas as pd
import streamlit as st

from evals.dashboard import downloads, state
from evals.dashboard.charts import samples as item_charts
from evals.dashboard.charts.colours import ladder_colours
from evals.dashboard.foreign import text as safe
from evals.dashboard.tables import compare as comparison
from evals.dashboard.tables import frames, outcomes
from evals.dashboard.tables import sample as samples
from evals.dashboard.tables.compare import Match, Samples
from evals.dashboard.tables.frames import Entry, Index
from evals.dashboard.views import pickers, replies
from evals.errors import EvalsError
from evals.report.estimand_names import describe_estimand
from evals.verdicts import comparison_text, formatting
from evals.verdicts.compare import Comparison, Row

LETTERS = "ABCD"
CARD = 154  # pixels of a card: two fit side by side on a phone
MOST = 2_000  # discordant samples in the table; the file has all

UNITS = {"fraction": "percentage points"}
MEANS = {
    comparison.NOT_PAIRED: "Samples that only one of the two scored; they are in no difference.",
    "both right": "Over several repeats: right in more than half of them.",
}


def pick(index: Index) -> tuple[list[str], list[Match]]:
    """Draw the choice of models or runs; return their names and the suites that they have in common."""
    pickers.unreadable(index, st.query_params.get_all("runs"))
    known = comparison.candidates(index)
    if len(known) < 2:
        state.broken_runs(index.broken)
        state.empty_state(
            "A comparison needs two runs with numbers.", "evals run mmlu-pro --sample -m smollm2"
        )
    runs = {entry.card.run: entry.card.model for entry in index.entries}

    def say(name: str) -> str:
        return safe.visible(f"run {name} ({runs[name]})" if name in runs else name)

    chosen = pickers.select_many(
        "runs", "Models or runs", list(known), say=say, most=4, default=lambda: comparison.default_pair(known),
        placeholder="two to four; the first is A",
        help="Of a model, the newest complete run of each suite is compared; a run can be chosen by its id too.",
    )  # fmt: skip
    if len(chosen) < 2:
        st.info(
            "Choose two to four models or runs; the first is A, the second B.",
            icon=":material/compare_arrows:",
        )
        st.stop()
    return [say(name) for name in chosen], comparison.matches([known[name] for name in chosen])


def refused(matches: Sequence[Match]) -> None:
    """List what is not compared, and why."""
    closed = [match for match in matches if match.why_not]
    if closed:
        name = f"Not comparable: {len(closed)} {'suite' if len(closed) == 1 else 'suites'}"
        with st.expander(name, icon=":material/block:", expanded=len(closed) == len(matches)):
            for match in closed:
                for why in match.why_not:
                    st.markdown(f"- **{safe.label(match.label)}**: {safe.label(why, 400)}")


def overview(names: Sequence[str], matches: Sequence[Match]) -> list[Row]:
    """Draw the differences on all suites, adjusted together: in sentences, then in a table, the largest first."""
    with st.spinner("Comparing sample by sample ..."):
        rows = comparison.headlines(matches)
    st.header("Differences", anchor=False)
    st.markdown(" · ".join(f"**{LETTERS[i]}** {safe.label(name, 60)}" for i, name in enumerate(names)))
    if len(names) == 2:
        for sentence in comparison_text.sentences(Comparison(pairs=tuple(rows), comparable=True, why_not=())):
            st.markdown(safe.label(sentence, 1000))
    labels = [
        (match.label, f"{LETTERS[i]} → {LETTERS[j]}")
        for match in matches
        if not match.why_not
        for i, j in combinations(range(len(names)), 2)
    ]
    frame = pd.DataFrame([_row(*labels[place], rows[place]) for place in comparison.by_size(rows)])
    if len(names) == 2:
        frame = frame.drop(columns="pair").rename(
            columns={"first": "A", "second": "B", "difference": "B − A"}
        )
    column = st.column_config.Column
    st.dataframe(
        frame, hide_index=True, placeholder="", alt="Differences per suite", height="content" if len(frame) < 16 else 560,
        column_config={
            **dict.fromkeys(("A", "B", "first", "second", "B − A"), column(alignment="right")),
            "difference": column(help="Second minus first of the pair, over the samples that both scored.", alignment="right"),
            "95 % interval": column(help="Adjusted by Holm, like p: excludes 0 if the test rejects.", alignment="right"),
            "p (Holm)": column(help=f"Adjusted over all {len(rows)} comparisons of this table.", alignment="right"),
            "better": column(help="n.s.: not significantly different at 5 %, adjusted."),
            "n": st.column_config.NumberColumn(help="Samples that both scored.", format="localized"),
            "coverage": column(help="Scored of expected sample-repeats, of either.", alignment="right"),
        },
    )  # fmt: skip
    return rows


def _row(label: str, pair: str, row: Row) -> dict[str, object]:
    first, second = pair.split(" → ")
    better = {"A better": first, "B better": second}
    return {
        "suite": safe.visible(label),
        "pair": pair,
        "difference": formatting.format_amount(row.difference, row.unit, signed=True),
        "95 % interval": formatting.format_interval(*row.ends, row.unit),
        "p (Holm)": formatting.format_p(row.p_adjusted),
        "better": better.get(comparison.better_side(row), comparison.better_side(row)),
        "first": formatting.format_amount(row.value_a, row.unit),
        "second": formatting.format_amount(row.value_b, row.unit),
        "n": row.n,
        "coverage": f"{100 * row.coverage_a:.1f} % / {100 * row.coverage_b:.1f} %",
        "metric": row.metric,
    }


def one_suite(names: Sequence[str], matches: Sequence[Match], rows: Sequence[Row], index: Index) -> None:
    """Draw one suite and one pair in detail."""
    open_ = {match.label: match for match in matches if not match.why_not}
    couples = [f"{LETTERS[i]} → {LETTERS[j]}" for i, j in combinations(range(len(names)), 2)]
    cells = st.columns([3, 1] if len(couples) > 1 else [1])
    largest = list(open_)[comparison.by_size(rows)[0] // len(couples)]
    with cells[0]:
        match = open_[pickers.select_one("suite", "Suite", list(open_), say=safe.visible, default=largest)]
    pair = couples[0]
    if len(couples) > 1:
        with cells[1]:
            first = list(open_).index(match.label) * len(couples)
            best = comparison.by_size(rows[first : first + len(couples)])[0]
            pair = pickers.select_one("pair", "Pair", couples, default=couples[best])
    i, j = LETTERS.index(pair[0]), LETTERS.index(pair[-1])
    a, b = match.entries[i], match.entries[j]
    titles = names[i], names[j]
    row = rows[list(open_).index(match.label) * len(couples) + couples.index(pair)]
    others = [
        e for e in index.entries
        if e.card.config.suite == a.card.config.suite and e.card.config.protocol == a.card.config.protocol
        and e.card.config.data_sha256 == a.card.config.data_sha256
    ]  # fmt: skip
    sampled = comparison.samples(a, b, others)
    letters = pair[0], pair[-1]
    quadrants(sampled, row, letters)
    by_group(a, b, row, titles, letters)
    ladder([(names[k], entry) for k, entry in enumerate(match.entries)])
    flips(a, b, sampled, titles, row, letters=letters)


def quadrants(sampled: Samples, row: Row, letters: tuple[str, str]) -> None:
    """Draw the counts of concordant and discordant samples, and the test of the difference; `letters`: of the pair."""
    st.header("Agreement", anchor=False)
    counts = comparison.quadrants(sampled)
    total = sum(counts.values())
    first, second = letters
    titles = {
        "only A": f"only {first}", "only B": f"only {second}", "A better": f"{first} better", "B better": f"{second} better",
    }  # fmt: skip
    with st.container(horizontal=True):
        for name, count in counts.items():
            share = f"{100 * count / total:.1f} % of {total:,}"
            st.metric(
                titles.get(name, name), f"{count:,}", share, delta_color="off", delta_arrow="off", border=True,
                help=MEANS.get(name), width=CARD,
            )  # fmt: skip
    bounds = ""
    if row.coverage_a < 1 or row.coverage_b < 1:
        ends = sorted(end for end in (row.worst, row.best) if end is not None)
        if ends:
            bounds = (
                f" Bounds with what is missing: {formatting.format_interval(ends[0], ends[-1], row.unit)}."
            )
    st.markdown(
        f"Difference {safe.literal(formatting.format_amount(row.difference, row.unit, signed=True))}, 95 % interval "
        f"{safe.literal(formatting.format_interval(*row.ends, row.unit))}, p {safe.literal(formatting.format_p(row.p_adjusted))}, "
        f"both adjusted by Holm over the table above ({safe.literal(row.test)}, {describe_estimand(row.estimand)}), n {row.n:,} samples that both scored."
        f"{safe.literal(bounds)}"
    )


def by_group(a: Entry, b: Entry, row: Row, names: tuple[str, str], letters: tuple[str, str]) -> None:
    """Draw the differences of the suite's groups."""
    rows = comparison.groups(a, b)
    if not rows:
        return
    st.header("By group", anchor=False)
    scale = 100.0 if row.unit == "fraction" else 1.0
    frame = pd.DataFrame(
        {
            "label": safe.visible(group.group),
            "value": scale * (group.difference or 0.0),
            "low": None if group.low_adjusted is None else scale * group.low_adjusted,
            "high": None if group.high_adjusted is None else scale * group.high_adjusted,
            "says": comparison.better_side(group),
            "n": group.n,
        }
        for group in rows
        if group.difference is not None
    )
    if frame.empty:
        st.caption("No group has samples that both scored.")
        return
    frame = frame.sort_values("value", ascending=False)
    unit = UNITS.get(row.unit, row.unit)
    state.chart(
        item_charts.forest(
            frame, unit=unit, dark=state.dark(), names=(names[0][:40], names[1][:40]), letters=letters
        ),
        alt="Differences per group with their intervals",
    )
    st.caption(
        f"{len(frame)} groups; intervals and colours hold for all of them together (Benjamini-Hochberg at 5 %)."
    )
    with st.expander("As a table"):
        table = frame.assign(n=frame["n"].astype(int)).rename(
            columns={"label": "group", "value": f"difference, {unit}"}
        )
        st.dataframe(table, hide_index=True, alt="Differences per group")


def ladder(runs: Sequence[tuple[str, Entry]]) -> None:
    """Draw the outcomes of each run."""
    st.header("Outcomes", anchor=False)
    rows = []
    for name, entry in runs:
        counts = outcomes.ladder(entry)
        total = sum(counts.values()) or 1
        rows += [{"run": name[:50], "step": step, "n": n, "share": n / total} for step, n in counts.items()]
    frame = pd.DataFrame(rows)
    colours = {
        step: colour
        for step, colour in ladder_colours(outcomes.STEPS, dark=state.dark()).items()
        if step in set(frame["step"])
    }
    state.chart(item_charts.ladder(frame, colours), alt="Shares of outcomes per run")
    with st.expander("As a table"):
        wide = frame.pivot_table(index="step", columns="run", values="n", fill_value=0, sort=False).astype(
            int
        )
        st.dataframe(
            wide.reindex([step for step in outcomes.STEPS if step in wide.index]),
            alt="Counts of outcomes per run",
        )


def flips(
    a: Entry, b: Entry, sampled: Samples, names: tuple[str, str], row: Row, *, letters: tuple[str, str]
) -> None:
    """Draw the samples on which two runs differ; a selected one opens below, side by side."""
    st.header("Discordant samples", anchor=False)
    discordant = comparison.discordant(sampled)
    if discordant.empty:
        st.caption("On no sample.")
        return
    kinds = [
        name
        for name in ("only A", "only B", "A better", "B better", comparison.NOT_PAIRED)
        if (discordant["quadrant"] == name).any()
    ]
    titles = {
        "": "all",
        "only A": f"only {names[0]}",
        "only B": f"only {names[1]}",
        "A better": f"{names[0]} better",
        "B better": f"{names[1]} better",
    }
    kind = pickers.select_one(
        "flip", "Show", ["", *kinds], say=lambda name: safe.visible(titles.get(name, name))
    )
    shown = discordant[discordant["quadrant"] == kind] if kind else discordant
    table, config = _flip_table(shown, row, names, letters=letters, gated=a.card.gated or b.card.gated)
    event = st.dataframe(
        table.head(MOST), hide_index=True, key="flips", on_select="rerun", selection_mode="single-row", placeholder="",
        column_config=config, height=380, alt="Samples on which the two differ",
    )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "CSV", lambda: downloads.csv(discordant), "flips.csv", "text/csv", icon=":material/download:", on_click="ignore",
            help=f"All {len(discordant):,} samples on which the two differ.",
        )  # fmt: skip
        st.markdown(f"{len(shown):,} samples, those that matter most first. Choose one to see both replies.")
    places = event["selection"]["rows"]
    if places and places[0] < len(shown):
        side_by_side(a, b, str(shown.iloc[places[0]]["sample"]))


def _flip_table(
    frame: pd.DataFrame, row: Row, names: tuple[str, str], *, letters: tuple[str, str], gated: bool
) -> tuple[pd.DataFrame, dict[str, Any]]:
    scale, unit = (100.0, "pp") if row.unit == "fraction" else (1.0, row.unit)
    first, second = letters
    table = pd.DataFrame(
        {
            "sample": frame["sample"].map(safe.visible),
            "group": frame["group"].map(safe.visible),
            first: frame["a"],
            second: frame["b"],
            f"answer of {first}": frame["answer_a"].map(_short),
            f"answer of {second}": frame["answer_b"].map(_short),
            "moves": scale * frame["moves"],
            "others right": 100 * frame["others"],
            "of": frame["asked"],
        }
    )
    if gated:
        table = table.drop(columns=[f"answer of {first}", f"answer of {second}"])
    number, column = st.column_config.NumberColumn, st.column_config.Column
    config: dict[str, Any] = {
        first: column(help=f"Verdict of {safe.label(names[0])}."),
        second: column(help=f"Verdict of {safe.label(names[1])}."),
        "moves": number(
            f"moves, {unit}",
            format="%+.4f",
            help=f"What this sample adds to the difference {second} minus {first}.",
        ),
        "others right": number(
            "others right, %",
            format="%.0f",
            help="Share of the other runs of this suite that are right here.",
        ),
        "of": number("of runs", format="%d", help="Other runs of the same suite, protocol and data."),
    }
    return table, config


def _short(answer: object) -> str:
    text = safe.visible(answer) if isinstance(answer, str) else ""
    return text if len(text) <= 60 else f"{text[:59]}…"


def side_by_side(a: Entry, b: Entry, sample: str) -> None:
    """Draw the replies of both to one sample, differences marked."""
    both = [samples.item(entry, sample) for entry in (a, b)]
    left, right = both
    if left is None or right is None:
        return
    st.markdown(f"**Sample {replies.heading([left])}**")
    state.link(
        "sample",
        "All of this sample",
        suite=a.card.config.suite,
        run=a.card.run,
        beside=b.card.run,
        sample=sample,
    )
    if a.card.gated or b.card.gated:
        st.info("This suite is gated: texts and answers are not shown.", icon=":material/lock:")
        return
    replies.beside(left, right)


def main() -> None:
    """Draw the page."""
    st.title("Compare", anchor=False)
    index = frames.index(state.results())
    names, matches = pick(index)
    refused(matches)
    if not any(not match.why_not for match in matches):
        if not matches:
            st.info("These have no suite in common.", icon=":material/info:")
        st.stop()
    try:
        rows = overview(names, matches)
        one_suite(names, matches, rows, index)
    except EvalsError as error:
        st.error(f"These runs cannot be compared: {safe.label(error, 600)}")
    state.broken_runs(index.broken)


main()
