"""Write the website of a board or of a results folder."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files as resources
from pathlib import Path
from shutil import copyfile

from evals import disk
from evals.board.ingest import ENTRIES
from evals.board.results import FOLDER
from evals.board.site import contents, feeds, pages
from evals.board.submission import SUFFIX
from evals.errors import UsageError

MARKER = ".evals-board-site"
"""Empty file that marks a folder as written by this module; only such a folder, or an empty one, is written to."""
STATIC = ("style.css", "script.js")


def write(folder: Path, out: Path) -> list[Path]:
    """Write all files into `out` and return their paths; earlier files are kept, so that their URLs remain valid.

    Raises UsageError if `out` contains files but was not written by this function.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MARKER).exists())):
        raise UsageError(f"{out} contains other files, or is not a folder; choose a new or empty folder")
    site = contents.load(folder)
    written = []
    for name, content in list(_files(site)):  # nothing is written if a page fails
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        disk.replace(path, content)
        written.append(path)
    return [*written, *_copy_downloads(site, out)]


def _copy_downloads(site: contents.Contents, out: Path) -> Iterator[Path]:
    """Copy the files of a board's entries and their results, and yield the paths of the copies."""
    for entrant in site.entrants if site.is_board else ():
        for name in (f"{ENTRIES}/{entrant.name}{SUFFIX}", f"{FOLDER}/{entrant.name}.json"):
            if (site.source / name).is_file():
                (out / name).parent.mkdir(exist_ok=True)
                with disk.naming(out / name):
                    copyfile(site.source / name, out / name)
                yield out / name


def _files(site: contents.Contents) -> Iterator[tuple[str, bytes]]:
    yield MARKER, b""
    templates = resources("evals") / "templates" / "site"
    yield from ((name, (templates / name).read_bytes()) for name in STATIC)
    yield from ((page.path, page.html.encode()) for page in pages.render(site))
    yield from feeds.files(site)
