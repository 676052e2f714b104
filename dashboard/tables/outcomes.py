"""Counts of a run's outcomes, with the kinds of wrong molecules and numbers."""

from __future__ import annotations

from evals.dashboard.tables.frames import Entry, query
from evals.scorers.molecule_match import RUNGS

RUNG_LABELS = {
    "none": "wrong: another molecule",
    "tautomer": "wrong: tautomer",
    "parent": "wrong: salt, charge or isotope",
    "no_stereo": "wrong: stereochemistry",
}
"""Strictest level at which a wrong molecule matches the gold molecule (`parts.rung` of its score) -> outcome."""
OUTCOMES = (
    "right", "graded", "wrong", "wrong: stereochemistry", "wrong: salt, charge or isotope", "wrong: tautomer",
    "wrong: another molecule", "wrong: sign", "wrong: power of ten", "wrong: unit", "invalid", "unanswered", "refused",
    "truncated", "infrastructure", "absent",
)  # fmt: skip
"""Outcomes from best to worst; outcomes that are not caused by the model come last."""


def count_outcomes(entry: Entry) -> dict[str, int]:
    """Return the number of sample-repeats by outcome; wrong molecules and numbers are counted by kind of error."""
    rung_cases = " ".join(f"WHEN {RUNGS[name]} THEN '{label}'" for name, label in RUNG_LABELS.items())
    frame = query(
        entry.path,
        f"""
        WITH answers AS (
            SELECT r.verdict, TRY_CAST(r.answer AS DOUBLE) AS answer, TRY_CAST(trim(s.target, '"') AS DOUBLE) AS target,
                TRY_CAST(json_extract(r.scores, '$.*.parts.rung')[1] AS DOUBLE) AS rung,
                json_extract_string(r.scores, '$.*.why')[1] AS why
            FROM records r JOIN samples s ON s.id = r.sample)
        SELECT CASE
            WHEN verdict LIKE 'failed%' THEN 'infrastructure'
            WHEN verdict <> 'wrong' THEN verdict
            WHEN rung IS NOT NULL THEN CASE rung {rung_cases} ELSE 'wrong' END
            WHEN why LIKE 'stated in %' THEN 'wrong: unit'
            WHEN target IS NULL OR answer IS NULL OR target = 0 OR answer = 0 THEN 'wrong'
            WHEN abs(answer + target) <= 0.01 * abs(target) THEN 'wrong: sign'
            WHEN answer / target > 0 AND abs(round(log10(answer / target))) >= 1
                AND abs(log10(answer / target) - round(log10(answer / target))) < 0.005 THEN 'wrong: power of ten'
            ELSE 'wrong' END AS outcome, count(*) AS n
        FROM answers GROUP BY outcome""",
    )
    counts = {str(outcome): int(n) for outcome, n in zip(frame["outcome"], frame["n"], strict=True)}
    if absent := entry.card.expected - sum(counts.values()):
        counts["absent"] = max(0, absent)
    return {outcome: counts[outcome] for outcome in OUTCOMES if counts.get(outcome)}
