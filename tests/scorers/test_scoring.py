"""The boundary around scorers: what reaches them, and what their faults become."""

from __future__ import annotations

import pytest

from evals import load
from evals.data import Data
from evals.sandbox import Pool
from evals.scorers.scoring import Scoring
from evals.types import Prompt, Reply, Score


@pytest.mark.parametrize("spec", ["smolinstruct:PP-BBBP", "smolinstruct:PP-ESOL", "smolinstruct:NC-I2F"])
def test_what_a_filter_left_is_refused_whatever_upstream_would_read_in_it(spec: str) -> None:
    # OpenCompass does not know of filters and would read the words before the cut
    [suite] = load.suite(spec, "intern-s1")
    sample = next(iter(suite.samples(Data(suite=suite.name, sample=True))))
    reply = Reply(text="Yes. <MOLFORMULA>CH4</MOLFORMULA> \\boxed{1.5}", stop="filter")
    with Pool(1) as pool:
        scores = Scoring(suite.scorers, pool).now(sample, Prompt(), reply)
    assert scores
    for score in scores.values():
        assert isinstance(score, Score)
        assert score.verdict == "refused"
