"""Recognition of copied replies by hashes, without keeping texts.

Short answers agree by nature, so only replies of `LONG` characters and more are compared text by text: two models do
not write 200 identical characters by chance, except where a template prescribes them. Runs of short replies are
compared as a whole: equal answers to every item, many of them wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from evals.board.results import Fingerprint
from evals.types import Record, Reply, Score

LONG = 200
"""Smallest number of characters of a reply that is compared by its text."""
MAXIMUM = 1024
"""Largest number of replies whose hashes are kept: those whose sample and repeat hash lowest, the same for all entries."""
COPIED_SHARE = 0.02
COPIED_NUMBER = 5
"""Replies count as copied if at least this share, and this number, of the long ones is identical."""
WRONG = 20
"""Smallest number of wrong answers for which equal answers count as copied."""


def _hash(text: str, digits: int) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:digits]


def fingerprint(records: Iterable[Record]) -> Fingerprint:
    """Return the fingerprint of a run's records."""
    answers: list[str] = []
    long_replies: list[tuple[str, str]] = []
    wrong = 0
    for record in records:
        score = next(iter(record.scores.values()), None)
        if not isinstance(record.outcome, Reply) or not isinstance(score, Score):
            continue
        answers.append(f"{record.sample}\t{record.repeat}\t{score.answer}\t{score.value}")
        wrong += score.verdict != "right" and score.value != 1.0
        text = " ".join(record.outcome.text.split())
        if len(text) >= LONG:
            long_replies.append((_hash(f"{record.sample}\t{record.repeat}", 12), _hash(text, 16)))
    long_replies.sort()
    return Fingerprint(
        answers=_hash("\n".join(sorted(answers)), 64), wrong=wrong, long_replies=dict(long_replies[:MAXIMUM])
    )


def copied(own: Fingerprint, other: Fingerprint) -> str:
    """Return why the replies of one run are taken for copies of another's; empty if they are not."""
    common = own.long_replies.keys() & other.long_replies.keys()
    identical = sum(own.long_replies[key] == other.long_replies[key] for key in common)
    if identical >= max(COPIED_NUMBER, COPIED_SHARE * len(common)):
        return f"{identical} of {len(common)} long replies are identical"
    if own.answers == other.answers and min(own.wrong, other.wrong) >= WRONG:
        return f"all answers are identical, {own.wrong} wrong ones too"
    return ""
