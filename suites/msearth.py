"""MSEarth (MCQ): questions about figures of Earth science papers, four options each (Zhao et al., arXiv 2505.20740).

`official` is the authors' way (xiangyu-mm/MSEarth @ 4e8dce37, evaluation_mcq.py): a reply in JSON, a letter compared as
it is written, so that `b` is not B; without a letter its text must be the option's. `intern-s1` is VLMEvalKit's way
(@ e8e78f05): it forbids an explanation, reads the option by rule, and has a judge for the rest. `strict` wants a stated
option. VLMEvalKit's sentences around the question are read from its wheel; in our words, this is `intern-s1~`. The refined caption is part of every question, so that much can be answered without the figure.

Rows are the hub's (query, response, image, question_id) or VLMEvalKit's (index, question, A to D, answer, image). The
number of questions is the one that published shares are consistent with (1,618 and 1,829 of 2,784); nobody counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from evals.data import Data, Row, Split
from evals.data.media import image
from evals.errors import DataError
from evals.extract.upstream.letters import answer_msearth, option_msearth
from evals.prompts import options, plain_text
from evals.prompts.upstream.sentences import NAMES_ONE, Place, Swap, sentences
from evals.report.metrics import accuracy
from evals.scorers.choice import StatedChoice, silence
from evals.scorers.judge.judged import Judged
from evals.scorers.upstream.inferred import Inferred
from evals.suite import INTERN_S1, Suite
from evals.types import Message, Part, Prompt, Reply, Sample, Sampling, Score, Scorer, Text

VARIANTS: dict[str, int] = {"": 2_784}
PROTOCOLS = ("strict", "official", "intern-s1", "intern-s1~")
VERSION = "2"
NEEDS = frozenset({"image"})
GATED = False
ROWS = Split(hub="MSEarth/MSEarth_MCQ", split="train", stems=("train", "MSEarthMCQ", "items"))
_OPTIONS = re.compile(r"\s*Options:\s*", re.IGNORECASE)
_OPTION = re.compile(r"\s*([A-D])\.\s*([^\n]+)")


def _samples(data: Data) -> Iterator[Sample]:
    for number, row in enumerate(data.rows(ROWS)):
        question, choices, answer = _of_table(row) if "answer" in row else _of_query(row, number)
        name = str(row["question_id"] if row.get("question_id") is not None else row.get("index", number))
        if answer not in "ABCD"[: len(choices)] or not answer:
            raise DataError(
                f"msearth: {name}: the gold answer {answer!r} is none of its {len(choices)} options"
            )
        figure = row.get("image") or next(iter(row.get("images") or ()), None)
        picture = image(data, figure) if question and figure else None
        parts: tuple[Part, ...] = (Text(question),) if question else ()
        yield Sample(
            id=name,
            question=parts if picture is None else (picture, *parts),
            target=answer,
            choices=choices,
            group=str(row.get("sphere") or row.get("category") or ""),
        )


def _of_table(row: Row) -> tuple[str, tuple[str, ...], str]:
    choices = tuple(str(row[x]) for x in "ABCD" if row.get(x) not in (None, ""))
    return str(row.get("question") or ""), choices, str(row["answer"]).strip()[:1].upper()


def _of_query(row: Row, number: int) -> tuple[str, tuple[str, ...], str]:
    """Cut the hub's one text into question (with its caption) and options."""
    if "query" not in row or "response" not in row:
        raise DataError(
            f"msearth: row {number + 1} lacks query and response; it has {', '.join(sorted(row))}"
        )
    text, _, listed = _split(str(row["query"]).replace("<image>", "").strip())
    found = dict(_OPTION.findall(listed))
    choices = tuple(found[x].strip() for x in "ABCD" if x in found)
    return text.strip(), choices, str(row["response"]).strip()[:1].upper()


def _split(query: str) -> tuple[str, str, str]:
    marks = list(_OPTIONS.finditer(query))
    return (query[: marks[-1].start()], marks[-1][0], query[marks[-1].end() :]) if marks else (query, "", "")


def _ask(sample: Sample, text: str) -> Prompt:
    pictures = [part for part in sample.question if not isinstance(part, Text)]
    return Prompt(messages=(Message("user", (*pictures, Text(text))),))


def _shown(sample: Sample) -> str:
    return f"{plain_text(sample.question)}\nOptions:\n{options(sample.choices)}"


def _reasoned(sample: Sample, repeat: int) -> Prompt:
    return _ask(
        sample, f"{_shown(sample)}\n\nFinish with a line of the form `ANSWER: X`, where X is A, B, C or D."
    )


def _as_json(sample: Sample, repeat: int) -> Prompt:
    """Text before the figure, as the authors send it."""
    form = '```json\n{"answer": "the right option or its text", "Explanation": "how it follows"}\n```'
    text = (
        f"Answer this multiple-choice question about the image.\n\n{_shown(sample)}\n\nChoose the right option by its "
        f"letter or state its text, as the image shows it. Reply in JSON of this form:\n{form}"
    )
    pictures = [part for part in sample.question if not isinstance(part, Text)]
    return Prompt(messages=(Message("user", (Text(text), *pictures)),))


FIRST = "Answer a multiple-choice question about the given image.\n\n"
LAST = "Give the letter of the option that is right by the image, or state its content. Give no explanation."
IN_FILE = ("dataset/image_mcq.py", "MSEarthMCQ.build_prompt")
WORDS = sentences(
    Swap(ours=FIRST, theirs=(Place(*IN_FILE, 8),)),
    Swap(ours=LAST, theirs=(Place(*IN_FILE, 13),)),
    judge=NAMES_ONE,
)


def _without_words(sample: Sample, repeat: int) -> Prompt:
    return _ask(sample, f"{FIRST}Caption:\n {_shown(sample)}\n{LAST}")


class Published(Struct, frozen=True):
    """Scores 1 where the authors' script says correct."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Judge one reply."""
        answer = answer_msearth(reply.text[-100_000:]) if reply.stop != "filter" else None
        if answer is None or not answer.strip():
            return Score(value=0.0, verdict=silence(reply), why="no answer of the asked form")
        stated, content = option_msearth(answer)
        stated = stated and (prompt.source_letter(stated) or stated)
        gold = sample.choices[ord(str(sample.target)) - ord("A")]
        right = stated == sample.target if stated else content == gold
        return Score(
            value=float(right), verdict="right" if right else "wrong", answer=(stated or content or "")[:200]
        )


def suite(variant: str = "", protocol: str = "strict") -> Suite:
    """Give MSEarth's multiple choice under a protocol."""
    rules: dict[str, Scorer] = {
        "strict": StatedChoice(),
        "official": Published(),
        "intern-s1": Judged(rule=Inferred(), mode="rest", form="option"),
    }
    ways = {"strict": _reasoned, "official": _as_json, "intern-s1": _without_words}
    judged = protocol == "intern-s1"
    return Suite(
        name="msearth",
        protocol=protocol,
        version=VERSION,
        samples=_samples,
        prompter=lambda data: ways[protocol],
        ideal=lambda sample, prompt: (
            f"ANSWER: {sample.target}" if protocol == "strict" else str(sample.target)
        ),
        scorers={"choice": rules[protocol]},
        metrics=accuracy(),
        sampling=INTERN_S1 if judged else Sampling(temperature=0.0, max_tokens=32_768),
        needs=NEEDS | {"judge"} if judged else NEEDS,
        words=WORDS if judged else None,
        chance=0.25,
        licence="see its card on the hub",
        cite="arXiv 2505.20740",
    )
