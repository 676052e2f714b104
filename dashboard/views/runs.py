"""Runs: what is at work, where a number comes from, what it cost."""

from __future__ import annotations

import time

import pandas as pd
import streamlit as st

from evals.dashboard import state
from evals.dashboard.charts import figures as charts
from evals.dashboard.foreign import text as safe
from evals.dashboard.tables import frames, provenance
from evals.dashboard.tables import runs as effort
from evals.dashboard.tables import styling as heat
from evals.dashboard.tables.frames import Entry
from evals.dashboard.tables.leaderboard import build, figure
from evals.errors import EvalsError
from evals.labels import Failed
from evals.records.card import Card
from evals.records.store import read_card

STALE_S = 600  # seconds without a record after which a running run is said to be silent


@st.fragment(run_every="3s")
def at_work() -> None:
    """Draw the runs that are growing; drawn again every three seconds."""
    running = [entry for entry in frames.index(state.results()).entries if entry.card.status == "running"]
    for entry in running:
        try:
            live(entry)
        except EvalsError as error:
            st.warning(safe.label(error, 600))
    if not running:
        st.caption("No run is at work.")


def live(entry: Entry) -> None:
    """Draw one growing run."""
    found = effort.progress(entry)
    card = entry.card
    share = min(1.0, found.done / found.expected) if found.expected else 0.0
    with st.container(border=True):
        st.progress(
            share,
            f"**{safe.label(card.config.suite)}** ({safe.label(card.config.protocol)}) by {safe.label(card.model)}: "
            f"{found.done:,} of {found.expected:,} records, {100 * share:.1f} %",
        )
        health(card)
        silent = time.time() - (found.last or card.started)
        if silent > STALE_S:
            st.caption(
                f"No record for {provenance.duration(silent)}: if it was interrupted, the same command goes on."
            )
        failed = sum(n for name, n in found.verdicts.items() if Failed.parse(name))
        st.caption(f"{found.output_tokens:,} output tokens, {failed:,} failures so far.")
        table = effort.curve(entry.path)
        if not table.empty:
            st.altair_chart(charts.curve(table, dark=state.dark()), alt="Running mean with its interval")
            st.caption(
                "Running mean with a 95 % band that would hold after every record if samples came in random order. The longest are asked "
                "first, so it is a preview: not to be quoted before the run ends."
            )


def health(card: Card) -> None:
    """Say what looks broken about a run."""
    for found in card.health:
        if found.fault:
            st.error(f"This run looks broken: {safe.label(found.message, 600)}", icon=":material/error:")
        else:
            st.warning(safe.label(found.message, 600), icon=":material/warning:")


def listed(entries: list[Entry]) -> Entry | None:
    """Draw all runs, the newest first; returns the chosen one."""
    rows = [described(entry) for entry in entries]
    event = st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        placeholder="",
        key="runs",
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "started": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm", help="UTC"),
            "coverage": st.column_config.NumberColumn(
                format="%.1f %%", help="Scored of expected sample-repeats."
            ),
            "cost": st.column_config.NumberColumn(
                format="%.2f USD", help="Empty where the price is not known."
            ),
            "output tokens": st.column_config.NumberColumn(format="localized"),
        },
        alt="Runs, the newest first",
    )
    chosen = event["selection"]["rows"]
    if chosen:
        return entries[chosen[0]]
    named = st.query_params.get("run", "")
    return next(
        (
            e
            for e in entries
            if e.card.run == named and st.query_params.get("suite", "") in ("", e.card.config.suite)
        ),
        None,
    )


def described(entry: Entry) -> dict[str, object]:
    """Return one run as a row."""
    card, one = entry.card, entry.headline
    return {
        "started": pd.Timestamp(card.started, unit="s"),
        "suite": card.config.suite,
        "protocol": card.config.protocol,
        "model": card.model,
        "status": card.status,
        "score": f"{figure(one.value, one.low, one.high, one.unit)} {heat.unit(one.unit)}" if one else "",
        "coverage": 100 * card.coverage,
        "output tokens": card.tokens.get("output"),
        "cost": card.cost_usd,
        "run": card.run,
    }


def card_of(entry: Entry) -> None:
    """Draw the provenance of a run."""
    card = entry.card
    st.subheader("Provenance")
    st.markdown(f"**{safe.label(card.run)}**: {safe.label(card.config.suite)} by {safe.label(card.model)}")
    health(card)
    st.code(provenance.command(card), language="sh", wrap_lines=True)
    st.caption("This command makes the run again." + (
        " MIRROR is the folder of local data, which a card does not name." if card.data == "local" else ""
    ))  # fmt: skip
    numbers = st.columns(4)
    numbers[0].metric("input tokens", f"{card.tokens.get('input', 0):,}" if card.tokens else "not known")
    numbers[1].metric("output tokens", f"{card.tokens.get('output', 0):,}" if card.tokens else "not known")
    cost = "not known" if card.cost_usd is None else f"{card.cost_usd:.2f} USD"
    numbers[2].metric(
        "cost", cost, help=f"At prices of {card.price_date}." if card.price_date else "No price is known."
    )
    length = card.finished - card.started if card.finished else None
    numbers[3].metric("took", provenance.duration(length), help="From start to end, pauses included.")
    counts = pd.DataFrame(
        sorted(card.counts.items(), key=lambda item: -item[1]), columns=["outcome", "sample-repeats"]
    )
    left, right = st.columns([3, 2])
    left.dataframe(
        pd.DataFrame(provenance.facts(read_card(entry.path)), columns=["what", "value"]), hide_index=True
    )
    right.dataframe(counts, hide_index=True)
    links = st.columns(3)
    where = {"run": card.run, "suite": card.config.suite}
    for place, (page, said) in zip(
        links,
        (("suite", "Groups and hard items"), ("sample", "Its samples"), ("history", "History of the model")),
        strict=True,
    ):
        with place:
            state.link(page, said, **({"model": card.model} if page == "history" else where))


def trade(entries: list[Entry]) -> None:
    """Draw accuracy against effort."""
    st.subheader("Score against effort")
    board = build(entries)
    names = [name for name in board.columns if len(board.column(name)) > 1]
    if not names:
        st.caption("No suite has two models to set against each other.")
        return
    left, right = st.columns([3, 2])
    name = left.selectbox("Suite and protocol", names, key="column", bind="query-params")
    kind = right.segmented_control(
        "Effort", list(effort.EFFORTS), default="tokens", key="effort", bind="query-params"
    )
    title, column = effort.EFFORTS[kind or "tokens"]
    one = board.columns[name]
    table = effort.efforts(board, name)
    known = effort.front(table, column, better=one.better)
    if known.empty:
        st.info(
            f"None of these runs says its {title}: what was imported often does not.", icon=":material/info:"
        )
        return
    st.altair_chart(
        charts.pareto(known, column, (title, heat.unit(one.unit)), dark=state.dark()),
        alt=f"Score on {name} against {title}",
    )
    missing = sorted(set(table["model"]) - set(known["model"]))
    said = f" Not known of {', '.join(missing)}." if missing else ""
    st.caption(f"Filled: no other model is both better and cheaper.{safe.literal(said)}")


def main() -> None:
    """Draw the page."""
    st.title("Runs")
    found = frames.index(state.results())
    if not found.entries and not found.broken:
        state.nothing("There is no run in this results folder yet.", "evals run mmlu-pro --sample -m smollm2")
    at_work()
    state.broken(found.broken)
    entries = sorted(found.entries, key=lambda entry: -entry.card.started)
    st.subheader(f"{len(entries):,} runs")
    used = effort.totals(entries)
    st.caption(
        f"Together {used['input']:,} input and {used['output']:,} output tokens; {used['cost']:,.2f} USD for the "
        f"{used['priced']:,} runs whose price is known. Choose a run to see where it comes from."
    )
    chosen = listed(entries)
    if chosen:
        card_of(chosen)
    trade(list(found.entries))


main()
