"""General against science: are the scientific models paid for with general ability?"""

from __future__ import annotations

import streamlit as st

from evals.dashboard import state
from evals.dashboard.charts import figures as charts
from evals.dashboard.foreign import text as safe
from evals.dashboard.tables import frames
from evals.dashboard.tables import reported as claimed
from evals.dashboard.tables import science as abilities
from evals.dashboard.tables.leaderboard import build
from evals.dashboard.tables.science import CLAIMED, MEASURED, Part, Source
from evals.errors import EvalsError

BARS = 8  # models that the bars show unless the reader chooses


def choose(found: dict[Source, dict[str, Part]]) -> tuple[list[str], list[str]]:
    """Draw the choice of suites for both means."""
    chosen = []
    for place, (name, general, first) in zip(
        st.columns(2),
        (("general", True, abilities.GENERAL), ("science", False, abilities.SCIENCE)),
        strict=True,
    ):
        offered = abilities.suites(found, general=general)
        chosen.append(
            place.multiselect(
                f"Suites of {'general ability' if general else 'science'}",
                offered,
                key=name,
                bind="query-params",
                default=[suite for suite in first if suite in offered],
                help="A model has a mean only where all of them are measured, or claimed, under one set of protocols.",
            )
        )
    return chosen[0], chosen[1]


def scatter(found: dict[Source, dict[str, Part]], general: list[str], science: list[str]) -> list[str]:
    """Draw the two means against each other; returns the models in it."""
    points = abilities.points(found, general, science)
    measured = int((points["kind"] == MEASURED).sum())
    st.markdown(
        f"**{measured} measured** (filled, with the joint 95 % interval of each mean) and "
        f"**{len(points) - measured} claimed** (hollow: published by others, no interval known)."
    )
    if points.empty:
        st.info("No model has all of these suites under one set of protocols.", icon=":material/info:")
    else:
        st.altair_chart(
            charts.scatter(points, dark=state.dark()),
            alt="Scatter of the mean of general suites against that of science",
        )
    if lines := abilities.lacking(found, [*general, *science]):
        with st.expander(f"{len(lines)} measured models are not complete"):
            st.markdown("\n".join(f"- {safe.label(line, 300)}" for line in lines))
    return list(points.sort_values(["kind", "science"], ascending=False)["model"])


def bars(found: dict[Source, dict[str, Part]], suites: list[str], first: list[str]) -> None:
    """Draw every suite by itself."""
    st.subheader("Suite by suite")
    there = [source.label for source, parts in found.items() if any(suite in parts for suite in suites)]
    offered = list(dict.fromkeys([*first, *there]))
    models = st.multiselect(
        "Models", offered, default=offered[:BARS], key="models", bind="query-params", max_selections=16
    )
    table = abilities.bars(found, suites, models)
    if table.empty:
        st.info("None of these models has a number on these suites.", icon=":material/info:")
        return
    st.caption("Full bars are measured and carry their 95 % interval; dashed outlines are claims.")
    st.altair_chart(charts.grouped_bars(table, suites, dark=state.dark()), alt="Scores by suite and model")


def main() -> None:
    """Draw the page."""
    st.title("General and science")
    try:
        claims = claimed.load(state.results())
    except EvalsError as error:
        claims = ()
        st.warning(safe.label(error, 600))
    index = frames.index(state.results())
    found = abilities.sources(build(index.entries), claims)
    general, science = choose(found)
    kinds = st.pills("Show", [MEASURED, CLAIMED], selection_mode="multi", default=[MEASURED, CLAIMED], key="show", bind="query-params")  # fmt: skip
    found = {source: parts for source, parts in found.items() if source.kind in kinds}
    first = scatter(found, general, science)
    bars(found, [*general, *science], first)
    state.broken(index.broken)


main()
