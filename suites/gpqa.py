"""GPQA: graduate-level questions in physics, chemistry and biology (Rein et al. 2023, arXiv 2311.12022).

The authors ask that no item appear in plain text: records are marked gated, nothing of ours prints them.
Rules of `official`: openai/simple-evals @ ee3b0318, gpqa_eval.py: four repeats, the order of the options
drawn from one generator seeded with 0 over all rows and repeats, `Answer: X`, first match.

Rules of `intern-s1`: OpenCompass @ a5acc4bb, gpqa_cascade_eval: `ANSWER: X`, first match, and a judge model for what
that does not call right, both in its own words (`intern-s1~`: in ours). Its options are rotated by the row's number, so
that the gold letters run D, C, B, A; and a `{A}` in a question, as in the index of a formula, becomes option A there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from evals.data import Data, Row, Split
from evals.extract import letter_opencompass, letter_simple_evals
from evals.prompts import ask, options, plain_text, rng, shuffled
from evals.prompts.upstream import Words
from evals.report.metrics import accuracy, accuracy_guess
from evals.scorers.choice import Choice, StatedChoice
from evals.scorers.judge.judged import Judged
from evals.suite import INTERN_S1, Suite
from evals.types import Prompt, Prompter, Sample, Sampling, Scorer, Text

VARIANTS = {"diamond": 198, "main": 448, "extended": 546}
DEFAULT = ("diamond",)  # the three are nested: main holds diamond, extended holds main
PROTOCOLS = ("strict", "official", "intern-s1", "intern-s1~")
VERSION = "2"
NEEDS: frozenset[str] = frozenset()
GATED = True
REVISION = "633f5ee89ab8ad4522a9f850766b73f62147ffdd"
ANSWERS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")


def _split(variant: str) -> Split:
    return Split(
        hub="Idavidrein/gpqa",
        revision=REVISION,
        config=f"gpqa_{variant}",
        split="train",
        stems=(variant, f"gpqa_{variant}"),
        rows=VARIANTS[variant],
        gated=True,
    )


def _samples(data: Data, variant: str) -> Iterator[Sample]:
    for position, row in enumerate(data.rows(_split(variant), required=("Record ID", *ANSWERS))):
        yield Sample(
            id=str(row["Record ID"]),
            question=(Text(str(row["Question"])),) if row.get("Question") else (),
            target="A",
            choices=tuple(str(row[column]) for column in ANSWERS),
            group=str(row.get("High-level domain") or ""),
            meta={"row": position},
        )


def _shown(sample: Sample, order: Sequence[int], mark: str) -> str:
    """Lay out question and options without the blanks around them, which only OpenCompass keeps."""
    shown = options([sample.choices[i].strip() for i in order], mark=mark)
    return f"{plain_text(sample.question).strip()}\n\n{shown}"


def _strict(sample: Sample, repeat: int) -> Prompt:
    order = shuffled(4, rng("gpqa", sample.id, repeat))
    return ask(
        "Answer this graduate-level science question. Think it through step by step, then finish with a line of "
        f"the form `ANSWER: X`, where X is A, B, C or D.\n\n{_shown(sample, order, '{}. {}')}",
        order=order,
    )


class Official:
    """Orders as simple-evals draws them: row after row, repeat after repeat, from `Random(0)`."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._draw = Random(0)
        self._orders: list[tuple[int, ...]] = []

    def order(self, row: int, repeat: int) -> tuple[int, ...]:
        """Give the permutation of a row in a repeat."""
        position = repeat * self.rows + row
        while len(self._orders) <= position:
            self._orders.append(tuple(self._draw.sample(range(4), 4)))
        return self._orders[position]

    def __call__(self, sample: Sample, repeat: int) -> Prompt:
        """Ask in the form of the reference implementation."""
        order = self.order(sample.meta["row"], repeat)
        return ask(
            "Answer the multiple-choice question below, reasoning step by step first. The last line of your reply "
            "must read 'Answer: $LETTER' (without the quotes), where LETTER is one of ABCD.\n\n"
            f"{_shown(sample, order, '{}) {}')}",
            order=order,
        )


def _rotated(sample: Sample, repeat: int) -> Prompt:
    """Ask in OpenCompass' form: the options turned by the row's number."""
    order = tuple((position + sample.meta["row"] + 1) % 4 for position in range(4))
    return ask(
        "Answer the multiple-choice question below. The last line of your reply must read 'ANSWER: $LETTER' (without "
        f"the quotes), where LETTER is one of ABCD.\n\n{_shown(sample, order, '{}) {}')}",
        order=order,
    )


def _row(sample: Sample, prompt: Prompt, question: str) -> Row:
    """Give the columns that OpenCompass' loader makes (datasets/gpqa.py)."""
    order = prompt.order or tuple(range(4))
    shown = {letter: sample.choices[i] for letter, i in zip("ABCD", order, strict=True)}
    return {"question": question, **shown, "answer": prompt.shown_letter(str(sample.target))}


WORDS = Words(
    file="gpqa/gpqa_cascade_eval_gen_772ea0.py",
    asks="gpqa_infer_cfg.prompt_template.template",
    judges="gpqa_eval_cfg.evaluator.llm_evaluator.prompt_template.template",
    row=_row,
    gold="answer",
)


def opencompass_letter(text: str, count: int) -> str | None:
    """Apply OpenCompass' rule."""
    return letter_opencompass(text)


def first_letter(text: str, count: int) -> str | None:
    """Apply the rule of simple-evals."""
    return letter_simple_evals(text)


def suite(variant: str = "diamond", protocol: str = "strict") -> Suite:
    """Give one of the three nested sets under a protocol."""
    official, judged = protocol == "official", protocol == "intern-s1"

    def prompter(data: Data) -> Prompter:
        if official:
            return Official(sum(1 for _ in _samples(data, variant)))
        return _rotated if judged else _strict

    rule: Scorer = Choice(opencompass_letter if judged else first_letter)
    if not (judged or official):
        rule = StatedChoice()
    sampling = Sampling(temperature=0.5 if official else 0.0, max_tokens=2048 if official else 32_768)
    return Suite(
        name="gpqa",
        variant=variant,
        protocol=protocol,
        version=VERSION,
        samples=lambda data: _samples(data, variant),
        prompter=prompter,
        ideal=lambda sample, prompt: f"Answer: {prompt.shown_letter(str(sample.target))}",
        scorers={"judge": Judged(rule=rule)} if judged else {"choice": rule},
        metrics=(*accuracy(), *([accuracy_guess()] if official else [])),
        sampling=INTERN_S1 if judged else sampling,
        repeats=4 if official else 1,
        needs=frozenset({"judge"}) if judged else NEEDS,
        words=WORDS if judged else None,
        chance=0.25,
        gated=GATED,
        licence="CC-BY-4.0, gated",
        cite="arXiv 2311.12022",
    )
