"""Mergebench, a collection: its name runs the suites of ten columns, and its mean needs all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from evals import load
from evals.collection import COLLECTIONS, MERGEBENCH
from evals.records.card import Card
from evals.run.collection_means import collection_means
from evals.types import Estimate
from tests.support import toy
from tests.support.command import evals

REPLY = "scripted:7"


def means(results: Path) -> list[dict[str, Any]]:
    """Return the means over collections that `evals show` lists."""
    entries = evals("show", "--results", results, "--json").json["aggregates"]
    return [entry for entry in entries if entry["suite"] in COLLECTIONS]


def run(results: Path, *arguments: object, reply: str = REPLY) -> Any:
    return evals("run", *arguments, "--sample", "-m", reply, "--results", results, "--json")


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """The results folder and the cards of a run of the complete collection."""
    pytest.importorskip("PIL")
    folder = tmp_path_factory.mktemp("mergebench")
    outcome = run(folder, "mergebench")
    assert outcome.status == 0, outcome.err
    return folder, outcome.json["runs"]


def test_every_column_is_a_suite_under_each_protocol() -> None:
    for collection in COLLECTIONS.values():
        for protocol in collection.protocol_names:
            for name, suite_protocol in collection.suites("", protocol):
                (suite,) = load.suite(name, suite_protocol)
                assert suite.id == name
        assert len({column.name for column in collection.columns}) == len(collection.columns) == 10
        assert collection.name not in load.suite_names()


def test_running_the_collection_runs_the_suites_of_its_columns(
    complete: tuple[Path, list[dict[str, Any]]],
) -> None:
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
    assert (mean["low"], mean["method"]) == (
        None,
        "a part has no interval",
    )  # every reply to mathvista is wrong
    assert (mean["protocol"], mean["missing"], mean["marks"]) == ("strict", [], ["sample items"])
    assert len(mean["runs"]) == 11
    text = evals("show", "--results", folder).out
    assert "mergebench (strict) scripted: " in text


def test_an_incomplete_collection_has_no_mean(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    assert run(tmp_path, "gqa", "vizwiz", "textvqa", "ocrvqa").status == 0
    assert means(tmp_path) == []  # four of ten columns are too few to list the collection
    run(tmp_path, "chartqa:human", "mathvision:geometry")
    (mean,) = means(tmp_path)
    assert (mean["value"], mean["low"]) == (None, None)
    # one of the two suites of chartqa is not enough
    assert mean["missing"] == ["mathvista", "chartqa", "refcoco", "refcoco+", "refcocog"]
    assert "mergebench (strict) scripted: needs mathvista, chartqa, refcoco, refcoco+, refcocog" in evals(
        "show", "--results", tmp_path
    ).out.replace("\n    ", " ")


def test_a_subset_does_not_count_as_a_column(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    run(tmp_path, *(f"mergebench:{column.name}" for column in MERGEBENCH.columns[1:]))
    run(tmp_path, "mergebench:vizwiz", "--limit", "2")
    (mean,) = means(tmp_path)
    assert (mean["value"], mean["missing"]) == (None, ["vizwiz"])
    run(tmp_path, "vizwiz")
    (mean,) = means(tmp_path)
    assert (mean["value"] is not None, mean["missing"]) == (True, [])


def test_protocols_that_share_columns_have_separate_means(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    for protocol in ("optmerge-internvl", "optmerge-qwen"):
        run(tmp_path, "mergebench", "--protocol", protocol)
        protocols = [(mean["protocol"].rstrip("~"), mean["missing"]) for mean in means(tmp_path)]
        # mathvista and mathvision need a judge
        assert (protocol, ["mathvista", "mathvision"]) in protocols
    assert len(protocols) == 2


ESTIMATE = Estimate(
    metric="accuracy", group="", value=0.5, low=0.4, high=0.6, worst=0.5, best=0.5, n=9, clusters=9, unit="fraction",
    better="higher", method="Wilson", headline=True,
)  # fmt: skip


def test_an_incomplete_mean_is_kept_beside_a_complete_one_of_other_runs_with_the_same_id() -> None:
    def cards(protocol: str, columns: int) -> list[Card]:
        pairs = [
            (s, column.protocols[protocol]) for column in MERGEBENCH.columns[:columns] for s in column.suites
        ]
        return [
            Card(run="one", model="m", config=toy.config(suite=suite, protocol=suite_protocol))
            for suite, suite_protocol in pairs
        ]

    def estimated(card: Card) -> Card:
        return structs.replace(card, estimates=(ESTIMATE,), coverage=1.0)

    complete, incomplete = (list(map(estimated, cards(*of))) for of in (("strict", 10), ("optmerge-qwen", 6)))
    entries = collection_means([*complete, *incomplete])
    assert [(entry["protocol"], len(entry["missing"])) for entry in entries] == [
        ("strict", 0),
        ("optmerge-qwen", 4),
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("mergebench", "--protocol", "official"),
        ("mergebench:chartq",),
        ("mergebnch",),
    ],
    ids=" ".join,
)
def test_unknown_names_give_a_one_line_message(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    evals("run", *arguments, "-m", REPLY, "--results", tmp_path).assert_usage_error()
    assert not any(tmp_path.iterdir())


def test_commands_for_one_suite_list_the_suites_of_a_collection() -> None:
    evals("errata", "list", "mergebench").assert_usage_error()


def test_the_collection_is_listed_and_its_suites_can_be_checked() -> None:
    (collection,) = evals("list", "suites", "--json").json["collections"]
    assert collection["name"] == "mergebench"
    assert collection["columns"][4] == {
        "name": "chartqa", "suites": ["chartqa:human", "chartqa:augmented"],
        "protocols": {"strict": "strict", "optmerge-qwen": "official", "optmerge-internvl": "official"},
    }  # fmt: skip
    outcome = evals("check", "mergebench:gqa", "--sample", "--json")
    assert (outcome.status, [check["protocol"] for check in outcome.json["checks"]]) == (
        0,
        ["strict", "qwen2-vl", "official"],
    )
