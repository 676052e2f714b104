"""Leaderboard: models by suites, each number with its interval, coverage and provenance."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from evals.dashboard import downloads, state
from evals.dashboard.choice import Choice, columns_of, protocols_of, recent, rows_of
from evals.dashboard.foreign import text as safe
from evals.dashboard.tables import frames, reported, significance, styling
from evals.dashboard.tables.frames import Index
from evals.dashboard.tables.leaderboard import Board, Cell, Row, build, row_of
from evals.dashboard.tables.models import SIZES
from evals.dashboard.tables.provenance import moment
from evals.dashboard.tables.statistics import mean, mean_refused
from evals.dashboard.tables.styling import Lines, Reported
from evals.errors import EvalsError
from evals.terminal.trust_marks import MEANINGS
from evals.verdicts.reported import Claim

HARMLESS = re.compile(r"[A-Za-z0-9.~-]+")
MOST = 12  # columns that are shown unless the reader asks for more
LEGEND = (
    "Beside each number is half its 95 % interval, and its coverage if below 100 %. Intervals and "
    "comparisons are about items like these (estimand items-like-these). **Colour is standing**: the stronger, the more "
    "models are significantly worse; equal shades are not significantly different. In the ranked column models are compared "
    "sample by sample, as evals compare does; in the others by their intervals, Holm-adjusted within the column."
)


# --- filters ------------------------------------------------------------------------------------------------


def filters(board: Board) -> Choice:
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
        help="Prompt, sampling and scoring rules. Numbers of different protocols never share a column.",
    )  # fmt: skip
    with top[3].popover("More", icon=":material/tune:", width="stretch"):
        choice = more_filters(board, Choice(kind=kind or "all", protocols=tuple(protocols)))
    names = choice.columns or columns_of(board, choice)[:MOST]
    rank = top[2].selectbox(
        "Rank by", names, key="rank", bind="query-params",
        help="Models are ordered by this column, and paired sample by sample to say which are not significantly different.",
    )  # fmt: skip
    first = [rank] if rank else []
    return choice._replace(columns=(*first, *(name for name in names if name != rank)), rank=rank or "")


def more_filters(board: Board, choice: Choice) -> Choice:
    """Draw the less common filters."""
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


def ordered(board: Board, choice: Choice, reported: Sequence[Reported]) -> Lines:
    """Return the rows in order: pinned ones, then by the ranked column, then those without a number there; baselines last."""
    sign = -1 if board.columns[choice.rank].better == "higher" else 1

    def key(line: Row | Reported) -> tuple[bool, bool, bool, float, str]:
        if isinstance(line, Reported):
            value, name, baseline = line.values.get(choice.rank), line.model, False
        else:
            cell = board.cells.get((line, choice.rank))
            value, name, baseline = cell.estimate.value if cell else None, line.label, line.baseline
        return name not in choice.pinned, baseline, value is None, sign * (value or 0.0), name

    return sorted([*rows_of(board, choice), *reported], key=key)


def ranked(board: Board, choice: Choice) -> significance.Ties:
    """Compare the models of the ranked column, and draw the result as a sentence."""
    kept = set(rows_of(board, choice))
    runs = {row: cell.entry for row, cell in board.column(choice.rank).items() if cell.entry and row in kept}
    try:
        with st.spinner("Comparing all pairs of models, sample by sample ..."):
            compared = significance.ties(board.columns[choice.rank], runs)
    except EvalsError as error:
        compared = significance.Ties((), (0, 0), 0, str(error))
    if len(runs) < 2:
        return compared
    fewest, most = compared.n
    samples = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
    pairs = f"{compared.pairs} {'pair' if compared.pairs == 1 else 'pairs'}"
    how = f" Paired on {samples} samples, Holm over {pairs} at 5 %." if compared.pairs else ""
    st.markdown(
        f"**Ranked by** {safe.label(choice.rank)}: {safe.literal(significance.sentence(compared))}{how}"
    )
    return compared


# --- the table ----------------------------------------------------------------------------------------------


def table(
    board: Board, choice: Choice, lines: Lines, shown: styling.Table
) -> tuple[Row | Reported, str] | None:
    """Draw the table; return the row and column selected by a click or in the URL (`?model=NAME&column=LABEL`)."""
    event = st.dataframe(
        styling.styled(shown, dark=state.dark()),
        hide_index=True, height="content" if len(shown.words) <= 22 else 800, placeholder="",
        column_config=hints(board, choice, shown), key="table", on_select="rerun", selection_mode="single-cell",
        alt="Leaderboard: models by suites",
    )  # fmt: skip
    cells = event["selection"]["cells"]
    if cells and cells[0][0] < len(lines):
        labels = {second: label for label, (_, second) in shown.heads.items()}
        return lines[cells[0][0]], labels.get(str(cells[0][1]), "")
    name = st.query_params.get("model")
    row = next((line for line in lines if isinstance(line, Row) and line.label == name), None)
    return (row, st.query_params.get("column", styling.MODEL)) if row else None


def hints(board: Board, choice: Choice, shown: styling.Table) -> dict[Any, Any]:
    """Return widths, and a sentence on hover for each head, by the column's position."""
    column = st.column_config.Column
    known = {
        styling.MODEL: column(pinned=True, width=min(262, _width(shown, styling.MODEL)), help="Choose a name for all that is known of the model."),
        styling.RANK: column(
            width=74, alignment="left",
            help="Place in the first column; a range if differences are not shown. Models that share a letter are not "
            "significantly different.",
        ),
        styling.MEAN: column(width=150, alignment="left", help="Over the suites chosen under More, with its joint interval."),
    }  # fmt: skip
    for label in choice.columns:
        head = board.columns[label]
        words = f"{head.metric} in {styling.unit(head.unit)}, {head.better} is better; protocol {head.protocol}, version {head.version}"
        # left, as on a phone only the left part of the ranked column is seen; `styled` aligns the decimal points
        known[label] = column(
            width=min(320, _width(shown, label)), alignment="left", help=safe.label(words, 400)
        )
    return {
        place + 1: known[label] for place, label in enumerate(shown.numbers.columns)
    }  # 0 is the hidden index


def _width(shown: styling.Table, label: str) -> int:
    """Return pixels that hold both lines of a head and every cell."""
    longest = max(map(len, (*shown.heads[label], *shown.words[label])))
    return 28 + round(6.8 * longest)


def legend(board: Board, choice: Choice) -> None:
    """Draw the legend of the table, with the marks that occur in it."""
    marks = board.marks(choice.columns)
    listed = "; ".join(f"**{mark}** {safe.literal(words)}" for mark, words in marks.items())
    st.caption(f"{LEGEND}{f' Marks: {listed}.' if listed else ''} Choose a number or a model for more.")


def averages(board: Board, choice: Choice) -> None:
    """Draw what the mean is over, or why there is none."""
    if not choice.averaged:
        return
    if refused := mean_refused(board, choice.averaged):
        st.warning(f"No mean: {refused}")
        return
    rows = [row for row in rows_of(board, choice) if not row.baseline]
    without = [row.label for row in rows if mean(board, row, choice.averaged) is None]
    more_ = " ..." if len(without) > 5 else ""
    missing = f"Not measured on all of them: {', '.join(without[:5])}{more_}." if without else ""
    names = safe.literal(", ".join(choice.averaged))
    st.caption(f"Mean of {names}, with its joint 95 % interval. {safe.literal(missing)}")


# --- one number, one model ----------------------------------------------------------------------------------


def detail(board: Board, row: Row, name: str, cell: Cell, claims: Sequence[Claim]) -> None:
    """Draw interval, coverage, notes and reported results of one number, and links to other pages."""
    estimate, column = cell.estimate, board.columns[name]
    with st.container(border=True):
        st.markdown(f"**{safe.label(row.label)}** on {safe.label(name)}")
        state.estimate(estimate, cell.coverage)
        marks = [words for mark, words in cell.marks.items() if mark not in MEANINGS]
        notes = [*marks, f"the newest complete of {cell.runs} runs" if cell.runs > 1 else ""]
        if any(notes):
            st.caption(safe.label("; ".join(filter(None, notes))))
        if cell.entry:
            state.trust(cell.entry)
        for claim in reported.of(claims, row.model, column):
            st.caption(f"Reported, not measured here: {safe.label(reported.sentence(claim), 600)}")
        if cell.entry:
            run = {"run": cell.entry.card.run, "suite": column.suite}
            with st.container(horizontal=True):
                state.link("suite", "Groups and hard items", **run)
                state.link("sample", "Wrong samples", verdict="wrong", **run)
                state.link("runs", "Run details", **run)
                state.link("history", "History", model=row.model)


def model_card(board: Board, index: Index, row: Row, claims: Sequence[Claim]) -> None:
    """Draw the card of one model: its numbers under every protocol, its runs, reported results."""
    facts = row.facts
    known = [
        "" if facts.open is None else "open weights" if facts.open else "closed weights",
        f"{facts.size_b:g}B parameters" if facts.size_b else "",
        f"{facts.active_b:g}B active" if facts.active_b else "",
    ]
    cells = {label: board.cells[row, label] for label in board.columns if (row, label) in board.cells}
    with st.container(border=True):
        st.markdown(f"**{safe.label(row.label)}** {safe.literal(', '.join(filter(None, known)))}")
        numbers = [
            {
                "suite and protocol": safe.visible(label), "measure": board.columns[label].measure,
                "score": styling.cell_words(cell), "n": cell.estimate.n, "runs": cell.runs,
                "run": cell.entry.card.run if cell.entry else "", "marks": "; ".join(cell.marks.values()),
            }
            for label, cell in cells.items()
        ]  # fmt: skip
        st.dataframe(
            pd.DataFrame(numbers), hide_index=True, alt="All numbers of the model",
            column_config={"score": st.column_config.Column(alignment="right"), "n": st.column_config.NumberColumn(format="localized")},
        )  # fmt: skip
        of_model = [
            claim for claim in claims if reported.same_model(claim.model, row.model) and not claim.superseded
        ]
        if of_model:
            with st.expander(f"{len(of_model)} reported results"):
                st.markdown("\n".join(f"- {safe.label(reported.sentence(claim), 600)}" for claim in of_model))
        runs = [entry for entry in index.entries if row_of(entry.card) == row]
        last = max((entry.card.started for entry in runs), default=None)
        with st.container(horizontal=True, vertical_alignment="center"):
            state.link("history", "History", model=row.model)
            state.link("runs", f"All {len(runs)} runs" if len(runs) != 1 else "Its run", model=row.model)
            st.caption(f"last run {moment(last)}" if last else "")


# --- reported results ---------------------------------------------------------------------------------------


def reported_results(board: Board, choice: Choice, claims: Sequence[Claim]) -> None:
    """Draw reported results on the suites shown: folded, without colours and ranks."""
    frame = reported.table(claims, (board.columns[name].suite for name in choice.columns))
    if frame.empty:
        return
    with st.expander(
        f"Reported results of {len(frame)} models, not measured here", icon=":material/campaign:"
    ):
        st.caption(
            "No interval and no count is known; if the protocol is not stated, they cannot be compared with "
            "anything. Sources and dates: results/claims. An accuracy over n items is k / n: *possible scores* says which "
            "printed numbers cannot be one, and what would explain them (`evals claims check --grid`)."
        )
        right = st.column_config.Column(alignment="right")
        st.dataframe(
            frame, hide_index=True, placeholder="", alt="Reported results: models by suites",
            column_config={
                **dict.fromkeys(frame.columns[2:], right),
                reported.GRID: st.column_config.TextColumn(width="medium"),
            },
        )  # fmt: skip


def reported_rows(board: Board, choice: Choice, claims: Sequence[Claim]) -> list[Reported]:
    """Draw the switch that adds reported results to the table; return their rows."""
    rows = reported.beside(claims, board, choice.columns)
    if not rows:
        return []
    on = st.toggle(
        f"Reported results of {len(rows)} models beside measured ones", key="reported", bind="query-params",
        help="Under the same suite, protocol and unit; without interval, colour and rank.",
    )  # fmt: skip
    return rows if on else []


def download_buttons(board: Board, choice: Choice, shown: styling.Table) -> None:
    """Offer the table as files, made when they are requested."""

    def frame() -> pd.DataFrame:
        return downloads.tidy(board, rows_of(board, choice), choice.columns)

    def picture() -> bytes:
        from evals.dashboard.charts import (
            figures,
        )  # Altair takes a second to load, and the page needs it only here

        return figures.png(figures.board(shown.words, shown.colours, shown.heads))

    offers = {
        "CSV": ("csv", "text/csv", lambda: downloads.csv(frame())),
        "Parquet": ("parquet", "application/vnd.apache.parquet", lambda: downloads.parquet(frame())),
        "PNG": ("png", "image/png", picture),
    }
    with st.container(horizontal=True):
        for name, (ending, kind, make) in offers.items():
            st.download_button(
                name, make, f"leaderboard.{ending}", kind, icon=":material/download:", on_click="ignore",
                help=f"What the table shows, as {name}; fractions are fractions.",
            )  # fmt: skip


def main() -> None:
    """Draw the page."""
    st.title("Leaderboard", anchor=False)
    index = frames.index(state.results())
    if not index.entries and not index.broken:
        state.empty_state(
            "There is no run in this results folder yet.", "evals run mmlu-pro gpqa aime --sample -m smollm2"
        )
    board = build(index.entries)
    if not board.columns:
        state.broken_runs(index.broken)
        state.empty_state("No run has a number yet; the page Runs shows those that are active.", "evals show")
    choice = filters(board)
    if choice.since:
        board = build(entry for entry in index.entries if recent(entry.card.started, choice))
    if choice.rank not in board.columns:
        st.info("No run fits these filters.", icon=":material/filter_alt:")
        st.stop()
    choice = choice._replace(columns=tuple(name for name in choice.columns if name in board.columns))
    try:
        claims = reported.load(state.results())
    except EvalsError as error:
        claims = ()
        st.warning(safe.label(error, 2000))
    places = ranked(board, choice)
    lines = ordered(board, choice, reported_rows(board, choice, claims))
    shown = styling.table(board, choice, lines, places)
    line, label = table(board, choice, lines, shown) or (None, "")
    if isinstance(line, Reported):
        of_model = [claim for claim in claims if claim.model == line.model and not claim.superseded]
        st.markdown("\n".join(f"- {safe.label(reported.sentence(claim), 600)}" for claim in of_model))
    elif line and (line, label) in board.cells:
        detail(board, line, label, board.cells[line, label], claims)
    elif line and label == styling.MODEL:
        model_card(board, index, line, claims)
    legend(board, choice)
    averages(board, choice)
    download_buttons(board, choice, shown)
    reported_results(board, choice, claims)
    state.broken_runs(index.broken)


main()
