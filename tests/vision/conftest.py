"""One family of tiny checkpoints and one run of each for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import vision_training
from tests.support.command import Outcome, evals

METHODS = ("full", "linear", "lora", "adapter", "alore")


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backbone and its tuned files with recipes, trained here, and a test split of 300 drawings in `vtab-1k`."""
    import torch

    torch.set_num_threads(1)  # two processes with two threads each take ten times as long
    place = tmp_path_factory.mktemp("vision")
    vision_training.write_family(place, methods=METHODS)
    vision_training.write_data(place, items=300)
    return place


@pytest.fixture(scope="session")
def results(family: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of all five on vtab:eurosat, and of ALoRE beside the backbone."""
    folder = tmp_path_factory.mktemp("results")
    outcome = run(family, *(f"petl:{family / method}.toml" for method in METHODS), results=folder)
    assert outcome.status == 0, outcome.err
    return folder


def run(
    family: Path, *models: str, results: Path, suite: str = "vtab:eurosat", more: tuple[str, ...] = ()
) -> Outcome:
    named = [word for model in models for word in ("-m", model)]
    return evals(
        "run", suite, "--data", family / "vtab-1k", *named, "--results", results, "--quiet", "--json", *more
    )
