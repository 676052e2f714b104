"""Judge models: which verdicts are accepted, hostile candidates, retries, token counts, and the effect on a score."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from msgspec import structs

from evals.errors import Context, Fatal, Rejected, ScorerError, ServerFault, UsageError, Waiting
from evals.extract import extracted_number, letter, verdict
from evals.model_adapters.scripted import Scripted
from evals.profiles import Price, date
from evals.prompts import plain_text
from evals.records import store
from evals.records.writer import Writer
from evals.run import rescore as rescoring
from evals.run.budget import Budget
from evals.scorers.choice import Choice
from evals.scorers.judge.account import judge_card
from evals.scorers.judge.agreement import CorrectedShare, RatedPair, agreement, kappa, ppi, rogan_gladen
from evals.scorers.judge.judge import Judge, template
from evals.scorers.judge.judged import Judged
from evals.types import Failure, Judgement, Prompt, Reply, Sample, Score, Usage
from evals.verdicts import suite_runs
from tests.support import judges, toy
from tests.support.command import evals
from tests.support.error_messages import raises
from tests.support.paths import TESTS
from tests.support.tables import table

CASES = TESTS / "cases"
VERDICTS = [json.loads(line) for line in (CASES / "verdicts.jsonl").read_text("utf-8").splitlines()]
INJECTIONS = [json.loads(line) for line in (CASES / "injections.jsonl").read_text("utf-8").splitlines()]
ITEM = Sample(id="q", target="B", choices=("three", "four"))


def prompt_text(prompt: Prompt) -> str:
    return plain_text(prompt.messages[-1].parts)


def case_number(prompt: Prompt) -> str:
    match = re.search(r"case's number, (\w+)\.", prompt_text(prompt))
    assert match
    return match[1]


def candidate_of(prompt: Prompt) -> str:
    case = case_number(prompt)
    return prompt_text(prompt).split(f"<candidate {case}>\n")[1].split(f"\n</candidate {case}>")[0]


def judge_that_returns(letter: str) -> Callable[[Prompt], str]:
    return lambda prompt: json.dumps({"case": case_number(prompt), "verdict": letter})


def correct_judge(prompt: Prompt) -> str:
    """Judge the text between the candidate markers only: correct if it contains the text of the correct option."""
    return judge_that_returns("A" if "four" in candidate_of(prompt) else "B")(prompt)


def priced_judge(model: Callable[[Prompt], str | Reply] | str | list[str]) -> Judge:
    return Judge(
        Scripted(model), spec="scripted:judge", price=Price(input=1.0, output=2.0, date=date(2026, 1, 2))
    )


def score_of(scorer: Judged, text: str, *, stop: str = "stop", earlier: Score | None = None) -> Score:
    reply = Reply(text=text, stop=stop)
    first = scorer.rule(ITEM, Prompt(), reply)
    return asyncio.run(scorer.judge_after(ITEM, Prompt(), reply, first, earlier))


@table("case", VERDICTS, ids=lambda case: repr(case["text"]))
def test_a_verdict_is_read_from_valid_json_only(case: dict[str, str]) -> None:
    assert verdict(case["text"], "c0", ("A", "B")) == case["ours"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [('{"case": "c0", "number": -5}', -5.0), ('{"case": "c0", "number": 1e-3}', 0.001),
     ('{"case": "c0", "number": "none"}', "nothing"), ('{"case": "c0", "number": true}', None),
     ('{"case": "c0", "number": "5"}', None), ('{"case": "c0", "number": NaN}', None), ("5", None),
     ('{"case": "c0", "number": ' + "9" * 400 + "}", None)],
)  # fmt: skip
def test_a_number_from_the_judge_is_read_with_its_sign_and_exponent(text: str, expected: object) -> None:
    assert extracted_number(text, "c0") == expected


@table("text", INJECTIONS)
def test_a_candidate_cannot_forge_the_markers_around_it(text: str) -> None:
    prompts: list[Prompt] = []

    def record_prompt(prompt: Prompt) -> str:
        prompts.append(prompt)
        return correct_judge(prompt)

    score = score_of(Judged(rule=Choice(letter), mode="whole", judge=priced_judge(record_prompt)), text)
    assert (score.value, score.verdict) == (0.0, "wrong")
    (prompt,) = prompts
    assert candidate_of(prompt) == text  # unchanged and complete
    assert prompt_text(prompt).count(f"</candidate {case_number(prompt)}>") == 1
    assert prompt_text(prompt).count(f"<reference {case_number(prompt)}>") == 1


@table("text", INJECTIONS)
@table("form", ["correctness", "equivalence", "points", "number", "option", "answer"])
def test_a_judge_that_repeats_the_candidate_or_its_prompt_returns_no_verdict(text: str, form: str) -> None:
    judge_template = template(form).with_options(4)
    filled, case = judge_template.fill("2 + 2?", "four", text)
    assert judge_template.read(text, case) is None
    assert judge_template.read(filled, case) is None


def test_an_unreadable_verdict_is_a_failure_after_three_attempts(tmp_path: Path) -> None:
    judge = priced_judge(
        lambda prompt: Reply(text="I would rather not say.", usage=Usage(input=1000, output=500))
    )
    job = toy.job(
        tmp_path, toy.suite(2, scorers={"judge": Judged(rule=toy.Exact(), mode="whole", judge=judge)})
    )
    from evals.run.runner import Runner, drive

    asyncio.run(drive(lambda: Runner(Scripted("A"), [job])))
    assert judge.calls == 6
    scores = [r.scores["judge"] for r in stored_records(job)]
    assert [score.kind for score in scores if isinstance(score, Failure)] == ["unreadable", "unreadable"]
    assert "I would rather not say" in scores[0].message
    assert scores[0].usage == Usage(input=3000, output=1500)
    card = judge_card([{"judge": score} for score in scores], job.suite.scorers)
    assert (card.tokens, card.cost_usd) == ({"input": 6000, "output": 3000}, 0.012)
    budget = Budget(judge_price=judge.price)
    budget.add_judge({"judge": scores[0]})
    assert budget.spent_usd == 0.006
    toy.close_job(job)


def stored_records(job: object) -> list[object]:
    from evals.records.store import Run

    return list(Run(job.writer.path).records())


def test_tokens_of_all_attempts_are_counted_if_the_second_attempt_is_readable() -> None:
    unreadable_first = iter(["hm", ""])

    def readable_on_retry(prompt: Prompt) -> Reply:
        text = next(unreadable_first) or judge_that_returns("A")(prompt)
        return Reply(text=text, usage=Usage(input=10, output=3), model="judge-1")

    score = score_of(
        Judged(rule=Choice(letter), mode="whole", judge=priced_judge(readable_on_retry)), "four, clearly"
    )
    (judgement,) = score.judged
    assert (judgement.attempts, judgement.usage, judgement.model) == (2, Usage(input=20, output=6), "judge-1")
    assert judgement.text.endswith('"A"}')
    assert (score.value, score.parts) == (1.0, {"judge": 1.0})  # the rule read no letter, so it has no part


def test_a_server_that_rejects_response_schemas_is_called_without_one() -> None:
    extras: list[dict[str, object]] = []

    class WithoutSchemas(Scripted):
        async def reply(self, prompt: Prompt, sampling: object) -> Reply:
            extras.append(dict(sampling.extra))
            if sampling.extra:
                raise Rejected("HTTP 400: unknown field response_format")
            return await super().reply(prompt, sampling)

    judge = Judge(WithoutSchemas(correct_judge), spec="scripted:old")
    scorer = Judged(rule=Choice(letter), mode="whole", judge=judge)
    assert score_of(scorer, "four").value == 1.0
    assert score_of(scorer, "three").value == 0.0
    assert ["response_format" in extra for extra in extras] == [True, False, False]


async def test_concurrent_calls_are_all_repeated_without_a_schema_and_a_long_prompt_changes_nothing() -> None:
    class WithoutSchemas(Scripted):
        async def reply(self, prompt: Prompt, sampling: object) -> Reply:
            await asyncio.sleep(0.01)  # all first calls are in flight when the first is rejected
            if "too long" in plain_text(prompt.messages[0].parts):
                raise Context("HTTP 400: maximum context length")
            if sampling.extra:
                raise Rejected("HTTP 400: unknown field response_format")
            return await super().reply(prompt, sampling)

    judge, judge_template = Judge(WithoutSchemas(correct_judge), spec="scripted:old"), template("correctness")
    filled = [judge_template.fill(text, "four", "four") for text in ("too long", *map(str, range(8)))]
    with raises(ScorerError):
        await judge.ask_until_verdict(judge_template, *filled[0])
    assert judge.calls == 1
    decisions = await asyncio.gather(
        *(judge.ask_until_verdict(judge_template, *question) for question in filled[1:])
    )
    assert [verdict for verdict, _ in decisions] == ["A"] * 8


def test_server_faults_of_a_judge_are_retried_and_a_wrong_key_ends_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("evals.calls.backoff.FIRST_S", 0.001)
    faults = iter([ServerFault("HTTP 500"), ServerFault("HTTP 500"), None])

    def fails_twice(prompt: Prompt) -> str:
        if (fault := next(faults)) is not None:
            raise fault
        return correct_judge(prompt)

    assert (
        score_of(Judged(rule=Choice(letter), mode="whole", judge=priced_judge(fails_twice)), "four").value
        == 1.0
    )

    def rejects_key(prompt: Prompt) -> str:
        raise Fatal("HTTP 401: wrong key")

    with raises(UsageError):
        score_of(Judged(rule=Choice(letter), mode="whole", judge=priced_judge(rejects_key)), "four")


def test_a_cascade_changes_only_wrong_scores_and_marks_right_ones_that_the_judge_rejects() -> None:
    scorer = Judged(rule=Choice(letter), audit=1.0, judge=priced_judge(judge_that_returns("B")))
    right = score_of(scorer, "ANSWER: B")
    assert (right.value, right.suspect, right.parts) == (1.0, True, {"rule": 1.0, "judge": 0.0})
    assert score_of(scorer, "ANSWER: A").parts == {"rule": 0.0, "judge": 0.0}
    rescued = score_of(structs.replace(scorer, judge=priced_judge(correct_judge)), "It is four.")
    assert (rescued.value, rescued.verdict) == (1.0, "right")
    unaudited = score_of(structs.replace(scorer, audit=0.0), "ANSWER: B")
    assert (unaudited.value, unaudited.judged) == (1.0, ())


@pytest.mark.parametrize(("text", "stop"), [("", "stop"), ("  \n", "length"), ("no", "filter")])
def test_a_reply_that_is_empty_or_filtered_is_not_sent_to_a_judge(text: str, stop: str) -> None:
    judge = priced_judge(judge_that_returns("A"))
    score = score_of(Judged(rule=Choice(letter), mode="whole", judge=judge), text, stop=stop)
    assert score.value == 0.0
    assert score.verdict == {"stop": "unanswered", "length": "truncated", "filter": "refused"}[stop]
    assert judge.calls == 0


def test_without_a_judge_the_rule_accepts_right_answers_and_others_wait() -> None:
    scorer = Judged(rule=Choice(letter), audit=1.0)
    assert score_of(scorer, "ANSWER: B").value == 1.0
    with raises(Waiting):
        score_of(scorer, "ANSWER: A")


def test_a_stored_verdict_is_reused_only_for_the_same_text_and_judge() -> None:
    judge = priced_judge(correct_judge)
    scorer = Judged(rule=Choice(letter), mode="whole", judge=judge)
    first = score_of(scorer, "four")
    assert score_of(scorer, "four", earlier=first) == first
    assert score_of(structs.replace(scorer, judge=None), "four", earlier=first) == first
    assert judge.calls == 1
    score_of(scorer, "four!", earlier=first)
    assert judge.calls == 2
    other_judge = Judge(Scripted(correct_judge), spec="scripted:other")
    score_of(structs.replace(scorer, judge=other_judge), "four", earlier=first)
    assert other_judge.calls == 1


def test_a_number_that_the_judge_extracts_is_scored_by_the_rule() -> None:
    from evals.scorers.upstream.matbench import FirstNumber

    sample = Sample(id="s", target=1000.0)

    def score_for(number: object) -> Score:
        judge = priced_judge(lambda prompt: json.dumps({"case": case_number(prompt), "number": number}))
        scorer = Judged(rule=FirstNumber(), mode="read", template_name="number", judge=judge)
        return asyncio.run(scorer(sample, Prompt(), Reply(text="about a gigapascal")))

    assert (score_for(-5).value, score_for(1e-7).value, score_for("none").value) == (
        1005.0,
        pytest.approx(1000.0),
        1000.0,
    )
    assert score_for(1e22).value == pytest.approx(1e22)
    empty = asyncio.run(
        Judged(rule=FirstNumber(), mode="read", template_name="number")(sample, Prompt(), Reply(text=""))
    )
    # upstream reads a missing number as 0; an error of 0 would be a perfect score
    assert empty.value == 1000.0


# --- agreement ----------------------------------------------------------------------------------------------


def rated_pairs(tp: int, fp: int, fn: int, tn: int) -> list[RatedPair]:
    return (
        [RatedPair(True, True)] * tp
        + [RatedPair(False, True)] * fp
        + [RatedPair(True, False)] * fn
        + [RatedPair(False, False)] * tn
    )


def test_kappa_is_cohens_kappa_with_weights() -> None:
    # Cohen's formula by hand: (0.7 - 0.5) / 0.5
    assert kappa(rated_pairs(20, 5, 10, 15)) == pytest.approx(0.4)
    assert kappa(
        [RatedPair(True, True, 10.0), RatedPair(False, False), RatedPair(True, False, 10.0)]
    ) == kappa(rated_pairs(10, 0, 10, 1))
    rates = agreement(rated_pairs(20, 5, 10, 15))
    assert rates.wrongly_right is not None
    assert rates.wrongly_wrong is not None
    assert (rates.wrongly_right[0], rates.wrongly_wrong[0]) == (0.25, pytest.approx(1 / 3))
    assert agreement(rated_pairs(5, 0, 0, 0)).kappa is None


def test_rogan_gladen_recovers_the_true_proportion() -> None:
    labels = rated_pairs(90, 20, 10, 80)  # TPR 0.9, TNR 0.8
    judged = [True] * 550 + [False] * 450  # 0.5 * 0.9 + 0.5 * 0.2
    corrected = rogan_gladen(judged, labels)
    assert corrected.value == pytest.approx(0.5)
    assert corrected.low < 0.45 < 0.55 < corrected.high
    with raises(UsageError):
        rogan_gladen(judged, rated_pairs(50, 50, 50, 50))


def test_intervals_of_corrected_scores_cover_the_truth_although_the_raw_score_is_biased() -> None:
    random = Random(4)
    covered = {"raw": 0, "rogan": 0, "ppi": 0}
    for _ in range(200):
        truth = [random.random() < 0.6 for _ in range(600)]
        verdicts = [random.random() < (0.95 if t else 0.25) for t in truth]
        labelled = [RatedPair(t, j) for t, j in zip(truth[:120], verdicts[:120], strict=True)]
        raw = sum(verdicts) / len(verdicts)
        covered["raw"] += abs(raw - 0.6) < 0.04
        for name, corrected in (
            ("rogan", rogan_gladen(verdicts[120:], labelled)),
            ("ppi", ppi(verdicts[120:], labelled)),
        ):
            covered[name] += corrected.low <= 0.6 <= corrected.high
    assert covered["raw"] < 40
    assert covered["rogan"] >= 182
    assert covered["ppi"] >= 182


def test_replies_to_one_item_are_not_independent_labels() -> None:
    random = Random(5)
    truth = [random.random() < 0.6 for _ in range(60)]
    verdicts = [random.random() < (0.9 if t else 0.2) for t in truth]
    items = [f"i{n}" for n in range(60)]
    once = [RatedPair(t, v, item=i) for t, v, i in zip(truth, verdicts, items, strict=True)]
    four_times = [pair for pair in once for _ in range(4)]
    anonymous = [RatedPair(pair.reference, pair.judge) for pair in once]
    assert agreement(anonymous) == agreement(once)

    def width(interval: tuple[float, float | None, float | None] | CorrectedShare | None) -> float:
        assert interval is not None
        low, high = (interval.low, interval.high) if isinstance(interval, CorrectedShare) else interval[1:]
        assert low is not None
        assert high is not None
        return high - low

    repeated_verdicts, repeated_items = (
        [v for v in verdicts for _ in range(4)],
        [i for i in items for _ in "1234"],
    )
    for single, repeated in (
        (agreement(once).kappa, agreement(four_times).kappa),
        (agreement(once).wrongly_right, agreement(four_times).wrongly_right),
        (agreement(once).wrongly_wrong, agreement(four_times).wrongly_wrong),
        (rogan_gladen(verdicts, once), rogan_gladen(repeated_verdicts, four_times, items=repeated_items)),
        (
            ppi(verdicts[30:], once[:30], items=items[30:]),
            ppi(repeated_verdicts[120:], four_times[:120], items=repeated_items[120:]),
        ),
    ):
        assert width(repeated) == pytest.approx(
            width(single), rel=0.25
        )  # half as wide if they were independent


def test_unlabelled_replies_to_a_labelled_item_share_its_error() -> None:
    truth = [n % 5 < 3 for n in range(100)]
    pairs = [RatedPair(t, t, item=f"i{n}") for n, t in enumerate(truth)]
    alone, shared = (ppi(truth, pairs, items=[f"{prefix}{n}" for n in range(100)]) for prefix in "ui")
    assert shared.high - shared.low == pytest.approx(2**0.5 * (alone.high - alone.low), rel=0.05)


def test_the_judge_card_counts_tokens_verdicts_and_agreement_with_the_rule() -> None:
    def judged_score(rule: float | None, judge: float) -> Score:
        judgement = Judgement(
            judge="scripted:judge", asked="0", text="x", model="j-1", usage=Usage(input=100, output=10)
        )
        parts = {"judge": judge} | ({} if rule is None else {"rule": rule})
        right = max(rule or 0.0, judge) == 1.0
        return Score(
            value=float(right), verdict="right" if right else "wrong", parts=parts, judged=(judgement,)
        )

    scorer = Judged(rule=Choice(letter), judge=priced_judge(correct_judge))
    unaudited = Score(value=1.0, verdict="right")
    rule_and_judge = ((1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (None, 1.0))
    scores = [*(judged_score(*values) for values in rule_and_judge), *[unaudited] * 5]
    waiting = Failure(stage="scorer", kind="waiting", message="")
    card = judge_card([*({"judge": s} for s in scores), {"judge": waiting}], {"judge": scorer})
    assert card is not None
    assert (card.verdicts, card.waiting, card.served) == (5, 1, "j-1")
    assert card.tokens == {"input": 500, "output": 50}
    assert card.cost_usd == pytest.approx(600e-6)
    assert card.agreement is not None
    assert card.agreement["n"] == 4
    assert card.both_sides is not None
    assert card.both_sides["value"] == pytest.approx(0.7 * 0.5 + 0.2)


# --- the command line ---------------------------------------------------------------------------------------

JUDGES = "scripted:call=tests.support.judges"


def test_the_published_protocol_runs_with_a_judge(tmp_path: Path) -> None:
    command = (
        "run",
        "mmlu-pro",
        "gpqa",
        "aime",
        "--sample",
        "--protocol",
        "intern-s1",
        "--results",
        tmp_path,
    )
    outcome = evals(*command, "-m", "scripted:ANSWER: B", "--judge", f"{JUDGES}:letter_b", "--json")
    assert outcome.status == 0, outcome.err
    for run in outcome.json["runs"]:
        assert run["coverage"] == 1.0
        assert run["judge"]["model"] == f"{JUDGES}:letter_b"
        assert any(note.startswith("judge:") for note in run["notes"])
        assert run["judge"]["tokens"]["output"] > 0
    shown = evals("show", outcome.json["runs"][0]["run"], "--results", tmp_path)
    assert "verdicts by scripted" in " ".join(shown.out.split())


def test_a_cascade_run_without_a_judge_waits_and_is_scored_later(tmp_path: Path) -> None:
    command = ("run", "gpqa", "--sample", "--protocol", "intern-s1", "--results", tmp_path, "--run", "r")
    outcome = evals(*command, "-m", "scripted:ANSWER: B", "--json")
    assert outcome.status == 1
    waiting = outcome.json["runs"][0]["counts"]["failed:waiting"]
    assert waiting > 0
    finished = evals("score", "r", "--judge", f"{JUDGES}:letter_b", "--results", tmp_path, "--json")
    assert finished.status == 0, finished.err
    assert finished.json["run"]["coverage"] == 1.0
    assert finished.json["run"]["judge"]["verdicts"] >= waiting
    assert len(finished.json["changes"]) == waiting
    # no judge is needed, as its verdicts are in the records
    rescored = evals("score", "r", "--results", tmp_path, "--json")
    assert rescored.json["changes"] == []
    assert rescored.json["run"]["estimates"] == finished.json["run"]["estimates"]
    assert rescored.json["run"]["judge"]["model"] == f"{JUDGES}:letter_b"
    by_other_judge = evals("score", "r", "--judge", f"{JUDGES}:never", "--results", tmp_path, "--json")
    assert by_other_judge.json["run"]["run"] == "r-scripted-call-tests.support.judges-never"


@pytest.mark.parametrize(
    "options", [(), ("--protocol", "intern-s1")], ids=["of another judge", "under another protocol"]
)
def test_scoring_a_copy_of_a_run_again_calls_no_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    run_options = () if options else ("--protocol", "intern-s1", "--judge", f"{JUDGES}:never")
    evals(
        "run",
        "gpqa",
        "--sample",
        "--results",
        tmp_path,
        "--run",
        "r",
        "-m",
        "scripted:ANSWER: B",
        *run_options,
    )
    command = ("score", "r", *options, "--judge", f"{JUDGES}:letter_b", "--results", tmp_path, "--json")
    first = evals(*command)
    assert first.status == 0, first.err
    assert first.json["run"]["judge"]["verdicts"] > 0

    def fail(prompt: Prompt) -> str:
        raise AssertionError("the judge is called again")

    monkeypatch.setattr(judges, "letter_b", fail)
    second = evals(*command)
    assert second.json["run"]["run"] == first.json["run"]["run"] != "r"
    assert second.json["run"]["judge"]["verdicts"] == first.json["run"]["judge"]["verdicts"]
    assert second.json["run"]["estimates"] == first.json["run"]["estimates"]


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


INTERRUPTIONS = {
    "while records are copied": (
        (Writer, "replace", interrupt),
        (Writer, "close", lambda writer: writer._lock.close()),
    ),
    "before rescoring": ((rescoring, "rescore", interrupt),),
}
"""Attributes that are replaced to interrupt `evals score`."""


@pytest.mark.parametrize("replaced", INTERRUPTIONS.values(), ids=INTERRUPTIONS)
def test_an_interrupted_copy_counts_as_running_until_it_is_rescored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replaced: tuple[tuple[object, str, object], ...]
) -> None:
    evals("run", "mmlu-pro", "--sample", "-m", "scripted:ANSWER: B", "--results", tmp_path, "--run", "r")
    command = ("score", "r", "--protocol", "official", "--results", tmp_path, "--json")
    with monkeypatch.context() as interrupted:
        for owner, name, replacement in replaced:
            interrupted.setattr(owner, name, replacement)
        assert evals(*command).status == 130
    copied = store.read_card(store.find_one(tmp_path, "r-official").path)
    assert (copied.status, copied.headline, copied.complete) == ("running", None, False)
    outcome = evals(*command)
    assert outcome.status == 0, outcome.err
    assert (outcome.json["run"]["status"], outcome.json["run"]["coverage"]) == ("finished", 1.0)


def test_a_copy_for_another_protocol_and_another_judge_is_one_run(tmp_path: Path) -> None:
    evals("run", "mmlu-pro", "--sample", "-m", "scripted:ANSWER: B", "--results", tmp_path, "--run", "r")
    card_path = store.find_one(tmp_path, "r").path / "card.json"
    card = json.loads(card_path.read_text())
    card["config"]["judge"] = "scripted:other"
    card_path.write_text(json.dumps(card))
    command = ("score", "r", "--protocol", "intern-s1", "--judge", "scripted:A", "--results", tmp_path)
    assert evals(*command).status == 0
    (name,) = {run.path.name for run in store.runs(tmp_path)} - {"r"}
    copy = store.find_one(tmp_path, name)
    assert store.read_card(copy.path).status != "running"
    assert suite_runs.of_run(copy).prompted == "strict"
    assert suite_runs.of_run(store.find_one(tmp_path, "r")).prompted == ""


def test_scoring_under_another_protocol_does_not_overwrite_another_run(tmp_path: Path) -> None:
    for name in ("r", "r-official"):
        evals("run", "mmlu-pro", "--sample", "-m", "scripted:ANSWER: B", "--results", tmp_path, "--run", name)
    evals("score", "r", "--protocol", "official", "--results", tmp_path).assert_usage_error()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--protocol", "intern-s1"),
        ("--judge", "scripted:A"),
        ("--protocol", "intern-s1", "--judge", "scripted:A", "--judge-price", "x"),
        ("--protocol", "intern-s1", "--judge", "nonsense"),
    ],
    ids=["missing", "superfluous", "price", "unknown"],
)
def test_errors_in_the_judge_options_are_reported_before_the_first_call(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    outcome = evals("run", "mmlu-pro", *arguments, "--sample", "-m", "scripted:A", "--results", tmp_path)
    outcome.assert_usage_error()
    assert list(tmp_path.iterdir()) == []


def test_a_judge_calibrated_on_labelled_texts_corrects_the_score_of_a_run(tmp_path: Path) -> None:
    command = ("run", "mmlu-pro", "--sample", "--protocol", "intern-s1", "--results", tmp_path, "--run", "r")
    evals(*command, "-m", "scripted:ANSWER: B", "--judge", f"{JUDGES}:letter_b")
    labels = tmp_path / "labels.jsonl"
    lines = [{"label": right, "question": "?", "reference": "four", "candidate": text} for right, text in
             [(True, "four"), (True, "it is four"), (True, "4"), (False, "five"), (False, "six"), (False, "not four")] * 4]  # fmt: skip
    labels.write_text("\n".join(map(json.dumps, lines)))
    outcome = evals(
        "judge",
        "calibrate",
        f"{JUDGES}:letter_b",
        "--labels",
        labels,
        "--run",
        "r",
        "--results",
        tmp_path,
        "--json",
    )
    assert outcome.status == 0, outcome.err
    assert (outcome.json["tpr"][0], outcome.json["tnr"][0]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert outcome.json["agreement"]["kappa"][0] == pytest.approx(1 / 3)
    assert outcome.json["corrected"]["rogan_gladen"]["low"] <= outcome.json["raw"]
    without_run = evals("judge", "calibrate", f"{JUDGES}:letter_b", "--labels", labels)
    assert "true-positive rate: 66.7 % (0.0 to 100.0)" in without_run.out  # all are answers to one question


def test_labels_of_samples_of_a_run_correct_its_score_without_judge_calls(tmp_path: Path) -> None:
    command = ("run", "mmlu-pro", "--sample", "--protocol", "intern-s1", "--results", tmp_path, "--run", "r")
    evals(*command, "-m", "scripted:ANSWER: B", "--judge", f"{JUDGES}:letter_b")
    rows = evals("show", "r", "--samples", "--results", tmp_path, "--json").json["samples"]
    labels = tmp_path / "labels.jsonl"
    labels.write_text("\n".join(json.dumps({"label": r["target"] == "B", "id": r["id"]}) for r in rows[:6]))
    outcome = evals(
        "judge",
        "calibrate",
        f"{JUDGES}:letter_b",
        "--labels",
        labels,
        "--run",
        "r",
        "--results",
        tmp_path,
        "--json",
    )
    assert outcome.json["corrected"]["ppi"]["method"].startswith("PPI++")
    with labels.open("a") as stream:
        stream.write("\n" + json.dumps({"label": rows[0]["target"] != "B", "id": rows[0]["id"]}))
    contradictory = evals(
        "judge", "calibrate", "scripted:A", "--labels", labels, "--run", "r", "--results", tmp_path
    )
    assert contradictory.status != 0
    assert (
        outcome.json["corrected"]["ppi"]["low"]
        <= outcome.json["raw"]
        <= outcome.json["corrected"]["ppi"]["high"]
    )


@pytest.mark.parametrize(
    "line",
    ["{", '{"label": true}', '{"label": true, "id": "1"}', ""],
    ids=["not JSON", "no id", "no run", "empty"],
)
def test_unusable_labels_are_reported_in_one_line(tmp_path: Path, line: str) -> None:
    labels = tmp_path / "labels.jsonl"
    labels.write_text(line)
    evals("judge", "calibrate", "scripted:A", "--labels", labels).assert_usage_error()
