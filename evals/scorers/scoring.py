"""Apply a suite's scorers to a reply, and turn a scorer's exception into a Failure."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol, runtime_checkable

from msgspec import Struct, structs

from evals.boundary import foreign_code
from evals.data import errata as data_errata
from evals.data.errata import NO_ERRATA, Errata, Erratum
from evals.errors import Crash, EvalsError, ScorerError, Unreadable, UsageError
from evals.extract import white_space
from evals.extract.visible import without_reasoning
from evals.extract.white_space import RemovedRuns
from evals.sandbox import Pool
from evals.seams import SupportsWarmUp, TwoStage, is_heavy
from evals.types import Failure, Prompt, Reply, Sample, Score, Scorer, Usage
from evals.validation import ROUNDING


@runtime_checkable
class RequiresPackages(Protocol):
    """A light scorer that needs a package only for some replies."""

    def require(self) -> None:
        """Raise UsageError if the package is not installed."""
        ...


class Scoring:
    """The scorers of a suite, with the worker processes of heavy scorers.

    *Heavy* scorers run in a worker process, *two-stage* scorers await a judge; these and other asynchronous scorers are
    *slow*, and all others are *light*.
    """

    def __init__(
        self,
        scorers: Mapping[str, Scorer],
        pool: Pool,
        errata: Errata = NO_ERRATA,
        *,
        ideal: Callable[[Sample, Prompt], str] | None = None,
        bounds: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        """Prepare the scorers.

        `ideal` returns the text of a reply with full marks, on which only a broken scorer fails. `bounds`: scorer -> smallest
        and largest value, if they are known; a score beyond them is a failure of the scorer.
        """
        self._light = {name: s for name, s in scorers.items() if not _needs_await(s)}
        self._slow = {name: s for name, s in scorers.items() if _needs_await(s)}
        self._two_stage = {name: s for name, s in self._slow.items() if isinstance(s, TwoStage)}
        self._heavy = {name for name, s in self._slow.items() if is_heavy(s)}
        self._heavy_rules = {name for name, s in self._two_stage.items() if is_heavy(s.rule)}
        self._names = tuple(scorers)
        self._pool = pool
        self._errata = errata
        self._ideal = ideal
        self._bounds = bounds or {}
        # imported later, a scorer's libraries would block the event loop and every call
        for scorer in self._light.values():
            if isinstance(scorer, SupportsWarmUp):
                scorer.warm()

    @property
    def all_light(self) -> bool:
        """Return whether `score_light` applies every scorer."""
        return not self._slow

    async def check(self) -> None:
        """Raise UsageError if something that a scorer needs is not installed; heavy scorers import it in a worker.

        A scorer that fails otherwise is left alone: its first score shows the failure.
        """
        for light in self._light.values():
            if isinstance(light, RequiresPackages):
                light.require()
        heavy = [self._slow[name] for name in self._heavy]
        heavy += [self._two_stage[name].rule for name in sorted(self._heavy_rules)]
        for scorer in filter(lambda scorer: isinstance(scorer, SupportsWarmUp), heavy):
            with suppress(ScorerError):
                await self._pool.run(_WarmUp(scorer))

    def score_light(self, sample: Sample, prompt: Prompt, reply: Reply) -> dict[str, Score | Failure]:
        """Apply the light scorers synchronously."""
        reply, removed = _without_ignored_text(reply)
        scores = {
            name: self._apply_light(scorer, sample, prompt, reply) for name, scorer in self._light.items()
        }
        headline = self._names[0]
        if headline in self._light and (erratum := self._errata.of(sample)):
            corrected = self._apply_light(
                self._light[headline], _with_corrected_gold(sample, erratum), prompt, reply
            )
            scores[headline] = _with_erratum(scores[headline], erratum, corrected)
        scores = {name: self._within_bounds(name, score) for name, score in scores.items()}
        return _with_original_spans(scores, removed) if removed else scores

    async def score_all(
        self,
        sample: Sample,
        prompt: Prompt,
        reply: Reply,
        earlier: Mapping[str, Score | Failure] | None = None,
    ) -> dict[str, Score | Failure]:
        """Apply all scorers; heavy scorers run in worker processes, judges are awaited.

        The judges' verdicts in `earlier`, the previous scores of the same reply, are reused.
        """
        reply, removed = _without_ignored_text(reply)
        scores = self.score_light(sample, prompt, reply)
        for name, scorer in self._slow.items():
            previous = earlier.get(name) if earlier else None
            scores[name] = await self._apply_slow(name, scorer, sample, prompt, reply, previous)
        headline = self._names[0]
        if headline in self._slow and (erratum := self._errata.of(sample)):
            scores[headline] = await self._add_corrected_value(
                scores[headline], erratum, sample, prompt, reply
            )
        scores = {name: self._within_bounds(name, scores[name]) for name in self._names}
        return _with_original_spans(scores, removed) if removed else scores

    def _within_bounds(self, name: str, score: Score | Failure) -> Score | Failure:
        """Return a score, or a failure of the scorer if the score's value is beyond the metric's bounds."""
        if not isinstance(score, Score) or score.value is None or (limits := self._bounds.get(name)) is None:
            return score
        low, high = limits
        if low - ROUNDING <= score.value <= high + ROUNDING:
            return score
        message = f"the scorer returned {score.value:g}, which is not between {low:g} and {high:g}"
        return failure_record("scorer", ScorerError(message))

    def _apply_light(self, scorer: Scorer, sample: Sample, prompt: Prompt, reply: Reply) -> Score | Failure:
        """Score synchronously; a failure that the reply causes becomes an invalid answer."""
        score = _apply(scorer, sample, prompt, reply)
        if not isinstance(score, Failure) or (ideal := self._ideal_reply(sample, prompt)) is None:
            return score
        ideal_score = _apply(scorer, sample, prompt, ideal)
        return _invalid_if_reply_at_fault(score, ideal_score, _apply(scorer, sample, prompt, Reply(text="")))

    async def _score_in_worker(
        self, scorer: Scorer, sample: Sample, prompt: Prompt, reply: Reply
    ) -> Score | Failure:
        """Score in a worker; a crash or timeout that the reply causes becomes an invalid answer."""
        score = await self._apply_in_worker(scorer, sample, prompt, reply)
        if not isinstance(score, Failure) or (ideal := self._ideal_reply(sample, prompt)) is None:
            return score
        ideal_score = await self._apply_in_worker(scorer, sample, prompt, ideal)
        empty_score = await self._apply_in_worker(scorer, sample, prompt, Reply(text=""))
        return _invalid_if_reply_at_fault(score, ideal_score, empty_score)

    async def _apply_in_worker(
        self, scorer: Scorer, sample: Sample, prompt: Prompt, reply: Reply
    ) -> Score | Failure:
        return await _apply_async(self._pool.score, scorer, sample, prompt, reply)

    def _ideal_reply(self, sample: Sample, prompt: Prompt) -> Reply | None:
        """Return the reply that must get full marks; None if the sample has none."""
        try:
            return None if self._ideal is None else Reply(text=self._ideal(sample, prompt))
        except (LookupError, TypeError, ValueError, AttributeError):
            return None

    async def _add_corrected_value(
        self, score: Score | Failure, erratum: Erratum, sample: Sample, prompt: Prompt, reply: Reply
    ) -> Score | Failure:
        """Add an erratum to a slow scorer's score, and the value under a corrected gold answer unless the scorer has a judge."""
        name = self._names[0]
        corrected: Score | Failure | None = None
        if erratum.kind == "gold" and name not in self._two_stage:
            corrected = await self._apply_slow(
                name, self._slow[name], _with_corrected_gold(sample, erratum), prompt, reply, None
            )
        return _with_erratum(score, erratum, corrected)

    def share_judges(self) -> None:
        """Keep the judges' connections open until `close`, even if other users close them earlier."""
        for scorer in self._two_stage.values():
            if scorer.judge is not None:
                scorer.judge.share()

    async def close(self) -> None:
        """Release the judges' connections; they reopen on demand."""
        for scorer in self._two_stage.values():
            if scorer.judge is not None:
                await scorer.judge.close()

    async def _apply_slow(
        self,
        name: str,
        scorer: Scorer,
        sample: Sample,
        prompt: Prompt,
        reply: Reply,
        earlier: Score | Failure | None,
    ) -> Score | Failure:
        if (two_stage := self._two_stage.get(name)) is not None:
            if name in self._heavy_rules:
                rule_score = await self._apply_in_worker(two_stage.rule, sample, prompt, reply)
            else:
                rule_score = _apply(two_stage.rule, sample, prompt, reply)
            return await _apply_async(two_stage.judge_after, sample, prompt, reply, rule_score, earlier)
        if name in self._heavy:
            return await self._score_in_worker(scorer, sample, prompt, reply)
        return await _apply_async(scorer, sample, prompt, reply)


class _WarmUp(Struct, frozen=True):
    """A call to a worker that only warms a scorer up, without a deadline as for the scorer itself."""

    scorer: Any

    def warm(self) -> None:
        self.scorer.warm()

    def __call__(self) -> None:
        """Return nothing."""


SCORER_FAILED = "the scorer failed on this reply"
"""Beginning of `why` in the score of a reply that made a scorer fail."""


def _invalid_if_reply_at_fault(
    failed: Failure, ideal_score: Score | Failure, empty_score: Score | Failure
) -> Score | Failure:
    """Return an invalid score, with an empty reply's value (0 if that fails too), for a reply that makes a working scorer fail.

    A scorer that also fails on the ideal reply is broken; its failure is then returned and counts in no metric.
    """
    if not isinstance(ideal_score, Score):
        return failed
    unanswered = empty_score if isinstance(empty_score, Score) else Score(value=0.0, verdict="invalid")
    why = f"{SCORER_FAILED}: {failed.message[:200]}"
    return structs.replace(unanswered, verdict="invalid", answer=None, why=why, suspect=True)


def _with_corrected_gold(sample: Sample, erratum: Erratum) -> Sample:
    return structs.replace(sample, target=erratum.value) if erratum.kind == "gold" else sample


def _with_erratum(
    score: Score | Failure, erratum: Erratum, corrected: Score | Failure | None
) -> Score | Failure:
    """Return a score with an erratum and the value under the corrected data in its parts."""
    if isinstance(score, Failure):
        return score
    value = corrected.value if isinstance(corrected, Score) else None
    return structs.replace(score, parts={**score.parts, **data_errata.marks_of(erratum, value)})


def _without_ignored_text(reply: Reply) -> tuple[Reply, RemovedRuns]:
    """Return a reply without reasoning, filtered text and long runs of white space, and the runs of characters removed."""
    reply, hidden = without_hidden_text(reply)
    text, removed = white_space.shorten_runs(reply.text)
    removed = (*(((0, hidden),) if hidden else ()), *removed)
    return (structs.replace(reply, text=text) if removed else reply), removed


def without_hidden_text(reply: Reply) -> tuple[Reply, int]:
    """Return a reply without reasoning, and without text if a content filter stopped it, and the length of the reasoning.

    Adapters and imports already remove reasoning; this covers replies that were stored before their reasoning tag was
    known. A reply that ends inside its reasoning is truncated.
    """
    if not reply.text:
        return reply, 0
    if reply.stop == "filter":
        return structs.replace(reply, text=""), 0
    text, truncated = without_reasoning(reply.text)
    if text == reply.text:
        return reply, 0
    answer = text.lstrip()
    stop = "length" if truncated else reply.stop
    return structs.replace(reply, text=answer, stop=stop), len(text) - len(answer)


def _with_original_spans(
    scores: Mapping[str, Score | Failure], removed: RemovedRuns
) -> dict[str, Score | Failure]:
    """Return scores with their spans converted to positions in the original text."""
    converted = dict(scores)
    for name, score in scores.items():
        if isinstance(score, Score) and score.span is not None:
            begin, end = score.span
            span = (
                white_space.original_position(begin, removed),
                white_space.original_position(end - 1, removed) + 1,
            )
            converted[name] = structs.replace(score, span=span)
    return converted


def _needs_await(scorer: Scorer) -> bool:
    call_method = type(scorer).__call__
    return is_heavy(scorer) or inspect.iscoroutinefunction(scorer) or inspect.iscoroutinefunction(call_method)


def _apply(scorer: Scorer, sample: Sample, prompt: Prompt, reply: Reply) -> Score | Failure:
    """Return a synchronous scorer's score, or its exception, except UsageError, as a Failure."""
    try:
        with foreign_code(Crash):
            return _checked_score(scorer(sample, prompt, reply))
    except UsageError:
        raise
    except EvalsError as error:
        return failure_record("scorer", error)


async def _apply_async(score: Callable[..., Any], *arguments: object) -> Score | Failure:
    """Return the score that an asynchronous function returns, or its exception, except UsageError, as a Failure."""
    try:
        with foreign_code(Crash):
            return _checked_score(await score(*arguments))
    except UsageError:
        raise
    except EvalsError as error:
        return failure_record("scorer", error)


def _checked_score(result: object) -> Score:
    """Return a scorer's result; raises ScorerError unless it is a Score, since its record would make the run unreadable."""
    if not isinstance(result, Score):
        raise ScorerError(f"the scorer returned {type(result).__name__}, not a Score")
    return result


def failure_record(stage: str, error: BaseException, *, attempts: int = 1) -> Failure:
    """Return an error as a Failure; `kind` is the lower-case name of its class, or `crash` for a foreign exception."""
    kind = type(error).__name__.lower() if isinstance(error, EvalsError) else "crash"
    message = str(error) if isinstance(error, EvalsError) else f"{type(error).__name__}: {error}"
    usage = Usage(**error.tokens) if isinstance(error, Unreadable) else Usage()
    return Failure(stage=stage, kind=kind, message=message[:2000], attempts=attempts, usage=usage)  # type: ignore[arg-type]
