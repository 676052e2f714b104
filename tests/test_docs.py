"""What pages take from the program is the program's own; `python -m tests.test_docs` writes it.

`<!-- help: evals ... -->`: what that command prints as help. `<!-- options -->`: every option of a run.
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


def rendered(text: str) -> str:
    def fill(found: re.Match[str]) -> str:
        shown = CliRunner().invoke(cli, found[2].split(), prog_name="evals", terminal_width=100).output
        return f"{found[1]}```text\n{shown.rstrip()}\n```\n{found[3]}"

    return OPTIONS.sub(lambda found: f"{found[1]}{table()}{found[2]}", HELP.sub(fill, text))


def table() -> str:
    """Every option of a run, for people: flag, key, values, meaning."""
    rows = ["| option | key in a file, keyword | values | what it does |", "|---|---|---|---|"]
    rows += [
        f"| {_flag(one)} | `{one.name}` | {_values(one)} | {_cell(one.help)} |" for one in options().values()
    ]
    return "\n".join(rows) + "\n"


def _flag(one: Option) -> str:
    if one.name in ("suites", "models"):
        return {"suites": "SUITE...", "models": "`-m`, `--model`"}[one.name]
    return f"`{one.flag}`, `--no-{one.flag[2:]}`" if one.type is bool and one.optional else f"`{one.flag}`"


def _values(one: Option) -> str:
    kind = {bool: "true or false", int: "whole number", float: "number", list: "list of names"}.get(
        one.type, "text"
    )
    kind = "path" if one.type.__name__ == "Path" else kind
    default = "" if one.default in (None, [], False) else f"; default `{one.default}`"
    return f"{kind}{f', {one.bounds}' if one.bounds else ''}{default}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_holds_what_the_program_says(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert "<!-- help:" in text or "<!-- options -->" in text
    assert rendered(text) == text


if __name__ == "__main__":
    for page in PAGES:
        (ROOT / page).write_text(rendered((ROOT / page).read_text(encoding="utf-8")), encoding="utf-8")
