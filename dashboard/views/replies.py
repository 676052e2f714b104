"""The texts of a sample: question, reply with the extracted answer marked, gold answer, verdict and reason."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from evals.dashboard import state
from evals.dashboard.tables import sample as samples
from evals.dashboard.tables.sample import Item, Option
from evals.dashboard.untrusted import text as safe
from evals.dashboard.untrusted import text_diff
from evals.dashboard.views import drawings
from evals.plain import count_of
from evals.types import Failure, Part, Reply, Score, Text

VERDICT_COLOURS = {"right": "green", "wrong": "orange", "graded": "blue", "invalid": "violet"}
"""Verdict -> colour of its badge; badges of other verdicts are grey."""
LONG_REPLY_CHARS = 900
"""Length above which an excerpt with the extracted answer is shown before a reply."""
SCROLLING_HEIGHT = 620
"""Height in pixels of the scrolling box for a text longer than 4 * `LONG_REPLY_CHARS`."""


def verdict_badge(verdict: str) -> str:
    """Return the badge of a verdict in Markdown."""
    return f":{VERDICT_COLOURS.get(verdict, 'gray')}-badge[{safe.literal(verdict)}]"


def heading(item: Item) -> str:
    """Return the title of a sample: its id, repeat and group."""
    repeat = f", repeat {item.repeat}" if item.entry.card.config.repeats > 1 else ""
    group = f", {safe.label(item.group)}" if item.group else ""
    return f"{safe.label(item.id)}{repeat}{group}"


def draw_score(item: Item) -> None:
    """Draw verdict, extracted answer, gold answer and reason."""
    score = item.score
    suspect = " :orange-badge[:material/flag: needs review]" if score and score.suspect else ""
    st.markdown(verdict_badge(item.verdict) + suspect)
    if isinstance(item.outcome, Failure):
        st.warning(
            f"Failed at stage {item.outcome.stage} after {count_of(item.outcome.attempts, 'attempt')}, not scored: "
            f"{safe.label(item.outcome.kind)}: {safe.label(item.outcome.message, 600)}"
        )
    if item.sample is not None:
        _draw_answers(item)
    if score and score.why:
        st.markdown(f"**Reason**: {safe.label(score.why, 600)}")
    _draw_number(item)


def _draw_answers(item: Item) -> None:
    """Draw the extracted answer and the gold answer: options by letter and text, other answers verbatim."""
    answer = item.score.answer if item.score else None
    options = samples.options(item)
    if options:
        answered_options = [option for option in options if option.is_answer]
        answer_text = "; ".join(map(_option_text, answered_options)) or (
            safe.label(answer) if answer else "*no answer*"
        )
        gold = "; ".join(_option_text(option) for option in options if option.is_gold)
        st.markdown(f":{safe.ANSWER_COLOUR}-badge[answer] {answer_text}\n\n:green-badge[gold] {gold}")
        return
    unit = f" {item.sample.unit}" if item.sample and item.sample.unit else ""
    left, right = st.columns(2)
    with left:
        st.caption("Answer")
        if answer is None:
            st.markdown("*no answer*")
        else:
            _draw_verbatim(safe.shorten(answer, 2_000).text)
    with right:
        st.caption("Gold")
        _draw_verbatim(safe.shorten(f"{item.gold}{unit}", 2_000).text)


def _option_text(option: Option) -> str:
    original_letter = f" ({option.letter} in the data set)" if option.shown_letter != option.letter else ""
    return f"**{option.shown_letter}.** {safe.label(option.text, 200)}{original_letter}"


def _draw_verbatim(text: str) -> None:
    st.code(safe.visible(text), language=None, wrap_lines=True)


def _draw_number(item: Item) -> None:
    """Draw a numeric answer, the target and the error; nothing if either is not a number."""
    number = samples.compare_numbers(item)
    if number is None:
        return
    unit = f" {safe.label(number.unit)}" if number.unit else ""
    percent = 100 * (number.relative_error or 0.0)
    relative = (
        "" if number.relative_error is None else f" ({percent:+,.{0 if abs(percent) >= 100 else 1}f} %)"
    )
    st.markdown(
        f"answer **{number.value:.5g}**{unit}, target **{number.target:.5g}**{unit}, "
        f"error **{safe.literal(f'{number.error:+.4g}')}**{unit}{safe.literal(relative)}"
    )


def draw_parts(item: Item) -> None:
    """Draw a table of all scorers' values and parts; nothing if there is only one value."""
    rows: list[dict[str, Any]] = []
    for name, score in item.scores.items():
        if isinstance(score, Failure):
            rows.append(
                {"scorer": name, "part": "failed", "value": None, "note": f"{score.kind}: {score.message}"}
            )
            continue
        rows.append({"scorer": name, "part": "value", "value": score.value, "note": score.verdict})
        rows += [
            {"scorer": name, "part": key, "value": value, "note": ""} for key, value in score.parts.items()
        ]
    if len(rows) <= 1:
        return
    frame = pd.DataFrame(rows).map(lambda cell: safe.visible(cell) if isinstance(cell, str) else cell)
    scorers = f"{count_of(len(item.scores), 'scorer')}, " if len(item.scores) > 1 else ""
    with st.expander(f"Scores: {scorers}{len(rows)} values"):
        state.draw_table(frame, alt="Values per scorer")


def draw_judgements(item: Item) -> None:
    """Draw the judge models' replies."""
    judgements = [
        judgement for score in item.scores.values() if isinstance(score, Score) for judgement in score.judged
    ]
    for number, judgement in enumerate(judgements, 1):
        name = f"Judge {number} of {len(judgements)}: " if len(judgements) > 1 else "Judge: "
        with st.expander(f"{name}{safe.label(judgement.judge)}", icon=":material/gavel:"):
            _draw_text(judgement.text, f"judge{number}-{item.entry.name}")
            tokens = f", {judgement.usage.output:,} tokens" if judgement.usage.output is not None else ""
            st.caption(
                f"{safe.label(judgement.model or judgement.judge)}, {count_of(judgement.attempts, 'attempt')}{tokens}"
            )


def draw_question(item: Item, key: str) -> None:
    """Draw the prompt or, if it is unknown, the question from the data set with its options."""
    messages = item.prompt.messages if item.prompt else ()
    if messages:
        for number, message in enumerate(messages):
            has_text = any(isinstance(part, Text) for part in message.parts)
            first_caption = f"Prompt as sent: {message.role}" if has_text else "Image as fed to the network"
            st.caption(message.role if number else first_caption)
            _draw_message(item, message.parts, f"{key}-prompt{number}")
        return
    question_parts = item.sample.question if item.sample else ()
    if question_parts:
        st.caption("Question from the data set; the prompt that was sent is unknown")
        _draw_message(item, question_parts, f"{key}-question")
    elif item.outcome is not None:
        st.caption("Prompt and question are unknown: the replies were imported.")
    _draw_options(item)


def _draw_message(item: Item, message_parts: Sequence[Part], key: str) -> None:
    for index, part in enumerate(message_parts):
        if isinstance(part, Text):
            _draw_text(part.text, f"{key}-{index}")
        else:
            drawings.draw_media(item, part)


def _draw_options(item: Item) -> None:
    lines = [
        f"- **{option.shown_letter}.** {safe.label(option.text, 400)}"
        f"{' :green-badge[gold]' if option.is_gold else ''}{f' :{safe.ANSWER_COLOUR}-badge[answer]' if option.is_answer else ''}"
        for option in samples.options(item)
    ]
    if lines:
        st.markdown("\n".join(lines))


def draw_reply(item: Item, key: str, *, raw: bool) -> None:
    """Draw a reply with the extracted answer marked, its reasoning and its token usage."""
    reply = item.reply
    if reply is None:
        if item.outcome is None and not item.entry.card.gated:
            st.info("No record of this sample: it has not been sent.", icon=":material/hourglass_empty:")
        return
    mark = samples.answer_span(item)
    if mark and len(reply.text) > LONG_REPLY_CHARS and not raw:
        excerpt = safe.excerpt(reply.text, mark)
        st.caption("Excerpt with the answer")
        with st.container(border=True):
            st.markdown(safe.markdown(excerpt.text, mark=excerpt.mark))
    if reply.reasoning:
        title = f"Reasoning, {_character_count(reply.reasoning)}, not graded"
        with st.expander(title, icon=":material/psychology:", key=f"reasoning-{key}"):
            _draw_text(reply.reasoning, f"{key}-reasoning", raw=raw)
    st.caption("Reply as received" if raw else "Reply")
    _draw_text(reply.text, f"{key}-reply", raw=raw, mark=mark)
    st.caption(usage_text(reply))


def _draw_text(text: str, key: str, *, raw: bool = False, mark: tuple[int, int] | None = None) -> None:
    """Draw text, verbatim if `raw`, else with formulas typeset; long text is shortened and can be downloaded."""
    shortened = safe.shorten(text, mark=mark)
    with st.container(
        height=SCROLLING_HEIGHT if len(shortened.text) > 4 * LONG_REPLY_CHARS else "content", border=False
    ):
        if raw:
            _draw_verbatim(shortened.text)
        else:
            st.markdown(safe.markdown(shortened.text, mark=shortened.mark) if text else ":gray[(empty)]")
    if shortened.omitted:
        label, content = f"All {_character_count(text)}", partial(text.encode, "utf-8", "replace")
        state.draw_download(label, content, f"{key}.txt", key=f"whole-{key}")


def usage_text(reply: Reply) -> str:
    """Return the stop reason, token usage and time of a reply as text."""
    endings = {"stop": "", "length": "truncated at max tokens", "filter": "stopped by a content filter"}
    usage = reply.usage
    facts = [
        endings[reply.stop],
        f"{usage.input:,} tokens in" if usage.input is not None else "",
        f"{usage.output:,} out" if usage.output is not None else "",
        f"{usage.reasoning:,} of them reasoning" if usage.reasoning is not None else "",
        f"{reply.seconds:.1f} s" if reply.seconds else "",
        count_of(reply.attempts, "attempt") if reply.attempts > 1 else "",
        f"served by {safe.label(reply.model)}" if reply.model else "",
    ]
    return ", ".join(filter(None, facts)) or f"{_character_count(reply.text)}; number of tokens unknown"


def _character_count(text: str) -> str:
    return count_of(len(text), "character")


def side_by_side(left: Item, right: Item) -> None:
    """Draw two replies with their differences marked."""
    texts = [safe.shorten(item.reply.text).text if item.reply else "" for item in (left, right)]
    lines = text_diff.diff(*texts)
    for cell, item, marked_lines in zip(st.columns(2), (left, right), lines, strict=True):
        with cell, st.container(border=True):
            st.markdown(f"**{safe.label(item.entry.card.model)}** {verdict_badge(item.verdict)}")
            st.markdown(safe.lines_to_markdown(marked_lines, "orange" if item is left else "blue"))
    st.caption(":orange-background[orange] and :blue-background[blue]: only in this reply.")
