"""Combine a rule with a judge model.

* `whole`: the judge grades every reply with text; the rule's verdict is recorded too.
* `cascade`: the judge grades the replies that the rule does not call right. Published scores were computed this way and
  are too high, because the judge can only overrule the rule in the model's favour. The judge therefore also grades a
  random sample (with a fixed seed) of the replies that the rule calls right; these verdicts change no score, but allow an
  estimate of the score under a judge that overrules in both directions (`evals/scorers/judge/account.py`).
* `rest`: the rule's decision is final; the judge grades the replies that the rule leaves undecided (no value). If the
  judge's template asks for an option or an answer, the judge only extracts it and the rule scores it
  (`score_extracted`). The judge also grades a random sample of the decided replies, right and wrong, without changing a
  score.
* `read`: the judge only extracts the number; the rule scores it.
* `points`: the judge awards every reply 0 to 9 points, of which the score is a ninth; the rule's verdict is recorded too.

The prompt is one of our templates (`template_name`), or upstream's prompt (`upstream`) if the protocol prescribes it. If
upstream's prompt asks for right or wrong, the verdict is A or B, or the word that this letter stands for. OpenCompass
instead reads the first A or B anywhere, and counts CORRECT, which its prompt also allows, as wrong. Upstream's prompt does
not protect against instructions in a reply; ours does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol, cast

from msgspec import Struct, structs

from evals.errors import ScorerError, Waiting
from evals.prompts import options, rng
from evals.prompts.upstream import UpstreamPrompts
from evals.scorers.judge.judge import (
    MAX_CANDIDATE_CHARS,
    Judge,
    Template,
    digest,
    question_of,
    template,
    upstream_template,
)
from evals.scorers.outcomes import no_answer, unanswered_verdict
from evals.types import Failure, Judgement, Prompt, Reply, Sample, Score, Scorer, Verdict

AUDIT_SHARE = 0.1
"""Share of the replies decided by the rule that are also sent to the judge."""


class ExtractionRule(Protocol):
    """A rule that can score an answer that a judge extracted from a reply."""

    def options(self, sample: Sample, prompt: Prompt) -> tuple[str, ...]:
        """Return the options as shown; empty for a free-form answer."""
        ...

    def score_extracted(self, sample: Sample, prompt: Prompt, reply: Reply, extracted: str) -> Score:
        """Score the extracted answer: an option's letter as shown or `Z`, or the text of a free-form answer."""
        ...


class Judged(Struct, frozen=True, kw_only=True):
    """Scores with a rule and a judge model; without the model, replies that need it are not scored."""

    rule: Scorer
    mode: Literal["whole", "cascade", "rest", "read", "points"] = "cascade"
    template_name: str = "correctness"
    """Name of one of our judge templates."""
    audit: float = AUDIT_SHARE
    judge: Judge | None = None
    upstream: UpstreamPrompts | None = None
    """Upstream's judge prompt, used instead of our template."""

    def __repr__(self) -> str:
        """Return the rule, mode, prompt (with its hash if it is ours) and audited share, so that a run's card shows changes."""
        prompt = (
            f"{self.name}@{template(self.template_name).sha256[:8]}" if self.upstream is None else self.name
        )
        return f"{type(self).__name__}({self.rule!r}, {self.mode}, {prompt}, audit={self.audit})"

    @property
    def name(self) -> str:
        """Return the name of the judge prompt."""
        return self.template_name if self.upstream is None else self.upstream.source

    @property
    def prompt_template(self) -> Template:
        """Return the template of the judge prompt."""
        return (
            template(self.template_name)
            if self.upstream is None
            else upstream_template(self.name, self.upstream.judge_reply)
        )

    @property
    def sha256(self) -> str:
        """Return the hash of the judge prompt; empty if the prompt is not available."""
        if self.upstream is None:
            return template(self.template_name).sha256
        return "" if self.upstream.missing_file_reason() else self.upstream.sha256(self.upstream.judge_path)

    @property
    def needs_judge(self) -> bool:
        """Return whether every reply needs a judge."""
        return self.mode not in ("cascade", "rest")

    async def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
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
        """Call the judge on a reply that the rule scored as `first`; verdicts in `earlier`, the previous score, are reused.

        Raises Waiting if the reply needs a judge and there is none, Unreadable if the judge's replies contain no verdict.
        """
        if reply.stop == "filter" or not reply.text.strip():
            if self.mode == "read":
                return cast("Score", self.rule(sample, prompt, structs.replace(reply, text="")))
            return no_answer(reply, "no text to judge")
        rule_score = self._final_rule_score(first)
        if rule_score is not None and not self.is_audited(sample):
            return rule_score
        try:
            verdict, judgement = await self._verdict(sample, prompt, reply, earlier)
        except ScorerError:
            if rule_score is not None:
                return rule_score  # the verdict was only needed for the audit
            raise
        if self.mode == "read":
            text = f"Answer: {verdict:.15f}" if isinstance(verdict, float) else ""
            score = cast("Score", self.rule(sample, prompt, structs.replace(reply, text=text)))
            return structs.replace(score, judged=(judgement,))
        if self.mode == "rest" and self.prompt_template.kind != "verdict":
            extracted_score = cast("ExtractionRule", self.rule).score_extracted(
                sample, prompt, reply, str(verdict)
            )
            return self._score_of_extraction(rule_score, extracted_score, judgement)
        return self._score_of_verdicts(reply, first, verdict, judgement)

    def _final_rule_score(self, first: Score | Failure) -> Score | None:
        """Return the rule's score if a judge cannot change it, else None."""
        if not isinstance(first, Score):
            return None
        if self.mode == "rest":
            return None if first.value is None else first
        return first if self.mode == "cascade" and first.verdict == "right" else None

    def is_audited(self, sample: Sample) -> bool:
        """Return whether the judge grades the reply to a sample even if the rule has decided it."""
        return rng("audit", sample.id).random() < self.audit

    async def _verdict(
        self, sample: Sample, prompt: Prompt, reply: Reply, earlier: Score | Failure | None
    ) -> tuple[str | float, Judgement]:
        """Return the verdict on a reply; without upstream's prompt, a recorded one."""
        judge_template, question, upstream = self.prompt_template, question_of(sample, prompt), self.upstream
        if upstream is not None and (why := upstream.missing_file_reason()):
            if verdict := _reused_verdict(judge_template, self.judge, earlier, None):
                return verdict
            raise Waiting(f"waits for a judge: {why}")
        option_lines = ""
        if judge_template.kind == "option":
            shown_options = cast("ExtractionRule", self.rule).options(sample, prompt)
            judge_template = judge_template.with_options(len(shown_options))
            option_lines = options(shown_options)
        if upstream is None:
            reference = option_lines or reference_text(sample, prompt)
            return await self.ask(judge_template, question, reference, reply.text, earlier)
        candidate = reply.text[-MAX_CANDIDATE_CHARS:]
        text = upstream.judge_prompt(sample, prompt, question, candidate, option_lines)
        return await self._ask_filled(judge_template, text, "", earlier)

    async def ask(
        self,
        judge_template: Template,
        question: str,
        reference: str,
        candidate: str,
        earlier: Score | Failure | None,
    ) -> tuple[str | float, Judgement]:
        """Return the verdict on a candidate, reusing an earlier one on the same prompt; raises Waiting if there is no judge."""
        text, case = judge_template.fill(question, reference, candidate)
        return await self._ask_filled(judge_template, text, case, earlier)

    async def _ask_filled(
        self, judge_template: Template, text: str, case: str, earlier: Score | Failure | None
    ) -> tuple[str | float, Judgement]:
        if verdict := _reused_verdict(judge_template, self.judge, earlier, (text, case)):
            return verdict
        if self.judge is None:
            raise Waiting("waits for a judge: evals score RUN --judge MODEL")
        return await self.judge.ask_until_verdict(judge_template, text, case)

    def _score_of_extraction(
        self, rule_score: Score | None, extracted_score: Score, judgement: Judgement
    ) -> Score:
        """Return the score of the extracted answer; if the rule had decided, its score with the judge's verdict added."""
        judge_right = extracted_score.verdict == "right"
        if rule_score is not None:
            return _with_judge_verdict(
                rule_score, judgement, judge_right=judge_right, verdict=extracted_score.verdict
            )
        parts = extracted_score.parts | {"judge": float(judge_right)}
        return structs.replace(extracted_score, parts=parts, judged=(judgement,))

    def _score_of_verdicts(
        self, reply: Reply, first: Score | Failure, verdict: str | float, judgement: Judgement
    ) -> Score:
        judge_right, judge_finds_none = verdict in ("A", "9"), verdict == "C"
        points = int(verdict) if self.mode == "points" else None
        if points is not None:
            verdict_text = f"{points} of 9 points"
        else:
            verdict_text = "right" if judge_right else "no answer" if judge_finds_none else "wrong"
        if (rule_score := self._final_rule_score(first)) is not None:
            return _with_judge_verdict(rule_score, judgement, judge_right=judge_right, verdict=verdict_text)
        score_verdict: Verdict = (
            "right"
            if judge_right
            else unanswered_verdict(reply)
            if judge_finds_none
            else "graded"
            if points
            else "wrong"
        )
        score = Score(
            value=float(judge_right) if points is None else points / 9,
            verdict=score_verdict,
            answer=first.answer if isinstance(first, Score) else None,
        )
        return _with_judge_verdict(
            score, judgement, judge_right=judge_right, verdict=verdict_text, rule_score=first
        )


def _with_judge_verdict(
    score: Score,
    judgement: Judgement,
    *,
    judge_right: bool,
    verdict: str,
    rule_score: Score | Failure | None = None,
) -> Score:
    """Return a score that records the verdicts of rule and judge; `rule_score` is the score itself by default."""
    rule_score = score if rule_score is None else rule_score
    rule_verdict = rule_score.verdict if isinstance(rule_score, Score) else f"failed ({rule_score.kind})"
    rule_decides = rule_verdict in ("right", "wrong")
    rule_right = rule_verdict == "right"
    parts = {"judge": float(judge_right)} | ({"rule": float(rule_right)} if rule_decides else {})
    return structs.replace(
        score,
        why=f"rule: {rule_verdict}; judge: {verdict}",
        suspect=rule_decides and rule_right != judge_right,
        parts=score.parts | parts,
        judged=(judgement,),
    )


def _reused_verdict(
    judge_template: Template,
    judge: Judge | None,
    earlier: Score | Failure | None,
    filled: tuple[str, str] | None,
) -> tuple[str | float, Judgement] | None:
    """Return the earlier verdict on the same prompt by the same judge, or by any judge if `judge` is None; None if there is none.

    `filled` is the prompt with its case id; None matches any prompt.
    """
    text, case_id = filled or ("", "")
    prompt_digest = digest(text)
    for judgement in earlier.judged if isinstance(earlier, Score) else ():
        if (filled is None or judgement.asked == prompt_digest) and (
            judge is None or judge.spec == judgement.judge
        ):
            verdict = judge_template.read(judgement.text, case_id)
            if verdict is not None:
                return verdict, judgement
    return None


def reference_text(sample: Sample, prompt: Prompt) -> str:
    """Return the gold answer for a judge; for multiple choice, the letters as shown and the texts of the right options."""
    target = sample.target
    if sample.choices:
        letters = target if isinstance(target, tuple) else (str(target),)
        return "\n".join(
            f"{prompt.shown_letter(letter)}. {sample.choices[ord(letter) - ord('A')]}" for letter in letters
        )
    if isinstance(target, tuple):
        return "\n".join(f"part {number}: {part}" for number, part in enumerate(target, 1))
    return f"{target!r} {sample.unit}".strip() if isinstance(target, float) else target


def with_upstream_judge(scorers: Mapping[str, Scorer], upstream: UpstreamPrompts) -> dict[str, Scorer]:
    """Return a suite's scorers with upstream's judge prompt, if there is one."""
    return _with_fields(scorers, upstream=upstream) if upstream.judge_path else dict(scorers)


def with_judge(scorers: Mapping[str, Scorer], judge: Judge) -> dict[str, Scorer]:
    """Return a suite's scorers with a judge."""
    return _with_fields(scorers, judge=judge)


def _with_fields(scorers: Mapping[str, Scorer], **fields: Any) -> dict[str, Scorer]:
    """Return scorers with new values of fields in those that use a judge."""
    return {
        name: structs.replace(scorer, **fields) if isinstance(scorer, Judged) else scorer
        for name, scorer in scorers.items()
    }


def lacks_judge(scorers: Mapping[str, Scorer]) -> bool:
    """Return whether any scorer needs a judge for every reply and has none."""
    return any(isinstance(s, Judged) and s.judge is None and s.needs_judge for s in scorers.values())
