"""The GPUs of this machine, and whether they suffice for a model's profile."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from evals import profiles
from evals.checkpoints import Size
from evals.errors import UsageError, install
from evals.profiles import GPU_GB, Profile

SLACK = 0.95
"""Tolerance: 80 GB cards report between 79.6 and 85.9 GB."""


class Gpu(Struct, frozen=True):
    """One GPU."""

    name: str
    gb: float
    """Memory, 1e9 bytes."""

    @property
    def kind(self) -> str:
        """Return its type as spelled in profiles; empty if no profile names it."""
        return next((kind for kind in GPU_GB if kind in self.name.upper()), "")


def visible() -> list[Gpu]:
    """Return the GPUs visible to a server started here; raises UsageError if they cannot be determined."""
    try:
        import pynvml
    except ImportError:
        if any(Path("/dev").glob("nvidia[0-9]*")):
            raise UsageError(f"the GPUs of this machine cannot be counted: {install('gpu')}") from None
        return []
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []  # no driver
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(n) for n in range(pynvml.nvmlDeviceGetCount())]
        shown = _visible([str(pynvml.nvmlDeviceGetUUID(handle)) for handle in handles])
        return [
            Gpu(
                str(pynvml.nvmlDeviceGetName(handles[n])),
                pynvml.nvmlDeviceGetMemoryInfo(handles[n]).total / 1e9,
            )
            for n in shown
        ]
    except pynvml.NVMLError as error:
        raise UsageError(f"the GPU driver reports an error: {error}") from None
    finally:
        pynvml.nvmlShutdown()


def _visible(uuids: Sequence[str]) -> list[int]:
    """Apply CUDA_VISIBLE_DEVICES as CUDA does: entries up to the first that matches no GPU."""
    devices = os.environ.get("CUDA_VISIBLE_DEVICES")
    if devices is None:
        return list(range(len(uuids)))
    shown = []
    for entry in devices.split(","):
        entry = entry.strip()
        matches = [n for n, uuid in enumerate(uuids) if entry and uuid.startswith(entry)]
        if entry.isdecimal():
            matches = [int(entry)] if int(entry) < len(uuids) else []
        if len(matches) != 1:
            break
        shown += matches
    return shown


def needs(profile: Profile) -> str:
    """Return the GPUs that a profile needs, e.g. `8 x 80 GB or 4 x 141 GB`; empty if no source states it."""
    if not profile.gpus:
        count = profile.tensor_parallel
        return f"{count} GPU{'s' * (count > 1)}" if count else ""
    sizes: dict[int, int] = {}
    for kind, count in sorted(profile.gpus.items(), key=lambda item: GPU_GB[item[0]]):
        if count < min(
            sizes.values(), default=count + 1
        ):  # larger GPUs are listed only if fewer of them suffice
            sizes[GPU_GB[kind]] = count
    over = f" over {profile.nodes} nodes" if profile.nodes > 1 else ""
    return " or ".join(f"{count} x {gb} GB" for gb, count in sizes.items()) + over


def lacks(profile: Profile, here: Sequence[Gpu]) -> str:
    """Return in one line why GPUs do not suffice for a profile, with alternatives; empty if they do."""
    if not needs(profile) or _enough(profile, here):
        return ""
    title = " ".join(
        filter(None, (profile.name, "" if profile.precision in profile.name else profile.precision))
    )
    several = f"--cluster ray with {profile.nodes} such nodes"
    alternatives = [several] if profile.nodes > 1 and _enough(profile, [*here] * profile.nodes) else []
    instead = ", or ".join([*alternatives, *(_alternative(name) for name in profile.smaller)])
    return f"{title} needs {needs(profile)}; found {_counted(here)}" + (f": try {instead}" if instead else "")


SKIP = "--no-gpu-check starts it anyway"


def verdict(profile: Profile, here: Sequence[Gpu], size: Size | None) -> tuple[str, str]:
    """Return a refusal and a warning about serving a model on these GPUs; each is empty if there is none.

    If the weights fit, fewer or smaller GPUs than the makers use are only a warning, and the engine decides.
    `size`: of the checkpoint; None if it is not on this machine.
    """
    if not (why := lacks(profile, here)):
        return "", ""
    if size is None:
        return f"{why}; the size of its weights is not known, as they are not on this machine; {SKIP}", ""
    available = sum(gpu.gb for gpu in here)
    takes = f"its weights take {size.weights:.1f} GB"
    if size.weights > available:
        return f"{why}; {takes}, and the GPUs here have {available:.0f} GB in all; {SKIP}", ""
    cache = f", a cache for {size.tokens:,} tokens {size.cache:.1f} GB" if size.tokens else ""
    tight = "" if size.total <= available else ", more than available; a shorter context may help"
    return "", (
        f"{profile.name} is made for {needs(profile)}; {takes}{cache}, {size.total:.1f} GB in all{tight}; "
        f"found {_counted(here)}: the engine decides"
    )


def _enough(profile: Profile, here: Sequence[Gpu]) -> bool:
    if not profile.gpus:
        return len(here) >= (profile.tensor_parallel or 0)
    kinds = {gpu.kind for gpu in here}
    if len(kinds) == 1 and (kind := kinds.pop()):
        return kind in profile.gpus and len(here) >= profile.gpus[kind]
    return any(  # no source for this type: as many GPUs of at least that size
        sum(gpu.gb >= SLACK * GPU_GB[kind] and gpu.kind in ("", *profile.gpus) for gpu in here) >= count
        for kind, count in profile.gpus.items()
    )


def _counted(here: Sequence[Gpu]) -> str:
    names = {gpu: here.count(gpu) for gpu in here}
    return ", ".join(f"{count} x {gpu.name} ({gpu.gb:.0f} GB)" for gpu, count in names.items()) or "0 GPUs"


def _alternative(name: str) -> str:
    profile = next((known for known in profiles.known() if known.name == name), None)
    count = profile.gpus.get("H100") if profile else None
    return f"{name} ({count} x H100)" if count else name
