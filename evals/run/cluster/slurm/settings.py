"""Settings of Slurm jobs: `--slurm KEY=VALUE`, the `[slurm]` table of a request file, or EVALS_SLURM_KEY variables."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from evals.calls.secrets import secret_argument
from evals.errors import UnknownName, UsageError
from evals.validation import cause

PREFIX = "EVALS_SLURM_"
"""Prefix of the environment variables that contain settings."""
_TIME_LIMIT = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")


class Settings(Struct, frozen=True, kw_only=True):
    """Settings of the Slurm jobs of a command."""

    partition: str = ""
    account: str = ""
    qos: str = ""
    constraint: str = ""
    time: str = "4:00:00"
    """Time limit in sbatch's format; a job that reaches it is requeued."""
    gpus: int | None = None
    """GPUs per job; None: the number in the model's profile."""
    cpus: int | None = None
    memory: str = ""
    """Value of `sbatch --mem`."""
    container: str = ""
    """Image for `srun --container-image` (Pyxis)."""
    mounts: str = ""
    """Value of `srun --container-mounts`."""
    python: str = ""
    """Command that starts Python on a node, e.g. `apptainer exec --nv IMAGE python3`; empty: this interpreter, or
    `python3` in a container."""
    setup: tuple[str, ...] = ()
    """Shell commands to run before Python."""
    folder: str = ""
    """Folder that the driver and the nodes share; empty: `.slurm` in the results folder."""
    grace: float = 60.0
    """Time in seconds that a job waits for the driver to connect again after its connection has ended."""
    driver_partition: str = ""
    """Partition of the driver's job with --detach; empty: `partition`."""
    driver_time: str = ""
    """Time limit of the driver's job; empty: `time`."""


def read(entries: Sequence[str], environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings in `KEY=VALUE` entries, with defaults from the environment; raises UsageError.

    If a key occurs several times, its last value counts; but all lines of `setup` are kept.
    """
    values: dict[str, Any] = {}
    for key in Settings.__struct_fields__:
        if value := environment.get(f"{PREFIX}{key.upper()}", "").strip():
            values[key] = value.splitlines() if key == "setup" else value
    setup_lines: list[str] = []
    for entry in entries:
        key, equals, value = entry.partition("=")
        key = key.strip().replace("-", "_")
        if key not in Settings.__struct_fields__:
            raise UnknownName("Slurm setting", key, Settings.__struct_fields__)
        if not equals:
            raise UsageError(f"--slurm {entry}: write KEY=VALUE")
        setup_lines += [value] if key == "setup" else []
        values[key] = setup_lines if key == "setup" else value.strip()
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"Slurm setting: {cause(error)}") from None
    _check_settings(settings)
    return settings


def minutes(time_limit: str) -> int:
    """Return a time limit in minutes, rounded up; raises UsageError if it is malformed.

    >>> [minutes(t) for t in ("90", "1:30", "4:00:00", "1-12", "2-00:00:01")]
    [90, 2, 240, 2160, 2881]
    """
    match = _TIME_LIMIT.fullmatch(time_limit)
    if match is None:
        raise UsageError(f"Slurm setting: time {time_limit!r}; write MINUTES, HH:MM:SS or DAYS-HH:MM:SS")
    days, *rest = match.groups()
    first, second, third = (int(part) if part else 0 for part in rest)
    if days:
        seconds = int(days) * 86_400 + first * 3600 + second * 60 + third
    elif rest[2] is not None:
        seconds = first * 3600 + second * 60 + third
    else:
        seconds = first * 60 + second
    return -(-seconds // 60)


def _check_settings(settings: Settings) -> None:
    """Raise UsageError for values that sbatch would reject, and for secrets in what the job's script will contain."""
    for key in Settings.__struct_fields__:
        value = getattr(settings, key)
        for line in value if isinstance(value, tuple) else (str(value),):
            if not line.isprintable() and key != "setup":
                raise UsageError(f"Slurm setting: {key} contains a control character")
    for time in filter(None, (settings.time, settings.driver_time)):
        if minutes(time) < 1:
            raise UsageError(f"Slurm setting: time {time!r} must be at least a minute")
    if (
        (settings.gpus or 0) < 0
        or (settings.cpus is not None and settings.cpus < 1)
        or not 1 <= settings.grace <= 3600
    ):
        raise UsageError("Slurm setting: gpus must be at least 0, cpus at least 1, grace 1 to 3600 seconds")
    if name := secret_argument([*settings.setup, settings.python]):
        raise UsageError(
            f"Slurm setting: {name} in setup or python would be written to the job's script; set it in the environment"
        )
