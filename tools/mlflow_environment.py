"""The environment of a real MLflow server, created once in the user's cache folder.

    python -m tools.mlflow_environment        create it if it does not exist (a minute, 700 MB)

MLflow requires its own versions of pandas, scikit-learn and a web server, so it is not among the development packages.
"""

from __future__ import annotations

from pathlib import Path

from tools.environments import cache_folder, create, interpreter, pip

PACKAGES = ("mlflow==3.17.2", "aiohttp", "click", "msgspec", "numpy", "pyarrow", "scipy", "tqdm", "uvloop")


def folder() -> Path:
    """Return the environment's folder; it may not exist."""
    return cache_folder("mlflow", PACKAGES)


def python() -> Path | None:
    """Return the environment's interpreter; None if the environment is missing or incomplete."""
    return interpreter(folder())


def make() -> Path:
    """Create the environment if it does not exist; return its folder."""
    return create(folder(), lambda environment: pip(environment, "install", *PACKAGES))


if __name__ == "__main__":
    print(make())
