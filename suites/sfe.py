"""SFE, Scientists' First Exam (arXiv 2506.10521).

`official` follows VLMEvalKit (@ e8e78f05, dataset/sfebench.py), which produced the published tables: a judge model
awards 0 to 9 points to every reply, and the score is their mean divided by 9. If the judge's reply cannot be parsed,
upstream awards 0 points; here it is counted as a failure. `intern-s1` uses the prompt of Intern-S1's thinking adapter
(api/adapters/interns1_1.py): no instruction on the answer format, images first and numbered, and the sampling of the
published scores. The sentence that names the field, and the judge prompt, are upstream's (`intern-s1~`: reworded). The
judge's agreement with a rule is reported for questions with options and for exact answers.

`strict` gives no partial points: a rule scores stated options and numbers, and accepts answers whose text equals the gold
answer; a judge grades all other replies, which have no value until it does.

Columns are those of VLMEvalKit's table (index, question, answer, category, question_type, A to O, image), in a local
file `en` or `zh`; the repository on the hub has other columns.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from evals.benchmark import Benchmark, Protocol, Variant, gold_answer_line
from evals.data import Data, Row, Split
from evals.data.media import image
from evals.errors import DataError
from evals.extract import stated_answer
from evals.extract.units.notation import strip_around
from evals.extract.upstream.last_letter import letter
from evals.plain import count_of
from evals.prompts import append_to_question, images_first, options
from evals.prompts.upstream.sentences import Replacement, TextLocation, sentence_prompts
from evals.scorers.choice import Choice, StatedChoice
from evals.scorers.judge.judged import Judged
from evals.scorers.outcomes import binary_score, no_answer
from evals.suite import INTERN_S1
from evals.types import Message, Part, Prompt, Reply, Sample, Score, Text

OPTION_LETTERS = "ABCDEFGHIJKLMNO"
ANSWER_INSTRUCTIONS = {
    "mcq": "Answer with the letter of the right option.",
    "exact_match": "Answer with a single word or phrase.",
    "open_ended": "Answer with a short phrase.",
}


def _samples(data: Data, variant: str) -> Iterator[Sample]:
    if data.origin == "hub":
        raise DataError(
            "sfe: pass the table as a local file with --data DIR (DIR/sfe/en.jsonl), or try --sample"
        )
    split = Split(hub="InternScience/SFE", split=variant, stems=(variant, "items"))
    for row in data.rows(split, required=("index", "answer", "category", "question_type")):
        choices = tuple(str(row[column]) for column in OPTION_LETTERS if row.get(column) not in (None, ""))
        yield Sample(
            id=str(row["index"]),
            question=tuple(_question_parts(data, row)) if row.get("question") else (),
            target=str(row["answer"]).strip(),
            choices=choices if row["question_type"] == "mcq" else (),
            group=str(row["category"]),
            meta={"question_type": str(row["question_type"])},
        )


def _question_parts(data: Data, row: Row) -> Iterator[Part]:
    """Yield the question with its placeholders replaced by the images."""
    column = row.get("image") or []
    images = [image(data, value) for value in (column if isinstance(column, list) else [column])]
    texts = str(row["question"]).split("<image>")
    if data.media is not None and len(texts) != len(images) + 1:
        placeholders = count_of(len(texts) - 1, "placeholder")
        raise DataError(f"sfe: {row['index']}: {placeholders} for {count_of(len(images), 'image')}")
    for number, text in enumerate(texts):
        if text.strip():
            yield Text(text)
        if number < len(texts) - 1 and number < len(images) and (media := images[number]) is not None:
            yield media


def _official_prompt(sample: Sample, repeat: int) -> Prompt:
    instruction = ANSWER_INSTRUCTIONS.get(sample.meta["question_type"], ANSWER_INSTRUCTIONS["open_ended"])
    option_block = f"\nOptions:\n{options(sample.choices)}" if sample.choices else ""
    introduction = Text(f"You are an expert in {sample.group}. {instruction}\n")
    return Prompt(messages=(Message("user", (introduction, *sample.question, Text(option_block or "\n"))),))


FIELD_SENTENCE = "You are an expert in {discipline} with this question to solve."
CHOICES_HEADING = "\nChoices:\n"
ADAPTER_FUNCTION = ("api/adapters/interns1_1.py", "InternS1_1ThinkAdapter._build_sfe_prompt")
UPSTREAM_PROMPTS = sentence_prompts(
    Replacement(
        own_text=FIELD_SENTENCE,
        upstream_texts=(TextLocation(*ADAPTER_FUNCTION, 0),),
        group_placeholder="{discipline}",
    ),
    Replacement(
        own_text=CHOICES_HEADING.strip(), upstream_texts=(TextLocation(*ADAPTER_FUNCTION, 11),), strip=True
    ),
    judge=(TextLocation("dataset/sfebench.py", "EVAL_TEMPLATE"),),
    judge_reply="points",
)


def _adapter_prompt(sample: Sample, repeat: int) -> Prompt:
    """Return the thinking adapter's prompt, with the texts between images stripped."""
    option_block = f"{CHOICES_HEADING}{options(sample.choices)}" if sample.choices else ""
    field = FIELD_SENTENCE.format(discipline=sample.group)
    parts: list[Part] = []
    for part in (Text(f"{field} "), *sample.question, Text(option_block)):
        if isinstance(part, Text) and parts and isinstance(parts[-1], Text):
            parts[-1] = Text(parts[-1].text + part.text)
        else:
            parts.append(part)
    stripped = [Text(part.text.strip()) if isinstance(part, Text) else part for part in parts]
    return images_first([part for part in stripped if not isinstance(part, Text) or part.text])


def _strict_prompt(sample: Sample, repeat: int) -> Prompt:
    answer_format = (
        "the letter of the right option"
        if sample.choices
        else "a number with its unit, a word or a short phrase"
    )
    option_block = f"\nOptions:\n{options(sample.choices)}" if sample.choices else ""
    ending = f"{option_block}\n\nReason as far as you need to, then finish with a line of the form `Answer: X`, where X is {answer_format}."
    return append_to_question(sample, ending)


class Compared(Struct, frozen=True):
    """Compares the stated answer by rule; a reply that the rule leaves undecided gets no value until a judge grades it."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        if sample.choices:
            return StatedChoice()(sample, prompt, reply)
        answer = None if reply.stop == "filter" else stated_answer(reply.text[-10_000:])
        if not answer:
            return no_answer(reply, "no answer stated")
        gold = str(sample.target)
        numbers = (_parse_number(gold), _parse_number(answer))
        if _normalise(gold) == _normalise(answer) or (numbers[0] is not None and numbers[0] == numbers[1]):
            return Score(value=1.0, verdict="right", answer=answer[:200])
        if None not in numbers:
            return Score(value=0.0, verdict="wrong", answer=answer[:200])
        return Score(value=None, verdict="unanswered", answer=answer[:200], why="not decided by the rule")


def _normalise(text: str) -> str:
    return " ".join(strip_around(text.casefold(), " .*`\"'$").split())


def _parse_number(text: str) -> float | None:
    try:
        return float(strip_around(text.replace(",", ""), " .$"))
    except ValueError:
        return None


class Rule(Struct, frozen=True):
    """Compares options by letter, and exact answers as text, regardless of case; open questions are left to the judge."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        if sample.choices:
            return Choice(letter)(sample, prompt, reply)
        answer = None if reply.stop == "filter" else stated_answer(reply.text[-10_000:])
        if not answer or sample.meta.get("question_type") != "exact_match":
            return no_answer(reply, "not covered by the rule")
        right = strip_around(answer.casefold(), " .") == strip_around(str(sample.target).casefold(), " .")
        return binary_score(right=right, answer=answer[:200])


def _why_unsolvable_by_rule(sample: Sample) -> str:
    has_rule = sample.choices or sample.meta.get("question_type") == "exact_match"
    return "" if has_rule else "only a judge can score this answer"


POINTS = Judged(rule=Rule(), mode="points", template_name="points")
BENCHMARK = Benchmark(
    name="sfe",
    title="SFE, Scientists' First Exam: 830 questions about scientific images in English and in Chinese (arXiv 2506.10521).",
    version="2",
    variants={"en": Variant(830), "zh": Variant(830)},
    default=("en",),
    samples=_samples,
    protocols={
        "official": Protocol(
            prompt=_official_prompt, scorers={"points": POINTS}, why_unsolvable=_why_unsolvable_by_rule
        ),
        "intern-s1": Protocol(
            prompt=_adapter_prompt,
            upstream=UPSTREAM_PROMPTS,
            scorers={"points": POINTS},
            sampling=INTERN_S1,
            why_unsolvable=_why_unsolvable_by_rule,
        ),
        "strict": Protocol(prompt=_strict_prompt, scorers={"answer": Judged(rule=Compared(), mode="rest")}),
    },
    ideal=gold_answer_line,
    needs=frozenset({"image", "judge"}),
    licence="MIT",
    cite="arXiv 2506.10521",
)
