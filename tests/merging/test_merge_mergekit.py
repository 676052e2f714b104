"""mergekit's methods in a recipe; most tests need a Python with mergekit."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from evals.errors import UsageError
from evals.merging.build import Plan, make
from tests.support.error_messages import raises
from tests.support.merging import needs_torch, read_tensors, write_base_and_experts, write_recipe

Q_PROJ = "model.layers.0.self_attn.q_proj.weight"
pytestmark = needs_torch
needs_mergekit = pytest.mark.skipif(
    find_spec("mergekit") is None, reason="NOT TESTED WITHOUT MERGEKIT: pip install mergekit==0.1.5"
)


@pytest.fixture
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Write a base and two experts, and return their tensors by name."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return write_base_and_experts(tmp_path, experts=2)


def merge(folder: Path, method: str, parameters: str = "", settings: str = "") -> Any:
    """Merge the checkpoints and return one tensor of the result."""
    path = write_recipe(folder, method, experts=2, parameters=parameters, settings=settings)
    return read_tensors(make(Plan(path), log=lambda _: None))[Q_PROJ]


@needs_mergekit
def test_mergekits_averaging_and_task_arithmetic_follow_the_formulas(checkpoints, tmp_path):
    base, first, second = (checkpoints[name][Q_PROJ] for name in ("base", "e0", "e1"))
    assert merge(tmp_path, "mergekit:linear").allclose((first + second) / 2, atol=1e-6)
    total = merge(tmp_path, "mergekit:task_arithmetic", "normalize = false\nweight = 0.3")
    assert total.allclose(base + 0.3 * (first + second - 2 * base), atol=1e-6)


@needs_mergekit
def test_mergekits_random_methods_are_repeatable(checkpoints, tmp_path):
    results = [merge(tmp_path, "mergekit:dare_ties", "density = 0.5", f'name = "{name}"') for name in "ab"]
    assert results[0].equal(results[1])


@needs_mergekit
def test_unknown_methods_and_parameters_of_mergekit_are_refused(checkpoints, tmp_path):
    with raises(UsageError):
        merge(tmp_path, "mergekit:slurp")
    with raises(UsageError):
        merge(tmp_path, "mergekit:ties", "densitty = 0.2")


@pytest.mark.skipif(find_spec("mergekit") is not None, reason="mergekit is installed")
def test_without_mergekit_the_message_states_how_to_install_it(checkpoints, tmp_path):
    with raises(UsageError):
        merge(tmp_path, "mergekit:slerp")
