"""Every command in README, CONTRIBUTING and docs/ is one that this program takes; those that this machine can run, run."""

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


class Printed(NamedTuple):
    """A command as a page prints it."""

    page: str
    words: tuple[str, ...]
    whole: bool
    """Whether it can be typed as it stands; a mention in a sentence may lack its arguments."""

    def __str__(self) -> str:
        return f"{self.page}: evals {shlex.join(self.words)}"


def printed(page: str) -> Iterator[Printed]:
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = [block for language, block in FENCED.findall(text) if language in ("", "sh")]
    for block in blocks:
        for line in block.replace("\\\n", " ").splitlines():
            for part in line.split("&&"):
                words = shlex.split(re.sub(r"(^|\s)#.*", "", part))
                while words and re.match(r"[A-Z_]+=", words[0]):
                    words = words[1:]
                if words and words[0] == "evals":
                    yield Printed(page, tuple(words[1:]), True)
    for line in INLINE.findall(FENCED.sub("", text)):
        yield Printed(page, tuple(shlex.split(line)[1:]), False)


COMMANDS = [command for page in PAGES for command in printed(page)]


def test_the_pages_print_commands() -> None:
    assert len(COMMANDS) > 120
    assert {command.page for command in COMMANDS} >= {"README.md", "docs/terminal.md", "docs/verdicts.md"}


@table("command", COMMANDS, ids=str)
def test_a_command_is_known_with_its_options(command: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "local_folder", lambda address: Path("results"))  # addresses are not opened
    words = [word.removesuffix("...").partition("|")[0] for word in command.words]
    if words[:1] in (["COMMAND"], ["lm-eval"]):  # lm_eval has its own options
        return
    try:
        context = cli.make_context("evals", words)
        while isinstance(group := context.command, click.Group):
            name, found, rest = group.resolve_command(context, [*context._protected_args, *context.args])
            assert found is not None
            context = found.make_context(name, rest, parent=context)
    except (click.MissingParameter, click.exceptions.NoArgsIsHelpError):
        assert not command.whole
    except click.BadOptionUsage:
        assert command.words == ("run", "-m")
    except click.exceptions.Exit:  # --help
        assert "--help" in command.words


def test_the_scorers_of_the_page_are_there_with_their_options() -> None:
    rows = re.findall(
        r"^\| `(\w+)\.(\w+)` \|[^|]*\|([^|]*)\|$", (ROOT / "docs" / "suites.md").read_text(), re.MULTILINE
    )
    assert len(rows) > 10
    for module, name, options in rows:
        scorer = getattr(importlib.import_module(f"evals.scorers.{module}"), name)
        assert set(re.findall(r"`(\w+)`", options)) <= set(getattr(scorer, "__struct_fields__", ())), name


# --- those that run here ---------------------------------------------------------------------------------------------

POLICY = '[[suite]]\nname = "mmlu-pro"\nmargin = 0.3\n'
CARD = """model = "acme/careful"
revision = "v1"
weights = "open"
licence = "apache-2.0"
training_data = "no benchmark"
contact = "mail@example.org"
"""
CARELESS, CAREFUL, AGAIN = "careless/mmlu-pro", "careful/mmlu-pro", "again/mmlu-pro"
STANDS_FOR = {
    "RUN": CAREFUL, "RUN...": CAREFUL, "RUN_A": CARELESS, "RUN_B": CAREFUL, "A": CARELESS, "B": CAREFUL, "C": AGAIN,
    "CANDIDATE": CARELESS, "RUN1": CAREFUL, "RUN2": AGAIN, "OTHER_MODEL": CARELESS, "REWORDED": AGAIN,
    "EARLIER1": CAREFUL, "EARLIER2": CARELESS, "MODEL": "demo:careful", "NEW": "demo:careless", "DIR": "out",
    "SUITE...": "mmlu-pro", "SUITE": "mmlu-pro", "POLICY.toml": "policy.toml", "FILE": "results/baselines/release.jsonl",
    "lm-eval|csv|parquet|markdown|latex": "csv",
}  # fmt: skip
"""What the pages write in the place of names."""
ELSEWHERE = (
    "hf:", "vllm:", "--cluster", "lm-eval:", "audit", "serve", "dashboard", "import", "reproduce", "mmmu", "opencompass",
    "smollm2", "data", "calibrate", "hub", "s3://", "mlflow", "postgres", "every-eval-ever", "lm-eval", "JUDGE", "--judge", "o3", "--control", "rivers", "tokens:", "five.toml", "timm:", "petl:", "mergebench",
)  # fmt: skip
"""Words of commands that need what is not here; other tests run most of them."""
RUN_HERE = [
    command for command in COMMANDS
    if command.whole and not any(word.startswith(ELSEWHERE) for word in command.words) and "SUITE..." not in command.words
]  # fmt: skip
STATUS = {"gate": (0, 1, 3), "claims": (0, 1, 3), "board": (0, 1)}
"""Exit statuses that are verdicts."""


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted({command.page for command in RUN_HERE}))
def test_the_commands_of_a_page_run_in_their_order(
    here: Path, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From an empty folder, on sample items in the place of the benchmarks and with a server of ours."""
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    Path("policy.toml").write_text(POLICY)
    Path("card.toml").write_text(CARD)
    Path("nightly.toml").write_text('suites = ["mmlu-pro"]\nmodels = ["demo:careful"]\nsample = true\n')
    Path("sweep.toml").write_text(
        '[[sweep]]\nsuites = ["mmlu-pro"]\nprotocols = ["strict", "official"]\nmodels = ["demo:careful"]\n'
    )
    if page != "README.md":  # which makes its runs
        for name, model in {
            "careful": "careful",
            "careless": "careless",
            "again": "careful",
            "week1": "careful",
        }.items():
            run = ("run", "mmlu-pro", "gpqa", "--sample", "-m", f"demo:{model}", "--run", name, "--quiet")
            assert evals(*run).status == 0
        assert evals("gate", "baseline", CAREFUL, "results/baselines/release.jsonl").status == 0
    with FaultyServer(lambda call: completion("ANSWER: A"), serves=("intern-s1",)) as server:
        address = f"http://127.0.0.1:{server.port}/v1"
        monkeypatch.setenv("OPENAI_BASE_URL", address)
        for command in (command for command in RUN_HERE if command.page == page):
            words = [STANDS_FOR.get(word, word) for word in command.words]
            words = [re.sub(r"http://(?:gpu7|127\.0\.0\.1):8000/v1", address, word) for word in words]
            if words[0] == "run" and "nightly.toml" not in words:
                words += ["--quiet"] if "--sample" in words else ["--quiet", "--sample"]
            words += ["--sample"] if words[:2] == ["gate", "promise"] else []
            done = evals(*words)
            assert done.status in STATUS.get(words[0], (0,)), (str(command), words, done.err)
            assert json.loads(done.out) if "--json" in words else done.out, str(command)
