"""Samples one by one: the list in its order, filters, neighbours, and what is known of one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec import structs

from tests.support.dashboard_runs import entry, run

pytest.importorskip("duckdb", reason="the extra `dashboard` is not installed")

from evals.dashboard.tables import sample as items
from evals.errors import StoreError
from evals.records import store
from evals.types import Prompt, Reply, Sample, Score, Text


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "results"
    run(folder, "mmlu-pro", "ANSWER: A", "as")
    run(folder, "mmlu-pro", "sometimes", "some")
    run(folder, "aime:2025", "sometimes", "twice", "--repeats", "2")
    run(folder, "gpqa:diamond", "sometimes", "gated")
    run(folder, "smolinstruct:FS", "chemist", "chem")
    run(folder, "smolinstruct:NC-S2I", "chemist", "named")
    run(folder, "matbench:perovskites", "It is \\boxed{-17.5} eV", "crystals")
    return folder


def test_the_list_is_in_the_order_of_the_data_set(results: Path) -> None:
    one = entry(results, "as")
    frame = items.listing([one])
    assert frame["sample"].tolist() == [sample.id for sample in store.Run(one.path).samples()]
    assert frame["verdict0"].value_counts().to_dict() == one.card.counts


def test_every_repeat_has_a_row_and_what_is_missing_is_absent(results: Path, tmp_path: Path) -> None:
    one = entry(results, "twice")
    assert items.listing([one]).groupby("sample").size().unique().tolist() == [2]
    three = structs.replace(
        one, card=structs.replace(one.card, config=structs.replace(one.card.config, repeats=3))
    )
    assert (items.listing([three])["verdict0"] == "absent").sum() == items.listing([one])["sample"].nunique()


def test_outcomes_groups_and_ids_filter_together(results: Path) -> None:
    frame = items.listing([entry(results, "as"), entry(results, "some")])
    both = items.filter_listing(frame, outcomes={0: "not right", 1: "right"})
    assert len(both)
    assert set(both["verdict0"]) == {"wrong"}
    assert set(both["verdict1"]) == {"right"}
    group = both["group"][0]
    assert set(items.filter_listing(frame, group=group)["group"]) == {group}
    assert (
        items.filter_listing(frame, text=both["sample"][0].upper())["sample"]
        .tolist()
        .count(both["sample"][0])
        == 1
    )
    assert items.filter_listing(frame, text="(").empty
    assert "not right" in items.outcome_choices(frame, 1)


def test_neighbours_are_those_of_the_filter(results: Path) -> None:
    frame = items.filter_listing(items.listing([entry(results, "as")]), outcomes={0: "wrong"})
    names = frame["sample"].tolist()
    assert items.neighbours(frame, names[1], 0) == items.Neighbours(1, (names[0], 0), (names[2], 0))
    assert items.neighbours(frame, names[0], 0).previous is None
    assert items.neighbours(frame, names[-1], 0).next is None
    assert items.neighbours(frame, "none of them", 0) == items.Neighbours(None, None, (names[0], 0))
    assert items.neighbours(frame[:0], "none of them", 0) == items.Neighbours(None, None, None)


def test_one_sample_has_both_its_sides(results: Path) -> None:
    one = entry(results, "some")
    frame = items.listing([one])
    found = items.item(one, frame["sample"][0])
    assert found is not None
    assert (found.verdict, found.group) == (frame["verdict0"][0], frame["group"][0])
    assert found.reply is not None
    assert found.reply.reasoning == "It is $x^2$."
    assert found.sample is not None
    assert found.sample.choices[0] in found.prompt_text
    gold = [option for option in items.options(found) if option.is_gold]
    assert [option.letter for option in gold] == [found.sample.target]
    assert items.item(one, "no such sample") is None
    assert items.item(one, frame["sample"][0], 7).verdict == "absent"


def test_of_a_gated_suite_nothing_but_ids_and_verdicts_is_read(results: Path) -> None:
    one = entry(results, "gated")
    frame = items.listing([one])
    found = items.item(one, frame["sample"][0])
    assert found == items.Item(
        entry=one, id=frame["sample"][0], repeat=0, verdict=frame["verdict0"][0], group=frame["group"][0]
    )
    assert items.options(found) == []
    assert items.compare_numbers(found) is None
    assert items.molecules(found) is None


def test_options_stand_as_they_were_shown(results: Path) -> None:
    found = items.Item(
        entry=entry(results, "as"), id="x", repeat=0, verdict="wrong",
        sample=Sample(id="x", target="B", choices=("one", "two", "three")),
        prompt=Prompt(order=(2, 0, 1)), scores={"choice": Score(value=0.0, verdict="wrong", answer="C")},
    )  # fmt: skip
    assert items.options(found) == [
        items.Option("A", "C", "three", is_gold=False, is_answer=True),
        items.Option("B", "A", "one", is_gold=False, is_answer=False),
        items.Option("C", "B", "two", is_gold=True, is_answer=False),
    ]


@pytest.mark.parametrize(
    ("target", "unit", "answer", "error", "relative"),
    [
        (2.0, "eV", "2.5", 0.5, 0.25),
        (2.0, "eV", "2500 meV", 0.5, 0.25),
        (-4.0, "", "-5", -1.0, -0.25),
        (0.0, "", "0.5", 0.5, None),
        ("042", "", "43", 1.0, 1 / 42),
    ],
)
def test_a_number_is_compared_in_the_targets_unit(
    results: Path, target: float | str, unit: str, answer: str, error: float, relative: float | None
) -> None:
    found = items.compare_numbers(
        items.Item(
            entry=entry(results, "as"), id="x", repeat=0, verdict="graded", sample=Sample(id="x", target=target, unit=unit),
            scores={"number": Score(value=0.5, verdict="graded", answer=answer)}, outcome=Reply(text=answer),
        )
    )  # fmt: skip
    assert found is not None
    assert found.error == pytest.approx(error)
    assert found.relative == (None if relative is None else pytest.approx(relative))


@pytest.mark.parametrize(("target", "answer"), [("CCO", "2"), (2.0, "3 kg"), (2.0, "none"), (2.0, None)])
def test_what_is_no_number_in_that_unit_is_not_compared(
    results: Path, target: float | str, answer: str | None
) -> None:
    found = items.Item(
        entry=entry(results, "as"), id="x", repeat=0, verdict="wrong", sample=Sample(id="x", target=target, unit="eV"),
        scores={"number": Score(value=None, verdict="wrong", answer=answer)},
    )  # fmt: skip
    assert items.compare_numbers(found) is None


def test_molecules_of_answer_gold_and_question_are_found(results: Path) -> None:
    one = entry(results, "chem", "smolinstruct:FS")
    name = items.listing([one])["sample"][0]
    found = items.molecules(items.item(one, name))
    assert found is not None
    assert found.answer == "CC(C)Cc1ccc(cc1)[C@@H](C)C(=O)O"
    assert (found.gold, found.question_molecules, found.reaction) == (
        "CC(=O)NCC1=CC=CC=C1",
        {"CC(=O)Cl.NCC1=CC=CC=C1": ""},
        "forward",
    )
    named = entry(results, "named", "smolinstruct:NC-S2I")
    asked = items.molecules(items.item(named, items.listing([named])["sample"][0]))
    assert asked is not None
    assert asked.question_molecules
    assert (asked.answer, asked.gold, asked.reaction) == ("", "", "")


def test_molecules_in_selfies_are_drawn_as_smiles(results: Path) -> None:
    pytest.importorskip("selfies", reason="NOT TESTED: the extra `chemistry` is not installed")
    question = Text(
        "What is the product?\n[C][C][=Branch1][C][=O][Cl].[N][C][C][=C][C][=C][C][=C][Ring1][=Branch1]"
    )
    score = Score(value=1.0, verdict="right", answer="CC(=O)NCc1ccccc1")
    one = items.Item(
        entry=entry(results, "as"), id="x", repeat=0, verdict="right", scores={"selfies": score},
        sample=Sample(id="x", question=(question,), target="[C][C][=Branch1][C][=O][N][C][C][=C][C][=C][C][=C][Ring1][=Branch1]"),
    )  # fmt: skip
    found = items.molecules(one)
    assert found is not None
    assert (found.gold, found.answer) == ("CC(=O)NCC1=CC=CC=C1", "CC(=O)NCc1ccccc1")
    assert found.question_molecules == {"CC(=O)Cl.NCC1=CC=CC=C1": ""}


@pytest.mark.parametrize(
    ("question", "choices", "given"),
    [
        ("What does CC(=O)Oc1ccccc1C(=O)O inhibit?", (), {"CC(=O)Oc1ccccc1C(=O)O": ""}),
        (
            "Which is aspirin?",
            ("CC(=O)Oc1ccccc1", "C1CCCCC1(C)O"),
            {"CC(=O)Oc1ccccc1": "A", "C1CCCCC1(C)O": "B"},
        ),
        ("CONSIDER (NO)SCIONS of C6H12O6, f(x)=sin(x), NaHCO3 and CCOCCOCC at 1e-10.", (), {}),
    ],
)
def test_molecules_without_tags_are_drawn_only_if_they_are_surely_smiles(
    results: Path, question: str, choices: tuple[str, ...], given: dict[str, str]
) -> None:
    sample = Sample(id="x", question=(Text(question),), choices=choices, target="A")
    named = items.molecules(
        items.Item(entry=entry(results, "as"), id="x", repeat=0, verdict="right", sample=sample)
    )
    assert (named.question_molecules if named else {}) == given


def test_a_broken_record_is_one_line(results: Path, tmp_path: Path) -> None:
    one = entry(results, "as")
    folder = tmp_path / "suite@1" / "model" / "broken"
    folder.mkdir(parents=True)
    name = next(iter(store.Run(one.path).samples())).id
    (folder / "samples.jsonl").write_text(json.dumps({"id": name, "target": "A"}) + "\n")
    outcome = {"type": "reply", "text": 7}
    record = {"sample": name, "repeat": 0, "prompt": {}, "outcome": outcome, "scores": {}}
    (folder / "records.jsonl").write_text(json.dumps(record) + "\n")
    store.write_card(folder, structs.replace(one.card, files={}))
    with pytest.raises(StoreError, match="is invalid"):
        items.item(structs.replace(one, path=folder), name)
