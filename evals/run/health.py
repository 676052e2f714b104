"""Checks for a broken run while it runs: replies emptied by the server's parser, all truncated, or all identical.

    empty      every reply is empty, or has all of its text in the reasoning: a fault, the score is meaningless
    truncated  every reply is truncated
    same       every reply is the same text
    unread     no answer was read in 95 % of the first replies

All but `empty` are warnings. Kept on the card (`Card.health`), shown by `evals show` and the dashboard.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from hashlib import blake2b
from typing import Literal

from msgspec import Struct

from evals.records.card import Finding
from evals.types import TOOL_CALLS, UNKNOWN_FINISH, Record, Reply, Score

FROM = 5
"""Minimum number of replies for `empty` and `truncated`."""
FROM_SAME = 10
"""Minimum number of replies for `same`."""
FIRST = 50
"""Number of replies that `unread` is computed from."""
UNREAD = 0.95
EXEMPT = frozenset({"scripted", "baseline", "replay", "function", "tokens"})
"""Adapters whose models may give identical or empty replies on purpose."""
Kind = Literal["empty", "truncated", "same", "unread"]


class Endings(Struct):
    """Counts of finish reasons other than stop, length and filter."""

    counts: Counter[str]

    def notes(self) -> list[str]:
        """Return notes for the card, the most frequent reason first."""
        notes = []
        for finish, count in self.counts.most_common():
            reason = finish.removeprefix(UNKNOWN_FINISH)
            many = f"{count} {'reply' if count == 1 else 'replies'}"
            if finish == TOOL_CALLS:
                notes.append(f"{many} ended in a tool call, although no tool was offered")
            elif reason == "none given":
                notes.append(f"{many} without a finish reason: whether truncated is unknown")
            else:
                notes.append(f"{many} ended for an unknown reason, {reason!r}: read as complete")
        return notes


class Health:
    """Checks the replies of one run, record by record."""

    def __init__(self, *, watched: bool = True) -> None:
        """`watched`: whether findings are reported, see `watched`."""
        self._watched = watched
        self._replies = self._own = self._empty = self._reasoned = self._truncated = 0
        self._first: bytes | None = None
        self._same = True
        self._unread = self._judged = 0
        self.endings = Endings(Counter())
        self.findings: tuple[Finding, ...] = ()
        """Current findings."""

    def add(self, record: Record) -> list[Finding]:
        """Add a record and return the findings that are new."""
        reply = record.outcome
        if not isinstance(reply, Reply):
            return []
        self._replies += 1
        if reply.finish:
            self.endings.counts[reply.finish] += 1
        self._truncated += reply.stop == "length"
        if reply.stop != "filter":
            self._own += 1
            empty = not reply.text.strip()
            self._empty += empty
            self._reasoned += empty and bool(reply.reasoning and reply.reasoning.strip())
        if self._same:
            digest = blake2b(reply.text.encode("utf-8", "replace"), digest_size=16).digest()
            self._first = self._first or digest
            self._same = digest == self._first
        score = next(iter(record.scores.values()), None)
        if isinstance(score, Score) and self._judged < FIRST:
            self._judged += 1
            self._unread += score.verdict == "unanswered"
        before = {finding.kind for finding in self.findings}
        self.findings = tuple(self._current_findings()) if self._watched else ()
        return [finding for finding in self.findings if finding.kind not in before]

    def _current_findings(self) -> Iterable[Finding]:
        if self._replies < FROM:
            return
        if self._truncated == self._replies:
            yield Finding(
                kind="truncated",
                message=f"{self._all} are truncated: --max-tokens is too small for this model",
            )
        elif self._own >= FROM and self._empty == self._own:
            where = (
                "their text is all in the reasoning: the server's reasoning parser?"
                if self._reasoned
                else "the server's parser or chat template?"
            )
            yield Finding(kind="empty", message=f"{self._all} are empty, {where}", fault=True)
            return
        if self._replies >= FROM_SAME and self._same:
            yield Finding(kind="same", message=f"{self._all} are identical")
        if self._judged >= FIRST and self._unread >= UNREAD * FIRST:
            yield Finding(
                kind="unread",
                message=f"no answer was read in {self._unread} of the first {self._judged} replies",
            )

    @property
    def _all(self) -> str:
        return f"{self._replies} of {self._replies} replies"


def watched(spec: str) -> bool:
    """Return whether runs of this model are checked; adapters in `EXEMPT` are not."""
    return spec.partition(":")[0] not in EXEMPT
