"""Molecules, reactions, crystals, images and time series of a sample, drawn in a worker process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from evals.dashboard import state
from evals.dashboard.tables import sample as samples
from evals.dashboard.tables.sample import Item
from evals.dashboard.untrusted import crystals, media, molecules
from evals.dashboard.untrusted import text as safe
from evals.errors import EvalsError
from evals.sandbox import Pool
from evals.scorers.boxes import iou
from evals.types import Media

FINGERPRINTS = {"morgan": "Morgan, radius 2", "rdk": "RDKit paths", "maccs": "MACCS keys"}


@st.cache_resource(show_spinner=False)
def _worker_pool() -> Pool:
    return Pool(1, timeout_s=8)


@st.cache_data(max_entries=300, show_spinner=False)
def _draw_in_worker(_function: Callable[..., Any], name: str, *arguments: Any, **options: Any) -> Any:
    """Return the result of a function that runs in the worker process, or its error message.

    The result is cached by `name` and the arguments, but not by `_function`.
    """
    try:
        return _worker_pool().call(partial(_function, **options), *arguments)
    except EvalsError as error:
        return str(error)


def draw_structures(item: Item, key: str) -> None:
    """Draw the molecules, reactions and crystals of a sample."""
    item_molecules = samples.molecules(item)
    if item_molecules:
        _draw_molecules(item_molecules, key)
    if crystals.looks_like_crystal(item.prompt_text):
        _draw_crystal(item.prompt_text, key)


def _draw_molecules(item_molecules: samples.Molecules, key: str) -> None:
    dark = state.is_dark()
    if item_molecules.gold:
        drawing = _draw_in_worker(
            molecules.draw_pair, "pair", item_molecules.answer, item_molecules.gold, dark=dark
        )
        if isinstance(drawing, str):
            st.caption(f"Not drawn: {safe.label(drawing)}")
        else:
            _draw_pair(item_molecules, drawing)
    if item_molecules.reaction:
        with st.expander("Reaction", icon=":material/science:", key=f"reaction-{key}"):
            _draw_reaction(item_molecules)
    elif item_molecules.question_molecules and not item_molecules.gold:
        cells = st.columns(min(2, len(item_molecules.question_molecules)))
        for i, (smiles, letter) in enumerate(item_molecules.question_molecules.items()):
            with cells[i % len(cells)]:
                drawing = _draw_in_worker(molecules.draw_molecule, "molecule", smiles, dark=dark)
                _draw_image(drawing, f"question molecule: {smiles}", f"Option {letter}" if letter else "")


def _draw_pair(item_molecules: samples.Molecules, drawing: molecules.PairDrawing) -> None:
    left, right = st.columns(2)
    with left:
        _draw_image(drawing.answer, f"answered molecule: {item_molecules.answer or 'none'}", "Answer")
    with right:
        _draw_image(
            drawing.gold,
            f"gold molecule: {item_molecules.gold}",
            f"Gold: {item_molecules.name}" if item_molecules.name else "Gold",
        )
    if not drawing.tanimoto:
        return
    search_note = "" if drawing.is_search_complete else " (the search was stopped or skipped)"
    stereo_count = drawing.stereo_differences
    stereo_note = f"; {stereo_count} of them differ in stereochemistry" if stereo_count else ""
    st.caption(
        f":blue-background[blue]: the largest common substructure, {drawing.shared} atoms{search_note}{stereo_note}; "
        f":orange-background[orange]: differences. Answer {drawing.answer.atoms}, gold {drawing.gold.atoms} heavy atoms."
    )
    for cell, (name, value) in zip(st.columns(3), drawing.tanimoto.items(), strict=False):
        cell.metric(
            f"Tanimoto, {FINGERPRINTS[name]}",
            f"{value:.3f}",
            help="1: identical fingerprints, which ignore stereochemistry.",
        )


def _draw_reaction(item_molecules: samples.Molecules) -> None:
    question_smiles = next(iter(item_molecules.question_molecules), "")
    for name, smiles in (("Gold", item_molecules.gold), ("Answer", item_molecules.answer)):
        if smiles and question_smiles:
            is_forward = item_molecules.reaction == "forward"
            sides = (question_smiles, smiles) if is_forward else (smiles, question_smiles)
            st.caption(name)
            drawing = _draw_in_worker(molecules.draw_reaction, "reaction", *sides, dark=state.is_dark())
            _draw_image(drawing, f"reaction: {sides[0]} gives {sides[1]}", wide=True)


def _draw_image(image: molecules.Drawing | str, alt: str, title: str = "", *, wide: bool = False) -> None:
    """Draw a molecule or reaction with its title and caption, or the reason why it cannot be drawn."""
    if title:
        st.caption(safe.label(title, 300))
    if isinstance(image, str) or not image.svg.startswith(("<?xml", "<svg")):
        st.caption(f"Not drawn: {safe.label(image if isinstance(image, str) else image.note)}")
        return
    st.image(
        image.svg,
        alt=safe.visible(alt)[:300],
        width=molecules.REACTION_SIZE[0] if wide else molecules.MOLECULE_SIZE[0],
    )
    if caption := ", ".join(filter(None, (image.formula, image.note))):
        st.caption(safe.label(caption, 300))


def _draw_crystal(description: str, key: str) -> None:
    cell = _draw_in_worker(crystals.read, "crystal", description, dark=state.is_dark())
    if isinstance(cell, str):
        st.caption(f"Not drawn: {safe.label(cell)}")
        return
    left, right = st.columns(2)
    with left:
        st.image(cell.svg, alt=safe.visible(f"unit cell of {cell.formula}"), width=320)
    with right:
        st.markdown(f"**{safe.label(cell.formula)}**, {safe.label(cell.space_group or 'no space group')}")
        rows = {
            "a, b, c / Å": ", ".join(f"{x:.4g}" for x in cell.lengths),
            "α, β, γ / °": ", ".join(f"{x:.4g}" for x in cell.angles),
            "volume / Å³": f"{cell.volume:.4g}",
            "density / g cm⁻³": f"{cell.density:.4g}",
            "sites in the cell": str(len(cell.sites)),
        }
        st.table(pd.Series(rows, name="").to_frame(), border="horizontal", hide_header=True)
    with st.expander("Sites, fractional coordinates", key=f"sites-{key}"):
        state.draw_table(pd.DataFrame(cell.sites), alt="Sites of the cell")


def draw_media(item: Item, part: Media) -> None:
    """Draw an image, a time series or a structure that was sent with the prompt."""
    try:
        raw = media.read(item.entry.path, part)
    except EvalsError as error:
        st.caption(f"Not shown: {safe.label(error)}")
        return
    size = f"{part.width} x {part.height} pixels" if part.width else f"{part.size:,} bytes"
    sent_as = f", sent as {part.sent}" if part.sent else ""
    if part.kind == "time_series":
        _draw_series(_draw_in_worker(media.read_series, "series", raw, part.media_type))
    elif part.kind == "structure":
        _draw_crystal(raw.decode("utf-8", "replace"), part.sha256[:8])
    else:
        _draw_pixels(item, raw)
    st.caption(safe.label(f"{part.media_type}, {size}{sent_as}, SHA-256 {part.sha256[:12]}"))


def _draw_pixels(item: Item, raw: bytes) -> None:
    """Draw an image with the boxes of the gold answer and of the model's answer."""
    gold = media.parse_boxes(str(item.sample.target)) if item.sample else []
    answer = media.parse_boxes(item.score.answer or "") if gold and item.score else []
    image = _draw_in_worker(media.redraw_image, "image", raw, tuple(gold), tuple(answer))
    if isinstance(image, str):
        st.caption(f"Not shown: {safe.label(image)}")
        return
    st.image(image, alt="image that was sent with the prompt")
    if gold:
        overlap = f", intersection over union {iou(answer[0], gold[0]):.3f}" if answer else ""
        st.caption(f":blue-background[blue]: gold, :orange-background[orange]: answer{overlap}")


def _draw_series(frame: pd.DataFrame | str) -> None:
    if isinstance(frame, str):
        st.caption(f"Not drawn: {safe.label(frame)}")
        return
    from evals.dashboard.charts import samples as charts

    chart = charts.series(frame, dark=state.is_dark())
    state.draw_chart(chart, alt="time series that was sent with the prompt")
