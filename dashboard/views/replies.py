"""One sample in words: question, reply with what was read marked in it, answer beside gold, verdict and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from evals.dashboard.foreign import text as safe
from evals.dashboard.foreign import text_diff
from evals.dashboard.tables import sample as samples
from evals.dashboard.tables.sample import Item, Option
from evals.dashboard.views import drawings
from evals.types import Failure, Part, Reply, Score, Text

COLOURS = {"right": "green", "wrong": "orange", "graded": "blue", "invalid": "violet"}
"""Badge colours of verdicts; all others are grey. The badge has the word too."""
LONG = 900
"""Length of a reply above which an excerpt with the extracted answer precedes it."""
TALL = 620
"""Height in pixels above which a prompt or a reply scrolls by itself."""


def badge(verdict: str) -> str:
    """Return a verdict as a badge, in Markdown."""
    return f":{COLOURS.get(verdict, 'gray')}-badge[{safe.literal(verdict)}]"


def heading(items: Sequence[Item]) -> str:
    """Return the title of a sample."""
    first = items[0]
    repeat = f", repeat {first.repeat}" if first.entry.card.config.repeats > 1 else ""
    group = f", {safe.label(first.group)}" if first.group else ""
    return f"{safe.label(first.id)}{repeat}{group}"


# --- verdict, answer and gold -------------------------------------------------------------------------------


def scored(item: Item) -> None:
    """Draw the verdict, the extracted answer, the gold answer and the reason."""
    score = item.score
    suspect = " :orange-badge[:material/flag: needs review]" if score and score.suspect else ""
    st.markdown(badge(item.verdict) + suspect)
    if isinstance(item.outcome, Failure):
        st.warning(
            f"Failed at the {item.outcome.stage} after {item.outcome.attempts} attempts, no verdict on the model: "
            f"{safe.label(item.outcome.kind)}: {safe.label(item.outcome.message, 600)}"
        )
    if item.sample is not None:
        _answers(item)
    if score and score.why:
        st.markdown(f"**Why**: {safe.label(score.why, 600)}")
    _figures(item)


def _answers(item: Item) -> None:
    """Draw the extracted answer and the gold answer: options by letter and text, other answers verbatim."""
    stated = item.score.answer if item.score else None
    offered = samples.options(item)
    if offered:
        answered = [option for option in offered if option.answered]
        read = "; ".join(map(_option, answered)) or (safe.label(stated) if stated else "*no answer*")
        gold = "; ".join(_option(option) for option in offered if option.gold)
        st.markdown(f":{safe.READ}-badge[read] {read}\n\n:green-badge[gold] {gold}")
        return
    target = item.sample.target if item.sample else ""
    gold = ", ".join(target) if isinstance(target, tuple) else str(target)
    unit = f" {item.sample.unit}" if item.sample and item.sample.unit else ""
    left, right = st.columns(2)
    with left:
        st.caption("Read")
        if stated is None:
            st.markdown("*no answer*")
        else:
            _verbatim(safe.shorten(stated, 2_000).text)
    with right:
        st.caption("Gold")
        _verbatim(safe.shorten(f"{gold}{unit}", 2_000).text)


def _option(option: Option) -> str:
    order = f" ({option.letter} in the data set)" if option.shown != option.letter else ""
    return f"**{option.shown}.** {safe.label(option.text, 200)}{order}"


def _verbatim(text: str) -> None:
    st.code(safe.visible(text), language=None, wrap_lines=True)


def _figures(item: Item) -> None:
    """Write a stated number beside the target, with its error."""
    number = samples.figures(item)
    if number is None:
        return
    unit = f" {safe.label(number.unit)}" if number.unit else ""
    share = 100 * (number.relative or 0.0)
    relative = "" if number.relative is None else f" ({share:+,.{0 if abs(share) >= 100 else 1}f} %)"
    st.markdown(
        f"stated **{number.value:.5g}**{unit}, target **{number.target:.5g}**{unit}, "
        f"error **{safe.literal(f'{number.error:+.4g}')}**{unit}{safe.literal(relative)}"
    )


def parts(item: Item) -> None:
    """Draw every scorer's value and parts if there is more than one number."""
    rows: list[dict[str, Any]] = []
    for name, score in item.scores.items():
        if isinstance(score, Failure):
            rows.append(
                {"scorer": name, "part": "failed", "value": None, "note": f"{score.kind}: {score.message}"}
            )
            continue
        rows.append({"scorer": name, "part": "value", "value": score.value, "note": score.verdict})
        rows += [
            {"scorer": name, "part": part, "value": value, "note": ""} for part, value in score.parts.items()
        ]
    if len(rows) <= 1:
        return
    frame = pd.DataFrame(rows).map(lambda cell: safe.visible(cell) if isinstance(cell, str) else cell)
    scorers = f"{len(item.scores)} scorers, " if len(item.scores) > 1 else ""
    with st.expander(f"Scores: {scorers}{len(rows)} values"):
        st.dataframe(frame, hide_index=True, placeholder="", alt="Values per scorer")


def judged(item: Item) -> None:
    """Draw the judge models' replies verbatim."""
    judgements = [
        judgement for score in item.scores.values() if isinstance(score, Score) for judgement in score.judged
    ]
    for number, judgement in enumerate(judgements, 1):
        name = f"Judge {number} of {len(judgements)}: " if len(judgements) > 1 else "Judge: "
        with st.expander(f"{name}{safe.label(judgement.judge)}", icon=":material/gavel:"):
            _body(judgement.text, f"judge{number}-{item.entry.card.run}")
            tokens = f", {judgement.usage.output:,} tokens" if judgement.usage.output is not None else ""
            st.caption(
                f"{safe.label(judgement.model or judgement.judge)}, {judgement.attempts} attempts{tokens}"
            )


# --- question and reply -------------------------------------------------------------------------------------


def question(item: Item, key: str) -> None:
    """Draw the prompt as sent; if it is not known, the data set's question with its options, if it was kept."""
    messages = item.prompt.messages if item.prompt else ()
    if messages:
        for number, message in enumerate(messages):
            words = any(isinstance(part, Text) for part in message.parts)
            sent = f"Prompt as sent: {message.role}" if words else "Image as given to the network"
            st.caption(message.role if number else sent)
            _parts(item, message.parts, f"{key}-prompt{number}")
        return
    question_parts = item.sample.question if item.sample else ()
    if question_parts:
        st.caption("Question of the data set; the prompt as sent is not known")
        _parts(item, question_parts, f"{key}-question")
    elif item.outcome is not None:
        st.caption("Neither prompt nor question is known: the replies were imported.")
    _options(item)


def _parts(item: Item, message_parts: Sequence[Part], key: str) -> None:
    for place, part in enumerate(message_parts):
        if isinstance(part, Text):
            _body(part.text, f"{key}-{place}")
        else:
            drawings.sent(item, part)


def _options(item: Item) -> None:
    lines = [
        f"- **{option.shown}.** {safe.label(option.text, 400)}"
        f"{' :green-badge[gold]' if option.gold else ''}{f' :{safe.READ}-badge[read]' if option.answered else ''}"
        for option in samples.options(item)
    ]
    if lines:
        st.markdown("\n".join(lines))


def reply(item: Item, key: str, *, raw: bool) -> None:
    """Draw a reply with the extracted answer marked, its reasoning folded above it, and its cost."""
    answer = item.reply
    if answer is None:
        if item.outcome is None and not item.entry.card.gated:
            st.info(
                "There is no record of this sample: it was not sent, or not yet.",
                icon=":material/hourglass_empty:",
            )
        return
    mark = samples.where_read(item)
    if mark and len(answer.text) > LONG and not raw:
        excerpt = safe.excerpt(answer.text, mark)
        st.caption("Extracted here")
        with st.container(border=True):
            st.markdown(safe.markdown(excerpt.text, mark=excerpt.mark))
    if answer.reasoning:
        title = f"Reasoning, {_characters(answer.reasoning)}, never graded"
        with st.expander(title, icon=":material/psychology:", key=f"reasoning-{key}"):
            _body(answer.reasoning, f"{key}-reasoning", raw=raw)
    st.caption("Reply as received" if raw else "Reply")
    _body(answer.text, f"{key}-reply", raw=raw, mark=mark)
    st.caption(cost(answer))


def _body(text: str, key: str, *, raw: bool = False, mark: tuple[int, int] | None = None) -> None:
    """Draw a foreign text, verbatim or with formulas typeset; a long one is shortened, and can be downloaded whole."""
    short = safe.shorten(text, mark=mark)
    with st.container(height=TALL if len(short.text) > 4 * LONG else "content", border=False):
        if raw:
            _verbatim(short.text)
        else:
            st.markdown(safe.markdown(short.text, mark=short.mark) if text else ":gray[(empty)]")
    if short.left_out:
        st.download_button(
            f"All {_characters(text)}", lambda: text.encode("utf-8", "replace"), f"{key}.txt", "text/plain",
            key=f"whole-{key}", icon=":material/download:", on_click="ignore",
        )  # fmt: skip


def cost(answer: Reply) -> str:
    """Return the cost of a reply and how it ended."""
    ends = {"stop": "", "length": "truncated at max tokens", "filter": "stopped by a content filter"}
    usage = answer.usage
    facts = [
        ends[answer.stop],
        f"{usage.input:,} tokens in" if usage.input is not None else "",
        f"{usage.output:,} out" if usage.output is not None else "",
        f"{usage.reasoning:,} of them reasoning" if usage.reasoning is not None else "",
        f"{answer.seconds:.1f} s" if answer.seconds else "",
        f"{answer.attempts} attempts" if answer.attempts > 1 else "",
        f"served by {safe.label(answer.model)}" if answer.model else "",
    ]
    return ", ".join(filter(None, facts)) or f"{_characters(answer.text)}; tokens are not known"


def _characters(text: str) -> str:
    return f"{len(text):,} {'character' if len(text) == 1 else 'characters'}"


def beside(left: Item, right: Item) -> None:
    """Draw two replies with their differences marked."""
    texts = [safe.shorten(item.reply.text).text if item.reply else "" for item in (left, right)]
    lines = text_diff.sides(*texts)
    for cell, item, words in zip(st.columns(2), (left, right), lines, strict=True):
        with cell, st.container(border=True):
            st.markdown(f"**{safe.label(item.entry.card.model)}** {badge(item.verdict)}")
            st.markdown(safe.marked(words, "orange" if item is left else "blue"))
    st.caption(":orange-background[orange] and :blue-background[blue]: only this reply has it.")
