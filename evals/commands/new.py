"""`evals new`: create a package with a working suite or adapter and its test."""

from __future__ import annotations

import keyword
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path

import click

from evals import disk, load
from evals.commands import common
from evals.errors import UsageError


@click.command()
@click.argument("kind", type=click.Choice(["suite", "adapter"]))
@click.argument("name")
@click.option("--out", type=common.FOLDER, help="Output folder; default: NAME.")
def new(kind: str, name: str, out: Path | None) -> None:
    """Create a package with a working suite or adapter called NAME, its entry point and a test."""
    module = name.replace("-", "_")
    if not module.isidentifier() or not module.islower() or not module.isascii():
        raise UsageError(f"{name!r}: use lower-case letters, digits and hyphens, beginning with a letter")
    name = module.replace("_", "-")
    if name in (load.suite_names() if kind == "suite" else load.adapter_names()):
        raise UsageError(f"{'a suite' if kind == 'suite' else 'an adapter'} called {name} already exists")
    if keyword.iskeyword(module) or ((existing := find_spec(module)) and existing.origin):
        raise UsageError(f"{name!r} is a Python keyword or an installed module; choose another name")
    folder = out or Path(name)
    if folder.exists():
        raise UsageError(f"{folder} already exists; choose another folder with --out")
    for template_path, template in _template_files(files("evals") / "templates" / kind):
        text = template.read_text(encoding="utf-8")
        for placeholder, value in (
            ("name", name),
            ("module", module),
            ("title", name.replace("-", " ").capitalize()),
        ):
            text = text.replace(f"{{{{{placeholder}}}}}", value)
        path = folder / template_path.removesuffix(".txt").replace("module", module)
        disk.make_parent(path)
        disk.replace(path, text.encode())
        click.echo(str(path))
    example = (
        f"evals run {name} -m scripted:'ANSWER: A'"
        if kind == "suite"
        else f"evals run aime --sample -m {name}:polly"
    )
    common.say(f"Try it:  pip install -e {folder} && pytest {folder} && {example}")


def _template_files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _template_files(entry, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry
