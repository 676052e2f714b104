"""Hand-judged replies in the styles of today's models: how far the readers agree with a careful human, by kind of answer.

`cases/replies.jsonl`: a line a reply; `right` holds the verdicts that a human accepts, `read` what a human reads. Cases
marked `debatable` are not counted.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from evals import extract
from tests.support.paths import TESTS

CASES: list[dict[str, Any]] = [
    case
    for line in (TESTS / "cases" / "replies.jsonl").read_text("utf-8").splitlines()
    if not (case := json.loads(line)).get("debatable")
]
CHOICE = ("mmlu-pro", "mmstar", "chembench:4k", "mathvision", "mathvista", "mmmu")


def accepts(case: dict[str, Any], verdict: str, answer: str | None) -> bool:
    """Tell whether a verdict is what a human gives, and a wrong letter the one that a human reads."""
    read = str(case.get("read", ""))
    same = verdict != "wrong" or len(read) != 1 or not read.isalpha() or answer == read
    return verdict in case["right"] and same


def options_case(case: dict[str, Any]) -> tuple[str, str | None]:
    found = extract.choice(case["reply"], case["options"])
    if found is None:
        kinds = ("truncated", "unanswered", "refused")
        return next((kind for kind in kinds if kind in case["right"]), "unanswered"), None
    return ("right" if found.value == case["target"] else "wrong"), found.value


OPTIONS = [case for case in CASES if case["suite"] in CHOICE and case.get("options")]


@pytest.mark.parametrize("case", OPTIONS, ids=lambda case: case["id"])
def test_an_option_is_read_as_a_human_reads_it(case: dict[str, Any]) -> None:
    verdict, answer = options_case(case)
    assert accepts(case, verdict, answer), (answer, case)
