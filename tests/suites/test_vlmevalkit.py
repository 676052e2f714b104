"""VLMEvalKit's rules for MathVista and MathVision, its prompts, MMStar's options, and SFE under `strict`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from evals.data import Data
from evals.errors import Waiting
from evals.scorers.upstream.vlmevalkit import MATHVISION, MATHVISTA, MathRule
from evals.suites import mathvista, mmstar, sfe
from evals.types import Media, Prompt, Reply, Sample
from tests.support.command import evals
from tests.support.tables import table

VISTA, VISION = MathRule(mathvista=True), MathRule(mathvista=False)
WHOLE, DECIMAL, LIST = ({"answer_type": kind} for kind in ("integer", "float", "list"))
CHOICES = ("larger", "no", "smaller")


@table(
    ("rule", "sample", "text", "value"),
    [
        (VISTA, Sample(id="x", target="7", meta=WHOLE), " 7\n", 1.0),
        (VISTA, Sample(id="x", target="7", meta=WHOLE), "7.0", None),  # DEFECT: `int` rejects a decimal point
        # only a right free-form answer is decided by rule
        (VISTA, Sample(id="x", target="7", meta=WHOLE), "8", None),
        (VISTA, Sample(id="x", target="1.2", meta=DECIMAL), "1.20", 1.0),
        (VISTA, Sample(id="x", target="1.2", meta=DECIMAL), "1.21", None),
        (VISTA, Sample(id="x", target="[1, 2]", meta=LIST), "[1, 2]", None),  # DEFECT: never right
        (VISTA, Sample(id="x", target="B", choices=CHOICES), "C", 0.0),
        (VISTA, Sample(id="x", target="A", choices=CHOICES), "it is larger", 1.0),
        (VISTA, Sample(id="x", target="A", choices=CHOICES), "it grew quite a lot, I believe", None),
        (VISION, Sample(id="x", target="1/2"), "0.5", 1.0),
        # DEFECT: the whole reply is compared
        (VISION, Sample(id="x", target="1/2"), "so \\boxed{0.5}", None),
        (VISION, Sample(id="x", target="4"), "\\boxed{4}", None),
        (VISION, Sample(id="x", target="B", choices=tuple("ABCDE")), "\\boxed{B}", 1.0),
        (VISION, Sample(id="x", target="__import__('os')"), "1", None),
    ],
)
def test_replies_are_scored_as_upstream_scores_them(
    rule: MathRule, sample: Sample, text: str, value: float | None
) -> None:
    assert rule(sample, Prompt(), Reply(text=text)).value == value


@pytest.mark.parametrize(
    ("rule", "sample", "extracted", "verdict"),
    [
        (VISTA, Sample(id="x", target="7", meta=WHOLE), "7", "right"),
        (VISTA, Sample(id="x", target="7", meta=WHOLE), "7 cm", "wrong"),
        (VISTA, Sample(id="x", target="7", meta=WHOLE), "", "unanswered"),
        (VISTA, Sample(id="x", target="B", choices=CHOICES), "B", "right"),
        (VISION, Sample(id="x", target="1/2"), "0.5", "right"),
        (VISION, Sample(id="x", target="1/2"), "x", "wrong"),
    ],
)
def test_answers_extracted_by_a_judge_are_scored_by_the_same_rule(
    rule: MathRule, sample: Sample, extracted: str, verdict: str
) -> None:
    assert rule.score_extracted(sample, Prompt(), Reply(text="..."), extracted).verdict == verdict


@pytest.mark.parametrize("scorer", [MATHVISTA, MATHVISION])
def test_without_a_judge_undecided_replies_wait(scorer: object) -> None:
    sample = Sample(id="x", target="7", meta=WHOLE)
    with pytest.raises(Waiting):
        asyncio.run(scorer(sample, Prompt(), Reply(text="I count seven of them.")))


@pytest.mark.parametrize("suite", ["mmmu", "mmstar", "mathvista", "mathvision", "chartqa"])
def test_the_samples_run_end_to_end(tmp_path: Path, suite: str) -> None:
    pytest.importorskip("PIL")
    outcome = evals("run", suite, "--sample", "-m", "scripted:B", "--protocol", "intern-s1", "--results", tmp_path,
                    *(() if suite == "chartqa" else ("--judge", "scripted:hm")), "--json")  # fmt: skip
    for run in outcome.json["runs"]:
        assert set(run["counts"]) <= {"right", "wrong", "failed:unreadable"}
        assert ("failed:unreadable" in run["counts"]) == (suite in ("mathvista", "mathvision"))


def test_the_notes_contain_the_expected_score_of_upstreams_random_choice(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    outcome = evals("run", "mmstar", "--sample", "-m", "scripted:hard to tell", "--protocol", "intern-s1", "--judge",
                    "scripted:hm", "--results", tmp_path, "--json")  # fmt: skip
    (run,) = outcome.json["runs"]
    assert run["counts"] == {"failed:unreadable": 11}
    # upstream chooses among four options and "none of them"
    assert any("expected score is 20.00 %" in note for note in run["notes"])


def test_prompts_begin_with_the_image(tmp_path: Path) -> None:
    for module, name in ((mathvista, "mathvista"), (mmstar, "mmstar"), (sfe, "sfe")):
        suite = module.BENCHMARK.suite(next(iter(module.BENCHMARK.variants)), "intern-s1")
        data = Data(suite=name, sample=True, media=tmp_path)
        prompter = suite.prompter(data)
        for sample in suite.samples(data):
            (message,) = prompter(sample, 0).messages
            assert isinstance(message.parts[0], Media)
            assert len(message.parts) == 2


def test_options_are_extracted_from_mmstars_questions() -> None:
    row = {"question": "Which one?\nOptions: A: red, or so, B: blue, C: 1,000, D: none\n"}
    assert mmstar._choices(row) == ("red, or so", "blue", "1,000", "none")
    assert mmstar._choices({"question": "Which one?", **dict(zip("ABCD", "wxyz", strict=True))}) == tuple(
        "wxyz"
    )
    assert mmstar._choices({"question": "Which one?"}) == tuple("ABCD")


@pytest.mark.parametrize(
    ("gold", "text", "value"),
    [("Basalt", "Answer: basalt.", 1.0), ("20", "Answer: 21", 0.0), ("1,000", "Answer: 1000", 1.0),
     ("basalt", "Answer: a dark volcanic rock", None), ("20", "I cannot say.", 0.0)],
)  # fmt: skip
def test_sfe_under_strict_leaves_undecided_answers_to_the_judge(
    gold: str, text: str, value: float | None
) -> None:
    sample = Sample(id="x", target=gold, meta={"question_type": "exact_match"})
    assert sfe.Compared()(sample, Prompt(), Reply(text=text)).value == value


def test_sfe_under_strict_runs_without_a_judge_and_counts_waiting_replies(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    outcome = evals("run", "sfe", "--sample", "-m", "scripted:Answer: some", "--protocol", "strict", "--results", tmp_path,
                    "--run", "r", "--json")  # fmt: skip
    assert outcome.status == 1
    waiting = outcome.json["runs"][0]["counts"]["failed:waiting"]
    assert 0 < waiting < 11
    rescored = evals(
        "score", "r", "--judge", "scripted:call=tests.support.judges:never", "--results", tmp_path, "--json"
    )
    assert rescored.json["run"]["coverage"] == 1.0
