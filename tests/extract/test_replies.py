"""Hand-judged replies in the styles of today's models: how far the readers agree with a careful human, by kind of answer.

`cases/replies.jsonl`: a line a reply; `right` holds the verdicts that a human accepts, `read` what a human reads. Cases
marked `debatable` are not counted.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evals import extract
from tests.support.command import evals
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


def test_a_run_says_how_its_answers_were_stated(tmp_path: Path) -> None:
    replies = tmp_path / "replies.jsonl"
    replies.write_text(
        "".join(
            json.dumps({"id": f"2025-I-{n}", "text": text}) + "\n"
            for n, text in enumerate(("\\boxed{5}", "Answer: 7", "The sum is 9."), 1)
        )
    )
    data = tmp_path / "data.jsonl"
    data.write_text(
        "".join(json.dumps({"id": f"2025-I-{n}", "problem": "p", "answer": "7"}) + "\n" for n in (1, 2, 3))
    )
    common = ("--suite", "aime:2025", "--model", "m", "--protocol", "strict", "--data", data, "--run", "r")
    done = evals("import", "replies", replies, *common, "--results", tmp_path / "results", "--json")
    assert done.status in (0, 1), done.err
    assert done.json["runs"][0]["forms"] == {"box": 1, "line": 1, "prose": 1}
    rows = evals("show", "r", "--samples", "--json", "--results", tmp_path / "results").json["samples"]
    assert [row["form"] for row in rows] == ["box", "line", "prose"]
    assert "33.3 % of its answers were read without any marker" in evals(
        "show", "r", "--results", tmp_path / "results"
    ).out.replace("\n", " ")
