"""The `evals` command. Each subcommand lives in `evals/commands/` and is imported when it is called."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from evals.errors import EvalsError, UnknownName

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMMANDS = {
    "run": ("run:run", "Ask models the items of benchmarks, score the replies and keep everything."),
    "show": ("show:show", "Show scores with their intervals, coverage and verdicts."),
    "list": ("lists:list_", "List suites, models, runs or protocols."),
    "check": ("check:check", "Check suites without a model: every gold answer must score full marks."),
    "compare": (
        "compare:compare",
        "Compare runs sample by sample: differences with intervals, flips, ranks.",
    ),
    "gate": ("gate:gate", "Judge a candidate against a baseline under a policy; or plan such a gate."),
    "baseline": ("baseline:baseline", "Save what a gate needs from a run in a small file to commit."),
    "noise": ("noise:noise", "Measure how much runs of one model differ, and keep a certificate."),
    "dashboard": ("dashboard:dashboard", "Show leaderboard, comparisons and samples in a browser."),
    "score": ("score:score", "Score a run again from what is stored; no model is asked."),
    "judge": ("judge:judge", "Measure how far a judge model can be trusted."),
    "import": ("imports:import_", "Turn replies that somebody else recorded into a run."),
    "serve": ("serve:serve", "Start a model's inference server on this machine, for any tool, until Ctrl-C."),
    "data": ("data:data", "Fetch and verify data sets, or the embedded model's weights."),
    "audit": (
        "audit:audit",
        "Judge a run's replies by another harness's rule too, and list where they differ.",
    ),
    "claims": ("claims:claims", "Look at published numbers, and check runs against them."),
    "reproduce": ("claims:reproduce", "Measure a published number again, and say whether it holds."),
    "export": ("export:export", "Write runs in other formats: tables, leaderboards, other harnesses."),
    "errata": ("errata:errata", "List known errors in data sets, and where to look for more."),
    "bundle": ("bundle:bundle", "Pack a run into one file that anybody can check."),
    "verify": ("verify:verify", "Check a bundle: score everything again, compare every figure."),
    "new": ("new:new", "Write a package with a suite or an adapter of your own."),
    "lm-eval": ("harness:harness", "Run lm-evaluation-harness itself, with our models as `--model evals`."),
    "doctor": ("doctor:doctor", "Say what this machine can run, and what it lacks for the rest."),
}
"""Name -> (module:function below evals.commands, the line that help shows)."""
LONGEST = 1200
"""Characters of a complaint; of a longer one the middle is left out."""


class Lazy(click.Group):
    """A group that imports a subcommand when it is called, and suggests near names."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order of a user's day."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if (
            cmd_name not in COMMANDS and ctx.resilient_parsing
        ):  # a shell completes a line that is not whole yet
            return None
        if cmd_name not in COMMANDS:
            raise UnknownName("command", cmd_name, COMMANDS)
        module, _, function = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(f"evals.commands.{module}"), function)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a command without importing any."""
        from click.shell_completion import CompletionItem

        return [
            CompletionItem(name, help=line)
            for name, (_, line) in COMMANDS.items()
            if name.startswith(incomplete) and incomplete[:1] != "-"
        ]

    def invoke(self, ctx: click.Context) -> Any:
        """Run a subcommand; a reader that has gone (`evals show | head`) is no error."""
        try:
            status = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        return status

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.command(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="science-evals", prog_name="evals")
def cli() -> None:
    """Evaluate scientific foundation models: numbers that can be defended.

    \b
    evals run mmlu-pro gpqa aime --sample -m smollm2      try it
    evals run gpqa -m server:http://127.0.0.1:8000/v1#intern-s1
    evals show                                            what came of it
    """


def main() -> None:
    """Run the command line; a user's mistake is one line and exit status 2."""
    # Arrow's own pool keeps freed memory for itself: 190 MB instead of 120 for a run of 12,000 records
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    try:
        status = cli.main(prog_name="evals", standalone_mode=False)
    except click.exceptions.Exit as stop:
        status = stop.exit_code
    except click.exceptions.NoArgsIsHelpError as error:  # `evals`, `evals claims`: a question, not a mistake
        click.echo(error.format_message(), err=True)
        status = 2
    except click.ClickException as error:
        status = _complain(f"{error.format_message()}{_usage_of(error)}")
    except EvalsError as error:
        status = _complain(str(error))
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        status = _complain(f"cannot read or write: {error.strerror or error}{where}")
    except (KeyboardInterrupt, click.Abort):
        status = 130
    sys.exit(status if isinstance(status, int) else 0)


def _usage_of(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f" (see {context.command_path} --help)" if context else ""


def _complain(message: str) -> int:
    from evals.extract import plain

    said = " ".join(plain(message).split())
    if len(said) > LONGEST:  # a library may quote half of a broken file
        said = f"{said[: LONGEST - 300]} ... {said[-300:]}"
    click.echo(f"evals: {said}", err=True)
    return 2
