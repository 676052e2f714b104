"""`evals run --dry-run` forecasts calls, tokens, cost and time without calling a model or writing a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evals.records import store
from evals.run.dry_run import Forecast, hours_side_by_side
from tests.support.command import evals
from tests.support.faults import Answer, FaultyServer, completion

AIME = ("run", "aime:2025", "--sample", "-m", "scripted:ANSWER: 1")


def dry_run_rows(*arguments: object) -> list[dict[str, Any]]:
    outcome = evals(*arguments, "--dry-run", "--json")
    assert outcome.status in (0, 2), outcome.err
    rows: list[dict[str, Any]] = outcome.json["dry_run"]
    return rows


def test_no_model_is_called_and_nothing_is_written(here: Path) -> None:
    with FaultyServer(lambda call: completion("ANSWER: A")) as server:
        (row,) = dry_run_rows("run", "mathvision", "--sample", "-m", server.model, "--price", "1,10")
        assert server.calls == []
    assert list(here.iterdir()) == []
    assert (row["items"], row["calls"], row["done"], row["run"]) == (row["total"], row["items"], 0, "")
    assert row["bound"]
    assert row["output_tokens"] == row["calls"] * 32_768
    assert row["cost_usd"] == pytest.approx((row["input_tokens"] + 10 * row["output_tokens"]) / 1e6)
    assert row["hours"] is None


def test_an_earlier_run_of_the_model_gives_the_tokens_and_the_replies_to_reuse(here: Path) -> None:
    assert evals(*AIME).status == 0
    (finished,) = dry_run_rows(*AIME)
    assert (finished["calls"], finished["done"]) == (0, finished["items"])
    assert finished["run"]
    (fresh,) = dry_run_rows(*AIME, "--fresh", "--concurrency", "4")
    assert (fresh["calls"], fresh["run"], fresh["at_once"]) == (fresh["items"], "", 4)
    assert (fresh["output_tokens"], fresh["bound"]) == (2 * fresh["items"], False)
    assert fresh["hours"] is not None
    (other_model,) = dry_run_rows("run", "aime:2025", "--sample", "-m", "scripted:list=x.json")
    assert other_model["bound"]  # the replies of another model are not used for the forecast
    assert "x.json" in other_model["fault"]


def test_a_run_without_token_counts_does_not_forecast_zero_tokens(here: Path) -> None:
    without_usage = Answer(200, completion("ANSWER: 1").body.replace(b"usage", b"unused"))
    with FaultyServer(lambda call: without_usage) as server:
        arguments = ("run", "aime:2025", "--sample", "-m", server.model, "--max-tokens", 100)
        assert evals(*arguments).status == 0
        (row,) = dry_run_rows(*arguments, "--fresh", "--price", "1,10")
    assert (row["output_tokens"], row["bound"]) == (100 * row["calls"], True)
    assert row["cost_usd"] > 0
    assert row["hours"] is not None


def test_published_numbers_are_named_with_their_protocol(here: Path) -> None:
    (row,) = dry_run_rows("run", "aime:2025", "--sample", "-m", "intern:intern-s1")
    assert "INTERN_API_KEY" in row["fault"]
    assert {claim["protocol"] for claim in row["published"]} >= {"intern-s1"}
    assert all(claim["same_protocol"] == (claim["protocol"] == row["protocol"]) for claim in row["published"])


def test_a_run_notes_that_its_protocol_has_no_published_numbers(here: Path) -> None:
    rows = [{"id": i, "problem": "1 + 1?", "answer": "2"} for i in range(1, 31)]
    Path("aime.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = (
        "run",
        "aime:2025",
        "--data",
        "aime.jsonl",
        "-m",
        "scripted:2",
        "--quiet",
        "--max-tokens",
        "9",
    )
    line = "aime:2025: no published numbers under strict; published under intern-s1 (--protocol)"
    assert line in evals(*arguments).out
    assert "no published number" not in evals(*arguments, "--protocol", "intern-s1~", "--json").out
    assert "no published number" not in evals(*AIME).out  # results on sample items are never compared


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_the_table_fits_the_terminal(here: Path, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    outcome = evals(
        "run", "gpqa", "aime", "--sample", "-m", "scripted:A", "-m", "openai:gpt-4.1", "--dry-run"
    )
    assert outcome.status == 0, outcome.err
    assert all(len(line) <= columns for line in outcome.out.splitlines()), outcome.out
    assert "No model was called" in outcome.out
    assert "(" in outcome.out
    assert "Struct" not in outcome.out + outcome.err


def test_a_run_of_single_items_is_separate_from_the_complete_run(here: Path) -> None:
    ids = ("--sample-id", "sample-2025-I-3", "--sample-id", "sample-2025-I-6")
    assert evals(*AIME).status == 0
    outcome = evals(*AIME, *ids, "--json")
    (run,) = outcome.json["runs"]
    assert run["expected"] == 2
    assert store.find(Path("results"), run["run"])[0].card.config.sample_ids == (ids[1], ids[3])
    assert "--sample-id is sample-2025-I-3, sample-2025-I-6 and was not set" in outcome.err
    assert evals(*AIME, *ids, "--json").json["runs"][0]["run"] == run["run"]
    evals(*AIME, "--sample-id", "sample-2025-I-33").assert_usage_error()
    evals(*AIME, *ids, "--limit", "1").assert_usage_error()


def test_remote_models_take_the_time_of_the_slowest_and_local_models_the_sum() -> None:
    def row(model: str, hours: float | None, *, in_turn: bool = False) -> Forecast:
        return Forecast(suite="s", protocol="p", model=model, calls=9, hours=hours, in_turn=in_turn)

    remote = [row("a", 1.0), row("a", 2.0), row("b", 2.5)]
    assert hours_side_by_side(remote) == 3.0
    local = [row("c", 2.0, in_turn=True), row("d", 2.5, in_turn=True)]
    assert hours_side_by_side([*remote, *local]) == 4.5
    assert hours_side_by_side([*remote, row("e", None)]) == 3.0


def test_the_total_time_is_printed_only_for_several_models(here: Path) -> None:
    models = ("-m", "demo:careful", "-m", "demo:careless")
    assert evals("run", "mmlu-pro", "--sample", *models).status in (0, 1)
    outcome = evals("run", "mmlu-pro", "--sample", *models, "--fresh", "--dry-run")
    assert "All models together take about 0 s." in outcome.out
    assert (
        "All models together"
        not in evals("run", "mmlu-pro", "--sample", "-m", "demo:careful", "--fresh", "--dry-run").out
    )
