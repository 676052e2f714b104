"""The embedded model gives the same replies and verdicts for real items in process and over HTTP.

`python -m tools.local_model` compares more items and prints the figures.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from evals.types import VERDICTS
from tests.support.sizes import size
from tools import local_model

pytestmark = pytest.mark.slow

TOKENS = size(32, 96)
"""Maximum length of a reply."""
ITEMS, PROBLEMS = size(4, 6), size(2, 3)
"""Numbers of multiple-choice questions and of mathematical problems."""


@pytest.fixture(scope="module")
def comparison(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> local_model.Comparison:
    if find_spec("xllamacpp") is None:
        pytest.skip("NOT TESTED ON A REAL MODEL: xllamacpp is not installed (extra `local`)")
    from evals.model_adapters import llamacpp

    if llamacpp.weights_path() is None:
        pytest.skip("NOT TESTED ON A REAL MODEL: the weights are absent; `evals data smollm2` fetches them")
    return local_model.compare(
        mirror,
        tmp_path_factory.mktemp("local"),
        items=ITEMS,
        problems=PROBLEMS,
        max_tokens=TOKENS,
        concurrency=1,
    )


def test_every_sample_has_a_reply_in_process_and_over_http(comparison):
    assert comparison.coverage == [1.0] * 4
    assert len(comparison.pairs) == ITEMS + PROBLEMS
    for pair in comparison.pairs:
        assert pair.verdicts[0].split()[0] in VERDICTS


def test_greedy_replies_and_verdicts_are_the_same_in_process_and_over_http(comparison):
    differing = [
        (pair.suite, pair.sample, pair.verdicts, local_model.first_difference(pair))
        for pair in comparison.differing
    ]
    assert not differing


def test_the_score_is_compatible_with_guessing(comparison):
    assert comparison.score["low"] <= local_model.CHANCE <= comparison.score["high"]


def test_token_counts_and_stop_reasons_are_the_same_in_process_and_over_http(comparison):
    for pair in comparison.pairs:
        assert pair.in_process.usage.output == pair.over_http.usage.output
        assert pair.in_process.stop == pair.over_http.stop
        assert pair.in_process.usage.output is not None
        assert pair.in_process.usage.output <= TOKENS
