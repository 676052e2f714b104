"""VizWiz (Gurari et al., arXiv 1802.08218), validation: questions by blind people about photos they took, ten answers each.

Many photos do not show the answer, and most of their annotators wrote "unanswerable". `official` follows VLMEvalKit's
data-set class, which adds no instruction to the question; VLMEvalKit's wrappers for Qwen2-VL and InternVL add further
sentences (`qwen2-vl`, `internvl`), so published scores of different models are based on different prompts. See
evals/short_answers.py for the protocols.
"""

from evals import short_answers
from evals.data import Split
from evals.prompts import question_prompt
from evals.short_answers import short_answer_benchmark

BENCHMARK = short_answer_benchmark(
    "vizwiz",
    Split(hub="lmms-lab/VizWiz-VQA", split="val", stems=("val", "VizWiz", "items")),
    title="VizWiz: 4,319 questions by blind people about their photos, ten answers each (arXiv 1802.08218).",
    rows=4_319,
    id_column="question_id",
    group=lambda row: str(row.get("category") or ""),
    rule="vqa",
    protocols=short_answers.protocols("vqa")
    | {
        "official": short_answers.whole_reply("vqa", prompt=question_prompt, upstream=None),
        "internvl": short_answers.whole_reply("vqa", upstream=short_answers.INTERNVL),
    },
    licence="CC-BY-4.0",
    cite="arXiv 1802.08218",
)
