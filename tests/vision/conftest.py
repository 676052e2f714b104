"""Tiny checkpoints and a run of each, shared by all tests in this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import vision_training
from tests.support.command import Outcome, evals

METHODS = ("full", "linear", "lora", "adapter", "alore")


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a trained backbone, tuned files and recipes, and a test split of 300 drawings in `vtab-1k`."""
    import torch

    torch.set_num_threads(1)  # with two threads in each of two processes, training takes ten times as long
    folder = tmp_path_factory.mktemp("vision")
    vision_training.write_backbone_and_tuned_models(folder, methods=METHODS)
    vision_training.write_data(folder, items=300)
    return folder


@pytest.fixture(scope="session")
def results(checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of one run per method on vtab:eurosat."""
    folder = tmp_path_factory.mktemp("results")
    outcome = run(checkpoints, *(f"petl:{checkpoints / method}.toml" for method in METHODS), results=folder)
    assert outcome.status == 0, outcome.err
    return folder


def run(
    checkpoints: Path,
    *models: str,
    results: Path,
    suite: str = "vtab:eurosat",
    extra_options: tuple[str, ...] = (),
) -> Outcome:
    options = [word for model in models for word in ("-m", model)]
    return evals(
        "run",
        suite,
        "--data",
        checkpoints / "vtab-1k",
        *options,
        "--results",
        results,
        "--quiet",
        "--json",
        *extra_options,
    )
