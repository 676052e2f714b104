"""InfographicVQA (Mathew et al., arXiv 2104.12756), validation: questions about infographics; the test split has no public answers.

See evals/short_answers.py for the protocols; the value of a reply is its similarity to the nearest gold answer (ANLS).
"""

from evals.data import Split
from evals.short_answers import first_item, short_answer_benchmark

BENCHMARK = short_answer_benchmark(
    "infovqa",
    Split(
        hub="lmms-lab/DocVQA",
        config="InfographicVQA",
        split="validation",
        stems=("InfographicVQA/validation", "InfoVQA_VAL", "validation", "items"),
        rows=2_801,
    ),
    title="InfographicVQA: 2,801 questions about infographics, validation (Mathew et al., arXiv 2104.12756).",
    rows=2_801,
    id_column="questionId",
    group=first_item("answer_type"),
    cluster_column="image_url",
    rule="anls",
    licence="Apache-2.0 as stated on the hub; terms of the documents not stated",
    cite="arXiv 2104.12756",
)
