"""Virtual environments for real components, each created once in the user's cache folder.

The name of an environment's folder contains a hash of its recipe, so a changed recipe creates a new environment. This
project is not installed there but imported from the checkout (PYTHONPATH).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

PROJECT_DEPENDENCIES = (
    "aiohttp",
    "click",
    "msgspec",
    "numpy",
    "pandas",
    "pillow",
    "pyarrow",
    "scipy",
    "tqdm",
    "uvloop",
)
"""Packages that this project needs in an environment."""
OPERATORS = """

# science-evals: the operators that the CPU build of torch has not loaded, declared so that the import goes on
import torch as _torch

_library = _torch.library.Library("torchvision", "DEF")
_library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
_library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""
"""Code that `declare_operators` appends to a module of torchvision."""


def cache_folder(name: str, *recipe: object) -> Path:
    """Return the folder of the environment with this name and recipe, for this version of Python; it may not exist."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "science-evals"
    digest = sha256(repr((sys.version_info[:2], *recipe)).encode()).hexdigest()
    return cache / f"{name}-{digest[:12]}"


def interpreter(environment: Path) -> Path | None:
    """Return the interpreter of an environment; None if the environment is missing or incomplete."""
    return environment / "bin" / "python" if (environment / "ready").exists() else None


def create(environment: Path, install: Callable[[Path], None]) -> Path:
    """Create an environment if it does not exist, one process at a time; return its folder."""
    environment.parent.mkdir(parents=True, exist_ok=True)
    with (environment.parent / f"{environment.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (environment / "ready").exists():
            shutil.rmtree(environment, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
            install(environment)
            (environment / "ready").touch()
    return environment


def pip(environment: Path, *arguments: str) -> None:
    """Run pip in an environment."""
    command = [str(environment / "bin" / "python"), "-m", "pip", arguments[0], "--quiet", *arguments[1:]]
    subprocess.run(command, check=True)


def declare_operators(environment: Path) -> None:
    """Make torchvision importable beside a CPU build of torch that torchvision was not built for."""
    (extension,) = environment.glob("lib/python3*/site-packages/torchvision/extension.py")
    extension.write_text(extension.read_text() + OPERATORS)
