"""Biology-Instructions (He et al. 2024, arXiv 2412.19191): 21 tasks on DNA, RNA, proteins and pairs of sequences.

`official` scores as OpenCompass does, with its traps (evals/scorers/upstream/biology.py): MCC of eight yes/no tasks, accuracy,
Pearson's and Spearman's correlation, R2, AUC of sets of modifications, Fmax of EC numbers, and a mixed score; each over the whole
run, with a bootstrap interval. `intern-s1` is the same with OpenCompass' prompts and the sampling of Intern-S1-Pro's numbers
(`intern-s1~`: reworded), and the plain mean of 21. `strict` reads answers wherever a reply states them, and corrects the metrics: no
answer is a class of its own for MCC and not the opposite label, R2 keeps its sign, an empty set of modifications is empty, EC
numbers off upstream's list count against an answer, and an siRNA without a number earns nothing.

The data are on no hub: `--data` accepts OpenCompass' folder or archive (`biology-instruction-fixed.zip`), a file per task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

HINTS = {
    "yes or no": "Answer yes or no, as \\boxed{yes} or \\boxed{no}.",
    "family": f"Choose one of {', '.join(FAMILIES)}, and write it in \\boxed{{}}.",
    "modifications": f"Choose all that occur of {', '.join(MODIFICATIONS)}, and write them in \\boxed{{}}, with commas between several.",
    "enzymes": "Write the EC number in \\boxed{}, e.g. \\boxed{EC1.1.1.1}, with commas between several.",
    "numbers": "Write the number in \\boxed{}.",
}


def _ask(task: Task, sample: Sample, repeat: int) -> Prompt:
    keys = sample.meta.get("keys")
    hint = HINTS[task.kind]
    if keys:
        hint = f"Write the numbers as JSON in \\boxed{{}}, with the keys {', '.join(map(repr, keys))}."
    return ask(f"{plain_text(sample.question)}\n\n{hint}")


def _ideal(sample: Sample, prompt: Prompt) -> str:
    return f"\\boxed{{{sample.target}}}"


# --- scoring


def _whole(name: str, of: Any, *, unit: str = "fraction", headline: bool = True) -> Metric:
    return Metric(name=name, of=of, pool="whole", unit=unit, headline=headline, bounds=None)


def stated_share(points: Sequence[Point]) -> float:
    """Return the share of replies from which an answer was read."""
    if not points:
        raise ValueError("at least one value is needed")
    read = [p.answer is not None or (p.verdict == "missing" and bool(p.value)) for p in points]
    return sum(read) / len(read)


ACCURACY = Metric(name="accuracy", of=mean_value)
ANSWERED = Metric(name="answered", of=stated_share)
SIGN = "correlation"
OFFICIAL: Mapping[str, tuple[Metric, ...]] = {
    "mcc": (_whole("mcc", labels.mcc, unit=SIGN), ACCURACY),
    "pearson": (_whole("pearson", Correlation("pearson"), unit=SIGN),),
    "spearman": (_whole("spearman", Correlation("spearman"), unit=SIGN),),
    "r2": (_whole("r2", Correlation("r2")),),
    "auc": (_whole("auc", LabelAuc()), Metric(name="f1", of=mean_value)),
    "accuracy": (Metric(name="accuracy", of=mean_value, headline=True),),
    "mixed": (_whole("mixed", Mixed(unread=0.0)),),
    "fmax": (_whole("fmax", Fmax(enzyme_labels, enzymes)), Metric(name="f1", of=mean_value)),
}
STRICT: Mapping[str, tuple[Metric, ...]] = {
    "mcc": (_whole("mcc_with_silence", labels.mcc_with_silence, unit=SIGN), ACCURACY),
    "pearson": (_whole("pearson", Correlation("pearson", constant=0.0), unit=SIGN),),
    "spearman": (_whole("spearman", Correlation("spearman", constant=0.0), unit=SIGN),),
    "r2": (_whole("r2_signed", Correlation("r2", signed=True, constant=0.0), unit=SIGN),),
    "auc": OFFICIAL["auc"],
    "accuracy": OFFICIAL["accuracy"],
    "mixed": (_whole("mixed", Mixed()),),
    "fmax": (Metric(name="f1", of=mean_value, headline=True),),
}
UPSTREAM: Mapping[str, Scorer] = {
    "yes or no": BoxedLabel(("yes", "no")),
    "family": BoxedLabel(),
    "modifications": Modifications(),
    "enzymes": Enzymes(),
    "numbers": Numbers(),
}
MENDED: Mapping[str, Scorer] = {
    "yes or no": labels.Label(yes_or_no),
    "family": LabelOf(FAMILIES),
    "modifications": LabelsOf(MODIFICATIONS),
    "enzymes": StatedEnzymes(),
}


def _official(variant: str, **options: Any) -> Protocol:
    task = TASKS[variant]
    return Protocol(
        prompt=partial(_ask, task),
        scorers={"answer": UPSTREAM[task.kind]},
        metrics=(*OFFICIAL[task.metric], ANSWERED),
        refuses=wheel.fault(OPENCOMPASS) if task.kind == "enzymes" else "",
        **options,
    )


def _strict(variant: str) -> Protocol:
    task = TASKS[variant]
    return Protocol(
        prompt=partial(_ask, task),
        scorers={"answer": MENDED.get(task.kind) or StatedNumbers(task.percent)},
        metrics=(*STRICT[task.metric], ANSWERED),
    )


def aggregate(protocol: str, cards: Mapping[str, Any]) -> dict[str, Any] | None:
    """Combine the 21 tasks as OpenCompass does: the plain mean (configs/summarizers/groups/biodata.py); None for `strict`."""
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
    ideal=_ideal,
    licence="not stated (github.com/hhnqqq/Biology-Instructions)",
    cite="arXiv 2412.19191",
    aggregate=aggregate,
)
