"""What `hf:` does with real transformers, as JSON: run by the Python of `vllm_environment.py`, asserted in `test_hf.py`.

ENGINE_PYTHON tests/support/hf_checks.py CHECKPOINT REMOTE
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from typing import Any

from msgspec import structs

from evals.errors import EvalsError
from evals.model_adapters import hf
from evals.model_adapters.common import weights
from evals.types import Message, Prompt, Reply, Sampling

WORDS = (
    "One.",
    "What is the boiling point of water at sea level, in degrees Celsius?",
    "why " * 60,
    "B or C?",
    "4 + 4",
)
GREEDY = Sampling(temperature=0.0, max_tokens=16)
DRAWN = Sampling(temperature=0.9, top_p=0.95, top_k=50, min_p=0.01, max_tokens=16)


def seen(reply: Reply) -> list[Any]:
    return [reply.text, reply.stop, reply.usage.input, reply.usage.output]


async def asked(model: hf.Transformers, samplings: list[Sampling], *, together: bool) -> list[list[Any]]:
    calls = [
        model.reply(Prompt(messages=(Message.user(text),)), sampling)
        for text, sampling in zip(WORDS, samplings, strict=True)
    ]
    if together:
        return [seen(reply) for reply in await asyncio.gather(*calls)]
    return [seen(await call) for call in calls]


async def replies(folder: str) -> dict[str, Any]:
    model = hf.model(folder)
    found: dict[str, Any] = {}
    seeds = [structs.replace(DRAWN, seed=seed) for seed in range(len(WORDS))]
    for name, samplings in (("greedy", [GREEDY] * len(WORDS)), ("drawn", seeds)):
        found[name] = [await asked(model, samplings, together=together) for together in (False, True)]
    others = [structs.replace(DRAWN, seed=seed + 100) for seed in range(len(WORDS))]
    found["other seeds"] = await asked(model, others, together=True)
    stop = structs.replace(GREEDY, stop=(found["greedy"][0][0][0][3:5],))
    found["stopped"] = seen(await model.reply(Prompt(messages=(Message.user(WORDS[0]),)), stop))
    found["likelihoods"] = [
        [one.logprob, one.tokens, one.greedy] for one in await model.logprobs("Two ", ["and", " two"])
    ]
    found["crowd"] = await crowd(model)
    await model.close()
    return found


async def crowd(model: hf.Transformers) -> dict[str, int]:
    """Return the outcomes of 300 calls by forty concurrent callers, some of which are cancelled."""
    ends: Counter[str] = Counter()
    numbers = iter(range(300))
    sampling = Sampling(temperature=0.0, max_tokens=2)

    async def caller() -> None:
        for number in numbers:
            prompt = Prompt(messages=(Message.user(f"{number} and " * (1 + number * 7 % 90)),))
            try:
                ends[(await model.reply(prompt, sampling)).stop] += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what the test shows
                ends[f"{type(error).__name__}: {error}"] += 1

    await asyncio.gather(*(caller() for _ in range(40)))
    return dict(ends)


def loaded(folder: str, *, trusted: bool) -> str:
    try:
        return type(weights.load(folder, trusted=trusted).model).__name__
    except EvalsError as error:
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    checkpoint, remote = sys.argv[1:]
    document = {
        "native": loaded(checkpoint, trusted=False),
        "remote": loaded(remote, trusted=True),
        "remote, not trusted": loaded(remote, trusted=False),
        "nowhere": loaded("nobody/nothing-at-all", trusted=False),
        **asyncio.run(replies(checkpoint)),
    }
    print(json.dumps(document))
