"""Where the code of other harnesses is installed on this machine: one folder each in the user's cache.

    ~/.cache/science-evals/peers/lm-eval/bin/python     an environment of its own, since its pins clash with ours
    ~/.cache/science-evals/peers/opencompass-0.5.4/     a wheel as it is, for its own words (`evals data opencompass`)

This module only names folders; it creates, imports and runs nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

from evals.errors import UsageError

RECIPES = {
    "lm-eval": ("lm-eval==0.4.13",),
    "opencompass": ("torch==2.13.0", "opencompass==0.5.4 datasets==3.6.0", "'pyarrow<24' rdkit math-verify"),
}
"""Peer with an environment of its own -> what is installed there, one step after the other: each as tried here."""


def home() -> Path:
    """Return the user's home folder; raises UsageError if there is none, as in containers with an unknown user."""
    try:
        return Path.home()
    except RuntimeError:
        raise UsageError("this user has no home folder: set HOME") from None


def cache() -> Path:
    """Return the folder for what this project keeps between commands, below XDG_CACHE_HOME; it may not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or home() / ".cache") / "science-evals"


def place(peer: str) -> Path:
    """Return the folder of a peer's environment or files; it may not exist."""
    return cache() / "peers" / peer


def python(peer: str) -> Path | None:
    """Return the interpreter of a peer's environment; None if it has none."""
    interpreter = place(peer) / "bin" / "python"
    return interpreter if interpreter.exists() else None


def recipe(peer: str) -> str:
    """Return the shell commands that create a peer's environment."""
    folder = place(peer)
    steps = [f"{folder}/bin/pip install {packages}" for packages in RECIPES[peer]]
    return " && ".join([f"python3 -m venv {folder}", *steps])
