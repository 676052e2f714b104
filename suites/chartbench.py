"""ChartBench (Xu et al., arXiv 2312.15915): 2,100 charts of 42 kinds, most without value labels.

Each chart has a true and a false assertion for each of four tasks (CR: chart type, VE: a value, VC: a comparison, GC:
an extreme) and a question whose answer is a number (NQA). Acc+ requires both assertions of a pair to be judged
correctly; CoR counts the pairs whose two assertions get the same answer. Intervals are clustered by chart. `official`
and `intern-s1` follow the authors' rule with its defects; `strict` corrects them (evals/scorers/chartbench.py). The
paper reports Acc+ and NQA separately; the authors' script has pooled them as `final` since March 2025, and so does
VLMEvalKit (here `pooled`). Both extract numbers with a language model; here only the judge of `intern-s1` does so. An
empty reply, which upstream counts as "no", is unanswered here. Upstream has ten prompts; `official` uses the one with
which the authors' published replies were generated. Under `intern-s1` the prompt is only the data set's question and
the judge only extracts a number, so there is no `intern-s1~`.

Rows are the authors' (test.jsonl, test_mini.jsonl: id, image, type, conversation) or VLMEvalKit's (index, question,
answer, QA_type, task, image). Sample ids are VLMEvalKit's: item and position of the assertion, `17_0` and `17_1`. Row
counts follow from the ids: 42 chart types x 50 charts (mini: 5) x 9 questions.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from evals.benchmark import Benchmark, Protocol, Variant, gold_answer
from evals.data import Data, Row, Split
from evals.data.media import with_image
from evals.errors import DataError
from evals.prompts import ask_with_images, plain_text, question_prompt
from evals.scorers.chartbench import YES_NO, Published, Strict, metrics
from evals.scorers.judge.judged import Judged
from evals.suite import INTERN_S1
from evals.types import Prompt, Sample, Sampling

STEMS = {"test": ("test", "ChartBench", "items"), "mini": ("test_mini", "mini", "items")}


def _rows(data: Data, variant: str) -> Iterator[Row]:
    """Yield one row per question, with VLMEvalKit's columns; rows with the same `chart` share an image."""
    if data.origin == "hub":
        raise DataError(
            "chartbench: its images are in an archive: unpack SincereX/ChartBench and pass its folder with --data DIR "
            "(DIR/chartbench/test.jsonl and data/test/...), or try --sample"
        )
    for row in data.rows(Split(hub="SincereX/ChartBench", stems=STEMS[variant])):
        if "conversation" not in row:
            missing = [column for column in ("index", "answer", "task") if column not in row]
            if missing:
                raise DataError(
                    f"chartbench: a row lacks column {missing[0]!r}; it has {', '.join(sorted(row))}"
                )
            task = "NQA" if row.get("QA_type") in ("GPT-acc", "NQA") else row["task"]
            yield {**row, "task": task, "chart": str(row["index"]).partition("_")[0]}
            continue
        chart_type = row["type"]
        for position, turn in enumerate(row["conversation"]):
            yield {
                "index": f"{row['id']}_{position}",
                "question": turn.get("query"),
                "answer": turn["label"],
                "task": chart_type["task"],
                "chart_type": chart_type["image"],
                "image": row.get("image"),
                "chart": row.get("image") or row["id"],
            }


def _samples(data: Data, variant: str) -> Iterator[Sample]:
    item_by_chart_and_task: dict[tuple[str, str], str] = {}
    for row in _rows(data, variant):
        sample_id, chart, task = str(row["index"]), str(row["chart"]), str(row["task"])
        item = sample_id.partition("_")[0]
        if item_by_chart_and_task.setdefault((chart, task), item) != item:
            raise DataError(
                f"chartbench: {chart} has two items of task {task}, {item_by_chart_and_task[chart, task]} and {item}"
            )
        yield Sample(
            id=sample_id,
            question=with_image(data, row.get("question"), row.get("image")),
            target=_target(row),
            group=task,
            cluster=chart,
            meta={"kind": str(row.get("chart_type") or "")},
        )


def _target(row: Row) -> str | tuple[str, ...]:
    """Return the gold answer: yes, no, a number, or several acceptable answers (a list in upstream's data)."""
    answer = row["answer"]
    if isinstance(answer, str) and answer.startswith("["):
        try:
            answer = ast.literal_eval(answer)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise DataError(
                f"chartbench: {row['index']}: the gold answer {answer[:80]!r} is not a list"
            ) from None
    golds = tuple(str(a).strip() for a in answer) if isinstance(answer, list) else (str(answer).strip(),)
    if row["task"] != "NQA" and golds[0].lower() not in YES_NO:
        raise DataError(f"chartbench: {row['index']}: the gold answer {golds[0]!r} is neither yes nor no")
    if len(golds) > 1:
        return golds
    return golds[0] if row["task"] == "NQA" else golds[0].lower()


def _official_prompt(sample: Sample, repeat: int) -> Prompt:
    text = plain_text(sample.question)
    if sample.target in YES_NO:
        return ask_with_images(sample, f"Statement: {text} Is it right? Reply with yes or no.")
    return ask_with_images(sample, f"{text}\nReply with a single word or number.")


def _strict_prompt(sample: Sample, repeat: int) -> Prompt:
    text = plain_text(sample.question)
    if sample.target in YES_NO:
        return ask_with_images(
            sample,
            f"Is this statement about the chart true?\n{text}\n\nFinish with `Answer: Yes` or `Answer: No`.",
        )
    return ask_with_images(
        sample, f"{text}\n\nFinish with a line of the form `Answer: X`, where X is a number."
    )


BENCHMARK = Benchmark(
    name="chartbench",
    title="ChartBench: paired assertions and numeric questions about 2,100 charts, most without value labels (arXiv 2312.15915).",
    version="3",
    variants={"test": Variant(18_900), "mini": Variant(1_890)},
    default=("test",),
    samples=_samples,
    protocols={
        "strict": Protocol(
            prompt=_strict_prompt,
            scorers={"answer": Strict()},
            metrics=metrics(pool=False),
            ideal=lambda sample, prompt: f"Answer: {sample.targets[0]}",
            chance=0.25,
        ),
        "official": Protocol(
            prompt=_official_prompt,
            scorers={"answer": Published()},
            metrics=metrics(pool=False),
            sampling=Sampling(temperature=0.0, max_tokens=1_024),
            chance=0.25,
        ),
        "intern-s1": Protocol(
            prompt=question_prompt,
            verbatim=True,
            scorers={"answer": Judged(rule=Published(bare=True), mode="rest", template_name="answer")},
            metrics=metrics(pool=True),
            sampling=INTERN_S1,
        ),
    },
    ideal=gold_answer,
    needs=frozenset({"image"}),
    licence="MIT",
    cite="arXiv 2312.15915",
)
