"""`evals show`: one table, marks, pooled seeds, filters, the pivot, and a sample in full."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

from evals.records.card import Card
from evals.records.names import short_ids
from tests.support import many_runs
from tests.support.command import Outcome, evals


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> list[Card]:
    folder = tmp_path_factory.mktemp("many")
    found = many_runs.build(folder / "results")
    FOLDER[:] = [folder / "results"]
    return found


FOLDER: list[Path] = []


def show(*words: object, columns: int | None = None) -> Outcome:
    env = {"COLUMNS": str(columns)} if columns else {}
    done = evals("show", *words, "--results", FOLDER[0], env=env)
    assert done.status == 0, done.err
    return done


def test_every_run_is_a_row_under_its_suite_and_protocol(cards: list[Card]) -> None:
    lines = show("--runs").out.splitlines()
    ids = short_ids(card.run for card in cards)
    title = ""
    seen = {}
    for line in lines:
        if line and not line.startswith(" "):
            title = line
        for card in cards:
            if f"  {ids[card.run]}  " in line:
                seen[card.run] = title
                assert card.model in line
    assert seen.keys() == ids.keys()
    for card in cards:
        assert seen[card.run].startswith(f"{card.config.suite} · {card.config.protocol} · ")


def test_rows_of_a_group_end_with_the_newest_unless_sorted(cards: list[Card]) -> None:
    rows = show("--suite", "aime:2025", "--protocol", "strict", "--runs").out.splitlines()
    dates = [match[0] for line in rows if (match := re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d", line))]
    assert dates == sorted(dates)
    assert len(dates) > 3
    best = show("--suite", "matbench:steels", "--protocol", "strict", "--sort", "score", "--runs").out
    values = [float(v) for v in re.findall(r"([\d.]+) MPa", best)]
    assert values == sorted(values)  # lower is better
    assert "lower is better" in best


def test_marks_stand_in_the_row_they_are_of(cards: list[Card]) -> None:
    ids = short_ids(card.run for card in cards)
    rows = {
        end: line for line in show("--runs").out.splitlines() for end in ids.values() if f"  {end}  " in line
    }
    for card in cards:
        row = rows[ids[card.run]]
        assert ("sample items" in row) == (card.data == "sample")
        assert ("subset of 200" in row) == (card.config.limit == 200)
        assert ("stopped early, 1.4 % scored" in row) == ("absent" in card.counts)
        assert ("98.0 % scored" in row) == (card.coverage == 0.98)
        assert ("12 clusters" in row) == (card.estimates[0].clusters == 12)
    narrow = show("--runs", columns=80).out
    for letter, words in (
        ("S", "sample items"),
        ("P", "a subset"),
        ("E", "stopped early"),
        ("F", "fewer than"),
    ):
        assert f"\n{letter}: {words}" in narrow


@pytest.mark.parametrize(
    ("suite", "reply", "mark"),
    [
        ("smolinstruct:PP-ESOL", "no idea", "answered items only, 0 of 14"),
        ("smolinstruct:PP-ESOL", "<NUMBER> -2.0 </NUMBER>", ""),
        ("matbench:expt_gap", "no idea", ""),  # a missing answer counts as the training mean
        ("mmlu-pro", "no idea", ""),  # an unanswered item counts as 0
    ],
)
def test_a_score_of_the_answered_items_alone_is_marked(here: Path, suite: str, reply: str, mark: str) -> None:
    done = evals("run", suite, "--sample", "-m", f"scripted:{reply}", "--quiet")
    assert ("answered items only" in done.out) == bool(mark)
    assert mark in done.out


@pytest.mark.parametrize(
    ("name", "near"),
    [("lst", "last"), ("gpt-4.l", "gpt-4.1"), ("gpt-4.1/gpqa:diamnd", "gpt-4.1/gpqa:diamond")],
)
def test_a_mistyped_name_of_a_run_gets_near_ones(cards: list[Card], name: str, near: str) -> None:
    assert f"did you mean {near}" in evals("show", name, "--results", FOLDER[0]).error_line
    end = short_ids(card.run for card in cards)[cards[0].run]
    assert end in evals("show", f"{end[:-1]}-", "--results", FOLDER[0]).error_line


def test_seeds_are_one_row_that_opens(cards: list[Card]) -> None:
    seeded = [c for c in cards if c.model == many_runs.SEEDED and c.config.suite == "mmlu-pro" and c.complete]
    closed = show("--suite", "mmlu-pro", "--model", "qwen3").out
    assert "seeds" in closed
    assert len(seeded) > 1
    ids = short_ids(card.run for card in cards)
    assert not any(ids[card.run] in closed for card in seeded if card.config.protocol == "strict")
    opened = show("--suite", "mmlu-pro", "--model", "qwen3", "--runs").out
    assert all(ids[card.run] in opened for card in seeded)


def test_last_and_since_choose_by_time(cards: list[Card]) -> None:
    newest = sorted(cards, key=lambda card: card.started)[-5:]
    found = evals("show", "--last", 5, "--json", "--results", FOLDER[0]).json["runs"]
    assert {run["run"] for run in found} == {card.run for card in newest}
    found = evals("show", "--since", "2026-10-01", "--json", "--results", FOLDER[0]).json["runs"]
    assert found
    assert all(run["started"] >= 1_790_812_800 for run in found)
    assert "No run matches" in show("--model", "nobody").out
    assert "expected a date" in evals("show", "--since", "soon", "--results", FOLDER[0]).error_line


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_pivot_has_the_newest_complete_run_of_each(cards: list[Card], columns: int) -> None:
    lines = show("--pivot", columns=columns).out
    assert all(len(line) <= columns for line in lines.splitlines())
    assert all(model in lines for model in many_runs.MODELS)
    cells = evals("show", "--pivot", "--json", "--results", FOLDER[0]).json["cells"]
    by_run = {card.run: card for card in cards}
    for cell in cells:
        several = [
            card for card in cards
            if (card.model, card.config.suite, card.config.protocol) == (cell["model"], cell["suite"], cell["protocol"])
        ]  # fmt: skip
        assert by_run[cell["runs"][-1]].complete or not any(card.complete for card in several)


def test_the_pivot_is_a_table_for_a_spreadsheet(cards: list[Card]) -> None:
    rows = list(csv.DictReader(io.StringIO(show("--pivot", "--csv").out)))
    assert [row["model"] for row in rows] == sorted(many_runs.MODELS, key=str.lower)
    assert "mmlu-pro strict" in rows[0]
    assert 0 < float(rows[0]["mmlu-pro strict"]) < 1


# --- a sample ------------------------------------------------------------------------------------------------


def test_a_sample_is_shown_with_what_was_read_in_its_place(cards: list[Card]) -> None:
    run = cards[0].run
    done = show(run, "--sample", "sample-003", columns=70).out
    for title in ("Prompt", "Reply", "Answer", "Gold", "Reason"):
        assert f"\n{title}\n" in done
    assert re.search("ANSWER: »[A-J]«", done)
    assert "Reasoning: 54 words; --reasoning shows them" in done
    assert "\nReasoning\n" in show(run, "--sample", "sample-003", "--reasoning").out
    assert all(len(line) <= 70 for line in done.splitlines())
    found = evals("show", run, "--sample", "sample-003", "--json", "--results", FOLDER[0]).json
    assert found["id"] == "sample-003"
    assert found["reply"].endswith(found["answer"])


def test_next_goes_on_to_the_next_of_a_verdict(cards: list[Card]) -> None:
    run = next(card.run for card in cards if card.config.suite == "mmlu-pro" and len(card.model) % 3 == 1)
    rows = evals("show", run, "--samples", "--json", "--results", FOLDER[0]).json["samples"]
    wrong = [row["id"] for row in rows if row["verdict"] == "wrong"]
    seen, now = [], ("--next", "wrong")
    for _ in wrong:
        seen.append(evals("show", run, *now, "--json", "--results", FOLDER[0]).json["id"])
        now = ("--sample", seen[-1], "--next", "wrong")
    assert seen == wrong
    assert (
        "has no sample with the verdict wrong after"
        in evals("show", run, *now, "--results", FOLDER[0]).error_line
    )
    assert "has no sample 'x'" in evals("show", run, "--sample", "x", "--results", FOLDER[0]).error_line


def test_of_a_gated_suite_ids_and_letters_alone(cards: list[Card]) -> None:
    run = next(card.run for card in cards if card.gated)
    done = show(run, "--sample", "sample-001").out
    assert "base-rate" not in done
    assert "option" not in done
    assert re.search("gold [A-J]; answer [A-J]", done)
    for words in (("--sample", "sample-001"), ("--samples", "--texts")):
        found = show(run, *words, "--json").out
        assert "base-rate" not in found
        assert "reply" not in found


def test_texts_are_given_where_they_are_asked_for(cards: list[Card]) -> None:
    rows = evals("show", cards[0].run, "--samples", "--texts", "--json", "--results", FOLDER[0]).json[
        "samples"
    ]
    assert rows[0]["prompt"][0]["role"] == "user"
    assert "ANSWER" in rows[0]["reply"]
    assert "base-rate" in rows[0]["reasoning"]
