"""The Compare page: differences between two to four models by suite, by group and by sample."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product
from typing import Any

import pandas as pd
import streamlit as st

from evals.dashboard import downloads, state
from evals.dashboard.charts import samples as charts
from evals.dashboard.charts.colours import outcome_colours
from evals.dashboard.tables import compare as comparison
from evals.dashboard.tables import frames, outcomes
from evals.dashboard.tables import sample as samples
from evals.dashboard.tables.compare import Match, PairedSamples
from evals.dashboard.tables.frames import Entry, Index
from evals.dashboard.tables.leaderboard import mark_meanings, run_marks
from evals.dashboard.untrusted import text as safe
from evals.dashboard.views import pickers, replies
from evals.errors import EvalsError
from evals.plain import count_of, percent
from evals.report.estimand_names import describe_estimand
from evals.verdicts import comparison_text, formatting
from evals.verdicts.compare import Comparison, Row

LETTERS = "ABCD"
METRIC_WIDTH = 154  # in pixels; two metrics fit side by side on a phone
MAX_ROWS = 2_000  # in the table of discordant samples; the download contains all of them

UNIT_NAMES = {"fraction": "percentage points"}
QUADRANT_HELP = {
    comparison.NOT_PAIRED: "Samples scored in only one of the two runs; they do not count towards the difference.",
    "both right": "With several repeats: right in more than half of them.",
}


def select_models(index: Index) -> tuple[list[str], list[Match]]:
    """Draw the selection of models or runs, and return their names and the suites that they have in common."""
    pickers.stop_if_unreadable(index, st.query_params.get_all("runs"))
    candidates = comparison.candidates(index)
    if len(candidates) < 2:
        state.list_broken_runs(index.broken)
        state.stop_with_hint(
            "Comparisons need two runs with scores.", "evals run mmlu-pro --sample -m smollm2"
        )
    runs = {entry.name: f"run {entry.card.run} ({entry.card.model})" for entry in index.entries}

    def display_name(name: str) -> str:
        return safe.visible(runs.get(name, name))

    selected = pickers.select_many(
        "runs", "Models or runs", list(candidates), format_func=display_name, max_selections=4, default=lambda: comparison.default_pair(candidates),
        placeholder="two to four; the first is A",
        help="Models are compared by their newest complete run of each suite; single runs can be selected by id.",
    )  # fmt: skip
    if len(selected) < 2:
        st.info(
            "Select two to four models or runs; the first is A, the second B.",
            icon=":material/compare_arrows:",
        )
        st.stop()
    return [display_name(name) for name in selected], comparison.matches(
        [candidates[name] for name in selected]
    )


def list_incomparable(matches: Sequence[Match]) -> None:
    """List the suites that are not comparable, and the reasons."""
    incomparable = [match for match in matches if match.why_not]
    if incomparable:
        title = f"Not comparable: {count_of(len(incomparable), 'suite')}"
        with st.expander(title, icon=":material/block:", expanded=len(incomparable) == len(matches)):
            for match in incomparable:
                for reason in match.why_not:
                    st.markdown(f"- **{safe.label(match.label)}**: {safe.label(reason, 400)}")


def draw_differences(names: Sequence[str], matches: Sequence[Match]) -> list[Row]:
    """Draw the differences on all suites, adjusted for multiple comparisons, in a table, and for two models also in sentences; return them."""
    with st.spinner("Comparing sample by sample ..."):
        rows = comparison.compare_headlines(matches)
    st.header("Differences", anchor=False)
    st.markdown(" · ".join(f"**{LETTERS[i]}** {safe.label(name, 60)}" for i, name in enumerate(names)))
    if len(names) == 2:
        for sentence in comparison_text.sentences(Comparison(pairs=tuple(rows), comparable=True, why_not=())):
            st.markdown(safe.label(sentence, 1000))
    comparable = [match for match in matches if not match.why_not]
    pairs = [(match, *pair) for match in comparable for pair in combinations(range(len(names)), 2)]
    frame = pd.DataFrame([_table_row(*pairs[i], rows[i]) for i in comparison.order_by_size(rows)])
    if len(names) == 2:
        frame = frame.drop(columns="pair").rename(
            columns={"first": "A", "second": "B", "difference": "B − A"}
        )
    column = st.column_config.Column
    state.draw_table(
        frame, alt="Differences per suite", height="content" if len(frame) < 16 else 560,
        column_config={
            **dict.fromkeys(("A", "B", "first", "second", "B − A"), column(alignment="right")),
            "difference": column(help="Second minus first of the pair, on the samples scored in both runs.", alignment="right"),
            "95 % interval": column(help="Adjusted by Holm, as p is; it excludes 0 if the difference is significant.", alignment="right"),
            "p (Holm)": column(help=f"Adjusted over the comparisons in this table: {len(rows)}.", alignment="right"),
            "better": column(help="n.s.: not significantly different at 5 %, adjusted."),
            "n": st.column_config.NumberColumn(help="Samples scored in both runs.", format="localized"),
            "coverage": column(help="Share of expected samples and repeats that are scored, in each run.", alignment="right"),
        },
    )  # fmt: skip
    if legend := state.marks_legend(
        mark_meanings(run_marks(e) for match in comparable for e in match.entries)
    ):
        st.caption(legend)
    return rows


def _table_row(match: Match, i: int, j: int, row: Row) -> dict[str, object]:
    better = {"A better": LETTERS[i], "B better": LETTERS[j]}
    first, second = (
        f"{formatting.format_amount(value, row.unit)} {''.join(run_marks(match.entries[k]))}".rstrip()
        for value, k in ((row.value_a, i), (row.value_b, j))
    )
    return {
        "suite": safe.visible(match.label),
        "pair": f"{LETTERS[i]} → {LETTERS[j]}",
        "difference": formatting.format_amount(row.difference, row.unit, signed=True),
        "95 % interval": formatting.format_interval(*row.adjusted_interval, row.unit),
        "p (Holm)": formatting.format_p(row.p_adjusted),
        "better": better.get(comparison.better_side(row), comparison.better_side(row)),
        "first": first,
        "second": second,
        "n": row.n,
        "coverage": f"{percent(row.coverage_a)} % / {percent(row.coverage_b)} %",
        "metric": row.metric,
    }


def draw_suite(names: Sequence[str], matches: Sequence[Match], rows: Sequence[Row], index: Index) -> None:
    """Draw the details of the selected suite and pair of models, initially those with the largest difference."""
    comparable = {match.label: match for match in matches if not match.why_not}
    pairs = [f"{LETTERS[i]} → {LETTERS[j]}" for i, j in combinations(range(len(names)), 2)]
    row_keys = list(product(comparable, pairs))
    keys_by_size = [row_keys[i] for i in comparison.order_by_size(rows)]
    cells = st.columns([3, 1] if len(pairs) > 1 else [1])
    with cells[0]:
        label = pickers.select_one(
            "suite", "Suite", list(comparable), format_func=safe.visible, default=keys_by_size[0][0]
        )
    pair = pairs[0]
    if len(pairs) > 1:
        with cells[1]:
            largest = next(pair for suite, pair in keys_by_size if suite == label)
            pair = pickers.select_one("pair", "Pair", pairs, default=largest)
    match, row = comparable[label], rows[row_keys.index((label, pair))]
    i, j = LETTERS.index(pair[0]), LETTERS.index(pair[-1])
    a, b = match.entries[i], match.entries[j]
    titles = names[i], names[j]
    runs_on_same_data = [run for run in index.entries if run.configuration == a.configuration]
    sample_pairs = comparison.pair_samples(a, b, runs_on_same_data)
    letters = pair[0], pair[-1]
    draw_quadrants(sample_pairs, row, letters)
    draw_groups(a, b, row, titles, letters)
    draw_outcomes([(names[k], entry) for k, entry in enumerate(match.entries)])
    draw_discordant(a, b, sample_pairs, titles, row, letters=letters)


def draw_quadrants(sample_pairs: PairedSamples, row: Row, letters: tuple[str, str]) -> None:
    """Draw the counts of concordant and discordant samples, and the test of the difference; `letters`: the pair's letters."""
    st.header("Agreement", anchor=False)
    counts = comparison.count_quadrants(sample_pairs)
    total = sum(counts.values())
    titles = _quadrant_titles(*letters)
    with st.container(horizontal=True):
        for name, count in counts.items():
            share = f"{100 * count / total:.1f} % of {total:,}"
            st.metric(
                titles.get(name, name), f"{count:,}", share, delta_color="off", delta_arrow="off", border=True,
                help=QUADRANT_HELP.get(name), width=METRIC_WIDTH,
            )  # fmt: skip
    bounds = ""
    if row.coverage_a < 1 or row.coverage_b < 1:
        limits = sorted(limit for limit in (row.worst, row.best) if limit is not None)
        if limits:
            bounds = f" Bounds with missing outcomes: {formatting.format_interval(limits[0], limits[-1], row.unit)}."
    st.markdown(
        f"Difference {safe.literal(formatting.format_amount(row.difference, row.unit, signed=True))}, 95 % interval "
        f"{safe.literal(formatting.format_interval(*row.adjusted_interval, row.unit))}, p {safe.literal(formatting.format_p(row.p_adjusted))}, "
        f"n = {row.n:,} samples scored in both runs. Interval and p are adjusted by Holm over the table above.{safe.literal(bounds)} "
        f"Test: {safe.literal(row.test)}, {describe_estimand(row.estimand)}."
    )


def _quadrant_titles(first: str, second: str) -> dict[str, str]:
    return {
        "only A": f"only {first}", "only B": f"only {second}", "A better": f"{first} better", "B better": f"{second} better",
    }  # fmt: skip


def draw_groups(a: Entry, b: Entry, row: Row, names: tuple[str, str], letters: tuple[str, str]) -> None:
    """Draw the differences by group."""
    rows = comparison.compare_groups(a, b)
    if not rows:
        return
    st.header("By group", anchor=False)
    scale = 100.0 if row.unit == "fraction" else 1.0
    frame = pd.DataFrame(
        {
            "label": safe.visible(group.group),
            "value": scale * group.difference,
            "low": None if group.low_adjusted is None else scale * group.low_adjusted,
            "high": None if group.high_adjusted is None else scale * group.high_adjusted,
            "result": comparison.better_side(group),
            "n": group.n,
        }
        for group in rows
        if group.difference is not None
    )
    if frame.empty:
        st.caption("No group has samples that were scored in both runs.")
        return
    frame = frame.sort_values("value", ascending=False)
    unit = UNIT_NAMES.get(row.unit, row.unit)
    state.draw_chart(
        charts.forest(
            frame, unit=unit, dark=state.is_dark(), names=(names[0][:40], names[1][:40]), letters=letters
        ),
        alt="Differences per group with their intervals",
    )
    st.caption(
        f"{count_of(len(frame), 'group')}; intervals and colours are adjusted over all groups (Benjamini-Hochberg at 5 %)."
    )
    with st.expander("As a table"):
        table = frame.rename(columns={"label": "group", "value": f"difference, {unit}"})
        state.draw_table(table, alt="Differences per group")


def draw_outcomes(runs: Sequence[tuple[str, Entry]]) -> None:
    """Draw the outcomes of each run."""
    st.header("Outcomes", anchor=False)
    rows = []
    for letter, (name, entry) in zip(LETTERS, runs, strict=False):
        counts = outcomes.count_outcomes(entry)
        total = sum(counts.values()) or 1
        rows += [
            {"run": f"{letter} {name[:50]}", "outcome": outcome, "n": n, "share": n / total}
            for outcome, n in counts.items()
        ]
    frame = pd.DataFrame(rows)
    colours = {
        outcome: colour
        for outcome, colour in outcome_colours(outcomes.OUTCOMES, dark=state.is_dark()).items()
        if outcome in set(frame["outcome"])
    }
    state.draw_chart(charts.outcome_bars(frame, colours), alt="Shares of outcomes per run")
    with st.expander("As a table"):
        wide = frame.pivot_table(index="outcome", columns="run", values="n", fill_value=0, sort=False).astype(
            int
        )
        st.dataframe(
            wide.reindex([outcome for outcome in outcomes.OUTCOMES if outcome in wide.index]),
            alt="Counts of outcomes per run",
        )


def _select_quadrant(discordant: pd.DataFrame, names: tuple[str, str]) -> str:
    """Return the quadrant that the user selects, among those with samples; empty: all."""
    titles = {"": "all", **_quadrant_titles(*names), comparison.NOT_PAIRED: comparison.NOT_PAIRED}
    choices = [name for name in titles if not name or (discordant["quadrant"] == name).any()]
    return pickers.select_one("flip", "Show", choices, format_func=lambda name: safe.visible(titles[name]))


def draw_discordant(
    a: Entry,
    b: Entry,
    sample_pairs: PairedSamples,
    names: tuple[str, str],
    row: Row,
    *,
    letters: tuple[str, str],
) -> None:
    """Draw a table of the samples on which two runs differ, and both replies to the selected sample."""
    st.header("Discordant samples", anchor=False)
    discordant = comparison.discordant(sample_pairs)
    if discordant.empty:
        st.caption("None.")
        return
    quadrant = _select_quadrant(discordant, names)
    selected_samples = discordant[discordant["quadrant"] == quadrant] if quadrant else discordant
    table, config = _discordant_table(
        selected_samples, row, names, letters=letters, gated=a.card.gated or b.card.gated
    )
    alt_text = "Samples on which the two differ"
    selected = state.draw_table(
        table.head(MAX_ROWS), alt=alt_text, key="flips", column_config=config, height=380
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        description = f"All samples on which the two differ: {len(discordant):,}."
        state.draw_download("CSV", lambda: downloads.csv(discordant), "flips.csv", help=description)
        st.markdown(
            f"{count_of(len(selected_samples), 'sample')}, largest contribution first. Select one to see both replies."
        )
    if selected is not None:
        draw_replies(a, b, str(selected_samples.iloc[selected]["sample"]))


def _discordant_table(
    frame: pd.DataFrame, row: Row, names: tuple[str, str], *, letters: tuple[str, str], gated: bool
) -> tuple[pd.DataFrame, dict[str, Any]]:
    scale, unit = (100.0, "pp") if row.unit == "fraction" else (1.0, row.unit)
    first, second = letters
    answers = {} if gated else {f"answer of {first}": "answer_a", f"answer of {second}": "answer_b"}
    table = pd.DataFrame(
        {
            "sample": frame["sample"].map(safe.visible),
            "group": frame["group"].map(safe.visible),
            first: frame["a"],
            second: frame["b"],
            **{title: frame[name].map(_shorten) for title, name in answers.items()},
            "contribution": scale * frame["contribution"],
            "others right": 100 * frame["others"],
            "of": frame["other_runs"],
        }
    )
    number, column = st.column_config.NumberColumn, st.column_config.Column
    config: dict[str, Any] = {
        first: column(help=f"Verdict of {safe.label(names[0])}."),
        second: column(help=f"Verdict of {safe.label(names[1])}."),
        "contribution": number(
            f"contribution, {unit}",
            format="%+.4f",
            help=f"Contribution of this sample to the difference {second} − {first}.",
        ),
        "others right": number(
            "others right, %",
            format="%.0f",
            help="Share of the answers of other runs to this sample that are right.",
        ),
        "of": number("of runs", format="%d", help="Other runs of the same suite, protocol and data."),
    }
    return table, config


def _shorten(answer: object) -> str:
    text = safe.visible(answer) if isinstance(answer, str) else ""
    return text if len(text) <= 60 else f"{text[:59]}…"


def draw_replies(a: Entry, b: Entry, sample: str) -> None:
    """Draw both runs' replies to a sample, with their differences marked."""
    left, right = (samples.item(entry, sample) for entry in (a, b))
    if left is None or right is None:
        return
    st.markdown(f"**Sample {replies.heading(left)}**")
    params = {"suite": a.card.config.suite, "run": a.name, "beside": b.name, "sample": sample}
    state.draw_link("sample", "Details of this sample", **params)
    if a.card.gated or b.card.gated:
        st.info("This suite is gated: texts and answers are not shown.", icon=":material/lock:")
        return
    replies.side_by_side(left, right)


def main() -> None:
    """Draw the page."""
    st.title("Compare", anchor=False)
    index = frames.index(state.results())
    names, matches = select_models(index)
    list_incomparable(matches)
    if all(match.why_not for match in matches):
        if not matches:
            st.info("These models have no suite in common.", icon=":material/info:")
        st.stop()
    try:
        rows = draw_differences(names, matches)
        draw_suite(names, matches, rows, index)
    except EvalsError as error:
        st.error(f"These runs cannot be compared: {safe.label(error, 600)}")
    state.list_broken_runs(index.broken)


main()
