"""Challenge a run: test whether the model that is claimed to have written its replies could have done so."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct, structs

from evals import load
from evals.challenge import replies
from evals.challenge.decoding import decoding_of, sampling_of, unrecorded_settings
from evals.challenge.likelihoods import ReplyLikelihoods, compute_likelihoods
from evals.challenge.outcome import MAX_SECONDS, ChallengeOutcome
from evals.challenge.replies import Choice, Source
from evals.errors import Fatal, Rejected, UsageError
from evals.run.event_loop import run_on_new_loop
from evals.seams import Decoding, HasStartup, SupportsReplyLikelihoods
from evals.types import Model, Sampling

if TYPE_CHECKING:
    from evals.challenge.evidence import Evidence


class ChallengeRequest(Struct, frozen=True, kw_only=True):
    """How many replies are tested, at which false-alarm rate, and the seed that selects them."""

    replies: int = 60
    alpha: float = 0.01
    seed: int
    """The creator of the bundle must not know it in advance."""


class ClaimedModel(Model, SupportsReplyLikelihoods, Protocol):
    """A model that returns the likelihoods of given replies, so that it can be challenged."""


def challenge(
    source: Source, spec: str, *, request: ChallengeRequest, options: dict[str, object]
) -> ChallengeOutcome:
    """Test whether the model `spec` could have written replies of a run; `options`: the adapter's options.

    Raises UsageError if the model cannot be loaded or returns invalid likelihoods, DataError if a reply occurs twice, and
    ModelErrors other than Fatal and Rejected. If the replies cannot be tested, the verdict is `untestable`.
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
        return structs.replace(empty_outcome, reason=choice.obstacle, left_out=dict(choice.left_out))
    model = load.model(spec, **options)
    if not isinstance(model, SupportsReplyLikelihoods):
        return structs.replace(empty_outcome, reason=_unsupported_model_reason(spec))
    outcome = _test_replies(empty_outcome, model, choice, sampling=sampling, decoding=decoding)
    missing = unrecorded_settings(source.card.config, sampling)
    if outcome.verdict == "different" and missing:
        reason = (
            f"the replies differ from what this model writes without {missing}, which the card does not state; "
            "the server may have set them"
        )
        return structs.replace(outcome, verdict="untestable", reason=reason)
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


def _unsupported_model_reason(spec: str) -> str:
    return (
        f"{load.without_secrets(spec)} does not return the likelihoods of a given text; hf: (including .gguf files), "
        "merge:, vllm: and server: (if it is vLLM) do"
    )


def _test_replies(
    empty_outcome: ChallengeOutcome,
    model: ClaimedModel,
    choice: Choice,
    *,
    sampling: Sampling,
    decoding: Decoding,
) -> ChallengeOutcome:
    """Test the chosen replies, close the model and return the outcome."""
    from evals.challenge.evidence import weigh

    try:
        tested, seconds = run_on_new_loop(_run_model(model, choice, sampling, decoding))
    except (Fatal, Rejected) as error:
        return structs.replace(empty_outcome, reason=str(error), left_out=dict(choice.left_out))
    evidence = weigh(
        tested.likelihoods,
        greedy=not decoding.temperature,
        alpha=empty_outcome.alpha,
        one_seed=sampling.seed is not None,
    )
    return structs.replace(
        empty_outcome,
        backend=model.backend(),
        replies=evidence.replies,
        tokens=evidence.tokens,
        verdict=evidence.verdict,
        p_value=evidence.p_value,
        e_value=evidence.e_value,
        first_choices=evidence.first_choices,
        reason=_untestable_reason(evidence, tested),
        left_out=dict(choice.left_out + tested.left_out),
        retokenised=tested.token_count_mismatches,
        reading_s=seconds,
        generation_s=_generation_s(tested),
    )


def _generation_s(tested: ReplyLikelihoods) -> float | None:
    """Return the recorded seconds of generation, summed over the replies; None if they are not recorded or implausible."""
    seconds = [reply.seconds for reply in tested.replies]
    total = sum(seconds)
    return total if min(seconds, default=0) >= 0 and 0 < total <= MAX_SECONDS else None


async def _run_model(
    model: ClaimedModel, choice: Choice, sampling: Sampling, decoding: Decoding
) -> tuple[ReplyLikelihoods, float]:
    """Compute the likelihoods and close the model; return them with the seconds taken, without the model's startup."""
    try:
        if isinstance(model, HasStartup) and (startup := model.ready()) is not None:
            await startup
        started = time.perf_counter()
        tested = await compute_likelihoods(model, choice.exchanges, sampling, decoding)
        return tested, time.perf_counter() - started
    finally:
        await model.close()


def _untestable_reason(evidence: Evidence, tested: ReplyLikelihoods) -> str:
    """Return why there is no evidence; empty if there is."""
    if evidence.verdict != "untestable":
        return ""
    (reason, _), *_ = tested.left_out.most_common(1) or [("they have no tokens", 0)]
    return f"no reply can be tested: {reason}"
