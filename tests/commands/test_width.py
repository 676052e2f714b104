"""Output of all commands on forty runs at four terminal widths: no overlong lines, broken words or Python reprs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from evals.cli import cli
from evals.commands.groups import LazyGroup
from evals.records import store
from evals.terminal.layout import text_width
from tests.support import boards, many_runs
from tests.support.command import Outcome, evals
from tests.support.tables import table

POLICY = """
alpha = 0.05
coverage = 0.5

[[suite]]
name = "mmlu-pro"
protocol = "strict"
margin = 0.02
"""
PYTHON = re.compile(
    r"Struct\(|\b[A-Z]\w*\([^)]*=|\w\(\w*\)@\d|<[\w.]+ object|\bNone\b|\bTrue\b|\bFalse\b|frozenset|datetime\."
)
"""Python reprs, which must not appear in output."""
CARD = """model = "acme/other"
revision = "v2"
weights = "open"
licence = "apache-2.0"
training_data = "no benchmark"
contact = "mail@example.org"
"""
RECORD = json.dumps(
    {
        "schema_version": "0.3.0",
        "source_metadata": {"source_organization_name": "TIGER-Lab"},
        "model_info": {"name": "yi-1.5-34b-chat"},
        "evaluation_results": [
            {
                "evaluation_name": "mmlu_pro/overall",
                "metric_config": {"lower_is_better": False, "metric_unit": "proportion"},
                "score_details": {"score": 0.5229},
            }
        ],
    }
)
"""A record of Every Eval Ever."""
WIDTHS = (60, 80, 120, 200)


class Folder(NamedTuple):
    """Files and runs that the commands are given."""

    results: Path
    policy: Path
    replies: Path
    bundle: Path
    board: Path
    """A board with a submission that it refuses."""
    bundled: Path
    """The results folder of the bundle's run."""
    runs: list[str]
    """Ids of complete runs of MMLU-Pro under one protocol."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    root = tmp_path_factory.mktemp("w")
    cards = many_runs.build(root / "r")
    policy = root / "p.toml"
    policy.write_text(POLICY)
    runs = [
        card.run for card in cards
        if (card.config.suite, card.config.protocol) == ("mmlu-pro", "strict") and card.complete and card.data == "hub"
    ]  # fmt: skip
    assert len(cards) >= 40
    replies = root / "theirs.jsonl"
    replies.write_text('{"id": "900001", "text": "ANSWER: D"}\n')
    bundle = root / "run.zip"
    arguments = (
        "run",
        "mmlu-pro",
        "--sample",
        "-m",
        "scripted:A",
        "--quiet",
        "--results",
        root / "b",
        "--run",
        "b",
    )
    assert evals(*arguments).status == 0
    assert evals("bundle", "b", bundle, "--results", root / "b").status == 0
    boards.write_board(root / "board")
    boards.submit(root / "board", store.find_one(root / "b", "b"))
    (root / "board" / "card.toml").write_text(CARD)
    (root / "eee").mkdir()
    (root / "eee" / "record.json").write_text(RECORD)
    return Folder(root / "r", policy, replies, bundle, root / "board", root / "b", runs)


WITH_RESULTS = {
    "show": "show",
    "show --runs": "show --runs",
    "show sorted": "show --sort score --suite mmlu-pro",
    "show --pivot": "show --pivot",
    "show RUN": "show {a}",
    "show --by": "show {a} --by group",
    "show --samples": "show {a} --samples",
    "show --sample": "show {a} --sample sample-003 --reasoning",
    "show --next": "show {a} --next not-right",
    "list runs": "list runs",
    "compare": "compare {a} {b}",
    "compare --by": "compare {a} {b} --by group",
    "compare many": "compare {a} {b} {c}",
    "gate": "gate {b} --baseline {a} --policy {policy}",
    "gate plan": "gate plan {policy} --baseline {a} --simulations 100",
    "gate baseline": "gate baseline {a} {out}.jsonl",
    "gate noise": "gate noise --from {a} --from {c}",
    "score": "score {a}",
    "audit": "audit {a} --with lm-eval",
    "compare --metrics": "compare {a} {b} --metrics",
    "bundle": "bundle {a} {out}.zip",
    "errata suggest": "errata suggest {a} {b} {c}",
    "claims list": "claims list",
    "claims show": "claims show intern-s1/mmlu-pro",
    "claims check": "claims check {a} --model Intern-S1",
    "export": "export csv {a} {b} --out {out}",
}
"""Commands that read the folder of runs: they are given `--results`."""
WITHOUT_RESULTS = {
    "list suites": "list suites",
    "list models": "list models",
    "list protocols": "list protocols",
    "errata list": "errata list",
    "doctor": "doctor",
    "check": "check mmlu-pro --sample",
    "claims check --grid": "claims check --grid --suite sgi-bench",
    "gate promise": "gate promise {policy} {out}.json --sample",
    "new": "new suite wide-rivers --out {out}",
    "run": "run mmlu-pro gpqa --sample -m scripted:A --results {out}",
    "run --dry-run": "run mmlu-pro gpqa --sample -m scripted:A -m openai:gpt-4.1 --dry-run --results {out}",
    "import": "import replies {replies} --suite mmlu-pro --model theirs --sample --results {out}",
    "bundle verify": "bundle verify {bundle}",
    "merge": "merge --methods",
    "board init": "board init {out} mmlu-pro aime",
    "board submit": "board submit b --to {board} --model-card {board}/card.toml --results {board}/../b",
    "board ingest": "board ingest {board} --check",
    "claims import": "claims import every-eval-ever {board}/../eee --results {out}",
    "sync": "sync {bundled} file://{out}",
    "board rerun": "board rerun {board} acme-tiny@v1 b --results {board}/../b",
    "board challenge": "board challenge {bundle} -m demo:careful --to {out}",
    "board site": "board site {board}/../r --out {out}",
}
CURRENT_NAMES = {"gate judge": "gate", "bundle pack": "bundle", "baseline": "gate baseline", "baseline save": "gate baseline",
              "noise": "gate noise", "verify": "bundle verify", "reproduce": "claims reproduce"}  # fmt: skip
"""Old names of commands, and full names of default subcommands -> the names under which they are tested."""
UNTESTED = {
    "board",
    "gate schema",
    "dashboard",
    "serve",
    "data",
    "judge",
    "judge calibrate",
    "claims",
    "claims reproduce",
    "errata",
}
"""Groups, commands that print only JSON, and those that need a browser, an engine, the network or a judge."""


def commands(group: LazyGroup, *parents: str) -> list[str]:
    """Return the names of all commands and subcommands except `lm-eval`, which passes its options on."""
    names = []
    for name, command in ((name, group.get_command(click.Context(group), name)) for name in group.entries):
        names.append(" ".join([*parents, name]))
        if isinstance(command, LazyGroup):
            names += commands(command, *parents, name)
    return [name for name in names if name != "lm-eval"]


def check_width(outcome: Outcome, columns: int) -> None:
    """Assert that a command ended properly and that its output fits the width."""
    assert outcome.status in (0, 1, 2, 3), outcome.err
    assert outcome.out or outcome.status
    assert "Traceback" not in outcome.err
    for line in outcome.out.splitlines():
        is_long_word = len(line.split()) == 1  # a word longer than the width has a line to itself
        assert text_width(line) <= columns or is_long_word, line
        assert not PYTHON.search(line), line


def words_of(outcome: Outcome) -> set[str]:
    """Return the words of the output, without horizontal rules."""
    return {word for line in outcome.out.splitlines() for word in line.split() if not set(word) <= {"─"}}


@pytest.mark.parametrize(
    "columns",
    [
        60,
        *(pytest.param(columns, marks=pytest.mark.slow) for columns in WIDTHS if columns != 60),
    ],
)
@pytest.mark.parametrize("name", [*WITH_RESULTS, *WITHOUT_RESULTS])
def test_output_fits_the_terminal(folder: Folder, tmp_path: Path, name: str, columns: int) -> None:
    line = WITH_RESULTS.get(name) or WITHOUT_RESULTS[name]
    a, b, c = folder.runs[:3]
    files = {
        "policy": folder.policy,
        "replies": folder.replies,
        "bundle": folder.bundle,
        "board": folder.board,
        "bundled": folder.bundled,
        "out": tmp_path / "o",
    }
    arguments = line.format(a=a, b=b, c=c, **files).split()
    options = ("--results", folder.results) if name in WITH_RESULTS else ()
    check_width(evals(*arguments, *options, env={"COLUMNS": str(columns)}), columns)


def test_the_width_of_every_command_is_tested() -> None:
    tested = {line.partition(" {")[0] for line in (*WITH_RESULTS.values(), *WITHOUT_RESULTS.values())}
    for command in {CURRENT_NAMES.get(name, name) for name in commands(cli)} - UNTESTED:
        assert any(line == command or line.startswith(f"{command} ") for line in tested), command


@table("columns", WIDTHS)
@table("command", commands(cli))
def test_help_fits_the_terminal(command: str, columns: int) -> None:
    check_width(evals(*command.split(), "--help", env={"COLUMNS": str(columns)}), columns)


@pytest.mark.parametrize("line", ["show --runs", "show --pivot", "list runs", "compare {a} {b}"])
def test_narrow_tables_do_not_break_words(folder: Folder, line: str) -> None:
    a, b, _ = folder.runs[:3]
    arguments = [*line.format(a=a, b=b).split(), "--results", folder.results]
    known = words_of(evals(*arguments))
    known |= {part for word in known for part in (f"{word}:", *word.split(" "))}
    for columns in WIDTHS:
        unknown = words_of(evals(*arguments, env={"COLUMNS": str(columns)})) - known
        for word in unknown:  # narrow tables have letters for marks, shorter headings and shorter dates
            is_part = any(word != whole and whole.startswith(word) and len(word) > 5 for whole in known)
            assert not is_part, word


def test_piped_output_without_columns_has_a_line_per_run(folder: Folder) -> None:
    lines = evals("show", "--runs", "--results", folder.results).out.splitlines()
    models = [line for line in lines if any(model in line for model in many_runs.MODELS)]
    assert len(models) == len(evals("show", "--json", "--results", folder.results).json["runs"])
