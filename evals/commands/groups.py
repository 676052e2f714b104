"""Groups of commands that import a subcommand when it is called, so that `evals --help` starts fast."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from evals.errors import UnknownName

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Entry(NamedTuple):
    """A subcommand that is imported on demand."""

    target: str
    """`module:attribute` below `evals.commands`."""
    about: str = ""
    """Its line in the help of the group; empty: it works but is not listed."""


class LazyGroup(click.Group):
    """A group of commands by name; an unknown name is answered with near ones.

    With `default`, that word may be left out: `gate CANDIDATE` is `gate judge CANDIDATE`, whose help is the group's.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, Entry], default: str = "", **more: Any) -> None:
        super().__init__(*args, **more)
        self.lazy, self.default = lazy, default

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the listed names, in the order in which they were declared."""
        return [name for name, entry in self.lazy.items() if entry.about]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None while a shell completes an unfinished line. Raises UnknownName."""
        if cmd_name not in self.lazy:
            if ctx.resilient_parsing:
                return None
            raise UnknownName("command", cmd_name, self.list_commands(ctx))
        module, _, attribute = self.lazy[cmd_name].target.partition(":")
        command: click.Command = getattr(import_module(f"evals.commands.{module}"), attribute)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default command in front of what does not begin with a command."""
        completing = ctx.resilient_parsing and not args
        if self.default and not completing and args[:1] not in ([name] for name in self.lazy):
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Keep the implied word out of the usage line."""
        name, command, rest = super().resolve_command(ctx, args)
        return ("" if self.default and name == self.default else name), command, rest

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the names of commands without importing any, and what the default command takes."""
        from click.shell_completion import CompletionItem

        items = [
            CompletionItem(name, help=entry.about)
            for name, entry in self.lazy.items()
            if entry.about and name.startswith(incomplete) and incomplete[:1] != "-"
        ]
        if self.default and (command := self.get_command(ctx, self.default)) is not None:
            with command.make_context("", [], parent=ctx, resilient_parsing=True) as inner:
                arguments = [param for param in command.params if isinstance(param, click.Argument)]
                taker = command if incomplete[:1] == "-" or not arguments else arguments[0]
                items += taker.shell_complete(inner, incomplete)
        return items

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        rows = [(name, entry.about) for name, entry in self.lazy.items() if entry.about]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class DefaultCommand(click.Command):
    """The default command of a group: its help lists the group's other commands."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the usage without the implied word."""
        formatter.write_usage(ctx.command_path.rstrip(), " ".join(self.collect_usage_pieces(ctx)))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands of the group."""
        if ctx.parent is not None and isinstance(group := ctx.parent.command, LazyGroup):
            group.format_commands(ctx.parent, formatter)
