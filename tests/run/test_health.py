"""Runs that look broken: what is said while they run, what their card keeps, and how the command ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.records.card import Finding
from evals.run.health import UNREAD_WINDOW, Health, is_checked
from evals.types import Failure, Prompt, Record, Reply, Score
from tests.support.command import Outcome, evals
from tests.support.faults import Answer, Behaviour, FaultyServer, completion, error

GOOD = Reply(text="A")


def record(outcome: Reply | Failure, number: int, verdict: str = "right") -> Record:
    scores = {"s": Score(value=1.0, verdict=verdict)} if isinstance(outcome, Reply) else {}
    return Record(sample=f"q{number}", repeat=0, prompt=Prompt(), outcome=outcome, scores=scores)


def kinds(*outcomes: Reply | Failure, verdict: str = "right", enabled: bool = True) -> list[str]:
    health = Health(enabled=enabled)
    for number, outcome in enumerate(outcomes):
        health.add(record(outcome, number, verdict))
    return [finding.kind for finding in health.findings]


def texts(count: int, **fields: object) -> list[Reply]:
    return [Reply(text=f"reply {n}", **fields) for n in range(count)]


def test_what_is_found_and_from_when_on() -> None:
    empty, hidden = Reply(text=" \n"), Reply(text="", reasoning="so B")
    assert kinds(*[empty] * 4) == []
    assert kinds(*[empty] * 5) == ["empty"]
    assert kinds(*[hidden] * 5) == ["empty"]
    assert kinds(*[empty] * 15, GOOD) == []
    assert kinds(*[Reply(text="", stop="filter")] * 9) == []
    assert kinds(*texts(5, stop="length")) == ["truncated"]
    assert kinds(*texts(4, stop="length")) == []
    assert kinds(*[Reply(text="", reasoning="so", stop="length")] * 6) == ["truncated"]
    assert kinds(*[GOOD] * 9) == []
    assert kinds(*[GOOD] * 10) == ["same"]
    assert kinds(*texts(20)) == []
    failed = Failure(stage="model", kind="timeout", message="")
    assert kinds(*[failed] * 20) == []
    assert kinds(*[failed] * 20, *[empty] * 5) == ["empty"]


def test_no_answer_in_the_first_replies_is_a_warning() -> None:
    assert kinds(*texts(UNREAD_WINDOW - 1), verdict="unanswered") == []
    assert kinds(*texts(UNREAD_WINDOW), verdict="unanswered") == ["unread"]
    assert kinds(*texts(UNREAD_WINDOW), verdict="wrong") == []


def test_a_fault_is_said_once_and_goes_where_it_does_not_hold_to_the_end() -> None:
    health = Health()
    said = [health.add(record(Reply(text=""), n)) for n in range(8)]
    assert [len(one) for one in said] == [0, 0, 0, 0, 1, 0, 0, 0]
    assert health.findings[0].fault
    assert health.findings[0].message.startswith("8 of 8 replies are empty")
    health.add(record(GOOD, 9))
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
def test_what_answers_alike_on_purpose_is_not_looked_at(spec: str, expected: bool) -> None:
    assert is_checked(spec) is expected
    assert kinds(*[Reply(text="")] * 9, enabled=expected) == (["empty"] if expected else [])


def ran(behave: Behaviour | Answer, *options: object) -> Outcome:
    with FaultyServer(behave) as server:
        return evals("run", "mmlu-pro", "--sample", "-m", server.model, "--json", *options)


def test_a_run_of_empty_replies_is_never_graded_in_silence(here: Path) -> None:
    done = ran(completion("", reasoning_content="So it is B."))
    assert done.status == 1
    (card,) = done.json["runs"]
    assert card["health"] == [
        {
            "kind": "empty",
            "message": "16 of 16 replies are empty, with all text in the reasoning: check the server's reasoning parser",
            "fault": True,
        }
    ]
    assert done.err.count("replies are empty, with all text in the reasoning") == 1
    assert "looks broken: 16 of 16 replies are empty" in " ".join(evals("show", "last").out.split())
    assert "looks broken" in evals("show").out
    (shown,) = evals("show", "--json").json["runs"]
    assert shown["health"] == card["health"]


def test_quiet_is_no_reason_to_hide_it(here: Path) -> None:
    assert "replies are empty" in ran(completion(""), "--quiet").err


def test_truncated_and_equal_replies_are_warnings_and_change_no_status(here: Path) -> None:
    done = ran(completion("The answer", finish="max_tokens"))
    assert done.status == 0
    assert [one["kind"] for one in done.json["runs"][0]["health"]] == ["truncated", "same"]
    assert not any(one.get("fault") for one in done.json["runs"][0]["health"])


def test_strict_health_ends_the_run(here: Path) -> None:
    done = ran(completion("The answer", finish="length"), "--strict-health", "--concurrency", 1)
    assert done.status == 1
    (card,) = done.json["runs"]
    assert card["counts"] == {"truncated": 5, "absent": 11}
    assert "ended early: --strict-health: mmlu-pro: 5 of 5 replies are truncated" in done.err


def test_strict_health_is_a_failure_even_if_every_call_was_under_way(here: Path) -> None:
    done = ran(completion("The answer", finish="length"), "--strict-health", "--concurrency", 16)
    assert done.status == 1


def test_a_resumed_run_remembers_what_its_first_session_saw(here: Path) -> None:
    with FaultyServer(completion("")) as server:
        words = ("run", "mmlu-pro", "--sample", "-m", server.model, "--json", "--concurrency", 1)
        assert evals(*words, "--max-total-tokens", 40).json["runs"][0]["health"] == []
        done = evals(*words)
    assert done.json["runs"][0]["health"][0]["message"].startswith("16 of 16 replies are empty")


def test_a_run_in_which_every_call_failed_is_listed_with_its_counts(here: Path) -> None:
    assert ran(error(400)).status == 2
    (card,) = evals("show", "--json").json["runs"]
    assert (card["status"], card["counts"]) == ("partial", {"failed:rejected": 16})
    assert card["coverage"] == 0.0


def test_what_fails_for_good_after_other_failures_leaves_a_card(here: Path) -> None:
    done = ran(lambda call: error(401) if call.number == 3 else error(400), "--concurrency", 1)
    assert done.status == 2
    (card,) = evals("show", "--json").json["runs"]
    assert (card["status"], card["counts"]) == ("partial", {"failed:rejected": 3, "absent": 13})


def test_an_unknown_finish_reason_is_counted_on_the_card(here: Path) -> None:
    done = ran(
        lambda call: completion(
            f"ANSWER: {'AB'[call.number % 2]}", finish="odd" if call.number < 3 else "stop"
        )
    )
    assert done.status == 0
    assert done.json["runs"][0]["notes"] == [
        "3 replies ended for an unknown reason, 'odd': taken as complete"
    ]


def test_a_finding_is_data() -> None:
    assert Finding(kind="same", message="m") == Finding(kind="same", message="m", fault=False)
