"""Where other harnesses are installed on this machine: each has a folder in the user's cache.

    ~/.cache/science-evals/peers/lm-eval/bin/python     a virtual environment, since its pinned versions conflict with ours
    ~/.cache/science-evals/peers/opencompass-0.5.4/     a wheel, from which prompts are read (`evals data opencompass`)

This module only returns paths; it does not create, import or run anything.
"""

from __future__ import annotations

import os
from pathlib import Path

from evals.errors import UsageError

PACKAGES = {
    "lm-eval": ("lm-eval==0.4.13",),
    "scieval": (
        "--no-deps git+https://github.com/InternScience/SciEvalKit@0817251a22dd40196e0e241b2a12f2d46eea2d63",
    ),
    "opencompass": ("torch==2.13.0", "opencompass==0.5.4 datasets==3.6.0", "'pyarrow<24' rdkit math-verify"),
}
"""Harness -> arguments of the `pip install` commands for its environment, in order, as tested."""


def home() -> Path:
    """Return the user's home folder; raises UsageError if there is none, as in containers with an unknown user."""
    try:
        return Path.home()
    except RuntimeError:
        raise UsageError("this user has no home folder: set HOME") from None


def cache() -> Path:
    """Return the folder for files kept between commands, below XDG_CACHE_HOME; it may not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or home() / ".cache") / "science-evals"


def environment_folder(harness: str) -> Path:
    """Return the folder of a harness's environment or files; it may not exist."""
    return cache() / "peers" / harness


def interpreter(harness: str) -> Path | None:
    """Return the interpreter of a harness's environment; None if there is none."""
    path = environment_folder(harness) / "bin" / "python"
    return path if path.exists() else None


def install_commands(harness: str) -> str:
    """Return the shell commands that create a harness's environment."""
    folder = environment_folder(harness)
    steps = [f"{folder}/bin/pip install {packages}" for packages in PACKAGES[harness]]
    return " && ".join([f"python3 -m venv {folder}", *steps])
