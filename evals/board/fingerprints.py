"""Recognition of copied replies by their hashes, without storing texts.

Short replies often coincide, so only those of at least `MIN_LONG_CHARACTERS` are compared one by one: two models do not
write 200 identical characters by chance, unless a template prescribes them. Runs with short replies are compared as a
whole: a copy has the same answer to every item, including many wrong ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from evals.board.results import Fingerprint
from evals.types import Record, Reply, Score

MIN_LONG_CHARACTERS = 200
MAX_HASHED_REPLIES = 1024
"""Maximum number of long replies to hash: those with the lowest hashes of sample and repeat, the same in all entries."""
MIN_COPIED_SHARE = 0.02
MIN_COPIED_REPLIES = 5
"""Replies count as copied if at least this share and this number of the long ones are identical."""
MIN_WRONG_ANSWERS = 20
"""Minimum number of wrong answers in each of two runs; if there are fewer, equal answers do not count as copied."""


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
        if len(text) >= MIN_LONG_CHARACTERS:
            long_replies.append((_hash(f"{record.sample}\t{record.repeat}", 12), _hash(text, 16)))
    long_replies.sort()
    return Fingerprint(
        answers=_hash("\n".join(sorted(answers)), 64),
        wrong=wrong,
        long_replies=dict(long_replies[:MAX_HASHED_REPLIES]),
    )


def copy_evidence(first: Fingerprint, second: Fingerprint) -> str:
    """Return why the replies of one run appear to be copied from another; empty if they do not."""
    common = first.long_replies.keys() & second.long_replies.keys()
    identical = sum(first.long_replies[key] == second.long_replies[key] for key in common)
    if identical >= max(MIN_COPIED_REPLIES, MIN_COPIED_SHARE * len(common)):
        return f"{identical} of {len(common)} long replies are identical"
    if first.answers == second.answers and min(first.wrong, second.wrong) >= MIN_WRONG_ANSWERS:
        return f"all answers are identical, including {first.wrong} wrong ones"
    return ""
