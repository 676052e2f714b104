"""The commands in README, CONTRIBUTING and docs/ exist with their options; those that can run on this machine succeed."""

from __future__ import annotations

import importlib
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from evals.cli import cli
from evals.records import mirror
from tests.support.command import evals
from tests.support.faults import FaultyServer, completion
from tests.support.paths import ROOT
from tests.support.tables import table

PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
)
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(evals [^`\n]+)`")


class DocumentedCommand(NamedTuple):
    """A command as printed on a page."""

    page: str
    arguments: tuple[str, ...]
    is_complete: bool
    """Whether it comes from a code block; a command in a sentence may lack arguments."""

    def __str__(self) -> str:
        return f"{self.page}: evals {shlex.join(self.arguments)}"


def printed_commands(page: str) -> Iterator[DocumentedCommand]:
    """Yield the commands on a page, those in code blocks first."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = [block for language, block in FENCED.findall(text) if language in ("", "sh")]
    for block in blocks:
        for line in block.replace("\\\n", " ").splitlines():
            for part in line.split("&&"):
                arguments = shlex.split(re.sub(r"(^|\s)#.*", "", part))
                while arguments and re.match(r"[A-Z_]+=", arguments[0]):
                    arguments = arguments[1:]
                if arguments and arguments[0] == "evals":
                    yield DocumentedCommand(page, tuple(arguments[1:]), is_complete=True)
    for line in INLINE.findall(FENCED.sub("", text)):
        yield DocumentedCommand(page, tuple(shlex.split(line)[1:]), is_complete=False)


COMMANDS = [command for page in PAGES for command in printed_commands(page)]


def test_commands_are_found_on_the_pages() -> None:
    assert len(COMMANDS) > 120
    assert {command.page for command in COMMANDS} >= {"README.md", "docs/terminal.md", "docs/verdicts.md"}


@table("command", COMMANDS, ids=str)
def test_a_documented_command_exists_with_its_options(
    command: DocumentedCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    # no remote address is opened
    monkeypatch.setattr(mirror, "local_folder", lambda address: Path("results"))
    arguments = [word.removesuffix("...").partition("|")[0] for word in command.arguments]
    if arguments[:1] in (["COMMAND"], ["lm-eval"]):  # lm_eval has its own options
        return
    try:
        context = cli.make_context("evals", arguments)
        while isinstance(group := context.command, click.Group):
            name, subcommand, rest = group.resolve_command(context, [*context._protected_args, *context.args])
            assert subcommand is not None
            context = subcommand.make_context(name, rest, parent=context)
    except (click.MissingParameter, click.exceptions.NoArgsIsHelpError):
        assert not command.is_complete
    except click.BadOptionUsage:
        assert command.arguments == ("run", "-m")
    except click.exceptions.Exit:  # --help
        assert "--help" in command.arguments


def test_the_scorers_in_the_documentation_exist_with_their_options() -> None:
    rows = re.findall(
        r"^\| `(\w+)\.(\w+)` \|[^|]*\|([^|]*)\|$", (ROOT / "docs" / "suites.md").read_text(), re.MULTILINE
    )
    assert len(rows) > 10
    for module, name, options in rows:
        scorer = getattr(importlib.import_module(f"evals.scorers.{module}"), name)
        assert set(re.findall(r"`(\w+)`", options)) <= set(getattr(scorer, "__struct_fields__", ())), name


# --- commands that run on this machine ----------------------------------------------------------------------

POLICY = '[[suite]]\nname = "mmlu-pro"\nmargin = 0.3\n'
CARD = """model = "acme/careful"
revision = "v1"
weights = "open"
licence = "apache-2.0"
training_data = "no benchmark"
contact = "mail@example.org"
"""
CARELESS, CAREFUL, AGAIN = "careless/mmlu-pro", "careful/mmlu-pro", "again/mmlu-pro"
PLACEHOLDERS = {
    "RUN": CAREFUL, "RUN...": CAREFUL, "RUN_A": CARELESS, "RUN_B": CAREFUL, "A": CARELESS, "B": CAREFUL, "C": AGAIN,
    "CANDIDATE": CARELESS, "RUN1": CAREFUL, "RUN2": AGAIN, "OTHER_MODEL": CARELESS, "REWORDED": AGAIN,
    "EARLIER1": CAREFUL, "EARLIER2": CARELESS, "MODEL": "demo:careful", "NEW": "demo:careless", "DIR": "out",
    "SUITE...": "mmlu-pro", "SUITE": "mmlu-pro", "POLICY.toml": "policy.toml", "FILE": "results/baselines/release.jsonl",
    "lm-eval|csv|parquet|markdown|latex": "csv",
}  # fmt: skip
"""Placeholders on the pages, and the values that replace them here."""
UNAVAILABLE = (
    "hf:", "vllm:", "--cluster", "lm-eval:", "audit", "serve", "dashboard", "import", "reproduce", "mmmu", "opencompass",
    "smollm2", "data", "calibrate", "hub", "s3://", "mlflow", "postgres", "every-eval-ever", "lm-eval", "JUDGE", "--judge", "o3", "--control", "rivers", "tokens:", "five.toml", "timm:", "petl:", "mergebench",
)  # fmt: skip
"""Beginnings of arguments for which a command needs data, services or hardware that tests lack; other tests run most of them."""
RUNNABLE = [
    command for command in COMMANDS
    if command.is_complete and not any(word.startswith(UNAVAILABLE) for word in command.arguments) and "SUITE..." not in command.arguments
]  # fmt: skip
EXIT_STATUSES = {"gate": (0, 1, 3), "claims": (0, 1, 3), "board": (0, 1)}
"""Exit statuses of commands that return a verdict."""


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted({command.page for command in RUNNABLE}))
def test_the_commands_of_a_page_succeed_in_order(
    here: Path, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They run in an empty folder, on sample items instead of whole benchmarks and with a mock server."""
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    Path("policy.toml").write_text(POLICY)
    Path("card.toml").write_text(CARD)
    Path("nightly.toml").write_text('suites = ["mmlu-pro"]\nmodels = ["demo:careful"]\nsample = true\n')
    Path("sweep.toml").write_text(
        '[[sweep]]\nsuites = ["mmlu-pro"]\nprotocols = ["strict", "official"]\nmodels = ["demo:careful"]\n'
    )
    if page != "README.md":  # whose commands create their runs
        for name, model in {
            "careful": "careful",
            "careless": "careless",
            "again": "careful",
            "week1": "careful",
        }.items():
            arguments = (
                "run",
                "mmlu-pro",
                "gpqa",
                "--sample",
                "-m",
                f"demo:{model}",
                "--run",
                name,
                "--quiet",
            )
            assert evals(*arguments).status == 0
        assert evals("gate", "baseline", CAREFUL, "results/baselines/release.jsonl").status == 0
    with FaultyServer(lambda call: completion("ANSWER: A"), serves=("intern-s1",)) as server:
        address = f"http://127.0.0.1:{server.port}/v1"
        monkeypatch.setenv("OPENAI_BASE_URL", address)
        for command in (command for command in RUNNABLE if command.page == page):
            arguments = [PLACEHOLDERS.get(word, word) for word in command.arguments]
            arguments = [re.sub(r"http://(?:gpu7|127\.0\.0\.1):8000/v1", address, word) for word in arguments]
            if arguments[0] == "run" and "nightly.toml" not in arguments:
                arguments += ["--quiet"] if "--sample" in arguments else ["--quiet", "--sample"]
            arguments += ["--sample"] if arguments[:2] == ["gate", "promise"] else []
            outcome = evals(*arguments)
            allowed = EXIT_STATUSES.get(arguments[0], (0,))
            assert outcome.status in allowed, (str(command), arguments, outcome.err)
            assert json.loads(outcome.out) if "--json" in arguments else outcome.out, str(command)
