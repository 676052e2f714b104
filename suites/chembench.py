r"""ChemBench, the name of two unrelated benchmarks.

`4k` is ChemBench4K of ChemLLM (Zhang et al. 2024, arXiv 2402.06852): nine tasks of single-choice questions. It is the
column "ChemBench" of the Intern-S1 tables, whose headline is the mean over eight of the nine (Solvent_Prediction is run
but excluded). `official` is OpenCompass' rule-based form (@ a5acc4bb, ChemBench_gen): five worked examples, the first
capital letter of the reply. `intern-s1` (ChemBench_llmjudge_gen) has no examples and a judge model that grades the whole
reply, both with OpenCompass' own prompts (`intern-s1~`: reworded).

`lamalab` is ChemBench of Mirza et al. (Nature Chemistry 2025, arXiv 2404.01475): 2,788 tasks, 2,544 of them multiple
choice with one or several right options, 244 with a number. `official` follows the authors
(evals/scorers/upstream/lamalab.py); `strict` also reads options that are spelled out, and corrects the signed tolerance.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

from msgspec import Struct, structs

from evals.benchmark import Benchmark, FewShot, Protocol, Variant
from evals.data import Data, Row, Split
from evals.errors import DataError
from evals.extract.upstream.last_letter import letter
from evals.prompts import ANSWER_LINE, LETTERS, ask, options, plain_text
from evals.prompts.upstream import opencompass_prompts
from evals.report.metrics import mean_value
from evals.scorers.choice import Choice, StatedChoice
from evals.scorers.judge.judged import Judged
from evals.scorers.number import Within
from evals.scorers.options import OptionSet, StatedOptions
from evals.scorers.upstream.lamalab import SignedTolerance, options_lamalab
from evals.seams import Warm
from evals.suite import INTERN_S1
from evals.types import Metric, Point, Prompt, Prompter, Reply, Sample, Sampling, Score, Text

TASKS = (
    "Name_Conversion", "Property_Prediction", "Mol2caption", "Caption2mol", "Product_Prediction",
    "Retrosynthesis", "Yield_Prediction", "Temperature_Prediction", "Solvent_Prediction",
)  # fmt: skip
LEFT_OUT = "Solvent_Prediction"
TOPICS = (
    "analytical-chemistry", "chemical-preference", "general-chemistry", "inorganic-chemistry", "materials-science",
    "organic-chemistry", "physical-chemistry", "technical-chemistry", "toxicity-and-safety",
)  # fmt: skip
HUB_TOPICS = tuple(topic.replace("-", "_") for topic in TOPICS)
SAFETY = frozenset({"safety", "toxicity", "toxicology", "chemical safety", "hazard statements"})
MATERIALS = frozenset({"polymer-chemistry", "solid-state-chemistry", "mof", "polymers"})


def _split_4k(task: str, part: str) -> Split:
    file = f"{part}/{task}_benchmark"
    return Split(
        hub="AI4Chem/ChemBench4K",
        split="train",
        stems=(f"4k/{file}", file),
        files=f"{file}.json",
        main=False,
    )


def _samples_4k(data: Data) -> Iterator[Sample]:
    """Yield the nine tasks in turn; the data has no ids: `<task>-<position in its file>`."""
    for task in TASKS:
        for position, row in enumerate(data.rows(_split_4k(task, "test"), required=("answer", *"ABCD"))):
            yield Sample(
                id=f"{task}-{position}",
                question=(Text(str(row["question"])),) if row.get("question") else (),
                target=str(row["answer"]).strip(),
                choices=tuple(str(row[label]) for label in "ABCD"),
                group=task,
            )


def _lamalab_splits(data: Data) -> Iterator[Split]:
    configs: Sequence[str | None] = HUB_TOPICS if data.origin == "hub" else (None,)
    for config in configs:
        stems = ("lamalab/tasks", "tasks", "lamalab")
        yield Split(hub="jablonkagroup/ChemBench", config=config, split="train", stems=stems)


def _samples_lamalab(data: Data) -> Iterator[Sample]:
    """Yield one sample per task; the second of two tasks with one uuid (in the order of paths) gets `-2`."""
    seen: Counter[str] = Counter()
    for split in _lamalab_splits(data):
        for row in data.rows(split):
            task: Row = row.get("task", row)
            uuid = str(task["uuid"])
            seen[uuid] += 1
            sample = _lamalab_sample(task, uuid if seen[uuid] == 1 else f"{uuid}-{seen[uuid]}")
            yield _named(sample, str(row.get("path") or ""), str(task.get("name") or ""))


def _named(sample: Sample, path: str, task: str) -> Sample:
    """Add the task's name in recorded reports: `<parent folder>-<file stem>-<task name>`."""
    if not path:
        return sample
    folder, _, file = path.rpartition("/")
    name = f"{folder.rpartition('/')[2]}-{file.rpartition('.')[0]}-{task}"
    return structs.replace(sample, meta={**sample.meta, "name": name})


def _lamalab_sample(task: Row, name: str) -> Sample:
    examples = task["examples"]
    if len(examples) != 1:
        raise DataError(f"chembench: task {name} has {len(examples)} examples, expected 1")
    example = examples[0]
    scores = example.get("target_scores")
    scores = json.loads(scores) if isinstance(scores, str) and scores else scores
    question = (Text(str(example["input"])),) if example.get("input") else ()
    meta = {"relative_tolerance": task["relative_tolerance"]} if task.get("relative_tolerance") else {}
    group = _topic(task.get("keywords") or ())
    if not scores:
        return Sample(id=name, question=question, target=_number(example, name), group=group, meta=meta)
    right = tuple(LETTERS[i] for i, score in enumerate(scores.values()) if float(score) == 1.0)
    return Sample(
        id=name,
        question=question,
        target=right[0] if len(right) == 1 else right,
        choices=tuple(scores),
        group=group,
    )


def _number(example: Row, name: str) -> float:
    try:
        return float(example["target"])
    except (KeyError, TypeError, ValueError):
        raise DataError(f"chembench: task {name} has neither scored options nor a numeric target") from None


def _topic(keywords: Sequence[str]) -> str:
    """Return one of the paper's nine topics by the task's keywords, narrower topics first."""
    given = set(keywords)
    if "chemical-preference" in given:
        return "chemical-preference"
    if given & SAFETY:
        return "toxicity-and-safety"
    if given & MATERIALS:
        return "materials-science"
    return next((topic for topic in TOPICS if topic in given), "general-chemistry")


_MARKUP = (
    (re.compile(r"\[(?:START|END)_(?:RXN)?SMILES\]"), ""),
    (re.compile(r"\\(?:ce|pu)\{((?:[^{}]|\{[^{}]*\})*)\}"), r"\1"),
    (re.compile(r"\$([^$\n]{1,200})\$"), r"\1"),
)


def rendered(text: str) -> str:
    r"""Remove the corpus' markup from a text, as upstream does for prompts: `\ce{H2O}` -> `H2O`."""
    for pattern, put in _MARKUP:
        text = pattern.sub(put, text)
    return text


def _ask_lamalab(sample: Sample, repeat: int) -> Prompt:
    question = rendered(plain_text(sample.question))
    if not sample.choices:
        return ask(
            f"This is a question about chemistry.\n\nQuestion: {question}\n\nPut the final answer between the tags "
            "[ANSWER] and [/ANSWER], as exactly one number with a point as decimal separator and without its unit, "
            "even if you are unsure: it is read by a program. For example: [ANSWER]12.5[/ANSWER]"
        )
    shown = options([rendered(choice) for choice in sample.choices])
    return ask(
        "This is a multiple-choice question about chemistry; one or several options may be right.\n\n"
        f"Question: {question}\n\nOptions:\n{shown}\n\nPut the letter of the right option, or all right letters "
        "separated by commas, between the tags [ANSWER] and [/ANSWER], even if you are unsure: it is read by a "
        "program. For example: [ANSWER]A[/ANSWER]"
    )


class Lamalab(Struct, frozen=True):
    """Scores multiple-choice tasks by the set of options, others by the number."""

    choices: OptionSet | StatedOptions
    number: Within | SignedTolerance

    def warm(self) -> None:
        """Load what reading numbers needs."""
        if isinstance(self.number, Warm):
            self.number.warm()

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        return (self.choices if sample.choices else self.number)(sample, prompt, reply)


def _letters(sample: Sample) -> tuple[str, ...]:
    return sample.target if isinstance(sample.target, tuple) else (str(sample.target),)


def _ideal_lamalab(sample: Sample, prompt: Prompt) -> str:
    if not sample.choices:
        return f"[ANSWER]{sample.target!r}[/ANSWER]"
    return f"[ANSWER]{', '.join(sorted(prompt.shown_letter(x) for x in _letters(sample)))}[/ANSWER]"


def first_capital(text: str, count: int) -> str | None:
    """Return the first upper-case character: T for "The answer is B" (a known defect)."""
    return next((character for character in text if character.isupper()), None)


def _zero_shot_4k(sample: Sample, repeat: int) -> Prompt:
    return ask(
        f"Answer this single-choice question about chemistry. Finish with {ANSWER_LINE}\n\n"
        f"{plain_text(sample.question).strip()}\n\n{options(sample.choices)}"
    )


def _question_4k(question: str, choices: Sequence[str]) -> str:
    return (
        "This is a single-choice question about chemistry; reply with the letter A, B, C or D.\n"
        f"Question: {question}\n{options(choices)}\nAnswer: "
    )


def _plain_4k(sample: Sample, repeat: int) -> Prompt:
    return ask(_question_4k(plain_text(sample.question).strip(), sample.choices))


def _few_shot_4k(data: Data, variant: str, shots: int) -> Prompter:
    """Return the prompter of OpenCompass' form: the first rows of `dev` as worked examples."""
    examples: dict[str, str] = {}
    for task in TASKS:
        rows = list(data.rows(_split_4k(task, "dev"), required=("question", "answer", *"ABCD")))[:shots]
        if len(rows) < shots and not data.sample:
            raise DataError(
                f"chembench: the dev split holds {len(rows)} of {shots} worked examples of {task}"
            )
        texts = [f"{_question_4k(r['question'], [r[x] for x in 'ABCD'])}{r['answer']}\n\n" for r in rows]
        examples[task] = "".join(texts)
    return partial(_with_examples, examples)


def _with_examples(examples: dict[str, str], sample: Sample, repeat: int) -> Prompt:
    return ask(examples[sample.group] + _question_4k(plain_text(sample.question).strip(), sample.choices))


def over_eight(points: Sequence[Point]) -> float:
    """Mean value without Solvent_Prediction, as in the Intern-S1 tables; raises ValueError for nothing."""
    return mean_value([point for point in points if point.group != LEFT_OUT])


WORDS = opencompass_prompts(
    "ChemBench/ChemBench_llmjudge_gen_c584cf.py",
    "chembench_infer_cfg",
    "chembench_eval_cfg.evaluator",
    question="input",
    gold="target",
)


def _unwinnable(sample: Sample) -> str:
    if isinstance(sample.target, float) and sample.target <= 0:
        return f"its tolerance is 0.01 * {sample.target}"
    return ""


def _samples(data: Data, variant: str) -> Iterator[Sample]:
    return _samples_4k(data) if variant == "4k" else _samples_lamalab(data)


def _letter(sample: Sample, prompt: Prompt) -> str:
    return prompt.shown_letter(str(sample.target))


MEANS_4K = (
    Metric(name="accuracy_8", of=over_eight, pool="macro", headline=True),
    Metric(name="accuracy_9", of=mean_value, pool="macro"),
    Metric(name="accuracy", of=mean_value),
)
STRICT_LAMALAB = Protocol(
    prompt=_ask_lamalab,
    scorers={"answer": Lamalab(StatedOptions(), Within(relative=0.01))},
    ideal=_ideal_lamalab,
)
STRICT: dict[str, Protocol] = {
    "4k": Protocol(prompt=_zero_shot_4k, scorers={"choice": StatedChoice()}, metrics=MEANS_4K, ideal=_letter),
    "lamalab": STRICT_LAMALAB,
}
OFFICIAL: dict[str, Protocol] = {
    "4k": Protocol(
        few_shot=FewShot(5, 5, _few_shot_4k),
        scorers={"choice": Choice(first_capital)},
        metrics=MEANS_4K,
        sampling=Sampling(temperature=0.0, max_tokens=100),
        ideal=_letter,
    ),
    "lamalab": Protocol(
        prompt=_ask_lamalab,
        scorers={"answer": Lamalab(OptionSet(options_lamalab), SignedTolerance())},
        sampling=Sampling(temperature=0.0, max_tokens=4096),
        ideal=_ideal_lamalab,
        unwinnable=_unwinnable,
    ),
}
INTERN: dict[str, Protocol] = {
    "4k": Protocol(
        prompt=_plain_4k,
        upstream=WORDS,
        scorers={"judge": Judged(rule=Choice(letter), mode="whole")},
        metrics=MEANS_4K,
        sampling=INTERN_S1,
        ideal=_letter,
    ),
    "lamalab": structs.replace(
        STRICT_LAMALAB,
        refuses="chembench:lamalab has no protocol intern-s1: the column ChemBench of the Intern-S1 tables is "
        "chembench:4k; use --protocol strict or official",
    ),
}
BENCHMARK = Benchmark(
    name="chembench",
    title="Two benchmarks, never in one column: `:4k` (ChemBench4K, the ChemBench of the Intern-S1 tables) and `:lamalab`.",
    version="2",
    variants={
        "4k": Variant(4_100, chance=0.25, cite="arXiv 2402.06852"),
        "lamalab": Variant(
            2_788, chance=0.2803, cite="arXiv 2404.01475"
        ),  # the authors' random baseline got 0.2640
    },
    samples=_samples,
    protocols={
        "strict": STRICT.__getitem__,
        "official": OFFICIAL.__getitem__,
        "intern-s1": INTERN.__getitem__,
    },
    licence="MIT",
)
