"""`evals show`: the table of runs, marks, pooled seeds, filters, the pivot table, and single samples."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest

from evals.records.card import Card
from evals.records.names import short_ids
from evals.terminal import sample
from evals.terminal.runs import RunRow
from tests.support import many_runs, toy
from tests.support.command import Outcome, evals


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> list[Card]:
    """Fill a results folder with many runs, set FOLDER to it, and return the cards of the runs."""
    results = tmp_path_factory.mktemp("many") / "results"
    FOLDER[:] = [results]
    return many_runs.build(results)


FOLDER: list[Path] = []
"""The results folder, as a list of one, so that the fixture can set it."""


def show(*arguments: object, columns: int | None = None) -> Outcome:
    """Run `evals show` on the results folder, and require success."""
    env = {"COLUMNS": str(columns)} if columns else {}
    outcome = evals("show", *arguments, "--results", FOLDER[0], env=env)
    assert outcome.status == 0, outcome.err
    return outcome


def test_every_run_is_a_row_under_its_suite_and_protocol(cards: list[Card]) -> None:
    lines = show("--runs").out.splitlines()
    ids = short_ids(card.run for card in cards)
    title = ""
    titles = {}
    for line in lines:
        if line and not line.startswith(" "):
            title = line
        for card in cards:
            if f"  {ids[card.run]}  " in line:
                titles[card.run] = title
                assert card.model in line
    assert titles.keys() == ids.keys()
    for card in cards:
        assert titles[card.run].startswith(f"{card.config.suite} · {card.config.protocol} · ")


def test_runs_of_a_suite_are_ordered_by_time_unless_sorted_by_score(cards: list[Card]) -> None:
    rows = show("--suite", "aime:2025", "--protocol", "strict", "--runs").out.splitlines()
    dates = [match[0] for line in rows if (match := re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d", line))]
    assert dates == sorted(dates)
    assert len(dates) > 3
    by_score = show("--suite", "matbench:steels", "--protocol", "strict", "--sort", "score", "--runs").out
    values = [float(v) for v in re.findall(r"([\d.]+) MPa", by_score)]
    assert values == sorted(values)  # lower is better
    assert "lower is better" in by_score


def test_each_row_has_the_marks_of_its_run(cards: list[Card]) -> None:
    ids = short_ids(card.run for card in cards)
    rows = {
        short_id: line
        for line in show("--runs").out.splitlines()
        for short_id in ids.values()
        if f"  {short_id}  " in line
    }
    for card in cards:
        row = rows[ids[card.run]]
        assert ("sample items" in row) == (card.data == "sample")
        assert ("subset of 200" in row) == (card.config.limit == 200)
        assert ("stopped early, 1.4 % scored" in row) == ("absent" in card.counts)
        assert ("98.0 % scored" in row) == (card.coverage == 0.98)
        assert ("12 clusters" in row) == (card.estimates[0].clusters == 12)
    narrow = show("--runs", columns=80).out
    for letter, meaning in (
        ("S", "sample items"),
        ("P", "a subset"),
        ("E", "stopped early"),
        ("F", "fewer than"),
    ):
        assert f"\n{letter}: {meaning}" in narrow


@pytest.mark.parametrize(
    ("suite", "reply", "mark"),
    [
        ("smolinstruct:PP-ESOL", "no idea", "answered items only, 0 of 14"),
        ("smolinstruct:PP-ESOL", "<NUMBER> -2.0 </NUMBER>", ""),
        ("matbench:expt_gap", "no idea", ""),  # a missing answer counts as the training mean
        ("mmlu-pro", "no idea", ""),  # an unanswered item counts as 0
    ],
)
def test_a_score_over_answered_items_only_is_marked(here: Path, suite: str, reply: str, mark: str) -> None:
    outcome = evals("run", suite, "--sample", "-m", f"scripted:{reply}", "--quiet")
    assert ("answered items only" in outcome.out) == bool(mark)
    assert mark in outcome.out


@pytest.mark.parametrize(
    "name",
    ["lst", "gpt-4.l", "gpt-4.1/gpqa:diamnd"],
)
def test_the_error_for_a_mistyped_run_name_lists_similar_names(cards: list[Card], name: str) -> None:
    evals("show", name, "--results", FOLDER[0]).assert_usage_error()
    short_id = short_ids(card.run for card in cards)[cards[0].run]
    evals("show", f"{short_id[:-1]}-", "--results", FOLDER[0]).assert_usage_error()


def test_runs_with_different_seeds_share_a_row_unless_runs_are_listed(cards: list[Card]) -> None:
    seeded = [c for c in cards if c.model == many_runs.SEEDED and c.config.suite == "mmlu-pro" and c.complete]
    pooled = show("--suite", "mmlu-pro", "--model", "qwen3").out
    assert "seeds" in pooled
    assert len(seeded) > 1
    ids = short_ids(card.run for card in cards)
    assert not any(ids[card.run] in pooled for card in seeded if card.config.protocol == "strict")
    listed = show("--suite", "mmlu-pro", "--model", "qwen3", "--runs").out
    assert all(ids[card.run] in listed for card in seeded)


def test_last_and_since_filter_by_time(cards: list[Card]) -> None:
    newest = sorted(cards, key=lambda card: card.started)[-5:]
    runs = evals("show", "--last", 5, "--json", "--results", FOLDER[0]).json["runs"]
    assert {run["run"] for run in runs} == {card.run for card in newest}
    runs = evals("show", "--since", "2026-10-01", "--json", "--results", FOLDER[0]).json["runs"]
    assert runs
    assert all(run["started"] >= 1_790_812_800 for run in runs)
    assert "No run matches" in show("--model", "nobody").out
    evals("show", "--since", "soon", "--results", FOLDER[0]).assert_usage_error()


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_last_run_of_a_pivot_cell_is_complete_if_any_run_is(cards: list[Card], columns: int) -> None:
    output = show("--pivot", columns=columns).out
    assert all(len(line) <= columns for line in output.splitlines())
    assert all(model in output for model in many_runs.MODELS)
    cells = evals("show", "--pivot", "--json", "--results", FOLDER[0]).json["cells"]
    by_run = {card.run: card for card in cards}
    for cell in cells:
        runs_of_cell = [
            card for card in cards
            if (card.model, card.config.suite, card.config.protocol) == (cell["model"], cell["suite"], cell["protocol"])
        ]  # fmt: skip
        assert by_run[cell["runs"][-1]].complete or not any(card.complete for card in runs_of_cell)


def test_the_pivot_table_can_be_printed_as_csv(cards: list[Card]) -> None:
    rows = list(csv.DictReader(io.StringIO(show("--pivot", "--csv").out)))
    assert [row["model"] for row in rows] == sorted(many_runs.MODELS, key=str.lower)
    assert "mmlu-pro strict" in rows[0]
    assert 0 < float(rows[0]["mmlu-pro strict"]) < 1


# --- samples ------------------------------------------------------------------------------------------------


def test_every_line_of_a_wrapped_answer_is_shown_in_reverse_video() -> None:
    lines = ["  so it is »ethyl", "  acetate« here"]
    assert sample.highlight(lines) == [
        "  so it is \x1b[7m»ethyl\x1b[0m",
        "  \x1b[7macetate«\x1b[0m here",
    ]


def test_a_sample_is_shown_with_the_extracted_answer_marked_in_the_reply(cards: list[Card]) -> None:
    run = cards[0].run
    output = show(run, "--sample", "sample-003", columns=70).out
    for title in ("Prompt", "Reply", "Answer", "Gold", "Reason"):
        assert f"\n{title}\n" in output
    assert re.search("ANSWER: »[A-J]«", output)
    assert "Reasoning: 54 words; --reasoning shows them" in output
    assert "\nReasoning\n" in show(run, "--sample", "sample-003", "--reasoning").out
    assert all(len(line) <= 70 for line in output.splitlines())
    sample = evals("show", run, "--sample", "sample-003", "--json", "--results", FOLDER[0]).json
    assert sample["id"] == "sample-003"
    assert sample["reply"].endswith(sample["answer"])


def test_next_shows_the_next_sample_with_a_verdict(cards: list[Card]) -> None:
    run = next(card.run for card in cards if card.config.suite == "mmlu-pro" and len(card.model) % 3 == 1)
    rows = evals("show", run, "--samples", "--json", "--results", FOLDER[0]).json["samples"]
    wrong = [row["id"] for row in rows if row["verdict"] == "wrong"]
    visited: list[str] = []
    options: tuple[str, ...] = ("--next", "wrong")
    for _ in wrong:
        visited.append(evals("show", run, *options, "--json", "--results", FOLDER[0]).json["id"])
        options = ("--sample", visited[-1], "--next", "wrong")
    assert visited == wrong
    evals("show", run, *options, "--results", FOLDER[0]).assert_usage_error()
    evals("show", run, "--sample", "x", "--results", FOLDER[0]).assert_usage_error()


def test_only_ids_and_letters_of_a_gated_suite_are_shown(cards: list[Card]) -> None:
    run = next(card.run for card in cards if card.gated)
    output = show(run, "--sample", "sample-001").out
    assert "base-rate" not in output
    assert "option" not in output
    assert re.search("gold [A-J]; answer [A-J]", output)
    for arguments in (("--sample", "sample-001"), ("--samples", "--texts")):
        output = show(run, *arguments, "--json").out
        assert "base-rate" not in output
        assert "reply" not in output


def test_texts_are_printed_on_request(cards: list[Card]) -> None:
    rows = evals("show", cards[0].run, "--samples", "--texts", "--json", "--results", FOLDER[0]).json[
        "samples"
    ]
    assert rows[0]["prompt"][0]["role"] == "user"
    assert "ANSWER" in rows[0]["reply"]
    assert "base-rate" in rows[0]["reasoning"]


def test_filters_also_select_the_runs_whose_samples_are_shown(here: Path) -> None:
    evals("run", "aime:2025", "gpqa", "--sample", "-m", "scripted:1", "--quiet", "--run", "both")
    rows = evals("show", "both", "--samples", "--json", "--suite", "aime").json["samples"]
    assert len(rows) == 12
    sample_id = rows[0]["id"]
    evals("show", "both", "--sample", sample_id).assert_usage_error()
    assert evals("show", "both", "--sample", sample_id, "--suite", "aime:2025").status == 0
    evals("show", "both", "--samples", "--suite", "mmlu").assert_usage_error()


def test_samples_of_several_runs_are_told_apart(here: Path) -> None:
    for run in ("one", "two"):
        evals("run", "aime:2025", "gpqa", "--sample", "-m", f"scripted:{run}", "--quiet", "--run", run)
    folder = str(next(Path("results").glob("aime*")))
    rows = evals("show", folder, "--samples", "--json").json["samples"]
    keys = {(row["suite"], row["model"], row["run"], row["id"]) for row in rows}
    assert len(keys) == len(rows) == 24
    table = evals("show", folder, "--samples").out
    assert "scripted · one" in table
    assert "scripted · two" in table
    csv_rows = list(csv.DictReader(io.StringIO(evals("show", folder, "--samples", "--csv").out)))
    assert [(row["run"], row["id"]) for row in csv_rows] == [(row["run"], row["id"]) for row in rows]


def _card(**changes: Any) -> Card:
    card = Card(run="r", config=toy.config(), model="toy", status="finished", expected=16)
    for name, value in changes.items():
        setattr(card, name, value)
    return card


@pytest.mark.parametrize(
    ("card", "share"),
    [
        (_card(replies=16, truncated=4, counts={"right": 1, "failed:unreadable": 15}), 0.25),
        (_card(truncated=4, counts={"right": 16}), 0.25),
        (_card(truncated=4, counts={"right": 1, "failed:unreadable": 15}), None),
    ],
    ids=["unscored replies", "a card of an earlier version", "with unscored replies"],
)
def test_the_share_of_truncated_replies_is_of_all_replies(card: Card, share: float | None) -> None:
    assert RunRow(cards=(card,), headline=None).truncated == share


def test_seeds_of_one_configuration_are_no_clusters(here: Path) -> None:
    for seed in (1, 2, 3):
        assert evals("run", "aime:2025", "--sample", "-m", "scripted:ANSWER: 1", "--seed", seed).status == 0
    table = evals("show").out
    assert "3 seeds" in table
    assert "cluster" not in table
