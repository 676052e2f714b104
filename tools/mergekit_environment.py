"""The environment of mergekit, with which our merging is compared, created once in the user's cache folder.

    python -m tools.mergekit_environment        create it if it does not exist (a few minutes, 1.5 GB)

It is separate from vLLM's environment, whose version of transformers mergekit does not accept.
"""

from __future__ import annotations

from pathlib import Path

from tools.environments import PROJECT_DEPENDENCIES, cache_folder, create, interpreter, pip

PACKAGES = ("torch==2.13.0", "mergekit==0.1.5")
"""torch is installed first, so that it is the build for CPUs."""


def folder() -> Path:
    """Return the environment's folder; it may not exist."""
    return cache_folder("mergekit", PACKAGES, PROJECT_DEPENDENCIES)


def python() -> Path | None:
    """Return the environment's interpreter; None if the environment is missing or incomplete."""
    return interpreter(folder())


def make() -> Path:
    """Create the environment if it does not exist; return its interpreter."""
    return create(folder(), _install) / "bin" / "python"


def _install(environment: Path) -> None:
    pip(environment, "install", PACKAGES[0])
    pip(environment, "install", *PACKAGES, *PROJECT_DEPENDENCIES)


if __name__ == "__main__":
    print(make())
