"""Methods of mergekit (extra `mergekit`, LGPL-3.0; imported, not copied): `method = "mergekit:slerp"`.

Some of them have the name of a method in `table.py` but compute something else (see the table in docs/merging.md), so the
prefix is part of the name. Each tensor is merged by mergekit's `merge_tensors`; its code for files is not used.
"""

from __future__ import annotations

from hashlib import sha256
from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING

from evals.boundary import foreign_code
from evals.errors import UnknownName, UsageError, install_command
from evals.merging.table import MERGEKIT_PREFIX, MergeContext

if TYPE_CHECKING:
    import torch

_SEED_LOCK = Lock()
"""Held while torch's global generator is seeded, since a command may merge two models at the same time."""


def require_method(method: str) -> None:
    """Raise UsageError if mergekit is not installed or has no such method."""
    if find_spec("mergekit") is None:
        raise UsageError(f"{method} needs mergekit: {install_command('mergekit')}")
    from mergekit.merge_methods.registry import registered_methods

    known = [f"{MERGEKIT_PREFIX}{registered.spec.name}" for registered in registered_methods()]
    if method not in known:
        raise UnknownName("merging method", method, known)


def merge(
    taus: list[torch.Tensor], weights: torch.Tensor, context: MergeContext, *, method: str
) -> torch.Tensor:
    """Return the merge of base and experts by a method of mergekit, minus the base.

    Parameters come from the recipe; `weight` is 1 by default, and may be a table with a value for each expert. The base is
    an input only of methods that require it.
    """
    import torch
    from mergekit.merge_methods import registry
    from mergekit.merge_methods.api import merge_tensors

    rule = registry.get(method.removeprefix(MERGEKIT_PREFIX))
    parameters = dict(context.parameters)
    if "weight" in {parameter.name for parameter in rule.spec.parameters}:
        parameters.setdefault("weight", 1.0)
    tensors, ids = [weights + tau for tau in taus], list(context.experts)
    has_base = rule.spec.contract.base.value == "required"
    if has_base:
        tensors.insert(0, weights.clone())
        ids.insert(0, "the base")
    seed = sha256(f"{context.seed}/{context.tensor}".encode()).digest()[:7]
    with (
        _SEED_LOCK,
        torch.random.fork_rng(devices=()),
        foreign_code(lambda why: UsageError(f"{method}: {why}")),
    ):
        torch.manual_seed(int.from_bytes(seed))
        base_index = 0 if has_base else None
        merged: torch.Tensor = merge_tensors(
            tensors, rule, parameters=parameters, ids=ids, base_index=base_index, name=context.tensor
        )
    return merged.to(weights.dtype) - weights
