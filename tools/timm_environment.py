"""The environment in which image classifiers are tested: created once in the user's cache folder.

    python -m tools.timm_environment        create it (a few minutes, 5 GB) unless it exists

Its folder is named for what goes into it. The fast tests run without it: torch is not among the development packages.
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
"""Installed one after the other: torchvision is built for this torch."""


def folder() -> Path:
    """Return its folder; it may not exist."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "science-evals"
    recipe = repr((sys.version_info[:2], PACKAGES, OPERATORS))
    return cache / f"timm-{sha256(recipe.encode()).hexdigest()[:12]}"


def packages() -> Path | None:
    """Return its site-packages; None if it has not been created completely."""
    if not (folder() / "ready").exists():
        return None
    return next((folder() / "lib").glob("python3*/site-packages"))


def declare_operators(place: Path) -> None:
    """Let torchvision be imported where torch is a build for the CPU and torchvision, from another index, is not."""
    tried = subprocess.run(
        [str(place / "bin" / "python"), "-c", "import torchvision"], capture_output=True, check=False
    )
    if tried.returncode:
        (extension,) = place.glob("lib/python3*/site-packages/torchvision/extension.py")
        extension.write_text(extension.read_text() + OPERATORS)


def make() -> Path:
    """Create it if it does not exist, one process at a time; return its site-packages."""
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
