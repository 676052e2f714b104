"""Biology-Instructions (He et al. 2024, arXiv 2412.19191): 21 tasks on DNA, RNA, proteins and pairs of sequences.

`official` scores as OpenCompass does, with its known defects (evals/scorers/upstream/biology.py): MCC of eight yes/no
tasks, accuracy, Pearson and Spearman correlations, R2, AUC of sets of modifications, Fmax of EC numbers, and a mixed
score, each over the whole run with a bootstrap interval. `intern-s1` is the same with OpenCompass' prompts and the
sampling of Intern-S1-Pro's published scores (`intern-s1~`: reworded), and the unweighted mean of the 21 tasks. `strict`
reads answers wherever a reply states them, and corrects the metrics: for MCC a missing answer is a third class instead
of the opposite label; R2 keeps its sign; an empty answer means no modifications, not all of them; EC numbers that are
not on upstream's list count as wrong; a missing siRNA efficiency scores 0.

The data are not on the hub: `--data` accepts OpenCompass' folder or archive (`biology-instruction-fixed.zip`), which
contain a file per task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data.biology import FAMILIES, MODIFICATIONS, TASKS, Task, samples
from evals.labels import ProtocolName
from evals.prompts import ask, plain_text
from evals.prompts.upstream import wheel
from evals.prompts.upstream.biology import PROMPTS
from evals.prompts.upstream.wheel import OPENCOMPASS
from evals.report.aggregate import mean_of_variants
from evals.report.metrics import mean_value
from evals.scorers import labels
from evals.scorers.biology import LabelOf, LabelsOf, StatedEnzymes, StatedNumbers, yes_or_no
from evals.scorers.correlations import Correlation, Fmax, LabelAuc, Mixed
from evals.scorers.upstream.biology import (
    BoxedLabel,
    Enzymes,
    Modifications,
    Numbers,
    enzyme_labels,
    enzymes,
)
from evals.suite import INTERN_S1_PRO
from evals.types import Metric, Point, Prompt, Sample, Scorer

ANSWER_INSTRUCTIONS = {
    "yes or no": "Answer yes or no, as \\boxed{yes} or \\boxed{no}.",
    "family": f"Choose one of {', '.join(FAMILIES)}, and write it in \\boxed{{}}.",
    "modifications": f"Choose all that occur of {', '.join(MODIFICATIONS)}, and write them in \\boxed{{}}, with commas between several.",
    "enzymes": "Write the EC number in \\boxed{}, e.g. \\boxed{EC1.1.1.1}, with commas between several.",
    "numbers": "Write the number in \\boxed{}.",
}


def _prompt(task: Task, sample: Sample, repeat: int) -> Prompt:
    instruction = ANSWER_INSTRUCTIONS[task.kind]
    if keys := sample.meta.get("keys"):
        instruction = f"Write the numbers as JSON in \\boxed{{}}, with the keys {', '.join(map(repr, keys))}."
    return ask(f"{plain_text(sample.question)}\n\n{instruction}")


# --- scoring


def _whole_run_metric(name: str, of: Callable[[Sequence[Point]], float], *, unit: str = "fraction") -> Metric:
    return Metric(name=name, of=of, pool="whole", unit=unit, headline=True, bounds=None)


def stated_share(points: Sequence[Point]) -> float:
    """Return the share of replies with an answer; a missing outcome counts as answered in its upper bound.

    Raises ValueError if there are no points.
    """
    if not points:
        raise ValueError("at least one value is needed")
    stated = [
        point.answer is not None or (point.verdict == "missing" and bool(point.value)) for point in points
    ]
    return sum(stated) / len(stated)


ACCURACY = Metric(name="accuracy", of=mean_value)
ANSWERED = Metric(name="answered", of=stated_share)
CORRELATION = "correlation"
OFFICIAL_METRICS: Mapping[str, tuple[Metric, ...]] = {
    "mcc": (_whole_run_metric("mcc", labels.mcc, unit=CORRELATION), ACCURACY),
    "pearson": (_whole_run_metric("pearson", Correlation("pearson"), unit=CORRELATION),),
    "spearman": (_whole_run_metric("spearman", Correlation("spearman"), unit=CORRELATION),),
    "r2": (_whole_run_metric("r2", Correlation("r2")),),
    "auc": (_whole_run_metric("auc", LabelAuc()), Metric(name="f1", of=mean_value)),
    "accuracy": (Metric(name="accuracy", of=mean_value, headline=True),),
    "mixed": (_whole_run_metric("mixed", Mixed(default=0.0)),),
    "fmax": (_whole_run_metric("fmax", Fmax(enzyme_labels, enzymes)), Metric(name="f1", of=mean_value)),
}
STRICT_METRICS: Mapping[str, tuple[Metric, ...]] = {
    "mcc": (_whole_run_metric("mcc_with_silence", labels.mcc_with_silence, unit=CORRELATION), ACCURACY),
    "pearson": (_whole_run_metric("pearson", Correlation("pearson", constant=0.0), unit=CORRELATION),),
    "spearman": (_whole_run_metric("spearman", Correlation("spearman", constant=0.0), unit=CORRELATION),),
    "r2": (_whole_run_metric("r2_signed", Correlation("r2", signed=True, constant=0.0), unit=CORRELATION),),
    "auc": OFFICIAL_METRICS["auc"],
    "accuracy": OFFICIAL_METRICS["accuracy"],
    "mixed": (_whole_run_metric("mixed", Mixed()),),
    "fmax": (Metric(name="f1", of=mean_value, headline=True),),
}
OFFICIAL_SCORERS: Mapping[str, Scorer] = {
    "yes or no": BoxedLabel(("yes", "no")),
    "family": BoxedLabel(),
    "modifications": Modifications(),
    "enzymes": Enzymes(),
    "numbers": Numbers(),
}
STRICT_SCORERS: Mapping[str, Scorer] = {
    "yes or no": labels.Label(yes_or_no),
    "family": LabelOf(FAMILIES),
    "modifications": LabelsOf(MODIFICATIONS),
    "enzymes": StatedEnzymes(),
}


def _official(variant: str, **options: Any) -> Protocol:
    task = TASKS[variant]
    return Protocol(
        prompt=partial(_prompt, task),
        scorers={"answer": OFFICIAL_SCORERS[task.kind]},
        metrics=(*OFFICIAL_METRICS[task.metric], ANSWERED),
        refuses=wheel.fault(OPENCOMPASS) if task.kind == "enzymes" else "",
        **options,
    )


def _strict(variant: str) -> Protocol:
    task = TASKS[variant]
    return Protocol(
        prompt=partial(_prompt, task),
        scorers={"answer": STRICT_SCORERS.get(task.kind) or StatedNumbers(task.percent)},
        metrics=(*STRICT_METRICS[task.metric], ANSWERED),
    )


def aggregate(protocol: str, cards: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the unweighted mean of the 21 tasks, as OpenCompass does (configs/summarizers/groups/biodata.py); None for `strict`."""
    if ProtocolName.parse(protocol).base not in ("official", "intern-s1"):
        return None
    return mean_of_variants(TASKS, cards)


BENCHMARK = Benchmark(
    name="biology-instructions",
    title="Biology-Instructions: 21 tasks on DNA, RNA and proteins (He et al. 2024, arXiv 2412.19191), one run per task.",
    variants={
        name: Variant(chance=0.5 if task.metric in ("accuracy", "auc") and task.kind != "family" else 0.0)
        for name, task in TASKS.items()
    },
    samples=samples,
    protocols={
        "strict": _strict,
        "official": _official,
        "intern-s1": partial(_official, upstream=PROMPTS, sampling=INTERN_S1_PRO),
    },
    ideal=lambda sample, prompt: f"\\boxed{{{sample.target}}}",
    licence="not stated (github.com/hhnqqq/Biology-Instructions)",
    cite="arXiv 2412.19191",
    aggregate=aggregate,
)
