"""Likelihoods from `hf:` with real transformers; `tests/challenge/test_hf_likelihoods.py` runs this file in vLLM's environment.

    ENGINE_PYTHON tests/support/challenge_checks.py FOLDER

FOLDER: the tiny checkpoint. The results are printed as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from msgspec import structs

from evals.model_adapters import hf
from evals.model_adapters.common import reply_likelihoods, token_probabilities, top_probabilities
from evals.model_adapters.common.top_probabilities import Position
from evals.seams import Decoding, TokenLikelihoods
from evals.types import Reply, Sampling
from tests.support.written_replies import PROMPTS, REPLIES

VOCABULARY = 300
DECODINGS = (
    Decoding(0.0),
    Decoding(1.0),
    Decoding(0.7),
    Decoding(1.5),
    Decoding(0.8, top_k=30),
    Decoding(1.0, top_p=0.9),
    Decoding(0.6, top_k=20, top_p=0.95),
    Decoding(1.2, min_p=0.02),
    Decoding(0.7, top_k=40, top_p=0.95, min_p=0.05, temperature_last=True),
)


def above_and_mass(p: Any, token: int, decoding: Decoding) -> tuple[float, float]:
    """Return the fields `above` and `mass` of `TokenLikelihoods` for one token, computed by their definition.

    `p`: the probabilities of all tokens at temperature 1.
    """
    tempered = p ** (1 / decoding.temperature)
    tempered /= tempered.sum()
    # top_k, top_p and min_p refer to these probabilities
    ranking = p if decoding.temperature_last else tempered
    candidates = list(np.argsort(-ranking, kind="stable"))
    largest = ranking[candidates[0]]
    if decoding.top_k:
        candidates = candidates[: decoding.top_k]
    cumulative, total = 0.0, ranking[candidates].sum()
    nucleus = []
    for candidate in candidates:
        if cumulative < decoding.top_p * total or decoding.top_p == 1:
            nucleus.append(candidate)
        cumulative += ranking[candidate]
    candidates = [candidate for candidate in nucleus if ranking[candidate] >= decoding.min_p * largest]
    total = tempered[candidates].sum()
    mass = tempered[token] / total if token in candidates else 0.0
    return sum(
        tempered[candidate] for candidate in candidates if ranking[candidate] > ranking[token]
    ) / total, mass


def probability_errors() -> dict[str, Any]:
    """Compare exact likelihoods with their definition, and bounds from the likeliest tokens with the exact likelihoods.

    Returns the maximum error, and the number of tokens whose exact likelihoods lie outside the bounds.
    """
    torch.manual_seed(0)
    logits = torch.randn(200, VOCABULARY) * 3
    logprobs = torch.log_softmax(logits, -1)
    tokens = torch.multinomial(torch.softmax(logits / 1.2, -1), 1)[:, 0]
    top_logprobs = logprobs.topk(20, -1).values
    errors, outside_count = [], 0
    for decoding in DECODINGS:
        exact = token_probabilities.make_likelihoods(
            token_probabilities.token_statistics(logits, tokens, decoding), None
        )
        if decoding.temperature:
            for n, token in enumerate(tokens.tolist()):
                above, mass = above_and_mass(logprobs[n].double().exp().numpy(), token, decoding)
                errors += [abs(above - exact.above[n]), abs(mass - exact.mass[n])]
        positions = [
            Position(float(logprobs[n, token]), int(exact.rank[n]), top_logprobs[n].tolist())
            for n, token in enumerate(tokens.tolist())
        ]
        outside_count += _outside_count(
            exact, top_probabilities.make_likelihoods(positions, decoding, VOCABULARY, None)
        )
    return {"error": max(errors), "outside": outside_count}


def _outside_count(exact: TokenLikelihoods, bounds: TokenLikelihoods) -> int:
    tolerance = 1e-5
    assert bounds.above_upper is not None
    assert bounds.mass_upper is not None
    inside = (
        (bounds.above <= exact.above + tolerance)
        & (exact.above <= bounds.above_upper + tolerance)
        & (bounds.mass <= exact.mass + tolerance)
        & (exact.mass <= bounds.mass_upper + tolerance)
    )
    return int((~inside).sum())


async def checkpoint_results(folder: str) -> dict[str, Any]:
    """Return the tiny checkpoint's likelihoods of its own replies and of those in `written_replies.py`."""
    model = hf.model(folder)
    loaded = await model.loaded()
    end_of_turn = reply_likelihoods.end_of_turn(loaded, {})
    tokenized = {
        name: reply_likelihoods.tokenize(loaded, PROMPTS[0], reply, {}, end_of_turn)
        for name, reply in REPLIES.items()
    }
    texts = {
        name: loaded.tokenizer.convert_ids_to_tokens(tokenized_reply.tokens[tokenized_reply.start :])
        for name, tokenized_reply in tokenized.items()
    }
    greedy = Sampling(temperature=0.0, max_tokens=40)
    replies = await asyncio.gather(*(model.reply(prompt, greedy) for prompt in PROMPTS))
    exchanges = list(zip(PROMPTS, replies, strict=True))
    in_batch = await model.reply_likelihoods(exchanges, greedy, Decoding(0.0))
    alone = [(await model.reply_likelihoods([pair], greedy, Decoding(0.0)))[0] for pair in exchanges]
    reply_likelihoods.MAX_LOGITS = 1 << 14
    in_pieces = await model.reply_likelihoods(exchanges, greedy, Decoding(0.0))
    too_long = [(PROMPTS[0], Reply(text="word " * 4000)), exchanges[0]]
    error, other_likelihoods = await model.reply_likelihoods(too_long, greedy, Decoding(0.0))
    with_stop_sequence = await model.reply_likelihoods(
        [(PROMPTS[0], REPLIES["plain"])], structs.replace(greedy, stop=("x",)), Decoding(0.0)
    )
    written_likelihoods = await model.reply_likelihoods(
        [(PROMPTS[0], reply) for reply in REPLIES.values()], greedy, Decoding(0.0)
    )
    return {
        "logprobs": {
            name: likelihoods.logprob.tolist()
            for name, likelihoods in zip(REPLIES, written_likelihoods, strict=True)
            if isinstance(likelihoods, TokenLikelihoods)
        },
        "tokens": texts,
        "max_difference": {
            "alone": _max_difference(in_batch, alone),
            "pieces": _max_difference(in_batch, in_pieces),
        },
        "too long": str(error),
        "other reply": isinstance(other_likelihoods, TokenLikelihoods),
        "with stop sequences": [
            len(likelihoods.rank)
            for likelihoods in with_stop_sequence
            if isinstance(likelihoods, TokenLikelihoods)
        ],
        "backend": model.backend(),
    }


async def batches_after_cancelling(folder: str) -> int:
    """Return how many of ten batches are computed if the computation is cancelled during the first one."""
    model, started = hf.model(folder), 0
    compute_batch, loop, first_started = (
        reply_likelihoods._batch_likelihoods,
        asyncio.get_running_loop(),
        asyncio.Event(),
    )

    def compute_slowly(*arguments: Any) -> Any:
        nonlocal started
        started += 1
        loop.call_soon_threadsafe(first_started.set)
        time.sleep(0.2)
        return compute_batch(*arguments)

    pairs = [(PROMPTS[0], REPLIES["plain"])] * (10 * reply_likelihoods.MAX_BATCH_ROWS)
    with patch.object(reply_likelihoods, "_batch_likelihoods", compute_slowly):
        task = asyncio.create_task(model.reply_likelihoods(pairs, Sampling(), Decoding(0.0)))
        await first_started.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await loop.shutdown_default_executor()
    return started


def _max_difference(first: Any, second: Any) -> float:
    return max(float(np.abs(a.logprob - b.logprob).max()) for a, b in zip(first, second, strict=True))


if __name__ == "__main__":
    results = {**probability_errors(), **asyncio.run(checkpoint_results(sys.argv[1]))}
    print(json.dumps({**results, "batches": asyncio.run(batches_after_cancelling(sys.argv[1]))}))
