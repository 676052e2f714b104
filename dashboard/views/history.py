"""History: one model's checkpoints over time, with the gate's verdict on each and what changed besides the model."""

from __future__ import annotations

from collections import Counter

import streamlit as st

from evals.dashboard import state
from evals.dashboard.charts import figures as charts
from evals.dashboard.foreign import text as safe
from evals.dashboard.tables import frames, history, styling
from evals.dashboard.tables.history import Against, Line

AGAINST: tuple[Against, ...] = ("the first", "the one before")
DRAWN = 3  # lines that are drawn unless the reader asks for more


def draw(line: Line, margin: float, against: Against) -> None:
    """Draw one suite under one protocol."""
    name, better = history.unit(line)
    st.header(safe.label(line.label), anchor=False)
    with st.spinner("Comparing each run, sample by sample ..."):
        table = history.table(
            line, margin=margin if name == "fraction" else margin_of(line, margin), against=against
        )
    if len(table) == 1:
        st.caption("One run so far: a line needs two.")
    else:
        state.chart(
            charts.history(table, styling.unit(name), dark=state.dark()),
            alt=f"Scores of {line.label} over time",
        )
    verdicts = Counter(verdict for verdict in table["verdict"] if verdict)
    counted = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
    st.caption(
        f"{len(table)} {'run' if len(table) == 1 else 'runs'} in {styling.unit(name)}, {better} is better; {counted or 'nothing to judge yet'}."
    )
    for row in table[table["changed"] != ""].to_dict("records"):
        st.caption(
            f"Changed on {row['started']:%Y-%m-%d}: {safe.label(row['changed'], 300)}. Scores before and after are not on one scale."
        )
    form = "%.1f" if name == "fraction" else "%.4g"
    st.dataframe(
        table.drop(columns="stretch"), hide_index=True, placeholder="", alt=f"Runs of {line.label}",
        column_config={
            "started": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm"),
            **{part: st.column_config.NumberColumn(format=form) for part in ("value", "low", "high")},
            "n": st.column_config.NumberColumn(format="localized"),
            "coverage": st.column_config.NumberColumn(format="%.1f %%"),
            "verdict": st.column_config.Column(help="pass, regression or inconclusive, as `evals gate` decides."),
        },
    )  # fmt: skip


def margin_of(line: Line, points: float) -> float:
    """Return a margin in the suite's own unit: that share of the first run's score."""
    head = line.entries[0].headline
    return points * abs(head.value or 1.0) if head else points


def main() -> None:
    """Draw the page."""
    st.title("History", anchor=False)
    index = frames.index(state.results())
    names = history.names(index.entries)
    if not names:
        state.broken_runs(index.broken)
        state.empty_state(
            "No benchmark run has a number yet; sample items have no history.",
            "evals run mmlu-pro -m smollm2",
        )
    typed = st.query_params.get("model", names[0])
    left, middle, right = st.columns([3, 2, 2], vertical_alignment="bottom")
    model = left.selectbox(
        "Model, or the beginning of its checkpoints' names", names if typed in names else [typed, *names],
        key="model", bind="query-params", accept_new_options=True,
    )  # fmt: skip
    points = middle.number_input(
        "Margin, points", 0.1, 50.0, 2.0, 0.5, key="margin", bind="query-params",
        help="Largest acceptable loss; if the unit is not %, in percent of the first run's score.",
    )  # fmt: skip
    against = right.segmented_control(
        "Compare with", AGAINST, default=AGAINST[1], key="against", bind="query-params",
        help="The gate pairs the two runs sample by sample at alpha 0.05; missing outcomes count against the later one.",
    )  # fmt: skip
    lines = history.lines(index.entries, model or "")
    if not lines:
        st.info(
            "No run of a benchmark by such a model; sample items have no history.", icon=":material/info:"
        )
        st.stop()
    labels = [line.label for line in lines]
    chosen = st.multiselect("Suites", labels, default=labels[:DRAWN], key="line", bind="query-params")
    for line in lines:
        if line.label in chosen:
            draw(line, points / 100, against or AGAINST[1])
    state.broken_runs(index.broken)


main()
