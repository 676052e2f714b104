"""Create the repository of a board: policy, decisions, CI workflows and a README for submitters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from secrets import token_hex

from evals import disk
from evals.board import policy
from evals.board.submission import unsuitable_text
from evals.errors import UsageError
from evals.records.card import packages
from evals.suite import Suite

FILES = {
    "board.toml": "board.toml.txt",
    "decisions.toml": "decisions.toml.txt",
    "requirements.txt": "requirements.txt.txt",
    "README.md": "README.md.txt",
    ".github/workflows/check.yml": "workflows/github-check.yml.txt",
    ".github/workflows/ingest.yml": "workflows/github-ingest.yml.txt",
    ".gitlab-ci.yml": "workflows/gitlab-ci.yml.txt",
}
"""Path in the repository -> its template."""


def create(folder: Path, title: str, suites: Sequence[Suite]) -> list[Path]:
    """Write the files of a new board into an empty or absent folder and return their paths; raises UsageError."""
    if folder.exists() and (not folder.is_dir() or any(p.name != ".git" for p in folder.iterdir())):
        raise UsageError(f"{folder} is not an empty folder; choose an empty or new one for the board")
    is_quotable = title.strip() and '"' not in title
    if why := unsuitable_text(title) or ("" if is_quotable else "is empty or contains quotation marks"):
        raise UsageError(f"the title {why}")
    name = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60] or "board"
    values = {
        "id": f"{name}-{token_hex(4)}",
        "title": title,
        "version": packages()["science-evals"],
        "example": suites[0].id,
        "suites": "\n".join(
            f'\n[[suite]]\nname = "{suite.id}"\nprotocol = "{suite.protocol}"\nminimum_coverage = 0.98'
            for suite in suites
        ),
    }
    templates = files("evals") / "templates" / "board"
    texts = {
        path: _fill_in((templates / template).read_text("utf-8"), values) for path, template in FILES.items()
    }
    policy.parse(texts[policy.NAME].encode())
    for path, text in {**texts, "entries/.gitkeep": ""}.items():
        disk.make_parent(folder / path)
        disk.replace(folder / path, text.encode())
    return [folder / path for path in texts]


def _fill_in(template: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        template = template.replace(f"{{{{{name}}}}}", value)
    return template
