"""`evals merge`: create a merged checkpoint from a recipe."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from evals.commands import common
from evals.errors import UsageError
from evals.merging.table import METHODS


@click.command()
@click.argument("recipe", type=common.FILE, metavar="RECIPE.toml", required=False)
@click.option(
    "--out",
    type=common.FOLDER,
    help="Write the checkpoint here; default: the cache, where -m merge:RECIPE.toml finds it.",
)
@click.option("--methods", is_flag=True, help="List the methods with their parameters and exit.")
@click.option(
    "--yes",
    is_flag=True,
    help="Merge even if the base does not seem to be the model the experts were trained from.",
)
@click.option("--trust-remote-code", is_flag=True, help="Run code from the base model's repository.")
def merge(recipe: Path | None, out: Path | None, methods: bool, yes: bool, trust_remote_code: bool) -> None:
    """Merge a base and its experts into one checkpoint according to a recipe (docs/merging.md).

    \b
    evals merge five.toml --out merged/
    evals run mmmu -m merge:five.toml     merges and serves
    """
    if methods:
        _list_methods()
        return
    if recipe is None:
        raise UsageError("expected a recipe or --methods")
    from evals.merging.build import Plan, make

    plan = Plan(recipe, trusted=trust_remote_code)
    folder = make(plan, out=out, accept=yes, log=common.note)
    common.note(plan.summary)
    click.echo(folder)


def _list_methods() -> None:
    for name, method in METHODS.items():
        parameters = [f"{field} = {value}" for field, value in _default_parameters(method.parameters).items()]
        common.say(
            f"{name}: {method.title}; lambda = {method.factor}; {', '.join(parameters) or 'no parameters'}"
        )
        if method.defect:
            common.say(f'    edition = "original" {method.defect}')
    common.say("mergekit:NAME: a method of mergekit under its own name and semantics (extra `mergekit`)")


def _default_parameters(parameters: type) -> dict[str, object]:
    return {name: value for name, value in msgspec.to_builtins(parameters()).items() if value is not None}
