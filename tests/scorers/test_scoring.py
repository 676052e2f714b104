"""What scorers are given, and how their exceptions are recorded."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any, ClassVar

import msgspec
import pytest
from msgspec import structs

from evals import load
from evals.data import Data
from evals.extract import white_space
from evals.sandbox import Pool
from evals.scorers.plain import Exact, FunctionScorer
from evals.scorers.scoring import Scoring
from evals.scorers.text import Caption
from evals.scorers.upstream.vqa import Anls
from evals.suite import Suite
from evals.types import Failure, Prompt, Reply, Sample, Score, Verdict
from tests.support import toy
from tests.support.tables import table


@pytest.mark.parametrize("spec", ["smolinstruct:PP-BBBP", "smolinstruct:PP-ESOL", "smolinstruct:NC-I2F"])
def test_a_filtered_reply_is_refused_even_if_upstream_would_read_an_answer_in_it(spec: str) -> None:
    # OpenCompass ignores the stop reason and would read the text that preceded the filter
    [suite] = load.suite(spec, "intern-s1")
    sample = next(iter(suite.samples(Data(suite=suite.name, sample=True))))
    reply = Reply(text="Yes. <MOLFORMULA>CH4</MOLFORMULA> \\boxed{1.5}", stop="filter")
    with Pool(1) as pool:
        scores = Scoring(suite.scorers, pool).score_light(sample, Prompt(), reply)
    assert scores
    for score in scores.values():
        assert isinstance(score, Score)
        assert score.verdict == "refused"


class CrashingScorer(msgspec.Struct, frozen=True):
    """Raises for a reply with `crash` and hangs for one with `sleep`; if `broken`, raises for every reply that is not empty."""

    broken: bool = False
    heavy: ClassVar[bool] = False

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        if "crash" in reply.text or (self.broken and reply.text):
            raise ZeroDivisionError("as intended")
        if "sleep" in reply.text:
            time.sleep(30)
        right = reply.text == sample.target
        verdict: Verdict = "right" if right else "wrong" if reply.text else "unanswered"
        return Score(value=float(right), verdict=verdict)


class HeavyCrashingScorer(CrashingScorer, frozen=True):
    heavy: ClassVar[bool] = True


async def score_of(scorer: CrashingScorer, text: str) -> Score | Failure:
    with Pool(1, timeout_s=0.5) as pool:
        scoring = Scoring({"only": scorer}, pool, ideal=lambda sample, prompt: str(sample.target))
        return (await scoring.score_all(toy.sample("q"), Prompt(), Reply(text=text)))["only"]


@pytest.mark.parametrize(
    ("scorer", "text"),
    [(CrashingScorer(), "crash"), (HeavyCrashingScorer(), "crash"), (HeavyCrashingScorer(), "sleep")],
)
async def test_a_reply_that_crashes_or_hangs_the_scorer_is_invalid(scorer: CrashingScorer, text: str) -> None:
    score = await score_of(scorer, text)
    assert isinstance(score, Score)
    assert (score.verdict, score.value, score.suspect) == ("invalid", 0.0, True)
    assert "failed on this reply" in score.why


@pytest.mark.parametrize("scorer", [CrashingScorer(broken=True), HeavyCrashingScorer(broken=True)])
async def test_a_scorer_that_also_fails_on_the_correct_answer_gives_a_failure(scorer: CrashingScorer) -> None:
    assert isinstance(await score_of(scorer, "B"), Failure)


WITH_REASONING = (
    ("<think>a dog?</think>cat", "right"), ("[THINK]a dog?[/THINK]cat", "right"), ("◁think▷a dog?◁/think▷cat", "right"),
    ("analysisA dog?assistantfinalcat", "right"), ("<|channel|>analysis<|message|>A dog?<|end|><|start|>assistant<|channel|>final<|message|>cat", "right"),
    ("<think>It is a cat. But", "truncated"), ("<think>cat</think>", "unanswered"),
)  # fmt: skip


@table(("reply", "verdict"), WITH_REASONING)
@table("scorer", [Exact(), FunctionScorer(lambda text, target: text == target), Caption()])
def test_scorers_ignore_reasoning_in_every_notation(scorer: Any, reply: str, verdict: str) -> None:
    assert scorer(Sample(id="1", target="cat"), Prompt(), Reply(text=reply)).verdict == verdict


@pytest.mark.parametrize(("reply", "verdict"), WITH_REASONING)
def test_the_scorers_of_a_suite_are_not_given_the_reasoning(reply: str, verdict: str) -> None:
    texts: list[str] = []

    def record_text(sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        texts.append(reply.text)
        return Score(value=0.0, verdict="wrong")

    with Pool() as pool:
        Scoring({"recorder": record_text}, pool).score_light(
            Sample(id="1", target="cat"), Prompt(), Reply(text=reply)
        )
    assert "dog" not in texts[0]
    assert "But" not in texts[0]


def test_removed_reasoning_leaves_no_white_space_and_spans_refer_to_the_reply() -> None:
    reasoning, sample = f"<think>{'4471, I guess. ' * 20}</think>\n\n", Sample(id="1", target="4471")
    answer = "I don't know, B" + " " * 200 + "B"
    with Pool() as pool:
        scoring = Scoring({"anls": Anls(), "letter": QuadraticScorer()}, pool)
        bare, reasoned = (
            scoring.score_light(sample, Prompt(), Reply(text=text)) for text in (answer, reasoning + answer)
        )
    assert (reasoned["anls"], reasoned["letter"].span) == (
        bare["anls"],
        (len(reasoning + answer) - 1, len(reasoning + answer)),
    )


def _rate_from_0_to_5(sample: Sample, prompt: Prompt, reply: Reply) -> Score:
    return Score(value=float(reply.text), verdict="graded")


@pytest.mark.parametrize(
    ("text", "is_failure"), [("5", True), ("-0.5", True), ("1.0000000000000002", False), ("0.5", False)]
)
def test_a_score_beyond_the_bounds_of_its_metric_is_a_failure_of_the_scorer(
    text: str, is_failure: bool
) -> None:
    suite = Suite.of([{"question": "q", "answer": "x"}], scorer=_rate_from_0_to_5)
    with Pool(1) as pool:
        score = suite.scoring(pool).score_light(toy.sample("q"), Prompt(), Reply(text=text))["own"]
    assert isinstance(score, Failure) == is_failure
    if isinstance(score, Failure):
        assert "not between 0 and 1" in score.message


def test_a_metric_with_values_from_0_to_5_cannot_be_a_fraction() -> None:
    suite = Suite.of([{"question": "q", "answer": "x"}], scorer=_rate_from_0_to_5)
    rating = structs.replace(suite.metrics[0], bounds=(0.0, 5.0))
    with pytest.raises(ValueError, match="set its unit"):
        structs.replace(suite, metrics=(rating,))
    rating = structs.replace(rating, unit="points")
    with Pool(1) as pool:
        scoring = structs.replace(suite, metrics=(rating,)).scoring(pool)
        assert isinstance(scoring.score_light(toy.sample("q"), Prompt(), Reply(text="5"))["own"], Score)


class QuadraticScorer(msgspec.Struct, frozen=True):
    """Searches for a letter with a pattern that takes quadratic time on white space."""

    heavy: ClassVar[bool] = False

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        match = re.search(r"\s*\s*([A-D])$", reply.text)
        verdict: Verdict = "right" if match else "unanswered"
        return Score(value=float(bool(match)), verdict=verdict, span=match.span(1) if match else None)


@pytest.mark.parametrize("blank", ["\n", " ", "\t ", "\u3000"])
def test_long_white_space_does_not_slow_patterns_and_the_span_refers_to_the_original_text(blank: str) -> None:
    text = "x" + blank * 60_000 + "y" + blank * 60_000 + "B"
    start = time.process_time()
    with Pool(1) as pool:
        scoring = Scoring({"only": QuadraticScorer()}, pool)
        score = scoring.score_light(toy.sample("q"), Prompt(), Reply(text=text))["only"]
        assert asyncio.run(scoring.score_all(toy.sample("q"), Prompt(), Reply(text=text)))["only"] == score
    assert time.process_time() - start < 1
    assert isinstance(score, Score)
    assert score.span == (len(text) - 1, len(text))


@pytest.mark.parametrize("line_breaks", ["\n", "\n\n", "\n \n\n"])
def test_a_line_break_after_long_white_space_is_kept(line_breaks: str) -> None:
    text = "x" + " " * 500 + line_breaks + "ANSWER: B"
    shortened, removed = white_space.shorten_runs(text)
    assert len(shortened) == len("x") + white_space.MAX_RUN + len("ANSWER: B")
    assert shortened.endswith("\n" * min(2, line_breaks.count("\n")) + "ANSWER: B")
    assert white_space.original_position(shortened.index("A"), removed) == text.index("A")
