"""Errata mark scores when they are computed; raw and corrected metrics are reported; suspect items are listed for review."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from evals import load
from evals.data import errata
from evals.data.errata import Errata, Erratum
from evals.errors import DataError
from evals.records import store
from evals.records.files import CompactRecord
from evals.report.estimates import summarize
from evals.sandbox import Pool
from evals.scorers.scoring import Scoring
from evals.types import Prompt, Reply, Score
from tests.support import toy
from tests.support.command import evals
from tests.support.error_messages import raises

KNOWN = Errata(
    "7",
    {
        "q000": Erratum("gold", "B"),
        "q001": Erratum("question", "no option is right"),
        "q002": Erratum("duplicate", "q003"),
    },
)


def score_of(name: str, answer: str, known: Errata = KNOWN) -> Score:
    with Pool() as pool:
        scoring = Scoring({"exact": toy.Exact()}, pool, known)
        score = scoring.score_light(toy.sample(name), Prompt(), Reply(text=answer))["exact"]
    assert isinstance(score, Score)
    return score


def test_a_corrected_gold_answer_keeps_the_raw_score_and_adds_the_corrected_one() -> None:
    score = score_of("q000", "B")
    assert (score.value, score.verdict, score.parts) == (0.0, "wrong", {"corrected": 1.0})
    assert score_of("q000", "A").parts == {"corrected": 0.0}


@pytest.mark.parametrize("name", ["q001", "q002"])
def test_unanswerable_and_duplicate_items_are_marked_as_excluded(name: str) -> None:
    score = score_of(name, "A")
    assert (score.value, score.parts) == (1.0, {"excluded": 1.0})


def test_an_item_without_errata_is_not_marked() -> None:
    assert score_of("q003", "A").parts == {}


def test_raw_and_corrected_accuracy_are_both_reported() -> None:
    suite = toy.suite(4, errata=KNOWN)
    golds = toy.gold_answers(["q000", "q001", "q002", "q003"])
    records = [
        CompactRecord(sample=name, repeat=0, scores={"exact": score_of(name, answer)}, stop="stop")
        for name, answer in (("q000", "B"), ("q001", "A"), ("q002", "A"), ("q003", "B"))
    ]
    summary = summarize(records, golds, suite.metrics_for(golds), scorers=("exact",), repeats=1)
    overall = {e.metric: (e.value, e.n) for e in summary.estimates if not e.group}
    assert overall["accuracy"] == (0.5, 4)
    # of the two items that are not excluded, q000 is right by the corrected gold answer and q003 is wrong
    assert overall["accuracy_corrected"] == (0.5, 2)


def test_an_excluded_item_whose_call_failed_does_not_widen_the_corrected_bounds() -> None:
    suite = toy.suite(4, errata=KNOWN)
    golds = toy.gold_answers(["q000", "q001", "q003"])
    records = [
        CompactRecord(sample=name, repeat=0, scores={"exact": score_of(name, "B")}, stop="stop")
        for name in ("q000", "q003")
    ]
    records.append(CompactRecord(sample="q001", repeat=0, scores={}, failure="timeout", stop=None))
    summary = summarize(records, golds, suite.metrics_for(golds), scorers=("exact",), repeats=1)
    overall = {e.metric: (e.value, e.worst, e.best) for e in summary.estimates if not e.group}
    assert overall["accuracy"] == (0.0, 0.0, pytest.approx(1 / 3))
    assert overall["accuracy_corrected"] == (0.5, 0.5, 0.5)


def test_a_run_without_affected_items_has_no_corrected_metrics() -> None:
    names = [m.name for m in toy.suite(4, errata=KNOWN).metrics_for(["q003"])]
    assert names == ["accuracy", "accuracy_macro"]


@pytest.mark.parametrize(
    "text",
    [
        "version = 1",
        'version = "1"\n[[entry]]\nkind = "undecided"\nevidence = ""\nsource = ""\nitems = {}',
        'version = "1"\n[[entry]]\nkind = "gold"\nitems = {}',
        "version = ",
        'version = "1"\n'
        + 2 * '[[entry]]\nkind = "gold"\nevidence = "e"\nsource = "s"\nitems = { "a" = "B" }\n',
    ],
    ids=["version", "kind", "no evidence", "syntax", "item of two entries"],
)
def test_an_invalid_errata_file_is_a_data_error(text: str) -> None:
    with raises(DataError):
        errata.parse(text, "x.toml")


def test_shipped_errata_name_an_existing_variant_and_give_evidence() -> None:
    for name in load.suite_names():
        version, entries = errata.entries(name)
        assert bool(version) == bool(entries)
        for entry in entries:
            assert entry.variant in load.listing(name).variants
            assert entry.evidence
            assert entry.source
            assert entry.items


def test_shipped_duplicate_errata_are_those_found_in_the_data(mirror: Path) -> None:
    from evals.data import Data
    from tools.make_errata import duplicates

    for name, variant in (("mmlu-pro", ""), ("chembench", "lamalab")):
        suite = load.suite(f"{name}:{variant}" if variant else name)[0]
        expected = duplicates(suite.samples(Data(suite=name, local=mirror)))
        assert {item: erratum.value for item, erratum in suite.errata.items.items()} == expected


def import_runs(results: Path, *replies: tuple[str, list[str]]) -> list[str]:
    """Import runs of models that answer GPQA's samples with these letters, in the order of the data; return their names."""
    ids = [s.id for s in load.suite("gpqa")[0].samples(_sample_data())]
    for model, letters in replies:
        path = results.parent / f"{model}.jsonl"
        rows = [{"id": name, "text": f"ANSWER: {letter}"} for name, letter in zip(ids, letters, strict=False)]
        path.write_text("\n".join(json.dumps(row) for row in rows))
        arguments = ("--suite", "gpqa", "--sample", "--model", model, "--results", results, "--run", model)
        assert evals("import", "replies", path, *arguments).status == 0
    return [model for model, _ in replies]


def _sample_data() -> Any:
    from evals.data import Data

    return Data(suite="gpqa", sample=True)


def test_suspect_items_are_those_on_which_models_agree_against_the_gold_answer(tmp_path: Path) -> None:
    names = import_runs(
        tmp_path / "r",
        ("one", ["B", "B", "A", "C"]),
        ("two", ["B", "C", "A", "C"]),
        ("three", ["B", "D", "A", "A"]),
    )
    outcome = evals("errata", "suggest", *names, "--results", tmp_path / "r", "--least", 2, "--json")
    suspects = [
        (item["gold"], item["answer"], len(item["models"]), item["answered"])
        for item in outcome.json["items"]
    ]
    assert suspects == [("A", "B", 3, 3), ("A", "C", 2, 3)]


def test_a_draft_is_rejected_until_a_person_has_decided_its_kind(tmp_path: Path) -> None:
    names = import_runs(tmp_path / "r", ("one", ["B"]), ("two", ["B"]))
    outcome = evals("errata", "suggest", *names, "--results", tmp_path / "r", "--out", tmp_path / "d.toml")
    assert outcome.status == 0
    text = (tmp_path / "d.toml").read_text()
    with raises(DataError):
        errata.parse(text, "d.toml")
    _, (entry,) = errata.parse(text.replace('"undecided"', '"gold"'), "d.toml")
    assert list(entry.items.values()) == ["B"]


def test_suspect_items_need_at_least_two_models(tmp_path: Path) -> None:
    names = import_runs(tmp_path / "r", ("one", ["B"]))
    evals("errata", "suggest", *names, "--results", tmp_path / "r").assert_usage_error()


def test_the_card_states_the_version_of_the_errata(tmp_path: Path) -> None:
    evals("run", "mmlu-pro", "--sample", "-m", "scripted:ANSWER: A", "--results", tmp_path)
    assert store.runs(tmp_path)[0].card.errata == load.suite("mmlu-pro")[0].errata.version != ""


def test_errata_contain_no_long_texts() -> None:
    raw = msgspec.json.encode([errata.entries(name) for name in load.suite_names()])
    assert max(map(len, raw.decode().split('"'))) < 120


def test_a_suite_without_an_errata_file_has_no_errata() -> None:
    assert load.suite("aime:2025")[0].errata == errata.NO_ERRATA
    assert structs.replace(load.suite("gpqa")[0]).errata.items == {}
