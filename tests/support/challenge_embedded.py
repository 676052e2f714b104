"""Challenges of the embedded model's replies with transformers; `tests/challenge/test_embedded.py` runs this file.

    CHALLENGE_PYTHON tests/support/challenge_embedded.py FOLDER [WEIGHTS]

The outcomes are printed as one line of JSON. There are 12 greedy replies and 12 sampled at temperature 0.8, of up to 24 tokens
each; in the nightly, 24 of each, of up to 32 tokens. WEIGHTS: the file of weights to test
the replies with, by default the embedded model's.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import msgspec

import evals
from evals.challenge.challenge import ChallengeRequest, challenge
from evals.challenge.replies import Source
from evals.model_adapters import llamacpp
from evals.records import store
from evals.types import Sampling
from tests.support.sizes import size

TOPICS = (
    "photosynthesis", "plate tectonics", "the greenhouse effect", "DNA", "osmosis", "superconductors", "black holes",
    "entropy",
)  # fmt: skip
QUESTIONS = ("What is {}?", "Why does {} matter?", "Give one everyday example that involves {}.")
ROWS = [
    {"id": f"{n}-{topic}", "question": question.format(topic), "answer": "x"}
    for topic in TOPICS[: size(6, 8)]
    for n, question in enumerate(QUESTIONS[: size(2, 3)])
]
TOKENS = size(24, 32)
"""Maximum length of a reply."""


def run_model(folder: Path, temperature: float) -> store.Run:
    """Return a run of the embedded model at a temperature; an existing run is reused."""
    suite = evals.Suite.of(
        ROWS, name="science-questions", scorer="exact", prompt=lambda row: str(row["question"])
    )
    results = folder / f"at-{temperature}"
    evals.evaluate(suite, "smollm2", temperature=temperature, max_tokens=TOKENS, results=results, quiet=True)
    (run,) = store.runs(results)
    return run


def outcome(
    run: store.Run, model: Path, sampling: Sampling | None = None, *, shuffled: bool = False
) -> object:
    """Return the outcome of a challenge.

    `sampling` replaces the sampling on the card; `shuffled`: each reply is recorded with the prompt of another reply.
    """
    card = run.card
    if sampling is not None:
        card.config = msgspec.structs.replace(card.config, sampling=sampling)
    request = ChallengeRequest(seed=1)
    records = list(run.records())
    if shuffled:
        prompts = [record.prompt for record in records]
        records = [
            msgspec.structs.replace(record, prompt=prompt)
            for record, prompt in zip(records, prompts[3:] + prompts[:3], strict=True)
        ]
    return challenge(Source(card, records), f"hf:{model}", request=request, options={})


def dequantised(weights: Path, folder: Path) -> Path:
    """Write a checkpoint of these weights, which transformers loads within a second instead of half a minute; return its folder."""
    from transformers import AutoModelForCausalLM, AutoTokenizer  # type: ignore[import-not-found,unused-ignore]

    AutoTokenizer.from_pretrained(weights.parent, gguf_file=weights.name).save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(weights.parent, gguf_file=weights.name, dtype="auto")
    model.hf_quantizer = (
        None  # the weights are float32, but transformers does not save a model that it has dequantised
    )
    del model.config.quantization_config
    model.save_pretrained(folder)
    return folder


def main(folder: Path) -> None:
    greedy, sampled = run_model(folder, 0.0), run_model(folder, 0.8)
    weights = Path(sys.argv[2]) if sys.argv[2:] else llamacpp.weights_path()
    assert weights is not None
    copy = dequantised(weights, folder / "weights")
    outcomes = {
        "greedy": outcome(greedy, weights),
        "sampled": outcome(sampled, copy),
        "sampled, recorded as greedy": outcome(sampled, copy, Sampling(temperature=0.0, max_tokens=TOKENS)),
        "greedy, shuffled prompts": outcome(greedy, copy, shuffled=True),
    }
    print(json.dumps(msgspec.to_builtins(outcomes)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
