"""Runs: active ones with their progress, a list with filters, run details, and score against cost."""

from __future__ import annotations

import time
from collections.abc import Callable

import pandas as pd
import streamlit as st

from evals.board.trust import promise_state
from evals.dashboard import state
from evals.dashboard.charts import figures as charts
from evals.dashboard.foreign import text as safe
from evals.dashboard.tables import frames, provenance, styling
from evals.dashboard.tables import runs as costs
from evals.dashboard.tables.frames import Entry
from evals.dashboard.tables.leaderboard import Board, build
from evals.dashboard.tables.statistics import figure
from evals.dashboard.views import pickers
from evals.errors import EvalsError
from evals.records.card import Card
from evals.records.promise import promise_standing
from evals.records.store import read_card

STALE_S = 600  # seconds without a record after which an active run may have been interrupted
TALL = 26  # rows from which on the table scrolls


@st.fragment(run_every="3s")
def active() -> None:
    """Draw the runs that are growing; drawn again every three seconds."""
    running = [entry for entry in frames.index(state.results()).entries if entry.card.status == "running"]
    for entry in running:
        try:
            live(entry)
        except EvalsError as error:
            st.warning(safe.label(error, 600))
    if not running:
        st.caption("No active runs.")


def live(entry: Entry) -> None:
    """Draw one growing run."""
    progress = costs.progress(entry)
    card = entry.card
    share = min(1.0, progress.done / progress.expected) if progress.expected else 0.0
    with st.container(border=True):
        st.progress(
            share,
            f"**{safe.label(card.config.suite)}** ({safe.label(card.config.protocol)}) by {safe.label(card.model)}: "
            f"{progress.done:,} of {progress.expected:,} records, {100 * share:.1f} %",
        )
        state.health(card)
        silent = time.time() - (progress.last or card.started)
        if silent > STALE_S:
            st.caption(
                f"No record for {provenance.duration(silent)}: if it was interrupted, the same command resumes it."
            )
        failed = sum(n for name, n in progress.verdicts.items() if name.startswith("failed:"))
        st.caption(f"{progress.output_tokens:,} output tokens, {failed:,} failures so far.")
        table = costs.curve(entry)
        if not table.empty:
            state.chart(charts.curve(table, dark=state.dark()), alt="Running mean with its interval")
            st.caption(
                "Running mean with a 95 % band that would hold after every record if samples came in random order. The "
                "longest are sent first, so this is a preview: not to be quoted before the run ends."
            )


def filtered(entries: list[Entry]) -> list[Entry]:
    """Draw the filters of the list; returns the runs that they keep."""
    choices: dict[str, tuple[str, Callable[[Entry], str]]] = {
        "model": ("Model", lambda entry: entry.card.model),
        "on": ("Suite", lambda entry: entry.card.config.suite),
        "protocol": ("Protocol", lambda entry: entry.card.config.protocol),
        "status": ("Status", lambda entry: entry.card.status),
    }
    for cell, (param, (label, read)) in zip(st.columns(4), choices.items(), strict=True):
        names = sorted({read(entry) for entry in entries})
        with cell:
            chosen = pickers.select_one(
                param, label, ["", *names], say=lambda name: safe.visible(name) or "any"
            )
        entries = [entry for entry in entries if chosen in ("", read(entry))]
    return entries


def listed(entries: list[Entry]) -> Entry | None:
    """Draw all runs, the newest first; returns the chosen one."""
    column, number = st.column_config.Column, st.column_config.NumberColumn
    event = st.dataframe(
        pd.DataFrame([described(entry) for entry in entries]).dropna(axis=1, how="all"),
        hide_index=True, placeholder="", key="runs", on_select="rerun", selection_mode="single-row",
        height="content" if len(entries) < TALL else 35 * TALL, alt="Runs, the newest first",
        column_config={
            "started": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm", help="UTC"),
            "score": column(alignment="right"),
            "coverage": number(format="%.1f %%", help="Scored of expected sample-repeats."),
            "cost": number(format="%.2f USD", help="Empty if the price is not known."),
            "output tokens": number(format="localized"),
        },
    )  # fmt: skip
    chosen = event["selection"]["rows"]
    if chosen:
        return entries[chosen[0]]
    run, suite = st.query_params.get("run", ""), st.query_params.get("suite", "")
    return next((e for e in entries if e.card.run == run and suite in ("", e.card.config.suite)), None)


def described(entry: Entry) -> dict[str, object]:
    """Return one run as a row."""
    card, head = entry.card, entry.headline
    number = figure(head.value, head.low, head.high, head.unit) if head else ""
    return {
        "started": pd.Timestamp(card.started, unit="s"),
        "suite": card.config.suite,
        "protocol": card.config.protocol,
        "model": card.model,
        "status": card.status,
        "score": f"{number} {styling.unit(head.unit)}" if head and number else "",
        "coverage": 100 * card.coverage,
        "promise": promise_state(promise_standing(card)) if card.promise else None,
        "challenge": entry.challenge.counted if entry.challenge else None,
        "output tokens": card.tokens.get("output"),
        "cost": card.cost_usd,
        "run": card.run,
    }


def _effort(card: Card) -> None:
    length = card.finished - card.started if card.finished else None
    priced = f"At prices of {card.price_date}." if card.price_date else "No price is known."
    facts = (
        ("input tokens", f"{card.tokens.get('input', 0):,}" if card.tokens else "not known", None),
        ("output tokens", f"{card.tokens.get('output', 0):,}" if card.tokens else "not known", None),
        ("cost", "not known" if card.cost_usd is None else f"{card.cost_usd:.2f} USD", priced),
        ("duration", provenance.duration(length), "From start to end, pauses included."),
    )
    with st.container(horizontal=True):
        for label, value, hint in facts:
            st.metric(label, value, help=hint, width=172)


def details(entry: Entry) -> None:
    """Draw provenance and cost of a run."""
    card = entry.card
    st.header("Run details", anchor=False)
    st.markdown(f"**{safe.label(card.run)}**: {safe.label(card.config.suite)} by {safe.label(card.model)}")
    state.health(card)
    state.trust(entry)
    st.code(provenance.command(card), language=None, wrap_lines=True)
    mirror = " MIRROR is the folder of local data, which is not on the card." if card.data == "local" else ""
    again = (
        " `--fresh` calls the model again; without it a finished run is reused."
        if card.origin == "run"
        else ""
    )
    st.caption(f"Command that repeats the run.{again}{mirror}")
    _effort(card)
    counts = pd.DataFrame(
        sorted(card.counts.items(), key=lambda item: -item[1]), columns=["outcome", "sample-repeats"]
    )
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
    run = {"run": card.run, "suite": card.config.suite}
    with st.container(horizontal=True):
        state.link("suite", "Groups and hard items", **run)
        state.link("sample", "Samples", **run)
        state.link("history", "History of the model", model=card.model)


def score_vs_cost(board: Board) -> None:
    """Draw score against cost, opened on a suite of which the cost is known."""
    st.header("Score vs. cost", anchor=False)
    names = [name for name in board.columns if len(board.column(name)) > 1]
    if not names:
        st.caption("No suite has two models to compare.")
        return
    left, right = st.columns([3, 2])
    kind = right.segmented_control(
        "Cost", list(costs.COSTS), default="tokens", key="effort", bind="query-params"
    )
    title, column = costs.COSTS[kind or "tokens"]
    known_of = [costs.known_models(board, name, kind or "tokens") for name in names]
    best = known_of.index(max(known_of))
    name = left.selectbox("Suite and protocol", names, index=best, key="column", bind="query-params")
    head = board.columns[name]
    table = costs.costs(board, name)
    known = costs.pareto(table, column, better=head.better)
    if known.empty:
        st.info(f"Not known of these runs: {title}. Imported runs often lack it.", icon=":material/info:")
        return
    chart = charts.pareto(
        known, column, (title, f"{head.metric}, {styling.unit(head.unit)}"), dark=state.dark()
    )
    state.chart(chart, alt=f"Score on {name} against {title}")
    missing = sorted(set(table["model"]) - set(known["model"]))
    rest = f" Not known of {', '.join(missing)}." if missing else ""
    st.caption(f"Pareto-optimal: no other model is both better and cheaper.{safe.literal(rest)}")


def main() -> None:
    """Draw the page."""
    st.title("Runs", anchor=False)
    index = frames.index(state.results())
    if not index.entries and not index.broken:
        state.empty_state(
            "There is no run in this results folder yet.", "evals run mmlu-pro --sample -m smollm2"
        )
    active()
    state.broken_runs(index.broken)
    entries = sorted(index.entries, key=lambda entry: -entry.card.started)
    kept = filtered(entries)
    of = "" if len(kept) == len(entries) else f" of {len(entries):,}"
    st.header(f"{len(kept):,}{of} {'run' if len(entries) == 1 else 'runs'}", anchor=False)
    used = costs.totals(kept)
    words = [f"{used['input']:,} input and {used['output']:,} output tokens"] if used["output"] else []
    if used["priced"]:
        words.append(f"{used['cost']:,.2f} USD for the {used['priced']:,} runs whose price is known")
    total = f"Together {'; '.join(words)}. " if words else ""
    st.caption(f"{total}Select a run for its details.")
    chosen = listed(kept) if kept else None
    if not kept:
        st.info("No run fits these filters.", icon=":material/filter_alt:")
    if chosen:
        details(chosen)
    score_vs_cost(build(index.entries))


main()
