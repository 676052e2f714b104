"""Whether a run looks broken while it runs: replies that a server's parser swallows, that are all truncated or all alike.

    empty      every reply is empty, or all of its text is in the reasoning: a fault, the run's numbers say nothing
    truncated  every reply is truncated
    same       every reply is one and the same text
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
"""Replies from which on `empty` and `truncated` are said."""
FROM_SAME = 10
FIRST = 50
"""Replies that `unread` looks at."""
UNREAD = 0.95
EXEMPT = frozenset({"scripted", "baseline", "replay", "function"})
"""Adapters whose models may answer alike, or nothing, on purpose."""
Kind = Literal["empty", "truncated", "same", "unread"]


class Endings(Struct):
    """How often replies ended for a reason that is neither stop nor length nor filter."""

    counts: Counter[str]

    def notes(self) -> list[str]:
        """Word them for the card, the most frequent first."""
        found = []
        for finish, count in self.counts.most_common():
            reason = finish.removeprefix(UNKNOWN_FINISH)
            many = f"{count} {'reply' if count == 1 else 'replies'}"
            if finish == TOOL_CALLS:
                found.append(f"{many} ended in a call of a tool that nobody offered")
            elif reason == "none given":
                found.append(f"{many} came without a finish reason: whether they were truncated is not known")
            else:
                found.append(f"{many} ended for an unknown reason, {reason!r}: read as complete")
        return found


class Health:
    """Looks at the replies of one run, record by record."""

    def __init__(self, *, watched: bool = True) -> None:
        """`watched`: whether anything is said at all, see `watched`."""
        self._watched = watched
        self._replies = self._own = self._empty = self._reasoned = self._truncated = 0
        self._first: bytes | None = None
        self._same = True
        self._unread = self._judged = 0
        self.endings = Endings(Counter())
        self.findings: tuple[Finding, ...] = ()
        """What holds now."""

    def add(self, record: Record) -> list[Finding]:
        """Take in a record; return what holds now and did not before."""
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
        self.findings = tuple(self._found()) if self._watched else ()
        return [finding for finding in self.findings if finding.kind not in before]

    def _found(self) -> Iterable[Finding]:
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
            yield Finding(kind="same", message=f"{self._all} are one and the same text")
        if self._judged >= FIRST and self._unread >= UNREAD * FIRST:
            yield Finding(
                kind="unread",
                message=f"no answer was read in {self._unread} of the first {self._judged} replies",
            )

    @property
    def _all(self) -> str:
        return f"{self._replies} of {self._replies} replies"


def watched(spec: str) -> bool:
    """Return whether a model of this name is looked at: not those that answer alike, or nothing, on purpose."""
    return spec.partition(":")[0] not in EXEMPT
