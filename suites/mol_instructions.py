"""Mol-Instructions (Fang et al. 2023, arXiv 2306.08018): its six tasks on small molecules, written in SELFIES.

`official` follows the authors: instruction and input as in the data (without the prompt template of their fine-tuned
models) and a single sample of up to 1,024 tokens at their temperature of 0.1 (theirs: four beams, 128 tokens), and the
rules of their scripts, which drop invalid answers from every metric and ignore stereochemistry in "exact"
(evals/scorers/upstream/mol_instructions.py). Nearly every SELFIES string decodes, so validity means little. `intern-s1`
reproduces the Mol-Instructions column of the Intern-S1-Pro tables, with OpenCompass' prompts (`intern-s1~`: reworded)
and metrics: similarity, METEOR, mean absolute error, and the mean of the six tasks with (3 - error) / 3 for the energy.
A missing energy, read as 0 hartree, therefore scores about 95 of 100 points, and an answer in eV scores 0
(evals/scorers/upstream/opencompass_selfies.py). `strict` is our own: molecules are compared by structure with
stereochemistry, in SELFIES or SMILES; energies are converted to hartree.

`--data` accepts the hub's archive (`Molecule-oriented_Instructions.zip`), its unpacked folder, or OpenCompass' files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from typing import Any, TypeAlias

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data.mol_instructions import TASKS, Task, samples
from evals.extract.quantity import stated
from evals.extract.reading import Reading
from evals.extract.smiles import Side
from evals.extract.units import Quantity
from evals.labels import ProtocolName
from evals.prompts import ask, plain_text, question_prompt
from evals.prompts.upstream import UpstreamPrompts, opencompass_prompts
from evals.report.aggregate import mean_of_variants
from evals.report.part_mean import PartMean
from evals.scorers import chemistry_metrics, number, text
from evals.scorers.selfies import SelfiesMolecule
from evals.scorers.upstream.mol_instructions import EndNumber, Generated, UpToLastStop, text_up_to_last
from evals.scorers.upstream.opencompass import Meteor
from evals.scorers.upstream.opencompass_selfies import LastNumberError, TaggedSimilarity
from evals.suite import INTERN_S1_PRO
from evals.types import Metric, Prompt, Sample, Sampling, Scorer

POSSIBLE_ENERGIES = (-1.0, 1.0)
"""Range of orbital energies of molecules with up to nine heavy atoms, in hartree."""
ATOMIC_UNITS = {"a.u.": "Ha  ", "a. u.": "Ha   ", "E_h": "Ha ", "Eh": "Ha", " au": " Ha"}
"""Other names of the hartree -> replacement of the same length, to preserve positions."""
PER_HARTREE = {"kcal*mol**-1": 627.509474, "kJ*mol**-1": 2625.499639}
"""Unit of molar energy, as spelled by the quantity parser -> number of these units per hartree (CODATA 2018)."""


def energy(reply: str, unit: str) -> Reading | Quantity | None:
    """Return the energy that a reply states; molar energies and other names of the hartree are also recognised."""
    for name, hartree in ATOMIC_UNITS.items():
        reply = reply.replace(name, hartree)
    reading = stated(reply, unit)
    quantity = reading.value if isinstance(reading, Reading) else reading
    if not isinstance(quantity, Quantity) or quantity.unit not in PER_HARTREE:
        return reading
    in_hartree = quantity._replace(value=quantity.value / PER_HARTREE[quantity.unit], unit="hartree")
    return reading._replace(value=in_hartree) if isinstance(reading, Reading) else in_hartree


# --- prompts


ANSWER_INSTRUCTIONS = {
    "caption": "Reply with the description alone, in plain English.",
    "number": "State it as \\boxed{number}, in hartree.",
}
TAG_INSTRUCTION = "Write it in SELFIES between <SELFIES> and </SELFIES>, and write nothing else."


def _prompt_with_instruction(task: Task, sample: Sample, repeat: int) -> Prompt:
    instruction = ANSWER_INSTRUCTIONS.get(task.kind, TAG_INSTRUCTION)
    return ask(
        f"{plain_text(sample.question)}\n\nYou are an expert chemist. Your task is to give {task.answer_description}. {instruction}"
    )


def _upstream_prompts(variant: str) -> UpstreamPrompts:
    return opencompass_prompts(
        "MolInstructions_chem/mol_instructions_chem_gen.py",
        "mol_gen_selfies_0shot_infer_cfg",
        loop_values=(("_name", variant),),
        question_column="input",
        gold_column="output",
    )


def _ideal(task: Task, templates: Mapping[str, str], sample: Sample, prompt: Prompt) -> str:
    """Return the gold answer; `templates`: kind of answer -> format string, with an empty key for all other kinds."""
    template = templates.get(task.kind, templates[""])
    return template.format(f"{Decimal(repr(sample.target)):f}" if task.kind == "number" else sample.target)


BARE_TEMPLATES = {"": "{}"}
WRAPPED_TEMPLATES = {"": "<SELFIES> {} </SELFIES>", "number": "\\boxed{{{}}}", "caption": "{}"}


def _why_unsolvable(sample: Sample) -> str:
    gold = str(sample.target)
    return (
        "" if text_up_to_last(gold, ".") == gold else "upstream truncates at the last full stop, or adds one"
    )


# --- scoring


ENERGY_METRICS = chemistry_metrics.regression_metrics("hartree", headline="mae")
MAE_UNREAD_AS_0 = chemistry_metrics.error_metric(
    "mae_unread_as_0", number.mae_answered, unit="hartree", headline=True
)
GENERATION_METRICS = (
    chemistry_metrics.mean_metric("exact_of_valid", PartMean("exact"), headline=True),
    chemistry_metrics.mean_metric("exact_match"),
    chemistry_metrics.VALIDITY,
    *chemistry_metrics.SIMILARITIES,
    chemistry_metrics.bleu_of_valid("characters"),
    chemistry_metrics.error_metric("levenshtein_of_valid", PartMean("levenshtein"), unit="edits"),
)
SIMILARITY_METRICS = (
    chemistry_metrics.mean_metric("morgan_bits", headline=True),
    chemistry_metrics.VALIDITY,
)
SIDES: Mapping[str, Side] = {"products": "products", "reactants": "reactants"}
Rule: TypeAlias = tuple[Scorer, tuple[Metric, ...]]


def _strict_rule(kind: str) -> Rule:
    if kind == "caption":
        return chemistry_metrics.caption_rule("rouge_l", 0.0)
    if kind == "number":
        scorer = number.AbsoluteError(read=energy, unit="hartree", possible=POSSIBLE_ENERGIES)
        return scorer, ENERGY_METRICS
    several = kind != "molecule"
    molecule = SelfiesMolecule(several=several, side=SIDES.get(kind, ""))
    return molecule, chemistry_metrics.structure_metrics(several=several)


def _official_rule(kind: str) -> Rule:
    if kind == "caption":
        caption, metrics = chemistry_metrics.caption_rule("meteor", None, "_on_words")
        return UpToLastStop(caption), metrics
    return (EndNumber(), ENERGY_METRICS) if kind == "number" else (Generated(), GENERATION_METRICS)


def _intern_s1_rule(kind: str) -> Rule:
    if kind == "caption":
        return Meteor(synonyms=text.synonyms_available()), chemistry_metrics.meteor_metrics()
    if kind == "number":
        return LastNumberError(), (MAE_UNREAD_AS_0,)
    return TaggedSimilarity(), SIMILARITY_METRICS


def _protocol(rule: Callable[[str], Rule], task: Task, **options: Any) -> Protocol:
    scorer, metrics = rule(task.kind)
    scorer_name = task.kind if task.kind in ("caption", "number") else "selfies"
    return Protocol(scorers={scorer_name: scorer}, metrics=metrics, **options)


def _strict(variant: str) -> Protocol:
    task = TASKS[variant]
    return _protocol(
        _strict_rule,
        task,
        prompt=partial(_prompt_with_instruction, task),
        ideal=partial(_ideal, task, WRAPPED_TEMPLATES),
    )


def _official(variant: str) -> Protocol:
    task = TASKS[variant]
    return _protocol(
        _official_rule,
        task,
        prompt=question_prompt,
        verbatim=True,
        sampling=Sampling(temperature=0.1, top_p=0.75, top_k=40, max_tokens=1024),
        ideal=partial(_ideal, task, BARE_TEMPLATES),
        why_unsolvable=_why_unsolvable if task.kind == "caption" else None,
    )


def _intern_s1(variant: str) -> Protocol:
    task = TASKS[variant]
    return _protocol(
        _intern_s1_rule,
        task,
        prompt=partial(_prompt_with_instruction, task),
        upstream=_upstream_prompts(variant),
        sampling=INTERN_S1_PRO,
        ideal=partial(_ideal, task, WRAPPED_TEMPLATES),
    )


def aggregate(protocol: str, cards: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the mean of the six tasks as defined by OpenCompass for `intern-s1`; None under the other protocols.

    Source: opencompass 0.5.4, configs/summarizers/groups/mol_instruct.py: the unweighted mean, with the error x of the energy
    converted into max((3 - x) / 3, 0).
    """
    if ProtocolName.parse(protocol).base != "intern-s1":
        return None
    return mean_of_variants(
        TASKS,
        cards,
        {"PP": lambda error: max((3.0 - error) / 3.0, 0.0)},
        same_items=(("MC", "MG"), ("FS", "RS", "RP")),
    )


BENCHMARK = Benchmark(
    name="mol-instructions",
    title="Mol-Instructions: six tasks on small molecules in SELFIES (Fang et al. 2023, arXiv 2306.08018), one run per task.",
    variants={name: Variant(task.rows) for name, task in TASKS.items()},
    samples=samples,
    protocols={"strict": _strict, "official": _official, "intern-s1": _intern_s1},
    licence="CC-BY-4.0",
    cite="arXiv 2306.08018",
    aggregate=aggregate,
)
