"""Compare molecular formulas by their element counts and their charge.

>>> element_counts("CuSO4·5H2O") == element_counts("H10CuO9S")
True
>>> element_counts("SO4²⁻") == element_counts("O4S-2") == element_counts("[SO4]2-")
True
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from msgspec import Struct

from evals.extract.chemical import stated_formula
from evals.scorers.outcomes import binary_score, invalid_answer, no_stated_answer, read_reply, with_reading
from evals.types import Prompt, Reply, Sample, Score

MAX_CHARS = 2_000
"""Maximum length of a formula; longer texts are rejected. `names.py` truncates chemical names to this length."""
CHARGE_KEY = "charge"
"""Key of the charge among the element counts."""

_ELEMENT_SYMBOLS = """
H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb
Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au
Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts
Og D T
"""
ELEMENTS = frozenset(_ELEMENT_SYMBOLS.split())
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_FORMULA_TOKEN = re.compile(r"([A-Z][a-z]?)(\d{1,6})?|([(\[{])|([)\]}])(\d{1,6})?")
_FINAL_CHARGE = re.compile(
    r"(?:\^\{?|(?<=\])|(?<=\))|\()(\d{0,3}[+-]|[+-]\d{1,3})\}?\)?$|([+-]\d{0,3}|[+-]{2,4})$"
)
_ISOTOPE = re.compile(r"\[\^?\{?\d{1,3}\}?([A-Z][a-z]?)\]|\^\{?\d{1,3}\}?(?=[A-Z])|(?<=\[)\d{1,3}(?=[A-Z])")
_ION = re.compile(r"[^+^-]+(?:\^\{?\d{0,2}[+-]\}?|(?<=\])[+-]\d|[+-]+)")
_LATEX_SUBSCRIPT = re.compile(r"_\{(\d{1,6})\}")
_LATEX_TEXT = re.compile(r"\\(?:mathrm|text|ce|rm|mathbf)\s?\{((?:[^{}]|\^\{[^{}]{0,8}\}){0,200})\}")
"""LaTeX text, whose braces do not group atoms: the 4 of `\\text{SO}_4` belongs to the oxygen."""
_MARKUP = re.compile(r"\\(?:mathrm|text|ce|rm|mathbf)|[\\$_\s]|<su[bp]>|</su[bp]>")


def element_counts(text: str) -> dict[str, int] | None:
    """Return the element counts of a formula, with its charge under `CHARGE_KEY`; None if it is not a formula.

    Reads subscripts and superscripts in Unicode, LaTeX and HTML, brackets and hydrates (`·5H2O`). Isotope marks are ignored,
    and D and T count as H. A charge may be written without brackets, as RDKit and PubChem do (`O4S-2`, `C6H5O-`), or as in
    `SO4^2-`, `[SO4]2-`, `SO4(2-)`.
    """
    text = _normalise(text)
    if not text or len(text) > MAX_CHARS:
        return None
    text = re.sub(r"(?<=[+-])[·•∙⋅.](?=[A-Z\[(])", "", text)  # the dot between two ions
    ions = _ION.findall(text) if text.rstrip("}0123456789").endswith(("+", "-")) else []
    if len(ions) > 1 and "".join(ions) == text:
        return _sum_of_ions(ions)
    text, charge = _split_charge(text)
    if all(re.search(r"\d", group) for group in text.split("-")):
        text = re.sub(r"(?<=[A-Za-z\d)])-(?=[A-Z(])", "", text)  # the bonds of C6H5-CH3
    text = text.rstrip("·•∙⋅.")  # the dot of a radical
    total: Counter[str] = Counter()
    for part in re.split(r"[·•∙⋅*.]", text):
        multiplier, formula = _split_multiplier(part)
        elements = _parse_elements(formula)
        if elements is None:
            return None
        for element, number in elements.items():
            total["H" if element in "DT" else element] += number * multiplier
    return {element: number for element, number in total.items() if number} | (
        {CHARGE_KEY: charge} if charge else {}
    )


def is_formula(text: str) -> bool:
    """Return whether the whole text is a formula."""
    return element_counts(text) is not None


def _sum_of_ions(ions: list[str]) -> dict[str, int] | None:
    """Return the element counts of a salt whose ions have charges, as in C6H5NH3+Cl-; None if an ion is not a formula."""
    total: Counter[str] = Counter()
    for ion in ions:
        if (elements := element_counts(ion)) is None:
            return None
        total.update(elements)
    return {element: number for element, number in total.items() if number}


def _normalise(text: str) -> str:
    text = text.strip().strip("*`.").strip()
    text = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹]*[⁺⁻]$", lambda m: "^" + m[0].translate(_SUPERSCRIPTS), text)
    text = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda m: "^" + m[0].translate(_SUPERSCRIPTS), text)
    text = re.sub(r"<sup>([^<]{1,8})</sup>", r"^\1", text)
    text = unicodedata.normalize("NFKC", text).replace("−", "-").replace("–", "-").replace("‑", "-")
    text = _MARKUP.sub("", _LATEX_TEXT.sub(r"\1", _LATEX_SUBSCRIPT.sub(r"\1", text)))
    text = _ISOTOPE.sub(lambda m: m[1] or "", text)
    return re.sub(r"(?<!\^)\{(\d{1,6})\}", r"\1", text)


def _split_charge(text: str) -> tuple[str, int]:
    """Return a formula without the charge at its end, and the charge."""
    match = _FINAL_CHARGE.search(text)
    if match is None:
        return text, 0
    charge_text = match[1] or match[2]
    sign = 1 if "+" in charge_text else -1
    digits = charge_text.strip("+-")
    return text[: match.start()], sign * (int(digits) if digits else len(charge_text))


def _split_multiplier(part: str) -> tuple[int, str]:
    digits = re.match(r"\d{1,3}", part)
    return (int(digits[0]), part[digits.end() :]) if digits else (1, part)


def _parse_elements(formula: str) -> Counter[str] | None:
    """Return element counts with brackets expanded; None if the formula cannot be parsed to its end."""
    stack: list[Counter[str]] = [Counter()]
    position = 0
    while position < len(formula):
        token = _FORMULA_TOKEN.match(formula, position)
        if token is None:
            return None
        position = token.end()
        if token[1]:
            if token[1] not in ELEMENTS:
                return None
            stack[-1][token[1]] += int(token[2] or 1)
        elif token[3]:
            stack.append(Counter())
        else:
            if len(stack) == 1:
                return None
            for element, number in stack.pop().items():
                stack[-1][element] += number * int(token[5] or 1)
    return stack[0] if len(stack) == 1 and stack[0] else None


class Formula(Struct, frozen=True):
    """Scores 1 for a formula with the element counts and charge of the target, or of a formula in `sample.meta["also"]`."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        reading = read_reply(reply, stated_formula, is_formula)
        if reading is None:
            return no_stated_answer(reply, "no formula stated")
        return with_reading(reading, self._score(sample, reading.value))

    def _score(self, sample: Sample, answer: str) -> Score:
        stated = element_counts(answer)
        if stated is None:
            return invalid_answer(answer, "not a molecular formula")
        golds = [str(gold) for gold in (sample.target, *sample.meta.get("also", ()))]
        readings: list[dict[str, int] | None] = [stated]
        if re.search(
            r"\d[+-]\W*$", answer
        ):  # the digit of Ca2+ and Ag(NH3)2+ may belong to the charge or not
            readings.append(element_counts(re.sub(r"(\d[+-])$", r"^\1", _normalise(answer))))
            readings.append(element_counts(re.sub(r"(?<=\)\d)([+-])$", r"^\1", _normalise(answer))))
        if any(element_counts(gold) in readings for gold in golds):
            return binary_score(right=True, answer=answer)
        why = _describe_difference(stated, element_counts(golds[0]) or {})
        return binary_score(right=False, answer=answer[:200], why=why)


def _describe_difference(stated: dict[str, int], gold: dict[str, int]) -> str:
    keys = sorted(stated.keys() | gold.keys(), key=lambda k: (k == CHARGE_KEY, k))
    differences = [
        f"{key} {stated.get(key, 0)}, should be {gold.get(key, 0)}"
        for key in keys
        if stated.get(key, 0) != gold.get(key, 0)
    ]
    return "; ".join(differences)
