"""The fields that `--json` prints are a contract: this file lists them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.support.command import evals

RUN = {
    *(
        "run",
        "suite",
        "version",
        "protocol",
        "model",
        "data_sha256",
        "counts",
        "coverage",
        "truncated",
        "tokens",
    ),
    *("cost_usd", "estimates"),
}
"""Fields of a run that the contract guarantees; there may be others."""
ESTIMATE = {
    *(
        "metric",
        "group",
        "value",
        "low",
        "high",
        "worst",
        "best",
        "n",
        "clusters",
        "unit",
        "better",
        "method",
    ),
    "headline",
}
"""All fields of an estimate."""
SUITE = {"name", "variants", "protocols", "version", "needs", "rows", "gated"}
"""Fields of a suite that the contract guarantees; there may be others."""


@pytest.fixture
def document(here: Any) -> Any:
    """Return what `evals show --json` prints for runs of three suites, one sample of which failed."""
    arguments = (
        "mmlu-pro",
        "gpqa",
        "aime",
        "--sample",
        "-m",
        "scripted:call=tests.support.answers:heap_question_rejected",
    )
    assert evals("run", *arguments, "--quiet", "--run", "a").status == 1
    return evals("show", "--json").json


def test_show_prints_the_fields_of_the_contract(document):
    assert {"runs", "aggregates"} == set(document)
    assert len(document["runs"]) == 4
    for entry in document["runs"]:
        assert set(entry) >= RUN
        for estimate in entry["estimates"]:
            assert set(estimate) == ESTIMATE
    for entry in document["aggregates"]:
        assert set(entry) >= {"suite", "protocol", "model", "value", "low", "high", "runs", "missing"}


def test_exactly_one_estimate_of_a_run_is_the_headline_and_it_covers_all_groups(document):
    for entry in document["runs"]:
        [head] = [estimate for estimate in entry["estimates"] if estimate["headline"]]
        assert head["group"] == ""


def test_fractions_lie_between_0_and_1_and_all_numbers_are_finite(document):
    for entry in document["runs"]:
        assert 0 <= entry["coverage"] <= 1
        assert len(entry["data_sha256"]) == 64
        assert sum(entry["counts"].values()) == entry["expected"]
        for estimate in entry["estimates"]:
            for name in ("value", "low", "high", "worst", "best"):
                number = estimate[name]
                assert number is None or math.isfinite(number)
                if number is not None and estimate["unit"] == "fraction":
                    assert 0 <= number <= 1


def test_list_suites_prints_the_fields_of_the_contract(here):
    document = evals("list", "suites", "--json").json
    assert set(document) == {"suites", "collections"}
    for entry in document["suites"]:
        assert set(entry) >= SUITE
        assert "_" not in entry["name"]


def test_run_and_show_print_the_same_json(here):
    arguments = ("mmlu-pro", "--sample", "-m", "scripted:A", "--run", "a", "--json", "--quiet")
    assert evals("run", *arguments).json == evals("show", "a", "--json").json


def test_score_prints_the_run_and_the_changed_samples(document):
    run = next(
        entry for entry in evals("list", "runs", "--json").json["runs"] if entry["suite"] == "mmlu-pro"
    )
    rescored = evals("score", run["path"], "--json").json
    assert set(rescored) == {"run", "changes"}
    assert set(rescored["run"]) >= RUN
