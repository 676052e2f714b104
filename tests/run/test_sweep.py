"""Sweeps: models x suites x protocols x repeats from one file are planned, run and resumed, and mistakes in the file are reported."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from evals.records import store
from evals.records.card import Card
from evals.run import sweep
from evals.types import Reply
from tests.support.command import evals
from tests.support.error_messages import assert_recorded
from tests.support.faults import FaultyServer, completion

TWO_TABLES = """
sample = true
models = ["demo:careful", "demo:careless"]

[[sweep]]
suites = ["mmlu-pro", "gpqa:diamond"]
protocols = ["strict", "official"]

[[sweep]]
suites = ["aime:2025"]
repeats = [1, 2]
"""


def write(text: str, name: str = "sweep.toml") -> str:
    Path(name).write_text(text)
    return name


def cells(cards: list[Card]) -> Counter[tuple[str, str, str, int]]:
    return Counter(
        (card.model, card.config.suite, card.config.protocol, card.config.repeats) for card in cards
    )


def stored_cards() -> list[Card]:
    return [run.card for run in store.runs(Path("results"))]


HEADER = "model aime:2025 strict gpqa:diamond official gpqa:diamond strict mmlu-pro official mmlu-pro strict"
EXPECTED = Counter(
    (model, suite, protocol, repeats)
    for model in ("careful", "careless")
    for suite, protocol, repeats in (
        ("mmlu-pro", "strict", 1),
        ("mmlu-pro", "official", 1),
        ("gpqa:diamond", "strict", 1),
        ("gpqa:diamond", "official", 4),  # the default of the protocol
        ("aime:2025", "strict", 1),
        ("aime:2025", "strict", 2),
    )
)


def test_a_sweep_runs_all_combinations_and_prints_a_table_of_models_by_suites(here: Path) -> None:
    file = write(TWO_TABLES)
    outcome = evals("run", file)
    assert outcome.status == 0, outcome.err
    assert cells(stored_cards()) == EXPECTED
    assert all(card.status == "finished" for card in stored_cards())
    header, _, careful, careless, *_ = outcome.out.splitlines()
    assert " ".join(header.split()) == HEADER
    assert careful.startswith("careful")
    assert careless.startswith("careless")
    assert "With 2 repeats per item:" in outcome.out
    document = evals("run", file, "--json").json
    assert len(document["runs"]) == 12
    assert [pivot["repeats"] for pivot in document["pivots"]] == [None, 2]
    assert len(document["pivots"][0]["cells"]) == 10
    assert len(stored_cards()) == 12  # all runs were reused


def test_the_forecast_counts_existing_and_new_runs(here: Path) -> None:
    file = write(TWO_TABLES)
    forecast_table = evals("run", file, "--dry-run")
    assert forecast_table.status == 0, forecast_table.err
    assert "Sweep: 12 runs: 0 exist, 0 are resumed, 12 are new; 256 calls" in forecast_table.out
    assert not Path("results").exists()
    single = write(
        'sample = true\nmodels = ["demo:careful"]\nsuites = ["mmlu-pro"]\nprotocols = ["strict"]\n',
        "one.toml",
    )
    assert evals("run", single).status == 0
    document = evals("run", file, "--dry-run", "--json").json
    totals = document["totals"]
    assert (totals["runs"], totals["existing"], totals["resumed"], totals["new"]) == (12, 1, 0, 11)
    assert totals["calls"] == 256 - 16
    assert totals["input_tokens"] == sum(row["input_tokens"] for row in document["dry_run"])
    assert totals["cost_usd"] is None
    assert len(stored_cards()) == 1


def forecast(*arguments: object) -> dict[str, Any]:
    (row,) = evals("run", *arguments, "--dry-run", "--json").json["dry_run"]
    return dict(row)


def test_the_expected_interval_is_that_of_an_accuracy_of_one_half_or_of_an_earlier_run(here: Path) -> None:
    without_run = forecast("mmlu-pro", "--sample", "-m", "demo:careful")
    assert without_run["half_width_bound"]
    assert without_run["half_width"] == pytest.approx(0.2197, abs=1e-3)  # the Wilson interval of 8 of 16
    (run,) = evals("run", "mmlu-pro", "--sample", "-m", "demo:careful", "--json").json["runs"]
    headline = next(estimate for estimate in run["estimates"] if estimate["headline"])
    with_run = forecast("mmlu-pro", "--sample", "-m", "demo:careful", "--fresh")
    assert not with_run["half_width_bound"]
    assert with_run["half_width"] == pytest.approx((headline["high"] - headline["low"]) / 2)
    quarter = forecast("mmlu-pro", "--sample", "-m", "demo:careful", "--limit", "4")
    assert quarter["half_width"] == pytest.approx(headline["high"] - headline["low"])
    assert forecast("matbench:steels", "--sample", "-m", "scripted:1")["half_width"] is None  # MAE


def test_suites_under_the_same_options_share_a_session(here: Path) -> None:
    settings = {
        "models": ["demo:careful"],
        "sample": True,
        "sweep": [
            {"suites": ["mmlu-pro"], "protocols": ["strict", "official"]},
            {"suites": ["aime:2025"], "repeats": 3},
            {"suites": ["mmlu-pro"], "temperature": 0.5},
            {"suites": ["mmlu-pro"], "protocol": "strict"},  # the same combination again
        ],
    }
    parts, faults = sweep.plan_sweep(settings, {}, "s.toml")
    assert faults == []
    planned = [[(s.id, s.protocol, s.repeats) for s in part.suites] for part in parts]
    assert planned == [
        [("mmlu-pro", "strict", 1), ("mmlu-pro", "official", 1), ("aime:2025", "strict", 3)],
        [("mmlu-pro", "strict", 1)],
    ]


def test_options_of_the_command_line_take_precedence(here: Path) -> None:
    file = write(TWO_TABLES)
    arguments = (
        "--limit",
        "2",
        "--protocol",
        "strict",
        "--repeats",
        "1",
        "-m",
        "demo:careless",
        "--results",
        "r",
    )
    assert evals("run", file, *arguments).status in (0, 1)
    cards = [run.card for run in store.runs(Path("r"))]
    assert cells(cards) == Counter(
        ("careless", suite, "strict", 1) for suite in ("mmlu-pro", "gpqa:diamond", "aime:2025")
    )
    assert {card.config.limit for card in cards} == {2}


def test_every_mistake_in_a_file_gives_one_line_and_nothing_is_run(here: Path) -> None:
    file = write(
        """
        model = ["demo:careful"]
        limitt = 3
        until-decided = true
        detach = true

        [[sweep]]
        suites = ["mmlu-pro", "gqpa"]
        protocols = ["strickt"]

        [[sweep]]
        models = ["demo:careful"]
        suites = ["aime:2025"]
        repeats = [0]
        temperature = 11

        [[sweep]]
        models = ["demo:careful"]
        protocol = "strict"
        protocols = ["strict"]
        repeat = 3
        """
    )
    outcome = evals("run", file)
    assert outcome.status == 2
    assert outcome.out == ""
    assert not Path("results").exists()
    lines = outcome.err.splitlines()
    assert all(line.startswith("evals: ") for line in lines)
    for line in lines:
        assert_recorded(line)


@pytest.mark.parametrize(
    "text",
    [
        "sweep = 3",
        "sweep = []",
        "[sweep]\nsuites = ['aime']",
        "suites = ['aime']\nprotocols = 'strict'",
        "[[sweep]]\nsuites = [",
        "models = ['demo:careful']\nsuites = ['aime']\nprotocols = []",
        "models = ['demo:careful']\nsuites = ['aime']\nrepeats = [true]",
    ],
    ids=["a number", "an empty list", "a table", "no models", "not TOML", "no protocols", "repeats"],
)
def test_malformed_files_give_a_one_line_message(here: Path, text: str) -> None:
    outcome = evals("run", write(text))
    outcome.assert_usage_error()
    assert len(outcome.err.splitlines()) == 1


def test_the_table_includes_the_interval_at_80_columns(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    outcome = evals("run", write(TWO_TABLES), "--dry-run")
    assert "95 % ±" in outcome.out.splitlines()[0]
    assert all(len(line) <= 80 for line in outcome.out.splitlines()), outcome.out


def test_without_any_score_no_table_is_printed(here: Path) -> None:
    file = write("sample = true\nmodels = ['demo:careful']\nsuites = ['aime:2024']\nrepeats = [2, 3]\n")
    outcome = evals("run", file)
    assert outcome.status == 2
    assert "replies to each item" not in outcome.out
    for line in outcome.err.splitlines():
        if line.startswith("evals: "):
            assert_recorded(line)


def test_suites_on_the_command_line_of_a_sweep_are_rejected(here: Path) -> None:
    evals("run", write(TWO_TABLES), "mmlu-pro").assert_usage_error()


def test_a_part_that_cannot_run_does_not_stop_the_others(here: Path) -> None:
    file = write(
        """
        sample = true
        [[sweep]]
        models = ["openai:gpt-x"]
        suites = ["aime:2025"]
        [[sweep]]
        models = ["demo:careful"]
        suites = ["aime:2025"]
        protocols = ["strict"]
        """
    )
    outcome = evals("run", file)
    assert outcome.status == 1, outcome.err
    assert "part 1 of 2: " in outcome.err
    assert "OPENAI_API_KEY" in outcome.err
    assert "careful" in outcome.out
    assert cells(stored_cards()) == Counter([("careful", "aime:2025", "strict", 1)])


@pytest.mark.parametrize("other_model", [[], ["demo:careful"]], ids=["one model", "two models"])
def test_the_reason_why_all_parts_fail_is_stated_once(here: Path, other_model: list[str]) -> None:
    models = ["server:http://127.0.0.1:9/v1#gone", *other_model]
    file = write(
        f"sample = true\nmodels = {models}\nsuites = ['mmlu-pro']\ntemperature = 0.5\nrepeats = [1, 2]"
    )
    lines = evals("run", file).err.splitlines()
    (line,) = [line for line in lines if line.startswith("evals: ")]
    assert line.startswith("evals: gone failed: " if other_model else "evals: parts 1, 2 of 2: ")
    assert "Connection refused" in line


def test_a_limit_on_tokens_holds_for_all_parts(here: Path) -> None:
    file = write(TWO_TABLES + "\n[[sweep]]\nsuites = ['mmlu-pro']\ntemperature = 0.5\n")
    with FaultyServer(lambda call: completion("ANSWER: A")) as server:
        outcome = evals("run", file, "-m", server.model, "--max-total-tokens", "700", "--concurrency", "4")
        assert outcome.status == 1, outcome.err
        assert "parts 2, 3 of 3: not run, since the limit on cost or tokens has been reached" in outcome.err
        assert 40 <= len(server.calls) <= 60  # 15 tokens each


@pytest.mark.slow
def test_runs_of_other_commands_in_the_folder_do_not_count_against_a_sweeps_limit(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evals("run", "mmlu-pro", "--sample", "-m", "demo:careful", "--run", "other", "--results", "elsewhere")
    [other] = Path("elsewhere").glob("*/*/other")
    run_session = sweep.Session.run

    def run_beside_another_command(session: sweep.Session) -> list[Any]:
        copy = Path("results") / other.relative_to("elsewhere")
        shutil.copytree(other, copy, dirs_exist_ok=True)
        return run_session(session)

    monkeypatch.setattr(sweep.Session, "run", run_beside_another_command)
    file = write(
        'sample = true\nlimit = 1\nmodels = "scripted:ANSWER: A"\nsuites = ["aime:2025"]\nrepeats = [1, 2, 3]\n'
    )
    assert store.Run(other).card.tokens["output"] > 100
    outcome = evals("run", file, "--max-total-tokens", "100")
    assert (outcome.status, "has been reached" in outcome.err) == (0, False), outcome.err
    assert sum(cell[0] == "scripted" for cell in cells(stored_cards())) == 3


@pytest.mark.slow
def test_a_killed_sweep_resumes(here: Path) -> None:
    file = write(TWO_TABLES)

    def respond_slowly(call: object) -> Any:
        time.sleep(0.05)
        return completion("ANSWER: A")

    with FaultyServer(respond_slowly) as server:
        arguments = ["run", file, "-m", server.model, "--concurrency", "4", "--quiet"]
        command = [sys.executable, "-c", "from evals.cli import main; main()", *arguments]
        for goal in (20, 50, 90):
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
                while len(server.calls) < goal and process.poll() is None:
                    time.sleep(0.01)
                os.kill(process.pid, signal.SIGKILL)
        planned = evals("run", file, "-m", server.model, "--dry-run", "--json").json["totals"]
        recorded = 128 - planned["calls"]
        assert 70 <= recorded <= 100
        assert planned["resumed"] >= 1
        before = len(server.calls)
        outcome = evals(*arguments, "--json")
        assert outcome.status == 0, outcome.err
        assert len(server.calls) - before == planned["calls"]
    assert len(outcome.json["runs"]) == 6
    for run in store.runs(Path("results")):
        replies = Counter((r.sample, r.repeat) for r in run.records() if isinstance(r.outcome, Reply))
        assert set(replies.values()) == {1}
        assert sum(replies.values()) == run.card.expected
    assert json.dumps(outcome.json["pivots"])
