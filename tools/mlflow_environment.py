"""The environment of a real MLflow server, created once in the user's cache folder.

    python -m tools.mlflow_environment        create it if it does not exist (a minute, 700 MB)

MLflow requires its own versions of pandas, scikit-learn and a web server, so it is not among the development packages.
This project is imported from the checkout (PYTHONPATH).
"""

from __future__ import annotations

import os
import sys
from hashlib import sha256
from pathlib import Path

from tools.vllm_environment import create, pip

PACKAGES = ("mlflow==3.17.2", "aiohttp", "click", "msgspec", "numpy", "pyarrow", "scipy", "tqdm", "uvloop")


def folder() -> Path:
    """Return the environment's folder; it may not exist."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "science-evals"
    return cache / f"mlflow-{sha256(repr((sys.version_info[:2], PACKAGES)).encode()).hexdigest()[:12]}"


def python() -> Path | None:
    """Return the environment's interpreter; None if the environment is missing or incomplete."""
    return folder() / "bin" / "python" if (folder() / "ready").exists() else None


def make() -> Path:
    """Create the environment if it does not exist; return its folder."""
    return create(folder(), lambda environment: pip(environment, "install", *PACKAGES))


if __name__ == "__main__":
    print(make())
