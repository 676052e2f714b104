"""Properties and a drawing of a unit cell that is given as CIF, as POSCAR, or as the description in a prompt.

>>> rock_salt = read(EXAMPLE)
>>> rock_salt.formula, rock_salt.space_group, len(rock_salt.sites)
('NaCl', 'Fm-3m (225)', 8)

pymatgen parses the structure and finds its symmetry; call `read` in a worker process, because the text is untrusted. The
drawing is an SVG image written by this module, because pymatviz requires plotly (eight more packages, and a script for each
cell), and crystal-toolkit is a Dash application.
"""

from __future__ import annotations

import re
import warnings
from html import escape
from itertools import product
from math import cos, radians, sin, sqrt
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from evals.dashboard.charts.colours import ink, palette
from evals.errors import DataError
from evals.scorers.formula import ELEMENTS
from evals.scorers.material import parse_structure, space_group

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

MAX_SITES = 400
MAX_CHARS = 200_000
"""Maximum length of a text that is parsed, in characters."""
WIDTH, MARGIN = 320, 30
"""Width of the drawing and margin around the cell, in pixels."""
LEGEND_HEIGHT, LEGEND_STEP, MAX_LEGEND_ENTRIES = 24, 62, 5
"""Height of the legend and width of an entry, in pixels; maximum number of entries."""
Vector = tuple[float, float, float]


class Site(NamedTuple):
    """A site of the cell, with fractional coordinates."""

    species: str
    """Element or ion; on a disordered site several, with their occupancies."""
    x: float
    y: float
    z: float


class Crystal(Struct, frozen=True, kw_only=True):
    """A parsed crystal structure."""

    formula: str
    """Reduced formula."""
    space_group: str
    """Symbol and number; empty if unknown."""
    lengths: Vector
    """a, b, c in Å."""
    angles: Vector
    """alpha, beta, gamma in degrees."""
    volume: float
    """Volume of the cell in Å³."""
    density: float
    """In g/cm³."""
    sites: tuple[Site, ...]
    svg: str = ""


_LATTICE = re.compile(
    r"Lattice: a = (\S+) Å, b = (\S+) Å, c = (\S+) Å,\s+alpha = (\S+)°, beta = (\S+)°, gamma = (\S+)°"
)
_SITE_LIST = re.compile(
    r"^Sites \((\d+) in the cell, fractional coordinates\):\n((?:  .*\n?)+)", re.MULTILINE
)
_SITE_LINE = re.compile(r"^  ([A-Z][\w:.+\-, ]{0,80}?) (-?\d+\.\d+) (-?\d+\.\d+) (-?\d+\.\d+)$", re.MULTILINE)


def looks_like_crystal(text: str) -> bool:
    """Return whether text contains CIF, or a crystal as `evals.scorers.material.describe_crystal` writes it."""
    return bool(_LATTICE.search(text) and _SITE_LIST.search(text)) or "_cell_length_a" in text


def read(text: str, *, dark: bool = False) -> Crystal:
    """Parse and draw a crystal; raises DataError if the text contains none that can be drawn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen and numpy warn about input that is rejected here
        structure = _parse_and_check(text)
        lattice = structure.lattice
        sites = tuple(Site(s.species_string, *(float(x) % 1.0 for x in s.frac_coords)) for s in structure)
        return Crystal(
            formula=structure.composition.reduced_formula,
            space_group=space_group(structure),
            lengths=lattice.abc,
            angles=lattice.angles,
            volume=float(lattice.volume),
            density=float(structure.density),
            sites=sites,
            svg=draw(sites, lattice.matrix.tolist(), dark=dark),
        )


def _parse_and_check(text: str) -> Structure:
    """Parse a structure; raises DataError if it is unreadable or too large, or if spglib would crash on its cell."""
    if len(text) > MAX_CHARS:
        raise DataError(f"{len(text):,} characters are too many for a crystal")
    description = _LATTICE.search(text)
    try:
        structure = _parse_description(text, description) if description else parse_structure(text)
        cell = (*structure.lattice.abc, *structure.lattice.angles, structure.lattice.volume)
    except (ValueError, KeyError, IndexError, ArithmeticError) as error:
        has_reason = isinstance(error, ValueError) and str(error)
        raise DataError(
            f"no crystal: {str(error).splitlines()[0][:120] if has_reason else 'the text cannot be parsed'}"
        ) from error
    if not 0 < len(structure) <= MAX_SITES:
        raise DataError(
            f"a crystal with {len(structure)} sites cannot be drawn; the limits are 1 and {MAX_SITES}"
        )
    if unknown_elements := {element.symbol for element in structure.composition.elements} - ELEMENTS:
        raise DataError(f"no crystal: {', '.join(sorted(unknown_elements))[:40]} is not an element")
    limits = (1_000,) * 3 + (179,) * 3 + (1e8,)
    if not all(0.5 < x < limit for x, limit in zip(cell, limits, strict=True)):
        raise DataError("no crystal: a length, an angle or the volume of the cell is out of range")
    return structure


def _parse_description(text: str, lattice: re.Match[str]) -> Structure:
    from pymatgen.core.lattice import Lattice
    from pymatgen.core.structure import Structure

    site_list = _SITE_LIST.search(text)
    if site_list is None:
        raise ValueError("the sites are missing")
    sites = _SITE_LINE.findall(site_list[2])
    if len(sites) < int(site_list[1]):
        raise ValueError(f"only {len(sites)} of {site_list[1]} sites are listed")
    occupancies = []
    for name, *_ in sites:
        pairs = (species.partition(":") for species in name.split(", "))
        occupancies.append({element: float(occupancy or 1) for element, _, occupancy in pairs})
    return Structure(
        Lattice.from_parameters(*map(float, lattice.groups())),
        occupancies,
        [tuple(map(float, xyz)) for _, *xyz in sites],
    )


ROTATION, TILT = radians(24), radians(14)
"""Rotation of the cell about the z axis, and its tilt towards the viewer, in radians."""


def draw(sites: tuple[Site, ...], matrix: list[Vector], *, dark: bool) -> str:
    """Return a drawing of the cell in parallel projection, as SVG, with the periodic images of atoms on its faces.

    `matrix`: the lattice vectors a, b, c in Å.
    """
    corners = {corner: _view(_cartesian(corner, matrix)) for corner in product((0, 1), repeat=3)}
    atoms = sorted(
        ((_view(_cartesian(xyz, matrix)), site.species) for site in sites for xyz in _periodic_images(site)),
        key=lambda atom: atom[0][2],
    )
    xs, ys = [p[0] for p in corners.values()], [p[1] for p in corners.values()]
    scale = (WIDTH - 2 * MARGIN) / (max(max(xs) - min(xs), max(ys) - min(ys)) or 1.0)
    radius = max(4.0, min(15.0, 0.62 * scale, WIDTH / (2.2 * sqrt(len(atoms) or 1))))

    def to_pixels(point: Vector) -> tuple[float, float]:
        return MARGIN + (point[0] - min(xs)) * scale, MARGIN + (max(ys) - point[1]) * scale

    all_species = list(dict.fromkeys(site.species for site in sites))
    colours = {name: palette(dark=dark)[i % 8] for i, name in enumerate(all_species)}
    height = 2 * MARGIN + (max(ys) - min(ys)) * scale + LEGEND_HEIGHT
    edges = [_edge(to_pixels(corners[start]), to_pixels(corners[end]), ink(dark=dark)) for start in corners for end in corners
             if start < end and sum(a != b for a, b in zip(start, end, strict=True)) == 1]  # fmt: skip
    circles = [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{colours[name]}" stroke="{ink(dark=dark)}" stroke-width="0.8"/>'
        for point, name in atoms
        for x, y in [to_pixels(point)]
    ]
    axis_labels = [
        _axis_label(to_pixels(corners[end]), to_pixels(corners[0, 0, 0]), name, ink(dark=dark))
        for end, name in (((1, 0, 0), "a"), ((0, 1, 0), "b"), ((0, 0, 1), "c"))
    ]
    legend = [
        _legend_entry(16 + i * LEGEND_STEP, height - LEGEND_HEIGHT / 2, name, colours[name], ink(dark=dark))
        for i, name in enumerate(all_species[:MAX_LEGEND_ENTRIES])
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
        f'viewBox="0 0 {WIDTH} {height:.0f}" font-family="sans-serif">{"".join((*edges, *circles, *axis_labels, *legend))}</svg>'
    )


def _legend_entry(x: float, y: float, name: str, colour: str, ink: str) -> str:
    return (
        f'<circle cx="{x}" cy="{y:.0f}" r="6" fill="{colour}"/>'
        f'<text x="{x + 10}" y="{y + 5:.0f}" fill="{ink}" font-size="13">{escape(name[:6])}</text>'
    )


def _cartesian(fractional: tuple[float, ...], matrix: list[Vector]) -> Vector:
    x, y, z = (sum(f * row[axis] for f, row in zip(fractional, matrix, strict=True)) for axis in range(3))
    return x, y, z


def _view(point: Vector) -> Vector:
    """Return the view coordinates of a point: x to the right, y upwards, z towards the viewer."""
    x, y, z = point
    right, depth = x * cos(ROTATION) - y * sin(ROTATION), x * sin(ROTATION) + y * cos(ROTATION)
    return right, z * cos(TILT) + depth * sin(TILT), z * sin(TILT) - depth * cos(TILT)


def _periodic_images(site: Site) -> list[Vector]:
    """Return the positions of a site and of its periodic images on opposite faces of the cell."""
    axes = [[c, 1.0] if c < 0.01 else [c, c - 1.0] if c > 0.99 else [c] for c in site[1:]]
    return [(x, y, z) for x in axes[0] for y in axes[1] for z in axes[2]]


def _edge(start: tuple[float, float], end: tuple[float, float], ink: str) -> str:
    return (
        f'<line x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" '
        f'stroke="{ink}" stroke-width="1" stroke-opacity="0.55"/>'
    )


def _axis_label(end: tuple[float, float], origin: tuple[float, float], name: str, ink: str) -> str:
    """Return the label of an axis, beyond its end."""
    dx, dy = end[0] - origin[0], end[1] - origin[1]
    length = sqrt(dx * dx + dy * dy) or 1.0
    x, y = end[0] + 22 * dx / length, end[1] + 22 * dy / length
    return (
        f'<text x="{x - 4:.1f}" y="{y + 4:.1f}" fill="{ink}" font-size="13" font-style="italic">{name}</text>'
    )


EXAMPLE = """Composition: NaCl
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
"""Rock salt."""
