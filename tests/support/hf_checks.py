"""Results of `hf:` with real transformers, printed as JSON; `test_hf.py` runs this file in vLLM's environment.

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

QUESTIONS = (
    "One.",
    "What is the boiling point of water at sea level, in degrees Celsius?",
    "why " * 60,
    "B or C?",
    "4 + 4",
)
GREEDY = Sampling(temperature=0.0, max_tokens=16)
SAMPLED = Sampling(temperature=0.9, top_p=0.95, top_k=50, min_p=0.01, max_tokens=16)


def summary(reply: Reply) -> list[Any]:
    return [reply.text, reply.stop, reply.usage.input, reply.usage.output]


async def reply_summaries(
    model: hf.Transformers, samplings: list[Sampling], *, together: bool
) -> list[list[Any]]:
    calls = [
        model.reply(Prompt(messages=(Message.user(text),)), sampling)
        for text, sampling in zip(QUESTIONS, samplings, strict=True)
    ]
    if together:
        return [summary(reply) for reply in await asyncio.gather(*calls)]
    return [summary(await call) for call in calls]


async def replies(folder: str) -> dict[str, Any]:
    model = hf.model(folder)
    results: dict[str, Any] = {}
    seeds = [structs.replace(SAMPLED, seed=seed) for seed in range(len(QUESTIONS))]
    for name, samplings in (("greedy", [GREEDY] * len(QUESTIONS)), ("sampled", seeds)):
        results[name] = [
            await reply_summaries(model, samplings, together=together) for together in (False, True)
        ]
    others = [structs.replace(SAMPLED, seed=seed + 100) for seed in range(len(QUESTIONS))]
    results["other seeds"] = await reply_summaries(model, others, together=True)
    stop = structs.replace(GREEDY, stop=(results["greedy"][0][0][0][3:5],))
    results["stopped"] = summary(await model.reply(Prompt(messages=(Message.user(QUESTIONS[0]),)), stop))
    results["likelihoods"] = [
        [option.logprob, option.tokens, option.greedy]
        for option in await model.logprobs("Two ", ["and", " two"])
    ]
    results["crowd"] = await outcomes_of_concurrent_calls(model)
    await model.close()
    return results


async def outcomes_of_concurrent_calls(model: hf.Transformers) -> dict[str, int]:
    """Return the outcomes of 300 calls by forty concurrent callers, some of which are cancelled."""
    outcomes: Counter[str] = Counter()
    numbers = iter(range(300))
    sampling = Sampling(temperature=0.0, max_tokens=2)

    async def caller() -> None:
        for number in numbers:
            prompt = Prompt(messages=(Message.user(f"{number} and " * (1 + number * 7 % 90)),))
            try:
                outcomes[(await model.reply(prompt, sampling)).stop] += 1
            except Exception as error:  # noqa: BLE001 - the test shows whatever error occurs
                outcomes[f"{type(error).__name__}: {error}"] += 1

    await asyncio.gather(*(caller() for _ in range(40)))
    return dict(outcomes)


def loaded_class(folder: str, *, trusted: bool) -> str:
    try:
        return type(weights.load(folder, trusted=trusted).model).__name__
    except EvalsError as error:
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    checkpoint, remote = sys.argv[1:]
    document = {
        "native": loaded_class(checkpoint, trusted=False),
        "remote": loaded_class(remote, trusted=True),
        "remote, not trusted": loaded_class(remote, trusted=False),
        "nowhere": loaded_class("nobody/nothing-at-all", trusted=False),
        **asyncio.run(replies(checkpoint)),
    }
    print(json.dumps(document))
