"""The power measurement of challenges: edited replies, trials and the table, and a small measurement on real models."""

from __future__ import annotations

import os
import subprocess

import msgspec
import numpy as np
import pytest

from evals.seams import TokenLikelihoods
from tests.support.paths import ROOT
from tools import challenge_power
from tools.challenge_models import RecordedReply, prompts
from tools.challenge_power import GREEDY, Condition, Pools, edit_replies, row, sentences
from tools.environments import CHALLENGE, VLLM

TEXTS = (
    "Water boils at 100 degrees.  It is a liquid.\n\nPressure changes that considerably.",
    "Enzymes are catalysts. They can speed reactions by 1000 times!",
    "No sentence ends here",
)


def test_exactly_one_sentence_of_each_reply_is_edited():
    replies = [RecordedReply("?", text, ended=True) for text in TEXTS for _ in range(8)]
    for before, after in zip(replies, edit_replies(replies), strict=True):
        old, new = (challenge_power.SENTENCE_BREAK.split(reply.text) for reply in (before, after))
        assert after.prompt == before.prompt
        if len(old) == len(new):  # the sentence inserted from another reply may contain sentence breaks
            assert sum(a != b for a, b in zip(old, new, strict=True)) <= 1
            assert old[1::2] == new[1::2]
    assert edit_replies(replies) == edit_replies(replies)
    assert sum(a.text != b.text for a, b in zip(replies, edit_replies(replies), strict=True)) >= 20
    assert sentences(TEXTS[0])[1] == "It is a liquid."


def test_prompts_are_distinct():
    assert len(set(prompts(300))) == 300


def test_a_trial_of_edited_replies_edits_a_twentieth_of_the_sentences(tmp_path):
    """The replies are honest and greedy; each edited version has four tokens that the model could not have chosen."""
    pools = Pools(tmp_path, replies=80, tokens=20, llama=0)
    replies = [RecordedReply("?", TEXTS[0], ended=True)] * 80
    for name in ("greedy", "edited-greedy"):
        (tmp_path / f"{name}.json").write_bytes(msgspec.json.encode(replies))
        gap = np.zeros(20)
        gap[:4] = 9.0 * (name != "greedy")
        likelihoods = TokenLikelihoods(-gap, 1 + gap, gap, 0 * gap, np.ones(20))
        lengths = [20] * 80
        columns = {field: np.tile(getattr(likelihoods, field), 80) for field in TokenLikelihoods._fields[:5]}
        np.savez(tmp_path / f"{name}-bfloat16-0.0-16.npz", lengths=lengths, **columns)
    honest = Condition("honest", "greedy", decoding=GREEDY)
    assert row(pools, honest) == "| honest | different | 0 | 0 | 0 | 0 | 0 | 0 |"
    edited = row(pools, honest._replace(title="edited", edited=True))
    assert edited.startswith("| edited |")
    assert edited.endswith("| 100 | 100 |")  # nine edited sentences of 180: 36 tokens of 1,200


@pytest.mark.slow
@pytest.mark.heavy
def test_a_small_measurement_on_real_models_detects_dishonest_replies(tmp_path):
    python = CHALLENGE.python()
    if python is None:
        pytest.skip("NOT MEASURED: `make challenge` creates its environment (some minutes, 2 GB)")
    arguments = ("-m", "tools.challenge_power", str(tmp_path), "--replies", "64", "--tokens", "32", "--quick")
    env = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    process = subprocess.run(
        [str(python), *arguments], cwd=ROOT, env=env, capture_output=True, text=True, timeout=1500
    )
    assert process.returncode == 0, process.stderr[-3000:]
    rows = [line.split("|")[1:-1] for line in process.stdout.splitlines() if line.startswith("| ")][1:]
    percentages = {(title.strip(), expected.strip()): list(map(int, rest)) for title, expected, *rest in rows}
    assert len(percentages) == 6
    for (title, expected), row_percentages in percentages.items():
        if expected == "honest":
            assert row_percentages[4] <= 3, title
        # with one seed, replies of 32 tokens are too short for a reliable detection
        elif "one seed" not in title:
            assert row_percentages[4] >= 95, title


@pytest.mark.nightly
def test_the_full_measurement_meets_the_rates_promised_in_the_documentation(tmp_path):
    """A difference is detected in at most 3 % of trials with honest replies and at least 95 % of others; see docs/trust.md."""
    python = CHALLENGE.python()
    if python is None:
        pytest.skip("NOT MEASURED: `make challenge` creates its environment (some minutes, 2 GB)")
    env = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    arguments = ["-m", "tools.challenge_power", str(tmp_path), "--page", "docs/trust.md"]
    arguments += ["--vllm"] if VLLM.python() is not None else []
    process = subprocess.run(
        [str(python), *arguments], cwd=ROOT, env=env, capture_output=True, text=True, timeout=4 * 3600
    )
    assert process.returncode == 0, process.stderr[-3000:]
    rows = [line.split("|")[1:-1] for line in process.stdout.splitlines() if line.startswith("| ")][1:]
    for title, expected, *percentages in rows:
        detected = int(percentages[4])
        assert expected.strip() != "honest" or detected <= 3, title
        assert expected.strip() != "different" or detected >= 95, title
