"""The embedded model on real items, in process and over HTTP: the same replies, the same verdicts.

`python -m tools.local_model` does the same with more items and prints the figures.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from evals.types import VERDICTS
from tests.support.sizes import size
from tools import local_model

pytestmark = pytest.mark.slow

TOKENS = size(64, 96)
"""Maximum length of a reply."""


@pytest.fixture(scope="module")
def found(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> local_model.Comparison:
    if find_spec("xllamacpp") is None:
        pytest.skip("NOT TESTED ON A REAL MODEL: xllamacpp is not installed (extra `local`)")
    from evals.model_adapters import llamacpp

    if llamacpp.weights_path() is None:
        pytest.skip("NOT TESTED ON A REAL MODEL: the weights are absent; `evals data smollm2` fetches them")
    return local_model.compare(
        mirror, tmp_path_factory.mktemp("local"), items=6, problems=3, max_tokens=TOKENS, concurrency=1
    )


def test_every_sample_is_answered_both_ways(found):
    assert found.coverage == [1.0] * 4
    assert len(found.pairs) == 9
    for pair in found.pairs:
        assert pair.verdicts[0].split()[0] in VERDICTS


def test_greedy_replies_and_verdicts_are_the_same_both_ways(found):
    differing = [(p.suite, p.sample, p.verdicts, local_model.first_difference(p)) for p in found.differing]
    assert not differing


def test_a_small_model_scores_about_what_guessing_does(found):
    assert found.score["low"] <= local_model.CHANCE <= found.score["high"]


def test_tokens_and_stops_are_the_server_s_own(found):
    for pair in found.pairs:
        assert pair.in_process.usage.output == pair.over_http.usage.output
        assert pair.in_process.stop == pair.over_http.stop
        assert pair.in_process.usage.output is not None
        assert pair.in_process.usage.output <= TOKENS
