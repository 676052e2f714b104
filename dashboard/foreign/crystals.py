"""Numbers and a drawing of a crystal's unit cell, from the description in a prompt, CIF or POSCAR.

>>> rock = read(TEXT)
>>> rock.formula, rock.space_group, len(rock.sites)
('NaCl', 'Fm-3m (225)', 8)

pymatgen reads and finds the symmetry (in a worker process: the text is foreign). The drawing is plain SVG of our own:
it goes through an image element, in either theme. pymatviz draws with plotly (eight more packages, and a script on the
page for each cell); crystal-toolkit is an application of Dash.
"""

from __future__ import annotations

import re
import warnings
from html import escape
from math import cos, radians, sin, sqrt
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from evals.dashboard.charts.colours import ink, palette
from evals.errors import DataError
from evals.scorers.material import ELEMENTS, parse_structure, space_group

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

MOST_SITES = 400
LONGEST = 200_000
"""Characters of a CIF or POSCAR file that is read."""
SIZE = 320
"""Pixels of the drawing's longer side; SVG is sharp at any other size."""
Vector = tuple[float, float, float]


class Site(NamedTuple):
    """An atom in the cell; fractional coordinates."""

    element: str
    x: float
    y: float
    z: float


class Crystal(Struct, frozen=True, kw_only=True):
    """A crystal structure, read."""

    formula: str
    """Reduced."""
    space_group: str
    """Symbol and number; empty if no symmetry was found."""
    lengths: Vector
    """a, b, c in Å."""
    angles: Vector
    """alpha, beta, gamma in degrees."""
    volume: float
    """Of the cell, in Å³."""
    density: float
    """In g/cm³."""
    sites: tuple[Site, ...]
    svg: str = ""


_LATTICE = re.compile(
    r"Lattice: a = (\S+) Å, b = (\S+) Å, c = (\S+) Å,\s+alpha = (\S+)°, beta = (\S+)°, gamma = (\S+)°"
)
_SITES = re.compile(r"^Sites \((\d+) in the cell, fractional coordinates\):\n((?:  .*\n?)+)", re.MULTILINE)
_SITE = re.compile(r"^  ([A-Z][\w:.+\-, ]{0,80}?) (-?\d+\.\d+) (-?\d+\.\d+) (-?\d+\.\d+)$", re.MULTILINE)


def looks_like_crystal(text: str) -> bool:
    """Return whether a text holds a crystal as suites describe it (`evals.scorers.material.describe`) or CIF."""
    return bool(_LATTICE.search(text) and _SITES.search(text)) or "_cell_length_a" in text


def read(text: str, *, dark: bool = False) -> Crystal:
    """Read and draw a crystal; raises DataError if the text holds none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen and numpy, of what is refused below
        crystal = _possible(text)
        lattice = crystal.lattice
        sites = tuple(
            Site(site.species_string, *(float(c) % 1.0 for c in site.frac_coords)) for site in crystal
        )
        return Crystal(
            formula=crystal.composition.reduced_formula,
            space_group=space_group(crystal),
            lengths=lattice.abc,
            angles=lattice.angles,
            volume=float(lattice.volume),
            density=float(crystal.density),
            sites=sites,
            svg=draw(sites, lattice.matrix.tolist(), dark=dark),
        )


def _possible(text: str) -> Structure:
    """Read a structure; raises DataError for cells on which spglib would crash."""
    if len(text) > LONGEST:
        raise DataError(f"{len(text):,} characters are too long for a crystal")
    described = _LATTICE.search(text)
    try:
        crystal = _described(text, described) if described else parse_structure(text)
        cell = (*crystal.lattice.abc, *crystal.lattice.angles, crystal.lattice.volume)
    except (ValueError, KeyError, IndexError, ArithmeticError) as error:
        raise DataError(f"no crystal: {(str(error).splitlines() or ['unreadable'])[0][:120]}") from error
    if not 0 < len(crystal) <= MOST_SITES:
        raise DataError(f"{len(crystal)} sites cannot be shown")
    if strange := {element.symbol for element in crystal.composition.elements} - ELEMENTS:
        raise DataError(f"no crystal: {', '.join(sorted(strange))[:40]} is no element")
    limits = (1_000,) * 3 + (179,) * 3 + (1e8,)
    if not all(0.5 < x < limit for x, limit in zip(cell, limits, strict=True)):
        raise DataError("no crystal: its cell is impossible")
    return crystal


def _described(text: str, lattice: re.Match[str]) -> Structure:
    from pymatgen.core.lattice import Lattice
    from pymatgen.core.structure import Structure

    listed = _SITES.search(text)
    if listed is None:
        raise ValueError("its sites are missing")
    sites = _SITE.findall(listed[2])
    if len(sites) < int(listed[1]):
        raise ValueError(f"{len(sites)} of its {listed[1]} sites are given")
    species = [
        {part.partition(":")[0]: float(part.partition(":")[2] or 1) for part in name.split(", ")}
        for name, *_ in sites
    ]
    return Structure(
        Lattice.from_parameters(*map(float, lattice.groups())),
        species,
        [tuple(map(float, xyz)) for _, *xyz in sites],
    )


# --- the drawing --------------------------------------------------------------------------------------------

TURN, TILT = radians(24), radians(14)
"""Rotation of the cell about c, then towards the viewer."""


def draw(sites: tuple[Site, ...], matrix: list[Vector], *, dark: bool) -> str:
    """Draw the cell in parallel perspective; atoms on its faces and corners are repeated there.

    `matrix` holds the lattice vectors a, b, c in Å. Elements differ by colour.
    """
    corners = {(i, j, k): _seen(_place((i, j, k), matrix)) for i in (0, 1) for j in (0, 1) for k in (0, 1)}
    atoms = sorted(
        ((_seen(_place(xyz, matrix)), site.element) for site in sites for xyz in _repeated(site)),
        key=lambda atom: atom[0][2],
    )
    xs, ys = [p[0] for p in corners.values()], [p[1] for p in corners.values()]
    scale = (SIZE - 60) / (max(max(xs) - min(xs), max(ys) - min(ys)) or 1.0)
    radius = max(4.0, min(15.0, 0.62 * scale, SIZE / (2.2 * sqrt(len(atoms) or 1))))

    def at(point: Vector) -> tuple[float, float]:
        return 30 + (point[0] - min(xs)) * scale, 30 + (max(ys) - point[1]) * scale

    elements = list(dict.fromkeys(site.element for site in sites))
    colour = {name: palette(dark=dark)[i % 8] for i, name in enumerate(elements)}
    height = 60 + (max(ys) - min(ys)) * scale + 24
    lines = [_edge(at(corners[start]), at(corners[end]), ink(dark=dark)) for start in corners for end in corners
             if start < end and sum(a != b for a, b in zip(start, end, strict=True)) == 1]  # fmt: skip
    circles = [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{colour[name]}" stroke="{ink(dark=dark)}" stroke-width="0.8"/>'
        for point, name in atoms
        for x, y in [at(point)]
    ]
    letters = [
        _letter(at(corners[end]), at(corners[0, 0, 0]), name, ink(dark=dark))
        for end, name in (((1, 0, 0), "a"), ((0, 1, 0), "b"), ((0, 0, 1), "c"))
    ]
    legend = [
        _legend(16 + i * 62, height - 12, name, colour[name], ink(dark=dark))
        for i, name in enumerate(elements[:5])
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{SIZE}" height="{height:.0f}" '
        f'viewBox="0 0 {SIZE} {height:.0f}" font-family="sans-serif">{"".join((*lines, *circles, *letters, *legend))}</svg>'
    )


def _legend(x: float, y: float, name: str, colour: str, ink: str) -> str:
    return (
        f'<circle cx="{x}" cy="{y:.0f}" r="6" fill="{colour}"/>'
        f'<text x="{x + 10}" y="{y + 5:.0f}" fill="{ink}" font-size="13">{escape(name[:6])}</text>'
    )


def _place(fraction: Vector | tuple[int, int, int], matrix: list[Vector]) -> Vector:
    x, y, z = (sum(f * row[axis] for f, row in zip(fraction, matrix, strict=True)) for axis in range(3))
    return x, y, z


def _seen(point: Vector) -> Vector:
    """Rotate a point in Å into the view: x to the right, y upwards, z towards the viewer."""
    x, y, z = point
    right, away = x * cos(TURN) - y * sin(TURN), x * sin(TURN) + y * cos(TURN)
    return right, z * cos(TILT) + away * sin(TILT), z * sin(TILT) - away * cos(TILT)


def _repeated(site: Site) -> list[Vector]:
    """Return the positions of an atom in the closed cell: an atom at 0 is drawn at 1 too."""
    axes = [[c, 1.0] if c < 0.01 else [c, c - 1.0] if c > 0.99 else [c] for c in site[1:]]
    return [(x, y, z) for x in axes[0] for y in axes[1] for z in axes[2]]


def _edge(start: tuple[float, float], end: tuple[float, float], ink: str) -> str:
    return (
        f'<line x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" '
        f'stroke="{ink}" stroke-width="1" stroke-opacity="0.55"/>'
    )


def _letter(end: tuple[float, float], origin: tuple[float, float], name: str, ink: str) -> str:
    """Label an axis beyond its end."""
    dx, dy = end[0] - origin[0], end[1] - origin[1]
    length = sqrt(dx * dx + dy * dy) or 1.0
    x, y = end[0] + 22 * dx / length, end[1] + 22 * dy / length
    return (
        f'<text x="{x - 4:.1f}" y="{y + 4:.1f}" fill="{ink}" font-size="13" font-style="italic">{name}</text>'
    )


TEXT = """Composition: NaCl
Space group: Fm-3m (225)
Lattice: a = 5.64 Å, b = 5.64 Å, c = 5.64 Å,
  alpha = 90°, beta = 90°, gamma = 90°
Sites (8 in the cell, fractional coordinates):
  Na 0.0000 0.0000 0.0000
  Na 0.5000 0.5000 0.0000
  Na 0.5000 0.0000 0.5000
  Na 0.0000 0.5000 0.5000
  Cl 0.5000 0.0000 0.0000
  Cl 0.0000 0.5000 0.0000
  Cl 0.0000 0.0000 0.5000
  Cl 0.5000 0.5000 0.5000
"""
"""An example: rock salt."""
