"""Mergebench: ten columns of other suites run under one name, and a mean that no part of them has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evals import load
from evals.collection import COLLECTIONS, MERGEBENCH
from tests.support.command import evals

REPLY = "scripted:7"


def means(results: Path) -> list[dict[str, Any]]:
    """The means over collections that `evals show` states."""
    entries = evals("show", "--results", results, "--json").json["aggregates"]
    return [entry for entry in entries if entry["suite"] in COLLECTIONS]


def run(results: Path, *words: object, reply: str = REPLY) -> Any:
    return evals("run", *words, "--sample", "-m", reply, "--results", results, "--json")


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    pytest.importorskip("PIL")
    folder = tmp_path_factory.mktemp("mergebench")
    done = run(folder, "mergebench")
    assert done.status == 0, done.err
    return folder, done.json["runs"]


def test_every_column_is_a_suite_under_each_protocol() -> None:
    for collection in COLLECTIONS.values():
        for protocol in collection.protocol_names:
            for suite, own in collection.suites("", protocol):
                (found,) = load.suite(suite, own)
                assert found.id == suite
        assert len({column.name for column in collection.columns}) == len(collection.columns) == 10
        assert collection.name not in load.suite_names()


def test_its_name_runs_the_columns_under_their_own_names(complete: tuple[Path, list[dict[str, Any]]]) -> None:
    _, runs = complete
    assert [card["suite"] for card in runs] == [suite for suite, _ in MERGEBENCH.suites("", "strict")]


def test_the_mean_counts_each_column_once(complete: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, runs = complete
    (mean,) = means(folder)
    values = {
        card["suite"]: next(e["value"] for e in card["estimates"] if e["headline"] and not e["group"])
        for card in runs
    }
    charts = (values.pop("chartqa:human") + values.pop("chartqa:augmented")) / 2
    assert mean["value"] == pytest.approx((sum(values.values()) + charts) / 10)
    assert (mean["low"], mean["method"]) == (None, "a part has no interval")  # all of mathvista is wrong
    assert (mean["protocol"], mean["missing"], mean["marks"]) == ("strict", [], ["sample items"])
    assert len(mean["runs"]) == 11
    text = evals("show", "--results", folder).out
    assert "mergebench (strict) scripted: " in text


def test_a_mean_over_what_is_there_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    assert run(tmp_path, "gqa", "vizwiz", "textvqa", "ocrvqa").status == 0
    assert means(tmp_path) == []  # four of ten columns are no attempt at it
    run(tmp_path, "chartqa:human", "mathvision:geometry")
    (mean,) = means(tmp_path)
    assert (mean["value"], mean["low"]) == (None, None)
    assert mean["missing"] == [
        "mathvista",
        "chartqa",
        "refcoco",
        "refcoco+",
        "refcocog",
    ]  # half of chartqa is none
    assert "mergebench (strict) scripted: needs mathvista, chartqa, refcoco, refcoco+, refcocog" in evals(
        "show", "--results", tmp_path
    ).out.replace("\n    ", " ")


def test_a_subset_never_fills_a_gap(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    run(tmp_path, *(f"mergebench:{column.name}" for column in MERGEBENCH.columns[1:]))
    run(tmp_path, "mergebench:vizwiz", "--limit", "2")
    (mean,) = means(tmp_path)
    assert (mean["value"], mean["missing"]) == (None, ["vizwiz"])
    run(tmp_path, "vizwiz")
    (mean,) = means(tmp_path)
    assert (mean["value"] is not None, mean["missing"]) == (True, [])


def test_protocols_that_share_columns_are_told_apart(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    for protocol in ("optmerge-internvl", "optmerge-qwen"):
        run(tmp_path, "mergebench", "--protocol", protocol)
        protocols = [(mean["protocol"].rstrip("~"), mean["missing"]) for mean in means(tmp_path)]
        # mathvista and mathvision wait for a judge
        assert (protocol, ["mathvista", "mathvision"]) in protocols
    assert len(protocols) == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("mergebench", "--protocol", "official"), "unknown protocol of mergebench 'official'"),
        (("mergebench:chartq",), "unknown column of mergebench 'chartq'; did you mean chartqa"),
        (("mergebnch",), "did you mean mergebench"),
    ],
)
def test_unknown_names_are_one_line(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    assert says in evals("run", *words, "-m", REPLY, "--results", tmp_path).error_line
    assert not any(tmp_path.iterdir())


def test_what_is_about_one_suite_says_which_there_are() -> None:
    said = evals("errata", "list", "mergebench").error_line
    assert said.startswith(
        "mergebench is a collection; name a suite of it: vizwiz, gqa, mathvista:geometry, "
    )


def test_it_is_listed_and_checked() -> None:
    (listed,) = evals("list", "suites", "--json").json["collections"]
    assert listed["name"] == "mergebench"
    assert listed["columns"][4] == {
        "name": "chartqa", "suites": ["chartqa:human", "chartqa:augmented"],
        "protocols": {"strict": "strict", "optmerge-qwen": "official", "optmerge-internvl": "official"},
    }  # fmt: skip
    done = evals("check", "mergebench:gqa", "--sample", "--json")
    assert (done.status, [check["protocol"] for check in done.json["checks"]]) == (
        0,
        ["strict", "qwen2-vl", "official"],
    )
