"""Likelihoods from `hf:`, with real transformers: run by `tests/challenge/test_hf_likelihoods.py` in the engine's environment.

    ENGINE_PYTHON tests/support/challenge_checks.py FOLDER

FOLDER: the tiny checkpoint. Prints one line of JSON.
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


def plainly(p: Any, token: int, decoding: Decoding) -> tuple[float, float]:
    """Return above and mass by the definition, token by token."""
    warm = p ** (1 / decoding.temperature)
    warm /= warm.sum()
    judged = p if decoding.temperature_last else warm
    kept = list(np.argsort(-judged, kind="stable"))
    first = judged[kept[0]]
    if decoding.top_k:
        kept = kept[: decoding.top_k]
    among, total = 0.0, judged[kept].sum()
    nucleus = []
    for candidate in kept:
        if among < decoding.top_p * total or decoding.top_p == 1:
            nucleus.append(candidate)
        among += judged[candidate]
    kept = [candidate for candidate in nucleus if judged[candidate] >= decoding.min_p * first]
    total = warm[kept].sum()
    mass = warm[token] / total if token in kept else 0.0
    return sum(warm[k] for k in kept if judged[k] > judged[token]) / total, mass


def probabilities() -> dict[str, Any]:
    """Compare the columns with the definition, and the bounds of the likeliest tokens with the columns."""
    torch.manual_seed(0)
    logits = torch.randn(200, VOCABULARY) * 3
    logs = torch.log_softmax(logits, -1)
    tokens = torch.multinomial(torch.softmax(logits / 1.2, -1), 1)[:, 0]
    top = logs.topk(20, -1).values
    errors, outside = [], 0
    for decoding in DECODINGS:
        exact = token_probabilities.make_likelihoods(
            token_probabilities.columns(logits, tokens, decoding), None
        )
        if decoding.temperature:
            for row, token in enumerate(tokens.tolist()):
                above, mass = plainly(logs[row].double().exp().numpy(), token, decoding)
                errors += [abs(above - exact.above[row]), abs(mass - exact.mass[row])]
        positions = [
            Position(float(logs[n, token]), int(exact.rank[n]), top[n].tolist())
            for n, token in enumerate(tokens.tolist())
        ]
        outside += _outside(exact, top_probabilities.make_likelihoods(positions, decoding, VOCABULARY, None))
    return {"error": max(errors), "outside": outside}


def _outside(exact: TokenLikelihoods, bounds: TokenLikelihoods) -> int:
    slack = 1e-5
    assert bounds.above_upper is not None
    assert bounds.mass_upper is not None
    inside = (
        (bounds.above <= exact.above + slack)
        & (exact.above <= bounds.above_upper + slack)
        & (bounds.mass <= exact.mass + slack)
        & (exact.mass <= bounds.mass_upper + slack)
    )
    return int((~inside).sum())


async def checkpoint(folder: str) -> dict[str, Any]:
    """Return the tiny checkpoint's likelihoods of its own replies and of others."""
    model = hf.model(folder)
    loaded = await model.loaded()
    end = reply_likelihoods.end_of_turn(loaded, {})
    rows = {
        name: reply_likelihoods.tokenize(loaded, PROMPTS[0], reply, {}, end)
        for name, reply in REPLIES.items()
    }
    texts = {
        name: loaded.tokenizer.convert_ids_to_tokens(row.tokens[row.start :]) for name, row in rows.items()
    }
    greedy = Sampling(temperature=0.0, max_tokens=40)
    own = await asyncio.gather(*(model.reply(prompt, greedy) for prompt in PROMPTS))
    written = list(zip(PROMPTS, own, strict=True))
    together = await model.reply_likelihoods(written, greedy, Decoding(0.0))
    alone = [(await model.reply_likelihoods([pair], greedy, Decoding(0.0)))[0] for pair in written]
    reply_likelihoods.MAX_LOGITS = 1 << 14
    pieces = await model.reply_likelihoods(written, greedy, Decoding(0.0))
    long = [(PROMPTS[0], Reply(text="word " * 4000)), written[0]]
    refused, beside = await model.reply_likelihoods(long, greedy, Decoding(0.0))
    stopped = await model.reply_likelihoods(
        [(PROMPTS[0], REPLIES["plain"])], structs.replace(greedy, stop=("x",)), Decoding(0.0)
    )
    fixed = await model.reply_likelihoods(
        [(PROMPTS[0], reply) for reply in REPLIES.values()], greedy, Decoding(0.0)
    )
    return {
        "logprobs": {
            name: each.logprob.tolist()
            for name, each in zip(REPLIES, fixed, strict=True)
            if isinstance(each, TokenLikelihoods)
        },
        "tokens": texts,
        "apart": {"alone": _apart(together, alone), "pieces": _apart(together, pieces)},
        "too long": str(refused),
        "beside": isinstance(beside, TokenLikelihoods),
        "with stop sequences": [len(each.rank) for each in stopped if isinstance(each, TokenLikelihoods)],
        "backend": model.backend(),
    }


async def batches_after_cancelling(folder: str) -> int:
    """Return how many of ten batches are computed if the computation is cancelled during the first one."""
    model, begun = hf.model(folder), 0
    compute_batch, loop, first = (
        reply_likelihoods._batch_likelihoods,
        asyncio.get_running_loop(),
        asyncio.Event(),
    )

    def slowly(*arguments: Any) -> Any:
        nonlocal begun
        begun += 1
        loop.call_soon_threadsafe(first.set)
        time.sleep(0.2)
        return compute_batch(*arguments)

    pairs = [(PROMPTS[0], REPLIES["plain"])] * (10 * reply_likelihoods.MAX_BATCH_ROWS)
    with patch.object(reply_likelihoods, "_batch_likelihoods", slowly):
        task = asyncio.create_task(model.reply_likelihoods(pairs, Sampling(), Decoding(0.0)))
        await first.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await loop.shutdown_default_executor()
    return begun


def _apart(some: Any, others: Any) -> float:
    return max(float(np.abs(a.logprob - b.logprob).max()) for a, b in zip(some, others, strict=True))


if __name__ == "__main__":
    found = {**probabilities(), **asyncio.run(checkpoint(sys.argv[1]))}
    print(json.dumps({**found, "batches": asyncio.run(batches_after_cancelling(sys.argv[1]))}))
