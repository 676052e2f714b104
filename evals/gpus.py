"""The GPUs of this machine, and checks whether they suffice to serve a model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from evals import profiles
from evals.checkpoints import Size
from evals.errors import UsageError, install_command
from evals.plain import either
from evals.profiles import GPU_GB, Profile

MEMORY_TOLERANCE = 0.95
"""Fraction of the nominal memory that suffices, as 80 GB cards report between 79.6 and 85.9 GB."""


class Gpu(Struct, frozen=True):
    """A GPU of this machine."""

    name: str
    gb: float
    """Memory in units of 1e9 bytes."""

    @property
    def kind(self) -> str:
        """Return the GPU's type as spelled in profiles, e.g. `H100`; empty for a type that no profile mentions."""
        return next((kind for kind in GPU_GB if kind in self.name.upper()), "")


def visible_gpus() -> list[Gpu]:
    """Return the GPUs that a server on this machine could use; raises UsageError if they cannot be determined."""
    try:
        import pynvml
    except ImportError:
        if any(Path("/dev").glob("nvidia[0-9]*")):
            raise UsageError(
                f"the GPUs of this machine cannot be counted: {install_command('gpu')}"
            ) from None
        return []
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []  # no driver
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(n) for n in range(pynvml.nvmlDeviceGetCount())]
        indices = _visible_indices([str(pynvml.nvmlDeviceGetUUID(handle)) for handle in handles])
        return [
            Gpu(
                str(pynvml.nvmlDeviceGetName(handles[n])),
                pynvml.nvmlDeviceGetMemoryInfo(handles[n]).total / 1e9,
            )
            for n in indices
        ]
    except pynvml.NVMLError as error:
        raise UsageError(f"the GPU driver reports an error: {error}") from None
    finally:
        pynvml.nvmlShutdown()


def _visible_indices(uuids: Sequence[str]) -> list[int]:
    """Return the indices of the GPUs in CUDA_VISIBLE_DEVICES, which CUDA reads up to the first entry that does not identify a GPU."""
    devices = os.environ.get("CUDA_VISIBLE_DEVICES")
    if devices is None:
        return list(range(len(uuids)))
    indices = []
    for entry in devices.split(","):
        entry = entry.strip()
        matches = [n for n, uuid in enumerate(uuids) if entry and uuid.startswith(entry)]
        if entry.isdecimal():
            matches = [int(entry)] if int(entry) < len(uuids) else []
        if len(matches) != 1:
            break
        indices += matches
    return indices


def required_gpus(profile: Profile) -> str:
    """Return the GPUs that a profile requires, e.g. `8 x 80 GB or 4 x 141 GB`; empty if the profile states none."""
    if not profile.gpus:
        count = profile.tensor_parallel
        return f"{count} GPU{'s' * (count > 1)}" if count else ""
    counts: dict[int, int] = {}
    for kind, count in sorted(profile.gpus.items(), key=lambda item: GPU_GB[item[0]]):
        if count < min(counts.values(), default=count + 1):  # larger GPUs are listed only if fewer suffice
            counts[GPU_GB[kind]] = count
    suffix = f" over {profile.nodes} nodes" if profile.nodes > 1 else ""
    return either(f"{count} x {gb} GB" for gb, count in counts.items()) + suffix


def shortfall(profile: Profile, available: Sequence[Gpu]) -> str:
    """Return in one line why the available GPUs do not suffice for a profile, and what to try instead; empty if they suffice."""
    if not required_gpus(profile) or _gpus_suffice(profile, available):
        return ""
    title = profile.name if profile.precision in profile.name else f"{profile.name} {profile.precision}"
    alternatives = [_describe_alternative(name) for name in profile.smaller]
    if profile.nodes > 1 and _gpus_suffice(profile, [*available] * profile.nodes):
        alternatives.insert(0, f"--cluster ray with {profile.nodes} such nodes")
    advice = f": try {', or '.join(alternatives)}" if alternatives else ""
    return f"{title} needs {required_gpus(profile)}; found {_describe_gpus(available)}{advice}"


SKIP_HINT = "--no-gpu-check starts the server anyway"


def check_gpus(profile: Profile, available: Sequence[Gpu], size: Size | None) -> tuple[str, str]:
    """Return an error and a warning about serving a model on these GPUs; each is empty if there is none.

    If the weights fit, fewer or smaller GPUs than recommended only cause a warning. `size`: size of the checkpoint; None if
    it is not on this machine.
    """
    if not (reason := shortfall(profile, available)):
        return "", ""
    if size is None:
        unknown = "the size of its weights is not known, as they are not on this machine"
        return f"{reason}; {unknown}; {SKIP_HINT}", ""
    total_gb = sum(gpu.gb for gpu in available)
    weights = f"its weights take {size.weights:.1f} GB"
    if size.weights > total_gb:
        memory = f", and the GPUs here have {total_gb:.0f} GB in all" if available else ""
        return f"{reason}; {weights}{memory}; {SKIP_HINT}", ""
    cache = f", the KV cache for {size.tokens:,} tokens {size.cache:.1f} GB" if size.tokens else ""
    shortage = "" if size.total <= total_gb else ", more than available; a shorter context may help"
    return "", (
        f"{profile.name} is recommended for {required_gpus(profile)}; {weights}{cache}, {size.total:.1f} GB in all{shortage}; "
        f"found {_describe_gpus(available)}: the engine may fail to start"
    )


def _gpus_suffice(profile: Profile, available: Sequence[Gpu]) -> bool:
    if not profile.gpus:
        return len(available) >= (profile.tensor_parallel or 0)
    kinds = {gpu.kind for gpu in available}
    if len(kinds) == 1 and (kind := kinds.pop()):
        return kind in profile.gpus and len(available) >= profile.gpus[kind]
    return any(  # several types, or one that no profile mentions: compare the memory
        sum(
            gpu.gb >= MEMORY_TOLERANCE * GPU_GB[kind] and gpu.kind in ("", *profile.gpus) for gpu in available
        )
        >= count
        for kind, count in profile.gpus.items()
    )


def _describe_gpus(available: Sequence[Gpu]) -> str:
    counts = {gpu: available.count(gpu) for gpu in available}
    return ", ".join(f"{count} x {gpu.name} ({gpu.gb:.0f} GB)" for gpu, count in counts.items()) or "no GPU"


def _describe_alternative(name: str) -> str:
    profile = next((profile for profile in profiles.all_profiles() if profile.name == name), None)
    count = profile.gpus.get("H100") if profile else None
    return f"{name} ({count} x H100)" if count else name
