"""Errata: marked at scoring time, raw and corrected side by side, suspects for a person to judge."""

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
from evals.records.files import Brief
from evals.report.estimates import summarize
from evals.sandbox import Pool
from evals.scorers.scoring import Scoring
from evals.types import Prompt, Reply, Score
from tests.support import toy
from tests.support.command import evals

KNOWN = Errata(
    "7",
    {
        "q000": Erratum("gold", "B"),
        "q001": Erratum("question", "no option is right"),
        "q002": Erratum("duplicate", "q003"),
    },
)


def score_of(name: str, said: str, known: Errata = KNOWN) -> Score:
    with Pool() as pool:
        scoring = Scoring({"exact": toy.Exact()}, pool, known)
        found = scoring.score_light(toy.sample(name), Prompt(), Reply(text=said))["exact"]
    assert isinstance(found, Score)
    return found


def test_a_wrong_gold_answer_leaves_the_raw_score_and_notes_the_right_one() -> None:
    found = score_of("q000", "B")
    assert (found.value, found.verdict, found.parts) == (0.0, "wrong", {"corrected": 1.0})
    assert score_of("q000", "A").parts == {"corrected": 0.0}


@pytest.mark.parametrize("name", ["q001", "q002"])
def test_what_cannot_be_answered_or_stands_twice_is_marked_excluded(name: str) -> None:
    found = score_of(name, "A")
    assert (found.value, found.parts) == (1.0, {"excluded": 1.0})


def test_an_item_without_errata_is_not_marked() -> None:
    assert score_of("q003", "A").parts == {}


def test_raw_and_corrected_stand_side_by_side() -> None:
    suite = toy.suite(4, errata=KNOWN)
    golds = toy.gold_answers(["q000", "q001", "q002", "q003"])
    briefs = [
        Brief(sample=name, repeat=0, scores={"exact": score_of(name, said)}, stop="stop")
        for name, said in (("q000", "B"), ("q001", "A"), ("q002", "A"), ("q003", "B"))
    ]
    found = summarize(briefs, golds, suite.metrics_for(golds), scorers=("exact",), repeats=1)
    whole = {e.metric: (e.value, e.n) for e in found.estimates if not e.group}
    assert whole["accuracy"] == (0.5, 4)
    assert whole["accuracy_corrected"] == (0.5, 2)  # q000 is right by the mended gold, q003 is wrong


def test_an_excluded_item_whose_call_failed_lowers_no_corrected_bound() -> None:
    suite = toy.suite(4, errata=KNOWN)
    golds = toy.gold_answers(["q000", "q001", "q003"])
    briefs = [
        Brief(sample=name, repeat=0, scores={"exact": score_of(name, "B")}, stop="stop")
        for name in ("q000", "q003")
    ]
    briefs.append(Brief(sample="q001", repeat=0, scores={}, failure="timeout", stop=None))
    found = summarize(briefs, golds, suite.metrics_for(golds), scorers=("exact",), repeats=1)
    whole = {e.metric: (e.value, e.worst, e.best) for e in found.estimates if not e.group}
    assert whole["accuracy"] == (0.0, 0.0, pytest.approx(1 / 3))
    assert whole["accuracy_corrected"] == (0.5, 0.5, 0.5)


def test_a_run_that_errata_do_not_touch_has_no_corrected_twin() -> None:
    names = [m.name for m in toy.suite(4, errata=KNOWN).metrics_for(["q003"])]
    assert names == ["accuracy", "accuracy_macro"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version = 1", "Expected `str`, got `int`"),
        ('version = "1"\n[[entry]]\nkind = "undecided"\nevidence = ""\nsource = ""\nitems = {}', "undecided"),
        ('version = "1"\n[[entry]]\nkind = "gold"\nitems = {}', "the key 'evidence' is missing"),
        ("version = ", "errata x.toml: Invalid value"),
        (
            'version = "1"\n'
            + 2 * '[[entry]]\nkind = "gold"\nevidence = "e"\nsource = "s"\nitems = { "a" = "B" }\n',
            "a is listed in two entries",
        ),
    ],
)
def test_a_broken_file_is_one_line(text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        errata.parse(text, "x.toml")


def test_every_shipped_file_names_a_suite_and_its_variants_and_says_why() -> None:
    for name in load.suite_names():
        version, entries = errata.entries(name)
        assert bool(version) == bool(entries)
        for entry in entries:
            assert entry.variant in load.listing(name).variants
            assert entry.evidence
            assert entry.source
            assert entry.items


def test_shipped_duplicates_are_duplicates(mirror: Path) -> None:
    from evals.data import Data
    from tools.make_errata import duplicates

    for name, variant in (("mmlu-pro", ""), ("chembench", "lamalab")):
        suite = load.suite(f"{name}:{variant}" if variant else name)[0]
        found = duplicates(suite.samples(Data(suite=name, local=mirror)))
        assert {item: one.value for item, one in suite.errata.items.items()} == found


def runs(results: Path, *replies: tuple[str, list[str]]) -> list[str]:
    """Runs of models that say these letters to the samples of GPQA, in the data's order."""
    ids = [s.id for s in load.suite("gpqa")[0].samples(_sample_data())]
    for model, letters in replies:
        path = results.parent / f"{model}.jsonl"
        rows = [{"id": name, "text": f"ANSWER: {x}"} for name, x in zip(ids, letters, strict=False)]
        path.write_text("\n".join(json.dumps(row) for row in rows))
        words = ("--suite", "gpqa", "--sample", "--model", model, "--results", results, "--run", model)
        assert evals("import", "replies", path, *words).status == 0
    return [model for model, _ in replies]


def _sample_data() -> Any:
    from evals.data import Data

    return Data(suite="gpqa", sample=True)


def test_suspects_are_items_that_models_answer_alike_against_the_gold(tmp_path: Path) -> None:
    names = runs(
        tmp_path / "r",
        ("one", ["B", "B", "A", "C"]),
        ("two", ["B", "C", "A", "C"]),
        ("three", ["B", "D", "A", "A"]),
    )
    done = evals("errata", "suggest", *names, "--results", tmp_path / "r", "--least", 2, "--json")
    found = [(one["gold"], one["answer"], len(one["models"]), one["answered"]) for one in done.json["items"]]
    assert found == [("A", "B", 3, 3), ("A", "C", 2, 3)]


def test_a_draft_is_refused_until_a_person_has_decided(tmp_path: Path) -> None:
    names = runs(tmp_path / "r", ("one", ["B"]), ("two", ["B"]))
    done = evals("errata", "suggest", *names, "--results", tmp_path / "r", "--out", tmp_path / "d.toml")
    assert done.status == 0
    text = (tmp_path / "d.toml").read_text()
    with pytest.raises(DataError, match="undecided"):
        errata.parse(text, "d.toml")
    _, (entry,) = errata.parse(text.replace('"undecided"', '"gold"'), "d.toml")
    assert list(entry.items.values()) == ["B"]


def test_one_model_alone_shows_nothing(tmp_path: Path) -> None:
    names = runs(tmp_path / "r", ("one", ["B"]))
    assert "at least two models" in evals("errata", "suggest", *names, "--results", tmp_path / "r").error_line


def test_the_card_says_which_errata_its_scores_are_marked_with(tmp_path: Path) -> None:
    evals("run", "mmlu-pro", "--sample", "-m", "scripted:ANSWER: A", "--results", tmp_path)
    assert store.runs(tmp_path)[0].card.errata == load.suite("mmlu-pro")[0].errata.version != ""


def test_errata_hold_no_texts() -> None:
    raw = msgspec.json.encode([errata.entries(name) for name in load.suite_names()])
    assert max(map(len, raw.decode().split('"'))) < 120


def test_a_suite_without_errata_is_untouched() -> None:
    assert load.suite("aime:2025")[0].errata == errata.NO_ERRATA
    assert structs.replace(load.suite("gpqa")[0]).errata.items == {}
