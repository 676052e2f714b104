"""A judge model: its closed grammar, hostile candidates, retries, accounts; and how it changes a score."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from msgspec import structs

from evals.errors import Fatal, Rejected, ServerFault, UsageError, Waiting
from evals.extract import extracted_number, letter, verdict, verdict_opencompass
from evals.model_adapters.scripted import Scripted
from evals.profiles import Price, date
from evals.prompts import plain_text
from evals.scorers.choice import Choice
from evals.scorers.judge.account import judge_card
from evals.scorers.judge.agreement import RatedPair, agreement, kappa, ppi, rogan_gladen
from evals.scorers.judge.judge import Judge, template
from evals.scorers.judge.judged import Judged
from evals.types import Failure, Judgement, Prompt, Reply, Sample, Score, Usage
from tests.support import toy
from tests.support.command import evals
from tests.support.paths import TESTS
from tests.support.tables import table

CASES = TESTS / "cases"
VERDICTS = [json.loads(line) for line in (CASES / "verdicts.jsonl").read_text("utf-8").splitlines()]
INJECTIONS = [json.loads(line) for line in (CASES / "injections.jsonl").read_text("utf-8").splitlines()]
ITEM = Sample(id="q", target="B", choices=("three", "four"))


def words(prompt: Prompt) -> str:
    return plain_text(prompt.messages[-1].parts)


def case_of(prompt: Prompt) -> str:
    found = re.search(r"case's number, (\w+)\.", words(prompt))
    assert found
    return found[1]


def candidate_of(prompt: Prompt) -> str:
    case = case_of(prompt)
    return words(prompt).split(f"<candidate {case}>\n")[1].split(f"\n</candidate {case}>")[0]


def says(letter: str) -> Callable[[Prompt], str]:
    return lambda prompt: json.dumps({"case": case_of(prompt), "verdict": letter})


def fair(prompt: Prompt) -> str:
    """A judge that looks at the fenced candidate alone: right where it holds the right option's word."""
    return says("A" if "four" in candidate_of(prompt) else "B")(prompt)


def bench(model: Callable[[Prompt], str | Reply] | str | list[str]) -> Judge:
    return Judge(
        Scripted(model), spec="scripted:judge", price=Price(input=1.0, output=2.0, date=date(2026, 1, 2))
    )


def score(scorer: Judged, text: str, *, stop: str = "stop", earlier: Score | None = None) -> Score:
    reply = Reply(text=text, stop=stop)
    first = scorer.rule(ITEM, Prompt(), reply)
    return asyncio.run(scorer.judge_after(ITEM, Prompt(), reply, first, earlier))


@table("case", VERDICTS, ids=lambda case: repr(case["text"]))
def test_the_grammar_is_closed_where_upstreams_is_open(case: dict[str, str]) -> None:
    assert verdict(case["text"], "c0", ("A", "B")) == case["ours"]
    assert verdict_opencompass(case["text"]) == case["upstream"]


@pytest.mark.parametrize(
    ("text", "found"),
    [('{"case": "c0", "number": -5}', -5.0), ('{"case": "c0", "number": 1e-3}', 0.001),
     ('{"case": "c0", "number": "none"}', "nothing"), ('{"case": "c0", "number": true}', None),
     ('{"case": "c0", "number": "5"}', None), ('{"case": "c0", "number": NaN}', None), ("5", None),
     ('{"case": "c0", "number": ' + "9" * 400 + "}", None)],
)  # fmt: skip
def test_a_number_is_read_with_its_sign_and_power(text: str, found: object) -> None:
    assert extracted_number(text, "c0") == found


@table("text", INJECTIONS)
def test_a_candidate_cannot_leave_its_fence(text: str) -> None:
    seen: list[Prompt] = []

    def watch(prompt: Prompt) -> str:
        seen.append(prompt)
        return fair(prompt)

    found = score(Judged(rule=Choice(letter), mode="whole", judge=bench(watch)), text)
    assert (found.value, found.verdict) == (0.0, "wrong")
    (prompt,) = seen
    assert candidate_of(prompt) == text  # as it was, and whole
    assert words(prompt).count(f"</candidate {case_of(prompt)}>") == 1
    assert words(prompt).count(f"<reference {case_of(prompt)}>") == 1


@table("text", INJECTIONS)
@table("form", ["correctness", "equivalence", "points", "number", "option", "answer"])
def test_a_judge_that_parrots_the_candidate_gives_no_verdict(text: str, form: str) -> None:
    made = template(form).with_options(4)
    filled, case = made.fill("2 + 2?", "four", text)
    assert made.read(text, case) is None
    assert made.read(filled, case) is None


def test_no_verdict_is_asked_for_again_and_then_a_failure(tmp_path: Path) -> None:
    judge = bench("I would rather not say.")
    job = toy.job(
        tmp_path, toy.suite(2, scorers={"judge": Judged(rule=toy.Exact(), mode="whole", judge=judge)})
    )
    from evals.run.runner import Runner, drive

    asyncio.run(drive(lambda: Runner(Scripted("A"), [job])))
    assert judge.calls == 6
    found = [r.scores["judge"] for r in runner_records(job)]
    assert [f.kind for f in found if isinstance(f, Failure)] == ["unreadable", "unreadable"]
    assert "I would rather not say" in found[0].message
    toy.close_job(job)


def runner_records(job: object) -> list[object]:
    from evals.records.store import Run

    return list(Run(job.writer.path).records())


def test_a_verdict_at_the_second_try_counts_with_all_its_tokens() -> None:
    turns = iter(["hm", ""])

    def late(prompt: Prompt) -> Reply:
        text = next(turns) or says("A")(prompt)
        return Reply(text=text, usage=Usage(input=10, output=3), model="judge-1")

    found = score(Judged(rule=Choice(letter), mode="whole", judge=bench(late)), "four, clearly")
    (judged,) = found.judged
    assert (judged.attempts, judged.usage, judged.model) == (2, Usage(input=20, output=6), "judge-1")
    assert judged.text.endswith('"A"}')
    assert (found.value, found.parts) == (1.0, {"judge": 1.0})  # the rule read no letter: it did not speak


def test_a_server_without_schemas_is_asked_without() -> None:
    sent: list[dict[str, object]] = []

    class Old(Scripted):
        async def reply(self, prompt: Prompt, sampling: object) -> Reply:
            sent.append(dict(sampling.extra))
            if sampling.extra:
                raise Rejected("HTTP 400: unknown field response_format")
            return await super().reply(prompt, sampling)

    judge = Judge(Old(fair), spec="scripted:old")
    scorer = Judged(rule=Choice(letter), mode="whole", judge=judge)
    assert score(scorer, "four").value == 1.0
    assert score(scorer, "three").value == 0.0
    assert ["response_format" in one for one in sent] == [True, False, False]


def test_a_busy_judge_is_waited_for_and_a_wrong_one_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evals.calls.backoff.FIRST_S", 0.001)
    faults = iter([ServerFault("HTTP 500"), ServerFault("HTTP 500"), None])

    def tired(prompt: Prompt) -> str:
        if (fault := next(faults)) is not None:
            raise fault
        return fair(prompt)

    assert score(Judged(rule=Choice(letter), mode="whole", judge=bench(tired)), "four").value == 1.0

    def locked(prompt: Prompt) -> str:
        raise Fatal("HTTP 401: wrong key")

    with pytest.raises(UsageError, match="judge scripted:judge: HTTP 401"):
        score(Judged(rule=Choice(letter), mode="whole", judge=bench(locked)), "four")


def test_a_cascade_rescues_and_never_doubts_but_counts_the_doubts() -> None:
    scorer = Judged(rule=Choice(letter), audit=1.0, judge=bench(says("B")))
    right = score(scorer, "ANSWER: B")
    assert (right.value, right.suspect, right.parts) == (1.0, True, {"rule": 1.0, "judge": 0.0})
    assert score(scorer, "ANSWER: A").parts == {"rule": 0.0, "judge": 0.0}
    rescued = score(structs.replace(scorer, judge=bench(fair)), "It is four.")
    assert (rescued.value, rescued.verdict) == (1.0, "right")
    unasked = score(structs.replace(scorer, audit=0.0), "ANSWER: B")
    assert (unasked.value, unasked.judged) == (1.0, ())


@pytest.mark.parametrize(("text", "stop"), [("", "stop"), ("  \n", "length"), ("no", "filter")])
def test_what_holds_no_text_is_not_shown_to_a_judge(text: str, stop: str) -> None:
    judge = bench(says("A"))
    found = score(Judged(rule=Choice(letter), mode="whole", judge=judge), text, stop=stop)
    assert found.value == 0.0
    assert found.verdict == {"stop": "unanswered", "length": "truncated", "filter": "refused"}[stop]
    assert judge.calls == 0


def test_without_a_judge_the_rule_decides_what_it_can() -> None:
    scorer = Judged(rule=Choice(letter), audit=1.0)
    assert score(scorer, "ANSWER: B").value == 1.0
    with pytest.raises(Waiting, match="evals score RUN --judge"):
        score(scorer, "ANSWER: A")


def test_a_verdict_is_used_again_for_the_same_words_alone() -> None:
    judge = bench(fair)
    scorer = Judged(rule=Choice(letter), mode="whole", judge=judge)
    first = score(scorer, "four")
    assert score(scorer, "four", earlier=first) == first
    assert score(structs.replace(scorer, judge=None), "four", earlier=first) == first
    assert judge.calls == 1
    score(scorer, "four!", earlier=first)
    assert judge.calls == 2
    other = Judge(Scripted(fair), spec="scripted:other")
    score(structs.replace(scorer, judge=other), "four", earlier=first)
    assert other.calls == 1


def test_a_number_found_by_the_judge_is_scored_by_the_rule() -> None:
    from evals.scorers.upstream.first_number import FirstNumber

    sample = Sample(id="s", target=1000.0)

    def at(number: object) -> Score:
        judge = bench(lambda prompt: json.dumps({"case": case_of(prompt), "number": number}))
        scorer = Judged(rule=FirstNumber(), mode="read", form="number", judge=judge)
        return asyncio.run(scorer(sample, Prompt(), Reply(text="about a gigapascal")))

    assert (at(-5).value, at(1e-7).value, at("none").value) == (1005.0, pytest.approx(1000.0), 1000.0)
    assert at(1e22).value == pytest.approx(1e22)
    silent = asyncio.run(
        Judged(rule=FirstNumber(), mode="read", form="number")(sample, Prompt(), Reply(text=""))
    )
    assert silent.value == 1000.0  # upstream takes no number for 0; an error of 0 would be a perfect score


# --- agreement ----------------------------------------------------------------------------------------------


def pairs(tp: int, fp: int, fn: int, tn: int) -> list[RatedPair]:
    return (
        [RatedPair(True, True)] * tp
        + [RatedPair(False, True)] * fp
        + [RatedPair(True, False)] * fn
        + [RatedPair(False, False)] * tn
    )


def test_kappa_is_cohens() -> None:
    assert kappa(pairs(20, 5, 10, 15)) == pytest.approx(0.4)  # his formula by hand: (0.7 - 0.5) / 0.5
    assert kappa(
        [RatedPair(True, True, 10.0), RatedPair(False, False), RatedPair(True, False, 10.0)]
    ) == kappa(pairs(10, 0, 10, 1))
    found = agreement(pairs(20, 5, 10, 15))
    assert found.wrongly_right is not None
    assert found.wrongly_wrong is not None
    assert (found.wrongly_right[0], found.wrongly_wrong[0]) == (0.25, pytest.approx(1 / 3))
    assert agreement(pairs(5, 0, 0, 0)).kappa is None


def test_rogan_gladen_gives_back_the_true_share() -> None:
    labels = pairs(90, 20, 10, 80)  # TPR 0.9, TNR 0.8
    judged = [True] * 550 + [False] * 450  # 0.5 * 0.9 + 0.5 * 0.2
    found = rogan_gladen(judged, labels)
    assert found.value == pytest.approx(0.5)
    assert found.low < 0.45 < 0.55 < found.high
    with pytest.raises(UsageError, match="chance"):
        rogan_gladen(judged, pairs(50, 50, 50, 50))


def test_corrected_scores_cover_the_truth_where_the_raw_one_does_not() -> None:
    random = Random(4)
    covered = {"raw": 0, "rogan": 0, "ppi": 0}
    for _ in range(200):
        truth = [random.random() < 0.6 for _ in range(600)]
        judge = [random.random() < (0.95 if t else 0.25) for t in truth]
        labelled = [RatedPair(t, j) for t, j in zip(truth[:120], judge[:120], strict=True)]
        raw = sum(judge) / len(judge)
        covered["raw"] += abs(raw - 0.6) < 0.04
        for name, found in (
            ("rogan", rogan_gladen(judge[120:], labelled)),
            ("ppi", ppi(judge[120:], labelled)),
        ):
            covered[name] += found.low <= 0.6 <= found.high
    assert covered["raw"] < 40
    assert covered["rogan"] >= 182
    assert covered["ppi"] >= 182


def test_the_account_keeps_the_judges_tokens_apart_and_says_how_it_agrees() -> None:
    def one(rule: float | None, judge: float) -> Score:
        said = Judgement(
            judge="scripted:judge", asked="0", text="x", model="j-1", usage=Usage(input=100, output=10)
        )
        parts = {"judge": judge} | ({} if rule is None else {"rule": rule})
        right = max(rule or 0.0, judge) == 1.0
        return Score(value=float(right), verdict="right" if right else "wrong", parts=parts, judged=(said,))

    seated = Judged(rule=Choice(letter), judge=bench(fair))
    unasked = Score(value=1.0, verdict="right")
    scores = [one(1.0, 1.0), one(1.0, 0.0), one(0.0, 1.0), one(0.0, 0.0), one(None, 1.0), *[unasked] * 5]
    waiting = Failure(stage="scorer", kind="waiting", message="")
    card = judge_card([*({"judge": s} for s in scores), {"judge": waiting}], {"judge": seated})
    assert card is not None
    assert (card.verdicts, card.waiting, card.served) == (5, 1, "j-1")
    assert card.tokens == {"input": 500, "output": 50}
    assert card.cost_usd == pytest.approx(600e-6)
    assert card.agreement is not None
    assert card.agreement["n"] == 4
    assert card.both_sides is not None
    assert card.both_sides["value"] == pytest.approx(0.7 * 0.5 + 0.2)


# --- the command line ---------------------------------------------------------------------------------------

HERE = "scripted:call=tests.support.judges"


def test_the_published_protocol_runs_with_a_judge(tmp_path: Path) -> None:
    asked = ("run", "mmlu-pro", "gpqa", "aime", "--sample", "--protocol", "intern-s1", "--results", tmp_path)
    found = evals(*asked, "-m", "scripted:ANSWER: B", "--judge", f"{HERE}:letter_b", "--json")
    assert found.status == 0, found.err
    for run in found.json["runs"]:
        assert run["coverage"] == 1.0
        assert run["judge"]["model"] == f"{HERE}:letter_b"
        assert any(note.startswith("judge:") for note in run["notes"])
        assert run["judge"]["tokens"]["output"] > 0
    one = evals("show", found.json["runs"][0]["run"], "--results", tmp_path)
    assert "verdicts by scripted" in " ".join(one.out.split())


def test_a_cascade_without_a_judge_waits_and_is_finished_later(tmp_path: Path) -> None:
    asked = ("run", "gpqa", "--sample", "--protocol", "intern-s1", "--results", tmp_path, "--run", "r")
    found = evals(*asked, "-m", "scripted:ANSWER: B", "--json")
    assert found.status == 1
    waiting = found.json["runs"][0]["counts"]["failed:waiting"]
    assert waiting > 0
    scored = evals("score", "r", "--judge", f"{HERE}:letter_b", "--results", tmp_path, "--json")
    assert scored.status == 0, scored.err
    assert scored.json["run"]["coverage"] == 1.0
    assert scored.json["run"]["judge"]["verdicts"] >= waiting
    assert len(scored.json["changes"]) == waiting
    again = evals("score", "r", "--results", tmp_path, "--json")  # no judge: its verdicts are in the records
    assert again.json["changes"] == []
    assert again.json["run"]["estimates"] == scored.json["run"]["estimates"]
    assert again.json["run"]["judge"]["model"] == f"{HERE}:letter_b"
    other = evals("score", "r", "--judge", f"{HERE}:never", "--results", tmp_path, "--json")
    assert other.json["run"]["run"] == "r-scripted-call-tests.support.judges-never"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("mmlu-pro", "--protocol", "intern-s1"), "add --judge MODEL"),
        (("mmlu-pro", "--judge", "scripted:A"), "uses no judge"),
        (("mmlu-pro", "--protocol", "intern-s1", "--judge", "scripted:A", "--judge-price", "x"), "IN,OUT"),
        (("mmlu-pro", "--protocol", "intern-s1", "--judge", "nonsense"), "unknown model"),
    ],
)
def test_what_is_wrong_with_a_judge_is_said_before_the_first_call(
    tmp_path: Path, words: tuple[str, ...], complaint: str
) -> None:
    found = evals("run", *words, "--sample", "-m", "scripted:A", "--results", tmp_path)
    assert complaint in found.error_line
    assert list(tmp_path.iterdir()) == []


def test_a_judge_is_calibrated_on_texts_and_corrects_a_run(tmp_path: Path) -> None:
    asked = ("run", "mmlu-pro", "--sample", "--protocol", "intern-s1", "--results", tmp_path, "--run", "r")
    evals(*asked, "-m", "scripted:ANSWER: B", "--judge", f"{HERE}:letter_b")
    labels = tmp_path / "labels.jsonl"
    lines = [{"label": right, "question": "?", "reference": "four", "candidate": text} for right, text in
             [(True, "four"), (True, "it is four"), (True, "4"), (False, "five"), (False, "six"), (False, "not four")] * 4]  # fmt: skip
    labels.write_text("\n".join(map(json.dumps, lines)))
    found = evals(
        "judge",
        "calibrate",
        f"{HERE}:letter_b",
        "--labels",
        labels,
        "--run",
        "r",
        "--results",
        tmp_path,
        "--json",
    )
    assert found.status == 0, found.err
    assert (found.json["tpr"][0], found.json["tnr"][0]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert found.json["agreement"]["kappa"][0] == pytest.approx(1 / 3)
    assert found.json["corrected"]["rogan_gladen"]["low"] <= found.json["raw"]
    said = evals("judge", "calibrate", f"{HERE}:letter_b", "--labels", labels)
    assert "true-positive rate: 66.7 %" in said.out


def test_labels_of_the_same_run_correct_it_without_asking(tmp_path: Path) -> None:
    asked = ("run", "mmlu-pro", "--sample", "--protocol", "intern-s1", "--results", tmp_path, "--run", "r")
    evals(*asked, "-m", "scripted:ANSWER: B", "--judge", f"{HERE}:letter_b")
    rows = evals("show", "r", "--samples", "--results", tmp_path, "--json").json["samples"]
    labels = tmp_path / "labels.jsonl"
    labels.write_text("\n".join(json.dumps({"label": r["target"] == "B", "id": r["id"]}) for r in rows[:6]))
    found = evals(
        "judge",
        "calibrate",
        f"{HERE}:letter_b",
        "--labels",
        labels,
        "--run",
        "r",
        "--results",
        tmp_path,
        "--json",
    )
    assert found.json["corrected"]["ppi"]["method"].startswith("PPI++")
    assert (
        found.json["corrected"]["ppi"]["low"] <= found.json["raw"] <= found.json["corrected"]["ppi"]["high"]
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 1"),
        ('{"label": true}', "expected an id"),
        ('{"label": true, "id": "1"}', "--run"),
        ("", "no labels"),
    ],
)
def test_labels_that_cannot_be_used_are_said_in_one_line(tmp_path: Path, line: str, words: str) -> None:
    labels = tmp_path / "labels.jsonl"
    labels.write_text(line)
    assert words in evals("judge", "calibrate", "scripted:A", "--labels", labels).error_line
