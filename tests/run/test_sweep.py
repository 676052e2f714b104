"""Sweeps: models x suites x protocols x repeats from one file, planned, executed, resumed; mistakes in the file."""

from __future__ import annotations

import json
import os
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
from tests.support.faults import FaultyServer, completion

TWO = """
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


def stored() -> list[Card]:
    return [run.card for run in store.runs(Path("results"))]


HEAD = "model aime:2025 strict gpqa:diamond official gpqa:diamond strict mmlu-pro official mmlu-pro strict"
EXPECTED = Counter(
    (model, suite, protocol, repeats)
    for model in ("careful", "careless")
    for suite, protocol, repeats in (
        ("mmlu-pro", "strict", 1),
        ("mmlu-pro", "official", 1),
        ("gpqa:diamond", "strict", 1),
        ("gpqa:diamond", "official", 4),  # as the protocol has it
        ("aime:2025", "strict", 1),
        ("aime:2025", "strict", 2),
    )
)


def test_a_sweep_is_the_product_of_its_tables_and_ends_with_models_by_suites(here: Path) -> None:
    file = write(TWO)
    done = evals("run", file)
    assert done.status == 0, done.err
    assert cells(stored()) == EXPECTED
    assert all(card.status == "finished" for card in stored())
    head, _, careful, careless, *_ = done.out.splitlines()
    assert " ".join(head.split()) == HEAD
    assert careful.startswith("careful")
    assert careless.startswith("careless")
    assert "With 2 repeats per item:" in done.out
    document = evals("run", file, "--json").json
    assert len(document["runs"]) == 12
    assert [pivot["repeats"] for pivot in document["pivots"]] == [None, 2]
    assert len(document["pivots"][0]["cells"]) == 10
    assert len(stored()) == 12  # all were reused


def test_the_forecast_counts_what_exists_and_what_is_to_be_run(here: Path) -> None:
    file = write(TWO)
    plain = evals("run", file, "--dry-run")
    assert plain.status == 0, plain.err
    assert "Sweep: 12 runs: 0 exist, 0 are resumed, 12 are new; 256 calls" in plain.out
    assert not Path("results").exists()
    only = write(
        'sample = true\nmodels = ["demo:careful"]\nsuites = ["mmlu-pro"]\nprotocols = ["strict"]\n',
        "one.toml",
    )
    assert evals("run", only).status == 0
    document = evals("run", file, "--dry-run", "--json").json
    totals = document["totals"]
    assert (totals["runs"], totals["existing"], totals["resumed"], totals["new"]) == (12, 1, 0, 11)
    assert totals["calls"] == 256 - 16
    assert totals["input_tokens"] == sum(row["input_tokens"] for row in document["dry_run"])
    assert totals["cost_usd"] is None
    assert len(stored()) == 1


def forecast(*words: object) -> dict[str, Any]:
    (row,) = evals("run", *words, "--dry-run", "--json").json["dry_run"]
    return dict(row)


def test_the_interval_to_expect_is_at_most_that_of_half_or_an_earlier_runs(here: Path) -> None:
    first = forecast("mmlu-pro", "--sample", "-m", "demo:careful")
    assert first["half_width_bound"]
    assert first["half_width"] == pytest.approx(0.2197, abs=1e-3)  # Wilson's at 8 of 16
    (run,) = evals("run", "mmlu-pro", "--sample", "-m", "demo:careful", "--json").json["runs"]
    head = next(estimate for estimate in run["estimates"] if estimate["headline"])
    again = forecast("mmlu-pro", "--sample", "-m", "demo:careful", "--fresh")
    assert not again["half_width_bound"]
    assert again["half_width"] == pytest.approx((head["high"] - head["low"]) / 2)
    quarter = forecast("mmlu-pro", "--sample", "-m", "demo:careful", "--limit", "4")
    assert quarter["half_width"] == pytest.approx(head["high"] - head["low"])
    assert forecast("matbench:steels", "--sample", "-m", "scripted:1")["half_width"] is None  # MAE


def test_suites_under_the_same_options_share_a_session(here: Path) -> None:
    settings = {
        "models": ["demo:careful"],
        "sample": True,
        "sweep": [
            {"suites": ["mmlu-pro"], "protocols": ["strict", "official"]},
            {"suites": ["aime:2025"], "repeats": 3},
            {"suites": ["mmlu-pro"], "temperature": 0.5},
            {"suites": ["mmlu-pro"], "protocol": "strict"},  # the same again
        ],
    }
    parts, faults = sweep.plan_sweep(settings, {}, "s.toml")
    assert faults == []
    made = [[(s.id, s.protocol, s.repeats) for s in part.suites] for part in parts]
    assert made == [
        [("mmlu-pro", "strict", 1), ("mmlu-pro", "official", 1), ("aime:2025", "strict", 3)],
        [("mmlu-pro", "strict", 1)],
    ]


def test_options_of_the_command_line_take_precedence(here: Path) -> None:
    file = write(TWO)
    words = (
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
    assert evals("run", file, *words).status in (0, 1)
    cards = [run.card for run in store.runs(Path("r"))]
    assert cells(cards) == Counter(
        ("careless", suite, "strict", 1) for suite in ("mmlu-pro", "gpqa:diamond", "aime:2025")
    )
    assert {card.config.limit for card in cards} == {2}


def test_every_mistake_of_a_file_is_a_line_and_nothing_is_run(here: Path) -> None:
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
    done = evals("run", file)
    assert done.status == 2
    assert done.out == ""
    assert not Path("results").exists()
    lines = done.err.splitlines()
    expected = (
        "sweep.toml: unknown key in sweep.toml 'model'; did you mean models",
        "sweep.toml 'limitt'; did you mean limit",
        "sweep.toml: until-decided is for single runs, not for a sweep",
        "sweep.toml: detach is for single runs, not for a sweep",
        "[[sweep]] 1: unknown suite 'gqpa'; did you mean",
        "[[sweep]] 1: unknown protocol",
        "[[sweep]] 1: no models",
        "[[sweep]] 2: repeats must be whole numbers above 0",
        "[[sweep]] 2: temperature must be from 0 to 10, got 11",
        "[[sweep]] 3: protocol and protocols cannot be combined",
        "[[sweep]] 3 'repeat'; did you mean repeats",
        "[[sweep]] 3: no suites",
    )
    for text in expected:
        assert any(text.removeprefix("sweep.toml: ") in line for line in lines), (text, lines)
    assert len(lines) <= len(expected) + 2
    assert all(line.startswith("evals: ") for line in lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sweep = 3", "sweep must be tables"),
        ("sweep = []", "sweep must be tables"),
        ("[sweep]\nsuites = ['aime']", "sweep must be tables"),
        ("suites = ['aime']\nprotocols = 'strict'", "no models"),
        ("[[sweep]]\nsuites = [", "sweep.toml"),
        ("models = ['demo:careful']\nsuites = ['aime']\nprotocols = []", "protocols must be names"),
        ("models = ['demo:careful']\nsuites = ['aime']\nrepeats = [true]", "repeats must be whole numbers"),
    ],
)
def test_odd_files_are_one_line(here: Path, text: str, message: str) -> None:
    done = evals("run", write(text))
    assert done.status == 2
    assert len(done.err.splitlines()) == 1
    assert message in done.err


def test_the_table_keeps_the_interval_at_80_columns(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = evals("run", write(TWO), "--dry-run")
    assert "95 % ±" in done.out.splitlines()[0]
    assert all(len(line) <= 80 for line in done.out.splitlines()), done.out


def test_where_nothing_is_scored_no_table_is_printed(here: Path) -> None:
    file = write("sample = true\nmodels = ['demo:careful']\nsuites = ['aime:2024']\nrepeats = [2, 3]\n")
    done = evals("run", file)
    assert done.status == 2
    assert "replies to each item" not in done.out
    assert "careful failed" in done.err or "every call fails" in done.err


def test_suites_beside_a_sweep_are_refused(here: Path) -> None:
    assert "which lists its suites itself" in evals("run", write(TWO), "mmlu-pro").error_line


def test_a_part_that_cannot_be_run_stops_no_other(here: Path) -> None:
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
    done = evals("run", file)
    assert done.status == 1, done.err
    assert "part 1 of 2: " in done.err
    assert "OPENAI_API_KEY" in done.err
    assert "careful" in done.out
    assert cells(stored()) == Counter([("careful", "aime:2025", "strict", 1)])


def test_a_limit_on_tokens_holds_for_all_parts(here: Path) -> None:
    file = write(TWO + "\n[[sweep]]\nsuites = ['mmlu-pro']\ntemperature = 0.5\n")
    with FaultyServer(lambda call: completion("ANSWER: A")) as server:
        done = evals("run", file, "-m", server.model, "--max-total-tokens", "700", "--concurrency", "4")
        assert done.status == 1, done.err
        assert "is skipped: the limit on cost or tokens has been reached" in done.err
        assert 40 <= len(server.calls) <= 60  # of 15 tokens each


@pytest.mark.slow
def test_a_killed_sweep_goes_on_where_it_was(here: Path) -> None:
    file = write(TWO)

    def slowly(call: object) -> Any:
        time.sleep(0.05)
        return completion("ANSWER: A")

    with FaultyServer(slowly) as server:
        words = ["run", file, "-m", server.model, "--concurrency", "4", "--quiet"]
        command = [sys.executable, "-c", "from evals.cli import main; main()", *words]
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
        done = evals(*words, "--json")
        assert done.status == 0, done.err
        assert len(server.calls) - before == planned["calls"]
    assert len(done.json["runs"]) == 6
    for run in store.runs(Path("results")):
        replies = Counter((r.sample, r.repeat) for r in run.records() if isinstance(r.outcome, Reply))
        assert set(replies.values()) == {1}
        assert sum(replies.values()) == run.card.expected
    assert json.dumps(done.json["pivots"])
