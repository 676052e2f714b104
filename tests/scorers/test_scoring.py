"""The boundary around scorers: what reaches them, and what their faults become."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any, ClassVar

import msgspec
import pytest

from evals import load
from evals.data import Data
from evals.extract import white_space
from evals.sandbox import Pool
from evals.scorers.plain import Exact, FunctionScorer
from evals.scorers.scoring import Scoring
from evals.scorers.text import Caption
from evals.types import Failure, Prompt, Reply, Sample, Score, Verdict
from tests.support import toy
from tests.support.tables import table


@pytest.mark.parametrize("spec", ["smolinstruct:PP-BBBP", "smolinstruct:PP-ESOL", "smolinstruct:NC-I2F"])
def test_what_a_filter_left_is_refused_whatever_upstream_would_read_in_it(spec: str) -> None:
    # OpenCompass does not know of filters and would read the words before the cut
    [suite] = load.suite(spec, "intern-s1")
    sample = next(iter(suite.samples(Data(suite=suite.name, sample=True))))
    reply = Reply(text="Yes. <MOLFORMULA>CH4</MOLFORMULA> \\boxed{1.5}", stop="filter")
    with Pool(1) as pool:
        scores = Scoring(suite.scorers, pool).score_light(sample, Prompt(), reply)
    assert scores
    for score in scores.values():
        assert isinstance(score, Score)
        assert score.verdict == "refused"


class Fragile(msgspec.Struct, frozen=True):
    """Fails on replies that ask for it; `broken`: on every reply that is not empty."""

    broken: bool = False
    heavy: ClassVar[bool] = False

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        if "crash" in reply.text or (self.broken and reply.text):
            raise ZeroDivisionError("as asked")
        if "sleep" in reply.text:
            time.sleep(30)
        right = reply.text == sample.target
        verdict: Verdict = "right" if right else "wrong" if reply.text else "unanswered"
        return Score(value=float(right), verdict=verdict)


class HeavyFragile(Fragile, frozen=True):
    heavy: ClassVar[bool] = True


async def _one(scorer: Fragile, text: str) -> Score | Failure:
    with Pool(1, timeout_s=0.5) as pool:
        scoring = Scoring({"only": scorer}, pool, ideal=lambda sample, prompt: str(sample.target))
        return (await scoring.score_all(toy.sample("q"), Prompt(), Reply(text=text)))["only"]


@pytest.mark.parametrize(
    ("scorer", "text"), [(Fragile(), "crash"), (HeavyFragile(), "crash"), (HeavyFragile(), "sleep")]
)
async def test_no_reply_makes_itself_a_failure(scorer: Fragile, text: str) -> None:
    score = await _one(scorer, text)
    assert isinstance(score, Score)
    assert (score.verdict, score.value, score.suspect) == ("invalid", 0.0, True)
    assert "failed on this reply" in score.why


@pytest.mark.parametrize("scorer", [Fragile(broken=True), HeavyFragile(broken=True)])
async def test_a_scorer_that_is_broken_itself_is_a_failure(scorer: Fragile) -> None:
    assert isinstance(await _one(scorer, "B"), Failure)


MARKED = (
    ("<think>a dog?</think>cat", "right"), ("[THINK]a dog?[/THINK]cat", "right"), ("◁think▷a dog?◁/think▷cat", "right"),
    ("analysisA dog?assistantfinalcat", "right"), ("<|channel|>analysis<|message|>A dog?<|end|><|start|>assistant<|channel|>final<|message|>cat", "right"),
    ("<think>It is a cat. But", "truncated"), ("<think>cat</think>", "unanswered"),
)  # fmt: skip


@table(("reply", "verdict"), MARKED)
@table("scorer", [Exact(), FunctionScorer(lambda text, target: text == target), Caption()])
def test_no_scorer_sees_reasoning_in_any_mark(scorer: Any, reply: str, verdict: str) -> None:
    assert scorer(Sample(id="1", target="cat"), Prompt(), Reply(text=reply)).verdict == verdict


@pytest.mark.parametrize(("reply", "verdict"), MARKED)
def test_no_scorer_of_a_suite_is_handed_reasoning(reply: str, verdict: str) -> None:
    seen: list[str] = []

    def watching(sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        seen.append(reply.text)
        return Score(value=0.0, verdict="wrong")

    with Pool() as pool:
        Scoring({"w": watching}, pool).score_light(Sample(id="1", target="cat"), Prompt(), Reply(text=reply))
    assert "dog" not in seen[0]
    assert "But" not in seen[0]


class Slow(msgspec.Struct, frozen=True):
    """Looks for a letter with a pattern that takes quadratic time for blanks."""

    heavy: ClassVar[bool] = False

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        found = re.search(r"\s*\s*([A-D])$", reply.text)
        verdict: Verdict = "right" if found else "unanswered"
        return Score(value=float(bool(found)), verdict=verdict, span=found.span(1) if found else None)


@pytest.mark.parametrize("blank", ["\n", " ", "\t ", "\u3000"])
def test_long_runs_of_white_space_hold_up_no_pattern_and_move_no_span(blank: str) -> None:
    text = "x" + blank * 60_000 + "y" + blank * 60_000 + "B"
    began = time.process_time()
    with Pool(1) as pool:
        scoring = Scoring({"only": Slow()}, pool)
        score = scoring.score_light(toy.sample("q"), Prompt(), Reply(text=text))["only"]
        assert asyncio.run(scoring.score_all(toy.sample("q"), Prompt(), Reply(text=text)))["only"] == score
    assert time.process_time() - began < 1
    assert isinstance(score, Score)
    assert score.span == (len(text) - 1, len(text))


@pytest.mark.parametrize("after", ["\n", "\n\n", "\n \n\n"])
def test_a_line_after_a_long_run_of_white_space_stays_a_line(after: str) -> None:
    text = "x" + " " * 500 + after + "ANSWER: B"
    shown, removed = white_space.shorten_runs(text)
    assert len(shown) == len("x") + white_space.MAX_RUN + len("ANSWER: B")
    assert shown.endswith("\n" * min(2, after.count("\n")) + "ANSWER: B")
    assert white_space.original_position(shown.index("A"), removed) == text.index("A")
