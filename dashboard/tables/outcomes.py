"""Outcomes of a run's samples, in the order of an error ladder."""

from __future__ import annotations

from evals.dashboard.tables.frames import Entry, query
from evals.scorers.molecule_match import RUNGS

RUNG_WORDS = {
    "none": "wrong: another molecule",
    "tautomer": "wrong: tautomer",
    "parent": "wrong: salt, charge or isotope",
    "no_stereo": "wrong: stereo",
}
STEPS = (
    "right", "graded", "wrong", "wrong: stereo", "wrong: salt, charge or isotope", "wrong: tautomer",
    "wrong: another molecule", "wrong: sign", "wrong: power of ten", "wrong: unit", "invalid", "unanswered", "refused",
    "truncated", "infrastructure", "absent",
)  # fmt: skip
"""The error ladder from the top; what is not the model's fault comes last."""


def ladder(entry: Entry) -> dict[str, int]:
    """Count the outcomes of all expected sample-repeats; wrong molecules by rung, wrong numbers by kind of error."""
    rungs = " ".join(f"WHEN {RUNGS[name]} THEN '{words}'" for name, words in RUNG_WORDS.items())
    steps = query(
        entry.path,
        f"""
        WITH judged AS (
            SELECT r.verdict, TRY_CAST(r.answer AS DOUBLE) AS answer, TRY_CAST(trim(s.target, '"') AS DOUBLE) AS target,
                TRY_CAST(json_extract(r.scores, '$.*.parts.rung')[1] AS DOUBLE) AS rung,
                json_extract_string(r.scores, '$.*.why')[1] AS why
            FROM records r JOIN samples s ON s.id = r.sample)
        SELECT CASE
            WHEN verdict LIKE 'failed%' THEN 'infrastructure'
            WHEN verdict <> 'wrong' THEN verdict
            WHEN rung IS NOT NULL THEN CASE rung {rungs} ELSE 'wrong' END
            WHEN why LIKE 'stated in %' THEN 'wrong: unit'
            WHEN target IS NULL OR answer IS NULL OR target = 0 OR answer = 0 THEN 'wrong'
            WHEN abs(answer + target) <= 0.01 * abs(target) THEN 'wrong: sign'
            WHEN answer / target > 0 AND abs(round(log10(answer / target))) >= 1
                AND abs(log10(answer / target) - round(log10(answer / target))) < 0.005 THEN 'wrong: power of ten'
            ELSE 'wrong' END AS step, count(*) AS n
        FROM judged GROUP BY step""",
    )
    counts = {str(step): int(n) for step, n in zip(steps["step"], steps["n"], strict=True)}
    if absent := entry.card.expected - sum(counts.values()):
        counts["absent"] = max(0, absent)
    return {step: counts[step] for step in STEPS if counts.get(step)}
