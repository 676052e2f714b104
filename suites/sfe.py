"""SFE, Scientists' First Exam (arXiv 2506.10521).

`official` follows VLMEvalKit (@ e8e78f05, dataset/sfebench.py), which produced the published tables: a judge model awards
0 to 9 points to every reply, and the score is their mean divided by 9. If the judge's reply cannot be parsed, upstream awards
0 points; here it is counted as a failure. `intern-s1` uses the prompt of that model's thinking adapter
(api/adapters/interns1_1.py): no instruction on the answer format, images first and numbered, and the sampling of the
published numbers. The sentence that names the field, and the judge prompt, are upstream's (`intern-s1~`: reworded). The
judge's agreement with a rule is reported for questions with options and for exact answers.

`strict` has no partial points: a stated option is compared by rule, as are equal words and differing numbers; a judge grades
the rest, which waits without one.

Columns are those of VLMEvalKit's table (index, question, answer, category, question_type, A to O, image), as a local
file `en` or `zh`; the repository on the hub has other columns.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data import Data, Row, Split
from evals.data.media import image
from evals.errors import DataError
from evals.extract import stated
from evals.extract.upstream.last_letter import letter
from evals.prompts import images_first, options
from evals.prompts.upstream.sentences import Place, Swap, sentences
from evals.scorers.choice import Choice, StatedChoice, unanswered_verdict
from evals.scorers.judge.judged import Judged
from evals.suite import INTERN_S1
from evals.types import Message, Part, Prompt, Reply, Sample, Score, Text

MOST = "ABCDEFGHIJKLMNO"
FORMS = {
    "mcq": "Answer with the letter of the right option.",
    "exact_match": "Answer with a single word or phrase.",
    "open_ended": "Answer with a short phrase.",
}


def _split(variant: str) -> Split:
    return Split(hub="InternScience/SFE", split=variant, stems=(variant, "items"))


def _samples(data: Data, variant: str) -> Iterator[Sample]:
    if data.origin == "hub":
        raise DataError(
            "sfe: give the table as a local file with --data DIR (DIR/sfe/en.jsonl), or try --sample"
        )
    for row in data.rows(_split(variant), required=("index", "answer", "category", "question_type")):
        choices = tuple(str(row[x]) for x in MOST if row.get(x) not in (None, ""))
        yield Sample(
            id=str(row["index"]),
            question=tuple(_parts(data, row)) if row.get("question") else (),
            target=str(row["answer"]).strip(),
            choices=choices if row["question_type"] == "mcq" else (),
            group=str(row["category"]),
            meta={"question_type": str(row["question_type"])},
        )


def _parts(data: Data, row: Row) -> Iterator[Part]:
    """Yield the question with its images at their marks."""
    values = row.get("image") or []
    pictures = [image(data, value) for value in (values if isinstance(values, list) else [values])]
    texts = str(row["question"]).split("<image>")
    if data.media is not None and len(texts) != len(pictures) + 1:
        raise DataError(f"sfe: {row['index']}: {len(texts) - 1} marks for {len(pictures)} pictures")
    for number, text in enumerate(texts):
        if text.strip():
            yield Text(text)
        if number < len(texts) - 1 and number < len(pictures) and (picture := pictures[number]) is not None:
            yield picture


def _prompt(sample: Sample, repeat: int) -> Prompt:
    form = FORMS.get(sample.meta["question_type"], FORMS["open_ended"])
    shown = f"\nOptions:\n{options(sample.choices)}" if sample.choices else ""
    first = Text(f"You are an expert in {sample.group}. {form}\n")
    return Prompt(messages=(Message("user", (first, *sample.question, Text(shown or "\n"))),))


FIELD = "You are an expert in {discipline} with this question to solve."
CHOICES = "\nChoices:\n"
ADAPTER = ("api/adapters/interns1_1.py", "InternS1_1ThinkAdapter._build_sfe_prompt")
WORDS = sentences(
    Swap(ours=FIELD, theirs=(Place(*ADAPTER, 0),), group="{discipline}"),
    Swap(ours=CHOICES.strip(), theirs=(Place(*ADAPTER, 11),), bare=True),
    judge=(Place("dataset/sfebench.py", "EVAL_TEMPLATE"),),
    kind="points",
)


def _bare(sample: Sample, repeat: int) -> Prompt:
    """Return the thinking adapter's prompt: texts between images are stripped."""
    shown = f"{CHOICES}{options(sample.choices)}" if sample.choices else ""
    field = FIELD.format(discipline=sample.group)
    parts: list[Part] = []
    for part in (Text(f"{field} "), *sample.question, Text(shown)):
        if isinstance(part, Text) and parts and isinstance(parts[-1], Text):
            parts[-1] = Text(parts[-1].text + part.text)
        else:
            parts.append(part)
    stripped = [Text(part.text.strip()) if isinstance(part, Text) else part for part in parts]
    return images_first([part for part in stripped if not isinstance(part, Text) or part.text])


def _stated(sample: Sample, repeat: int) -> Prompt:
    what = (
        "the letter of the right option"
        if sample.choices
        else "a number with its unit, a word or a short phrase"
    )
    shown = f"\nOptions:\n{options(sample.choices)}" if sample.choices else ""
    ending = f"{shown}\n\nReason as far as you need to, then finish with a line of the form `Answer: X`, where X is {what}."
    return Prompt(messages=(Message("user", (*sample.question, Text(ending))),))


class Compared(Struct, frozen=True):
    """Compares the stated answer by rule; without a value, a judge must grade it."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        if sample.choices:
            return StatedChoice()(sample, prompt, reply)
        answer = None if reply.stop == "filter" else stated(reply.text[-10_000:])
        if not answer:
            return Score(value=0.0, verdict=unanswered_verdict(reply), why="no answer stated")
        gold = str(sample.target)
        numbers = (_number(gold), _number(answer))
        if _words(gold) == _words(answer) or (numbers[0] is not None and numbers[0] == numbers[1]):
            return Score(value=1.0, verdict="right", answer=answer[:200])
        if None not in numbers:
            return Score(value=0.0, verdict="wrong", answer=answer[:200])
        return Score(value=None, verdict="unanswered", answer=answer[:200], why="no rule tells")


def _words(text: str) -> str:
    return " ".join(text.casefold().strip(" .*`\"'$").split())


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", "").strip(" .$"))
    except ValueError:
        return None


class Rule(Struct, frozen=True):
    """Compares a stated option or equal words; open questions are left to the judge."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        if sample.choices:
            return Choice(letter)(sample, prompt, reply)
        answer = None if reply.stop == "filter" else stated(reply.text[-10_000:])
        if not answer or sample.meta.get("question_type") != "exact_match":
            return Score(value=0.0, verdict=unanswered_verdict(reply), why="no rule reads it")
        right = answer.casefold().strip(" .") == str(sample.target).casefold().strip(" .")
        return Score(value=float(right), verdict="right" if right else "wrong", answer=answer[:200])


def _judge_alone(sample: Sample) -> str:
    has_rule = sample.choices or sample.meta.get("question_type") == "exact_match"
    return "" if has_rule else "a judge alone"


POINTS = Judged(rule=Rule(), mode="points", form="points")
BENCHMARK = Benchmark(
    name="sfe",
    title="SFE, Scientists' First Exam: 830 questions about scientific pictures in English and in Chinese (arXiv 2506.10521).",
    version="2",
    variants={"en": Variant(830), "zh": Variant(830)},
    default=("en",),
    samples=_samples,
    protocols={
        "official": Protocol(prompt=_prompt, scorers={"points": POINTS}, unwinnable=_judge_alone),
        "intern-s1": Protocol(
            prompt=_bare,
            upstream=WORDS,
            scorers={"points": POINTS},
            sampling=INTERN_S1,
            unwinnable=_judge_alone,
        ),
        "strict": Protocol(prompt=_stated, scorers={"answer": Judged(rule=Compared(), mode="rest")}),
    },
    ideal=lambda sample, prompt: f"Answer: {sample.target}",
    needs=frozenset({"image", "judge"}),
    licence="MIT",
    cite="arXiv 2506.10521",
)
