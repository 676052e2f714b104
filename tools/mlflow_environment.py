"""The environment of a real MLflow server, created once in the user's cache folder.

    python -m tools.mlflow_environment        create it (a minute, 700 MB) unless it exists

MLflow brings pandas, scikit-learn and a web server in versions of its own, so it is not among the development packages.
This project runs in it, too, off the checkout (PYTHONPATH).
"""

from __future__ import annotations

import os
import sys
from hashlib import sha256
from pathlib import Path

from tools.vllm_environment import create, pip

PACKAGES = ("mlflow==3.17.2", "aiohttp", "click", "msgspec", "numpy", "pyarrow", "scipy", "tqdm", "uvloop")


def folder() -> Path:
    """Return its folder; it may not exist."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "science-evals"
    return cache / f"mlflow-{sha256(repr((sys.version_info[:2], PACKAGES)).encode()).hexdigest()[:12]}"


def python() -> Path | None:
    """Return its interpreter; None if it has not been created completely."""
    return folder() / "bin" / "python" if (folder() / "ready").exists() else None


def make() -> Path:
    """Create it if it does not exist."""
    return create(folder(), lambda place: pip(place, "install", *PACKAGES))


if __name__ == "__main__":
    print(make())
