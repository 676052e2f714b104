"""The `evals` command. Subcommands are defined in `evals/commands/` and imported on use."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import click

from evals.commands.groups import Entry, LazyGroup
from evals.errors import EvalsError
from evals.plain import did_you_mean, notice, plain, similar_names, suggestion

COMMANDS = {
    "run": Entry("run:run", "Run benchmarks on models: call, score, keep every reply."),
    "show": Entry("show:show", "Show scores with intervals and coverage, or single samples."),
    "list": Entry("lists:list_", "List suites, models, runs or protocols."),
    "check": Entry("check:check", "Check suites without a model: every gold answer must score full marks."),
    "compare": Entry(
        "compare:compare", "Compare runs sample by sample: differences, changed samples, ranks."
    ),
    "gate": Entry("gate:gate", "Judge a candidate against a baseline under a policy, or plan a gate."),
    "dashboard": Entry("dashboard:dashboard", "Show leaderboard, comparisons and samples in a browser."),
    "score": Entry("score:score", "Score a run's stored replies again; no model is called."),
    "judge": Entry("judge:judge", "Measure how reliable a judge model is."),
    "import": Entry("imports:import_", "Import replies recorded by another tool as a run."),
    "serve": Entry("serve:serve", "Start a model's inference server on this machine, until Ctrl-C."),
    "merge": Entry("merge:merge", "Merge a base and its experts into one checkpoint, following a recipe."),
    "data": Entry("data:data", "Download and verify data sets, or the embedded model's weights."),
    "audit": Entry("audit:audit", "Score a run with another harness's rule too, and list where they differ."),
    "claims": Entry("claims:claims", "List published numbers, check runs against them, reproduce them."),
    "export": Entry("export:export", "Write runs in other formats: tables, leaderboards, other harnesses."),
    "sync": Entry("sync:sync", "Copy finished runs to an object store, for reading from anywhere."),
    "errata": Entry("errata:errata", "List known errors in data sets, and items that look wrong."),
    "bundle": Entry("bundle:bundle", "Pack a run into one file that others can verify."),
    "board": Entry("board:board", "Maintain a leaderboard in a git repository that others submit to."),
    "new": Entry("new:new", "Create a package with a suite or an adapter of your own."),
    "lm-eval": Entry(
        "harness:harness", "Run lm-evaluation-harness itself, with our models as `--model evals`."
    ),
    "doctor": Entry("doctor:doctor", "Show what this machine can run, and what is missing for the rest."),
    # hidden: names from older versions
    "baseline": Entry("baseline:baseline"),
    "noise": Entry("noise:noise"),
    "reproduce": Entry("claims:reproduce"),
    "verify": Entry("verify:verify"),
}
"""The commands in the order of a typical workflow."""
MAX_MESSAGE = 1200
"""Maximum length of an error message; the middle of longer ones is omitted."""


class Evals(LazyGroup):
    """The top-level command."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a subcommand; a closed pipe (`evals show | head`) is not an error."""
        try:
            status = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        return status


@click.command(cls=Evals, entries=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="science-evals", prog_name="evals")
def cli() -> None:
    """Evaluate scientific foundation models: numbers that can be defended.

    \b
    evals run mmlu-pro gpqa aime --sample -m smollm2      try it
    evals run gpqa -m server:http://127.0.0.1:8000/v1#intern-s1
    evals show                                            all runs and their scores
    """


def main() -> None:
    """Run the command line; the user's mistakes are reported in one line, with exit status 2."""
    # Arrow's own pool keeps freed memory: 190 MB instead of 120 for a run of 12,000 records
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    _replace_closed_streams()
    for argument in sys.argv[1:]:
        if not _is_utf8(argument):
            sys.exit(_report_error(f"an argument is not UTF-8: {argument}"))
    try:
        status = cli.main(prog_name="evals", standalone_mode=False)
    except click.exceptions.Exit as stop:
        status = stop.exit_code
    except click.exceptions.NoArgsIsHelpError as error:  # `evals` or `evals claims` alone
        click.echo(error.format_message(), err=True)
        status = 2
    except click.NoSuchOption as error:
        similar = similar_names(error.option_name, _long_options(error.ctx))
        hint = f"; {did_you_mean(similar)}" if similar else ""
        status = _report_error(f"{error.message.rstrip('.')}{hint}{_help_hint(error)}")
    except click.ClickException as error:
        status = _report_error(f"{_simplify_message(error.format_message())}{_help_hint(error)}")
    except EvalsError as error:
        status = _report_error(str(error))
    except OSError as error:
        location = f" ({error.filename})" if error.filename else ""
        cause = error.strerror or error
        if isinstance(error, FileNotFoundError) and not location and not Path().exists():
            cause = "the current folder no longer exists"
        status = _report_error(f"cannot read or write: {cause}{location}")
    except (KeyboardInterrupt, click.Abort):
        status = 130
    sys.exit(status if isinstance(status, int) else 0)


def _replace_closed_streams() -> None:
    """Replace closed output streams (`evals show >&-`), which are None, with the null device.

    The null device also takes their file descriptors; otherwise a record file could get one, and messages would be written into it.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))


def _is_utf8(argument: str) -> bool:
    """Return whether an argument is valid UTF-8; other bytes arrive as unpaired surrogates, which cannot be stored."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


_SIMPLIFICATIONS = (
    (r"is not a valid float(?: range)?\b", "is not a number"),
    (r"is not a valid integer(?: range)?\b", "is not a whole number"),
    (r"(\S+) is not in the range x>=(\S+?)\.$", r"must be at least \2, got \1"),
    (r"(\S+) is not in the range x>(\S+?)\.$", r"must be above \2, got \1"),
    (r"(\S+) is not in the range (\S+?)<=x<=(\S+?)\.$", r"must be from \2 to \3, got \1"),
    (r"Missing argument '\{.*\}'\. Choose from:\s*", "name one of "),
    (r"Invalid value for '\{.*\}': ", ""),
)
"""Patterns in click's messages -> wording without Python terms."""
_INVALID_CHOICE = re.compile(r"'(?P<value>[^']*)' is not one of (?P<known>'.*')\.$", re.DOTALL)


def _simplify_message(message: str) -> str:
    """Return click's message without Python terms, and with close matches for an invalid choice."""
    for pattern, replacement in _SIMPLIFICATIONS:
        message = re.sub(pattern, replacement, message)
    if match := _INVALID_CHOICE.search(message):
        choices = re.findall(r"'([^']*)'", match["known"])
        message = (
            f"{message[: match.start()]}unknown {match['value']!r}; {suggestion(match['value'], choices)}"
        )
    return message.rstrip(".")


def _long_options(context: click.Context | None) -> list[str]:
    parameters = context.command.params if context else []
    return [option for parameter in parameters for option in parameter.opts if option.startswith("--")]


def _help_hint(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f" (see {context.command_path.rstrip()} --help)" if context else ""


def _report_error(message: str) -> int:
    line = " ".join(plain(message).split())
    if len(line) > MAX_MESSAGE:  # a library may quote half of a broken file
        line = f"{line[: MAX_MESSAGE - 300]} ... {line[-300:]}"
    notice(f"evals: {line}")
    return 2


if __name__ == "__main__":
    main()
