"""Shared code of the suites with short answers about an image (GQA, VizWiz, TextVQA, OCR-VQA, DocVQA, InfographicVQA).

`official` follows VLMEvalKit: the prompt is the question and a sentence that asks for a word or a phrase, and the whole
reply is compared with the gold answers (evals/scorers/upstream/vqa.py). `qwen2-vl` does the same with the sentence and the
sampling of VLMEvalKit's wrapper for Qwen2-VL. Both sentences are read from VLMEvalKit's wheel; `official~` and `qwen2-vl~`
use our own. `strict` asks for a line `Answer: X` and scores the stated answer. To show what words around the answer cost,
every run also reports the other score: `..._stated` under `official` and `qwen2-vl`, `..._whole` under `strict`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

from evals.benchmark import Benchmark, Protocol, Variant
from evals.data import Data, Row, Split
from evals.data.media import with_image
from evals.errors import DataError
from evals.plain import either
from evals.prompts import template
from evals.prompts.upstream import UpstreamPrompts
from evals.prompts.upstream.sentences import Replacement, TextLocation, sentence_prompts
from evals.report.metrics import mean_value
from evals.scorers.short_answers import StatedShortAnswer
from evals.scorers.upstream.chartqapro import parse_list_literal
from evals.scorers.upstream.vqa import Anls, VqaScore, WholeReply, vqa_score
from evals.types import Metric, Prompter, Sample, Sampling, Scorer

RuleName: TypeAlias = Literal["vqa", "text", "anls"]
RULES: Mapping[RuleName, tuple[str, Scorer]] = {
    "vqa": ("vqa_score", VqaScore()),
    "text": ("accuracy", WholeReply()),
    "anls": ("anls", Anls()),
}
"""Rule -> name of its metric, and scorer of whole replies."""
INSTRUCTION = "\nReply with one word or a short phrase, and nothing else."
GREEDY = Sampling(temperature=0.0, max_tokens=2_048)
QWEN2_VL_SAMPLING = Sampling(temperature=0.01, top_p=0.001, max_tokens=2_048)
"""Sampling of VLMEvalKit's wrapper for Qwen2-VL."""


def _upstream_instruction(*location: Any) -> UpstreamPrompts:
    return sentence_prompts(Replacement(own_text=INSTRUCTION, upstream_texts=(TextLocation(*location),)))


DATA_SET = _upstream_instruction("dataset/image_vqa.py", "ImageVQADataset.build_prompt", 3)
QWEN2_VL = _upstream_instruction("vlm/qwen2_vl/prompt.py", "Qwen2VLPromptMixin._build_vqa_prompt")
INTERNVL = _upstream_instruction("vlm/internvl/internvl_chat.py", "InternVLChat.build_prompt", 57)
"""VLMEvalKit's instructions: for these data sets in general, and those of its wrappers for Qwen2-VL and InternVL."""


SHORT_ANSWER_PROMPT = template(f"{{question}}{INSTRUCTION}")
ANSWER_LINE_PROMPT = template(
    "{question}\nFinish with a line of the form `Answer: X`, where X is a word or a short phrase."
)


def whole_reply(
    rule: RuleName,
    *,
    prompt: Prompter = SHORT_ANSWER_PROMPT,
    upstream: UpstreamPrompts | None = DATA_SET,
    sampling: Sampling = GREEDY,
) -> Protocol:
    """Return a protocol that scores whole replies; `upstream`: None if the prompt contains the sample's data alone."""
    scorers: dict[str, Scorer] = {"whole": RULES[rule][1], "stated": StatedShortAnswer(rule)}
    return _protocol(
        rule, scorers, prompt=prompt, upstream=upstream, verbatim=upstream is None, sampling=sampling
    )


def stated_answer(rule: RuleName) -> Protocol:
    """Return a protocol that scores the stated answer."""
    return _protocol(
        rule, {"stated": StatedShortAnswer(rule), "whole": RULES[rule][1]}, prompt=ANSWER_LINE_PROMPT
    )


def _protocol(rule: RuleName, scorers: Mapping[str, Scorer], **options: Any) -> Protocol:
    """Return a protocol whose headline metric is the mean score of the first of two scorers."""
    metric, second_scorer = RULES[rule][0], list(scorers)[1]
    return Protocol(
        scorers=scorers,
        metrics=(
            Metric(name=metric, of=mean_value, headline=True),
            Metric(name=f"{metric}_{second_scorer}", of=mean_value, scorer=second_scorer),
        ),
        why_unsolvable=too_little_agreement if rule == "vqa" else None,
        **options,
    )


def protocols(rule: RuleName) -> dict[str, Protocol]:
    """Return the protocols of a suite whose data set asks for short answers."""
    return {
        "strict": stated_answer(rule),
        "official": whole_reply(rule),
        "qwen2-vl": whole_reply(rule, upstream=QWEN2_VL, sampling=QWEN2_VL_SAMPLING),
    }


def best_answer(sample: Sample) -> str:
    """Return the gold answer with the highest score, i.e. the one on which most annotators agree."""
    return max(sample.targets, key=lambda gold: vqa_score(sample.targets, gold))


def too_little_agreement(sample: Sample) -> str:
    """Return why no reply can get the full score (too few annotators agree on any answer); empty if one can."""
    is_solvable = vqa_score(sample.targets, best_answer(sample)) == 1
    return "" if is_solvable else "fewer than four annotators agree on an answer"


def gold_answers(row: Row, *columns: str, suite: str, sample_id: str) -> str | tuple[str, ...]:
    """Return the gold answers in the first of `columns` that a row has: a list, a list as a Python literal, or one answer."""
    column = next((column for column in columns if row.get(column) is not None), None)
    if column is None:
        raise DataError(f"{suite}: {sample_id}: there is no gold answer in {either(map(repr, columns))}")
    value = row[column]
    answers = parse_list_literal(value) if isinstance(value, str) else value
    if not isinstance(answers, list | tuple):
        return str(value)
    if not answers:
        raise DataError(f"{suite}: {sample_id}: the column {column!r} contains no gold answer")
    golds = tuple(map(str, answers))
    return golds[0] if len(golds) == 1 else golds


def short_answer_benchmark(
    name: str,
    split: Split,
    *,
    id_column: str,
    rows: int,
    rule: RuleName,
    group: Callable[[Row], str] = lambda row: "",
    cluster_column: str = "",
    **fields: Any,
) -> Benchmark:
    """Return the benchmark for a data set with a question, its answers and an image in every row.

    `fields`: further fields of the benchmark.
    """

    def samples(data: Data, variant: str = "") -> Iterator[Sample]:
        for position, row in enumerate(data.rows(split)):
            sample_id = str(row.get(id_column) or row.get("index") or position)
            yield Sample(
                id=sample_id,
                question=with_image(data, row.get("question"), row.get("image"), required=True),
                target=gold_answers(row, "answers", "answer", suite=name, sample_id=sample_id),
                group=group(row),
                cluster=str(row.get(cluster_column) or ""),
            )

    defaults: dict[str, Any] = {"protocols": protocols(rule), "needs": frozenset({"image"})}
    return Benchmark(
        name=name,
        variants={"": Variant(rows)},
        samples=samples,
        ideal=lambda sample, prompt: best_answer(sample),
        **defaults | fields,
    )


def first_item(column: str) -> Callable[[Row], str]:
    """Return a function from a row to the first item of the list in a column; empty for a string or an empty list."""

    def item(row: Row) -> str:
        values = row.get(column) or ()
        return "" if isinstance(values, str) else ", ".join(map(str, values[:1]))

    return item
