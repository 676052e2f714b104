"""The Leaderboard page: a table of models by suites; each score has its interval, coverage and provenance."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from evals.dashboard import downloads, state
from evals.dashboard.filters import Filters, matches_date, matching_columns, matching_rows, protocols_by_use
from evals.dashboard.tables import frames, reported, significance, styling
from evals.dashboard.tables.frames import Index
from evals.dashboard.tables.leaderboard import Board, Cell, Row, build, row_of
from evals.dashboard.tables.models import SIZE_CLASSES
from evals.dashboard.tables.provenance import TIME_FORMAT
from evals.dashboard.tables.statistics import averaging_fault, mean
from evals.dashboard.tables.styling import ReportedRow, TableRow
from evals.dashboard.untrusted import text as safe
from evals.errors import EvalsError
from evals.plain import count_of
from evals.terminal.figures import utc_time
from evals.terminal.trust_marks import MEANINGS
from evals.verdicts.reported import Claim, is_same_model

PLAIN_NAME = re.compile(r"[A-Za-z0-9.~-]+")
"""A protocol's name without Markdown."""
MAX_DEFAULT_COLUMNS = 12
CELL_PADDING, CHARACTER_WIDTH = 28, 6.8
"""Horizontal padding of a cell and mean width of a character, in pixels."""
LEGEND = (
    "Scores are shown with the half-width of their 95 % interval, and their coverage if below 100 %. Intervals and comparisons "
    "generalise to items like these (estimand items-like-these). **Colour shows standing**: the stronger, the more models are "
    "significantly worse; equal shades are not significantly different. In the ranked column, models are compared sample by "
    "sample, as in evals compare; in other columns, by their intervals, Holm-adjusted within the column."
)


def draw_filters(board: Board) -> Filters:
    """Draw the filters, whose state is in the URL, and return them."""
    top = st.columns([2, 3, 3, 1], vertical_alignment="bottom")
    kind = top[0].segmented_control(
        "Suites", ["all", "general", "science"], default="all", key="kind", bind="query-params",
        help="General ability or science, as classified in the Intern-S1 papers.",
    )  # fmt: skip
    protocol_names = protocols_by_use(board)
    default_protocols = protocol_names if len(board.columns) <= MAX_DEFAULT_COLUMNS else protocol_names[:1]
    protocols = top[1].pills(
        "Protocols", protocol_names, selection_mode="multi", default=default_protocols, key="protocol", bind="query-params",
        format_func=lambda name: name if PLAIN_NAME.fullmatch(name) else safe.label(name),
        help="Prompt, sampling and scoring rules. Scores under different protocols never share a column.",
    )  # fmt: skip
    with top[3].popover("More", icon=":material/tune:", width="stretch"):
        filters = draw_more_filters(board, Filters(kind=kind or "all", protocols=tuple(protocols)))
    labels = filters.columns or matching_columns(board, filters)[:MAX_DEFAULT_COLUMNS]
    ranked_label = top[2].selectbox(
        "Rank by", labels, key="rank", bind="query-params",
        help="Models are sorted by this column, and compared sample by sample to find those that are not significantly different.",
    )  # fmt: skip
    other_labels = (label for label in labels if label != ranked_label)
    columns = (*([ranked_label] if ranked_label else []), *other_labels)
    return filters._replace(columns=columns, rank_by=ranked_label or "")


def draw_more_filters(board: Board, filters: Filters) -> Filters:
    """Draw the less common filters and return all filters."""
    has_benchmark_runs = any(not column.sample for column in board.columns.values())
    sample = st.toggle(
        "Include sample items", value=not has_benchmark_runs, key="sample", bind="query-params",
        help="Runs on a suite's dozen bundled items; their scores are not benchmark scores.",
    )  # fmt: skip
    filters = filters._replace(include_sample_items=sample)
    weights = st.segmented_control(
        "Weights", ["all", "open", "closed"], default="all", key="weights", bind="query-params"
    )
    sizes = st.pills("Parameters", SIZE_CLASSES, selection_mode="multi", key="size", bind="query-params")
    since = st.date_input("Run since", value=None, key="since", bind="query-params", format="YYYY-MM-DD")
    filters = filters._replace(weights=weights or "all", sizes=tuple(sizes), since=since)
    available_columns = matching_columns(board, filters)
    columns = st.multiselect(
        "Columns",
        available_columns,
        key="columns",
        bind="query-params",
        placeholder=f"the first {MAX_DEFAULT_COLUMNS}",
    )
    pinned = st.multiselect(
        "Pinned models", [row.label for row in matching_rows(board, filters)], key="pin", bind="query-params",
        placeholder="none",
    )  # fmt: skip
    averaged = st.multiselect(
        "Mean over", columns or available_columns, key="mean", bind="query-params", placeholder="no mean",
        help="A mean is shown only for models that are measured in all of these columns.",
    )  # fmt: skip
    return filters._replace(columns=tuple(columns), pinned=tuple(pinned), averaged=tuple(averaged))


def sort_rows(board: Board, filters: Filters, reported: Sequence[ReportedRow]) -> list[TableRow]:
    """Return the rows in order: pinned ones, models by their score in the ranked column, models without one, baselines."""
    sign = -1 if board.columns[filters.rank_by].better == "higher" else 1

    def key(row: TableRow) -> tuple[bool, bool, bool, float, str]:
        if isinstance(row, ReportedRow):
            value, name, is_baseline = row.values.get(filters.rank_by), row.model, False
        else:
            cell = board.cells.get((row, filters.rank_by))
            value, name, is_baseline = cell.estimate.value if cell else None, row.label, row.is_baseline
        return name not in filters.pinned, is_baseline, value is None, sign * (value or 0.0), name

    return sorted([*matching_rows(board, filters), *reported], key=key)


def draw_ranking(board: Board, filters: Filters) -> significance.ColumnRanks:
    """Draw a sentence on the comparison of the models in the ranked column, and return their ranks."""
    visible_rows = set(matching_rows(board, filters))
    runs = {row: run for row, run in board.runs(filters.rank_by).items() if row in visible_rows}
    with st.spinner("Comparing all pairs of models, sample by sample ..."):
        column_ranks = significance.rank_models(board.columns[filters.rank_by], runs)
    if len(runs) < 2:
        return column_ranks
    fewest, most = column_ranks.n
    samples = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
    pairs = count_of(column_ranks.pairs, "pair")
    method_text = (
        f" Paired on {samples} samples, adjusted by Holm over {pairs} at 5 %." if column_ranks.pairs else ""
    )
    st.markdown(
        f"**Ranked by** {safe.label(filters.rank_by)}: {safe.literal(significance.summary(column_ranks))}{method_text}"
    )
    return column_ranks


def draw_table(
    board: Board, filters: Filters, rows: Sequence[TableRow], table: styling.Table
) -> tuple[TableRow, str] | None:
    """Draw the table, and return the row and column that a click or the URL (`?model=NAME&column=LABEL`) selects."""
    event = st.dataframe(
        styling.style_table(table, dark=state.is_dark()),
        hide_index=True, height="content" if len(table.texts) <= 22 else 800, placeholder="",
        column_config=column_configs(board, filters, table), key="table", on_select="rerun", selection_mode="single-cell",
        alt="Leaderboard: models by suites",
    )  # fmt: skip
    cells = event["selection"]["cells"]
    if cells and cells[0][0] < len(rows):
        labels = {second_line: label for label, (_, second_line) in table.headings.items()}
        return rows[cells[0][0]], labels.get(str(cells[0][1]), "")
    name = st.query_params.get("model")
    selected = next((row for row in rows if isinstance(row, Row) and row.label == name), None)
    return (selected, st.query_params.get("column", styling.MODEL)) if selected else None


def column_configs(board: Board, filters: Filters, table: styling.Table) -> dict[Any, Any]:
    """Return the configuration of each column, with its width and tooltip, by the column's position."""
    column = st.column_config.Column
    configs = {
        styling.MODEL: column(pinned=True, width=min(262, _width(table, styling.MODEL)), help="Select a name for details of the model."),
        styling.RANK: column(
            width=74, alignment="left",
            help="Rank in the first column; a range if differences are not significant. Models that share a letter are "
            "not significantly different.",
        ),
        styling.MEAN: column(width=150, alignment="left", help="Mean over the suites selected under More, with its joint interval."),
    }  # fmt: skip
    for label in filters.columns:
        board_column = board.columns[label]
        description = f"{board_column.metric} in {styling.unit_symbol(board_column.unit)}, {board_column.better} is better; protocol {board_column.protocol}, version {board_column.version}"
        # left-aligned, because a phone shows only the left part of the column; `style_table` aligns decimal points
        configs[label] = column(
            width=min(320, _width(table, label)), alignment="left", help=safe.label(description, 400)
        )
    return {
        position + 1: configs[label] for position, label in enumerate(table.numbers.columns)
    }  # 0 is the hidden index


def _width(table: styling.Table, label: str) -> int:
    """Return the width in pixels that a column needs for its heading and all cells."""
    longest = max(map(len, (*table.headings[label], *table.texts[label])))
    return CELL_PADDING + round(CHARACTER_WIDTH * longest)


def draw_legend(board: Board, filters: Filters) -> None:
    """Draw the legend of the table and of the marks in it."""
    marks = state.marks_legend(board.marks(filters.columns))
    st.caption(f"{LEGEND} {marks} Select a score or a model for details.")


def draw_mean_note(board: Board, filters: Filters) -> None:
    """Draw a note on the selected mean, or the reason why it is not shown."""
    if not filters.averaged:
        return
    if fault := averaging_fault(board, filters.averaged):
        st.warning(f"No mean: {fault}")
        return
    rows = [row for row in matching_rows(board, filters) if not row.is_baseline]
    incomplete_models = [row.label for row in rows if mean(board, row, filters.averaged) is None]
    listed_models = ", ".join(incomplete_models[:5]) + (" ..." if len(incomplete_models) > 5 else "")
    missing = f"Not measured on all of them: {listed_models}." if incomplete_models else ""
    names = safe.literal(", ".join(filters.averaged))
    st.caption(f"Mean of {names}, with its joint 95 % interval. {safe.literal(missing)}")


def draw_score(board: Board, row: Row, label: str, cell: Cell, claims: Sequence[Claim]) -> None:
    """Draw a score's interval, coverage, notes and reported results, and links to other pages."""
    estimate, column = cell.estimate, board.columns[label]
    with st.container(border=True):
        st.markdown(f"**{safe.label(row.label)}** on {safe.label(label)}")
        state.draw_estimate(estimate, cell.coverage)
        descriptions = [text for mark, text in cell.marks.items() if mark not in MEANINGS]
        notes = [*descriptions, f"the newest complete of {cell.runs} runs" if cell.runs > 1 else ""]
        if any(notes):
            st.caption(safe.label("; ".join(filter(None, notes))))
        if cell.entry:
            state.draw_trust(cell.entry)
        for claim in reported.claims_for(claims, row.model, column):
            st.caption(f"Reported, not measured here: {safe.label(reported.claim_text(claim), 600)}")
        if cell.entry:
            link_params = {"run": cell.entry.name, "suite": column.suite}
            with st.container(horizontal=True):
                state.draw_link("suite", "Groups and hard items", **link_params)
                state.draw_link("sample", "Wrong samples", verdict="wrong", **link_params)
                state.draw_link("runs", "Run details", **link_params)
                state.draw_link("history", "History", model=row.model)


def draw_model(board: Board, index: Index, row: Row, claims: Sequence[Claim]) -> None:
    """Draw the details of a model: its scores under all protocols, its runs, and reported results."""
    facts = row.facts
    fact_texts = [
        "" if facts.open is None else "open weights" if facts.open else "closed weights",
        f"{facts.size_b:g}B parameters" if facts.size_b else "",
        f"{facts.active_b:g}B active" if facts.active_b else "",
    ]
    cells = {label: board.cells[row, label] for label in board.columns if (row, label) in board.cells}
    with st.container(border=True):
        st.markdown(f"**{safe.label(row.label)}** {safe.literal(', '.join(filter(None, fact_texts)))}")
        score_rows = [
            {
                "suite and protocol": safe.visible(label), "measure": board.columns[label].measure,
                "score": styling.cell_text(cell), "n": cell.estimate.n, "runs": cell.runs,
                "run": cell.entry.card.run if cell.entry else "", "marks": "; ".join(cell.marks.values()),
            }
            for label, cell in cells.items()
        ]  # fmt: skip
        state.draw_table(
            pd.DataFrame(score_rows), alt="All scores of the model",
            column_config={"score": st.column_config.Column(alignment="right"), "n": st.column_config.NumberColumn(format="localized")},
        )  # fmt: skip
        model_claims = [
            claim for claim in claims if is_same_model(claim.model, row.model) and not claim.superseded
        ]
        if model_claims:
            with st.expander(count_of(len(model_claims), "reported result")):
                st.markdown(
                    "\n".join(f"- {safe.label(reported.claim_text(claim), 600)}" for claim in model_claims)
                )
        runs = [entry for entry in index.entries if row_of(entry.card) == row]
        last_start = max((entry.card.started for entry in runs), default=None)
        with st.container(horizontal=True, vertical_alignment="center"):
            state.draw_link("history", "History", model=row.model)
            state.draw_link("runs", f"All {len(runs)} runs" if len(runs) != 1 else "1 run", model=row.model)
            st.caption(f"last run {utc_time(last_start, TIME_FORMAT)}" if last_start else "")


def draw_reported_results(board: Board, filters: Filters, claims: Sequence[Claim]) -> None:
    """Draw reported results on the displayed suites, without colours or ranks."""
    frame = reported.table(claims, (board.columns[name].suite for name in filters.columns))
    if frame.empty:
        return
    with st.expander(
        f"Reported results of {count_of(len(frame), 'model')} (not measured)", icon=":material/campaign:"
    ):
        st.caption(
            "Their intervals and counts are unknown; results without a stated protocol are not comparable. Sources and "
            "dates: results/claims. An accuracy over n items must be k / n with a whole number k: *possible scores* shows "
            "which published numbers are impossible, and what would explain them (`evals claims check --grid`)."
        )
        right_aligned = st.column_config.Column(alignment="right")
        state.draw_table(
            frame, alt="Reported results: models by suites",
            column_config={
                **dict.fromkeys(frame.columns.drop(["model", reported.ERRATA], errors="ignore"), right_aligned),
                reported.POSSIBLE_SCORES: st.column_config.TextColumn(width="medium"),
            },
        )  # fmt: skip


def select_reported_rows(board: Board, filters: Filters, claims: Sequence[Claim]) -> list[ReportedRow]:
    """Draw the switch that adds reported results to the table, and return their rows."""
    rows = reported.reported_rows(claims, board, filters.columns)
    if not rows:
        return []
    is_on = st.toggle(
        f"Show reported results of {count_of(len(rows), 'model')} in the table", key="reported", bind="query-params",
        help="With the same suite, protocol and unit; without an interval, colour or rank.",
    )  # fmt: skip
    return rows if is_on else []


def draw_downloads(board: Board, filters: Filters, table: styling.Table) -> None:
    """Draw buttons to download the table; files are created on request."""

    def build_frame() -> pd.DataFrame:
        return downloads.tidy_table(board, matching_rows(board, filters), filters.columns)

    def render_png() -> bytes:
        from evals.dashboard.charts import figures  # imports Altair, which takes a second

        return figures.png(figures.board(table.texts, table.colours, table.headings))

    formats = {
        "CSV": lambda: downloads.csv(build_frame()),
        "Parquet": lambda: downloads.parquet(build_frame()),
        "PNG": render_png,
    }
    with st.container(horizontal=True):
        for name, create in formats.items():
            description = f"The table as {name}; fractions range from 0 to 1."
            state.draw_download(name, create, f"leaderboard.{name.lower()}", help=description)


def main() -> None:
    """Draw the page."""
    st.title("Leaderboard", anchor=False)
    index = frames.index(state.results())
    if not index.entries and not index.broken:
        state.stop_with_hint(
            "This results folder has no runs yet.", "evals run mmlu-pro gpqa aime --sample -m smollm2"
        )
    board = build(index.entries)
    if not board.columns:
        state.list_broken_runs(index.broken)
        state.stop_with_hint("No run has a score yet; active runs are on the Runs page.", "evals show")
    filters = draw_filters(board)
    if filters.since:
        board = build(entry for entry in index.entries if matches_date(entry.card.started, filters))
    if filters.rank_by not in board.columns:
        st.info("No run matches these filters.", icon=":material/filter_alt:")
        st.stop()
    filters = filters._replace(columns=tuple(name for name in filters.columns if name in board.columns))
    try:
        claims = reported.load(state.results())
    except EvalsError as error:
        claims = ()
        st.warning(safe.label(error, 2000))
    column_ranks = draw_ranking(board, filters)
    rows = sort_rows(board, filters, select_reported_rows(board, filters, claims))
    table = styling.table(board, filters, rows, column_ranks)
    row, label = draw_table(board, filters, rows, table) or (None, "")
    if isinstance(row, ReportedRow):
        model_claims = [claim for claim in claims if claim.model == row.model and not claim.superseded]
        st.markdown("\n".join(f"- {safe.label(reported.claim_text(claim), 600)}" for claim in model_claims))
    elif row and (row, label) in board.cells:
        draw_score(board, row, label, board.cells[row, label], claims)
    elif row and label == styling.MODEL:
        draw_model(board, index, row, claims)
    draw_legend(board, filters)
    draw_mean_note(board, filters)
    draw_downloads(board, filters, table)
    draw_reported_results(board, filters, claims)
    state.list_broken_runs(index.broken)


main()
