"""Groups of commands that import a subcommand only when it is called, so that `evals --help` is fast."""

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
    """`module:attribute` in `evals.commands`."""
    summary: str = ""
    """The line about the subcommand in the group's help; empty: not listed there."""


class LazyGroup(click.Group):
    """A group of commands; for an unknown name, similar ones are suggested.

    The name of the `default` command may be omitted: `gate CANDIDATE` means `gate judge CANDIDATE`. The help of that command
    is also the group's.
    """

    def __init__(self, *args: Any, entries: Mapping[str, Entry], default: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.entries, self.default = entries, default

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the listed names in the order of their declaration."""
        return [name for name, entry in self.entries.items() if entry.summary]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; raises UnknownName, or returns None for an unknown name in shell completion."""
        if cmd_name not in self.entries:
            if ctx.resilient_parsing:
                return None
            raise UnknownName("command", cmd_name, self.list_commands(ctx))
        module, _, attribute = self.entries[cmd_name].target.partition(":")
        command: click.Command = getattr(import_module(f"evals.commands.{module}"), attribute)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert the default command if the arguments do not begin with a command."""
        is_completing = ctx.resilient_parsing and not args
        if self.default and not is_completing and args[:1] not in ([name] for name in self.entries):
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve a command, without the name of the default one in the usage line."""
        name, command, remaining = super().resolve_command(ctx, args)
        return ("" if self.default and name == self.default else name), command, remaining

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete names of commands, without importing them, and arguments of the default command."""
        from click.shell_completion import CompletionItem

        items = [
            CompletionItem(name, help=entry.summary)
            for name, entry in self.entries.items()
            if entry.summary and name.startswith(incomplete) and incomplete[:1] != "-"
        ]
        if self.default and (command := self.get_command(ctx, self.default)) is not None:
            with command.make_context("", [], parent=ctx, resilient_parsing=True) as context:
                arguments = [param for param in command.params if isinstance(param, click.Argument)]
                completer = command if incomplete[:1] == "-" or not arguments else arguments[0]
                items += completer.shell_complete(context, incomplete)
        return items

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, without importing them."""
        rows = [(name, entry.summary) for name, entry in self.entries.items() if entry.summary]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class DefaultCommand(click.Command):
    """The default command of a group; its help also lists the group's commands."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the usage without the name of the default command."""
        formatter.write_usage(ctx.command_path.rstrip(), " ".join(self.collect_usage_pieces(ctx)))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands of the group."""
        if ctx.parent is not None and isinstance(group := ctx.parent.command, LazyGroup):
            group.format_commands(ctx.parent, formatter)
