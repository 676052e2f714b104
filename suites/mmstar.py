"""MMStar (Chen et al., arXiv 2403.20330).

The four options are part of the question's text, or in columns A to D. `official` parses only the beginning of a reply, as
the authors do (MMStar-Benchmark/MMStar @ 88f243ab, eval/vlmeval/evaluate/mmstar.py): models that reason first score almost
0. `intern-s1` follows VLMEvalKit, which produced the published Intern-S1 scores (evals/scorers/upstream/inferred.py: a
rule reads the option, or a judge model if the rule cannot), and `intern-s1-exact` is VLMEvalKit's exact matching without a
judge. `strict` needs a stated option. VLMEvalKit's instruction to choose, and its judge prompt, are read from its wheel (`intern-s1~`: reworded).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from evals.benchmark import Benchmark, Protocol, Variant, gold_answer
from evals.data import Data, Row, Split
from evals.data.media import with_image
from evals.prompts import ANSWER_LINE, images_first, images_of, option_block, plain_text, template
from evals.prompts.upstream.sentences import OPTION_JUDGE, SELECT_OPTION, TextLocation, sentence_prompts
from evals.scorers.choice import Choice, StatedChoice
from evals.scorers.upstream.inferred import Inferred, closest_option
from evals.suite import INTERN_S1
from evals.types import Prompt, Sample, Sampling, Scorer, Text

ROWS = Split(hub="Lin-Chen/MMStar", split="val", stems=("val", "mmstar", "items"), rows=1_500)
_OPTION_LIST = re.compile(
    r"Options:\s*\(?A[:.)]\s*(?>(.*?)[,;\n]\s*\(?B[:.)]\s*)(?>(.*?)[,;\n]\s*\(?C[:.)]\s*)(?>(.*?)[,;\n]\s*\(?D[:.)]\s*)(.*)\Z",
    re.DOTALL,
)
MAX_OPTION_LIST_LENGTH = 4_000
"""Number of characters at the end of a question that are searched for the list of options."""
ANSWER_PREFIXES = ("", "(", "option ", "the answer is ")


def _samples(data: Data, variant: str = "") -> Iterator[Sample]:
    for row in data.rows(ROWS, required=("index", "answer", "category")):
        yield Sample(
            id=str(row["index"]),
            question=with_image(data, row.get("question"), row.get("image")),
            target=str(row["answer"]).strip().upper(),
            choices=_choices(row),
            group=str(row["category"]),
            meta={"axis": str(row.get("l2_category", ""))},
        )


def _choices(row: Row) -> tuple[str, ...]:
    """Return the options' texts from columns or from the question; their letters if neither has them."""
    if all(row.get(letter) not in (None, "") for letter in "ABCD"):
        return tuple(str(row[letter]) for letter in "ABCD")
    return _split_options(str(row.get("question") or ""))[1] or ("A", "B", "C", "D")


def _split_options(question: str) -> tuple[str, tuple[str, ...]]:
    """Return the question without its list of options, and the options; the question unchanged and no options if it has no list."""
    options_list = _OPTION_LIST.search(question, max(0, len(question) - MAX_OPTION_LIST_LENGTH))
    if options_list is None:
        return question, ()
    *first_three, last = options_list.groups()
    return question[: options_list.start()].rstrip(), (*first_three, last.rstrip())


def beginning(text: str, count: int) -> str | None:
    """Return the letter at the start of a reply, after one of upstream's prefixes; "A cat" is read as A."""
    lowered = text[:200].lower().strip().replace("\n", " ")
    for prefix in ANSWER_PREFIXES:
        letter = lowered[len(prefix) : len(prefix) + 1]
        if lowered.startswith(prefix) and letter in ("a", "b", "c", "d"):
            return letter.upper()
    return None


OFFICIAL_PROMPT = "{question}\nChoose the right one of the options and begin your reply with its letter."


def _vlmevalkit_prompt(sample: Sample, repeat: int) -> Prompt:
    """Return the prompt in VLMEvalKit's layout, with the options after the question."""
    question, has_texts = plain_text(sample.question), sample.choices != ("A", "B", "C", "D")
    option_lines = option_block(sample.choices if has_texts else ())
    return images_first(
        [
            *images_of(sample),
            Text(f"Question: {_split_options(question)[0] if has_texts else question}{option_lines}"),
        ]
    )


def _vlmevalkit(scorer: Scorer, judge: tuple[TextLocation, ...] = ()) -> Protocol:
    return Protocol(
        prompt=_vlmevalkit_prompt,
        upstream=sentence_prompts(SELECT_OPTION, judge=judge),
        scorers={"choice": scorer},
        sampling=INTERN_S1,
        ideal=gold_answer,
    )


BENCHMARK = Benchmark(
    name="mmstar",
    title="MMStar: 1,500 questions that cannot be answered without the image, 6 capabilities (Chen et al., arXiv 2403.20330).",
    version="2",
    variants={"": Variant(1_500)},
    samples=_samples,
    protocols={
        "strict": Protocol(
            prompt=template(f"{{question}}\nFinish with {ANSWER_LINE}"), scorers={"choice": StatedChoice()}
        ),
        "official": Protocol(
            prompt=template(OFFICIAL_PROMPT),
            scorers={"choice": Choice(beginning)},
            sampling=Sampling(temperature=0.0, max_tokens=32),
            ideal=gold_answer,
        ),
        "intern-s1": _vlmevalkit(closest_option(), OPTION_JUDGE),
        "intern-s1-exact": _vlmevalkit(Inferred(exact=True)),
    },
    needs=frozenset({"image"}),
    chance=0.25,
    licence="CC-BY-NC-SA-4.0",
    cite="arXiv 2403.20330",
)
