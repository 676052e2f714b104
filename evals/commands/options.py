"""Command-line options generated from the fields of `RunRequest`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from evals.commands import common
from evals.run.request import Option, options

F = TypeVar("F", bound=Callable[..., Any])
OTHER_GROUP = "Other"


class RequestOption(click.Option):
    """An option with a help section; `advanced` options are listed only by --help-all."""

    def __init__(
        self, *declarations: Any, group: str = OTHER_GROUP, advanced: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(*declarations, **kwargs)
        self.group, self.advanced = group, advanced


class GroupedCommand(click.Command):
    """A command with grouped options in its help, advanced ones only with --help-all."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section per group."""
        groups: dict[str, list[tuple[str, str]]] = {}
        hidden = 0
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None or isinstance(param, click.Argument):  # arguments are in the usage line
                continue
            if isinstance(param, RequestOption) and param.advanced and not ctx.meta.get("help_all"):
                hidden += 1
                continue
            groups.setdefault(param.group if isinstance(param, RequestOption) else OTHER_GROUP, []).append(
                record
            )
        for name in sorted(groups, key=lambda name: name == OTHER_GROUP):
            with formatter.section(name):
                formatter.write_dl(groups[name])
        if hidden:
            formatter.write_paragraph()
            formatter.write_text(
                f"{hidden} more options with --help-all: prices, clusters, early stopping and others."
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
        help="Show all options and exit.",
    )(function)


def request_options(*names: str, without: Sequence[str] = ()) -> Callable[[F], F]:
    """Add the named options (all except `without` if none are named), in the order of `RunRequest`."""

    def add(function: F) -> F:
        for option in reversed(list(options().values())):
            if option.name in names or (not names and option.name not in without):
                function = _click_option(option)(function)
        return function

    return add


def _click_option(option: Option) -> Callable[[F], F]:
    kwargs: dict[str, Any] = {
        "cls": RequestOption,
        "group": option.group,
        "advanced": option.advanced,
        "help": option.help,
    }
    if option.name == "models":
        return click.option(
            "-m", "--model", "models", multiple=True, metavar=option.metavar,
            shell_complete=common.complete_models, **kwargs,
        )  # fmt: skip
    if option.type is list:
        return click.option(option.flag, option.name, multiple=True, metavar=option.metavar, **kwargs)
    if option.type is bool and option.optional:
        return click.option(f"{option.flag}/--no-{option.flag[2:]}", option.name, default=None, **kwargs)
    if option.type is bool:
        return click.option(option.flag, option.name, is_flag=True, **kwargs)
    results = common.ResultsFolder(writes=True)
    path_type = results if option.name == "results" else click.Path(path_type=Path)
    type_ = path_type if option.type is Path else option.type
    show_default = not option.optional
    return click.option(
        option.flag,
        option.name,
        type=type_,
        metavar=option.metavar or None,
        default=option.default,
        show_default=show_default,
        **kwargs,
    )


def given_options(values: dict[str, Any]) -> dict[str, Any]:
    """Return those options of a request that were given on the command line."""
    ctx = click.get_current_context()
    return {
        name: value
        for name, value in values.items()
        if name in options() and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
