"""The General and science page: figures as in the Intern-S1 paper, from measured and reported scores."""

from __future__ import annotations

from functools import partial

import streamlit as st

from evals import load
from evals.dashboard import state
from evals.dashboard.charts import figures as charts
from evals.dashboard.charts.figures import Figure
from evals.dashboard.tables import frames, reported, science
from evals.dashboard.tables.leaderboard import Board, build
from evals.dashboard.tables.science import MEASURED, REPORTED, ScoresBySource
from evals.dashboard.untrusted import text as safe
from evals.errors import EvalsError

MAX_DEFAULT_MODELS = 8


def select_suites(scores: ScoresBySource) -> tuple[list[str], list[str]]:
    """Draw two selectors, of general and science suites, and return the selected suites of each."""
    selected = []
    axes = (("general", "General suites", True), ("science", "Science suites", False))
    for cell, (key, title, is_general) in zip(st.columns(2), axes, strict=True):
        available = science.suites(scores, general=is_general)
        selected.append(
            cell.multiselect(
                title, available, key=key, bind="query-params",
                default=science.default_suites(scores, general=is_general),
                help="A model has a mean if all suites are measured, or all reported, under one protocol. Of several versions, data sets or judges of a suite, the one with the most models counts.",
            )
        )  # fmt: skip
    return selected[0], selected[1]


def draw_figure(light: Figure, themed: Figure, name: str, alt_text: str) -> None:
    """Draw a figure, and buttons to download it for print; `light`, `themed`: the figure for print and for the page."""
    state.draw_chart(themed, alt=alt_text)
    with st.container(horizontal=True):
        for file_format in ("svg", "pdf"):
            render = partial(charts.render_for_print, light, file_format)
            file, key = f"{name}.{file_format}", f"{name}-{file_format}"
            state.draw_download(file_format.upper(), render, file, key=key, help="Vector graphics on white.")


def draw_scatter(scores: ScoresBySource, general_suites: list[str], science_suites: list[str]) -> list[str]:
    """Draw the means over general and science suites against each other, and return the models in the figure."""
    points = science.points(scores, general_suites, science_suites)
    measured = int((points["kind"] == MEASURED).sum())
    st.markdown(
        f"**{measured} measured** (filled, with the joint 95 % interval of each mean) and "
        f"**{len(points) - measured} reported** (hollow: published, without an interval)."
    )
    if points.empty:
        st.info("No model has all of these suites under one protocol.", icon=":material/info:")
    else:
        light, themed = (charts.scatter(points, dark=dark) for dark in (False, state.is_dark()))
        draw_figure(
            light, themed, "general-science", "Mean over science suites against mean over general suites"
        )
    if missing_lines := science.incomplete_models(scores, [*general_suites, *science_suites]):
        with st.expander(f"Measured models that lack some of these suites: {len(missing_lines)}"):
            st.markdown("\n".join(f"- {safe.label(line, 300)}" for line in missing_lines))
    return list(points.sort_values(["kind", "science"], ascending=[True, False])["model"])


def draw_bars(scores: ScoresBySource, suites: list[str], order: list[str]) -> None:
    """Draw the scores on each suite as bars; `order`: models that are listed first."""
    st.header("Suite by suite", anchor=False)
    scored_models = [
        source.label
        for source, suite_scores in scores.items()
        if any(suite in suite_scores for suite in suites)
    ]
    available = list(dict.fromkeys([*order, *scored_models]))
    models = st.multiselect(
        "Models",
        available,
        default=available[:MAX_DEFAULT_MODELS],
        key="models",
        bind="query-params",
        max_selections=16,
    )
    table = science.bars(scores, suites, models)
    if table.empty:
        st.info("None of these models has a score on these suites.", icon=":material/info:")
        return
    st.caption("Solid bars are measured, with their 95 % interval; dashed outlines are reported results.")
    light = charts.grouped_bars(table, suites, dark=False, columns=3)
    themed = charts.grouped_bars(table, suites, dark=state.is_dark())
    draw_figure(light, themed, "suites", "Scores by suite and model")


def draw_tokenizers(board: Board) -> None:
    """Draw tokenizers' characters per token by kind of text, if any were measured."""
    protocols = science.compression_protocols(board)
    if not protocols:
        return
    st.header("Tokenizer compression", anchor=False)
    protocol = st.segmented_control(
        "Protocol", protocols, default=protocols[0], key="compression", bind="query-params",
        help="`tagged` encloses strings in the tags that switch a tokenizer to a scientific vocabulary, and counts the tags.",
    )  # fmt: skip
    table = science.compression(board, protocol or protocols[0])
    if table.empty:
        st.info("Only sample items were measured.", icon=":material/info:")
        return
    st.caption(
        "Characters per token: total characters divided by total tokens, with 95 % intervals over the strings."
    )
    domains = [name for name in load.listing("compression").variants if name in set(table["suite"])]
    light = charts.grouped_bars(table, domains, dark=False, columns=3, unit="characters per token")
    themed = charts.grouped_bars(table, domains, dark=state.is_dark(), unit="characters per token")
    draw_figure(light, themed, "compression", "Characters per token by kind of text and tokenizer")


def main() -> None:
    """Draw the page."""
    st.title("General and science", anchor=False)
    try:
        claims = reported.load(state.results())
    except EvalsError as error:
        claims = ()
        st.warning(safe.label(error, 600))
    index = frames.index(state.results())
    board = build(index.entries)
    scores = science.scores_by_source(board, claims)
    general_suites, science_suites = select_suites(scores)
    kinds = st.pills(
        "Show", [MEASURED, REPORTED], selection_mode="multi", default=[MEASURED, REPORTED], key="show",
        bind="query-params",
    )  # fmt: skip
    scores = {source: suite_scores for source, suite_scores in scores.items() if source.kind in kinds}
    order = draw_scatter(scores, general_suites, science_suites)
    draw_bars(scores, [*general_suites, *science_suites], order)
    draw_tokenizers(board)
    state.list_broken_runs(index.broken)


main()
