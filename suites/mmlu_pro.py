"""MMLU-Pro (Wang et al. 2024, arXiv 2406.01574).

`official`: TIGER-AI-Lab/MMLU-Pro @ f418b116, evaluate_from_api.py. Five worked examples of the same subject (fewer with
`--shots`, upstream's `ntrain`), greedy sampling, three answer patterns tried in turn. If upstream picks a random option,
the sample counts as unanswered; `accuracy_guess` is the expected accuracy with that guess.

`intern-s1`: OpenCompass @ a5acc4bb, mmlu_pro_0shot_nocot_genericllmeval: no examples; a judge model grades the whole
reply; the headline is the mean over the 14 subjects. The prompts for the model and the judge are OpenCompass' own
(`intern-s1~`: reworded). The judge of the published scores is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from evals.benchmark import Benchmark, FewShot, Protocol, Variant
from evals.data import Data, Row, Split, text_list
from evals.errors import DataError
from evals.extract import letter_mmlu_pro
from evals.extract.upstream.last_letter import letter
from evals.intern_s1 import intern_s1_protocol
from evals.prompts import LETTERS, ask, options, plain_text, template
from evals.prompts.upstream import opencompass_prompts
from evals.report.metrics import accuracy, accuracy_guess
from evals.scorers.choice import Choice, StatedChoice
from evals.types import Prompt, Prompter, Sample, Sampling, Text

HUB = "TIGER-Lab/MMLU-Pro"
REVISION = "3373e0b32277875b8db2aa555a333b78a08477ea"
TEST = Split(hub=HUB, revision=REVISION, stems=("test", "mmlu_pro", "mmlu-pro"), rows=12_032)
EXAMPLES = Split(
    hub=HUB, revision=REVISION, split="validation", stems=("validation",), in_single_file=False, rows=70
)
REQUIRED_COLUMNS = ("question_id", "options", "answer", "category")


def samples(data: Data, variant: str = "") -> Iterator[Sample]:
    """Yield samples without the filler options `N/A`, which upstream drops before it assigns letters; raises DataError."""
    for row in data.rows(TEST, required=REQUIRED_COLUMNS):
        all_options = text_list(row, "options")
        positions = [i for i, option in enumerate(all_options) if option != "N/A"]
        yield Sample(
            id=str(row["question_id"]),
            question=(Text(row["question"]),) if row.get("question") else (),
            target=_gold(row, positions),
            choices=tuple(all_options[i] for i in positions),
            group=row["category"],
        )


def _gold(row: Row, positions: list[int]) -> str:
    """Return the gold letter among the remaining options; the column `answer_index` is wrong for question 3983, so it is ignored."""
    letter = str(row["answer"])
    position = ord(letter) - ord("A") if len(letter) == 1 else -1
    if position not in positions:
        raise DataError(
            f"mmlu-pro: question {row['question_id']}: the gold answer {row['answer']!r} is not one of its options"
        )
    return LETTERS[positions.index(position)]


REASONING_PROMPT = template(
    "The following is a multiple-choice question about {group}. Work it out step by step, then finish with a line of the "
    "form `ANSWER: X`, where X is one letter from A to {last}.\n\n{question}\n\n{options}"
)


def _few_shot_prompter(data: Data, variant: str, shots: int) -> Prompter:
    """Return a prompter with worked examples of the same subject; raises DataError if the local data lack their split."""
    examples: dict[str, list[str]] = {}
    if not data.has(EXAMPLES):
        raise DataError(
            "mmlu-pro: protocol official needs the validation split for its worked examples, and there is no file "
            "named validation in the local data; add it, or use --protocol strict"
        )
    for row in data.rows(EXAMPLES, required=(*REQUIRED_COLUMNS, "question", "cot_content")):
        choices = [option for option in text_list(row, "options") if option != "N/A"]
        reasoning = row["cot_content"].removeprefix("A: ")
        examples.setdefault(row["category"], []).append(
            f"Question:\n{row['question']}\nOptions:\n{options(choices)}\nAnswer: {reasoning}\n\n"
        )
    min_examples = min(shots, 1) if data.sample else shots
    return partial(_few_shot_prompt, examples, shots, min_examples)


def _few_shot_prompt(
    examples: dict[str, list[str]], shots: int, min_examples: int, sample: Sample, repeat: int
) -> Prompt:
    examples_shown = examples.get(sample.group, [])[:shots]
    if len(examples_shown) < min_examples:
        raise DataError(
            f"mmlu-pro: the validation split has only {len(examples_shown)} of {min_examples} worked examples for {sample.group!r}"
        )
    intro = (
        f"Below are multiple-choice questions about {sample.group}, each with its reasoning. Reason step by step "
        "about the last one"
        if examples_shown
        else f"Below is a multiple-choice question about {sample.group}. Reason step by step"
    )
    return ask(
        f'{intro} and end with "The answer is (X)", where X is the letter of its option.\n\n'
        f"{''.join(examples_shown)}Question:\n{plain_text(sample.question)}\nOptions:\n{options(sample.choices)}\n"
        "Answer: "
    )


def official_letter(text: str, count: int) -> str | None:
    """Return the letter, from A to J regardless of the number of options, that the authors' three patterns read."""
    return letter_mmlu_pro(text)


def _columns(sample: Sample, prompt: Prompt, question: str) -> Row:
    """Return the columns of OpenCompass' loader (datasets/mmlu_pro.py)."""
    gold, option_lines = prompt.shown_letter(str(sample.target)), options(sample.choices).strip()
    return {"question": question, "answer": gold, "category": sample.group, "options_str": option_lines}


UPSTREAM_PROMPTS = opencompass_prompts(
    "mmlu_pro/mmlu_pro_0shot_nocot_genericllmeval_gen_08c1de.py",
    "mmlu_pro_infer_cfg",
    "mmlu_pro_eval_cfg.evaluator",
    columns=_columns,
)


def _ideal(sample: Sample, prompt: Prompt) -> str:
    return f"The answer is ({prompt.shown_letter(str(sample.target))})."


BENCHMARK = Benchmark(
    name="mmlu-pro",
    title="MMLU-Pro: 12,032 questions in 14 subjects with up to ten options (Wang et al. 2024, arXiv 2406.01574).",
    version="2",
    variants={"": Variant(12_032, sha256="37b05570bf728a9405f8c39d503052d4d9096c919e71b6580245a2de6205e5e5")},
    samples=samples,
    protocols={
        "strict": Protocol(prompt=REASONING_PROMPT, scorers={"choice": StatedChoice()}),
        "official": Protocol(
            few_shot=FewShot(5, 5, _few_shot_prompter),
            scorers={"choice": Choice(official_letter)},
            metrics=(*accuracy(), accuracy_guess()),
            sampling=Sampling(temperature=0.0, max_tokens=4000),
        ),
        "intern-s1": intern_s1_protocol(
            REASONING_PROMPT, UPSTREAM_PROMPTS, Choice(letter), mode="whole", metrics=accuracy(macro=True)
        ),
    },
    ideal=_ideal,
    chance=0.1109,
    licence="MIT",
    cite="arXiv 2406.01574",
)
