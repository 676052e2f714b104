"""Requests: the options that a file, a call and the command line accept, and their bounds."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from evals.commands.run import run
from evals.errors import UsageError
from evals.run.model_run import ModelRun
from evals.run.request import changed_options, make_request, options, read_request
from tests.support.command import evals
from tests.support.error_messages import raises


def test_the_command_has_the_options_of_a_request() -> None:
    flags = {option.name for option in run.params if isinstance(option, click.Option)}
    assert flags - {"quiet", "as_json", "help_all", "trust_tasks"} == set(options()) - {"suites"}


def test_the_help_lists_at_most_25_options_and_help_all_lists_all() -> None:
    common_help, full_help = evals("run", "--help").out, evals("run", "--help-all").out
    assert sum(line.startswith("  -") for line in common_help.splitlines()) <= 25
    assert all(
        option.flag in full_help for option in options().values() if option.name not in ("suites", "models")
    )
    assert "--replicas" not in common_help
    assert "What to run:" in common_help


def test_keys_of_a_file_may_have_hyphens_or_underscores(tmp_path: Path) -> None:
    path = tmp_path / "nightly.toml"
    path.write_text('\ufeffsuites = ["gpqa"]\nmodels = "smollm2"\nmax-tokens = 5\ntop_p = 1\ndata = "x"\n')
    request = read_request(path)
    assert changed_options(request) == {
        "suites": ["gpqa"], "models": ["smollm2"], "max_tokens": 5, "top_p": 1.0, "data": Path("x")
    }  # fmt: skip


@pytest.mark.parametrize(
    "values",
    [
        {"limit": 0},
        {"limit": True},
        {"temperature": float("nan")},
        {"max_cost": float("inf")},
        {"top-p": 1.5},
        {"gpus": -1},
        {"repeat": 3},
    ],
    ids=lambda values: " ".join(f"{name}={value}" for name, value in values.items()),
)
def test_invalid_values_and_unknown_keys_are_rejected(values: dict[str, object]) -> None:
    with raises(UsageError):
        make_request(values)


def test_the_command_line_takes_precedence_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "nightly.toml"
    path.write_text('suites = ["mmlu-pro"]\nmodels = ["scripted:A"]\nsample = true\nlimit = 3\n')
    cards = evals("run", path, "--limit", 5, "--results", tmp_path / "r", "--json").json["runs"]
    assert [card["expected"] for card in cards] == [5]


def test_a_run_of_the_repeatability_report_is_not_reused(tmp_path: Path) -> None:
    results = ("--sample", "--results", tmp_path / "r")
    outcome = evals("gate", "noise", "demo:careful", "mmlu-pro", *results)
    assert outcome.status == 0, outcome.err
    arguments = ("run", "mmlu-pro", "-m", "demo:careful", "--json", *results)
    name = evals(*arguments).json["runs"][0]["run"]
    assert not name.startswith("noise-")
    assert evals(*arguments).json["runs"][0]["run"] == name


def test_a_finished_run_is_reused_with_a_note_and_fresh_starts_a_new_one(tmp_path: Path) -> None:
    arguments = ("run", "mmlu-pro", "--sample", "-m", "scripted:ANSWER: A", "--results", tmp_path, "--json")
    name = evals(*arguments).json["runs"][0]["run"]
    repeated = evals(*arguments)
    assert repeated.json["runs"][0]["run"] == name
    assert "it is reused without any call (--fresh starts a new run)" in repeated.err
    assert evals(*arguments, "--fresh").json["runs"][0]["run"] != name


def test_a_finished_run_stays_finished_if_the_command_that_reuses_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("run", "mmlu-pro", "--sample", "-m", "scripted:ANSWER: A", "--results", tmp_path)
    evals(*arguments)
    [card] = tmp_path.glob("*/*/*/card.json")
    before = card.read_bytes()
    # stands for a kill, a full disk or a failing second model between opening the run and finishing it
    monkeypatch.setattr(ModelRun, "_set_up", lambda self: make_request({"limit": 0}))
    evals(*arguments).assert_usage_error()
    assert card.read_bytes() == before
