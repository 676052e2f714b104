"""Checks that detect a broken run while it is in progress.

    empty      every reply that was not filtered is empty, e.g. because the server's parser puts all text in the reasoning
    truncated  every reply is truncated
    same       every reply is the same text
    unread     at least 95 % of the first 50 scored replies contain no answer that could be extracted

`empty` is a fault, which makes the score meaningless; the others are warnings. Findings are stored on the card
(`Card.health`), and shown by `evals show` and the dashboard.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import blake2b

from evals.plain import count_of
from evals.records.card import Finding
from evals.types import TOOL_CALLS, UNKNOWN_FINISH, Record, Reply, Score

MIN_REPLIES = 5
"""Minimum number of replies for `empty` and `truncated`."""
MIN_REPLIES_SAME = 10
"""Minimum number of replies for `same`."""
UNREAD_WINDOW = 50
"""Number of scored replies at the beginning of a run from which `unread` is computed."""
MIN_UNREAD_FRACTION = 0.95
"""Fraction of the replies in this window without an answer at which `unread` is reported."""
EXEMPT = frozenset({"scripted", "baseline", "replay", "function", "tokens"})
"""Adapters whose models may give identical or empty replies on purpose."""
_FINISH_NOTE = re.compile(
    r"[\d,]+ repl(?:y|ies) ended (?:in a tool call|for an unknown reason), |no finish reason for [\d,]+ repl(?:y|ies): "
)
"""Matches the notes of `Health.finish_notes`, which count the replies of all sessions."""


class Health:
    """Checks the replies of one run, record by record."""

    def __init__(self, *, enabled: bool = True) -> None:
        """`enabled`: whether there may be findings; see `is_checked`. Finish reasons are counted in any case."""
        self._enabled = enabled
        self._replies = self._unfiltered = self._empty = self._reasoning_only = self._truncated = 0
        self._first_digest: bytes | None = None
        self._all_identical = True
        self._unread = self._scored = 0
        self._finish_reasons: Counter[str] = Counter()
        """Counts of finish reasons other than stop, length and filter."""
        self.findings: tuple[Finding, ...] = ()
        """The findings so far."""

    def add(self, record: Record) -> list[Finding]:
        """Add a record and return the findings that are new."""
        reply = record.outcome
        if not isinstance(reply, Reply):
            return []
        self._replies += 1
        if reply.finish:
            self._finish_reasons[reply.finish] += 1
        self._truncated += reply.stop == "length"
        if reply.stop != "filter":
            self._unfiltered += 1
            is_empty = not reply.text.strip()
            self._empty += is_empty
            self._reasoning_only += is_empty and bool(reply.reasoning and reply.reasoning.strip())
        if self._all_identical:
            digest = blake2b(reply.text.encode("utf-8", "replace"), digest_size=16).digest()
            self._first_digest = self._first_digest or digest
            self._all_identical = digest == self._first_digest
        score = next(iter(record.scores.values()), None)
        if isinstance(score, Score) and self._scored < UNREAD_WINDOW:
            self._scored += 1
            self._unread += score.verdict == "unanswered"
        reported = {finding.kind for finding in self.findings}
        self.findings = tuple(self._current_findings()) if self._enabled else ()
        return [finding for finding in self.findings if finding.kind not in reported]

    def notes_of_all_sessions(self, earlier: Sequence[str], new: Sequence[str]) -> tuple[str, ...]:
        """Return the notes for the card of a run: of earlier sessions, of the new one, and on finish reasons."""
        kept = (note for note in earlier if not _FINISH_NOTE.match(note))
        return tuple(dict.fromkeys((*kept, *new, *self.finish_notes())))

    def finish_notes(self) -> list[str]:
        """Return a note for the card on each unusual finish reason; the most frequent reason comes first."""
        notes = []
        for finish, count in self._finish_reasons.most_common():
            reason = finish.removeprefix(UNKNOWN_FINISH)
            subject = count_of(count, "reply", "replies")
            if finish == TOOL_CALLS:
                notes.append(f"{subject} ended in a tool call, although no tool was offered")
            elif reason == "none given":
                notes.append(f"no finish reason for {subject}: it is unknown whether any is truncated")
            else:
                notes.append(f"{subject} ended for an unknown reason, {reason!r}: taken as complete")
        return notes

    def _current_findings(self) -> Iterable[Finding]:
        """Yield the findings on all records so far."""
        if self._replies < MIN_REPLIES:
            return
        all_replies = f"{self._replies} of {self._replies} replies"
        if self._truncated == self._replies:
            yield Finding(
                kind="truncated",
                message=f"{all_replies} are truncated: --max-tokens is too small for this model",
            )
        elif self._unfiltered >= MIN_REPLIES and self._empty == self._unfiltered:
            cause = (
                "with all text in the reasoning: check the server's reasoning parser"
                if self._reasoning_only
                else "check the server's parser or chat template"
            )
            message = f"{self._empty} of {self._replies} replies are empty, {cause}"
            yield Finding(kind="empty", message=message, fault=True)
            return
        if self._replies >= MIN_REPLIES_SAME and self._all_identical:
            yield Finding(kind="same", message=f"{all_replies} are identical")
        if self._scored >= UNREAD_WINDOW and self._unread >= MIN_UNREAD_FRACTION * UNREAD_WINDOW:
            yield Finding(
                kind="unread",
                message=f"no answer could be extracted from {self._unread} of the first {self._scored} replies",
            )


def is_checked(spec: str) -> bool:
    """Return whether runs of this model are checked; adapters in `EXEMPT` are not."""
    return spec.partition(":")[0] not in EXEMPT
