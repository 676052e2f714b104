"""mergekit's methods through a recipe; they need a Python that has it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from evals.errors import UsageError
from evals.merging.build import Plan, make
from tests.support.merging import needs_torch, read_tensors, write_family, write_recipe

Q = "model.layers.0.self_attn.q_proj.weight"
pytestmark = needs_torch
needs_mergekit = pytest.mark.skipif(
    find_spec("mergekit") is None, reason="NOT TESTED WITHOUT MERGEKIT: pip install mergekit==0.1.5"
)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return write_family(tmp_path, experts=2)


def merged(place: Path, method: str, parameters: str = "", more: str = "") -> Any:
    path = write_recipe(place, method, experts=2, parameters=parameters, more=more)
    return read_tensors(make(Plan(path), log=lambda _: None))[Q]


@needs_mergekit
def test_averaging_and_task_arithmetic_are_the_same_there(made, tmp_path):
    base, first, second = (made[name][Q] for name in ("base", "e0", "e1"))
    assert merged(tmp_path, "mergekit:linear").allclose((first + second) / 2, atol=1e-6)
    total = merged(tmp_path, "mergekit:task_arithmetic", "normalize = false\nweight = 0.3")
    assert total.allclose(base + 0.3 * (first + second - 2 * base), atol=1e-6)


@needs_mergekit
def test_random_methods_repeat(made, tmp_path):
    draws = [merged(tmp_path, "mergekit:dare_ties", "density = 0.5", f'name = "{name}"') for name in "ab"]
    assert draws[0].equal(draws[1])


@needs_mergekit
def test_unknown_methods_and_parameters_are_one_line(made, tmp_path):
    with pytest.raises(UsageError, match="did you mean mergekit:slerp"):
        merged(tmp_path, "mergekit:slurp")
    with pytest.raises(
        UsageError, match=r"mergekit:ties: TypeError: Unknown parameter\(s\) for ties: densitty"
    ):
        merged(tmp_path, "mergekit:ties", "densitty = 0.2")


@pytest.mark.skipif(find_spec("mergekit") is not None, reason="mergekit is installed")
def test_without_mergekit_the_extra_is_named(made, tmp_path):
    with pytest.raises(UsageError, match="mergekit:slerp needs mergekit: pip install"):
        merged(tmp_path, "mergekit:slerp")
