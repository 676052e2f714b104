"""Replies of the embedded model, tested with transformers: run by `tests/challenge/test_embedded.py`.

    CHALLENGE_PYTHON tests/support/challenge_embedded.py FOLDER

Prints one line of JSON: outcomes by name. 16 replies generated greedily and 16 sampled at temperature 0.8, of up to 32 tokens each;
24 of each in the nightly.
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
ASKED = ("What is {}?", "Why does {} matter?", "Give one everyday example that involves {}.")
ROWS = [
    {"id": f"{n}-{topic}", "question": ask.format(topic), "answer": "x"}
    for topic in TOPICS
    for n, ask in enumerate(ASKED[: size(2, 3)])
]


def made(folder: Path, temperature: float) -> store.Run:
    """The run of the embedded model at a temperature; a run that is there is used."""
    suite = evals.Suite.of(
        ROWS, name="science-questions", scorer="exact", prompt=lambda row: str(row["question"])
    )
    results = folder / f"at-{temperature}"
    evals.evaluate(suite, "smollm2", temperature=temperature, max_tokens=32, results=results, quiet=True)
    (run,) = store.runs(results)
    return run


def outcome(
    run: store.Run, model: Path, sampling: Sampling | None = None, *, exchanged: bool = False
) -> object:
    """The outcome of a challenge, by the card's sampling or another; `exchanged`: each reply is said to be of another prompt."""
    card = run.card
    if sampling is not None:
        card.config = msgspec.structs.replace(card.config, sampling=sampling)
    request = ChallengeRequest(seed=1)
    records = list(run.records())
    if exchanged:
        prompts = [record.prompt for record in records]
        records = [
            msgspec.structs.replace(record, prompt=prompt)
            for record, prompt in zip(records, prompts[3:] + prompts[:3], strict=True)
        ]
    return challenge(Source(card, records), f"hf:{model}", request, {})


def main(folder: Path) -> None:
    greedy, drawn = made(folder, 0.0), made(folder, 0.8)
    own = Path(sys.argv[2]) if sys.argv[2:] else llamacpp.weights_path()
    assert own is not None
    found = {
        "greedy": outcome(greedy, own),
        "drawn": outcome(drawn, own),
        "drawn, said to be greedy": outcome(drawn, own, Sampling(temperature=0.0, max_tokens=32)),
        "greedy, to other prompts": outcome(greedy, own, exchanged=True),
    }
    print(json.dumps(msgspec.to_builtins(found)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
