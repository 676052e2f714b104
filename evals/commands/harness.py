"""`evals lm-eval`: the command line of lm-evaluation-harness with our models."""

from __future__ import annotations

import sys
from unittest import mock

import click

from evals.commands.common import say
from evals.errors import UsageError


@click.command("lm-eval", context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="LM_EVAL ARGUMENTS...")
@click.pass_context
def harness(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Run lm-evaluation-harness itself, with our models as `--model evals`.

    \b
    evals lm-eval run --tasks gsm8k --apply_chat_template --model evals \\
        --model_args model=server:http://gpu7:8000/v1#intern-s1,concurrency=64

    This combines the tasks and metrics of lm-evaluation-harness with our adapters, rate limits and retries. The reverse is
    `evals run lm-eval:gsm8k`. --help also shows lm-eval's own help, if lm-eval is installed.
    """
    from evals.interop.harness import register

    wants_help = not arguments or {"-h", "--help"} & set(arguments)
    if wants_help:
        click.echo(f"{context.get_help()}\n")
    try:
        register()
    except UsageError as error:
        if not wants_help:
            raise
        say(str(error))
        return
    from lm_eval.__main__ import cli_evaluate

    with mock.patch.object(sys, "argv", ["evals lm-eval", *arguments]):
        try:
            cli_evaluate()
        except ValueError as error:  # raised by lm-eval for invalid options and tasks
            raise UsageError(f"lm-eval: {error}") from None
