"""Options of a command made from `RunRequest`: name, type, help, group; nothing is written down twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from evals.commands import common
from evals.run.request import Option, options

F = TypeVar("F", bound=Callable[..., Any])
OTHER = "Other"


class RequestOption(click.Option):
    """An option with a group in the help; `advanced` ones are shown by --help-all alone."""

    def __init__(self, *words: Any, group: str = OTHER, advanced: bool = False, **more: Any) -> None:
        super().__init__(*words, **more)
        self.group, self.advanced = group, advanced


class Grouped(click.Command):
    """A command whose help shows its options by group, the common ones only unless asked for all."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section per group."""
        groups: dict[str, list[tuple[str, str]]] = {}
        hidden = 0
        for one in self.get_params(ctx):
            record = one.get_help_record(ctx)
            if record is None:
                continue
            if isinstance(one, RequestOption) and one.advanced and not ctx.meta.get("help_all"):
                hidden += 1
                continue
            groups.setdefault(one.group if isinstance(one, RequestOption) else OTHER, []).append(record)
        for name in sorted(groups, key=lambda name: name == OTHER):
            with formatter.section(name):
                formatter.write_dl(groups[name])
        if hidden:
            formatter.write_paragraph()
            formatter.write_text(
                f"{hidden} more with --help-all: prices, clusters, early stopping and the like."
            )


def help_all(function: F) -> F:
    """Add `--help-all`."""

    def show(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value:
            ctx.meta["help_all"] = True
            click.echo(ctx.get_help(), color=ctx.color)
            ctx.exit()

    return click.option(
        "--help-all",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=show,
        help="Show every option and exit.",
    )(function)


def request_options(*names: str, without: Sequence[str] = ()) -> Callable[[F], F]:
    """Add the options of these names, in the order of `RunRequest`; no names: all but `without`."""

    def add(function: F) -> F:
        for one in reversed(list(options().values())):
            if one.name in names or (not names and one.name not in without):
                function = _option(one)(function)
        return function

    return add


def _option(one: Option) -> Callable[[F], F]:
    facts: dict[str, Any] = {
        "cls": RequestOption,
        "group": one.group,
        "advanced": one.advanced,
        "help": one.help,
    }
    if one.name == "models":
        return click.option(
            "-m", "--model", "models", multiple=True, metavar=one.metavar,
            shell_complete=common.complete_models, **facts,
        )  # fmt: skip
    if one.type is list:
        return click.option(one.flag, one.name, multiple=True, metavar=one.metavar, **facts)
    if one.type is bool and one.optional:
        return click.option(f"{one.flag}/--no-{one.flag[2:]}", one.name, default=None, **facts)
    if one.type is bool:
        return click.option(one.flag, one.name, is_flag=True, **facts)
    kind = click.Path(path_type=Path, file_okay=one.name != "results") if one.type is Path else one.type
    shown = not one.optional
    return click.option(
        one.flag,
        one.name,
        type=kind,
        metavar=one.metavar or None,
        default=one.default,
        show_default=shown,
        **facts,
    )


def given(values: dict[str, Any]) -> dict[str, Any]:
    """Return the options that the user wrote down, of those that belong to a request."""
    ctx = click.get_current_context()
    return {
        name: value
        for name, value in values.items()
        if name in options() and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
