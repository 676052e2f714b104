"""A challenge: a model reads recorded replies that it is claimed to have written."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from evals import load
from evals.challenge import replies
from evals.challenge.decoding import decoding_of, sampling_of, unrecorded_settings
from evals.challenge.outcome import MAX_SECONDS, ChallengeOutcome
from evals.challenge.reading import Readings, read
from evals.challenge.replies import Choice, Source
from evals.errors import Fatal, Rejected, UsageError
from evals.run.event_loop import run_on_new_loop
from evals.seams import Decoding, ReadsReplies, Starting
from evals.types import Model, Sampling

if TYPE_CHECKING:
    from evals.challenge.evidence import Evidence


class ChallengeRequest(Struct, frozen=True, kw_only=True):
    """How many replies are read, and how they are tested."""

    replies: int = 60
    alpha: float = 0.01
    seed: int
    """Seed for the choice of replies, which the bundle's creator must not know."""


def challenge(
    source: Source, spec: str, request: ChallengeRequest, options: dict[str, object]
) -> ChallengeOutcome:
    """Have the model `spec` read replies, and test whether it could have written them.

    Raises UsageError if the model cannot be loaded; other obstacles are returned as an outcome with the verdict
    `untestable`. `options`: the adapter's options.
    """
    empty_outcome = _empty_outcome(source, spec, request)
    try:
        sampling = sampling_of(source.card.config)
        decoding = decoding_of(source.card.config, sampling)
    except UsageError as error:
        return structs.replace(empty_outcome, reason=str(error))
    empty_outcome = structs.replace(empty_outcome, method="sampled" if decoding.temperature else "greedy")
    if source.card.gated and source.bundle_sha256:
        return structs.replace(
            empty_outcome, reason="a gated suite's bundle contains no replies: name the run instead"
        )
    choice = replies.choose(source.records, request.replies, request.seed)
    if not choice.exchanges:
        return structs.replace(
            empty_outcome, reason=_why_none_readable(choice), left_out=dict(choice.left_out)
        )
    model = load.model(spec, **options)
    if not isinstance(model, ReadsReplies):
        return structs.replace(empty_outcome, reason=_why_unreadable(spec))
    outcome = _test(empty_outcome, model, choice, sampling, decoding)
    missing = unrecorded_settings(source.card.config, sampling)
    if outcome.verdict == "different" and missing:
        why = (
            f"the replies differ from what this model writes without {missing}, which the card does not state"
        )
        return structs.replace(outcome, verdict="untestable", reason=f"{why}: the server may have set them")
    return outcome


def _empty_outcome(source: Source, spec: str, request: ChallengeRequest) -> ChallengeOutcome:
    config = source.card.config
    return ChallengeOutcome(
        suite=config.suite,
        protocol=config.protocol,
        run=source.card.run,
        bundle_sha256=source.bundle_sha256,
        claimed=config.model,
        reader=load.without_secrets(spec),
        backend="",
        method="greedy" if not config.sampling.temperature else "sampled",
        replies=0,
        tokens=0,
        alpha=request.alpha,
        seed=request.seed,
        verdict="untestable",
        challenged=time.time(),
    )


def _why_none_readable(choice: Choice) -> str:
    if not choice.left_out:
        return "it contains no reply"
    (why, count), *_ = choice.left_out.most_common(1)
    return f"no reply can be read: {why} ({count})"


def _why_unreadable(spec: str) -> str:
    return (
        f"{load.without_secrets(spec)} does not return the likelihoods of a given text; hf: (.gguf files too), merge:, "
        "vllm: and server: (vLLM) do"
    )


def _test(
    empty_outcome: ChallengeOutcome, model: Model, choice: Choice, sampling: Sampling, decoding: Decoding
) -> ChallengeOutcome:
    """Return the outcome of reading the chosen replies and testing them."""
    from evals.challenge.evidence import weigh

    try:
        readings, seconds = run_on_new_loop(_read(model, choice, sampling, decoding))
    except (Fatal, Rejected) as error:
        return structs.replace(empty_outcome, reason=str(error), left_out=dict(choice.left_out))
    evidence = weigh(
        readings.readings,
        greedy=not decoding.temperature,
        alpha=empty_outcome.alpha,
        one_seed=sampling.seed is not None,
    )
    left_out = dict(choice.left_out + readings.left_out)
    return structs.replace(
        empty_outcome,
        backend=model.backend() if isinstance(model, ReadsReplies) else "",
        replies=len(readings.readings),
        tokens=readings.tokens,
        verdict=evidence.verdict,
        p_value=evidence.p_value,
        e_value=evidence.e_value,
        first_choices=readings.first_choices,
        reason=_reason(evidence, readings),
        left_out=left_out,
        retokenised=readings.retokenised,
        reading_s=seconds,
        generation_s=_generation_s(readings),
    )


def _generation_s(readings: Readings) -> float | None:
    """Return the recorded generation time of the replies; None if it is not recorded, or impossible."""
    seconds = [reply.seconds for reply in readings.replies]
    total = sum(seconds)
    return total if min(seconds, default=0) >= 0 and 0 < total <= MAX_SECONDS else None


async def _read(
    model: Model, choice: Choice, sampling: Sampling, decoding: Decoding
) -> tuple[Readings, float]:
    """Return the readings and the time they took, excluding the start of the model; close the model at the end."""
    try:
        if isinstance(model, Starting) and (waiting := model.ready()) is not None:
            await waiting
        started = time.perf_counter()
        if not isinstance(model, ReadsReplies):
            raise Fatal("it cannot read")
        readings = await read(model, choice.exchanges, sampling, decoding)
        return readings, time.perf_counter() - started
    finally:
        await model.close()


def _reason(evidence: Evidence, readings: Readings) -> str:
    if evidence.verdict == "untestable":
        (why, _), *_ = readings.left_out.most_common(1) or [("no reply has a token", 0)]
        return f"no reply can be read: {why}"
    return ""
