"""The History page: a model's checkpoints over time, gate verdicts on them, and what changed besides the model."""

from __future__ import annotations

from collections import Counter

import streamlit as st

from evals.dashboard import state
from evals.dashboard.charts import figures as charts
from evals.dashboard.tables import frames, history, styling
from evals.dashboard.tables.history import BaselineChoice, History
from evals.dashboard.tables.leaderboard import mark_meanings, run_marks
from evals.dashboard.untrusted import text as safe
from evals.plain import count_of

BASELINES: tuple[BaselineChoice, ...] = ("the first", "the one before")
MAX_DEFAULT_SUITES = 3


def draw_history(suite_history: History, margin: float, against: BaselineChoice) -> None:
    """Draw the history of a suite under a protocol; `margin`: a fraction or, for other units, a share of the first score."""
    headline = history.headline_of(suite_history.entries[-1])
    unit = headline.unit
    st.header(safe.label(suite_history.label), anchor=False)
    if unit != "fraction":
        margin *= abs(history.headline_of(suite_history.entries[0]).value or 1.0)
    with st.spinner("Comparing each run, sample by sample ..."):
        table = history.table(suite_history, margin=margin, against=against)
    if len(table) == 1:
        st.caption("Only one run so far.")
    else:
        state.draw_chart(
            charts.history(table, styling.unit_symbol(unit), dark=state.is_dark()),
            alt=f"Scores of {suite_history.label} over time",
        )
    verdicts = Counter(verdict for verdict in table["verdict"] if verdict)
    verdict_counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
    st.caption(
        f"{count_of(len(table), 'run')} in {styling.unit_symbol(unit)}, {headline.better} is better; {verdict_counts or 'no verdicts yet'}."
    )
    for row in table[table["changed"] != ""].to_dict("records"):
        st.caption(
            f"Changed on {row['started']:%Y-%m-%d}: {safe.label(row['changed'], 300)}. Scores before and after it are not comparable."
        )
    number_format = "%.1f" if unit == "fraction" else "%.4g"
    legend = state.marks_legend(mark_meanings(map(run_marks, suite_history.entries)))
    state.draw_table(
        table.drop(columns=["segment"] if legend else ["segment", "marks"]), alt=f"Runs of {suite_history.label}",
        column_config={
            "started": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm"),
            **{field: st.column_config.NumberColumn(format=number_format) for field in ("value", "low", "high")},
            "n": st.column_config.NumberColumn(format="localized"),
            "coverage": st.column_config.NumberColumn(format="%.1f %%"),
            "verdict": st.column_config.Column(help="Decision of `evals gate`: pass, regression or inconclusive."),
        },
    )  # fmt: skip
    if legend:
        st.caption(legend)


def main() -> None:
    """Draw the page."""
    st.title("History", anchor=False)
    index = frames.index(state.results())
    names = history.models_with_history(index.entries)
    if not names:
        state.list_broken_runs(index.broken)
        state.stop_with_hint(
            "No benchmark run has a score yet; runs on sample items are not shown.",
            "evals run mmlu-pro -m smollm2",
        )
    requested = st.query_params.get("model", names[0])
    left, middle, right = st.columns([3, 2, 2], vertical_alignment="bottom")
    model = left.selectbox(
        "Model, or prefix of its checkpoints' names", names if requested in names else [requested, *names],
        key="model", bind="query-params", accept_new_options=True,
    )  # fmt: skip
    margin_points = middle.number_input(
        "Margin, points", 0.1, 50.0, 2.0, 0.5, key="margin", bind="query-params",
        help="Largest acceptable loss; for units other than %, as a percentage of the first run's score.",
    )  # fmt: skip
    against = right.segmented_control(
        "Compare with", BASELINES, default=BASELINES[1], key="against", bind="query-params",
        help="The gate pairs the two runs sample by sample at alpha 0.05; missing outcomes count against the later run.",
    )  # fmt: skip
    histories = history.histories(index.entries, model or "")
    if not histories:
        st.info("No benchmark runs of this model (sample items are not shown).", icon=":material/info:")
        st.stop()
    labels = [suite_history.label for suite_history in histories]
    selected = st.multiselect(
        "Suites", labels, default=labels[:MAX_DEFAULT_SUITES], key="line", bind="query-params"
    )
    for suite_history in histories:
        if suite_history.label in selected:
            draw_history(suite_history, margin_points / 100, against or BASELINES[1])
    state.list_broken_runs(index.broken)


main()
