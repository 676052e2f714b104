"""`evals run --dry-run`: figures that hold, and nothing asked or written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evals.records import store
from evals.run.dry_run import Forecast, hours_together
from tests.support.command import evals
from tests.support.faults import FaultyServer, completion

AIME = ("run", "aime:2025", "--sample", "-m", "scripted:ANSWER: 1")


def dry(*words: object) -> list[dict[str, Any]]:
    done = evals(*words, "--dry-run", "--json")
    assert done.status in (0, 2), done.err
    rows: list[dict[str, Any]] = done.json["dry_run"]
    return rows


def test_nothing_is_asked_and_nothing_is_written(here: Path) -> None:
    with FaultyServer(lambda call: completion("ANSWER: A")) as server:
        (one,) = dry("run", "mathvision", "--sample", "-m", server.model, "--price", "1,10")
        assert server.calls == []
    assert list(here.iterdir()) == []
    assert (one["items"], one["calls"], one["done"], one["run"]) == (one["total"], one["items"], 0, "")
    assert one["bound"]
    assert one["output_tokens"] == one["calls"] * 32_768
    assert one["cost_usd"] == pytest.approx((one["input_tokens"] + 10 * one["output_tokens"]) / 1e6)
    assert one["hours"] is None


def test_an_earlier_run_of_the_model_tells_tokens_and_what_is_reused(here: Path) -> None:
    assert evals(*AIME).status == 0
    (whole,) = dry(*AIME)
    assert (whole["calls"], whole["done"]) == (0, whole["items"])
    assert whole["run"]
    (again,) = dry(*AIME, "--fresh", "--concurrency", "4")
    assert (again["calls"], again["run"], again["at_once"]) == (again["items"], "", 4)
    assert (again["output_tokens"], again["bound"]) == (2 * again["items"], False)
    assert again["hours"] is not None
    (other,) = dry("run", "aime:2025", "--sample", "-m", "scripted:list=x.json")
    assert other["bound"]  # another model's replies tell nothing of this one's
    assert "x.json" in other["fault"]


def test_published_numbers_are_named_with_their_protocol(here: Path) -> None:
    (one,) = dry("run", "aime:2025", "--sample", "-m", "intern:intern-s1")
    assert "INTERN_API_KEY" in one["fault"]
    assert {claim["protocol"] for claim in one["published"]} >= {"intern-s1"}
    assert all(claim["same_protocol"] == (claim["protocol"] == one["protocol"]) for claim in one["published"])


def test_a_run_says_that_its_protocol_has_no_published_numbers(here: Path) -> None:
    rows = [{"id": i, "problem": "1 + 1?", "answer": "2"} for i in range(1, 31)]
    Path("aime.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ("run", "aime:2025", "--data", "aime.jsonl", "-m", "scripted:2", "--quiet", "--max-tokens", "9")
    line = "aime:2025: no published numbers under strict; published under intern-s1 (--protocol)"
    assert line in evals(*words).out
    assert "no published number" not in evals(*words, "--protocol", "intern-s1~", "--json").out
    assert "no published number" not in evals(*AIME).out  # sample items compare with nothing anyway


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_the_table_fits(here: Path, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    done = evals("run", "gpqa", "aime", "--sample", "-m", "scripted:A", "-m", "openai:gpt-4.1", "--dry-run")
    assert done.status == 0, done.err
    assert all(len(line) <= columns for line in done.out.splitlines()), done.out
    assert "No model was called" in done.out
    assert "(" in done.out
    assert "Struct" not in done.out + done.err


def test_single_items_are_a_run_of_their_own(here: Path) -> None:
    ids = ("--sample-id", "sample-2025-I-3", "--sample-id", "sample-2025-I-6")
    assert evals(*AIME).status == 0
    done = evals(*AIME, *ids, "--json")
    (run,) = done.json["runs"]
    assert run["expected"] == 2
    assert store.find(Path("results"), run["run"])[0].card.config.sample_ids == (ids[1], ids[3])
    assert "--sample-id is sample-2025-I-3, sample-2025-I-6 and was not set" in done.err
    assert evals(*AIME, *ids, "--json").json["runs"][0]["run"] == run["run"]
    assert "did you mean" in evals(*AIME, "--sample-id", "sample-2025-I-33").error_line
    assert "cannot be combined" in evals(*AIME, *ids, "--limit", "1").error_line


def test_the_time_of_all_models_is_that_of_the_slowest_or_the_sum_of_those_that_take_turns() -> None:
    def row(model: str, hours: float | None, *, in_turn: bool = False) -> Forecast:
        return Forecast(suite="s", protocol="p", model=model, calls=9, hours=hours, in_turn=in_turn)

    elsewhere = [row("a", 1.0), row("a", 2.0), row("b", 2.5)]
    assert hours_together(elsewhere) == 3.0
    here = [row("c", 2.0, in_turn=True), row("d", 2.5, in_turn=True)]
    assert hours_together([*elsewhere, *here]) == 4.5
    assert hours_together([*elsewhere, row("e", None)]) == 3.0


def test_one_line_states_the_time_of_several_models(here: Path) -> None:
    models = ("-m", "demo:careful", "-m", "demo:careless")
    assert evals("run", "mmlu-pro", "--sample", *models).status in (0, 1)
    done = evals("run", "mmlu-pro", "--sample", *models, "--fresh", "--dry-run")
    assert "All models together take about 0 s." in done.out
    assert (
        "All models together"
        not in evals("run", "mmlu-pro", "--sample", "-m", "demo:careful", "--fresh", "--dry-run").out
    )
