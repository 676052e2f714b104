"""Verify the bundled sample items: every numeric answer is recomputed, by search if possible.

As a script, it prints the faults that it finds and exits with 1; `test_samples.py` runs the same checks. An item that is
neither computed here nor explained in `PROSE` is an error, so that no item can be added unchecked.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import combinations, pairwise, permutations, product
from math import comb, exp, factorial, gcd, hypot, isqrt, log, log10, prod, sqrt
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).resolve().parent.parent / "suites" / "samples"
FILES = (
    "mmlu_pro/test.jsonl", "mmlu_pro/validation.jsonl", "gpqa/diamond.jsonl", "gpqa/main.jsonl",
    "gpqa/extended.jsonl", "aime/2024.jsonl", "aime/2025.jsonl",
)  # fmt: skip

CHECKS: dict[str, Callable[[], str]] = {}
"""`<suite>/<id>` -> a function that computes the gold answer's text."""

PROSE = {
    "mmlu_pro/900007": "prolyl and lysyl hydroxylase need ascorbate; lysyl oxidase needs copper",
    "mmlu_pro/900009": "Adams v Lindsell (1818): acceptance by post is complete on posting",
    "mmlu_pro/900012": "from P -> Q and Q to P is affirming the consequent",
    "mmlu_pro/900014": "reward after a varying number of responses is a variable-ratio schedule",
    "mmlu_pro/900102": "chlorophyll sits in the thylakoid membranes of chloroplasts",
    "mmlu_pro/900108": "each comparison halves the remaining range",
    "mmlu_pro/900113": "nutritional rickets is vitamin D deficiency",
    "mmlu_pro/900114": "insulin lowers blood glucose, the other four raise it",
    "mmlu_pro/900115": "9 November 1989",
    "mmlu_pro/900116": "tomb of Mumtaz Mahal, ordered by Shah Jahan",
    "mmlu_pro/900117": "In re Winship, 397 U.S. 358 (1970)",
    "mmlu_pro/900118": "stare decisis et non quieta movere",
    "mmlu_pro/900121": "G3, D4, A4, E5",
    "mmlu_pro/900123": "Kant, 1781 and 1787",
    "mmlu_pro/900124": "the principle of utility",
    "mmlu_pro/900127": "a neutral stimulus that was paired with food",
    "mmlu_pro/900128": "the cochlea is the organ of hearing",
}
"""`<suite>/<id>` -> why an answer in words is right."""


def check(item: str) -> Callable[[Callable[[], object]], Callable[[], object]]:
    """Register a function that computes the gold answer of `item`; answers are compared as text."""

    def register(compute: Callable[[], object]) -> Callable[[], object]:
        if item in CHECKS:
            raise ValueError(f"{item} is checked twice")
        CHECKS[item] = lambda: str(compute())
        return compute

    return register


def numerator_plus_denominator(favourable: int, possible: int) -> int:
    """Return m + n for the probability favourable / possible = m/n in lowest terms."""
    probability = Fraction(favourable, possible)
    return probability.numerator + probability.denominator


def divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


# --- MMLU-Pro -----------------------------------------------------------------------------------------------


@check("mmlu_pro/900001")
def dominant_at_three() -> Fraction:
    gametes = list(product("Aa", "Bb", "Cc"))
    crosses = list(product(gametes, gametes))
    return Fraction(
        sum(all(x.isupper() or y.isupper() for x, y in zip(*c, strict=True)) for c in crosses), len(crosses)
    )


@check("mmlu_pro/900002")
def lamp() -> str:
    return f"${48 * 1.75 * 0.8 - 48:.2f}"


@check("mmlu_pro/900003")
def neutralise() -> str:
    return f"{2 * 30.0 * 0.100 / 0.250:.1f} mL"


@check("mmlu_pro/900004")
def heap_parent() -> int:
    return next(i for i in range(22) if 22 in (2 * i + 1, 2 * i + 2))


@check("mmlu_pro/900005")
def tax() -> int:
    return next(p for p in range(100) if 120 - 2 * p == 3 * (p - 10) - 30)


@check("mmlu_pro/900006")
def beam() -> str:
    reaction = 4 * 6 / 2
    moment = max(reaction * x - 4 * x * x / 2 for x in (i / 1000 * 6 for i in range(1001)))
    return f"{moment:.0f} kN m"


@check("mmlu_pro/900008")
def first_event() -> str:
    years = {
        "Charlemagne is crowned emperor in Rome": 800,
        "King John of England seals Magna Carta": 1215,
        "The Ottomans take Constantinople": 1453,
        "William of Normandy wins at Hastings": 1066,
        "The Black Death reaches Sicily": 1347,
        "Urban II calls for the First Crusade": 1095,
        "The Treaty of Verdun divides the Frankish realm": 843,
        "Columbus first crosses the Atlantic": 1492,
        "Gutenberg prints his Bible": 1454,
        "Marco Polo sets out for China": 1271,
    }
    return min(years, key=lambda event: years[event])


@check("mmlu_pro/900010")
def zeros() -> int:
    digits = str(factorial(130))
    return len(digits) - len(digits.rstrip("0"))


@check("mmlu_pro/900011")
def paper() -> int:
    return 2**6


@check("mmlu_pro/900013")
def flight() -> str:
    return f"{2 * 14.7 / 9.8:.1f} s"


@check("mmlu_pro/900015")
def divisor_sum() -> int:
    return sum(divisors(360))


@check("mmlu_pro/900016")
def current() -> str:
    return f"{12 / (4 + 1 / (1 / 6 + 1 / 3)):.1f} A"


@check("mmlu_pro/900101")
def carriers() -> Fraction:
    return Fraction(sum(a == b == "a" for a, b in product("Aa", repeat=2)), 4)


check("mmlu_pro/900103")(lambda: f"{12_000 // (20 - 8):,}")
check("mmlu_pro/900104")(lambda: 90_000 / 60_000)
check("mmlu_pro/900105")(lambda: f"{-log10(0.010):.1f}")
check("mmlu_pro/900106")(lambda: f"{2 * 4 // 2} mol")
check("mmlu_pro/900107")(lambda: int("101101", 2))
check("mmlu_pro/900109")(lambda: 5 / 10)
check("mmlu_pro/900110")(lambda: f"{1 / 0.2:.0f}")
check("mmlu_pro/900111")(lambda: f"{10_000 / 50:.0f} MPa")
check("mmlu_pro/900112")(lambda: f"{1 - 300 / 600:.0%}")
check("mmlu_pro/900119")(lambda: 2**10 % 7)
check("mmlu_pro/900120")(lambda: Fraction(sum(a + b == 8 for a, b in product(range(1, 7), repeat=2)), 36))
check("mmlu_pro/900122")(lambda: f"{300 // 4 * 10} g")
check("mmlu_pro/900125")(lambda: f"{1000 * 20**2 // 2 // 1000} kJ")
check("mmlu_pro/900126")(lambda: f"{50 * 6} m/s")


# --- GPQA ---------------------------------------------------------------------------------------------------


@check("gpqa/ours-001")
def spin() -> Fraction:
    up = Fraction(3, 4)  # cos^2(60 deg / 2)
    return up * up + (1 - up) * (1 - up)


@check("gpqa/ours-002")
def dieterici() -> str:
    def pressure(v: float, t: float) -> float:  # a = b = R = 1
        return t / (v - 1) * exp(-1 / (t * v))

    def slope(t: float) -> tuple[float, float]:
        """Return the largest slope of the isotherm, which is 0 at the critical temperature, and the volume there."""
        h = 1e-6
        return max(
            ((pressure(v + h, t) - pressure(v - h, t)) / (2 * h), v)
            for v in (1.5 + i / 2000 for i in range(2001))
        )

    low, high = 0.2, 0.3  # the isotherm rises somewhere below the critical temperature, and nowhere above it
    for _ in range(25):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle)[0] > 0 else (low, middle)
    volume = slope(low)[1]
    return f"{pressure(volume, low) * volume / low:.3f}"


@check("gpqa/ours-003")
def compton() -> str:
    photon, rest = 2 * 0.511, 0.511
    scattered = photon / (1 + photon / rest * (1 - 0))
    return f"{photon - scattered:.3f} MeV"


@check("gpqa/ours-004")
def condensate() -> str:
    return f"{1 - 0.5**3:.3f}"  # the density of states is proportional to E^2, so the number of excited atoms is to T^3


@check("gpqa/ours-005")
def infrared_bands() -> int:
    # D3h, classes E 2C3 3C2 sh 2S3 3sv; of PF5: number of unmoved atoms and character of a vector, per operation
    order = (1, 2, 3, 1, 2, 3)
    fixed, vector = (6, 3, 2, 4, 1, 4), (3, 0, -1, 1, -2, 1)
    rotation = (3, 0, -1, -1, 2, -1)
    vibration = [f * v - v - r for f, v, r in zip(fixed, vector, rotation, strict=True)]
    table = {"A2''": (1, 1, -1, -1, -1, 1), "E'": (2, -1, 0, 2, -1, 0)}  # the representations of x, y and z
    return sum(
        sum(n * a * b for n, a, b in zip(order, vibration, row, strict=True)) // 12 for row in table.values()
    )


@check("gpqa/ours-006")
def latimer() -> str:
    return f"{(3 * 1.70 + 2 * 1.23) / 5:+.2f} V"


@check("gpqa/ours-007")
def deuterium() -> str:
    lines = Counter(a + b for a, b in product((-1, 0, 1), repeat=2))
    return ":".join(str(lines[m]) for m in sorted(lines))


@check("gpqa/ours-008")
def consecutive() -> str:
    return f"{max(2 / (2 - 1) * (exp(-t) - exp(-2 * t)) for t in (i / 10_000 for i in range(50_000))):.2f}"


@check("gpqa/ours-009")
def inositols() -> int:
    def equivalents(ring: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        flipped = tuple(1 - side for side in reversed(ring))  # turning the ring over swaps its faces
        for i in range(6):
            yield ring[i:] + ring[:i]
            yield flipped[i:] + flipped[:i]

    return len({min(equivalents(ring)) for ring in product((0, 1), repeat=6)})


@check("gpqa/ours-010")
def cousins() -> str:
    q, inbreeding = 0.02, 1 / 16
    return f"{q * q + inbreeding * q * (1 - q):.6f}"


@check("gpqa/ours-011")
def competitive() -> Fraction:
    return Fraction(2, 1 * (1 + 3) + 2)


@check("gpqa/ours-012")
def wobble() -> str:
    first, second, third = "I", "G", "C"  # 5' to 3'; the codon's third base pairs with the first
    pairs = {"A": "U", "G": "C", "C": "G", "U": "A"}
    codons = [pairs[third] + pairs[second] + base for base in {"I": "UCA"}[first]]
    return f"{', '.join(codons[:-1])} and {codons[-1]}"


@check("gpqa/ours-013")
def redshift() -> str:
    return f"{8 ** (2 / 3) - 1:.0f}"


@check("gpqa/ours-014")
def cobalt() -> str:
    lower, upper = 4, 7 - 4  # d7 in a tetrahedral field: e4 t2(3)
    unpaired = upper if lower == 4 and upper <= 3 else -1
    return f"{sqrt(unpaired * (unpaired + 2)):.2f}"


@check("gpqa/ours-015")
def nernst() -> str:
    return f"{8.314462618 * 310.15 / 96485.33212 * log(3.5 / 140) * 1000:.1f} mV"


@check("gpqa/ours-016")
def metal() -> str:
    return f"{(1 * 2 + 1 * 2**3) / (1 + 1):.0f}"


# --- AIME ---------------------------------------------------------------------------------------------------

check("aime/sample-2024-I-1")(lambda: sum(gcd(a, 840 - a) == 7 for a in range(1, 840)))


@check("aime/sample-2024-I-2")
def square_products() -> int:
    rolls = [prod(r) for r in product(range(1, 7), repeat=4)]
    return numerator_plus_denominator(sum(isqrt(n) ** 2 == n for n in rolls), len(rolls))


@check("aime/sample-2024-I-3")
def five_turns() -> int:
    paths = ([i in ups for i in range(12)] for ups in map(set, combinations(range(12), 6)))
    return sum(sum(a != b for a, b in pairwise(p)) == 5 for p in paths)


check("aime/sample-2024-I-4")(lambda: sum(k * factorial(k) for k in range(1, 2025)) % 1000)
check("aime/sample-2024-I-5")(lambda: next(n for n in range(101, 10_000) if n * n % 1000 == 444))


@check("aime/sample-2024-I-6")
def subsets() -> int:
    return sum(sum(s) % 6 == 0 for size in range(1, 13) for s in combinations(range(1, 13), size))


@check("aime/sample-2024-II-1")
def triangles() -> int:
    return sum(a <= b <= 60 - a - b < a + b for a in range(1, 60) for b in range(1, 60 - a))


check("aime/sample-2024-II-2")(lambda: next(n for n in range(7, 9999, 7) if len(divisors(n)) == 18))
check("aime/sample-2024-II-3")(lambda: round(((3 + sqrt(5)) / 2) ** 7 + ((3 - sqrt(5)) / 2) ** 7))


@check("aime/sample-2024-II-4")
def sum_is_product() -> int:
    digits = ([int(d) for d in str(n)] for n in range(1, 1000))
    return sum(sum(d) == prod(d) for d in digits)


@check("aime/sample-2024-II-5")
def tilings() -> int:
    def ways(free: frozenset[tuple[int, int]]) -> int:
        if not free:
            return 1
        x, y = min(free)
        shapes = (
            {(x, y), (x + 1, y)},
            {(x, y), (x, y + 1)},
            {(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)},
        )
        return sum(ways(free - shape) for shape in shapes if shape <= free)

    return ways(frozenset(product(range(9), range(2))))


@check("aime/sample-2024-II-6")
def semicircle() -> int:
    # centre on the hypotenuse x/20 + y/21 = 1, at distance r from both legs: x = y = r
    radius = next(Fraction(m, n) for n in range(1, 99) for m in range(1, 20 * n) if m * 41 == 420 * n)
    assert radius / 20 + radius / 21 == 1
    return radius.numerator + radius.denominator


check("aime/sample-2025-I-1")(lambda: sum(n for n in range(1, 400) if isqrt(n * n + 315) ** 2 == n * n + 315))


@check("aime/sample-2025-I-2")
def monotone() -> int:
    numbers = [str(n) for n in range(1000, 10_000)]
    return sum(len(set(n)) == 4 and list(n) in (sorted(n), sorted(n, reverse=True)) for n in numbers)


check("aime/sample-2025-I-3")(lambda: 7**2025 % 1000)


@check("aime/sample-2025-I-4")
def near_home() -> int:
    return sum(all(abs(a - i) <= 2 for i, a in enumerate(p)) for p in permutations(range(7)))


@check("aime/sample-2025-I-5")
def no_twins() -> int:
    words = set(permutations("AABBCCD"))
    return sum(all(a != b for a, b in pairwise(w)) for w in words)


@check("aime/sample-2025-I-6")
def random_triangle() -> int:
    favourable = sum(a + b > c for a, b, c in combinations(range(1, 13), 3))
    return numerator_plus_denominator(favourable, comb(12, 3))


check("aime/sample-2025-II-1")(lambda: sum(int(d) for d in str(10**30 - 2025)))


@check("aime/sample-2025-II-2")
def loeschian() -> int:
    return sum(x * x + x * y + y * y == 91 for x, y in product(range(-20, 21), repeat=2))


@check("aime/sample-2025-II-3")
def power_sum() -> int:
    # trace of the fourth power of the companion matrix
    companion = ((0, 0, -1), (1, 0, -5), (0, 1, 6))
    power: tuple[tuple[int, ...], ...] = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    for _ in range(4):
        power = tuple(
            tuple(sum(row[k] * companion[k][j] for k in range(3)) for j in range(3)) for row in power
        )
    return sum(power[i][i] for i in range(3))


@check("aime/sample-2025-II-4")
def isosceles() -> int:
    arcs = ((b - a, c - b, 12 - c + a) for a, b, c in combinations(range(12), 3))
    return sum(len(set(sides)) < 3 for sides in arcs)


@check("aime/sample-2025-II-5")
def box() -> int:
    # the shortest path crosses two faces: minimise its length over the point where it crosses their common edge
    def squared(a: int, b: int, c: int) -> float:
        return min(hypot(a, t) + hypot(b, c - t) for t in (c * i / 100_000 for i in range(100_001))) ** 2

    return round(min(squared(*edges) for edges in permutations((6, 7, 15))))


@check("aime/sample-2025-II-6")
def both_roots() -> int:
    def cube_root(n: int) -> int:
        return max(k for k in range(1, 11) if k**3 <= n)

    return max(n for n in range(1, 1000) if n % isqrt(n) == 0 and n % cube_root(n) == 0)


# --- comparison with the items ------------------------------------------------------------------------------


def rows(file: str) -> list[dict[str, Any]]:
    """Return the rows of a file of sample items."""
    return [json.loads(line) for line in (SAMPLES / file).read_text(encoding="utf-8").splitlines()]


def gold(row: dict[str, Any]) -> tuple[str, str]:
    """Return the id and the gold answer of a row of any suite."""
    if "question_id" in row:
        return str(row["question_id"]), row["options"][row["answer_index"]]
    if "Record ID" in row:
        return row["Record ID"], row["Correct Answer"]
    return row["id"], row["answer"]


def find_faults() -> list[str]:
    """Return a line for every item whose answer differs from the computed one, or that is not checked here."""
    faults, seen = [], set()
    for file in FILES:
        suite = file.split("/")[0]
        for row in rows(file):
            name, answer = gold(row)
            key = f"{suite}/{name}"
            seen.add(key)
            if key in CHECKS:
                if (computed := CHECKS[key]()) != answer:
                    faults.append(f"{file}: {name} has the answer {answer!r}, computed {computed!r}")
            elif key not in PROSE:
                faults.append(f"{file}: {name} is neither computed nor explained")
    faults += [f"{key} is checked, but there is no such item" for key in {*CHECKS, *PROSE} - seen]
    return faults


if __name__ == "__main__":
    faults = find_faults()
    print("\n".join(faults) or f"{len(CHECKS)} answers recomputed, {len(PROSE)} explained: no faults")
    sys.exit(bool(faults))
