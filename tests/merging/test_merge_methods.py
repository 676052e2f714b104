"""Every merging method against a direct implementation of its formula, on small matrices in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from evals.merging.table import METHODS, MergeContext
from tests.support.merging import TORCH, needs_torch
from tests.support.tables import table

if TORCH:
    import torch

    from evals.merging import elementwise, optimised, spectral

pytestmark = needs_torch
NAME = "model.layers.0.mlp.down_proj.weight"


def random_taus(
    *, experts: int = 3, rows: int = 7, columns: int = 12, seed: int = 0, scale: float = 1.0
) -> list[np.ndarray]:
    """Return random task vectors, each of a larger norm than the one before."""
    rng = np.random.default_rng(seed)
    return [scale * rng.normal(size=(rows, columns)) * (n + 1) for n in range(experts)]


def context(
    method: str,
    *,
    edition: str = "fixed",
    tensor: str = NAME,
    experts: int = 3,
    seed: int = 0,
    **parameters: Any,
) -> MergeContext:
    """Return the context of a tensor that is merged by a method."""
    names = tuple(f"e{n}" for n in range(experts))
    return MergeContext(
        tensor=tensor,
        experts=names,
        parameters=METHODS[method].parameters(**parameters),
        edition=edition,
        seed=seed,
        factor=1.0,
        stored_dtype=torch.float64,
    )


def merge(method: str, taus: list[np.ndarray], **options: Any) -> np.ndarray:
    """Merge task vectors with the implementation under test."""
    tensors = [torch.from_numpy(tau.copy()) for tau in taus]
    return METHODS[method].load()(tensors, context(method, experts=len(taus), **options)).numpy()


def assert_close(value: np.ndarray, expected: np.ndarray, tolerance: float = 1e-6) -> None:
    assert value.shape == expected.shape
    np.testing.assert_allclose(value, expected, rtol=tolerance, atol=tolerance)


# --- elementwise methods


def test_averaging_is_the_mean_and_task_arithmetic_the_sum():
    taus = random_taus()
    assert_close(merge("weight-average", taus), sum(taus) / 3)
    assert_close(merge("task-arithmetic", taus), sum(taus))


def reference_ties(taus: list[np.ndarray], density: float, *, original: bool) -> np.ndarray:
    """Return the TIES merge, entry by entry."""
    trimmed = []
    for tau in taus:
        magnitudes = sorted(abs(float(x)) for x in tau.flat)
        k = int(len(magnitudes) * (1 - density))
        threshold = magnitudes[k - 1] if original else magnitudes[min(k, len(magnitudes) - 1)]
        if original and k == 0:
            threshold = 0.0
        trimmed.append([float(x) if abs(x) >= threshold else 0.0 for x in tau.flat])
    sums = [sum(column) for column in zip(*trimmed, strict=True)]
    majority = sum(np.sign(s) for s in sums)
    merged = []
    for total, column in zip(sums, zip(*trimmed, strict=True), strict=True):
        sign = np.sign(total) or np.sign(majority)
        agreeing = [x for x in column if x * sign > 0]
        merged.append(sum(agreeing) / max(1, len(agreeing)))
    return np.array(merged).reshape(taus[0].shape)


@pytest.mark.parametrize("edition", ["fixed", "original"])
@pytest.mark.parametrize("density", [0.05, 0.2, 0.5, 1.0])
def test_ties_agrees_with_its_formula(edition, density):
    taus = random_taus()
    assert_close(
        merge("ties", taus, edition=edition, density=density),
        reference_ties(taus, density, original=edition == "original"),
    )


def test_ties_in_several_blocks_gives_the_same_result(monkeypatch):
    taus = random_taus(rows=30, columns=41)
    monkeypatch.setattr(elementwise, "BLOCK", 100)
    assert_close(merge("ties", taus), reference_ties(taus, 0.2, original=False))


def test_ties_keeps_the_share_given_by_the_density_and_the_original_one_entry_more():
    tau = np.arange(1.0, 11.0).reshape(2, 5)
    assert np.count_nonzero(merge("ties", [tau], density=0.2)) == 2
    assert np.count_nonzero(merge("ties", [tau], density=0.2, edition="original")) == 3


def test_ties_keeps_all_entries_equal_to_the_smallest_kept_one():
    tau = np.array([[0.1, 0.5, -0.5, 0.5, 0.9]])
    assert_close(merge("ties", [tau], density=0.4), np.array([[0, 0.5, -0.5, 0.5, 0.9]]))


def test_ties_elects_the_majority_sign_if_a_sum_is_zero():
    first, second = np.array([[1.0, 3.0, 2.0]]), np.array([[-1.0, 3.0, 2.0]])
    assert_close(merge("ties", [first, second], density=1.0), np.array([[1.0, 3.0, 2.0]]))
    assert_close(merge("ties", [-first, -second], density=1.0), np.array([[-1.0, -3.0, -2.0]]))
    no_majority = [np.array([[1.0, -2.0, 2.0]]), np.array([[-1.0, -2.0, 2.0]])]
    assert_close(merge("ties", no_majority, density=1.0), np.array([[0.0, -2.0, 2.0]]))


def test_dare_has_the_right_mean_and_variance_and_is_repeatable():
    taus = random_taus(experts=2, rows=4, columns=5)
    merges = np.array([merge("dare", taus, drop=0.6, seed=seed) for seed in range(4000)])
    standard_error = merges.std(axis=0) / math.sqrt(len(merges))
    assert np.all(np.abs(merges.mean(axis=0) - sum(taus)) < 5 * standard_error + 1e-9)
    variance = 0.6 / 0.4 * sum(tau**2 for tau in taus)
    np.testing.assert_allclose(merges.var(axis=0), variance, rtol=0.2)
    assert_close(merge("dare", taus, drop=0.6, seed=7), merges[7], 0)
    of_ones = merge("dare", [np.ones((50, 50))], drop=0.2)
    assert set(np.unique(of_ones.round(9))) == {0.0, 1.25}
    assert_close(merge("dare", taus, drop=0.0), sum(taus))


def test_dare_does_not_depend_on_the_order_of_experts():
    taus = random_taus()
    expected = merge("dare", taus, drop=0.5)
    reversed_taus = [torch.from_numpy(tau.copy()) for tau in reversed(taus)]
    reversed_context = context("dare", drop=0.5)
    reversed_context = structs.replace(reversed_context, experts=("e2", "e1", "e0"))
    assert_close(elementwise.dare(reversed_taus, reversed_context).numpy(), expected)


def test_dare_ties_is_ties_after_dare_and_the_original_uses_only_the_last_expert():
    taus = random_taus()
    tensors = [torch.from_numpy(tau.copy()) for tau in taus]
    elementwise.drop_at_random(tensors, context("dare-ties", drop=0.5))
    remaining = [tensor.numpy() for tensor in tensors]
    assert_close(merge("dare-ties", taus, drop=0.5), reference_ties(remaining, 0.2, original=False))
    assert_close(
        merge("dare-ties", taus, drop=0.5, edition="original"),
        reference_ties(remaining[-1:], 0.2, original=True),
    )


# --- decompositions


def reference_tsv(taus: list[np.ndarray]) -> np.ndarray:
    """Return the TSV merge by the released code, which copies the parts into buffers of the full width."""
    width = min(taus[0].shape)
    rank = int(width / len(taus))
    u_all, s_all, v_all = (
        np.zeros((taus[0].shape[0], width)),
        np.zeros(width),
        np.zeros((width, taus[0].shape[1])),
    )
    for index, tau in enumerate(taus):
        u, s, v = np.linalg.svd(tau, full_matrices=False)
        block = slice(index * rank, (index + 1) * rank)
        u_all[:, block], s_all[block], v_all[block] = u[:, :rank], s[:rank], v[:rank]
    (a, _, b), (c, _, d) = (np.linalg.svd(part, full_matrices=False) for part in (u_all, v_all))
    return a @ b @ np.diag(s_all) @ c @ d


@pytest.mark.parametrize(("rows", "columns", "experts"), [(7, 12, 3), (12, 7, 3), (9, 9, 4), (6, 6, 1)])
def test_tsv_agrees_with_the_released_formula(rows, columns, experts):
    taus = random_taus(rows=rows, columns=columns, experts=experts)
    assert_close(merge("tsv", taus), reference_tsv(taus))


def test_the_original_tsv_averages_every_matrix_except_lm_head():
    taus = random_taus()
    assert_close(merge("tsv", taus, edition="original"), sum(taus) / 3)
    assert_close(merge("tsv", taus, edition="original", tensor="lm_head.weight"), reference_tsv(taus))
    assert np.abs(merge("tsv", taus) - sum(taus) / 3).max() > 0.1


def test_iso_c_equalises_the_singular_values_and_keeps_the_nuclear_norm():
    taus = random_taus()
    u, s, v = np.linalg.svd(sum(taus), full_matrices=False)
    merged = merge("iso-c", taus)
    assert_close(merged, u @ np.diag(np.full_like(s, s.mean())) @ v)
    singular_values = np.linalg.svd(merged, compute_uv=False)
    np.testing.assert_allclose(singular_values, s.mean())
    assert singular_values.sum() == pytest.approx(s.sum())


# --- gradient descent


def gradient(
    merged: np.ndarray, taus: list[np.ndarray], targets: list[np.ndarray], directions: list[np.ndarray]
) -> np.ndarray:
    """Return the gradient of the sum of |(M - t) D^T|^2 / |tau|^2 over experts, where t is the target and D the directions."""
    result = np.zeros_like(merged)
    for tau, target, rows in zip(taus, targets, directions, strict=True):
        result += 2 * (merged - target) @ rows.T @ rows / np.sum(tau**2)
    return result


def adam(start: np.ndarray, gradient_at: Any, *, steps: int, rate: float) -> np.ndarray:
    point, first, second = start.copy(), np.zeros_like(start), np.zeros_like(start)
    for step in range(1, steps + 1):
        g = gradient_at(point)
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
        point -= rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    return point


def sgd(start: np.ndarray, gradient_at: Any, *, steps: int, rate: float) -> np.ndarray:
    point, velocity = start.copy(), np.zeros_like(start)
    for _ in range(steps):
        velocity = 0.9 * velocity + gradient_at(point)
        point -= rate * velocity
    return point


def low_rank(matrix: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rank-k part, and S_k V_k^T followed by rows of zeros, as in the released code."""
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    rows = np.zeros_like(matrix)
    rows[:rank] = s[:rank, None] * v[:rank]
    return u[:, :rank] @ np.diag(s[:rank]) @ v[:rank], rows


@pytest.mark.parametrize("rate", [1e-5, 1e-2])
def test_wudi_agrees_with_adam_on_its_loss(rate):
    taus = random_taus()
    expected = adam(sum(taus), lambda m: gradient(m, taus, taus, taus), steps=300, rate=rate)
    assert_close(merge("wudi", taus, rate=rate), expected)


@pytest.mark.parametrize("edition", ["fixed", "original"])
def test_optmerge_for_full_fine_tuning_agrees_with_adam_on_its_loss(edition):
    taus = random_taus(rows=12, columns=7)
    centre = sum(taus) / 3
    centred = [low_rank(tau - centre, 2) for tau in taus]
    targets = [target + centre for target, _ in centred]
    directions = (
        [low_rank(tau, 2)[1] for tau in taus] if edition == "original" else [rows for _, rows in centred]
    )
    expected = adam(sum(taus), lambda m: gradient(m, taus, targets, directions), steps=300, rate=1e-3)
    assert_close(merge("optmerge-full", taus, rate=1e-3, edition=edition), expected)


@pytest.mark.parametrize("edition", ["fixed", "original"])
def test_optmerge_for_lora_agrees_with_sgd_on_its_loss(edition):
    taus = random_taus()
    parts = [low_rank(tau, 2) for tau in taus]
    targets, directions = [target for target, _ in parts], [rows for _, rows in parts]
    expected = sgd(sum(taus) / 3, lambda m: gradient(m, taus, targets, directions), steps=300, rate=1e-2)
    assert_close(merge("optmerge-lora", taus, rate=1e-2, edition=edition), expected)


def test_the_original_optmerge_for_lora_loses_updates_in_float16():
    taus = [torch.from_numpy(tau).float() for tau in random_taus(scale=0.01)]
    results = {}
    for edition in ("fixed", "original"):
        float16_context = context("optmerge-lora", edition=edition)
        float16_context = structs.replace(float16_context, stored_dtype=torch.float16)
        results[edition] = optimised.optmerge_lora([tau.clone() for tau in taus], float16_context)
    mean = sum(taus) / 3
    assert int((results["fixed"] == mean).sum()) == 0
    assert int((results["original"] == mean.half().float()).sum()) > 5  # entries that no step has changed


@pytest.mark.parametrize("edition", ["fixed", "original"])
def test_optmerge_for_modalities_keeps_a_third_of_the_rank_for_three_experts_and_the_original_a_fifth(
    edition,
):
    taus = random_taus()
    rank = int(7 / 5) if edition == "original" else int(7 / 3)
    targets = [low_rank(tau, rank)[0] for tau in taus]
    expected = sgd(sum(taus) / 3, lambda m: gradient(m, taus, targets, taus), steps=300, rate=1e-2)
    assert_close(merge("optmerge-modality", taus, rate=1e-2, edition=edition), expected)


def test_the_original_optmerge_for_modalities_merges_the_factors_of_loras_separately():
    rng = np.random.default_rng(0)
    loras = [(rng.normal(size=(5, 9)), rng.normal(size=(8, 5))) for _ in range(3)]
    original_context = structs.replace(context("optmerge-modality", edition="original"), factor=0.5)
    factors = [(torch.from_numpy(a), torch.from_numpy(b), 2.0) for a, b in loras]
    downs, ups = [a for a, _ in loras], [b for _, b in loras]
    down = merge("optmerge-modality", downs, edition="original")
    up = merge("optmerge-modality", ups, edition="original")
    assert_close(
        0.5 * optimised.modality_factors(factors, original_context).numpy(), 2.0 * (0.5 * up) @ (0.5 * down)
    )


@pytest.mark.parametrize("method", ["wudi", "optmerge-lora", "optmerge-full", "optmerge-modality"])
def test_an_expert_that_does_not_change_a_matrix_gives_nan_only_in_the_original(method):
    taus = [*random_taus(experts=2), np.zeros((7, 12))]
    assert np.isfinite(merge(method, taus)).all()
    assert np.isnan(merge(method, taus, edition="original")).any()


# --- closed forms


def reference_swudi(taus: list[np.ndarray], *, time: float, count: int, start: np.ndarray) -> np.ndarray:
    """Return the gradient flow from `start` at a time, in the `count` leading eigenvectors of C (below)."""
    c = sum(tau.T @ tau / np.sum(tau**2) for tau in taus)
    d = sum(tau @ tau.T @ tau / np.sum(tau**2) for tau in taus)
    values, vectors = np.linalg.eigh(c)
    merged = start.copy()
    for value, vector in list(zip(values, vectors.T, strict=True))[len(values) - count :]:
        share = 1 - math.exp(-value * time)
        merged += share * np.outer(d @ vector / value - start @ vector, vector)
    return merged


@pytest.mark.parametrize("edition", ["fixed", "original"])
@pytest.mark.parametrize("start_rule", ["sum", "mean", "zero"])
def test_swudi_agrees_with_its_formula(start_rule, edition):
    taus = random_taus(rows=12, columns=7)
    start = {"sum": sum(taus), "mean": sum(taus) / 3, "zero": np.zeros_like(taus[0])}[start_rule]
    expected = reference_swudi(taus, time=5.0, count=5, start=start)  # ceil(.65 * 7)
    assert_close(merge("swudi", taus, time=5.0, ratio=0.65, start=start_rule, edition=edition), expected)


@pytest.mark.parametrize("method", ["swudi", "aswudi"])
def test_task_vectors_that_are_nearly_zero_are_averaged(method):
    taus = random_taus(scale=1e-9)
    assert_close(1e9 * merge(method, taus), 1e9 * sum(taus) / 3)


def test_the_closed_form_is_the_minimum_that_gradient_descent_reaches():
    # C has rank 15 of 20; the part outside its row space does not change
    taus = random_taus(rows=5, columns=20)
    curvature = sum(tau.T @ tau / np.sum(tau**2) for tau in taus)
    rate = 1 / np.linalg.eigvalsh(curvature)[-1] / 2
    point = sum(taus)
    for _ in range(20_000):
        point = point - rate * gradient(point, taus, taus, taus)
    assert np.abs(gradient(point, taus, taus, taus)).max() < 1e-10
    assert_close(merge("swudi", taus, time=1e9, ratio=1.0), point)
    assert_close(merge("aswudi", taus, rank="all"), point)
    after_adam = adam(point, lambda m: gradient(m, taus, taus, taus), steps=50, rate=1e-7)
    assert_close(after_adam, point, 1e-4)


def test_the_closed_form_at_a_finite_time_agrees_with_gradient_flow():
    taus = random_taus(rows=6, columns=6)
    step, point = 1e-4, sum(taus)
    for _ in range(10_000):  # up to t = 1 of dM/dt = -(M C - D), which is half the gradient
        point = point - step * gradient(point, taus, taus, taus) / 2
    assert_close(merge("swudi", taus, time=1.0, ratio=1.0), point, 1e-3)


def test_the_original_aswudi_amplifies_rounding_errors_in_directions_without_signal():
    taus = [torch.from_numpy(tau).float() for tau in random_taus(rows=5, columns=200, experts=2)]
    exact = [tau.double() for tau in taus]
    errors = {}
    for edition in ("fixed", "original"):
        aswudi_context = context("aswudi", experts=2, edition=edition, rank="all")
        expected = spectral.aswudi([tau.clone() for tau in exact], context("aswudi", experts=2, rank="all"))
        errors[edition] = float(
            (spectral.aswudi([tau.clone() for tau in taus], aswudi_context) - expected).abs().max()
        )
    assert errors["fixed"] < 1e-3
    assert errors["original"] > 10 * errors["fixed"]


@pytest.mark.parametrize(
    ("rule", "count"),
    [
        ("all", 4),
        ("stable-rank", 2),
        ("participation", 3),
        ("participation-sqrt", 4),
        ("entropy", 4),
        ("cumulative", 3),
    ],
)
def test_each_rule_keeps_the_expected_number_of_directions(rule, count):
    values = torch.tensor([4.0, 2.0, 1.0, 0.5], dtype=torch.float64)
    parameters = METHODS["aswudi"].parameters(rank=rule)
    assert spectral.direction_count(values, parameters, shape=(4, 4)) == count


def test_the_gavish_donoho_rule_keeps_singular_values_above_the_noise():
    values = torch.tensor([100.0, 50.0, *([1.0] * 30)], dtype=torch.float64)
    parameters = METHODS["aswudi"].parameters(rank="gavish-donoho")
    assert spectral.direction_count(values, parameters, shape=(64, 32)) == 2


# --- properties of all methods


@pytest.mark.parametrize(
    "method", ["weight-average", "task-arithmetic", "tsv", "wudi", "optmerge-lora", "optmerge-full", "swudi"]
)
def test_merging_one_expert_gives_its_task_vector(method):
    (tau,) = random_taus(experts=1)
    assert_close(merge(method, [tau]), tau, 1e-5)


def test_task_vectors_with_orthogonal_row_spaces_are_summed():
    rng = np.random.default_rng(1)
    basis = np.linalg.qr(rng.normal(size=(12, 12)))[0]
    taus = [rng.normal(size=(7, 4)) @ basis[4 * n : 4 * n + 4] for n in range(3)]
    for method, parameters in (
        ("wudi", {"rate": 1e-12}),
        ("swudi", {"time": 1e9, "ratio": 1.0}),
        ("aswudi", {}),
    ):
        assert_close(merge(method, taus, **parameters), sum(taus), 1e-6)


@table("method", sorted(METHODS))
def test_the_result_does_not_depend_on_the_order_of_experts(method):
    taus = random_taus()
    names = ("e0", "e1", "e2")
    results = []
    for order in ((0, 1, 2), (2, 0, 1)):
        tensors = [torch.from_numpy(taus[n].copy()) for n in order]
        ordered_context = structs.replace(context(method), experts=tuple(names[n] for n in order))
        results.append(METHODS[method].load()(tensors, ordered_context).numpy())
    assert_close(results[0], results[1])


@pytest.mark.parametrize(
    "method", ["wudi", "swudi", "aswudi", "optmerge-lora", "optmerge-full", "optmerge-modality"]
)
def test_lm_head_is_averaged(method):
    taus = random_taus()
    assert_close(merge(method, taus, tensor="lm_head.weight"), sum(taus) / 3)
