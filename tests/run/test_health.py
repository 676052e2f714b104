"""Runs that look broken: the messages while they run, the findings on their card, and the exit status."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.records.card import Finding
from evals.run.health import UNREAD_WINDOW, Health, is_checked
from evals.types import Failure, Prompt, Record, Reply, Score
from tests.support.command import Outcome, evals
from tests.support.faults import Answer, Behaviour, FaultyServer, completion, error

NORMAL_REPLY = Reply(text="A")


def record(outcome: Reply | Failure, number: int, verdict: str = "right") -> Record:
    scores = {"s": Score(value=1.0, verdict=verdict)} if isinstance(outcome, Reply) else {}
    return Record(sample=f"q{number}", repeat=0, prompt=Prompt(), outcome=outcome, scores=scores)


def finding_kinds(*outcomes: Reply | Failure, verdict: str = "right", enabled: bool = True) -> list[str]:
    health = Health(enabled=enabled)
    for number, outcome in enumerate(outcomes):
        health.add(record(outcome, number, verdict))
    return [finding.kind for finding in health.findings]


def different_replies(count: int, **fields: object) -> list[Reply]:
    return [Reply(text=f"reply {n}", **fields) for n in range(count)]


def test_filtered_replies_do_not_count_as_empty() -> None:
    health = Health()
    for number in range(8):
        health.add(record(Reply(text="", stop="filter" if number < 3 else "stop"), number))
    (finding,) = health.findings
    assert finding.message.startswith("5 of 8 replies are empty")


def test_findings_need_a_minimum_number_and_share_of_replies() -> None:
    empty, reasoning_only = Reply(text=" \n"), Reply(text="", reasoning="so B")
    assert finding_kinds(*[empty] * 4) == []
    assert finding_kinds(*[empty] * 5) == ["empty"]
    assert finding_kinds(*[reasoning_only] * 5) == ["empty"]
    assert finding_kinds(*[empty] * 15, NORMAL_REPLY) == []
    assert finding_kinds(*[Reply(text="", stop="filter")] * 9) == []
    assert finding_kinds(*different_replies(5, stop="length")) == ["truncated"]
    assert finding_kinds(*different_replies(4, stop="length")) == []
    assert finding_kinds(*[Reply(text="", reasoning="so", stop="length")] * 6) == ["truncated"]
    assert finding_kinds(*[NORMAL_REPLY] * 9) == []
    assert finding_kinds(*[NORMAL_REPLY] * 10) == ["same"]
    assert finding_kinds(*different_replies(20)) == []
    failed = Failure(stage="model", kind="timeout", message="")
    assert finding_kinds(*[failed] * 20) == []
    assert finding_kinds(*[failed] * 20, *[empty] * 5) == ["empty"]


def test_first_replies_that_are_all_unanswered_are_a_finding() -> None:
    assert finding_kinds(*different_replies(UNREAD_WINDOW - 1), verdict="unanswered") == []
    assert finding_kinds(*different_replies(UNREAD_WINDOW), verdict="unanswered") == ["unread"]
    assert finding_kinds(*different_replies(UNREAD_WINDOW), verdict="wrong") == []


def test_a_fault_is_reported_once_and_dropped_if_later_replies_contradict_it() -> None:
    health = Health()
    new_findings = [health.add(record(Reply(text=""), n)) for n in range(8)]
    assert [len(findings) for findings in new_findings] == [0, 0, 0, 0, 1, 0, 0, 0]
    assert health.findings[0].fault
    assert health.findings[0].message.startswith("8 of 8 replies are empty")
    health.add(record(NORMAL_REPLY, 9))
    assert health.findings == ()


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("scripted:silent", False),
        ("baseline:longest", False),
        ("replay:x", False),
        ("function:f", False),
        ("server:http://h/v1#m", True),
        ("smollm2", True),
    ],
)
def test_models_that_repeat_a_reply_on_purpose_are_not_checked(spec: str, expected: bool) -> None:
    assert is_checked(spec) is expected
    assert finding_kinds(*[Reply(text="")] * 9, enabled=expected) == (["empty"] if expected else [])


def run_on_server(behaviour: Behaviour | Answer, *options: object) -> Outcome:
    with FaultyServer(behaviour) as server:
        return evals("run", "mmlu-pro", "--sample", "-m", server.model, "--json", *options)


def test_a_run_of_empty_replies_is_reported_as_broken(here: Path) -> None:
    outcome = run_on_server(completion("", reasoning_content="So it is B."))
    assert outcome.status == 1
    (card,) = outcome.json["runs"]
    assert card["health"] == [
        {
            "kind": "empty",
            "message": "16 of 16 replies are empty, with all text in the reasoning: check the server's reasoning parser",
            "fault": True,
        }
    ]
    assert outcome.err.count("replies are empty, with all text in the reasoning") == 1
    assert "looks broken: 16 of 16 replies are empty" in " ".join(evals("show", "last").out.split())
    assert "looks broken" in evals("show").out
    (listed_card,) = evals("show", "--json").json["runs"]
    assert listed_card["health"] == card["health"]


def test_quiet_does_not_hide_findings(here: Path) -> None:
    assert "replies are empty" in run_on_server(completion(""), "--quiet").err


def test_truncated_and_identical_replies_are_warnings_that_keep_the_exit_status(here: Path) -> None:
    outcome = run_on_server(completion("The answer", finish="max_tokens"))
    assert outcome.status == 0
    assert [finding["kind"] for finding in outcome.json["runs"][0]["health"]] == ["truncated", "same"]
    assert not any(finding.get("fault") for finding in outcome.json["runs"][0]["health"])


def test_strict_health_ends_the_run(here: Path) -> None:
    outcome = run_on_server(completion("The answer", finish="length"), "--strict-health", "--concurrency", 1)
    assert outcome.status == 1
    (card,) = outcome.json["runs"]
    assert card["counts"] == {"truncated": 5, "absent": 11}
    assert "ended early: --strict-health: mmlu-pro: 5 of 5 replies are truncated" in outcome.err


def test_strict_health_fails_even_if_all_calls_were_in_flight(here: Path) -> None:
    outcome = run_on_server(completion("The answer", finish="length"), "--strict-health", "--concurrency", 16)
    assert outcome.status == 1


def test_a_resumed_run_counts_the_replies_of_its_first_session(here: Path) -> None:
    with FaultyServer(completion("")) as server:
        arguments = ("run", "mmlu-pro", "--sample", "-m", server.model, "--json", "--concurrency", 1)
        assert evals(*arguments, "--max-total-tokens", 40).json["runs"][0]["health"] == []
        outcome = evals(*arguments)
    assert outcome.json["runs"][0]["health"][0]["message"].startswith("16 of 16 replies are empty")


def test_a_run_in_which_every_call_failed_is_listed_with_its_counts(here: Path) -> None:
    run_on_server(error(400)).assert_usage_error()
    (card,) = evals("show", "--json").json["runs"]
    assert (card["status"], card["counts"]) == ("partial", {"failed:rejected": 16})
    assert card["coverage"] == 0.0


def test_a_fatal_error_after_other_failures_leaves_a_card(here: Path) -> None:
    outcome = run_on_server(lambda call: error(401) if call.number == 3 else error(400), "--concurrency", 1)
    outcome.assert_usage_error()
    (card,) = evals("show", "--json").json["runs"]
    assert (card["status"], card["counts"]) == ("partial", {"failed:rejected": 3, "absent": 13})


def test_an_unknown_finish_reason_is_counted_on_the_card(here: Path) -> None:
    outcome = run_on_server(
        lambda call: completion(
            f"ANSWER: {'AB'[call.number % 2]}", finish="odd" if call.number < 3 else "stop"
        )
    )
    assert outcome.status == 0
    assert outcome.json["runs"][0]["notes"] == [
        "3 replies ended for an unknown reason, 'odd': taken as complete"
    ]


def test_findings_are_compared_by_value() -> None:
    assert Finding(kind="same", message="m") == Finding(kind="same", message="m", fault=False)
