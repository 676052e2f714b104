"""Pictures of a sample: molecules, reactions, crystals, images and time series, drawn in a worker process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from evals.dashboard import state
from evals.dashboard.foreign import crystals, media, molecules
from evals.dashboard.foreign import text as safe
from evals.dashboard.tables import sample as samples
from evals.dashboard.tables.sample import Item
from evals.errors import EvalsError
from evals.sandbox import Pool
from evals.scorers.boxes import iou
from evals.types import Media

FINGERPRINTS = {"morgan": "Morgan, radius 2", "rdk": "RDKit paths", "maccs": "MACCS keys"}


@st.cache_resource(show_spinner=False)
def _workers() -> Pool:
    return Pool(1, timeout_s=8)


@st.cache_data(max_entries=300, show_spinner=False)
def _drawn(_function: Callable[..., Any], name: str, *arguments: Any, **options: Any) -> Any:
    """Call a function in the worker, once per picture; return the error's message if it fails."""
    try:
        return _workers().call(partial(_function, **options), *arguments)
    except EvalsError as error:
        return str(error)


def pictures(item: Item, key: str) -> None:
    """Draw the molecules, reactions and crystals of a sample."""
    named = samples.molecules(item)
    if named:
        _molecules(named, key)
    if crystals.looks_like_crystal(item.asked):
        _crystal(item.asked, key)


def _molecules(named: samples.Molecules, key: str) -> None:
    dark = state.dark()
    if named.gold:
        both = _drawn(molecules.pair, "pair", named.answer, named.gold, dark=dark)
        if isinstance(both, str):
            st.caption(f"Not drawn: {safe.label(both)}")
        else:
            _pair(named, both)
    if named.reaction:
        with st.expander("The reaction", icon=":material/science:", key=f"reaction-{key}"):
            _reaction(named)
    elif named.given and not named.gold:
        cells = st.columns(min(2, len(named.given)))
        for place, (smiles, letter) in enumerate(named.given.items()):
            with cells[place % len(cells)]:
                drawn = _drawn(molecules.molecule, "molecule", smiles, dark=dark)
                _image(drawn, f"molecule in the question: {smiles}", f"Option {letter}" if letter else "")


def _pair(named: samples.Molecules, both: molecules.PairPicture) -> None:
    left, right = st.columns(2)
    with left:
        _image(both.answer, f"answered molecule: {named.answer or 'none'}", "Answer")
    with right:
        _image(both.gold, f"gold molecule: {named.gold}", f"Gold: {named.name}" if named.name else "Gold")
    if not both.tanimoto:
        return
    stopped = " (the search was stopped at its time limit)" if both.stopped else ""
    stereo = f"; {both.stereo} of them differ in stereo" if both.stereo else ""
    st.caption(
        f":blue-background[blue]: in both, the largest common substructure of {both.shared} atoms{stopped}{stereo}; "
        f":orange-background[orange]: what differs. Answer {both.answer.atoms}, gold {both.gold.atoms} heavy atoms."
    )
    for cell, (name, value) in zip(st.columns(3), both.tanimoto.items(), strict=False):
        cell.metric(
            f"Tanimoto, {FINGERPRINTS[name]}", f"{value:.3f}", help="1: the same bits; blind to stereo."
        )


def _reaction(named: samples.Molecules) -> None:
    given = next(iter(named.given), "")
    for name, smiles in (("As known", named.gold), ("As answered", named.answer)):
        if smiles and given:
            ends = (given, smiles) if named.reaction == "forward" else (smiles, given)
            st.caption(name)
            drawn = _drawn(molecules.reaction, "reaction", *ends, dark=state.dark())
            _image(drawn, f"reaction: {ends[0]} gives {ends[1]}", wide=True)


def _image(picture: molecules.Picture | str, alt: str, title: str = "", *, wide: bool = False) -> None:
    """Draw an SVG that we made, or say why there is none."""
    if title:
        st.caption(safe.label(title, 300))
    if isinstance(picture, str) or not picture.svg.startswith(("<?xml", "<svg")):
        st.caption(f"Not drawn: {safe.label(picture if isinstance(picture, str) else picture.note)}")
        return
    st.image(picture.svg, alt=safe.visible(alt)[:300], width=molecules.WIDE[0] if wide else molecules.SIZE[0])
    if words := ", ".join(filter(None, (picture.formula, picture.note))):
        st.caption(safe.label(words, 300))


def _crystal(words: str, key: str) -> None:
    """Draw a crystal's cell beside its numbers."""
    cell = _drawn(crystals.read, "crystal", words, dark=state.dark())
    if isinstance(cell, str):
        st.caption(f"Not drawn: {safe.label(cell)}")
        return
    left, right = st.columns(2)
    with left:
        st.image(cell.svg, alt=safe.visible(f"unit cell of {cell.formula}"), width=320)
    with right:
        st.markdown(f"**{safe.label(cell.formula)}**, {safe.label(cell.space_group or 'no symmetry found')}")
        rows = {
            "a, b, c / Å": ", ".join(f"{x:.4g}" for x in cell.lengths),
            "α, β, γ / °": ", ".join(f"{x:.4g}" for x in cell.angles),
            "volume / Å³": f"{cell.volume:.4g}",
            "density / g cm⁻³": f"{cell.density:.4g}",
            "sites in the cell": str(len(cell.sites)),
        }
        st.table(pd.Series(rows, name="").to_frame(), border="horizontal", hide_header=True)
    with st.expander("Sites, fractional coordinates", key=f"sites-{key}"):
        st.dataframe(pd.DataFrame(cell.sites), hide_index=True, alt="Sites of the cell")


def sent(item: Item, part: Media) -> None:
    """Draw an image, a series or a structure that was sent with the prompt."""
    try:
        raw = media.read(item.entry.path, part)
    except EvalsError as error:
        st.caption(f"Not shown: {safe.label(error)}")
        return
    size = f"{part.width} x {part.height} pixels" if part.width else f"{part.size:,} bytes"
    how = f", sent as {part.sent}" if part.sent else ""
    if part.kind == "time_series":
        _series(_drawn(media.series, "series", raw, part.media_type))
    elif part.kind == "structure":
        _crystal(raw.decode("utf-8", "replace"), part.sha256[:8])
    else:
        _pixels(item, raw)
    st.caption(safe.label(f"{part.media_type}, {size}{how}, SHA-256 {part.sha256[:12]}"))


def _pixels(item: Item, raw: bytes) -> None:
    """Draw an image, with the boxes of the gold answer and the model's if both are boxes."""
    gold = media.rectangles(str(item.sample.target)) if item.sample else []
    stated = media.rectangles(item.score.answer or "") if gold and item.score else []
    picture = _drawn(media.picture, "picture", raw, tuple(gold), tuple(stated))
    if isinstance(picture, str):
        st.caption(f"Not shown: {safe.label(picture)}")
        return
    st.image(picture, alt="image that was sent with the prompt")
    if gold:
        overlap = f", intersection over union {iou(stated[0], gold[0]):.3f}" if stated else ""
        st.caption(f":blue-background[blue]: gold, :orange-background[orange]: answered{overlap}")


def _series(frame: pd.DataFrame | str) -> None:
    if isinstance(frame, str):
        st.caption(f"Not drawn: {safe.label(frame)}")
        return
    from evals.dashboard.charts import samples as charts

    chart = charts.series(frame, dark=state.dark())
    state.chart(chart, alt="time series that was sent with the prompt")
