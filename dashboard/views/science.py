"""General ability against science, and tokenizers: figures of the Intern-S1 paper, from measured and reported numbers."""

from __future__ import annotations

from functools import partial

import altair as alt
import streamlit as st

from evals import load
from evals.dashboard import state
from evals.dashboard.charts import figures as charts
from evals.dashboard.foreign import text as safe
from evals.dashboard.tables import frames, reported, science
from evals.dashboard.tables.leaderboard import Board, build
from evals.dashboard.tables.science import MEASURED, REPORTED, Source
from evals.dashboard.tables.statistics import Mean
from evals.errors import EvalsError

BARS = 8  # models that the bars show unless the reader chooses


def choose(numbers: dict[Source, dict[str, Mean]]) -> tuple[list[str], list[str]]:
    """Draw the choice of suites for both means."""
    chosen = []
    for cell, (key, title, general) in zip(
        st.columns(2), (("general", "general ability", True), ("science", "science", False)), strict=True
    ):
        offered = science.suites(numbers, general=general)
        chosen.append(
            cell.multiselect(
                f"Suites of {title}", offered, key=key, bind="query-params",
                default=science.default_suites(numbers, general=general),
                help="A model has a mean if all of them are measured, or reported, under one set of protocols.",
            )
        )  # fmt: skip
    return chosen[0], chosen[1]


def figure(
    light: alt.LayerChart | alt.FacetChart, shown: alt.LayerChart | alt.FacetChart, name: str, alt_text: str
) -> None:
    """Draw a figure, and offer it for print in the light theme."""
    state.chart(shown, alt=alt_text)
    with st.container(horizontal=True):
        for label, form, kind in (("SVG", "svg", "image/svg+xml"), ("PDF", "pdf", "application/pdf")):
            st.download_button(
                f"{label}", partial(charts.printed, light, form), f"{name}.{form}", kind, key=f"{name}-{form}",
                icon=":material/download:", on_click="ignore", help="Vectors at print quality, on white.",
            )  # fmt: skip


def scatter(numbers: dict[Source, dict[str, Mean]], general: list[str], of_science: list[str]) -> list[str]:
    """Draw the two means against each other; returns the models in it."""
    points = science.points(numbers, general, of_science)
    measured = int((points["kind"] == MEASURED).sum())
    st.markdown(
        f"**{measured} measured** (filled, with the joint 95 % interval of each mean) and "
        f"**{len(points) - measured} reported** (hollow: published by others, no interval known)."
    )
    if points.empty:
        st.info("No model has all of these suites under one set of protocols.", icon=":material/info:")
    else:
        light, shown = (charts.scatter(points, dark=dark) for dark in (False, state.dark()))
        figure(
            light, shown, "general-science", "Scatter of the mean of general suites against that of science"
        )
    if lines := science.lacking(numbers, [*general, *of_science]):
        with st.expander(f"{len(lines)} measured models are not complete"):
            st.markdown("\n".join(f"- {safe.label(line, 300)}" for line in lines))
    return list(points.sort_values(["kind", "science"], ascending=[True, False])["model"])


def bars(numbers: dict[Source, dict[str, Mean]], suites: list[str], first: list[str]) -> None:
    """Draw every suite by itself."""
    st.header("Suite by suite", anchor=False)
    with_numbers = [
        source.label for source, parts in numbers.items() if any(suite in parts for suite in suites)
    ]
    offered = list(dict.fromkeys([*first, *with_numbers]))
    models = st.multiselect(
        "Models", offered, default=offered[:BARS], key="models", bind="query-params", max_selections=16
    )
    table = science.bars(numbers, suites, models)
    if table.empty:
        st.info("None of these models has a number on these suites.", icon=":material/info:")
        return
    st.caption("Full bars are measured and carry their 95 % interval; dashed outlines are reported results.")
    light = charts.grouped_bars(table, suites, dark=False, columns=3)
    shown = charts.grouped_bars(table, suites, dark=state.dark())
    figure(light, shown, "suites", "Scores by suite and model")


def tokenizers(board: Board) -> None:
    """Draw characters per token by kind of text, if any tokenizer was counted."""
    protocols = science.compression_protocols(board)
    if not protocols:
        return
    st.header("Tokenizer compression", anchor=False)
    protocol = st.segmented_control(
        "Protocol", protocols, default=protocols[0], key="compression", bind="query-params",
        help="`tagged` puts strings between the tags that switch a tokenizer to a scientific vocabulary, and counts them.",
    )  # fmt: skip
    table = science.compression(board, protocol or protocols[0])
    if table.empty:
        st.info("Sample items alone were counted.", icon=":material/info:")
        return
    st.caption(
        "Characters per token: all characters of a kind of text by all tokens, with 95 % intervals over its strings."
    )
    domains = [name for name in load.listing("compression").variants if name in set(table["suite"])]
    light = charts.grouped_bars(table, domains, dark=False, columns=3, unit="characters per token")
    shown = charts.grouped_bars(table, domains, dark=state.dark(), unit="characters per token")
    figure(light, shown, "compression", "Characters per token by kind of text and tokenizer")


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
    numbers = science.sources(board, claims)
    general, of_science = choose(numbers)
    kinds = st.pills(
        "Show", [MEASURED, REPORTED], selection_mode="multi", default=[MEASURED, REPORTED], key="show",
        bind="query-params",
    )  # fmt: skip
    numbers = {source: parts for source, parts in numbers.items() if source.kind in kinds}
    first = scatter(numbers, general, of_science)
    bars(numbers, [*general, *of_science], first)
    tokenizers(board)
    state.broken_runs(index.broken)


main()
