"""The request: what it accepts, in a file and from a call, and that the command line is made from it."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from evals.commands.run import run
from evals.errors import UsageError
from evals.run.request import changed_options, make_request, options, read_request
from tests.support.command import evals


def test_every_option_of_the_command_is_one_of_the_request() -> None:
    flags = {one.name for one in run.params if isinstance(one, click.Option)}
    assert flags - {"quiet", "as_json", "help_all", "trust_tasks"} == set(options()) - {"suites"}


def test_the_help_shows_at_most_25_options_and_all_where_asked() -> None:
    common, everything = evals("run", "--help").out, evals("run", "--help-all").out
    assert sum(line.startswith("  -") for line in common.splitlines()) <= 25
    assert all(one.flag in everything for one in options().values() if one.name not in ("suites", "models"))
    assert "--replicas" not in common
    assert "What to run:" in common


def test_a_file_takes_hyphens_and_underscores_alike(tmp_path: Path) -> None:
    path = tmp_path / "nightly.toml"
    path.write_text('\ufeffsuites = ["gpqa"]\nmodels = "smollm2"\nmax-tokens = 5\ntop_p = 1\ndata = "x"\n')
    found = read_request(path)
    assert changed_options(found) == {
        "suites": ["gpqa"], "models": ["smollm2"], "max_tokens": 5, "top_p": 1.0, "data": Path("x")
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"limit": 0}, "--limit must be above 0, got 0"),
        ({"limit": True}, "--limit must be a whole number, got True"),
        ({"temperature": float("nan")}, "--temperature must be from 0 to 10, got nan"),
        ({"max_cost": float("inf")}, "--max-cost must be above 0, got inf"),
        ({"top-p": 1.5}, "--top-p must be above 0 and at most 1, got 1.5"),
        ({"gpus": -1}, "--gpus must be 0 or more, got -1"),
        ({"repeat": 3}, "did you mean repeats"),
    ],
)
def test_what_is_out_of_bounds_is_named(given: dict[str, object], line: str) -> None:
    with pytest.raises(UsageError, match=line):
        make_request(given)


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "nightly.toml"
    path.write_text('suites = ["mmlu-pro"]\nmodels = ["scripted:A"]\nsample = true\nlimit = 3\n')
    found = evals("run", path, "--limit", 5, "--results", tmp_path / "r", "--json").json["runs"]
    assert [run["expected"] for run in found] == [5]


def test_a_run_of_the_repeatability_report_is_not_reused(tmp_path: Path) -> None:
    results = ("--sample", "--results", tmp_path / "r")
    done = evals("gate", "noise", "demo:careful", "mmlu-pro", *results)
    assert done.status == 0, done.err
    words = ("run", "mmlu-pro", "-m", "demo:careful", "--json", *results)
    run = evals(*words).json["runs"][0]["run"]
    assert not run.startswith("noise-")
    assert evals(*words).json["runs"][0]["run"] == run


def test_a_finished_run_is_said_to_be_reused_and_fresh_asks_again(tmp_path: Path) -> None:
    words = ("run", "mmlu-pro", "--sample", "-m", "scripted:ANSWER: A", "--results", tmp_path, "--json")
    first = evals(*words).json["runs"][0]["run"]
    again = evals(*words)
    assert again.json["runs"][0]["run"] == first
    assert "it is reused without any call (--fresh starts a new run)" in again.err
    assert evals(*words, "--fresh").json["runs"][0]["run"] != first
