"""The Runs page: progress of active runs, a list with filters, run details, and score against cost."""

from __future__ import annotations

import time
from collections.abc import Callable

import pandas as pd
import streamlit as st

from evals.board.trust import promise_state
from evals.dashboard import state
from evals.dashboard.charts import figures as charts
from evals.dashboard.tables import frames, provenance, styling
from evals.dashboard.tables import runs as run_tables
from evals.dashboard.tables.frames import Entry
from evals.dashboard.tables.leaderboard import Board, build
from evals.dashboard.untrusted import text as safe
from evals.dashboard.views import pickers
from evals.errors import EvalsError
from evals.plain import count_of, format_with_interval
from evals.records.card import Card
from evals.records.promise import promise_status
from evals.records.store import read_card
from evals.run.progress import duration_text

STALE_S = 600  # seconds without a record after which an active run is reported as possibly interrupted
MAX_ROWS = 26  # above which the table scrolls


@st.fragment(run_every="3s")
def draw_active_runs() -> None:
    """Draw the active runs, updated every three seconds."""
    active_entries = [
        entry for entry in frames.index(state.results()).entries if entry.card.status == "running"
    ]
    for entry in active_entries:
        try:
            draw_active_run(entry)
        except EvalsError as error:
            st.warning(safe.label(error, 600))
    if not active_entries:
        st.caption("No active runs.")


def draw_active_run(entry: Entry) -> None:
    """Draw the progress of an active run."""
    progress = run_tables.progress(entry)
    card = entry.card
    share = min(1.0, progress.done / progress.expected) if progress.expected else 0.0
    with st.container(border=True):
        st.progress(
            share,
            f"**{safe.label(card.config.suite)}** ({safe.label(card.config.protocol)}) by {safe.label(card.model)}: "
            f"{progress.done:,} of {progress.expected:,} records, {100 * share:.1f} %",
        )
        state.draw_health(card)
        silence_s = time.time() - (progress.last_started or card.started)
        if silence_s > STALE_S:
            st.caption(
                f"No record for {duration_text(silence_s)}: if the run was interrupted, repeat its command to resume it."
            )
        failures = sum(n for name, n in progress.verdicts.items() if name.startswith("failed:"))
        st.caption(f"{progress.output_tokens:,} output tokens, {count_of(failures, 'failure')} so far.")
        table = run_tables.running_mean(entry)
        if not table.empty:
            state.draw_chart(
                charts.running_mean(table, dark=state.is_dark()), alt="Running mean with its interval"
            )
            st.caption(
                "Running mean with a 95 % confidence sequence, which would be valid at all times if samples were in random order. "
                "Samples with long replies are sent first, so this is only a preview and should not be quoted."
            )


def draw_filters(entries: list[Entry]) -> list[Entry]:
    """Draw the filters of the list, and return the matching runs."""
    choices: dict[str, tuple[str, Callable[[Entry], str]]] = {
        "model": ("Model", lambda entry: entry.card.model),
        "on": ("Suite", lambda entry: entry.card.config.suite),
        "protocol": ("Protocol", lambda entry: entry.card.config.protocol),
        "status": ("Status", lambda entry: entry.card.status),
    }
    for cell, (param, (label, get_value)) in zip(st.columns(4), choices.items(), strict=True):
        names = sorted({get_value(entry) for entry in entries})
        with cell:
            selected = pickers.select_one(
                param, label, ["", *names], format_func=lambda name: safe.visible(name) or "any"
            )
        entries = [entry for entry in entries if selected in ("", get_value(entry))]
    return entries


def draw_run_list(entries: list[Entry]) -> Entry | None:
    """Draw the list of runs, newest first; return the run that a click or the URL selects."""
    column, number = st.column_config.Column, st.column_config.NumberColumn
    selected = state.draw_table(
        pd.DataFrame([run_row(entry) for entry in entries]).dropna(axis=1, how="all"), alt="Runs, newest first", key="runs",
        height="content" if len(entries) < MAX_ROWS else 35 * MAX_ROWS,
        column_config={
            "started": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm", help="UTC"),
            "score": column(alignment="right"),
            "coverage": number(format="%.1f %%", help="Share of expected samples and repeats that are scored."),
            "cost": number(format="%.2f USD", help="Empty if the price is unknown."),
            "output tokens": number(format="localized"),
        },
    )  # fmt: skip
    if selected is not None:
        return entries[selected]
    run, suite = st.query_params.get("run", ""), st.query_params.get("suite", "")
    suite_entries = (entry for entry in entries if suite in ("", entry.card.config.suite))
    return next((entry for entry in suite_entries if run in (entry.name, entry.card.run)), None)


def run_row(entry: Entry) -> dict[str, object]:
    """Return a run as a row of the list."""
    card, headline = entry.card, entry.headline
    number = (
        format_with_interval(headline.value, headline.low, headline.high, headline.unit) if headline else ""
    )
    return {
        "started": pd.Timestamp(card.started, unit="s"),
        "suite": card.config.suite,
        "protocol": card.config.protocol,
        "model": card.model,
        "status": card.status,
        "score": f"{number} {styling.unit_symbol(headline.unit)}" if headline and number else "",
        "coverage": 100 * card.coverage,
        "promise": promise_state(promise_status(card)) if card.promise else None,
        "challenge": entry.challenge.valid_verdict if entry.challenge else None,
        "output tokens": card.tokens.get("output"),
        "cost": card.cost_usd,
        "run": card.run,
    }


def _draw_cost(card: Card) -> None:
    duration = duration_text(card.finished - card.started) if card.finished else "unknown"
    price_note = f"At prices of {card.price_date}." if card.price_date else "The price is unknown."
    metrics = (
        ("input tokens", f"{card.tokens.get('input', 0):,}" if card.tokens else "unknown", None),
        ("output tokens", f"{card.tokens.get('output', 0):,}" if card.tokens else "unknown", None),
        ("cost", "unknown" if card.cost_usd is None else f"{card.cost_usd:.2f} USD", price_note),
        ("duration", duration, "From start to end, including pauses."),
    )
    with st.container(horizontal=True):
        for label, value, tooltip in metrics:
            st.metric(label, value, help=tooltip, width=172)


def draw_details(entry: Entry) -> None:
    """Draw provenance and cost of a run."""
    card = entry.card
    st.header("Run details", anchor=False)
    st.markdown(f"**{safe.label(card.run)}**: {safe.label(card.config.suite)} by {safe.label(card.model)}")
    state.draw_health(card)
    state.draw_trust(entry)
    st.code(provenance.command(card), language=None, wrap_lines=True)
    mirror_note = " MIRROR stands for the folder of local data." if card.data == "local" else ""
    fresh_note = " Add `--fresh` to start a new run; otherwise the finished one is reused."
    st.caption(f"Command that repeats the run.{fresh_note if card.origin == 'run' else ''}{mirror_note}")
    _draw_cost(card)
    counts = pd.DataFrame(sorted(card.counts.items(), key=lambda item: -item[1]), columns=["outcome", "n"])
    left, right = st.columns([3, 2])
    left.dataframe(
        pd.DataFrame(provenance.facts(read_card(entry.path)), columns=["fact", "value"]),
        hide_index=True,
        column_config={
            "fact": st.column_config.Column(width=100),
            "value": st.column_config.Column(width=560),
        },
    )
    right.dataframe(counts, hide_index=True)
    link_params = {"run": entry.name, "suite": card.config.suite}
    with st.container(horizontal=True):
        state.draw_link("suite", "Groups and hard items", **link_params)
        state.draw_link("sample", "Samples", **link_params)
        state.draw_link("history", "History of the model", model=card.model)


def draw_score_vs_cost(board: Board) -> None:
    """Draw score against cost, by default for the column with the most known costs."""
    st.header("Score vs. cost", anchor=False)
    labels = [label for label in board.columns if len(board.model_cells(label)) > 1]
    if not labels:
        st.caption("No suite has scores of two models.")
        return
    left, right = st.columns([3, 2])
    cost_name = right.segmented_control(
        "Cost", list(run_tables.COSTS), default="tokens", key="effort", bind="query-params"
    )
    title, cost_column = run_tables.COSTS[cost_name or "tokens"]
    known_counts = [run_tables.count_known_costs(board, label, cost_name or "tokens") for label in labels]
    default_index = known_counts.index(max(known_counts))
    label = left.selectbox(
        "Suite and protocol", labels, index=default_index, key="column", bind="query-params"
    )
    score_column = board.columns[label]
    table = run_tables.costs(board, label)
    pareto_table = run_tables.pareto(table, cost_column, better=score_column.better)
    if pareto_table.empty:
        st.info(
            f"The cost of these runs ({title}) is unknown, as for many imported runs.", icon=":material/info:"
        )
        return
    chart = charts.pareto(
        pareto_table,
        cost_column,
        (title, f"{score_column.metric}, {styling.unit_symbol(score_column.unit)}"),
        dark=state.is_dark(),
    )
    state.draw_chart(chart, alt=f"Score on {label} against {title}")
    missing = sorted(set(table["model"]) - set(pareto_table["model"]))
    missing_note = f" Unknown for {', '.join(missing)}." if missing else ""
    st.caption(
        f"Pareto-optimal: no other model is as good at the same or a lower cost.{safe.literal(missing_note)}"
    )


def main() -> None:
    """Draw the page."""
    st.title("Runs", anchor=False)
    index = frames.index(state.results())
    if not index.entries and not index.broken:
        state.stop_with_hint("This results folder has no runs yet.", "evals run mmlu-pro --sample -m smollm2")
    draw_active_runs()
    state.list_broken_runs(index.broken)
    entries = sorted(index.entries, key=lambda entry: -entry.card.started)
    matching_entries = draw_filters(entries)
    match_count = "" if len(matching_entries) == len(entries) else f"{len(matching_entries):,} of "
    st.header(f"{match_count}{count_of(len(entries), 'run')}", anchor=False)
    totals = run_tables.totals(matching_entries)
    texts = []
    if totals["output"]:
        texts.append(f"{totals['input']:,} input and {totals['output']:,} output tokens")
    if totals["priced"]:
        texts.append(
            f"{totals['cost']:,.2f} USD for {count_of(int(totals['priced']), 'run')} with a known price"
        )
    total_text = f"Total: {'; '.join(texts)}. " if texts else ""
    st.caption(f"{total_text}Select a run for its details.")
    selected_entry = draw_run_list(matching_entries) if matching_entries else None
    if not matching_entries:
        st.info("No run matches these filters.", icon=":material/filter_alt:")
    if selected_entry:
        draw_details(selected_entry)
    draw_score_vs_cost(build(index.entries))


main()
