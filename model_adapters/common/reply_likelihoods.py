"""Likelihoods of recorded replies under a checkpoint in this process: one forward pass over prompt and reply. Calls block."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from threading import Event
from typing import Any, NamedTuple

from evals.boundary import foreign_code
from evals.errors import Context, ModelError, Rejected
from evals.model_adapters.common.token_probabilities import make_likelihoods, token_statistics
from evals.model_adapters.common.weights import Checkpoint, render
from evals.prompts import plain_text
from evals.seams import Decoding, TokenLikelihoods
from evals.types import Message, Prompt, Reply, Text

MAX_BATCH_ROWS = 16
"""Maximum number of replies in a batch."""
MAX_BATCH_TOKENS = 4096
"""Maximum number of tokens in a batch of several replies, padding included."""
MAX_LOGITS = 1 << 27
"""Maximum number of logits in memory; longer texts are processed in chunks that share a cache of keys and values."""
MIN_CHUNK_TOKENS = 64
"""Minimum number of tokens per text in a chunk."""
OPENING_TAG, CLOSING_TAG = "<think>", "</think>"


class Row(NamedTuple):
    """A prompt and its reply as tokens."""

    tokens: list[int]
    start: int
    """Position of the reply's first token."""
    recorded: int | None
    """See `TokenLikelihoods.recorded_tokens`."""


def compute(
    checkpoint: Checkpoint,
    exchanges: Sequence[tuple[Prompt, Reply]],
    decoding: Decoding,
    variables: Mapping[str, Any],
    *,
    has_stops: bool,
    cancelled: Event,
) -> list[TokenLikelihoods | ModelError]:
    """Return the likelihoods of each reply, or why they cannot be computed; `variables`: passed to the chat template.

    `has_stops`: whether stop sequences were set; one of them may have ended a reply in place of the end-of-turn token.
    `cancelled`: set when the likelihoods are no longer needed, so that no further batch is started. Raises Rejected if the
    checkpoint has no chat template.
    """
    if not checkpoint.processor.chat_template:
        raise Rejected("the checkpoint has no chat template to render the prompts with")
    outcomes: list[TokenLikelihoods | ModelError | None] = [None] * len(exchanges)
    rows: dict[int, Row] = {}
    end = None if has_stops else end_of_turn(checkpoint, variables)
    for index, (prompt, reply) in enumerate(exchanges):
        try:
            with foreign_code(ModelError):  # e.g. a template that rejects these roles
                rows[index] = tokenize(checkpoint, prompt, reply, variables, end)
        except ModelError as error:
            outcomes[index] = error
    for batch in _batch_by_length(rows):
        if cancelled.is_set():
            break
        batch_outcomes = _batch_likelihoods(checkpoint, [rows[index] for index in batch], decoding)
        for index, outcome in zip(batch, batch_outcomes, strict=True):
            outcomes[index] = outcome
    return [outcome for outcome in outcomes if outcome is not None]


def tokenize(
    checkpoint: Checkpoint, prompt: Prompt, reply: Reply, variables: Mapping[str, Any], end: int | None
) -> Row:
    """Tokenise a prompt as rendered, and its reply as plain text except for reasoning tags; `end`: see `end_of_turn`.

    Raises Context if they exceed the context, ModelError if one of them is empty or the reasoning's tags are unknown.
    """
    text = render(checkpoint, prompt, [], dict(variables))
    tokens: list[int] = checkpoint.tokenizer(text, add_special_tokens=False)["input_ids"]
    start = len(tokens)
    for segment in _reply_segments(checkpoint, prompt, reply, variables, text):
        tokens = tokens + _encode(checkpoint, segment)
    if end is not None and reply.stop == "stop":
        tokens = [*tokens, end]
    if len(tokens) > checkpoint.context:
        raise Context(f"prompt and reply have more tokens than the context of {checkpoint.context}")
    if len(tokens) == start or not start:
        raise ModelError("prompt or reply has no tokens")
    return Row(tokens, start, reply.usage.output)


def _encode(checkpoint: Checkpoint, segment: str) -> list[int]:
    if segment in (OPENING_TAG, CLOSING_TAG) and segment in checkpoint.tokenizer.get_vocab():
        return [int(checkpoint.tokenizer.convert_tokens_to_ids(segment))]
    return list(
        checkpoint.tokenizer(segment, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    )


def _reply_segments(
    checkpoint: Checkpoint, prompt: Prompt, reply: Reply, variables: Mapping[str, Any], rendered_prompt: str
) -> list[str]:
    """Return the text of a reply in segments; the tags around its reasoning are separate segments."""
    if reply.reasoning is None:
        return [reply.text] if reply.text else []
    if CLOSING_TAG not in checkpoint.tokenizer.get_vocab() and CLOSING_TAG not in str(
        checkpoint.tokenizer.chat_template
    ):
        raise ModelError("the reasoning was recorded without the tags that enclosed it")
    is_open = rendered_prompt.rstrip().endswith(OPENING_TAG)
    segments = [reply.reasoning] if is_open else [OPENING_TAG, f"\n{reply.reasoning}"]
    if reply.stop == "length" and not reply.text:
        return segments
    rendered_segments = _segments_by_template(checkpoint, prompt, reply, variables, rendered_prompt)
    if rendered_segments is not None:
        return rendered_segments
    segments[-1] += "\n"
    return [*segments, CLOSING_TAG, f"\n\n{reply.text}"]


def _segments_by_template(
    checkpoint: Checkpoint, prompt: Prompt, reply: Reply, variables: Mapping[str, Any], rendered_prompt: str
) -> list[str] | None:
    """Return the segments of a reply as the chat template renders it; None if the template leaves out the reasoning."""
    reasoning = reply.reasoning or ""
    turns = [{"role": m.role, "content": plain_text(m.parts)} for m in prompt.messages]
    turns.append({"role": "assistant", "content": reply.text, "reasoning_content": reasoning})
    conversation = checkpoint.processor.apply_chat_template(turns, tokenize=False, **variables)
    rendered = str(conversation).removeprefix(rendered_prompt)
    if rendered == conversation or not reasoning or reasoning not in rendered or reply.text not in rendered:
        return None
    begin = rendered.index(reasoning)
    before, after = rendered[:begin], rendered[begin + len(reasoning) :]
    if reply.text not in after or CLOSING_TAG not in after:
        return None
    before_close, _, after_close = after[: after.rindex(reply.text)].partition(CLOSING_TAG)
    opening = [OPENING_TAG, before.partition(OPENING_TAG)[2]] if OPENING_TAG in before else [before]
    opening[-1] += reasoning + before_close
    return [*opening, CLOSING_TAG, after_close + reply.text]


def end_of_turn(checkpoint: Checkpoint, variables: Mapping[str, Any]) -> int | None:
    """Return the end-of-turn token: the first token after a rendered turn that can end a generation, else the EOS token."""
    eos_tokens = {*checkpoint.eos_tokens, checkpoint.tokenizer.eos_token_id} - {None}
    turns = Prompt(messages=(Message.user("Hello"), Message("assistant", (Text("Goodbye"),))))
    conversation = render(checkpoint, turns, [], {**variables, "add_generation_prompt": False})
    after = conversation.rpartition("Goodbye")[2]
    tokens: list[int] = checkpoint.tokenizer(after, add_special_tokens=False)["input_ids"]
    default: int | None = checkpoint.tokenizer.eos_token_id
    return next((token for token in tokens if token in eos_tokens), default)


def _batch_by_length(rows: Mapping[int, Row]) -> Iterator[list[int]]:
    """Yield batches of row indices; the rows of a batch are similar in length."""
    batch: list[int] = []
    for index in sorted(rows, key=lambda index: len(rows[index].tokens)):
        if batch and (
            len(batch) == MAX_BATCH_ROWS or len(rows[index].tokens) * (len(batch) + 1) > MAX_BATCH_TOKENS
        ):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _batch_likelihoods(
    checkpoint: Checkpoint, rows: Sequence[Row], decoding: Decoding
) -> list[TokenLikelihoods | ModelError]:
    """Return the likelihoods of one batch; if memory runs out, the batch is split in half."""
    import torch

    try:
        return [
            make_likelihoods(statistics, row.recorded)
            for statistics, row in zip(_row_statistics(checkpoint, rows, decoding), rows, strict=True)
        ]
    except torch.OutOfMemoryError:
        if len(rows) == 1:
            return [ModelError("out of memory")]
        torch.cuda.empty_cache()
        half = len(rows) // 2
        halves = (_batch_likelihoods(checkpoint, part, decoding) for part in (rows[:half], rows[half:]))
        return [outcome for outcomes in halves for outcome in outcomes]


def _row_statistics(checkpoint: Checkpoint, rows: Sequence[Row], decoding: Decoding) -> list[Any]:
    """Return the `token_statistics` of each reply, computed chunk by chunk so that few logits are in memory."""
    import torch

    width = max(len(row.tokens) for row in rows)
    ids = torch.full((len(rows), width), checkpoint.tokenizer.pad_token_id or 0)
    mask = torch.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, : len(row.tokens)] = torch.tensor(row.tokens)
        mask[index, : len(row.tokens)] = 1
    ids, mask = ids.to(checkpoint.model.device), mask.to(checkpoint.model.device)
    chunks_by_row: list[list[Any]] = [[] for _ in rows]
    with torch.inference_mode():
        for begin, logits in _logits(checkpoint.model, ids, mask, min(row.start for row in rows) - 1):
            for index, row in enumerate(rows):
                first = max(row.start - 1 - begin, 0)
                end = min(len(row.tokens) - 1 - begin, logits.shape[1])
                if first < end:
                    tokens = ids[index, begin + first + 1 : begin + end + 1].to(logits.device)
                    chunks_by_row[index].append(token_statistics(logits[index, first:end], tokens, decoding))
    return [torch.cat(chunks, dim=1) for chunks in chunks_by_row]


def _logits(model: Any, ids: Any, mask: Any, first_needed: int) -> Iterator[tuple[int, Any]]:
    """Yield (first position, logits of shape (rows, positions, vocabulary)) for each chunk of the texts.

    Positions before `first_needed` may be left out.
    """
    row_count, width = ids.shape
    vocabulary = model.get_output_embeddings().weight.shape[0]
    step = max(MIN_CHUNK_TOKENS, MAX_LOGITS // (row_count * vocabulary))
    can_skip = "logits_to_keep" in inspect.signature(model.forward).parameters
    uses_cache, cache = width > step, None
    for begin in range(0, width, step):
        end = min(begin + step, width)
        first = min(max(begin, first_needed), end - 1) if can_skip else begin
        keep = {"logits_to_keep": end - first} if can_skip else {}
        output = model(
            input_ids=ids[:, begin:end],
            attention_mask=mask[:, :end],
            use_cache=uses_cache,
            **({"past_key_values": cache} if cache is not None else {}),
            **keep,
        )
        cache = output.past_key_values if uses_cache else None
        yield first, output.logits
