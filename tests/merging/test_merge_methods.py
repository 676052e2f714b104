"""Every merging method against its authors' formula, written out plainly, on small matrices in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from evals.merging.table import METHODS, Call
from tests.support.merging import TORCH, needs_torch
from tests.support.tables import table

if TORCH:
    import torch

    from evals.merging import elementwise, optimised, spectral

pytestmark = needs_torch
NAME = "model.layers.0.mlp.down_proj.weight"


def taus(
    *, experts: int = 3, rows: int = 7, columns: int = 12, seed: int = 0, scale: float = 1.0
) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [scale * rng.normal(size=(rows, columns)) * (n + 1) for n in range(experts)]


def call(
    method: str,
    *,
    edition: str = "fixed",
    tensor: str = NAME,
    experts: int = 3,
    seed: int = 0,
    **numbers: Any,
) -> Call:
    parameters = METHODS[method].parameters(**numbers)
    names = tuple(f"e{n}" for n in range(experts))
    return Call(
        tensor=tensor,
        experts=names,
        parameters=parameters,
        edition=edition,
        seed=seed,
        factor=1.0,
        stored_dtype=torch.float64,
    )


def merge(method: str, given: list[np.ndarray], **options: Any) -> np.ndarray:
    tensors = [torch.from_numpy(tau.copy()) for tau in given]
    return METHODS[method].load()(tensors, call(method, experts=len(given), **options)).numpy()


def close(value: np.ndarray, wanted: np.ndarray, tolerance: float = 1e-6) -> None:
    assert value.shape == wanted.shape
    np.testing.assert_allclose(value, wanted, rtol=tolerance, atol=tolerance)


# --- element by element


def test_averaging_and_task_arithmetic():
    given = taus()
    close(merge("weight-average", given), sum(given) / 3)
    close(merge("task-arithmetic", given), sum(given))


def plain_ties(given: list[np.ndarray], density: float, *, original: bool) -> np.ndarray:
    trimmed = []
    for tau in given:
        magnitudes = sorted(abs(float(x)) for x in tau.flat)
        k = int(len(magnitudes) * (1 - density))
        least = magnitudes[k - 1] if original else magnitudes[min(k, len(magnitudes) - 1)]
        if original and k == 0:
            least = 0.0
        trimmed.append([float(x) if abs(x) >= least else 0.0 for x in tau.flat])
    sums = [sum(column) for column in zip(*trimmed, strict=True)]
    majority = sum(np.sign(s) for s in sums)
    merged = []
    for total, column in zip(sums, zip(*trimmed, strict=True), strict=True):
        sign = np.sign(total) or np.sign(majority)
        agreeing = [x for x in column if x * sign > 0]
        merged.append(sum(agreeing) / max(1, len(agreeing)))
    return np.array(merged).reshape(given[0].shape)


@pytest.mark.parametrize("edition", ["fixed", "original"])
@pytest.mark.parametrize("density", [0.05, 0.2, 0.5, 1.0])
def test_ties(edition, density):
    given = taus()
    close(
        merge("ties", given, edition=edition, density=density),
        plain_ties(given, density, original=edition == "original"),
    )


def test_ties_in_several_blocks(monkeypatch):
    given = taus(rows=30, columns=41)
    monkeypatch.setattr(elementwise, "BLOCK", 100)
    close(merge("ties", given), plain_ties(given, 0.2, original=False))


def test_ties_keeps_as_many_as_the_density_says_and_the_original_one_more():
    tau = np.arange(1.0, 11.0).reshape(2, 5)
    assert np.count_nonzero(merge("ties", [tau], density=0.2)) == 2
    assert np.count_nonzero(merge("ties", [tau], density=0.2, edition="original")) == 3


def test_ties_keeps_all_entries_that_are_equal_to_the_smallest_kept():
    tau = np.array([[0.1, 0.5, -0.5, 0.5, 0.9]])
    close(merge("ties", [tau], density=0.4), np.array([[0, 0.5, -0.5, 0.5, 0.9]]))


def test_ties_takes_the_sign_of_most_entries_where_a_sum_is_zero():
    first, second = np.array([[1.0, 3.0, 2.0]]), np.array([[-1.0, 3.0, 2.0]])
    close(merge("ties", [first, second], density=1.0), np.array([[1.0, 3.0, 2.0]]))
    close(merge("ties", [-first, -second], density=1.0), np.array([[-1.0, -3.0, -2.0]]))
    alone = [np.array([[1.0, -2.0, 2.0]]), np.array([[-1.0, -2.0, 2.0]])]
    close(merge("ties", alone, density=1.0), np.array([[0.0, -2.0, 2.0]]))


def test_dare_is_right_on_average_and_repeatable():
    given = taus(experts=2, rows=4, columns=5)
    draws = np.array([merge("dare", given, drop=0.6, seed=seed) for seed in range(4000)])
    spread = draws.std(axis=0) / math.sqrt(len(draws))
    assert np.all(np.abs(draws.mean(axis=0) - sum(given)) < 5 * spread + 1e-9)
    variance = 0.6 / 0.4 * sum(tau**2 for tau in given)
    np.testing.assert_allclose(draws.var(axis=0), variance, rtol=0.2)
    close(merge("dare", given, drop=0.6, seed=7), draws[7], 0)
    single = merge("dare", [np.ones((50, 50))], drop=0.2)
    assert set(np.unique(single.round(9))) == {0.0, 1.25}
    close(merge("dare", given, drop=0.0), sum(given))


def test_dare_does_not_depend_on_the_order_of_experts():
    given = taus()
    wanted = merge("dare", given, drop=0.5)
    turned = [torch.from_numpy(tau.copy()) for tau in reversed(given)]
    reverse = call("dare", drop=0.5)
    reverse = structs.replace(reverse, experts=("e2", "e1", "e0"))
    close(elementwise.dare(turned, reverse).numpy(), wanted)


def test_dare_ties_is_ties_of_what_dare_leaves_and_the_original_takes_the_last_expert():
    given = taus()
    tensors = [torch.from_numpy(tau.copy()) for tau in given]
    elementwise.drop_at_random(tensors, call("dare-ties", drop=0.5))
    left = [tensor.numpy() for tensor in tensors]
    close(merge("dare-ties", given, drop=0.5), plain_ties(left, 0.2, original=False))
    close(merge("dare-ties", given, drop=0.5, edition="original"), plain_ties(left[-1:], 0.2, original=True))


# --- decompositions


def plain_tsv(given: list[np.ndarray]) -> np.ndarray:
    """As the released code lays the parts into buffers of the full width."""
    width = min(given[0].shape)
    rank = int(width / len(given))
    u_all, s_all, v_all = (
        np.zeros((given[0].shape[0], width)),
        np.zeros(width),
        np.zeros((width, given[0].shape[1])),
    )
    for index, tau in enumerate(given):
        u, s, v = np.linalg.svd(tau, full_matrices=False)
        place = slice(index * rank, (index + 1) * rank)
        u_all[:, place], s_all[place], v_all[place] = u[:, :rank], s[:rank], v[:rank]
    (a, _, b), (c, _, d) = (np.linalg.svd(part, full_matrices=False) for part in (u_all, v_all))
    return a @ b @ np.diag(s_all) @ c @ d


@pytest.mark.parametrize(("rows", "columns", "experts"), [(7, 12, 3), (12, 7, 3), (9, 9, 4), (6, 6, 1)])
def test_tsv(rows, columns, experts):
    given = taus(rows=rows, columns=columns, experts=experts)
    close(merge("tsv", given), plain_tsv(given))


def test_the_original_tsv_is_averaging_for_all_but_lm_head():
    given = taus()
    close(merge("tsv", given, edition="original"), sum(given) / 3)
    close(merge("tsv", given, edition="original", tensor="lm_head.weight"), plain_tsv(given))
    assert np.abs(merge("tsv", given) - sum(given) / 3).max() > 0.1


def test_iso_c_keeps_the_nuclear_norm_and_flattens_the_spectrum():
    given = taus()
    u, s, v = np.linalg.svd(sum(given), full_matrices=False)
    merged = merge("iso-c", given)
    close(merged, u @ np.diag(np.full_like(s, s.mean())) @ v)
    flat = np.linalg.svd(merged, compute_uv=False)
    np.testing.assert_allclose(flat, s.mean())
    assert flat.sum() == pytest.approx(s.sum())


# --- descents


def gradient(
    merged: np.ndarray, given: list[np.ndarray], targets: list[np.ndarray], axes: list[np.ndarray]
) -> np.ndarray:
    """Of sum |(M - t) D^T|^2 / |tau|^2, term by term."""
    slope = np.zeros_like(merged)
    for tau, target, axis in zip(given, targets, axes, strict=True):
        slope += 2 * (merged - target) @ axis.T @ axis / np.sum(tau**2)
    return slope


def adam(start: np.ndarray, slope: Any, *, steps: int, rate: float) -> np.ndarray:
    point, first, second = start.copy(), np.zeros_like(start), np.zeros_like(start)
    for step in range(1, steps + 1):
        g = slope(point)
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
        point -= rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    return point


def sgd(start: np.ndarray, slope: Any, *, steps: int, rate: float) -> np.ndarray:
    point, speed = start.copy(), np.zeros_like(start)
    for _ in range(steps):
        speed = 0.9 * speed + slope(point)
        point -= rate * speed
    return point


def part(matrix: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """The rank-k matrix, and S_k V_k^T in the first rows of zeros, as released."""
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    rows = np.zeros_like(matrix)
    rows[:rank] = s[:rank, None] * v[:rank]
    return u[:, :rank] @ np.diag(s[:rank]) @ v[:rank], rows


@pytest.mark.parametrize("rate", [1e-5, 1e-2])
def test_wudi(rate):
    given = taus()
    wanted = adam(sum(given), lambda m: gradient(m, given, given, given), steps=300, rate=rate)
    close(merge("wudi", given, rate=rate), wanted)


@pytest.mark.parametrize("edition", ["fixed", "original"])
def test_optmerge_for_full_fine_tuning(edition):
    given = taus(rows=12, columns=7)
    centre = sum(given) / 3
    centred = [part(tau - centre, 2) for tau in given]
    targets = [low + centre for low, _ in centred]
    axes = [part(tau, 2)[1] for tau in given] if edition == "original" else [rows for _, rows in centred]
    wanted = adam(sum(given), lambda m: gradient(m, given, targets, axes), steps=300, rate=1e-3)
    close(merge("optmerge-full", given, rate=1e-3, edition=edition), wanted)


@pytest.mark.parametrize("edition", ["fixed", "original"])
def test_optmerge_for_lora(edition):
    given = taus()
    parts = [part(tau, 2) for tau in given]
    targets, axes = [low for low, _ in parts], [rows for _, rows in parts]
    wanted = sgd(sum(given) / 3, lambda m: gradient(m, given, targets, axes), steps=300, rate=1e-2)
    close(merge("optmerge-lora", given, rate=1e-2, edition=edition), wanted)


def test_the_original_optmerge_for_lora_loses_updates_in_float16():
    given = [torch.from_numpy(tau).float() for tau in taus(scale=0.01)]
    runs = {}
    for edition in ("fixed", "original"):
        job = call("optmerge-lora", edition=edition)
        job = structs.replace(job, stored_dtype=torch.float16)
        runs[edition] = optimised.optmerge_lora([tau.clone() for tau in given], job)
    mean = sum(given) / 3
    assert int((runs["fixed"] == mean).sum()) == 0
    assert int((runs["original"] == mean.half().float()).sum()) > 5  # entries that no step has moved


@pytest.mark.parametrize("edition", ["fixed", "original"])
def test_optmerge_for_modalities_has_a_fifth_hard_coded(edition):
    given = taus()
    rank = int(7 / 5) if edition == "original" else int(7 / 3)
    targets = [part(tau, rank)[0] for tau in given]
    wanted = sgd(sum(given) / 3, lambda m: gradient(m, given, targets, given), steps=300, rate=1e-2)
    close(merge("optmerge-modality", given, rate=1e-2, edition=edition), wanted)


def test_the_original_merges_the_factors_of_loras_apart():
    rng = np.random.default_rng(0)
    pairs = [(rng.normal(size=(5, 9)), rng.normal(size=(8, 5))) for _ in range(3)]
    job = structs.replace(call("optmerge-modality", edition="original"), factor=0.5)
    factors = [(torch.from_numpy(a), torch.from_numpy(b), 2.0) for a, b in pairs]
    downs, ups = [a for a, _ in pairs], [b for _, b in pairs]
    down = merge("optmerge-modality", downs, edition="original")
    up = merge("optmerge-modality", ups, edition="original")
    close(0.5 * optimised.modality_factors(factors, job).numpy(), 2.0 * (0.5 * up) @ (0.5 * down))


@pytest.mark.parametrize("method", ["wudi", "optmerge-lora", "optmerge-full", "optmerge-modality"])
def test_an_expert_that_does_not_change_a_matrix(method):
    given = [*taus(experts=2), np.zeros((7, 12))]
    assert np.isfinite(merge(method, given)).all()
    assert np.isnan(merge(method, given, edition="original")).any()


# --- closed forms


def plain_swudi(given: list[np.ndarray], *, time: float, count: int, start: np.ndarray) -> np.ndarray:
    c = sum(tau.T @ tau / np.sum(tau**2) for tau in given)
    d = sum(tau @ tau.T @ tau / np.sum(tau**2) for tau in given)
    values, vectors = np.linalg.eigh(c)
    merged = start.copy()
    for value, vector in list(zip(values, vectors.T, strict=True))[len(values) - count :]:
        share = 1 - math.exp(-value * time)
        merged += share * np.outer(d @ vector / value - start @ vector, vector)
    return merged


@pytest.mark.parametrize("edition", ["fixed", "original"])
@pytest.mark.parametrize("begin", ["sum", "mean", "zero"])
def test_swudi(begin, edition):
    given = taus(rows=12, columns=7)
    start = {"sum": sum(given), "mean": sum(given) / 3, "zero": np.zeros_like(given[0])}[begin]
    wanted = plain_swudi(given, time=5.0, count=5, start=start)  # ceil(.65 * 7)
    close(merge("swudi", given, time=5.0, ratio=0.65, start=begin, edition=edition), wanted)


@pytest.mark.parametrize("method", ["swudi", "aswudi"])
def test_task_vectors_that_vanish_are_averaged(method):
    given = taus(scale=1e-9)
    close(1e9 * merge(method, given), 1e9 * sum(given) / 3)


def test_the_closed_form_is_where_an_iterative_minimiser_ends():
    given = taus(rows=5, columns=20)  # C has rank 15 of 20: what is not in its row space stays
    c = sum(tau.T @ tau / np.sum(tau**2) for tau in given)
    rate = 1 / np.linalg.eigvalsh(c)[-1] / 2
    point = sum(given)
    for _ in range(20_000):
        point = point - rate * gradient(point, given, given, given)
    assert np.abs(gradient(point, given, given, given)).max() < 1e-10
    close(merge("swudi", given, time=1e9, ratio=1.0), point)
    close(merge("aswudi", given, rank="all"), point)
    descended = adam(point, lambda m: gradient(m, given, given, given), steps=50, rate=1e-7)
    close(descended, point, 1e-4)


def test_the_closed_form_is_gradient_flow_at_every_time():
    given = taus(rows=6, columns=6)
    step, point = 1e-4, sum(given)
    for _ in range(10_000):  # t = 1 of dM/dt = -(M C - D), half the gradient
        point = point - step * gradient(point, given, given, given) / 2
    close(merge("swudi", given, time=1.0, ratio=1.0), point, 1e-3)


def test_the_original_swudi_amplifies_rounding_errors_in_directions_without_signal():
    given = [torch.from_numpy(tau).float() for tau in taus(rows=5, columns=200, experts=2)]
    exact = [tau.double() for tau in given]
    found = {}
    for edition in ("fixed", "original"):
        job = call("aswudi", experts=2, edition=edition, rank="all")
        wanted = spectral.aswudi([tau.clone() for tau in exact], call("aswudi", experts=2, rank="all"))
        found[edition] = float((spectral.aswudi([tau.clone() for tau in given], job) - wanted).abs().max())
    assert found["fixed"] < 1e-3
    assert found["original"] > 10 * found["fixed"]


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
def test_the_number_of_directions(rule, count):
    values = torch.tensor([4.0, 2.0, 1.0, 0.5], dtype=torch.float64)
    given = METHODS["aswudi"].parameters(rank=rule)
    assert spectral.direction_count(values, given, shape=(4, 4)) == count


def test_gavish_and_donoho_keep_what_stands_out():
    values = torch.tensor([100.0, 50.0, *([1.0] * 30)], dtype=torch.float64)
    given = METHODS["aswudi"].parameters(rank="gavish-donoho")
    assert spectral.direction_count(values, given, shape=(64, 32)) == 2


# --- what must hold of any method


@pytest.mark.parametrize(
    "method", ["weight-average", "task-arithmetic", "tsv", "wudi", "optmerge-lora", "optmerge-full", "swudi"]
)
def test_one_expert_alone_gives_its_own_task_vector(method):
    (tau,) = taus(experts=1)
    close(merge(method, [tau]), tau, 1e-5)


def test_experts_of_orthogonal_rows_give_their_sum():
    rng = np.random.default_rng(1)
    basis = np.linalg.qr(rng.normal(size=(12, 12)))[0]
    given = [rng.normal(size=(7, 4)) @ basis[4 * n : 4 * n + 4] for n in range(3)]
    for method, numbers in (
        ("wudi", {"rate": 1e-12}),
        ("swudi", {"time": 1e9, "ratio": 1.0}),
        ("aswudi", {}),
    ):
        close(merge(method, given, **numbers), sum(given), 1e-6)


@table("method", sorted(METHODS))
def test_the_order_of_experts_changes_nothing(method):
    given = taus()
    names = ("e0", "e1", "e2")
    jobs = []
    for order in ((0, 1, 2), (2, 0, 1)):
        tensors = [torch.from_numpy(given[n].copy()) for n in order]
        job = structs.replace(call(method), experts=tuple(names[n] for n in order))
        jobs.append(METHODS[method].load()(tensors, job).numpy())
    close(jobs[0], jobs[1])


@pytest.mark.parametrize(
    "method", ["wudi", "swudi", "aswudi", "optmerge-lora", "optmerge-full", "optmerge-modality"]
)
def test_lm_head_is_averaged(method):
    given = taus()
    close(merge(method, given, tensor="lm_head.weight"), sum(given) / 3)
