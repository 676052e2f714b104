"""MSEarth, multiple choice (Zhao et al., arXiv 2505.20740).

`official` follows the authors (xiangyu-mm/MSEarth @ 4e8dce37, evaluation_mcq.py): a reply in JSON with a letter, compared
case-sensitively, or with the text of an option. `intern-s1` follows VLMEvalKit (@ e8e78f05): it forbids an explanation,
parses the option by rule, and has a judge for the rest. `strict` needs a stated option. VLMEvalKit's sentences around the
question are read from its wheel (`intern-s1~`: reworded). The refined caption is part of every question, so that many
questions can be answered without the figure.

Rows are the hub's (query, response, image, question_id) or VLMEvalKit's (index, question, A to D, answer, image). The
number of questions is inferred from published shares (1,618 and 1,829 of 2,784), not counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data import Data, Row, Split
from evals.data.media import with_image
from evals.errors import DataError
from evals.extract.upstream.letters import answer_msearth, option_msearth
from evals.prompts import ANSWER_LINE, ask_with_images, images_of, options, plain_text
from evals.prompts.upstream.sentences import NAMES_ONE, Place, Swap, sentences
from evals.scorers.choice import StatedChoice, unanswered_verdict
from evals.scorers.judge.judged import Judged
from evals.scorers.upstream.inferred import Inferred
from evals.suite import INTERN_S1
from evals.types import Message, Prompt, Reply, Sample, Score, Text

ROWS = Split(hub="MSEarth/MSEarth_MCQ", split="train", stems=("train", "MSEarthMCQ", "items"))
_OPTIONS = re.compile(r"\s*Options:\s*", re.IGNORECASE)
_OPTION = re.compile(r"\s*([A-D])\.\s*([^\n]+)")


def _samples(data: Data, variant: str = "") -> Iterator[Sample]:
    for number, row in enumerate(data.rows(ROWS)):
        question, choices, answer = _of_table(row) if "answer" in row else _of_query(row, number)
        name = str(row["question_id"] if row.get("question_id") is not None else row.get("index", number))
        if answer not in "ABCD"[: len(choices)] or not answer:
            raise DataError(
                f"msearth: {name}: the gold answer {answer!r} is not one of its {len(choices)} options"
            )
        figure = row.get("image") or next(iter(row.get("images") or ()), None)
        yield Sample(
            id=name,
            question=with_image(data, question, figure),
            target=answer,
            choices=choices,
            group=str(row.get("sphere") or row.get("category") or ""),
        )


def _of_table(row: Row) -> tuple[str, tuple[str, ...], str]:
    choices = tuple(str(row[x]) for x in "ABCD" if row.get(x) not in (None, ""))
    return str(row.get("question") or ""), choices, str(row["answer"]).strip()[:1].upper()


def _of_query(row: Row, number: int) -> tuple[str, tuple[str, ...], str]:
    """Split the hub's single text into question (with caption) and options."""
    if "query" not in row or "response" not in row:
        raise DataError(f"msearth: row {number + 1} lacks query or response; it has {', '.join(sorted(row))}")
    text, _, listed = _split(str(row["query"]).replace("<image>", "").strip())
    texts = dict(_OPTION.findall(listed))
    choices = tuple(texts[x].strip() for x in "ABCD" if x in texts)
    return text.strip(), choices, str(row["response"]).strip()[:1].upper()


def _split(query: str) -> tuple[str, str, str]:
    marks = list(_OPTIONS.finditer(query))
    return (query[: marks[-1].start()], marks[-1][0], query[marks[-1].end() :]) if marks else (query, "", "")


def _shown(sample: Sample) -> str:
    return f"{plain_text(sample.question)}\nOptions:\n{options(sample.choices)}"


def _reasoned(sample: Sample, repeat: int) -> Prompt:
    return ask_with_images(sample, f"{_shown(sample)}\n\nFinish with {ANSWER_LINE}")


def _as_json(sample: Sample, repeat: int) -> Prompt:
    """Return the authors' prompt, with the text before the figure."""
    form = '```json\n{"answer": "the right option or its text", "Explanation": "how it follows"}\n```'
    text = (
        f"Answer this multiple-choice question about the image.\n\n{_shown(sample)}\n\nChoose the right option by its "
        f"letter or state its text, as the image shows it. Reply in JSON of this form:\n{form}"
    )
    return Prompt(messages=(Message("user", (Text(text), *images_of(sample))),))


FIRST = "Answer a multiple-choice question about the given image.\n\n"
LAST = "Give the letter of the option that is right by the image, or state its content. Give no explanation."
IN_FILE = ("dataset/image_mcq.py", "MSEarthMCQ.build_prompt")
WORDS = sentences(
    Swap(ours=FIRST, theirs=(Place(*IN_FILE, 8),)),
    Swap(ours=LAST, theirs=(Place(*IN_FILE, 13),)),
    judge=NAMES_ONE,
)


def _without_words(sample: Sample, repeat: int) -> Prompt:
    return ask_with_images(sample, f"{FIRST}Caption:\n {_shown(sample)}\n{LAST}")


class Published(Struct, frozen=True):
    """Scores 1 if the authors' script accepts the reply."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        answer = answer_msearth(reply.text[-100_000:]) if reply.stop != "filter" else None
        if answer is None or not answer.strip():
            return Score(
                value=0.0, verdict=unanswered_verdict(reply), why="no answer in the requested format"
            )
        stated, content = option_msearth(answer)
        stated = stated and (prompt.source_letter(stated) or stated)
        gold = sample.choices[ord(str(sample.target)) - ord("A")]
        right = stated == sample.target if stated else content == gold
        return Score(
            value=float(right), verdict="right" if right else "wrong", answer=(stated or content or "")[:200]
        )


def _letter(sample: Sample, prompt: Prompt) -> str:
    return str(sample.target)


BENCHMARK = Benchmark(
    name="msearth",
    title="MSEarth (MCQ): questions about figures of Earth science papers, four options each (Zhao et al., arXiv 2505.20740).",
    version="2",
    variants={"": Variant(2_784)},
    samples=_samples,
    protocols={
        "strict": Protocol(prompt=_reasoned, scorers={"choice": StatedChoice()}),
        "official": Protocol(prompt=_as_json, scorers={"choice": Published()}, ideal=_letter),
        "intern-s1": Protocol(
            prompt=_without_words,
            upstream=WORDS,
            scorers={"choice": Judged(rule=Inferred(), mode="rest", form="option")},
            sampling=INTERN_S1,
            ideal=_letter,
        ),
    },
    needs=frozenset({"image"}),
    chance=0.25,
    licence="see the data set's card on the hub",
    cite="arXiv 2505.20740",
)
