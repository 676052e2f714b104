"""The environment in which image classifiers are tested, created once in the user's cache folder.

    python -m tools.timm_environment        create it if it does not exist (a few minutes, 5 GB)

The folder's name contains a hash of the recipe. The fast tests do not need it, as torch is not among the development
packages.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from tools.vllm_environment import OPERATORS, pip

PACKAGES = (("torch==2.13.0",), ("torchvision==0.28.0", "timm==1.0.31", "safetensors==0.8.0"))
"""Groups of packages, installed one after the other, as torchvision is built for this version of torch."""


def folder() -> Path:
    """Return the environment's folder; it may not exist."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "science-evals"
    recipe = repr((sys.version_info[:2], PACKAGES, OPERATORS))
    return cache / f"timm-{sha256(recipe.encode()).hexdigest()[:12]}"


def packages() -> Path | None:
    """Return the environment's site-packages; None if the environment is missing or incomplete."""
    if not (folder() / "ready").exists():
        return None
    return next((folder() / "lib").glob("python3*/site-packages"))


def declare_operators(environment: Path) -> None:
    """Make torchvision importable if torch is a CPU build and torchvision, from another index, is not."""
    attempt = subprocess.run(
        [str(environment / "bin" / "python"), "-c", "import torchvision"], capture_output=True, check=False
    )
    if attempt.returncode:
        (extension,) = environment.glob("lib/python3*/site-packages/torchvision/extension.py")
        extension.write_text(extension.read_text() + OPERATORS)


def make() -> Path:
    """Create the environment if it does not exist, one process at a time; return its site-packages."""
    environment = folder()
    environment.parent.mkdir(parents=True, exist_ok=True)
    with (environment.parent / f"{environment.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if packages() is None:
            shutil.rmtree(environment, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
            for group in PACKAGES:
                pip(environment, "install", *group)
            declare_operators(environment)
            (environment / "ready").touch()
    site_packages = packages()
    if site_packages is None:
        raise SystemExit(f"{environment} could not be created")
    return site_packages


if __name__ == "__main__":
    print(make())
