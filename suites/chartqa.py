"""ChartQA: questions about charts, 1,250 by people and 1,250 made from captions (Masry et al., arXiv 2203.10244).

`official` is relaxed accuracy over the whole reply (evals/scorers/chart.py, its defects named there), `intern-s1` the
same of replies drawn as the published Intern-S1 numbers were: VLMEvalKit's way is the authors' here, with the sentence
that asks for a short answer in its own words; in ours, this is `intern-s1~`. `strict` compares the stated answer. The data set has no ids: `<part>-<position in it>`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from evals.data import Data, Split
from evals.data.media import image
from evals.prompts import plain_text
from evals.prompts.upstream.sentences import Place, Swap, sentences
from evals.report.metrics import accuracy
from evals.scorers.chart import Relaxed, Stated
from evals.suite import INTERN_S1, Suite
from evals.types import Message, Part, Prompt, Sample, Sampling, Text

VARIANTS = {"human": 1_250, "augmented": 1_250}
PROTOCOLS = ("strict", "official", "intern-s1", "intern-s1~")
VERSION = "2"
NEEDS = frozenset({"image"})
GATED = False
ROWS = Split(hub="lmms-lab/ChartQA", split="test", stems=("test", "items"))


def _samples(data: Data, variant: str) -> Iterator[Sample]:
    seen: Counter[str] = Counter()
    for row in data.rows(ROWS, required=("type", "answer")):
        part = str(row["type"]).removesuffix("_test")
        seen[part] += 1
        if part != variant:
            continue
        parts: tuple[Part, ...] = (Text(str(row["question"])),) if row.get("question") else ()
        picture = image(data, row["image"]) if parts and row.get("image") else None
        yield Sample(
            id=str(row.get("id") or f"{part}-{seen[part] - 1}"),
            question=parts if picture is None else (picture, *parts),
            target=str(row["answer"]).strip(),
            group=part,
        )


def _ask(sample: Sample, words: str) -> Prompt:
    pictures = [part for part in sample.question if not isinstance(part, Text)]
    return Prompt(messages=(Message("user", (*pictures, Text(f"{plain_text(sample.question)}\n{words}"))),))


SHORT = "Answer with a single word or phrase and nothing else."
WORDS = sentences(
    Swap(ours=f"\n{SHORT}", theirs=(Place("dataset/image_vqa.py", "ImageVQADataset.build_prompt", 3),))
)


def _direct(sample: Sample, repeat: int) -> Prompt:
    return _ask(sample, SHORT)


def _reasoned(sample: Sample, repeat: int) -> Prompt:
    return _ask(
        sample, "Finish with a line of the form `Answer: X`, where X is a single word, phrase or number."
    )


def suite(variant: str = "human", protocol: str = "strict") -> Suite:
    """Give one part of the test split under a protocol."""
    official = protocol != "strict"
    drawn = INTERN_S1 if protocol == "intern-s1" else Sampling(temperature=0.0, max_tokens=1024)
    return Suite(
        name="chartqa",
        variant=variant,
        protocol=protocol,
        version=VERSION,
        samples=lambda data: _samples(data, variant),
        prompter=lambda data: _direct if official else _reasoned,
        ideal=lambda sample, prompt: str(sample.target) if official else f"Answer: {sample.target}",
        scorers={"relaxed": Relaxed() if official else Stated()},
        metrics=accuracy(),
        sampling=drawn if official else Sampling(temperature=0.0, max_tokens=32_768),
        needs=NEEDS,
        words=WORDS if protocol == "intern-s1" else None,
        licence="GPL-3.0",
        cite="arXiv 2203.10244",
    )
