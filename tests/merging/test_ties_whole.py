"""TIES over one vector of the whole model, against the released code's formula on concatenated vectors."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evals.merging import selection
from evals.merging.build import Plan, make
from evals.merging.selection import Selection
from tests.support.merging import (
    needs_torch,
    random_lora_factors,
    read_tensors,
    write_base_and_experts,
    write_checkpoint,
    write_recipe,
)

DTYPES = {32: np.float32, 64: np.float64}


def magnitude_of_rank(parts: list[np.ndarray], rank: int, width: int) -> float:
    """Return the magnitude of this rank, as found by `Selection` in passes over the parts."""
    selected = Selection(rank, width=width)
    while not selected.is_done:
        for part in parts:
            selected.count(part)
        selected.narrow()
    return selected.value


@pytest.mark.parametrize("width", [32, 64])
def test_selected_magnitudes_agree_with_sorting(width, monkeypatch):
    monkeypatch.setattr(selection, "BLOCK", 17)
    rng = np.random.default_rng(0)
    tiny = np.finfo(DTYPES[width]).smallest_subnormal
    parts = [
        rng.normal(size=50).astype(DTYPES[width]),
        np.round(rng.normal(size=40), 1).astype(DTYPES[width]),  # equal magnitudes
        np.array([0.0, -0.0, tiny, -tiny, 3 * tiny, 1e30, -1e-30, 1.0, -1.0], DTYPES[width]),
        np.zeros(0, DTYPES[width]),
    ]
    ordered = np.sort(np.abs(np.concatenate(parts)))
    for rank, magnitude in enumerate(ordered):
        assert magnitude_of_rank(parts, rank, width) == magnitude


# --- with torch


def flat_ties(taus: list[np.ndarray], density: float, *, original: bool) -> np.ndarray:
    """Return the TIES merge of whole task vectors, by the formula of InternVL/internvl_chat/model_merging.py."""
    rows = np.array(taus)
    count = rows.shape[1]
    trimmed = int(count * (1 - density))
    thresholds = np.sort(np.abs(rows), axis=1)[:, trimmed - 1 if original else min(trimmed, count - 1)]
    rows = np.where(np.abs(rows) >= thresholds[:, None], rows, 0)
    sign = np.sign(rows.sum(axis=0))
    sign[sign == 0] = np.sign(sign.sum())
    rows = np.where(rows * sign > 0, rows, 0)
    return rows.sum(axis=0) / np.maximum(1, (rows != 0).sum(axis=0))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redirect the cache to the temporary folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write_uneven_checkpoints(folder: Path, *, experts: int = 3) -> dict[str, Any]:
    """Write checkpoints whose task vectors differ in size between tensors; return their tensors, which float32 adds exactly."""
    checkpoints = write_base_and_experts(folder / "made", experts=experts)
    exact = {
        name: {key: (value * 64).round() / 64 for key, value in tensors.items()}
        for name, tensors in checkpoints.items()
    }
    for number in range(experts):
        for index, key in enumerate(sorted(exact["base"])):
            change = exact[f"e{number}"][key] - exact["base"][key]
            exact[f"e{number}"][key] = exact["base"][key] + change * (index % 3 + 1)
    for name, tensors in exact.items():
        write_checkpoint(folder / name, tensors)
    return exact


def flat_tau(tensors: dict[str, Any], base: dict[str, Any]) -> np.ndarray:
    """Return the task vector of the whole model."""
    return np.concatenate([(tensors[key] - base[key]).numpy().ravel() for key in sorted(base)])


@needs_torch
@pytest.mark.parametrize(
    ("edition", "density"),
    [*product(("fixed", "original"), (0.05, 0.2, 0.7)), ("fixed", 1.0)],  # 1.0: the released code fails
)
@pytest.mark.parametrize("compute", ["float32", "float64"])
def test_the_density_applies_to_all_merged_tensors_together(tmp_path, edition, density, compute):
    checkpoints = write_uneven_checkpoints(tmp_path)
    settings = f'edition = "{edition}"\nexclude = []\nlambda = 1\ncompute = "{compute}"'
    path = write_recipe(
        tmp_path, "ties", settings=settings, parameters=f'scope = "model"\ndensity = {density}'
    )
    merged = read_tensors(make(Plan(path), log=lambda _: None))
    taus = [flat_tau(checkpoints[f"e{n}"], checkpoints["base"]) for n in range(3)]
    expected = flat_ties(taus, density, original=edition == "original")
    np.testing.assert_allclose(flat_tau(merged, checkpoints["base"]), expected, atol=1e-6)
    tensor_recipe = write_recipe(
        tmp_path, "ties", settings=settings, parameters=f"density = {density}", name="t.toml"
    )
    if density < 1:
        by_tensor = flat_tau(read_tensors(make(Plan(tensor_recipe), log=lambda _: None)), checkpoints["base"])
        assert np.abs(by_tensor - expected).max() > 0.01


@needs_torch
def test_the_majority_sign_is_that_of_the_whole_model(tmp_path):
    """One entry of a tensor of negative changes sums to 0 over the experts; the changes of all other tensors are positive."""
    base = write_base_and_experts(tmp_path / "made", experts=0)["base"]
    small, *others = sorted(base, key=lambda key: base[key].numel())
    first, second = ({key: value.clone() for key, value in base.items()} for _ in range(2))
    for key in others:
        first[key] += 1.0
        second[key] += 1.0
    first[small] -= 2.0
    second[small] -= 2.0
    first[small][0], second[small][0] = base[small][0] + 2.0, base[small][0] - 2.0
    for name, tensors in (("base", base), ("e0", first), ("e1", second)):
        write_checkpoint(tmp_path / name, tensors)
    for scope, change in (("tensor", -2.0), ("model", 2.0)):
        path = write_recipe(
            tmp_path, "ties", experts=2, settings="exclude = []\nlambda = 1",
            parameters=f'density = 1\nscope = "{scope}"', name=f"{scope}.toml",
        )  # fmt: skip
        merged = read_tensors(make(Plan(path), log=lambda _: None, accept=True))
        assert float(merged[small][0] - base[small][0]) == pytest.approx(change, abs=1e-5)


@needs_torch
def test_the_original_dare_ties_over_the_whole_model_uses_all_experts(tmp_path):
    checkpoints = write_uneven_checkpoints(tmp_path)
    parameters = 'scope = "model"\ndensity = 0.3\ndrop = 0.0'
    path = write_recipe(
        tmp_path,
        "dare-ties",
        settings='edition = "original"\nexclude = []\nlambda = 1',
        parameters=parameters,
    )
    merged = read_tensors(make(Plan(path), log=lambda _: None))
    taus = [flat_tau(checkpoints[f"e{n}"], checkpoints["base"]) for n in range(3)]
    expected = flat_ties(taus, 0.3, original=True)
    np.testing.assert_allclose(flat_tau(merged, checkpoints["base"]), expected, atol=1e-6)


@needs_torch
def test_dare_drops_the_same_entries_in_every_pass(tmp_path):
    checkpoints = write_uneven_checkpoints(tmp_path)
    parameters = 'scope = "model"\ndensity = 0.3\ndrop = 0.5'
    path = write_recipe(tmp_path, "dare-ties", settings="exclude = []\nlambda = 1", parameters=parameters)
    merged = flat_tau(read_tensors(make(Plan(path), log=lambda _: None)), checkpoints["base"])
    dropped = []
    for n in range(3):
        dare_recipe = write_recipe(
            tmp_path, "dare", experts=0, settings="exclude = []\nlambda = 1", parameters="drop = 0.5"
        )
        dare_recipe.write_text(dare_recipe.read_text().replace("[experts]", f'[experts]\ne{n} = "./e{n}"'))
        dropped.append(
            flat_tau(read_tensors(make(Plan(dare_recipe), log=lambda _: None)), checkpoints["base"])
        )
    np.testing.assert_allclose(merged, flat_ties(dropped, 0.3, original=False), atol=1e-5)


@needs_torch
def test_tensors_that_no_lora_changes_count_as_zeros(tmp_path):
    from tests.support.merging import write_lora

    base = write_base_and_experts(tmp_path, experts=0)["base"]
    layer = "model.layers.0.self_attn.q_proj"
    loras = [random_lora_factors({layer: base[f"{layer}.weight"].shape}, seed=n) for n in range(2)]
    for number, factors in enumerate(loras):
        write_lora(tmp_path / f"e{number}", factors, rank=4, alpha=4)
    path = write_recipe(
        tmp_path,
        "ties",
        experts=2,
        settings="exclude = []\nlambda = 1",
        parameters='scope = "model"\ndensity = 0.1',
    )
    merged = read_tensors(make(Plan(path), log=lambda _: None))
    total = sum(tensor.numel() for tensor in base.values())
    taus = [np.zeros(total) for _ in range(2)]
    for tau, factors in zip(taus, loras, strict=True):
        down, up = factors[layer]
        tau[:256] = (up @ down).numpy().ravel()
    expected = flat_ties(taus, 0.1, original=False)[:256]
    np.testing.assert_allclose(
        (merged[f"{layer}.weight"] - base[f"{layer}.weight"]).numpy().ravel(), expected, atol=1e-6
    )
