"""Combine a rule with a judge model.

* `whole`: the judge grades every reply; the rule's verdict is kept beside it.
* `cascade`: the rule first, the judge if the rule does not say right. Published numbers were made this way, and are
  too high: the judge can rescue and never doubt. On a seeded sample of the replies that the rule calls right the
  judge is therefore asked as well; its answer there changes no score, but shows what a judge of both sides
  would have given (`evals/scorers/judge/agreement.py`).
* `rest`: the rule first, and finally; the judge if the rule decides nothing (its score has no value). A judge whose
  template asks for an option or an answer only finds it in the reply, and the rule scores what it found (`take`). On a
  seeded sample of what the rule decided, right and wrong, the judge is asked as well, and changes no score.
* `read`: the judge only finds the number; the rule scores what it found.
* `points`: the judge awards 0 to 9 points to every reply, the score is a ninth of them; the rule's score is recorded beside it.

A judge is asked in one of our templates (`form`), or with upstream's prompt, if the protocol is defined by it (`upstream`): of
such a verdict a bare A or B is read, or their names; OpenCompass takes the first A or B anywhere, and counts
CORRECT, which its prompt asks for too, as wrong. That prompt does not keep a reply from instructing the judge; ours does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol, cast

from msgspec import Struct, structs

from evals.errors import ScorerError, Waiting
from evals.prompts import options, rng
from evals.prompts.upstream import UpstreamPrompts
from evals.scorers.choice import unanswered_verdict
from evals.scorers.judge.judge import LONGEST, Judge, Template, digest, question_of, template, upstream
from evals.types import Failure, Judgement, Prompt, Reply, Sample, Score, Scorer, Verdict

AUDIT = 0.1
"""Share of the replies called right by the rule that a cascade shows to the judge too."""


class Taker(Protocol):
    """A rule that can score what a judge extracted from a reply."""

    def options(self, sample: Sample, prompt: Prompt) -> tuple[str, ...]:
        """Return the options as shown; none for a free answer."""
        ...

    def take(self, sample: Sample, prompt: Prompt, reply: Reply, extracted: str) -> Score:
        """Score what the judge extracted: an option's letter as shown or `Z`, or the text of an answer."""
        ...


class Judged(Struct, frozen=True, kw_only=True):
    """Scores by a judge model; without one, what the rule cannot decide waits for it."""

    rule: Scorer
    mode: Literal["whole", "cascade", "rest", "read", "points"] = "cascade"
    form: str = "correctness"
    audit: float = AUDIT
    judge: Judge | None = None
    upstream: UpstreamPrompts | None = None
    """Upstream's judge prompt, used instead of `form`."""

    def __repr__(self) -> str:
        """Name rule, mode and the template's hash, so that a change of any shows in a run's card."""
        words = f"{self.name}@{template(self.form).sha256[:8]}" if self.upstream is None else self.name
        return f"{type(self).__name__}({self.rule!r}, {self.mode}, {words}, audit={self.audit})"

    @property
    def name(self) -> str:
        """Return the name of the judge prompt."""
        return self.form if self.upstream is None else self.upstream.name

    @property
    def asks(self) -> Template:
        """Return the template of the judge prompt."""
        return template(self.form) if self.upstream is None else upstream(self.name, self.upstream.kind)

    @property
    def sha256(self) -> str:
        """Return the hash of the judge prompt; empty if the prompt is not available."""
        if self.upstream is None:
            return template(self.form).sha256
        return "" if self.upstream.absent() else self.upstream.sha256(self.upstream.judges)

    @property
    def needs_judge(self) -> bool:
        """Whether nothing at all can be scored without a judge."""
        return self.mode not in ("cascade", "rest")

    def with_judge(self, judge: Judge) -> Judged:
        """Return the scorer with a judge."""
        return structs.replace(self, judge=judge)

    async def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Judge one reply."""
        return await self.judge_after(
            sample, prompt, reply, cast("Score", self.rule(sample, prompt, reply)), None
        )

    async def judge_after(
        self,
        sample: Sample,
        prompt: Prompt,
        reply: Reply,
        first: Score | Failure,
        earlier: Score | Failure | None,
    ) -> Score:
        """Judge after the rule; `earlier` is this scorer's previous score of the same reply, whose verdicts are reused.

        Raises Waiting without a judge, Unreadable if it gives no verdict.
        """
        if reply.stop == "filter" or not reply.text.strip():
            if self.mode == "read":
                return cast("Score", self.rule(sample, prompt, structs.replace(reply, text="")))
            return Score(value=0.0, verdict=unanswered_verdict(reply), why="no text to judge")
        decided = self._decided(first)
        if decided is not None and not self.audited(sample):
            return decided
        try:
            said, judgement = await self._verdict(sample, prompt, reply, earlier)
        except ScorerError:
            if decided is not None:
                return decided  # only the audit lacks a verdict
            raise
        if self.mode == "read":
            return self._of_number(sample, prompt, reply, said, judgement)
        if self.mode == "rest" and self.asks.kind != "verdict":
            taken = cast("Taker", self.rule).take(sample, prompt, reply, str(said))
            return self._of_found(decided, taken, judgement)
        return self._of_both(reply, first, said, judgement)

    def _decided(self, first: Score | Failure) -> Score | None:
        """Return the rule's score if a judge cannot change it, else None."""
        if not isinstance(first, Score):
            return None
        if self.mode == "rest":
            return None if first.value is None else first
        return first if self.mode == "cascade" and first.verdict == "right" else None

    def audited(self, sample: Sample) -> bool:
        """Whether the judge is shown this reply although the rule has decided it."""
        return rng("audit", sample.id).random() < self.audit

    async def _verdict(
        self, sample: Sample, prompt: Prompt, reply: Reply, earlier: Score | Failure | None
    ) -> tuple[str | float, Judgement]:
        question = question_of(sample, prompt)
        if self.upstream is not None:
            return await self._with_prompts(self.upstream, sample, prompt, reply, earlier)
        form = template(self.form)
        if form.kind == "option":
            shown = cast("Taker", self.rule).options(sample, prompt)
            form, gold = form.among(len(shown)), options(shown)
        else:
            gold = reference(sample, prompt)
        return await self.ask(form, question, gold, reply.text, earlier)

    async def _with_prompts(
        self,
        prompts: UpstreamPrompts,
        sample: Sample,
        prompt: Prompt,
        reply: Reply,
        earlier: Score | Failure | None,
    ) -> tuple[str | float, Judgement]:
        """Return the verdict on upstream's prompt; if the prompt is not available, the recorded one."""
        if why := prompts.absent():
            if verdict := _again(self.asks, self.judge, earlier, None):
                return verdict
            raise Waiting(f"waits for a judge: {why}")
        shown = cast("Taker", self.rule).options(sample, prompt) if prompts.kind == "option" else ()
        form, candidate = self.asks.among(len(shown)), reply.text[-LONGEST:]
        text = prompts.judging(sample, prompt, question_of(sample, prompt), candidate, options(shown))
        if verdict := _again(form, self.judge, earlier, (text, "")):
            return verdict
        if self.judge is None:
            raise Waiting("waits for a judge: evals score RUN --judge MODEL")
        return await self.judge.ask_until_verdict(form, text, "")

    async def ask(
        self, form: Template, question: str, gold: str, candidate: str, earlier: Score | Failure | None
    ) -> tuple[str | float, Judgement]:
        """Return the verdict on one candidate, reusing an earlier one on the same prompt; raises Waiting without a judge."""
        if verdict := _again(form, self.judge, earlier, form.fill(question, gold, candidate)):
            return verdict
        if self.judge is None:
            raise Waiting("waits for a judge: evals score RUN --judge MODEL")
        return await self.judge.decide(form, question, gold, candidate)

    def _of_number(
        self, sample: Sample, prompt: Prompt, reply: Reply, said: str | float, judgement: Judgement
    ) -> Score:
        text = f"Answer: {said:.15f}" if isinstance(said, float) else ""
        score = cast("Score", self.rule(sample, prompt, structs.replace(reply, text=text)))
        return structs.replace(score, judged=(judgement,))

    def _of_found(self, decided: Score | None, taken: Score, judgement: Judgement) -> Score:
        """Return the score of what the judge extracted, or the rule's score with the judge's verdict added."""
        agreed = taken.verdict == "right"
        if decided is not None:
            return _beside(decided, judgement, agreed=agreed, said=taken.verdict)
        parts = taken.parts | {"judge": float(agreed)}
        return structs.replace(taken, parts=parts, judged=(judgement,))

    def _of_both(
        self, reply: Reply, first: Score | Failure, said: str | float, judgement: Judgement
    ) -> Score:
        agreed, silent = said in ("A", "9"), said == "C"
        points = int(said) if self.mode == "points" else None
        words = "right" if agreed else "no answer" if silent else "wrong"
        words = words if points is None else f"{points} of 9 points"
        if (decided := self._decided(first)) is not None:
            return _beside(decided, judgement, agreed=agreed, said=words)
        graded: Verdict = (
            "right" if agreed else unanswered_verdict(reply) if silent else "graded" if points else "wrong"
        )
        score = Score(
            value=float(agreed) if points is None else points / 9,
            verdict=graded,
            answer=first.answer if isinstance(first, Score) else None,
        )
        return _beside(score, judgement, agreed=agreed, said=words, rule=first)


def _beside(
    score: Score, judgement: Judgement, *, agreed: bool, said: str, rule: Score | Failure | None = None
) -> Score:
    """Add a judge's verdict to a score, beside the rule's (by default the score's own)."""
    first = score if rule is None else rule
    named = first.verdict if isinstance(first, Score) else f"failed ({first.kind})"
    spoke = isinstance(first, Score) and first.verdict in ("right", "wrong")
    right = named == "right"
    parts = {"judge": float(agreed)} | ({"rule": float(right)} if spoke else {})
    return structs.replace(
        score,
        why=f"rule: {named}; judge: {said}",
        suspect=spoke and right != agreed,
        parts=score.parts | parts,
        judged=(judgement,),
    )


def _again(
    form: Template, judge: Judge | None, earlier: Score | Failure | None, filled: tuple[str, str] | None
) -> tuple[str | float, Judgement] | None:
    """Return the earlier verdict of the same judge on the same prompt; None if there is none, or its prompt is unavailable."""
    text, case = filled or ("", "")
    asked = digest(text)
    for one in earlier.judged if isinstance(earlier, Score) else ():
        if (filled is None or one.asked == asked) and (judge is None or judge.spec == one.judge):
            said = form.read(one.text, case)
            if said is not None:
                return said, one
    return None


def reference(sample: Sample, prompt: Prompt) -> str:
    """Write the gold answer for a judge; an option with its letter as shown and its text."""
    target = sample.target
    if sample.choices:
        letters = target if isinstance(target, tuple) else (str(target),)
        return "\n".join(f"{prompt.shown_letter(x)}. {sample.choices[ord(x) - ord('A')]}" for x in letters)
    if isinstance(target, tuple):
        return "\n".join(f"part {number}: {part}" for number, part in enumerate(target, 1))
    return f"{target!r} {sample.unit}".strip() if isinstance(target, float) else target


def with_upstream_judge(scorers: Mapping[str, Scorer], upstream: UpstreamPrompts) -> dict[str, Scorer]:
    """Return a suite's scorers with upstream's judge prompt, if there is one."""
    if not upstream.judges:
        return dict(scorers)
    return {
        name: structs.replace(s, upstream=upstream) if isinstance(s, Judged) else s
        for name, s in scorers.items()
    }


def with_judge(scorers: Mapping[str, Scorer], judge: Judge) -> dict[str, Scorer]:
    """Return a suite's scorers with a judge."""
    return {name: s.with_judge(judge) if isinstance(s, Judged) else s for name, s in scorers.items()}


def lacks_judge(scorers: Mapping[str, Scorer]) -> bool:
    """Return whether some scorer needs a judge to score anything."""
    return any(isinstance(s, Judged) and s.judge is None and s.needs_judge for s in scorers.values())
