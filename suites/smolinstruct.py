"""SMolInstruct (Yu et al. 2024, arXiv 2402.09391).

`official` uses the authors' prompts and rules (evals/scorers/upstream/llm4chem.py). `intern-s1` is OpenCompass' form, the
column of the Intern-S1 tables (evals/scorers/upstream/opencompass.py): zero-shot with a hint, with OpenCompass' own prompts
(`intern-s1~`: reworded), and the mean over the 14 tasks. `strict` is ours: molecules compared by structure with
stereochemistry, names as names, balanced accuracy if one class is rare, RMSE over the given answers.

`--data` accepts the hub's archive (`data.zip`), its unpacked folder, or files with the loading script's columns, one per
task (`name_conversion-i2s.jsonl`, .parquet, ...).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from math import sqrt
from statistics import fmean
from typing import Any, NamedTuple

from msgspec import Struct

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data import Row
from evals.data.smolinstruct import TASKS, Task, samples
from evals.extract import last_tag, stated_yes_no
from evals.extract.reading import Reading
from evals.extract.units import DIMENSIONLESS
from evals.labels import ProtocolName
from evals.prompts import ask, plain_text
from evals.prompts.upstream import UpstreamPrompts, opencompass_prompts
from evals.report.aggregate import mean_of_variants
from evals.scorers import chemistry_metrics as shared
from evals.scorers import labels, number, text
from evals.scorers.chemistry_metrics import mean as _mean
from evals.scorers.chemistry_metrics import whole as _whole
from evals.scorers.formula import Formula
from evals.scorers.molecule import Molecule
from evals.scorers.names import Name, opsin_installed
from evals.scorers.text import Caption
from evals.scorers.upstream import llm4chem, opencompass
from evals.scorers.upstream.llm4chem import Part, Valid
from evals.suite import INTERN_S1
from evals.types import Metric, Point, Prompt, Sample, Sampling, Scorer

NUMBERS = {
    "property_prediction-esol": number.AbsoluteError(unit="log10(mol/L)", possible=(-20, 5)),
    "property_prediction-lipo": number.AbsoluteError(unit=DIMENSIONLESS, possible=(-15, 20)),
}
"""Task -> scorer, with the unit that answers are converted to and the physically possible range."""


# --- asking

KINDS = {
    "number": "State it as \\boxed{number}.",
    "boolean": "Your reply must be Yes or No and nothing else.",
    "caption": "Reply with the description alone, in plain English.",
}


def _plain(sample: Sample, repeat: int) -> Prompt:
    return ask(plain_text(sample.question))


def _instruction(task: Task) -> str:
    how = KINDS.get(task.kind, f"Write it between <{task.tag}> and </{task.tag}>, and write nothing else.")
    return f"You are an expert chemist. Your task is to give {task.wants}. {how} It must make chemical sense."


def _instruction_last(task: Task, sample: Sample, repeat: int) -> Prompt:
    return ask(f"{plain_text(sample.question)}\n\n{_instruction(task)}")


def _instruction_first(task: Task, sample: Sample, repeat: int) -> Prompt:
    return ask(f"{_instruction(task)}\nQuestion: {plain_text(sample.question)}\nAnswer: ")


def _row(sample: Sample, prompt: Prompt, question: str) -> Row:
    """Return the columns that OpenCompass' loader makes (datasets/smolinstruct.py)."""
    return {"input": question, "output": ""}


PARTS = {
    "NC": ("nc", "nc_0shot_infer_cfg"),
    "PP-ESOL": ("rmse", "pp_rmse_0shot_infer_cfg"),
    "PP-Lipo": ("rmse", "pp_rmse_0shot_infer_cfg"),
    "PP": ("pp_acc", "pp_acc_infer_cfg"),
    "MC": ("meteor", "meteor_0shot_infer_cfg"),
}
"""Task, or start of its name -> part of OpenCompass' file name, variable in the file; all others use `fts`."""


def _words(variant: str) -> UpstreamPrompts:
    """Return the prompts of one task: an iteration of the loop in its file."""
    kind, _, name = variant.partition("-")
    part, variable = PARTS.get(variant) or PARTS.get(kind) or ("fts", "fts_0shot_infer_cfg")
    shot = "0_shot" if part == "pp_acc" else "0shot"
    return opencompass_prompts(
        f"SmolInstruct/smolinstruct_{part}_{shot}_instruct.py",
        variable,
        given=(("_name", name or kind),),
        row=_row,
        gold="output",
    )


def _ideal(task: Task, form: str, sample: Sample, prompt: Prompt) -> str:
    """Return the gold answer; `form`: the format string of a number."""
    if task.kind == "caption":
        return str(sample.target)
    if task.kind == "number":
        return form.format(f"{Decimal(repr(sample.target)):f}")
    return f"<{task.tag}> {sample.target} </{task.tag}>"


def _ideal_intern_s1(task: Task, sample: Sample, prompt: Prompt) -> str:
    """Return OpenCompass' reference: for a caption, the whole output of the template."""
    if task.kind == "caption":
        return str(sample.meta.get("output") or sample.target)
    return _ideal(task, BOXED, sample, prompt)


BOXED, TAGGED = "\\boxed{{{}}}", "<NUMBER> {} </NUMBER>"


# --- scoring


def label(text: str) -> Reading | None:
    """Return yes or no, from the last <BOOLEAN> tag or as stated."""
    tag = last_tag(text, "BOOLEAN")
    answer = stated_yes_no(tag or text)
    if answer is None:
        return None
    place = text.rfind(tag) if tag else 0
    form, begin, end = ("tag" if tag else answer.form), answer.begin + place, answer.end + place
    return Reading("yes" if answer.value else "no", form, begin, end)


class RootMeanSquare(Struct, frozen=True):
    """Root mean square error; the error of a missing answer is a part of its score."""

    part: str

    def __call__(self, points: Sequence[Point]) -> float:
        """Reduce; raises ValueError without points, or if the error of a missing answer is unknown."""
        errors = [point.parts.get(self.part) if point.value is None else point.value for point in points]
        known = [error for error in errors if error is not None]
        if not known or len(known) < len(errors):
            raise ValueError(f"{self.part} is not known for every missing answer")
        return sqrt(fmean(error * error for error in known))


VALIDITY, SIMILARITIES, ACCURACY = shared.VALIDITY, shared.SIMILARITIES, shared.ACCURACY
LOG10 = "log10"
ERRORS = (  # the headline covers answered samples; `answered` is their share
    shared.error("rmse", number.rmse, unit=LOG10, headline=True),
    shared.error("rmse_imputed", RootMeanSquare("error_imputed"), unit=LOG10),
    shared.error("rmse_worst", RootMeanSquare("error_worst"), unit=LOG10),
    shared.error("mae", number.mae, unit=LOG10),
    _mean("answered", number.answered),
)


def _names(task: Task) -> tuple[Metric, ...]:
    """Return the metrics of names; the headline's name states whether OPSIN parsed them."""
    names = (_mean("same_string", Part("string", 0.0)),)
    if not opsin_installed():
        return (_mean("accuracy_by_name", headline=True), *names)
    return (
        _mean("accuracy_by_structure", headline=True),
        _mean("accuracy_by_name", Part("name", 0.0)),
        *names,
    )


def _molecules_by_structure(task: Task) -> tuple[Metric, ...]:
    return shared.by_structure(several=task.kind == "molecules")


def _molecules_by_string(task: Task) -> tuple[Metric, ...]:
    sets = ("subset", "intersection") if task.name == "retrosynthesis" else ()
    return (
        _mean("exact_match", headline=True),
        VALIDITY,
        *SIMILARITIES,
        *(_mean(name, Part(name, 0.0)) for name in sets),
    )


def _classes(*, balanced: bool) -> tuple[Metric, ...]:
    """Return the metrics of yes and no; not `balanced`: as the authors compute them, over valid replies."""
    on: Callable[[Any], Any] = (lambda of: of) if balanced else Valid
    return (
        _whole("balanced_accuracy", on(labels.balanced_accuracy), headline=balanced),
        _mean("accuracy", headline=not balanced),
        _whole("mcc", on(labels.mcc)),
        _whole("f1", on(labels.f1)),
    )


def _similar(task: Task) -> tuple[Metric, ...]:
    return (_mean("morgan_bits", headline=True), VALIDITY)


def _to_smiles(task: Task) -> bool:
    """Return whether names are to be converted, which OpenCompass scores by string equality."""
    return task.name.startswith("name")


class Rule(NamedTuple):
    """Scorer and metrics of one kind of answer."""

    scorer: Callable[[Task], Scorer]
    metrics: Callable[[Task], tuple[Metric, ...]] = lambda task: ACCURACY


STRICT = {
    "formula": Rule(lambda task: Formula()),
    "name": Rule(lambda task: Name(structure=opsin_installed()), _names),
    "molecule": Rule(lambda task: Molecule(), _molecules_by_structure),
    "molecules": Rule(
        lambda task: Molecule(
            several=True, side="reactants" if task.name == "retrosynthesis" else "products"
        ),
        _molecules_by_structure,
    ),
    "number": Rule(lambda task: NUMBERS[task.name], lambda task: ERRORS),
    "boolean": Rule(lambda task: labels.Label(label), lambda task: _classes(balanced=True)),
    "caption": Rule(
        lambda task: Caption(synonyms=text.synonyms_available()), lambda task: shared.captions("rouge_l", 0.0)
    ),
}
OFFICIAL = {
    "formula": Rule(lambda task: llm4chem.ElementMatch()),
    "name": Rule(lambda task: llm4chem.SplitMatch()),
    "molecule": Rule(lambda task: llm4chem.ExactMatch(), _molecules_by_string),
    "molecules": Rule(lambda task: llm4chem.ExactMatch(), _molecules_by_string),
    "number": Rule(lambda task: llm4chem.Number(), lambda task: ERRORS),
    "boolean": Rule(lambda task: llm4chem.Boolean(), lambda task: _classes(balanced=False)),
    "caption": Rule(
        lambda task: Caption(headline="meteor", synonyms=text.synonyms_available()),
        lambda task: shared.captions("meteor", None, "_on_words"),
    ),
}
INTERN = {
    "formula": Rule(lambda task: opencompass.Elements()),
    "name": Rule(lambda task: opencompass.Strings()),
    "molecule": Rule(
        lambda task: opencompass.Strings() if _to_smiles(task) else opencompass.Similarity(),
        lambda task: ACCURACY if _to_smiles(task) else _similar(task),
    ),
    "molecules": Rule(lambda task: opencompass.Similarity(), _similar),
    "number": Rule(
        lambda task: opencompass.Errors(),
        lambda task: (shared.error("mae_unread_as_0", number.mae, unit=LOG10, headline=True),),
    ),
    "boolean": Rule(lambda task: opencompass.YesNo()),
    "caption": Rule(
        lambda task: opencompass.Meteor(synonyms=text.synonyms_available()),
        lambda task: (_mean(shared.meteor_name(), Part(shared.meteor_name(), 0.0), headline=True),),
    ),
}


def _strict(variant: str) -> Protocol:
    task = TASKS[variant]
    rule = STRICT[task.kind]
    return Protocol(
        prompt=partial(_instruction_last, task),
        scorers={task.kind: rule.scorer(task)},
        metrics=rule.metrics(task),
        ideal=partial(_ideal, task, BOXED),
        chance=0.5 if task.kind == "boolean" else None,
    )


def _official(variant: str) -> Protocol:
    task = TASKS[variant]
    rule = OFFICIAL[task.kind]
    return Protocol(
        prompt=_plain,
        verbatim=True,
        scorers={task.kind: rule.scorer(task)},
        metrics=rule.metrics(task),
        sampling=Sampling(temperature=0.0, max_tokens=1024),
        ideal=partial(_ideal, task, TAGGED),
    )


def _intern_s1(variant: str) -> Protocol:
    task = TASKS[variant]
    rule = INTERN[task.kind]
    return Protocol(
        prompt=partial(_instruction_first, task),
        upstream=_words(variant),
        scorers={task.kind: rule.scorer(task)},
        metrics=rule.metrics(task),
        sampling=INTERN_S1,
        ideal=partial(_ideal_intern_s1, task),
    )


def aggregate(protocol: str, cards: Mapping[str, Any]) -> dict[str, Any] | None:
    """Combine the 14 tasks as OpenCompass does for `intern-s1`; None under the other protocols.

    Source: opencompass 0.5.4, configs/summarizers/groups/smolinstruct.py: the plain mean, with the two errors x
    turned into max((2 - x) / 2, 0) for ESOL and max((1.2 - x) / 1.2, 0) for Lipo.
    """
    if ProtocolName.parse(protocol).base not in AGGREGATED:
        return None
    shares = {
        "PP-ESOL": lambda error: max((2.0 - error) / 2.0, 0.0),
        "PP-Lipo": lambda error: max((1.2 - error) / 1.2, 0.0),
    }
    return mean_of_variants(TASKS, cards, shares, shared=SAME_MOLECULES)


SAME_MOLECULES = (("NC-I2F", "NC-I2S", "NC-S2F", "NC-S2I"), ("MC", "MG"), ("FS", "RS"))
"""Tasks that are made of the same molecules, or of the same reactions, and so are right and wrong together."""
AGGREGATED = ("intern-s1",)
BENCHMARK = Benchmark(
    name="smolinstruct",
    title="SMolInstruct: 14 tasks on small molecules (Yu et al. 2024, arXiv 2402.09391), one run per task.",
    version="2",
    variants={name: Variant(task.rows) for name, task in TASKS.items()},
    samples=samples,
    protocols={"strict": _strict, "official": _official, "intern-s1": _intern_s1},
    licence="CC-BY-4.0",
    cite="arXiv 2402.09391",
    aggregate=aggregate,
)
