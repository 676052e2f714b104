"""DocVQA (Mathew et al., arXiv 2007.00398), validation: questions about scanned pages; the test split has no public answers.

See evals/short_answers.py for the protocols; the value of a reply is its similarity to the nearest gold answer (ANLS).
"""

from evals.data import Split
from evals.short_answers import first_item, short_answer_benchmark

BENCHMARK = short_answer_benchmark(
    "docvqa",
    Split(
        hub="lmms-lab/DocVQA",
        config="DocVQA",
        split="validation",
        stems=("DocVQA/validation", "DocVQA_VAL", "validation", "items"),
        rows=5_349,
    ),
    title="DocVQA: 5,349 questions about scanned pages, validation (Mathew et al., arXiv 2007.00398).",
    rows=5_349,
    id_column="questionId",
    group=first_item("question_types"),
    cluster_column="docId",
    rule="anls",
    licence="Apache-2.0 as stated on the hub; terms of the documents not stated",
    cite="arXiv 2007.00398",
)
