"""Matbench v0.1 (Dunn et al. 2020, npj Comput. Mater. 6, 138), with questions in natural language.

`official` follows materialsproject/matbench @ 936176db: each material is evaluated once, in the fold that tests it; the
headline is the mean over the five folds of the MAE or of the package's ROC-AUC. The package converts scores into labels
before it computes the area, so this metric is called `rocauc_thresholded` here; `roc_auc`, computed from the stated
probabilities, is reported too. A missing answer gets the error of the training mean. `strict` uses the same prompts, parses
replies more leniently, and has balanced accuracy as its headline for classification.

`intern-s1` is the setting of the published Intern-S1 scores: fold 0 of four composition tasks; a judge model extracts the
number, or grades the yes or no, with OpenCompass' prompts. The questions are in a data file that is not public: replies
recorded elsewhere can be imported as `intern-s1`, but runs made here are `intern-s1~`, reworded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from math import inf
from statistics import fmean
from typing import Any

from msgspec import Struct

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data import Data, Row
from evals.data.matbench import read_table
from evals.errors import DataError, install_command
from evals.extract import stated_yes_no
from evals.extract.reading import Reading, parse_shortened, read_answer
from evals.extract.statements import Form
from evals.extract.units import DIMENSIONLESS
from evals.labels import ProtocolName
from evals.prompts import ask, plain_text
from evals.prompts.upstream import UpstreamPrompts, opencompass_prompts
from evals.report.aggregate import mean_of_variants
from evals.scorers.judge.judged import Judged
from evals.scorers.labels import Label, classification
from evals.scorers.material import describe_crystal, looks_like_formula, parse_structure
from evals.scorers.number import AbsoluteError, regression, stated_value_of
from evals.scorers.upstream.matbench import FirstNumber, OfficialError, OfficialLabel
from evals.suite import INTERN_S1
from evals.types import Metric, Prompt, Prompter, Sample, Scorer, Text


class Task(Struct, frozen=True):
    """One of the thirteen tasks."""

    column: str
    """Column of the target."""
    property_phrase: str
    """The property as a noun phrase, or a yes-no question."""
    unit: str = ""
    """In pint's notation."""
    display_unit: str = ""
    """Unit in prompts and tables; empty: `unit`."""
    answer_unit: str = ""
    """Unit that answers are converted to, if it is more specific than `unit`."""
    possible_range: tuple[float, float] = (-inf, inf)
    """Generous bounds on physically possible values; a number outside them is suspect."""
    names: str = ""
    """A pattern of the property's names and symbols, if replies also name other properties."""
    has_structure: bool = False
    """Whether the input is a crystal structure instead of a composition."""

    @property
    def is_binary(self) -> bool:
        """Return whether the answer is yes or no."""
        return self.property_phrase.endswith("?")


LOGARITHM = r"log(?:_?\{?10\}?|₁₀)?\s?\([^()\n]{1,20}\)|log(?:10|₁₀)\s?[GK](?:_?VRH)?|取对数得?"
METAL_QUESTION = "Is the material a metal (no band gap)?"
TASKS = {
    "steels": Task(
        "yield strength",
        "yield strength at room temperature of the steel",
        "MPa",
        possible_range=(1, 10_000),
        names=r"yield (?:strength|stress)|proof stress|σ_?y|YS|屈服强度",
    ),
    "expt_gap": Task(
        "gap expt", "experimental band gap of the material (0 for a metal)", "eV", possible_range=(0, 25)
    ),
    "expt_is_metal": Task("is_metal", METAL_QUESTION),
    "glass": Task("gfa", "Can an alloy of this composition be quenched into a metallic glass?"),
    "jdft2d": Task(
        "exfoliation_en", "exfoliation energy", "meV/atom", possible_range=(-50, 10_000), has_structure=True
    ),
    "phonons": Task(
        "last phdos peak",
        "highest peak of the phonon density of states",
        "cm**-1",
        display_unit="1/cm",
        possible_range=(1, 5_000),
        has_structure=True,
    ),
    "dielectric": Task(
        "n",
        "refractive index",
        answer_unit=DIMENSIONLESS,
        possible_range=(0.5, 200),
        names=r"refractive index|(?-i:n)",
        has_structure=True,
    ),
    "log_gvrh": Task(
        "log10(G_VRH)",
        "log10 of the shear modulus (VRH) in GPa",
        display_unit="log10(GPa)",
        answer_unit="log10(GPa)",
        possible_range=(-3, 3.5),
        names=LOGARITHM,
        has_structure=True,
    ),
    "log_kvrh": Task(
        "log10(K_VRH)",
        "log10 of the bulk modulus (VRH) in GPa",
        display_unit="log10(GPa)",
        answer_unit="log10(GPa)",
        possible_range=(-3, 3.5),
        names=LOGARITHM,
        has_structure=True,
    ),
    "perovskites": Task(
        "e_form",
        "heat of formation of the perovskite",
        "eV",
        display_unit="eV/unit cell",
        answer_unit="eV/cell",
        possible_range=(-40, 40),
        has_structure=True,
    ),
    "mp_gap": Task(
        "gap pbe",
        "band gap computed with the PBE functional",
        "eV",
        possible_range=(0, 25),
        has_structure=True,
    ),
    "mp_is_metal": Task("is_metal", METAL_QUESTION, has_structure=True),
    "mp_e_form": Task("e_form", "formation energy", "eV/atom", possible_range=(-10, 10), has_structure=True),
}
ROWS = {
    "steels": 312, "expt_gap": 4_604, "expt_is_metal": 4_921, "glass": 5_680, "jdft2d": 636, "phonons": 1_265,
    "dielectric": 4_764, "log_gvrh": 10_987, "log_kvrh": 10_987, "perovskites": 18_928, "mp_gap": 106_113,
    "mp_is_metal": 106_113, "mp_e_form": 132_752,
}  # fmt: skip
VARIANTS = {name: Variant(rows, chance=0.5 if TASKS[name].is_binary else None) for name, rows in ROWS.items()}
DEFAULT = ("steels", "expt_gap", "expt_is_metal", "glass")


def _rows(data: Data, name: str) -> list[Row]:
    task, row_count = TASKS[name], VARIANTS[name].rows
    return read_table(data, name, column=task.column, expected=row_count, gold=lambda row: _gold(task, row))


def _gold(task: Task, row: Row) -> str | float:
    value = row[task.column]
    if not task.is_binary:
        return float(value)
    return "yes" if str(value).strip().lower() in ("true", "1", "1.0", "yes") else "no"


def _samples(data: Data, name: str, *, only_fold: int | None = None) -> Iterator[Sample]:
    task = TASKS[name]
    rows = _rows(data, name)
    golds = [_gold(task, row) for row in rows]
    training = {} if task.is_binary else _training_statistics(rows, golds)
    for row, gold in zip(rows, golds, strict=True):
        fold = int(row["fold"])
        if only_fold is not None and fold != only_fold:
            continue
        yield Sample(
            id=str(row["mbid"]),
            question=_question(task, row),
            target=gold,
            unit=task.unit,
            group=f"fold_{fold}",
            meta=training.get(fold, {}),
        )


def _question(task: Task, row: Row) -> tuple[Text, ...]:
    """Return the composition, or a placeholder for the structure, which `MaterialPrompter` describes; empty if there is none."""
    material = row.get("structure" if task.has_structure else "composition")
    return (Text("structure" if task.has_structure else str(material)),) if material else ()


def _training_statistics(rows: Sequence[Row], golds: Sequence[Any]) -> dict[int, dict[str, float]]:
    """Return the mean and the range of the training targets of each fold."""
    statistics = {}
    for fold in {int(row["fold"]) for row in rows}:
        if targets := [gold for row, gold in zip(rows, golds, strict=True) if int(row["fold"]) != fold]:
            low, high = min(targets), max(targets)
            statistics[fold] = {"train_mean": fmean(targets), "train_low": low, "train_high": high}
    return statistics


class MaterialPrompter(Struct, frozen=True):
    """Makes prompts that ask for a property of one material; `structures`: id -> structure."""

    task: Task
    structures: dict[str, Any]

    def __call__(self, sample: Sample, repeat: int) -> Prompt:
        """Return the prompt; raises DataError for an invalid composition."""
        if self.task.has_structure:
            return ask(self._prompt_text(describe_crystal(parse_structure(self.structures[sample.id]))))
        formula = plain_text(sample.question)
        if not looks_like_formula(formula):
            raise DataError(f"matbench: {sample.id}: {formula!r} is not a composition")
        return ask(self._prompt_text(f"Composition: {formula}"))

    def _prompt_text(self, material: str) -> str:
        if self.task.is_binary:
            return (
                f"{self.task.property_phrase}\n\n{material}\n\nFinish with two lines: `Probability: P`, where P from 0 to 1 is "
                "how likely the answer is yes, and `Answer: yes` or `Answer: no`."
            )
        unit = self.task.display_unit or self.task.unit
        in_unit = f" in {unit}" if self.task.unit else ""
        return (
            f"Predict the {self.task.property_phrase}{in_unit}.\n\n{material}\n\nA rough estimate is better than none. Finish with "
            f"a line of the form `Answer: X`, where X is one number{in_unit}."
        )


def _prompter(data: Data, name: str) -> Prompter:
    """Return the prompter; raises DataError if pint, which scoring needs, is missing."""
    task = TASKS[name]
    if not task.is_binary and find_spec("pint") is None:
        raise DataError(
            f"matbench:{name} needs pint to convert the units of answers: {install_command('materials')}"
        )
    rows = _rows(data, name) if task.has_structure else ()
    return MaterialPrompter(task, {str(row["mbid"]): row["structure"] for row in rows})


def _columns(sample: Sample, prompt: Prompt, question: str) -> Row:
    """Return the columns of OpenCompass' loader (datasets/matbench/matbench.py), with classes as True or False."""
    class_names = {"yes": "True", "no": "False"}
    return {"problem": question, "answer": class_names.get(str(sample.target), str(sample.target))}


def _upstream_prompts(variant: str) -> UpstreamPrompts:
    return opencompass_prompts(
        "matbench/matbench_llm_judge_gen_0e9276.py",
        "matbench_infer_cfg",
        "matbench_eval_cfg.evaluator",
        unavailable="OpenCompass' questions about Matbench are in a data file that is not public",
        loop_values=(("task", f"matbench_{variant}"),),
        columns=_columns,
        judge_reply="verdict" if TASKS[variant].is_binary else "number",
    )


def label(text: str) -> Reading | None:
    """Return the stated label, yes or no; None if none is stated."""
    answer = stated_yes_no(text)
    return answer and answer._replace(value="yes" if answer.value else "no")


_MATERIAL_CLASS = re.compile(
    r"(?:(?:it|this|that|(?:this|the)\s(?:compound|material|composition|alloy|phase|crystal))(?:['’]s|\sis|\sshould\sbe)\s)?"
    r"(?:(?:most\s)?(?:likely|probably|clearly|predicted\sto\sbe|expected\sto\sbe|classified\sas)\s)*"
    r"(?P<not>not\s|不是|并非)?(?:an?\s)?(?:(?P<metal>metal(?:lic)?(?:\sconductor)?|金属)|(?P<nonmetal>non-?\s?metal(?:lic)?|semiconduct(?:or|ing)|insulat(?:or|ing)|非金属|半导体|绝缘体))",
    re.IGNORECASE,
)


def _parse_material_class(content: str, form: Form) -> str | None:
    material_class = _MATERIAL_CLASS.fullmatch(content.strip())
    if material_class is None or (material_class["not"] and material_class["nonmetal"]):
        return None
    return "yes" if material_class["metal"] and not material_class["not"] else "no"


def metal_label(text: str) -> Reading | None:
    """Return the stated label, yes or no, or else the label of the stated class: metal, semiconductor, insulator."""
    return label(text) or read_answer(text, parse_shortened(_parse_material_class))


def _ideal(sample: Sample, prompt: Prompt) -> str:
    return f"Answer: {sample.target!r}" if isinstance(sample.target, float) else f"Answer: {sample.target}"


def _strict(variant: str) -> Protocol:
    task = TASKS[variant]
    scorer: Scorer = Label(metal_label if task.property_phrase == METAL_QUESTION else label)
    if not task.is_binary:
        read = stated_value_of(task.names)
        scorer = AbsoluteError(read, unit=task.answer_unit, possible=task.possible_range)
    return _rule_protocol(task, scorer, class_headline="balanced_accuracy")


def _official(variant: str) -> Protocol:
    task = TASKS[variant]
    scorer = OfficialLabel() if task.is_binary else OfficialError()
    return _rule_protocol(task, scorer, class_headline="rocauc_thresholded")


def _rule_protocol(task: Task, scorer: Scorer, *, class_headline: str) -> Protocol:
    scorers = {"label" if task.is_binary else "number": scorer}
    return Protocol(prompter=_prompter, scorers=scorers, metrics=_metrics(task, class_headline))


def _metrics(task: Task, class_headline: str) -> tuple[Metric, ...]:
    if task.is_binary:
        return classification(headline=class_headline)
    return regression(task.display_unit or task.unit)


def _intern_s1(variant: str) -> Protocol:
    task, refuses = TASKS[variant], ""
    if variant not in DEFAULT:
        refuses = f"matbench:{variant} has no protocol intern-s1, which covers only {', '.join(DEFAULT)}"
    judge = Judged(rule=FirstNumber(), mode="read", template_name="number")
    if task.is_binary:
        judge = Judged(rule=OfficialLabel(), mode="whole")
    return Protocol(
        prompter=_prompter,
        upstream=None if refuses else _upstream_prompts(variant),
        scorers={"judge": judge},
        metrics=_metrics(task, "accuracy"),
        sampling=INTERN_S1,
        samples=partial(_samples, only_fold=0),
        refuses=refuses,
    )


def aggregate(protocol: str, cards: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the mean of the four tasks as defined by OpenCompass for `intern-s1`; None under the other protocols.

    Source: OpenCompass @ a5acc4bb, configs/summarizers/groups/matbench.py: the mean of (2 - MAE) / 2 for
    expt_gap, (2000 - MAE) / 2000 for steels and two accuracies; it can fall below 0.
    """
    if ProtocolName.parse(protocol).base != "intern-s1":
        return None
    to_fractions = {"expt_gap": lambda mae: (2 - mae) / 2, "steels": lambda mae: (2000 - mae) / 2000}
    return mean_of_variants(DEFAULT, cards, to_fractions, same_items=[("expt_gap", "expt_is_metal")])


BENCHMARK = Benchmark(
    name="matbench",
    title="Matbench v0.1: thirteen properties of materials (Dunn et al. 2020, npj Comput. Mater. 6, 138), posed in natural language.",
    version="2",
    variants=VARIANTS,
    default=DEFAULT,
    samples=_samples,
    protocols={"strict": _strict, "official": _official, "intern-s1": _intern_s1},
    ideal=_ideal,
    licence="MIT",
    cite="doi 10.1038/s41524-020-00406-3",
    aggregate=aggregate,
)
