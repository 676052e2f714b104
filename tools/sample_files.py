"""Write generated sample items to `suites/samples/`, or compare them with the files there."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).resolve().parent.parent / "suites" / "samples"


def json_lines(rows: Iterable[Mapping[str, Any]], *, ensure_ascii: bool = False) -> str:
    """Return rows as JSON Lines; with `ensure_ascii`, all other characters are escaped."""
    return "".join(json.dumps(row, ensure_ascii=ensure_ascii) + "\n" for row in rows)


def write_rows(suite: str, file: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows to the file `<file>.jsonl` of a suite."""
    path = SAMPLES / suite / f"{file}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json_lines(rows), encoding="utf-8")


def write_or_check(folder: Path, contents: Mapping[str, str]) -> int:
    """Write files (name -> content) to a folder, or with --check list those that differ; return the exit status."""
    stale = [
        name
        for name, text in contents.items()
        if not (path := folder / name).is_file() or path.read_text(encoding="utf-8") != text
    ]
    if "--check" in sys.argv:
        print("\n".join(f"differs: {name}" for name in stale) or "no differences")
        return int(bool(stale))
    for name in stale:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(contents[name], encoding="utf-8")
        print(f"written: {name}")
    return 0
