"""SMolInstruct (Yu et al. 2024, arXiv 2402.09391).

`official` uses the authors' prompts and rules (evals/scorers/upstream/llm4chem.py) for one greedy reply of up to 1,024
tokens; the authors decode with 4 to 13 beams and also count a right answer among the first 3 to 10. `intern-s1` is
OpenCompass' setup, used for the Intern-S1 tables (evals/scorers/upstream/opencompass.py): zero-shot with a hint, with
OpenCompass' own prompts (`intern-s1~`: reworded), and the mean over the 14 tasks. `strict` is our own: molecules are
compared by structure with stereochemistry, names as text or, with OPSIN, by structure; yes-no tasks report balanced
accuracy, and numbers the RMSE over answered samples.

`--data` accepts the hub's archive (`data.zip`), its unpacked folder, or files with the loading script's columns, one per
task (`name_conversion-i2s.jsonl`, .parquet, ...).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from math import sqrt
from statistics import fmean
from typing import Any, TypeAlias

from msgspec import Struct

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data.smolinstruct import TASKS, Task, samples
from evals.extract import last_tag, stated_yes_no
from evals.extract.reading import Reading
from evals.extract.smiles import Side
from evals.extract.units import DIMENSIONLESS
from evals.labels import ProtocolName
from evals.prompts import ask, plain_text, question_prompt
from evals.prompts.upstream import UpstreamPrompts, opencompass_prompts
from evals.report.aggregate import mean_of_variants
from evals.report.part_mean import PartMean
from evals.scorers import chemistry_metrics, labels, number, text
from evals.scorers.chemistry_metrics import ACCURACY, SIMILARITIES, VALIDITY
from evals.scorers.formula import Formula
from evals.scorers.molecule import Molecule
from evals.scorers.names import Name, opsin_installed
from evals.scorers.upstream import llm4chem, opencompass
from evals.scorers.upstream.llm4chem import Valid
from evals.suite import INTERN_S1
from evals.types import Metric, Point, Prompt, Sample, Sampling, Scorer

NUMBER_SCORERS = {
    "property_prediction-esol": number.AbsoluteError(
        number.stated_value_of(r"log\s?S|log(?:10)?\(S\)|log\s?solubility"),
        unit="log10(mol/L)",
        possible=(-20, 5),
    ),
    "property_prediction-lipo": number.AbsoluteError(
        number.stated_value_of(r"log\s?D"), unit=DIMENSIONLESS, possible=(-15, 20)
    ),
}
"""Task -> scorer, with the unit to which answers are converted and the physically possible range."""


# --- prompts

ANSWER_INSTRUCTIONS = {
    "number": "State it as \\boxed{number}.",
    "boolean": "Your reply must be Yes or No and nothing else.",
    "caption": "Reply with the description alone, in plain English.",
}


def _instruction(task: Task) -> str:
    answer_instruction = ANSWER_INSTRUCTIONS.get(
        task.kind, f"Write it between <{task.tag}> and </{task.tag}>, and write nothing else."
    )
    return f"You are an expert chemist. Your task is to give {task.answer_description}. {answer_instruction} It must make chemical sense."


def _instruction_last_prompt(task: Task, sample: Sample, repeat: int) -> Prompt:
    return ask(f"{plain_text(sample.question)}\n\n{_instruction(task)}")


def _instruction_first_prompt(task: Task, sample: Sample, repeat: int) -> Prompt:
    return ask(f"{_instruction(task)}\nQuestion: {plain_text(sample.question)}\nAnswer: ")


CONFIG_PARTS = {
    "NC": ("nc", "nc_0shot_infer_cfg"),
    "PP-ESOL": ("rmse", "pp_rmse_0shot_infer_cfg"),
    "PP-Lipo": ("rmse", "pp_rmse_0shot_infer_cfg"),
    "PP": ("pp_acc", "pp_acc_infer_cfg"),
    "MC": ("meteor", "meteor_0shot_infer_cfg"),
}
"""Task, or prefix of its name -> part of OpenCompass' file name, and variable in the file; all others use `fts`."""


def _upstream_prompts(variant: str) -> UpstreamPrompts:
    """Return the prompts of one task, which one iteration of a loop in OpenCompass' file defines."""
    kind, _, name = variant.partition("-")
    part, variable = CONFIG_PARTS.get(variant) or CONFIG_PARTS.get(kind) or ("fts", "fts_0shot_infer_cfg")
    shots = "0_shot" if part == "pp_acc" else "0shot"
    return opencompass_prompts(
        f"SmolInstruct/smolinstruct_{part}_{shots}_instruct.py",
        variable,
        loop_values=(("_name", name or kind),),
        question_column="input",
        gold_column="output",
    )


BOX_TEMPLATE, TAG_TEMPLATE = "\\boxed{{{}}}", "<NUMBER> {} </NUMBER>"


def _ideal(task: Task, number_template: str, sample: Sample, prompt: Prompt) -> str:
    """Return the gold answer in the requested format; `number_template`: format string for numbers."""
    if task.kind == "caption":
        return str(sample.target)
    if task.kind == "number":
        return number_template.format(f"{Decimal(repr(sample.target)):f}")
    return f"<{task.tag}> {sample.target} </{task.tag}>"


def _ideal_intern_s1(task: Task, sample: Sample, prompt: Prompt) -> str:
    """Return the gold answer as OpenCompass compares it: for a caption, the whole output of the template."""
    if task.kind == "caption":
        return str(sample.meta.get("output") or sample.target)
    return _ideal(task, BOX_TEMPLATE, sample, prompt)


# --- scoring


def label(text: str) -> Reading | None:
    """Return the label, yes or no, from the last <BOOLEAN> tag or wherever it is stated; None if it is not."""
    tag = last_tag(text, "BOOLEAN")
    answer = stated_yes_no(tag or text)
    if answer is None:
        return _stated_property(text)
    offset = text.rfind(tag) if tag else 0
    form, begin, end = ("tag" if tag else answer.form), answer.begin + offset, answer.end + offset
    return Reading("yes" if answer.value else "no", form, begin, end)


_BARRIER = r"(?:BBB|blood[-–\s]brain\sbarrier(?:\s\(BBB\))?)"
_PROPERTY = re.compile(
    r"\W*(?:(?:so|thus|hence|therefore|overall),?\s)?(?:it|(?:this|the)\s(?:given\s)?(?:compound|molecule|drug|substance|structure))\s"
    r"(?:(?P<denied>cannot|can\snot|can['’]t|does\snot|doesn['’]t|will\snot|is\snot|isn['’]t)\s)?(?:(?:is|can|does|will|should)\s)?(?:readily\s|therefore\s)?"
    r"(?:(?P<unlikely>(?:very\s|highly\s)?unlikely\sto|not\s(?:likely|expected|predicted)\sto)\s|(?:very\s|highly\s)?likely\s(?:to\s)?|(?:predicted|expected|known)\sto\s)?(?:be\s)?"
    rf"(?:(?:cross|penetrate|pass(?:\sthrough)?|permeate)(?:es|s)?\s(?:the\s)?{_BARRIER}|(?P<im>non-?|im)?(?:toxic|permeable\s(?:to|through|across)\s(?:the\s)?{_BARRIER})|{_BARRIER}[-\s](?P<non>non-?|im)?(?:permeable|penetrant|penetrating))\W*",
    re.IGNORECASE,
)
"""As in "The molecule is unlikely to cross the BBB" and "It is not toxic", as a whole reply."""


def _stated_property(text: str) -> Reading | None:
    """Return the label of a reply that states whether the molecule crosses the blood-brain barrier, or is toxic."""
    stated = _PROPERTY.fullmatch(text[:400])
    if stated is None:
        return None
    denials = sum(stated[group] is not None for group in ("denied", "unlikely", "im", "non"))
    return Reading("no" if denials % 2 else "yes", "whole", *stated.span())


class RootMeanSquare(Struct, frozen=True):
    """Root mean square error; for a missing answer, the error is the entry `part` of the `parts` of its score."""

    part: str

    def __call__(self, points: Sequence[Point]) -> float:
        """Return the RMSE; raises ValueError if there are no points, or if the error of a missing answer is unknown."""
        errors = [point.parts.get(self.part) if point.value is None else point.value for point in points]
        known = [error for error in errors if error is not None]
        if not known or len(known) < len(errors):
            raise ValueError(f"{self.part} is not known for every missing answer")
        return sqrt(fmean(error * error for error in known))


LOG10 = "log10"
ERRORS = (  # the headline covers answered samples; `answered` is their share
    chemistry_metrics.error_metric("rmse", number.rmse, unit=LOG10, headline=True),
    chemistry_metrics.error_metric("rmse_imputed", RootMeanSquare("error_imputed"), unit=LOG10),
    chemistry_metrics.error_metric("rmse_worst", RootMeanSquare("error_worst"), unit=LOG10),
    chemistry_metrics.error_metric("mae", number.mae_answered, unit=LOG10),
    chemistry_metrics.mean_metric("answered", number.answered),
)


def _name_metrics() -> tuple[Metric, ...]:
    """Return the metrics of names; the headline's name states whether OPSIN is installed."""
    same_string = (chemistry_metrics.mean_metric("same_string", PartMean("string", 0.0)),)
    if not opsin_installed():
        return (chemistry_metrics.mean_metric("accuracy_by_name", headline=True), *same_string)
    return (
        chemistry_metrics.mean_metric("accuracy_by_structure", headline=True),
        chemistry_metrics.mean_metric("accuracy_by_name", PartMean("name", 0.0)),
        *same_string,
    )


def _molecules_by_string(task: Task) -> tuple[Metric, ...]:
    set_relations = ("subset", "intersection") if task.name == "retrosynthesis" else ()
    return (
        chemistry_metrics.mean_metric("exact_match", headline=True),
        VALIDITY,
        *SIMILARITIES,
        *(chemistry_metrics.mean_metric(name, PartMean(name, 0.0)) for name in set_relations),
    )


def _yes_no_metrics(*, balanced: bool) -> tuple[Metric, ...]:
    """Return the metrics of yes-no tasks; if not `balanced`, as the authors compute them, over valid replies."""
    wrap: Callable[[Any], Any] = (lambda statistic: statistic) if balanced else Valid
    return (
        chemistry_metrics.whole_run_metric(
            "balanced_accuracy", wrap(labels.balanced_accuracy), headline=balanced
        ),
        chemistry_metrics.mean_metric("accuracy", headline=not balanced),
        chemistry_metrics.whole_run_metric("mcc", wrap(labels.mcc)),
        chemistry_metrics.whole_run_metric("f1", wrap(labels.f1)),
    )


SIMILARITY_METRICS = (chemistry_metrics.mean_metric("morgan_bits", headline=True), VALIDITY)
MAE_UNREAD_AS_0 = chemistry_metrics.error_metric(
    "mae_unread_as_0", number.mae_answered, unit=LOG10, headline=True
)
Rule: TypeAlias = tuple[Scorer, tuple[Metric, ...]]


def _strict_rule(task: Task) -> Rule:
    match task.kind:
        case "formula":
            return Formula(), ACCURACY
        case "name":
            return Name(structure=opsin_installed()), _name_metrics()
        case "molecule":
            return Molecule(), chemistry_metrics.structure_metrics(several=False)
        case "molecules":
            side: Side = "reactants" if task.name == "retrosynthesis" else "products"
            return Molecule(several=True, side=side), chemistry_metrics.structure_metrics(several=True)
        case "number":
            return NUMBER_SCORERS[task.name], ERRORS
        case "boolean":
            return labels.Label(label), _yes_no_metrics(balanced=True)
    return chemistry_metrics.caption_rule("rouge_l", 0.0)


def _official_rule(task: Task) -> Rule:
    match task.kind:
        case "formula":
            return llm4chem.ElementMatch(), ACCURACY
        case "name":
            return llm4chem.SplitMatch(), ACCURACY
        case "molecule" | "molecules":
            return llm4chem.ExactMatch(), _molecules_by_string(task)
        case "number":
            return llm4chem.Number(), ERRORS
        case "boolean":
            return llm4chem.Boolean(), _yes_no_metrics(balanced=False)
    return chemistry_metrics.caption_rule("meteor", None, "_on_words")


def _intern_s1_rule(task: Task) -> Rule:
    match task.kind:
        case "formula":
            return opencompass.Elements(), ACCURACY
        case "name" | "molecule" if task.name.startswith("name"):  # a name conversion
            return opencompass.Strings(), ACCURACY
        case "molecule" | "molecules":
            return opencompass.Similarity(), SIMILARITY_METRICS
        case "number":
            return opencompass.Errors(), (MAE_UNREAD_AS_0,)
        case "boolean":
            return opencompass.YesNo(), ACCURACY
    return opencompass.Meteor(synonyms=text.synonyms_available()), chemistry_metrics.meteor_metrics()


def _protocol(rule: Callable[[Task], Rule], task: Task, **options: Any) -> Protocol:
    scorer, metrics = rule(task)
    return Protocol(scorers={task.kind: scorer}, metrics=metrics, **options)


def _strict(variant: str) -> Protocol:
    task = TASKS[variant]
    return _protocol(
        _strict_rule,
        task,
        prompt=partial(_instruction_last_prompt, task),
        ideal=partial(_ideal, task, BOX_TEMPLATE),
        chance=0.5 if task.kind == "boolean" else None,
    )


def _official(variant: str) -> Protocol:
    task = TASKS[variant]
    return _protocol(
        _official_rule,
        task,
        prompt=question_prompt,
        verbatim=True,
        sampling=Sampling(temperature=0.0, max_tokens=1024),
        ideal=partial(_ideal, task, TAG_TEMPLATE),
    )


def _intern_s1(variant: str) -> Protocol:
    task = TASKS[variant]
    return _protocol(
        _intern_s1_rule,
        task,
        prompt=partial(_instruction_first_prompt, task),
        upstream=_upstream_prompts(variant),
        sampling=INTERN_S1,
        ideal=partial(_ideal_intern_s1, task),
    )


def aggregate(protocol: str, cards: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the mean of the 14 tasks as defined by OpenCompass for `intern-s1`; None under the other protocols.

    Source: opencompass 0.5.4, configs/summarizers/groups/smolinstruct.py: the unweighted mean, with the two errors x
    converted into max((2 - x) / 2, 0) for ESOL and max((1.2 - x) / 1.2, 0) for Lipo.
    """
    if ProtocolName.parse(protocol).base != "intern-s1":
        return None
    to_fractions = {
        "PP-ESOL": lambda error: max((2.0 - error) / 2.0, 0.0),
        "PP-Lipo": lambda error: max((1.2 - error) / 1.2, 0.0),
    }
    return mean_of_variants(TASKS, cards, to_fractions, same_items=SAME_MOLECULES)


SAME_MOLECULES = (("NC-I2F", "NC-I2S", "NC-S2F", "NC-S2I"), ("MC", "MG"), ("FS", "RS"))
"""Tasks that use the same molecules or reactions, so that their errors are correlated."""
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
