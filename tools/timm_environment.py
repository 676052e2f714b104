"""The environment in which image classifiers are tested, created once in the user's cache folder.

    python -m tools.timm_environment        create it if it does not exist (a few minutes, 5 GB)

The fast tests do not need it: torch is not among the development packages.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tools.environments import OPERATORS, cache_folder, create, declare_operators, interpreter, pip

PACKAGES = (("torch==2.13.0",), ("torchvision==0.28.0", "timm==1.0.31", "safetensors==0.8.0"))
"""Groups of packages, installed one after the other, as torchvision is built for this version of torch."""


def folder() -> Path:
    """Return the environment's folder; it may not exist."""
    return cache_folder("timm", PACKAGES, OPERATORS)


def packages() -> Path | None:
    """Return the environment's site-packages; None if the environment is missing or incomplete."""
    return _site_packages(folder()) if interpreter(folder()) else None


def make() -> Path:
    """Create the environment if it does not exist; return its site-packages."""
    return _site_packages(create(folder(), _install))


def _site_packages(environment: Path) -> Path:
    return next((environment / "lib").glob("python3*/site-packages"))


def _install(environment: Path) -> None:
    for group in PACKAGES:
        pip(environment, "install", *group)
    python = str(environment / "bin" / "python")
    attempt = subprocess.run([python, "-c", "import torchvision"], capture_output=True, check=False)
    if attempt.returncode:  # torch is a CPU build and torchvision, from another index, is not
        declare_operators(environment)


if __name__ == "__main__":
    print(make())
