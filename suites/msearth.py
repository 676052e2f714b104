"""MSEarth, multiple choice (Zhao et al., arXiv 2505.20740).

`official` follows the authors (xiangyu-mm/MSEarth @ 4e8dce37, evaluation_mcq.py): a reply in JSON with a letter, compared
case-sensitively, or with the text of an option. `intern-s1` follows VLMEvalKit (@ e8e78f05): the prompt forbids an
explanation, and a rule reads the option, or a judge model if the rule cannot. `strict` needs a stated option. VLMEvalKit's
sentences around the question, and its judge prompt, are read from its wheel (`intern-s1~`: reworded). Every question
contains the figure's refined caption, so many can be answered without the figure.

Rows are the hub's (query, response, image, question_id) or VLMEvalKit's (index, question, A to D, answer, image). The
number of questions is inferred from published accuracies (1,618 and 1,829 of 2,784), not counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from evals.benchmark import Benchmark, Protocol, Variant, gold_answer
from evals.data import Data, Row, Split
from evals.data.media import with_image
from evals.errors import DataError
from evals.extract.upstream.letters import answer_msearth, option_msearth
from evals.prompts import ANSWER_LINE, template, text_first
from evals.prompts.upstream.sentences import OPTION_JUDGE, Replacement, TextLocation, sentence_prompts
from evals.scorers.choice import StatedChoice
from evals.scorers.outcomes import binary_score, no_answer
from evals.scorers.upstream.inferred import closest_option
from evals.suite import INTERN_S1
from evals.types import Prompt, Reply, Sample, Score

ROWS = Split(hub="MSEarth/MSEarth_MCQ", split="train", stems=("train", "MSEarthMCQ", "items"))
_OPTIONS_HEADING = re.compile("Options:", re.IGNORECASE)
_OPTION = re.compile(r"([A-D])\.\s*([^\n]+)")


def _samples(data: Data, variant: str = "") -> Iterator[Sample]:
    for number, row in enumerate(data.rows(ROWS)):
        question, choices, answer = (
            _parse_table_row(row) if "answer" in row else _parse_query_row(row, number)
        )
        given_id = row.get("question_id")
        image = row.get("image") or next(iter(row.get("images") or ()), None)
        yield Sample(
            id=str(row.get("index", number) if given_id is None else given_id),
            question=with_image(data, question, image),
            target=answer,
            choices=choices,
            group=str(row.get("sphere") or row.get("category") or ""),
        )


def _parse_table_row(row: Row) -> tuple[str, tuple[str, ...], str]:
    """Return the question, the options and the gold letter of a row of VLMEvalKit's table."""
    choices = tuple(str(row[letter]) for letter in "ABCD" if row.get(letter) not in (None, ""))
    return str(row.get("question") or ""), choices, str(row["answer"]).strip()[:1].upper()


def _parse_query_row(row: Row, number: int) -> tuple[str, tuple[str, ...], str]:
    """Return the question, the options and the gold letter of a row of the hub, whose `query` contains the options."""
    if "query" not in row or "response" not in row:
        raise DataError(
            f"msearth: row {number + 1} lacks column query or response; it has {', '.join(sorted(row))}"
        )
    text, option_lines = _split_query(str(row["query"]).replace("<image>", "").strip())
    text_by_letter = dict(_OPTION.findall(option_lines))
    choices = tuple(text_by_letter[letter].strip() for letter in "ABCD" if letter in text_by_letter)
    return text.strip(), choices, str(row["response"]).strip()[:1].upper()


def _split_query(query: str) -> tuple[str, str]:
    """Return the text before and after the last heading `Options:`."""
    headings = list(_OPTIONS_HEADING.finditer(query))
    return (query[: headings[-1].start()], query[headings[-1].end() :]) if headings else (query, "")


QUESTION = "{question}\nOptions:\n{options}"
JSON_PROMPT = (
    f"Answer this multiple-choice question about the image.\n\n{QUESTION}\n\nChoose the right option by its letter or state "
    "its text, as the image shows it. Reply in JSON of this form:\n"
    '```json\n{{"answer": "the right option or its text", "Explanation": "how it follows"}}\n```'
)
"""The authors' prompt, which precedes the figure."""
INTRODUCTION = "Answer a multiple-choice question about the given image.\n\n"
INSTRUCTION = (
    "Give the letter of the option that is right by the image, or state its content. Give no explanation."
)
PROMPT_FUNCTION = ("dataset/image_mcq.py", "MSEarthMCQ.build_prompt")
UPSTREAM_PROMPTS = sentence_prompts(
    Replacement(own_text=INTRODUCTION, upstream_texts=(TextLocation(*PROMPT_FUNCTION, 8),)),
    Replacement(own_text=INSTRUCTION, upstream_texts=(TextLocation(*PROMPT_FUNCTION, 13),)),
    judge=OPTION_JUDGE,
)


class Published(Struct, frozen=True):
    """Scores 1 if the authors' script counts the reply as right."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        answer = answer_msearth(reply.text[-100_000:]) if reply.stop != "filter" else None
        if answer is None or not answer.strip():
            return no_answer(reply, "no answer in the requested format")
        letter, content = option_msearth(answer)
        letter = letter and (prompt.source_letter(letter) or letter)
        gold = sample.choices[ord(str(sample.target)) - ord("A")]
        right = letter == sample.target if letter else content == gold
        return binary_score(right=right, answer=(letter or content or "")[:200])


BENCHMARK = Benchmark(
    name="msearth",
    title="MSEarth (MCQ): questions about figures in Earth science papers, four options each (Zhao et al., arXiv 2505.20740).",
    version="2",
    variants={"": Variant(2_784)},
    samples=_samples,
    protocols={
        "strict": Protocol(
            prompt=template(f"{QUESTION}\n\nFinish with {ANSWER_LINE}"), scorers={"choice": StatedChoice()}
        ),
        "official": Protocol(
            prompt=template(JSON_PROMPT, build=text_first), scorers={"choice": Published()}, ideal=gold_answer
        ),
        "intern-s1": Protocol(
            prompt=template(f"{INTRODUCTION}Caption:\n {QUESTION}\n{INSTRUCTION}"),
            upstream=UPSTREAM_PROMPTS,
            scorers={"choice": closest_option()},
            sampling=INTERN_S1,
            ideal=gold_answer,
        ),
    },
    needs=frozenset({"image"}),
    chance=0.25,
    licence="see the data set's card on the hub",
    cite="arXiv 2505.20740",
)
