"""Help texts and the table of options in the documentation match the program; `python -m tests.test_docs` rewrites them.

`<!-- help: evals ... -->` marks the help of that command, `<!-- options -->` the table of all options of a run.
"""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from evals.cli import cli
from evals.run.request import Option, options
from tests.support.paths import ROOT

PAGES = ("README.md", "docs/run.md")
HELP = re.compile(r"(<!-- help: evals (.*?) -->\n).*?(<!-- /help -->)", re.DOTALL)
OPTIONS = re.compile(r"(<!-- options -->\n).*?(<!-- /options -->)", re.DOTALL)


def render(text: str) -> str:
    """Return the text of a page with current help texts and options."""

    def fill(match: re.Match[str]) -> str:
        output = CliRunner().invoke(cli, match[2].split(), prog_name="evals", terminal_width=100).output
        return f"{match[1]}```text\n{output.rstrip()}\n```\n{match[3]}"

    return OPTIONS.sub(lambda match: f"{match[1]}{table()}{match[2]}", HELP.sub(fill, text))


def table() -> str:
    """Return the table of all options of a run: flag, key, values and help."""
    rows = ["| option | key in a file, keyword | values | what it does |", "|---|---|---|---|"]
    rows += [
        f"| {_flag(option)} | `{option.name}` | {_values(option)} | {_cell(option.help)} |"
        for option in options().values()
    ]
    return "\n".join(rows) + "\n"


def _flag(option: Option) -> str:
    if option.name in ("suites", "models"):
        return {"suites": "SUITE...", "models": "`-m`, `--model`"}[option.name]
    return (
        f"`{option.flag}`, `--no-{option.flag[2:]}`"
        if option.type is bool and option.optional
        else f"`{option.flag}`"
    )


def _values(option: Option) -> str:
    kinds = {bool: "true or false", int: "whole number", float: "number", list: "list of strings"}
    kind = "path" if option.type.__name__ == "Path" else kinds.get(option.type, "text")
    default = "" if option.default in (None, [], False) else f"; default `{option.default}`"
    return f"{kind}{f', {option.bounds}' if option.bounds else ''}{default}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


@pytest.mark.parametrize("page", PAGES)
def test_help_and_options_in_the_documentation_are_current(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert "<!-- help:" in text or "<!-- options -->" in text
    assert render(text) == text


if __name__ == "__main__":
    for page in PAGES:
        (ROOT / page).write_text(render((ROOT / page).read_text(encoding="utf-8")), encoding="utf-8")
