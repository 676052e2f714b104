"""The sample page's tables: the listing with its order and filters, neighbours, and the parts of one item."""

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
from tests.support.error_messages import raises


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "results"
    run(folder, "mmlu-pro", "ANSWER: A", "as")
    run(folder, "mmlu-pro", "sometimes", "some")
    run(folder, "aime:2025", "sometimes", "twice", "--repeats", "2")
    run(folder, "gpqa:diamond", "sometimes", "gated")
    run(folder, "smolinstruct:FS", "chemist", "chem")
    run(folder, "smolinstruct:NC-S2I", "chemist", "naming")
    run(folder, "matbench:perovskites", "It is \\boxed{-17.5} eV", "crystals")
    return folder


def test_the_listing_has_the_order_of_the_data_set(results: Path) -> None:
    run_entry = entry(results, "as")
    frame = items.listing([run_entry])
    assert frame["sample"].tolist() == [sample.id for sample in store.Run(run_entry.path).samples()]
    assert frame["verdict0"].value_counts().to_dict() == run_entry.card.counts


def test_every_repeat_has_a_row_and_missing_ones_are_absent(results: Path, tmp_path: Path) -> None:
    two_repeats = entry(results, "twice")
    assert items.listing([two_repeats]).groupby("sample").size().unique().tolist() == [2]
    three_repeats = structs.replace(
        two_repeats,
        card=structs.replace(two_repeats.card, config=structs.replace(two_repeats.card.config, repeats=3)),
    )
    assert (items.listing([three_repeats])["verdict0"] == "absent").sum() == items.listing([two_repeats])[
        "sample"
    ].nunique()


def test_a_listing_is_filtered_by_outcome_group_and_id(results: Path) -> None:
    frame = items.listing([entry(results, "as"), entry(results, "some")])
    matches = items.filter_listing(frame, outcomes={0: "not right", 1: "right"})
    assert len(matches)
    assert set(matches["verdict0"]) == {"wrong"}
    assert set(matches["verdict1"]) == {"right"}
    group = matches["group"][0]
    assert set(items.filter_listing(frame, group=group)["group"]) == {group}
    assert (
        items.filter_listing(frame, text=matches["sample"][0].upper())["sample"]
        .tolist()
        .count(matches["sample"][0])
        == 1
    )
    assert items.filter_listing(frame, text="(").empty
    assert "not right" in items.outcome_choices(frame, 1)


def test_neighbours_are_taken_from_the_filtered_listing(results: Path) -> None:
    frame = items.filter_listing(items.listing([entry(results, "as")]), outcomes={0: "wrong"})
    ids = frame["sample"].tolist()
    assert items.neighbours(frame, ids[1], 0) == items.Neighbours(1, (ids[0], 0), (ids[2], 0))
    assert items.neighbours(frame, ids[0], 0).previous is None
    assert items.neighbours(frame, ids[-1], 0).next is None
    assert items.neighbours(frame, "none of them", 0) == items.Neighbours(None, None, (ids[0], 0))
    assert items.neighbours(frame[:0], "none of them", 0) == items.Neighbours(None, None, None)


def test_an_item_has_prompt_reply_options_and_verdict(results: Path) -> None:
    run_entry = entry(results, "some")
    frame = items.listing([run_entry])
    item = items.item(run_entry, frame["sample"][0])
    assert item is not None
    assert (item.verdict, item.group) == (frame["verdict0"][0], frame["group"][0])
    assert item.reply is not None
    assert item.reply.reasoning == "It is $x^2$."
    assert item.sample is not None
    assert item.sample.choices[0] in item.prompt_text
    gold_options = [option for option in items.options(item) if option.is_gold]
    assert [option.letter for option in gold_options] == [item.sample.target]
    assert items.item(run_entry, "no such sample") is None
    assert items.item(run_entry, frame["sample"][0], 7).verdict == "absent"


def test_only_ids_groups_and_verdicts_of_a_gated_suite_are_read(results: Path) -> None:
    run_entry = entry(results, "gated")
    frame = items.listing([run_entry])
    item = items.item(run_entry, frame["sample"][0])
    assert item == items.Item(
        entry=run_entry,
        id=frame["sample"][0],
        repeat=0,
        verdict=frame["verdict0"][0],
        group=frame["group"][0],
    )
    assert items.options(item) == []
    assert items.compare_numbers(item) is None
    assert items.molecules(item) is None


def test_options_are_in_the_order_of_the_prompt(results: Path) -> None:
    item = items.Item(
        entry=entry(results, "as"), id="x", repeat=0, verdict="wrong",
        sample=Sample(id="x", target="B", choices=("one", "two", "three")),
        prompt=Prompt(order=(2, 0, 1)), scores={"choice": Score(value=0.0, verdict="wrong", answer="C")},
    )  # fmt: skip
    assert items.options(item) == [
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
    comparison = items.compare_numbers(
        items.Item(
            entry=entry(results, "as"), id="x", repeat=0, verdict="graded", sample=Sample(id="x", target=target, unit=unit),
            scores={"number": Score(value=0.5, verdict="graded", answer=answer)}, outcome=Reply(text=answer),
        )
    )  # fmt: skip
    assert comparison is not None
    assert comparison.error == pytest.approx(error)
    assert comparison.relative_error == (None if relative is None else pytest.approx(relative))


@pytest.mark.parametrize(("target", "answer"), [("CCO", "2"), (2.0, "3 kg"), (2.0, "none"), (2.0, None)])
def test_answers_that_are_not_numbers_in_the_targets_unit_are_not_compared(
    results: Path, target: float | str, answer: str | None
) -> None:
    item = items.Item(
        entry=entry(results, "as"), id="x", repeat=0, verdict="wrong", sample=Sample(id="x", target=target, unit="eV"),
        scores={"number": Score(value=None, verdict="wrong", answer=answer)},
    )  # fmt: skip
    assert items.compare_numbers(item) is None


def test_molecules_of_answer_gold_and_question_are_found(results: Path) -> None:
    run_entry = entry(results, "chem", "smolinstruct:FS")
    sample_id = items.listing([run_entry])["sample"][0]
    molecules = items.molecules(items.item(run_entry, sample_id))
    assert molecules is not None
    assert molecules.answer == "CC(C)Cc1ccc(cc1)[C@@H](C)C(=O)O"
    assert (molecules.gold, molecules.question_molecules, molecules.reaction) == (
        "CC(=O)NCC1=CC=CC=C1",
        {"CC(=O)Cl.NCC1=CC=CC=C1": ""},
        "forward",
    )
    naming = entry(results, "naming", "smolinstruct:NC-S2I")
    naming_molecules = items.molecules(items.item(naming, items.listing([naming])["sample"][0]))
    assert naming_molecules is not None
    assert naming_molecules.question_molecules
    assert (naming_molecules.answer, naming_molecules.gold, naming_molecules.reaction) == ("", "", "")


def test_selfies_are_converted_to_smiles(results: Path) -> None:
    pytest.importorskip("selfies", reason="NOT TESTED: the extra `chemistry` is not installed")
    question = Text(
        "What is the product?\n[C][C][=Branch1][C][=O][Cl].[N][C][C][=C][C][=C][C][=C][Ring1][=Branch1]"
    )
    score = Score(value=1.0, verdict="right", answer="CC(=O)NCc1ccccc1")
    item = items.Item(
        entry=entry(results, "as"), id="x", repeat=0, verdict="right", scores={"selfies": score},
        sample=Sample(id="x", question=(question,), target="[C][C][=Branch1][C][=O][N][C][C][=C][C][=C][C][=C][Ring1][=Branch1]"),
    )  # fmt: skip
    molecules = items.molecules(item)
    assert molecules is not None
    assert (molecules.gold, molecules.answer) == ("CC(=O)NCC1=CC=CC=C1", "CC(=O)NCc1ccccc1")
    assert molecules.question_molecules == {"CC(=O)Cl.NCC1=CC=CC=C1": ""}


@pytest.mark.parametrize(
    ("question", "choices", "expected"),
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
def test_molecules_without_tags_are_recognized_only_if_they_are_unambiguous_smiles(
    results: Path, question: str, choices: tuple[str, ...], expected: dict[str, str]
) -> None:
    sample = Sample(id="x", question=(Text(question),), choices=choices, target="A")
    molecules = items.molecules(
        items.Item(entry=entry(results, "as"), id="x", repeat=0, verdict="right", sample=sample)
    )
    assert (molecules.question_molecules if molecules else {}) == expected


@pytest.mark.parametrize("tags", [("<SMILES>", "</SMILES>"), ("[START_SMILES]", "[END_SMILES]")])
@pytest.mark.parametrize("smiles", ["[Na+].[Cl-]", "[O-][N+](=O)c1ccccc1", "CCO"])
def test_tagged_molecules_are_recognized(results: Path, tags: tuple[str, str], smiles: str) -> None:
    sample = Sample(
        id="x", question=(Text(f"Name {tags[0]} {smiles} {tags[1]}{tags[0]}{tags[1]}"),), target="A"
    )
    item = items.Item(entry=entry(results, "as"), id="x", repeat=0, verdict="right", sample=sample)
    molecules = items.molecules(item)
    assert molecules is not None
    assert molecules.question_molecules == {smiles: ""}


def test_an_invalid_record_is_a_store_error(results: Path, tmp_path: Path) -> None:
    run_entry = entry(results, "as")
    folder = tmp_path / "suite@1" / "model" / "broken"
    folder.mkdir(parents=True)
    sample_id = next(iter(store.Run(run_entry.path).samples())).id
    (folder / "samples.jsonl").write_text(json.dumps({"id": sample_id, "target": "A"}) + "\n")
    outcome = {"type": "reply", "text": 7}
    record = {"sample": sample_id, "repeat": 0, "prompt": {}, "outcome": outcome, "scores": {}}
    (folder / "records.jsonl").write_text(json.dumps(record) + "\n")
    store.write_card(folder, structs.replace(run_entry.card, files={}))
    with raises(StoreError):
        items.item(structs.replace(run_entry, path=folder), sample_id)
