"""Replies in the styles of current models, with their hand-judged verdicts under `strict`, for suites of chemistry, biology and vision.

Each was judged before the readers were run on it. At first, 711 of the 880 were read as judged; 53 answers that a reply
denied, assumed or took back were credited. `number_replies.jsonl` contains, of a lot of numbers and expressions, those that
were misread at first, and a sample of those that state no answer; `materials_replies.jsonl` the same of 749 replies to
SMolInstruct, Matbench and ChemBench, `choice_replies.jsonl` of replies to multiple-choice questions and assertions about charts.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

from evals import extract
from evals.scorers.names import opsin, opsin_installed
from evals.types import Prompt, Reply, Sample, Score
from tests.support.paths import TESTS
from tests.support.tables import table

CASES: list[dict[str, Any]] = [
    json.loads(line)
    for name in (
        "reader_replies.jsonl",
        "number_replies.jsonl",
        "materials_replies.jsonl",
        "choice_replies.jsonl",
    )
    for line in (TESTS / "cases" / name).read_text("utf-8").splitlines()
]
UNITS = {"mol-instructions:PP": "hartree"}


@pytest.fixture(scope="module", autouse=True)
def close_opsin() -> Iterator[None]:
    yield
    if opsin_installed():
        opsin().close()


def score_reply(case: dict[str, Any]) -> Score:
    suite, _, variant = case["suite"].partition(":")
    module = import_module(f"evals.suites.{suite.replace('-', '_')}")
    scorer = next(iter(module.BENCHMARK.suite(variant, "strict").scorers.values()))
    unit = module.TASKS[variant].unit if suite == "matbench" else UNITS.get(case["suite"], "")
    target = tuple(case["target"]) if isinstance(case["target"], list) else case["target"]
    options = tuple(case.get("options", ()))
    sample = Sample(id="1", target=target, unit=unit, choices=options, meta=case.get("meta", {}))
    text, _, unclosed = extract.split_reasoning(case["reply"])
    stop = "length" if unclosed else case.get("stop", "stop")
    result = scorer(sample, Prompt(), Reply(text=text, stop=stop))
    score = asyncio.run(result) if inspect.iscoroutine(result) else result
    assert isinstance(score, Score)
    return score


@table("case", CASES, ids=lambda case: f"{case['suite']}|{case['reply'][:40]!a}")
def test_a_reply_is_judged_as_a_person_judges_it(case: dict[str, Any]) -> None:
    for package in ("rdkit", "selfies", "pint", "math_verify"):
        pytest.importorskip(package)
    if "smiles" in case.get("meta", {}) and not opsin_installed():
        return  # without OPSIN, names are not compared by structure; a skip would end the other cases of the table
    score = score_reply(case)
    if "verdicts" in case:
        assert score.verdict in case["verdicts"], (score, case)
    elif "parts" in case:
        stated = {name: value for name, value in score.parts.items() if name.startswith("stated")}
        assert stated == case["parts"], (score, case)
    elif case["suite"].startswith("biology-instructions"):
        is_set = case["suite"].endswith(("Modification", "FunctionEC"))
        value = score.value if is_set else score.parts.get("stated_0")
        assert value == pytest.approx(case["value"], rel=1e-3), (score, case)
    else:
        assert score.verdict == "graded", (score, case)
        assert float(score.answer or "nan") == pytest.approx(case["value"], rel=2e-3, abs=1e-3), (score, case)
