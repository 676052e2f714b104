"""The environment of mergekit, with which our merging is compared, created once in the user's cache folder.

    python -m tools.mergekit_environment        create it if it does not exist (a few minutes, 1.5 GB)

It is separate from vLLM's environment, whose version of transformers mergekit does not accept. The folder's name contains
a hash of the recipe. This project is imported from the checkout (PYTHONPATH).
"""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path

from tools import vllm_environment

PACKAGES = ("torch==2.13.0", "mergekit==0.1.5")
"""torch is installed first, so that it is the build for CPUs."""


def folder() -> Path:
    """Return the environment's folder; it may not exist."""
    recipe = repr((sys.version_info[:2], PACKAGES, vllm_environment.PROJECT_DEPENDENCIES))
    return vllm_environment.folder().parent / f"mergekit-{sha256(recipe.encode()).hexdigest()[:12]}"


def python() -> Path | None:
    """Return the environment's interpreter; None if the environment is missing or incomplete."""
    return folder() / "bin" / "python" if (folder() / "ready").exists() else None


def make() -> Path:
    """Create the environment if it does not exist; return its interpreter."""
    return vllm_environment.create(folder(), _install) / "bin" / "python"


def _install(environment: Path) -> None:
    vllm_environment.pip(environment, "install", PACKAGES[0])
    vllm_environment.pip(environment, "install", *PACKAGES, *vllm_environment.PROJECT_DEPENDENCIES)


if __name__ == "__main__":
    print(make())
