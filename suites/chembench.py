r"""ChemBench, the name of two unrelated benchmarks.

`4k` is ChemBench4K of ChemLLM (Zhang et al. 2024, arXiv 2402.06852): nine tasks of single-choice questions. The
column "ChemBench" of the Intern-S1 tables is based on it. As there, the headline is the mean over eight of the nine tasks;
Solvent_Prediction is run but excluded. `official` is OpenCompass' rule-based setup (@ a5acc4bb, ChemBench_gen): five worked
examples, and the first capital letter of the reply counts. The examples are part of a single user turn, while OpenCompass
sends chat models each question and answer as a turn; the limit of 100 tokens is ours, as OpenCompass takes it from the
model's configuration. Under `intern-s1` (ChemBench_llmjudge_gen) there are no examples, and a judge model grades the whole
reply; the prompts for the model and the judge are OpenCompass' own (`intern-s1~`: reworded).

`lamalab` is ChemBench of Mirza et al. (Nature Chemistry 2025, arXiv 2404.01475): 2,788 tasks, 2,544 of them multiple
choice with one or several right options, 244 with a numeric answer. `official` follows the authors
(evals/scorers/upstream/lamalab.py); `strict` also reads options stated by their text, and corrects the sign of the
tolerance.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from msgspec import Struct, structs

from evals.benchmark import Benchmark, FewShot, Protocol, Variant
from evals.data import Data, Row, Split
from evals.errors import DataError
from evals.extract.upstream.last_letter import letter
from evals.intern_s1 import intern_s1_protocol
from evals.prompts import ANSWER_LINE, LETTERS, ask, options, plain_text
from evals.prompts.upstream import opencompass_prompts
from evals.report.metrics import mean_value
from evals.scorers.choice import Choice, StatedChoice
from evals.scorers.number import Within
from evals.scorers.options import OptionSet, StatedOptions
from evals.scorers.upstream.lamalab import SignedTolerance, options_lamalab
from evals.seams import SupportsWarmUp
from evals.types import Metric, Point, Prompt, Prompter, Reply, Sample, Sampling, Score, Text

TASKS = (
    "Name_Conversion", "Property_Prediction", "Mol2caption", "Caption2mol", "Product_Prediction",
    "Retrosynthesis", "Yield_Prediction", "Temperature_Prediction", "Solvent_Prediction",
)  # fmt: skip
EXCLUDED_TASK = "Solvent_Prediction"
"""The task that the headline of `4k` leaves out."""
TOPICS = (
    "analytical-chemistry", "chemical-preference", "general-chemistry", "inorganic-chemistry", "materials-science",
    "organic-chemistry", "physical-chemistry", "technical-chemistry", "toxicity-and-safety",
)  # fmt: skip
HUB_TOPICS = tuple(topic.replace("-", "_") for topic in TOPICS)
SAFETY_KEYWORDS = frozenset({"safety", "toxicity", "toxicology", "chemical safety", "hazard statements"})
MATERIALS_KEYWORDS = frozenset({"polymer-chemistry", "solid-state-chemistry", "mof", "polymers"})


def _split_4k(task: str, split: str) -> Split:
    file = f"{split}/{task}_benchmark"
    return Split(
        hub="AI4Chem/ChemBench4K",
        split="train",
        stems=(f"4k/{file}", file),
        hub_file=f"{file}.json",
        in_single_file=False,
    )


def _samples_4k(data: Data) -> Iterator[Sample]:
    """Yield the samples of the nine tasks; ids are `<task>-<position in the task's file>`, as the data have none."""
    for task in TASKS:
        for position, row in enumerate(data.rows(_split_4k(task, "test"), required=("answer", *"ABCD"))):
            yield Sample(
                id=f"{task}-{position}",
                question=(Text(str(row["question"])),) if row.get("question") else (),
                target=str(row["answer"]).strip(),
                choices=tuple(str(row[label]) for label in "ABCD"),
                group=task,
            )


def _samples_lamalab(data: Data) -> Iterator[Sample]:
    """Yield one sample per task; if two tasks have the same uuid, the id of the second (in the order of paths) ends in `-2`."""
    counts: Counter[str] = Counter()
    configs: Sequence[str | None] = HUB_TOPICS if data.origin == "hub" else (None,)
    stems = ("lamalab/tasks", "tasks", "lamalab")
    for config in configs:
        for row in data.rows(Split(hub="jablonkagroup/ChemBench", config=config, split="train", stems=stems)):
            task: Row = row.get("task", row)
            uuid = str(task["uuid"])
            counts[uuid] += 1
            sample = _lamalab_sample(task, uuid if counts[uuid] == 1 else f"{uuid}-{counts[uuid]}")
            yield _with_report_name(sample, str(row.get("path") or ""), str(task.get("name") or ""))


def _with_report_name(sample: Sample, path: str, task_name: str) -> Sample:
    """Add the name that the task has in recorded reports: `<parent folder>-<file stem>-<task name>`."""
    if not path:
        return sample
    folder, _, file = path.rpartition("/")
    name = f"{folder.rpartition('/')[2]}-{file.rpartition('.')[0]}-{task_name}"
    return structs.replace(sample, meta={**sample.meta, "name": name})


def _lamalab_sample(task: Row, task_id: str) -> Sample:
    examples = task["examples"]
    if len(examples) != 1:
        raise DataError(f"chembench: task {task_id} has {len(examples)} examples, expected 1")
    example = examples[0]
    scores = example.get("target_scores")  # option -> score
    scores = json.loads(scores) if isinstance(scores, str) and scores else scores
    question = (Text(str(example["input"])),) if example.get("input") else ()
    meta = {"relative_tolerance": task["relative_tolerance"]} if task.get("relative_tolerance") else {}
    group = _topic(task.get("keywords") or ())
    if not scores:
        return Sample(
            id=task_id, question=question, target=_numeric_target(example, task_id), group=group, meta=meta
        )
    gold_letters = tuple(LETTERS[i] for i, score in enumerate(scores.values()) if float(score) == 1.0)
    return Sample(
        id=task_id,
        question=question,
        target=gold_letters[0] if len(gold_letters) == 1 else gold_letters,
        choices=tuple(scores),
        group=group,
    )


def _numeric_target(example: Row, task_id: str) -> float:
    try:
        return float(example["target"])
    except (KeyError, TypeError, ValueError):
        raise DataError(
            f"chembench: task {task_id} has neither scored options nor a numeric target"
        ) from None


def _topic(keywords: Sequence[str]) -> str:
    """Return the paper's topic for a task's keywords; narrower topics take precedence."""
    keyword_set = set(keywords)
    if "chemical-preference" in keyword_set:
        return "chemical-preference"
    if keyword_set & SAFETY_KEYWORDS:
        return "toxicity-and-safety"
    if keyword_set & MATERIALS_KEYWORDS:
        return "materials-science"
    return next((topic for topic in TOPICS if topic in keyword_set), "general-chemistry")


_MARKUP_REPLACEMENTS = (
    (re.compile(r"\[(?:START|END)_(?:RXN)?SMILES\]"), ""),
    (re.compile(r"\\(?:ce|pu)\{((?:[^{}]|\{[^{}]*\})*)\}"), r"\1"),
    (re.compile(r"\$([^$\n]{1,200})\$"), r"\1"),
)


def strip_markup(text: str) -> str:
    r"""Remove the data set's markup from text, as upstream does for prompts: `\ce{H2O}` -> `H2O`."""
    for pattern, replacement in _MARKUP_REPLACEMENTS:
        text = pattern.sub(replacement, text)
    return text


def _prompt_lamalab(sample: Sample, repeat: int) -> Prompt:
    question = strip_markup(plain_text(sample.question))
    if not sample.choices:
        return ask(
            f"This is a question about chemistry.\n\nQuestion: {question}\n\nPut the final answer between the tags "
            "[ANSWER] and [/ANSWER], as exactly one number with a point as decimal separator and without its unit, "
            "even if you are unsure: it is read by a program. For example: [ANSWER]12.5[/ANSWER]"
        )
    option_lines = options([strip_markup(choice) for choice in sample.choices])
    return ask(
        "This is a multiple-choice question about chemistry; one or several options may be right.\n\n"
        f"Question: {question}\n\nOptions:\n{option_lines}\n\nPut the letter of the right option, or all right letters "
        "separated by commas, between the tags [ANSWER] and [/ANSWER], even if you are unsure: it is read by a "
        "program. For example: [ANSWER]A[/ANSWER]"
    )


class Lamalab(Struct, frozen=True):
    """Scores multiple-choice tasks by the set of stated options, others by the stated number."""

    choices: OptionSet | StatedOptions
    number: Within | SignedTolerance

    def warm(self) -> None:
        """Import the unit library."""
        if isinstance(self.number, SupportsWarmUp):
            self.number.warm()

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        return (self.choices if sample.choices else self.number)(sample, prompt, reply)


def _ideal_lamalab(sample: Sample, prompt: Prompt) -> str:
    if not sample.choices:
        return f"[ANSWER]{sample.target!r}[/ANSWER]"
    return f"[ANSWER]{', '.join(sorted(prompt.shown_letter(letter) for letter in sample.targets))}[/ANSWER]"


def first_capital(text: str, count: int) -> str | None:
    """Return the first upper-case character, as OpenCompass does: T for "The answer is B" (a known defect)."""
    return next((character for character in text if character.isupper()), None)


def _strict_prompt_4k(sample: Sample, repeat: int) -> Prompt:
    return ask(
        f"Answer this single-choice question about chemistry. Finish with {ANSWER_LINE}\n\n"
        f"{plain_text(sample.question).strip()}\n\n{options(sample.choices)}"
    )


def _question_4k(question: str, choices: Sequence[str]) -> str:
    return (
        "This is a single-choice question about chemistry; reply with the letter A, B, C or D.\n"
        f"Question: {question}\n{options(choices)}\nAnswer: "
    )


def _few_shot_prompter_4k(data: Data, variant: str, shots: int) -> Prompter:
    """Return OpenCompass' prompter, with the first rows of `dev` as worked examples."""
    examples: dict[str, str] = {}
    for task in TASKS:
        rows = list(data.rows(_split_4k(task, "dev"), required=("question", "answer", *"ABCD")))[:shots]
        if len(rows) < shots and not data.sample:
            raise DataError(
                f"chembench: the dev split has only {len(rows)} of {shots} worked examples for {task}"
            )
        examples[task] = "".join(
            f"{_question_4k(row['question'], [row[letter] for letter in 'ABCD'])}{row['answer']}\n\n"
            for row in rows
        )
    return partial(_question_prompt_4k, examples)


def _question_prompt_4k(examples: Mapping[str, str], sample: Sample, repeat: int) -> Prompt:
    question = _question_4k(plain_text(sample.question).strip(), sample.choices)
    return ask(examples.get(sample.group, "") + question)


def mean_of_eight(points: Sequence[Point]) -> float:
    """Return the mean without Solvent_Prediction, as in the Intern-S1 tables; raises ValueError if there are no points."""
    return mean_value([point for point in points if point.group != EXCLUDED_TASK])


UPSTREAM_PROMPTS = opencompass_prompts(
    "ChemBench/ChemBench_llmjudge_gen_c584cf.py",
    "chembench_infer_cfg",
    "chembench_eval_cfg.evaluator",
    question_column="input",
    gold_column="target",
)


def _why_unsolvable(sample: Sample) -> str:
    if isinstance(sample.target, float) and sample.target <= 0:
        return f"its tolerance, 0.01 * {sample.target}, is not positive"
    return ""


def _ideal_letter(sample: Sample, prompt: Prompt) -> str:
    return prompt.shown_letter(str(sample.target))


MEANS_4K = (
    Metric(name="accuracy_8", of=mean_of_eight, pool="macro", headline=True),
    Metric(name="accuracy_9", of=mean_value, pool="macro"),
    Metric(name="accuracy", of=mean_value),
)
STRICT_LAMALAB = Protocol(
    prompt=_prompt_lamalab,
    scorers={"answer": Lamalab(StatedOptions(), Within(relative=0.01))},
    ideal=_ideal_lamalab,
)
NO_INTERN_S1_LAMALAB = (
    'chembench:lamalab has no protocol intern-s1: the column "ChemBench" of the Intern-S1 tables is chembench:4k; use '
    "--protocol strict or official"
)
_protocol_4k = partial(Protocol, metrics=MEANS_4K, ideal=_ideal_letter)
PROTOCOLS: dict[str, dict[str, Protocol]] = {
    "strict": {
        "4k": _protocol_4k(prompt=_strict_prompt_4k, scorers={"choice": StatedChoice()}),
        "lamalab": STRICT_LAMALAB,
    },
    "official": {
        "4k": _protocol_4k(
            few_shot=FewShot(5, 5, _few_shot_prompter_4k),
            scorers={"choice": Choice(first_capital)},
            sampling=Sampling(temperature=0.0, max_tokens=100),
        ),
        "lamalab": structs.replace(
            STRICT_LAMALAB,
            scorers={"answer": Lamalab(OptionSet(options_lamalab), SignedTolerance())},
            sampling=Sampling(temperature=0.0, max_tokens=4096),
            why_unsolvable=_why_unsolvable,
        ),
    },
    "intern-s1": {
        "4k": intern_s1_protocol(
            partial(_question_prompt_4k, {}),
            UPSTREAM_PROMPTS,
            Choice(letter),
            mode="whole",
            metrics=MEANS_4K,
            ideal=_ideal_letter,
        ),
        "lamalab": structs.replace(STRICT_LAMALAB, refuses=NO_INTERN_S1_LAMALAB),
    },
}
"""Name of the protocol -> variant -> protocol."""
BENCHMARK = Benchmark(
    name="chembench",
    title="Two unrelated benchmarks: `:4k` (ChemBench4K, the ChemBench of the Intern-S1 tables) and `:lamalab`.",
    version="2",
    variants={
        "4k": Variant(4_100, chance=0.25, cite="arXiv 2402.06852"),
        # `chance` is the expected value; the authors' random baseline got 0.2640
        "lamalab": Variant(2_788, chance=0.2803, cite="arXiv 2404.01475"),
    },
    samples=lambda data, variant: _samples_4k(data) if variant == "4k" else _samples_lamalab(data),
    protocols={name: by_variant.__getitem__ for name, by_variant in PROTOCOLS.items()},
    licence="MIT",
)
