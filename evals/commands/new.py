"""`evals new`: a package with a working suite or adapter and its test, as a starting point."""

from __future__ import annotations

import keyword
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path

import click

from evals.commands import common
from evals.errors import UsageError


@click.command()
@click.argument("what", type=click.Choice(["suite", "adapter"]))
@click.argument("name")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder to make; default: NAME."
)
def new(what: str, name: str, out: Path | None) -> None:
    """Write a package with a working suite or adapter called NAME, its entry point and its test."""
    from evals import load

    module = name.replace("-", "_")
    if not module.isidentifier() or not module.islower() or not module.isascii():
        raise UsageError(f"{name!r}: use lower-case letters, digits and hyphens, beginning with a letter")
    name = module.replace("_", "-")
    if name in (load.suite_names() if what == "suite" else load.adapter_names()):
        raise UsageError(f"there is {'a suite' if what == 'suite' else 'an adapter'} called {name} already")
    if keyword.iskeyword(module) or ((there := find_spec(module)) and there.origin):
        raise UsageError(f"{name!r} is a keyword or a module of Python; choose another name")
    folder = out or Path(name)
    if folder.exists():
        raise UsageError(f"{folder} exists already; --out names another folder")
    folder.mkdir(parents=True)
    for place, template in _templates(files("evals") / "templates" / what):
        text = template.read_text(encoding="utf-8")
        for mark, value in (
            ("name", name),
            ("module", module),
            ("title", name.replace("-", " ").capitalize()),
        ):
            text = text.replace(f"{{{{{mark}}}}}", value)
        path = folder / place.removesuffix(".txt").replace("module", module)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        click.echo(str(path))
    tried = (
        f"evals run {name} -m scripted:'ANSWER: A'"
        if what == "suite"
        else f"evals run aime --sample -m {name}:polly"
    )
    common.say(f"Try it:  pip install -e {folder} && pytest {folder} && {tried}")


def _templates(folder: Traversable, below: str = "") -> Iterator[tuple[str, Traversable]]:
    """Yield the files of a template with their paths in it."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _templates(entry, f"{below}{entry.name}/")
        else:
            yield f"{below}{entry.name}", entry
