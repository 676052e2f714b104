"""Hand-judged replies to SMolInstruct, Matbench, ChemBench's numbers and PHYSICS, scored by the scorers of `strict`.

Only the cases of these suites are scored here; `test_replies.py` scores the others.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from typing import Any

import pytest

from evals import extract
from evals.errors import Waiting
from evals.suites import chembench, matbench, physics, smolinstruct
from evals.types import Prompt, Reply, Sample
from tests.support.paths import TESTS
from tests.support.tables import table

SUITES: dict[str, Any] = {
    "smolinstruct": smolinstruct.BENCHMARK,
    "matbench": matbench.BENCHMARK,
    "chembench": chembench.BENCHMARK,
    "physics": physics.BENCHMARK,
}
CASES: list[dict[str, Any]] = [
    case
    for name in ("replies.jsonl", "replies_second.jsonl", "replies_third.jsonl", "replies_fourth.jsonl")
    for line in (TESTS / "cases" / name).read_text("utf-8").splitlines()
    if (case := json.loads(line))["suite"].partition(":")[0] in SUITES
    if not case.get("debatable") and not case.get("options")
]


def sample_of(case: dict[str, Any]) -> Sample:
    """Return the sample that the suite would build from the data of a case."""
    suite, _, variant = case["suite"].partition(":")
    target, unit, meta = case["target"], "", {}
    if suite == "smolinstruct":
        kind = smolinstruct.TASKS[variant].kind
        target = (
            float(target) if kind == "number" else str(target).lower() if kind == "boolean" else str(target)
        )
        if kind == "name" and case.get("raw_input"):
            meta = {"smiles": case["raw_input"].replace(";", ".")}
    elif suite == "matbench":
        task = matbench.TASKS[variant]
        unit = task.unit
        target = float(target) if not task.is_binary else "yes" if target else "no"
    elif suite == "chembench":
        target = float(target)
        meta = {"relative_tolerance": case["tol"]} if case.get("tol") else {}
    elif isinstance(target, list):
        target = tuple(target) if len(target) > 1 else target[0]
    return Sample(id="1", target=target, unit=unit, meta=meta)


@table("case", CASES, ids=lambda case: f"{case['suite']}-{case['id']}")
def test_a_reply_is_judged_as_a_human_judges_it(case: dict[str, Any]) -> None:
    for package in ("rdkit", "pint", "math_verify"):
        pytest.importorskip(package)
    suite, _, variant = case["suite"].partition(":")
    (scorer,) = SUITES[suite].suite(variant, "strict").scorers.values()
    text, _, unclosed = extract.split_reasoning(case["reply"])
    reply = Reply(text=text, stop="length" if unclosed else case.get("stop", "stop"))
    result = scorer(sample_of(case), Prompt(), reply)
    try:
        score = asyncio.run(result) if inspect.iscoroutine(result) else result
    except Waiting:  # the rule leaves the reply to a judge, and there is none here
        assert "failed:waiting" in case["right"], case
        return
    assert score.verdict in case["right"], (score, case)
    if score.verdict == "graded" and "value" in case:
        assert float(score.answer) == pytest.approx(case["value"], rel=1e-3, abs=1e-3)


def test_every_suite_has_cases() -> None:
    assert {case["suite"].partition(":")[0] for case in CASES} == set(SUITES)
