"""Suites and adapters that other packages bring, by entry point; what they bring is imported when it is named.

    [project.entry-points."science_evals.suites"]
    capitals = "my_package.capitals"

A name of the house is never taken over by a package.
"""

from __future__ import annotations

from functools import cache

from msgspec import Struct

SUITES, ADAPTERS = "science_evals.suites", "science_evals.adapters"


class Origin(Struct, frozen=True):
    """Where a plugin comes from."""

    module: str
    package: str
    version: str

    def __str__(self) -> str:
        return f"{self.package} {self.version}"


@cache
def found(group: str) -> dict[str, Origin]:
    """Name, with hyphens -> origin; the first package that claims a name has it."""
    from importlib.metadata import entry_points

    origins: dict[str, Origin] = {}
    for point in sorted(entry_points(group=group), key=lambda p: (p.name, p.dist.name if p.dist else "")):
        dist = point.dist
        origin = Origin(point.module, dist.name if dist else "unknown", dist.version if dist else "?")
        origins.setdefault(point.name.replace("_", "-").lower(), origin)
    return origins
