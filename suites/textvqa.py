"""TextVQA (Singh et al., arXiv 1904.08920), validation: questions about text in photos, ten answers each.

As in VLMEvalKit, prompts do not contain the OCR tokens (`ocr_tokens`) that the data set provides; scores with them are
higher. See evals/short_answers.py for the protocols.
"""

from evals.data import Split
from evals.short_answers import short_answer_benchmark

BENCHMARK = short_answer_benchmark(
    "textvqa",
    Split(hub="lmms-lab/textvqa", split="validation", stems=("validation", "TextVQA_VAL", "items")),
    title="TextVQA: 5,000 questions about text in photos, ten answers each (Singh et al., arXiv 1904.08920).",
    rows=5_000,
    id_column="question_id",
    cluster_column="image_id",
    rule="vqa",
    licence="CC-BY-4.0",
    cite="arXiv 1904.08920",
)
