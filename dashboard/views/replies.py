"""One sample as a page shows it: prompt, reply, what was scored and why, and pictures of what words hardly say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from evals.dashboard import state
from evals.dashboard.foreign import (
    crystals,
    media,
)
from evals.dashboard.foreign import (
    molecules as drawings,
)
from evals.dashboard.foreign import (
    text as safe,
)
from evals.dashboard.foreign import (
    text_diff as differences,
)
from evals.dashboard.tables import sample as items
from evals.dashboard.tables.sample import Item
from evals.errors import EvalsError
from evals.sandbox import Pool
from evals.scorers.boxes import iou
from evals.types import Failure, Media, Reply, Score, Text

COLOURS = {"right": "green", "wrong": "orange", "graded": "blue", "invalid": "violet"}
"""Of verdicts as badges; all others are grey. The word stands there too."""
FINGERPRINTS = {"morgan": "Morgan, radius 2", "rdk": "RDKit paths", "maccs": "MACCS keys"}


@st.cache_resource(show_spinner=False)
def _workers() -> Pool:
    """Give the worker process that foreign molecules, crystals and images are drawn in."""
    return Pool(1, timeout_s=8)


@st.cache_data(max_entries=300, show_spinner=False)
def _drawn(function: str, *arguments: Any, **options: Any) -> Any:
    """Call `module.function` in the worker, once per picture; gives the error's line where it fails."""
    module, _, name = function.partition(".")
    called: Callable[..., Any] = getattr(
        {"drawings": drawings, "crystals": crystals, "media": media}[module], name
    )
    try:
        return _workers().call(partial(called, **options), *arguments)
    except EvalsError as error:
        return str(error)


# --- what was scored ----------------------------------------------------------------------------------------


def badge(verdict: str) -> str:
    """Write a verdict as a badge, in Markdown."""
    return f":{COLOURS.get(verdict, 'gray')}-badge[{safe.literal(verdict)}]"


def scored(item: Item) -> None:
    """Draw the verdict, the extracted answer beside the gold answer, and why."""
    score = item.score
    suspect = " :orange-badge[:material/flag: a person should look]" if score and score.suspect else ""
    st.markdown(badge(item.verdict) + suspect)
    if isinstance(item.outcome, Failure):
        failed(item.outcome)
    if item.sample is not None:
        answers(item)
    if score and score.why:
        st.markdown(f"**Why**: {safe.label(score.why, 600)}")
    figures(item)
    if item.scores:
        parts(item)


def failed(failure: Failure) -> None:
    """Say what failed; that is no verdict on the model."""
    st.warning(
        f"Failed at the {failure.stage} after {failure.attempts} attempts, no verdict on the model: "
        f"{safe.label(failure.kind)}: {safe.label(failure.message, 600)}"
    )


def answers(item: Item) -> None:
    """Draw the options with the gold and the answered ones, or both answers as texts."""
    offered = items.options(item)
    if offered:
        lines = [
            f"- {'**' if one.gold or one.answered else ''}{one.shown}. {safe.label(one.text, 400)}"
            f"{'**' if one.gold or one.answered else ''}"
            f"{' :green-badge[gold]' if one.gold else ''}{' :blue-badge[answered]' if one.answered else ''}"
            for one in offered
        ]
        st.markdown("\n".join(lines))
        stated = item.score.answer if item.score else None
        if stated is None:
            st.caption("No answer was extracted.")
        elif any(one.shown != one.letter for one in offered):
            st.caption("Options in the order shown to the model.")
        return
    stated = item.score.answer if item.score else None
    target = item.sample.target if item.sample else ""
    gold = ", ".join(target) if isinstance(target, tuple) else str(target)
    unit = f" {item.sample.unit}" if item.sample and item.sample.unit else ""
    left, right = st.columns(2)
    with left:
        st.caption("Extracted answer")
        plain("nothing" if stated is None else stated, muted=stated is None)
    with right:
        st.caption("Gold answer")
        plain(f"{gold}{unit}")


def plain(text: str, *, muted: bool = False) -> None:
    """Draw a short text as it is."""
    if muted:
        st.markdown(f"*{safe.literal(text)}*")
    else:
        st.code(safe.visible(safe.cut(text, 2_000).text), language=None, wrap_lines=True)


def figures(item: Item) -> None:
    """Draw a stated number beside the target, with its error, where there is one."""
    found = items.figures(item)
    if found is None:
        return
    unit = f" {safe.label(found.unit)}" if found.unit else ""
    cells = st.columns(4)
    cells[0].metric(f"stated{unit and ','}{unit}", f"{found.value:.5g}")
    cells[1].metric(f"target{unit and ','}{unit}", f"{found.target:.5g}")
    cells[2].metric(f"error{unit and ','}{unit}", f"{found.error:+.4g}", help="Stated minus target.")
    relative = "–" if found.relative is None else f"{100 * found.relative:+.3g} %"
    cells[3].metric("relative error", relative, help="Error over the target; none at a target of 0.")


def parts(item: Item) -> None:
    """Draw every scorer's value and parts, where there is more than one number."""
    rows: list[dict[str, Any]] = []
    for name, score in item.scores.items():
        if isinstance(score, Failure):
            rows.append(
                {"scorer": name, "part": "failed", "value": None, "said": f"{score.kind}: {score.message}"}
            )
            continue
        rows.append({"scorer": name, "part": "value", "value": score.value, "said": score.verdict})
        rows += [
            {"scorer": name, "part": part, "value": value, "said": ""} for part, value in score.parts.items()
        ]
    if len(rows) <= 1:
        return
    frame = pd.DataFrame(rows).map(lambda cell: safe.visible(cell) if isinstance(cell, str) else cell)
    with st.expander(f"What was scored: {len(item.scores)} scorers, {len(rows)} values" if len(item.scores) > 1
                     else f"What was scored: {len(rows)} values"):  # fmt: skip
        st.dataframe(frame, hide_index=True, placeholder="", alt="Values per scorer")


def judged(item: Item) -> None:
    """Draw what judge models said, word for word."""
    said = [one for score in item.scores.values() if isinstance(score, Score) for one in score.judged]
    for number, one in enumerate(said, 1):
        name = f"Judge {number} of {len(said)}: " if len(said) > 1 else "Judge: "
        with st.expander(f"{name}{safe.label(one.judge)}", icon=":material/gavel:"):
            text(one.text, key=f"judge{number}-{item.entry.card.run}")
            tokens = f", {one.usage.output:,} tokens" if one.usage.output is not None else ""
            st.caption(f"{safe.label(one.model or one.judge)}, {one.attempts} attempts{tokens}")


# --- pictures -----------------------------------------------------------------------------------------------


def pictures(item: Item, key: str) -> None:
    """Draw molecules, reactions and crystals of a sample."""
    found = items.molecules(item)
    if found:
        molecules(found, key)
    if crystals.looks_like_crystal(item.asked):
        crystal(item.asked, key)


def molecules(found: items.Molecules, key: str) -> None:
    """Draw an answer beside the gold molecule, the reaction that it belongs to, and what the question gives."""
    dark = state.dark()
    if found.gold:
        both = _drawn("drawings.pair", found.answer, found.gold, dark=dark)
        if isinstance(both, str):
            st.caption(f"Not drawn: {safe.label(both)}")
        else:
            pair(found, both)
    if found.reaction:
        with st.expander("The reaction", icon=":material/science:", key=f"reaction-{key}"):
            reaction(found)
    elif found.given and not found.gold:
        cells = st.columns(min(2, len(found.given)))
        for place, smiles in enumerate(found.given):
            with cells[place % len(cells)]:
                image(_drawn("drawings.molecule", smiles, dark=dark), f"molecule in the question: {smiles}")


def pair(found: items.Molecules, both: drawings.PairPicture) -> None:
    """Draw two molecules with what they share and what differs."""
    left, right = st.columns(2)
    with left:
        image(both.answer, f"answered molecule: {found.answer or 'none'}", "Answer")
    with right:
        image(both.gold, f"gold molecule: {found.gold}", "Gold")
    if both.tanimoto:
        cut = " (the search was cut short)" if both.cut else ""
        stereo = f"; {both.stereo} of them differ in stereo" if both.stereo else ""
        st.caption(
            f":blue-background[blue]: in both, the largest common substructure of {both.shared} atoms{cut}{stereo}; "
            f":orange-background[orange]: what differs. Answer {both.answer.atoms}, gold {both.gold.atoms} heavy atoms."
        )
        cells = st.columns(3)
        for cell, (name, value) in zip(cells, both.tanimoto.items(), strict=False):
            cell.metric(
                f"Tanimoto, {FINGERPRINTS[name]}", f"{value:.3f}", help="1: the same bits; blind to stereo."
            )


def reaction(found: items.Molecules) -> None:
    """Draw the reaction as it is known and as it was answered."""
    asked = ".".join(found.given[:1])
    for name, smiles in (("As known", found.gold), ("As answered", found.answer)):
        if smiles and asked:
            ends = (asked, smiles) if found.reaction == "forward" else (smiles, asked)
            st.caption(name)
            drawn = _drawn("drawings.reaction", *ends, dark=state.dark())
            image(drawn, f"reaction: {ends[0]} gives {ends[1]}", wide=True)


def image(picture: drawings.Picture | str, alt: str, title: str = "", *, wide: bool = False) -> None:
    """Draw a picture of ours, or say why there is none."""
    if title:
        st.caption(title)
    if isinstance(picture, str) or not picture.svg.startswith(("<?xml", "<svg")):
        st.caption(f"Not drawn: {safe.label(picture if isinstance(picture, str) else picture.note)}")
        return
    st.image(picture.svg, alt=safe.visible(alt)[:300], width=drawings.WIDE[0] if wide else drawings.SIZE[0])
    if picture.note:
        st.caption(safe.label(picture.note, 300))


def crystal(words: str, key: str) -> None:
    """Draw a crystal's cell beside its numbers."""
    found = _drawn("crystals.read", words, dark=state.dark())
    if isinstance(found, str):
        st.caption(f"Not drawn: {safe.label(found)}")
        return
    left, right = st.columns(2)
    with left:
        st.image(found.svg, alt=safe.visible(f"unit cell of {found.formula}"), width=320)
    with right:
        st.markdown(
            f"**{safe.label(found.formula)}**, {safe.label(found.space_group or 'no symmetry found')}"
        )
        rows = {
            "a, b, c / Å": ", ".join(f"{x:.4g}" for x in found.lengths),
            "α, β, γ / °": ", ".join(f"{x:.4g}" for x in found.angles),
            "volume / Å³": f"{found.volume:.4g}",
            "density / g cm⁻³": f"{found.density:.4g}",
            "sites in the cell": str(len(found.sites)),
        }
        st.table(pd.Series(rows, name="").to_frame(), border="horizontal", hide_header=True)
    with st.expander("Sites, fractional coordinates", key=f"sites-{key}"):
        st.dataframe(pd.DataFrame(found.sites), hide_index=True, alt="Sites of the cell")


# --- texts --------------------------------------------------------------------------------------------------


def text(body: str, *, key: str) -> None:
    """Draw a foreign text with its formulas set; a long one is cut, and can be had whole."""
    st.markdown(safe.markdown(safe.cut(body).text) if body else ":gray[(empty)]")
    whole(body, key)


def whole(body: str, key: str) -> None:
    """Offer a text that was cut as a file."""
    if safe.cut(body).left_out:
        st.download_button(
            f"All {len(body):,} characters", lambda: body.encode("utf-8", "replace"), f"{key}.txt", "text/plain",
            key=f"whole-{key}", icon=":material/download:", on_click="ignore",
        )  # fmt: skip


def reply(item: Item, key: str, *, raw: bool) -> None:
    """Draw a reply, its reasoning folded above it, and what it took."""
    found = item.reply
    if found is None:
        if item.outcome is None and not item.entry.card.gated:
            st.info(
                "There is no record of this sample: it was not asked, or not yet.",
                icon=":material/hourglass_empty:",
            )
        return
    if found.reasoning:
        with st.expander(f"Reasoning, {len(found.reasoning):,} characters, never graded", icon=":material/psychology:",
                         key=f"reasoning-{key}"):  # fmt: skip
            _body(found.reasoning, f"{key}-reasoning", raw=raw)
    _body(found.text, f"{key}-reply", raw=raw)
    st.caption(took(found))


def _body(body: str, key: str, *, raw: bool) -> None:
    """Draw a reply's text with its formulas set, or as it came."""
    if raw:
        st.code(safe.visible(safe.cut(body).text), language=None, wrap_lines=True)
        whole(body, key)
    else:
        text(body, key=key)


def took(reply: Reply) -> str:
    """Say what a reply took, and how it ended."""
    ends = {"stop": "", "length": "cut at max tokens", "filter": "stopped by a content filter"}
    usage = reply.usage
    facts = [
        ends[reply.stop],
        f"{usage.input:,} tokens in" if usage.input is not None else "",
        f"{usage.output:,} out" if usage.output is not None else "",
        f"{usage.reasoning:,} of them reasoning" if usage.reasoning is not None else "",
        f"{reply.seconds:.1f} s" if reply.seconds else "",
        f"{reply.attempts} attempts" if reply.attempts > 1 else "",
        f"served by {safe.label(reply.model)}" if reply.model else "",
    ]
    return ", ".join(filter(None, facts)) or f"{len(reply.text):,} characters; tokens are not known"


def prompt(item: Item, key: str) -> None:
    """Draw the prompt as sent, with what was sent besides text."""
    found = item.prompt
    if found is None or not found.messages:
        st.caption("The prompt is not known: these replies were recorded by somebody else.")
        return
    for number, message in enumerate(found.messages):
        st.caption(message.role)
        for place, part in enumerate(message.parts):
            if isinstance(part, Text):
                text(part.text, key=f"{key}-prompt{number}-{place}")
            else:
                sent(item, part)


def sent(item: Item, part: Media) -> None:
    """Draw an image or a series that was sent, boxes of the answers on it."""
    try:
        raw = media.read(item.entry.path, part)
    except EvalsError as error:
        st.caption(f"Not shown: {safe.label(error)}")
        return
    size = f"{part.width} x {part.height} pixels" if part.width else f"{part.size:,} bytes"
    how = f", sent as {part.sent}" if part.sent else ""
    if part.kind == "time_series":
        lines(_drawn("media.series", raw, part.media_type))
    elif part.kind == "structure":
        crystal(raw.decode("utf-8", "replace"), part.sha256[:8])
    else:
        pixels(item, raw)
    st.caption(safe.label(f"{part.media_type}, {size}{how}, SHA-256 {part.sha256[:12]}"))


def pixels(item: Item, raw: bytes) -> None:
    """Draw an image, with the boxes of gold answer and answer where both are boxes."""
    gold = media.rectangles(str(item.sample.target)) if item.sample else []
    stated = media.rectangles(item.score.answer or "") if gold and item.score else []
    found = _drawn("media.picture", raw, tuple(gold), tuple(stated))
    if isinstance(found, str):
        st.caption(f"Not shown: {safe.label(found)}")
        return
    st.image(found, alt="image that was sent with the prompt")
    if gold:
        overlap = f", intersection over union {iou(stated[0], gold[0]):.3f}" if stated else ""
        st.caption(f":blue-background[blue]: gold, :orange-background[orange]: answered{overlap}")


def lines(found: pd.DataFrame | str) -> None:
    """Plot a time series."""
    if isinstance(found, str):
        st.caption(f"Not drawn: {safe.label(found)}")
        return
    from evals.dashboard.charts import samples as item_charts

    st.altair_chart(
        item_charts.series(found, dark=state.dark()), alt="time series that was sent with the prompt"
    )


def beside(left: Item, right: Item) -> None:
    """Draw two replies with what only one of them has marked."""
    texts = [safe.cut(one.reply.text).text if one.reply else "" for one in (left, right)]
    found = differences.sides(*texts)
    for cell, one, lines_ in zip(st.columns(2), (left, right), found, strict=True):
        with cell, st.container(border=True):
            st.markdown(f"**{safe.label(one.entry.card.model)}** {badge(one.verdict)}")
            st.markdown(safe.marked(lines_, "orange" if one is left else "blue"))
    st.caption(":orange-background[orange] and :blue-background[blue]: only this reply has it.")


def heading(several: Sequence[Item]) -> str:
    """Name a sample in a line."""
    first = several[0]
    repeat = f", repeat {first.repeat}" if first.entry.card.config.repeats > 1 else ""
    group = f", {safe.label(first.group)}" if first.group else ""
    return f"{safe.label(first.id)}{repeat}{group}"
