"""Leaderboard: models by suites, each number with its interval and what it rests on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import streamlit as st

from evals.dashboard import downloads as files
from evals.dashboard import state
from evals.dashboard.choice import Choice, columns_of, protocols_of, recent, rows_of
from evals.dashboard.foreign import text as safe
from evals.dashboard.tables import frames
from evals.dashboard.tables import reported as claimed
from evals.dashboard.tables import significance as ties
from evals.dashboard.tables import styling as heat
from evals.dashboard.tables.leaderboard import Board, Cell, Row, build, mean, mean_refused
from evals.dashboard.tables.models import SIZES
from evals.errors import EvalsError

HARMLESS = re.compile(r"[A-Za-z0-9.~-]+")
MOST = 12  # columns that are shown unless the reader asks for more


def choose(board: Board) -> Choice:
    """Draw the filters; their state is in the URL."""
    top = st.columns([2, 3, 3, 1], vertical_alignment="bottom")
    kind = top[0].segmented_control(
        "Suites", ["all", "general", "science"], default="all", key="kind", bind="query-params",
        help="General ability, or science, as the Intern-S1 papers divide them.",
    )  # fmt: skip
    known = protocols_of(board)
    usual = known if len(board.columns) <= MOST else known[:1]
    protocols = top[1].pills(
        "Protocols", known, selection_mode="multi", default=usual, key="protocol", bind="query-params",
        format_func=lambda name: name if HARMLESS.fullmatch(name) else safe.label(name),
        help="Ways of asking and scoring. Numbers of different protocols never share a column.",
    )  # fmt: skip
    with top[3].popover("More", icon=":material/tune:", width="stretch"):
        choice = more(board, Choice(kind=kind or "all", protocols=tuple(protocols)))
    names = choice.columns or columns_of(board, choice)[:MOST]
    rank = top[2].selectbox(
        "Rank by", names, key="rank", bind="query-params",
        help="Models are ordered by this column, and paired sample by sample to say which cannot be told apart.",
    )  # fmt: skip
    first = [rank] if rank else []
    return choice._replace(columns=(*first, *(name for name in names if name != rank)), rank=rank or "")


def more(board: Board, choice: Choice) -> Choice:
    """Draw the filters that not everybody needs."""
    has_real = any(not column.sample for column in board.columns.values())
    sample = st.toggle(
        "Sample items too", value=not has_real, key="sample", bind="query-params",
        help="Runs on the dozen bundled items of a suite: no benchmark scores.",
    )  # fmt: skip
    choice = choice._replace(sample=sample)
    weights = st.segmented_control(
        "Weights", ["all", "open", "closed"], default="all", key="weights", bind="query-params"
    )
    sizes = st.pills("Parameters", SIZES, selection_mode="multi", key="size", bind="query-params")
    since = st.date_input("Run since", value=None, key="since", bind="query-params", format="YYYY-MM-DD")
    choice = choice._replace(weights=weights or "all", sizes=tuple(sizes), since=since)
    offered = columns_of(board, choice)
    columns = st.multiselect(
        "Columns", offered, key="columns", bind="query-params", placeholder=f"the first {MOST}"
    )
    pinned = st.multiselect(
        "Pinned models", [row.label for row in rows_of(board, choice)], key="pin", bind="query-params",
        placeholder="none: kept at the top",
    )  # fmt: skip
    averaged = st.multiselect(
        "Mean over", columns or offered, key="mean", bind="query-params", placeholder="no mean",
        help="A mean is shown only for models that are measured on all of these.",
    )  # fmt: skip
    return choice._replace(columns=tuple(columns), pinned=tuple(pinned), averaged=tuple(averaged))


def ordered(board: Board, choice: Choice) -> list[Row]:
    """Order the rows: pinned ones, then by the ranked column, then what it does not have, baselines last."""
    place = {row: i for i, row in enumerate(board.column(choice.rank))} if choice.rank else {}
    return sorted(
        rows_of(board, choice),
        key=lambda row: (row.label not in choice.pinned, row.baseline, place.get(row, len(place)), row.label),
    )


def ranked(board: Board, choice: Choice) -> ties.Ties:
    """Compare the models of the ranked column, and say in a sentence what came of it."""
    shown = {row: cell.entry for row, cell in board.column(choice.rank).items() if cell.entry}
    kept = set(rows_of(board, choice))
    shown = {row: entry for row, entry in shown.items() if row in kept}
    try:
        with st.spinner("Comparing all pairs of models, sample by sample ..."):
            found = ties.ties(board.columns[choice.rank], shown)
    except EvalsError as error:
        found = ties.Ties((), 0, 0, str(error))
    if len(shown) > 1:
        how = (
            f" Paired on {found.n:,} samples, Holm over {found.pairs} {'pair' if found.pairs == 1 else 'pairs'} at 5 %."
            if found.pairs
            else ""
        )
        st.markdown(f"**Ranked by** {safe.label(choice.rank)}: {safe.literal(ties.sentence(found))}{how}")
    return found


def table(board: Board, choice: Choice, rows: Sequence[Row], found: heat.Table) -> None:
    """Draw the table; a chosen cell opens below."""
    event = st.dataframe(
        heat.styled(found, dark=state.dark()),
        hide_index=True, height="content" if len(found.words) <= 22 else 800, placeholder="",
        column_config=headings(board, choice), key="table", on_select="rerun", selection_mode="single-cell",
        alt="Leaderboard: models by suites",
    )  # fmt: skip
    cells = event["selection"]["cells"]
    position, name = cells[0] if cells else (len(rows), "")
    row = rows[position] if position < len(rows) else None
    cell = board.cells.get((row, str(name))) if row else None
    if row and cell:
        detail(board, row, str(name), cell)
    else:
        st.caption("Choose a number to see what it rests on, and to go to its samples.")


def headings(board: Board, choice: Choice) -> dict[str, Any]:
    """Name the columns, with a sentence on hover."""
    column = st.column_config.Column
    found: dict[str, Any] = {
        heat.MODEL: column("model", pinned=True, width="medium"),
        heat.RANK: column(
            "rank",
            width=70,
            help="Place in the first column; a range where differences are not shown. Models that share a letter cannot "
            "be told apart.",
        ),
        heat.MEAN: column("mean, %", help="Over the suites chosen under More, with its joint interval."),
    }
    for label in choice.columns:
        one = board.columns[label]
        arrow = "" if one.better == "higher" else " ↓"
        heading = label if one.unit == "fraction" else f"{label}, {one.unit}"
        said = f"{one.metric} in {heat.unit(one.unit)}, {one.better} is better; protocol {one.protocol}, version {one.version}"
        found[label] = column(f"{heading}{arrow}", help=safe.label(said, 400))
    return found


def detail(board: Board, row: Row, name: str, cell: Cell) -> None:
    """Draw what one number rests on, and the ways on from it."""
    one, column = cell.estimate, board.columns[name]
    with st.container(border=True):
        st.markdown(f"**{safe.label(row.label)}** on {safe.label(name)}")
        facts = st.columns(5)
        facts[0].metric(safe.label(f"{one.metric}, {heat.unit(one.unit)}"), heat.plain(one.value, one.unit))
        facts[1].metric("95 % interval", heat.span(one.low, one.high, one.unit), help=safe.label(one.method))
        facts[2].metric(
            "rests on", f"{one.n:,}", help=f"sample-repeats in {one.clusters:,} independent clusters"
        )
        facts[3].metric("coverage", f"{100 * cell.coverage:.1f} %", help="scored of expected sample-repeats")
        facts[4].metric(
            "worst to best case", heat.span(one.worst, one.best, one.unit), help="with what is missing"
        )
        if cell.runs > 1:
            st.caption(f"The newest of {cell.runs} runs.")
        for claim in claimed.of(claimed.load(state.results()), row.model, column):
            st.caption(f"Published, not measured here: {safe.label(claimed.said(claim), 600)}")
        if cell.entry:
            card = cell.entry.card
            links = st.columns(4)
            where = {"run": card.run, "suite": column.suite}
            with links[0]:
                state.link("suite", "Groups and hard items", **where)
            with links[1]:
                state.link("sample", "Samples that it got wrong", verdict="wrong", **where)
            with links[2]:
                state.link("runs", "How it was run", **where)
            with links[3]:
                state.link("history", "Its history", model=row.model)


def averages(board: Board, choice: Choice, rows: Sequence[Row]) -> None:
    """Say what the mean is of, or why there is none."""
    if not choice.averaged:
        return
    if refused := mean_refused(board, choice.averaged):
        st.warning(f"No mean: {refused}")
        return
    without = [row.label for row in rows if not row.baseline and mean(board, row, choice.averaged) is None]
    missing = (
        f"Not measured on all of them: {', '.join(without[:5])}{' ...' if len(without) > 5 else ''}."
        if without
        else ""
    )
    st.caption(
        f"Mean of {safe.literal(', '.join(choice.averaged))}, with its joint 95 % interval. {safe.literal(missing)}"
    )


def take_away(board: Board, choice: Choice, rows: Sequence[Row], found: heat.Table) -> None:
    """Offer what is shown as files, made when they are asked for."""
    frame = files.tidy(board, rows, choice.columns)
    offers = {
        "CSV": ("csv", "text/csv", lambda: files.csv(frame)),
        "Parquet": ("parquet", "application/vnd.apache.parquet", lambda: files.parquet(frame)),
        "PNG": ("png", "image/png", lambda: picture(found)),
    }
    with st.container(horizontal=True):
        for name, (ending, kind, make) in offers.items():
            st.download_button(
                name, make, f"leaderboard.{ending}", kind, icon=":material/download:", on_click="ignore",
                help=f"What the table shows, as {name}; fractions are fractions.",
            )  # fmt: skip


def picture(found: heat.Table) -> bytes:
    """Draw the table as a picture."""
    from evals.dashboard.charts import (
        figures as charts,  # Altair takes a second to load, and the page needs it for nothing else
    )

    return charts.png(charts.board(found.words, found.colours))


def published(board: Board, choice: Choice) -> None:
    """Draw what others published on the suites shown: apart, without colours and ranks."""
    try:
        frame = claimed.table(
            claimed.load(state.results()), (board.columns[name].suite for name in choice.columns)
        )
    except EvalsError as error:
        st.warning(safe.label(error, 2000))
        return
    st.subheader("Published elsewhere")
    if frame.empty:
        st.caption("No published number of these suites is known.")
        return
    st.caption(
        "Claims, not measured here: no interval, no count, and where the protocol is not stated nobody can say what they "
        "may be compared with. Sources and dates: results/claims."
    )
    st.dataframe(frame, hide_index=True, placeholder="", alt="Published numbers: models by suites")


def main() -> None:
    """Draw the page."""
    st.title("Leaderboard")
    found = frames.index(state.results())
    if not found.entries and not found.broken:
        state.nothing(
            "There is no run in this results folder yet.", "evals run mmlu-pro gpqa aime --sample -m smollm2"
        )
    board = build(found.entries)
    if not board.columns:
        state.broken(found.broken)
        state.nothing("No run has a number yet; the page Runs shows those at work.", "evals show")
    choice = choose(board)
    if choice.since:
        board = build(entry for entry in found.entries if recent(entry.card.started, choice))
    if choice.rank not in board.columns:
        st.info("No run fits these filters.", icon=":material/filter_alt:")
        st.stop()
    choice = choice._replace(columns=tuple(name for name in choice.columns if name in board.columns))
    rows = ordered(board, choice)
    places = ranked(board, choice)
    shown = heat.table(board, choice, rows, places)
    table(board, choice, rows, shown)
    averages(board, choice, rows)
    take_away(board, choice, rows, shown)
    published(board, choice)
    state.broken(found.broken)


main()
