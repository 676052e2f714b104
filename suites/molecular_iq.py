"""MolecularIQ (ml-jku, arXiv 2601.15279): counts, atom indices and constrained generation on molecular graphs, 5,111 questions.

`count` and `index` ask for one to five properties per question, all of which must be right. `official` follows the authors
(ml-jku/moleculariq-eval @ 425ecaaa): JSON in the last `<answer>` tag, three replies per question; the rule, with its
defects, is in evals/scorers/upstream/moleculariq.py. `intern-s1` is OpenCompass' setup (@ a5acc4bb, molculariq_gen), which
probably produced the published Intern-S2 scores: its own system prompt, whose examples omit the braces, and the *first*
tag. OpenCompass defines no mean over the three sets, so the single published score belongs to no variant. `strict` reads
properties wherever they are stated, and rejects lists of indices with fractions, negative numbers or words.

`generation` needs the authors' package. The revision of the data on the hub is not pinned; `--data` accepts OpenCompass'
copies count.jsonl, index.jsonl and generation.jsonl.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data import Data, Row, Split
from evals.errors import DataError
from evals.plain import count_of
from evals.prompts import template
from evals.prompts.upstream import UpstreamPrompts
from evals.report.metrics import repeat_metrics
from evals.scorers.properties import StatedProperties
from evals.scorers.upstream.moleculariq import Compared
from evals.scorers.upstream.moleculariq_constraints import Constraints, missing_packages
from evals.suite import GREEDY_32K, INTERN_S1
from evals.types import Prompt, Sample, Sampling, Scorer, Text


def _split(variant: str) -> Split:
    return Split(
        hub="ml-jku/moleculariq-v0.0",
        config="default",
        split="test",
        stems=(variant, "moleculariq-v0.0", "test"),
        rows=5_111,
    )


def _samples(data: Data, variant: str) -> Iterator[Sample]:
    for row in data.rows(_split(variant), required=("uid", "question")):
        if variant not in str(row.get("task_type") or variant):
            continue
        column = "constraints" if variant == "generation" else "target"
        gold = _decode_column(row, column)
        kind, noun = (list, "list") if variant == "generation" else (dict, "object")
        if not gold or not isinstance(gold, kind):
            raise DataError(
                f"molecular-iq: {row['uid']}: its {column} is missing, empty or not a JSON {noun}"
            )
        yield Sample(
            id=str(row["uid"]),
            question=(Text(str(row["question"])),),
            target=json.dumps(gold, sort_keys=True),
            group=count_of(len(gold), "property", "properties"),
            meta={"molecule": str(row.get("original_smiles") or "")},
        )


def _decode_column(row: Row, column: str) -> Any:
    """Return the value of a column, which may be JSON; properties without a value are left out. Raises DataError for invalid JSON."""
    value = row.get(column)
    if isinstance(value, dict):
        return {name: gold for name, gold in value.items() if gold is not None}
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError) as error:
        raise DataError(f"molecular-iq: {row['uid']}: its {column} is not JSON: {error}") from error


PROMPT = template(
    "{question}\n\n"
    "Atoms are counted from 0 in the order of the SMILES, without hydrogens unless they are isotopes. What is absent is 0 as a count "
    "and [] as a list of indices. Reason if that helps, then give all that is asked for as one JSON object with exactly the keys that "
    'the question names, between <answer> and </answer>, e.g. <answer>{{"carbon_atom_count": 2}}</answer>, '
    '<answer>{{"carbon_atom_index": [0, 1]}}</answer> or, for a molecule, <answer>{{"smiles": "CCO"}}</answer>.'
)


def _ideal(sample: Sample, prompt: Prompt) -> str:
    gold = json.loads(str(sample.target))
    answer = {"smiles": sample.meta.get("molecule", "")} if isinstance(gold, list) else gold
    return f"<answer>{json.dumps(answer)}</answer>"


def _why_unsolvable(sample: Sample) -> str:
    no_molecule = "" if sample.meta.get("molecule") else "the data contain no molecule with these properties"
    return missing_packages() or no_molecule


SCORERS: dict[tuple[str, str], Scorer] = {
    ("strict", "count"): StatedProperties("count"),
    ("strict", "index"): StatedProperties("index"),
    ("strict", "generation"): Constraints("stated"),
    ("official", "count"): Compared("count"),
    ("official", "index"): Compared("index"),
    ("official", "generation"): Constraints("last tag"),
    ("intern-s1", "count"): Compared("count", first=True),
    ("intern-s1", "index"): Compared("index", first=True),
    ("intern-s1", "generation"): Constraints("first tag"),
}
"""(protocol, variant) -> rule."""


def _protocol(name: str, variant: str) -> Protocol:
    return Protocol(
        prompt=PROMPT,
        scorers={"answer": SCORERS[name, variant]},
        metrics=repeat_metrics(),
        repeats=3 if name == "official" else 1,
        sampling={"strict": GREEDY_32K, "intern-s1": INTERN_S1}.get(name, Sampling(max_tokens=32_768)),
        upstream=UpstreamPrompts(
            file="molculariq/molculariq_gen.py",
            prompt_path="moleculariq_infer_cfg.prompt_template.template",
            loop_values=(("_name", variant),),
            columns=lambda sample, prompt, question: {"prompt": question},
        )
        if name == "intern-s1"
        else None,
        refuses=missing_packages() if variant == "generation" else "",
        why_unsolvable=_why_unsolvable if variant == "generation" else None,
    )


BENCHMARK = Benchmark(
    name="molecular-iq",
    title="MolecularIQ: counts (1,800), atom indices (1,740) and generated molecules (1,571), all or nothing (arXiv 2601.15279).",
    variants={"count": Variant(1_800), "index": Variant(1_740), "generation": Variant(1_571)},
    default=("count", "index"),
    samples=_samples,
    protocols={name: partial(_protocol, name) for name in ("strict", "official", "intern-s1")},
    ideal=_ideal,
    licence="MIT",
    cite="arXiv 2601.15279",
)
