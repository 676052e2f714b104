"""Matbench v0.1: thirteen properties of materials (Dunn et al. 2020, npj Comput. Mater. 6, 138), asked in words.

`official` follows materialsproject/matbench @ 936176db: every material is asked once, in the fold that tests it;
the figure is the mean over the five folds of the MAE, or of the package's ROC-AUC. The package turns scores into
labels before it computes that area, so what it calls rocauc is here `rocauc_thresholded`; `roc_auc`, the area
under stated probabilities, stands beside it. A missing answer makes the error of the training mean.
`strict` asks the same, reads what models write today, and has the balanced accuracy as its headline for classes.

`intern-s1` is the form behind the published Intern-S1 numbers: fold 0 of four composition tasks, read and graded
by a judge model in OpenCompass' words. Its questions lie in a data file that is not public, so that nobody can be
asked in them: replies recorded elsewhere can be of `intern-s1`, what is asked here is of `intern-s1~`, in our words.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from math import inf
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec
from msgspec import Struct

from evals import disk
from evals.data import Data, Row, Split
from evals.errors import DataError
from evals.extract import stated_yes_no
from evals.extract.reading import Reading
from evals.extract.units import DIMENSIONLESS
from evals.prompts import ask, plain_text
from evals.prompts.upstream import OURS, Words
from evals.report.statistics import Interval, mean_of_independent
from evals.scorers.judge.judged import Judged
from evals.scorers.labels import Label, classification
from evals.scorers.material import describe, looks_like_formula, structure
from evals.scorers.number import AbsoluteError, regression
from evals.scorers.upstream.first_number import FirstNumber
from evals.scorers.upstream.matbench import OfficialError, OfficialLabel
from evals.suite import INTERN_S1, Suite
from evals.types import Prompt, Prompter, Sample, Sampling, Scorer, Text


class Task(Struct, frozen=True):
    """One of the thirteen tasks."""

    column: str
    """Of the target in the table."""
    asks: str
    """The property, as a noun phrase; of a class, as a question."""
    unit: str = ""
    """As pint reads it."""
    shown: str = ""
    """Unit as shown to people; empty: as `unit`."""
    reads: str = ""
    """Unit that answers are converted to, where more is known of it than `unit` says."""
    possible: tuple[float, float] = (-inf, inf)
    """What the property can physically be, generously; a number outside of it is suspect."""
    structure: bool = False
    """Whether the input is a crystal structure; else a composition."""

    @property
    def binary(self) -> bool:
        """Whether the answer is yes or no."""
        return self.asks.endswith("?")


METAL = "Is the material a metal (no band gap)?"
TASKS = {
    "steels": Task(
        "yield strength", "yield strength at room temperature of the steel", "MPa", possible=(1, 10_000)
    ),
    "expt_gap": Task(
        "gap expt", "experimental band gap of the material (0 for a metal)", "eV", possible=(0, 25)
    ),
    "expt_is_metal": Task("is_metal", METAL),
    "glass": Task("gfa", "Can an alloy of this composition be quenched into a metallic glass?"),
    "jdft2d": Task(
        "exfoliation_en", "exfoliation energy", "meV/atom", possible=(-50, 10_000), structure=True
    ),
    "phonons": Task(
        "last phdos peak",
        "highest peak of the phonon density of states",
        "cm**-1",
        "1/cm",
        possible=(1, 5_000),
        structure=True,
    ),
    "dielectric": Task("n", "refractive index", reads=DIMENSIONLESS, possible=(0.5, 200), structure=True),
    "log_gvrh": Task(
        "log10(G_VRH)",
        "log10 of the shear modulus (VRH) in GPa",
        "",
        "log10(GPa)",
        "log10(GPa)",
        (-3, 3.5),
        structure=True,
    ),
    "log_kvrh": Task(
        "log10(K_VRH)",
        "log10 of the bulk modulus (VRH) in GPa",
        "",
        "log10(GPa)",
        "log10(GPa)",
        (-3, 3.5),
        structure=True,
    ),
    "perovskites": Task(
        "e_form",
        "heat of formation of the perovskite",
        "eV",
        "eV/unit cell",
        "eV/cell",
        (-40, 40),
        structure=True,
    ),
    "mp_gap": Task(
        "gap pbe", "band gap computed with the PBE functional", "eV", possible=(0, 25), structure=True
    ),
    "mp_is_metal": Task("is_metal", METAL, structure=True),
    "mp_e_form": Task("e_form", "formation energy", "eV/atom", possible=(-10, 10), structure=True),
}
VARIANTS = {
    "steels": 312, "expt_gap": 4_604, "expt_is_metal": 4_921, "glass": 5_680, "jdft2d": 636, "phonons": 1_265,
    "dielectric": 4_764, "log_gvrh": 10_987, "log_kvrh": 10_987, "perovskites": 18_928, "mp_gap": 106_113,
    "mp_is_metal": 106_113, "mp_e_form": 132_752,
}  # fmt: skip
DEFAULT = ("steels", "expt_gap", "expt_is_metal", "glass")
PROTOCOLS = ("strict", "official", "intern-s1", "intern-s1~")
VERSION = "2"
NEEDS: frozenset[str] = frozenset()
GATED = False
FOLDS, SEED = 5, 18_012_019
SPLITS = ("matbench_v0.1_validation_small_tasks", "matbench_v0.1_validation")
"""Names of upstream's files of splits."""


def _table(data: Data, name: str) -> list[Row]:
    """Read a task's table with `mbid`, the input, the target and, where it is known, `fold`."""
    if data.origin == "hub":
        return _from_matminer(name)
    split = Split(hub=f"matbench_{name}", stems=(f"matbench_{name}", name), rows=VARIANTS[name])
    rows = _as_downloaded(data, name) or list(data.rows(split, required=("mbid", TASKS[name].column)))
    if "fold" not in rows[0]:
        folds = _official_folds(data, name) or made_folds([_gold(TASKS[name], row) for row in rows])
        for position, row in enumerate(rows):
            row["fold"] = folds[row["mbid"]] if isinstance(folds, dict) else folds[position]
    return rows


def _as_downloaded(data: Data, name: str) -> list[Row]:
    """Read a table as matminer stores it, {"columns": [...], "data": [[...], ...]}, its rows in their order."""
    if (path := data.folder() / f"matbench_{name}.json.gz").is_file():
        document = _document(path)
        if "columns" in document:
            return _with_ids(
                name, [dict(zip(document["columns"], row, strict=True)) for row in document["data"]]
            )
    return []


def _with_ids(name: str, rows: Sequence[Row]) -> list[Row]:
    """Give rows the ids that upstream makes of their order."""
    width, label = len(str(len(rows))), name.replace("_", "-")
    return [{**row, "mbid": f"mb-{label}-{i + 1:0{width}d}"} for i, row in enumerate(rows)]


def _from_matminer(name: str) -> list[Row]:
    """Download a task's table through matminer; ids and folds are made as upstream makes them."""
    try:
        from matminer.datasets import load_dataset
    except ImportError:
        raise DataError(
            "matbench: downloading its tables needs `pip install 'science-evals[materials]'`; "
            "or give a local mirror with --data DIR, or try --sample"
        ) from None
    try:
        rows: list[Row] = load_dataset(f"matbench_{name}").to_dict("records")
    except Exception as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise DataError(
            f"matbench: cannot download matbench_{name} through matminer; go online once, or give a local mirror "
            f"with --data DIR ({reason})"
        ) from error
    if len(rows) != VARIANTS[name]:
        raise DataError(f"matbench: matbench_{name} has {len(rows)} rows, expected {VARIANTS[name]}")
    folds = made_folds([_gold(TASKS[name], row) for row in rows])
    return [{**row, "fold": fold} for row, fold in zip(_with_ids(name, rows), folds, strict=True)]


def _official_folds(data: Data, name: str) -> dict[str, int]:
    """Read upstream's file of splits, where it lies beside the tables: mbid -> fold that tests it."""
    for stem in SPLITS:
        for path in (data.folder() / f"{stem}.json", data.folder() / f"{stem}.json.gz"):
            if path.is_file():
                parts: Mapping[str, Any] = _document(path)["splits"].get(f"matbench_{name}", {})
                return {mbid: int(fold[-1]) for fold, part in parts.items() for mbid in part["test"]}
    return {}


def _document(path: Path) -> dict[str, Any]:
    try:
        with disk.open_unpacked(path) as stream:
            return msgspec.json.decode(stream.read(), type=dict[str, Any])
    except (OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
        raise DataError(f"matbench: cannot read {path}: {error}") from error


def made_folds(targets: Sequence[str | float]) -> list[int]:
    """Make the official folds again, by their published recipe: row -> fold that tests it.

    Source: matbench, scripts/mvb01_generate_validation.py: (Stratified)KFold, 5 splits, shuffled, seed 18012019.
    """
    try:
        from sklearn.model_selection import KFold, StratifiedKFold
    except ImportError:
        raise DataError(
            "matbench: the table has no column 'fold' and there is no file of splits; making the folds again needs "
            "`pip install 'science-evals[materials]'`"
        ) from None
    stratified = isinstance(targets[0], str)
    maker = (StratifiedKFold if stratified else KFold)(FOLDS, shuffle=True, random_state=SEED)
    folds = [0] * len(targets)
    for fold, (_, test) in enumerate(maker.split([[0]] * len(targets), targets)):
        for row in test:
            folds[row] = fold
    return folds


def _gold(task: Task, row: Row) -> str | float:
    value = row[task.column]
    if not task.binary:
        return float(value)
    return "yes" if str(value).strip().lower() in ("true", "1", "1.0", "yes") else "no"


def _samples(data: Data, name: str, only_fold: int | None = None) -> Iterator[Sample]:
    task = TASKS[name]
    rows = _table(data, name)
    golds = [_gold(task, row) for row in rows]
    training = {} if task.binary else _training(rows, golds)
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
    given = row.get("structure" if task.structure else "composition")
    if not given:
        return ()
    return (Text("structure"),) if task.structure else (Text(str(given)),)


def _training(rows: Sequence[Row], golds: Sequence[Any]) -> dict[int, dict[str, float]]:
    """Mean and range of the targets that a model tested on a fold may have seen."""
    found = {}
    for fold in {int(row["fold"]) for row in rows}:
        seen = [gold for row, gold in zip(rows, golds, strict=True) if int(row["fold"]) != fold]
        if seen:
            found[fold] = {"train_mean": fmean(seen), "train_low": min(seen), "train_high": max(seen)}
    return found


class Ask(Struct, frozen=True):
    """Asks for the property of one material; `inputs` holds the text of the structures by id."""

    task: Task
    inputs: dict[str, Any]

    def __call__(self, sample: Sample, repeat: int) -> Prompt:
        """Make the prompt; raises DataError where a composition is none."""
        if self.task.structure:
            return ask(self._words(describe(structure(self.inputs[sample.id]))))
        formula = plain_text(sample.question)
        if not looks_like_formula(formula):
            raise DataError(f"matbench: {sample.id}: {formula!r} is no composition")
        return ask(self._words(f"Composition: {formula}"))

    def _words(self, material: str) -> str:
        if self.task.binary:
            return (
                f"{self.task.asks}\n\n{material}\n\nFinish with two lines: `Probability: P`, where P from 0 to 1 is "
                "how likely the answer is yes, and `Answer: yes` or `Answer: no`."
            )
        unit = self.task.shown or self.task.unit
        given = f" in {unit}" if self.task.unit else ""
        return (
            f"Predict the {self.task.asks}{given}.\n\n{material}\n\nA rough estimate is better than none. Finish with "
            f"a line of the form `Answer: X`, where X is one number{given}."
        )


def _prompter(data: Data, name: str) -> Prompter:
    """Give the function that asks; raises DataError where scoring what comes back would lack pint."""
    task = TASKS[name]
    if not task.binary and find_spec("pint") is None:
        raise DataError(
            f"matbench:{name}: answers in other units are converted by pint: pip install 'science-evals[materials]'"
        )
    return Ask(task, {str(r["mbid"]): r["structure"] for r in _table(data, name)} if task.structure else {})


def _row(sample: Sample, prompt: Prompt, question: str) -> Row:
    """Give the columns of OpenCompass' loader (datasets/matbench/matbench.py); a class is true or false there."""
    named = {"yes": "True", "no": "False"}
    return {"problem": question, "answer": named.get(str(sample.target), str(sample.target))}


def _words(variant: str) -> Words:
    return Words(
        lacks="OpenCompass' questions about Matbench are in a data file that is not public",
        file="matbench/matbench_llm_judge_gen_0e9276.py",
        asks="matbench_infer_cfg.prompt_template.template",
        judges="matbench_eval_cfg.evaluator.prompt_template.template",
        given=(("task", f"matbench_{variant}"),),
        row=_row,
        gold="answer",
        kind="verdict" if TASKS[variant].binary else "number",
    )


def label(text: str) -> Reading | None:
    """Read a stated yes or no."""
    found = stated_yes_no(text)
    return found and found._replace(value="yes" if found.value else "no")


def _ideal(sample: Sample, prompt: Prompt) -> str:
    return f"Answer: {sample.target!r}" if isinstance(sample.target, float) else f"Answer: {sample.target}"


def suite(variant: str = "steels", protocol: str = "strict") -> Suite:
    """Give one task under a protocol."""
    task, judged = TASKS[variant], protocol == "intern-s1"
    refuses = ""
    if judged and variant not in DEFAULT:
        refuses = f"matbench:{variant} has no protocol intern-s1: it asks {', '.join(DEFAULT)} alone"
    scorers: dict[str, Scorer] = (
        {"label": Label(label)}
        if task.binary
        else {"number": AbsoluteError(unit=task.reads, possible=task.possible)}
    )
    if protocol == "official":
        scorers = {"label": OfficialLabel()} if task.binary else {"number": OfficialError()}
    elif judged and task.binary:
        scorers = {"judge": Judged(rule=OfficialLabel(), mode="whole")}
    elif judged:
        scorers = {"judge": Judged(rule=FirstNumber(), mode="read", form="number")}
    class_headline = {"official": "rocauc_thresholded", "intern-s1": "accuracy"}.get(
        protocol, "balanced_accuracy"
    )
    return Suite(
        name="matbench",
        variant=variant,
        protocol=protocol,
        version=VERSION,
        samples=lambda data: _samples(data, variant, 0 if judged else None),
        prompter=lambda data: _prompter(data, variant),
        ideal=_ideal,
        scorers=scorers,
        metrics=classification(headline=class_headline)
        if task.binary
        else regression(task.shown or task.unit),
        sampling=INTERN_S1 if judged else Sampling(temperature=0.0, max_tokens=32_768),
        needs=frozenset({"judge"}) if judged else NEEDS,
        words=_words(variant) if judged and not refuses else None,
        refuses=refuses,
        chance=0.5 if task.binary else None,
        licence="MIT",
        cite="doi 10.1038/s41524-020-00406-3",
    )


def aggregate(protocol: str, cards: Mapping[str, Any]) -> dict[str, Any] | None:
    """Combine the four tasks as OpenCompass does for `intern-s1`; None under the other protocols.

    Source: OpenCompass @ a5acc4bb, configs/summarizers/groups/matbench.py: the mean of (2 - MAE) / 2 for
    expt_gap, (2000 - MAE) / 2000 for steels and two accuracies; it can fall below 0.
    """
    if protocol.removesuffix(OURS) != "intern-s1":
        return None
    missing = [name for name in DEFAULT if name not in cards]
    shares = [_share(name, _headline(cards[name])) for name in DEFAULT if name in cards]
    known = [share for share in shares if share is not None]
    entry: dict[str, Any] = {"value": None, "low": None, "high": None}
    if len(known) == len(DEFAULT):
        entry["value"], entry["low"], entry["high"], _ = mean_of_independent(known)
    runs = [cards[name].run for name in DEFAULT if name in cards]
    return {**entry, "runs": runs, "missing": missing}


def _headline(card: Any) -> Any:
    estimates: Iterable[Any] = card.estimates
    return next((one for one in estimates if one.headline), None)


def _share(name: str, one: Any) -> Interval | None:
    """Turn a task's headline into a share, with its own limits; an error's fall as the error grows."""
    scale = {"expt_gap": 2.0, "steels": 2000.0}.get(name)
    if one is None or one.value is None or scale is None:
        return (
            None if one is None or one.value is None else Interval(one.value, one.low, one.high, one.method)
        )
    value, low, high = (
        None if end is None else (scale - end) / scale for end in (one.value, one.high, one.low)
    )
    return Interval(value or 0.0, low, high, one.method)
