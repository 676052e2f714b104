"""Challenge a run: test whether the model that is claimed to have written its replies could have done so."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct, structs

from evals import load
from evals.challenge import replies
from evals.challenge.decoding import decoding_of, sampling_of, unrecorded_settings
from evals.challenge.outcome import MAX_SECONDS, ChallengeOutcome
from evals.challenge.replies import Choice, Source
from evals.errors import Fatal, ModelError, Rejected, UsageError
from evals.run.event_loop import run_on_new_loop
from evals.seams import Decoding, HasStartup, SupportsReplyLikelihoods, TokenLikelihoods
from evals.types import Model, Sampling

MAX_REASON = 200
"""Maximum length of the reason why a reply was left out."""


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
        reasons = [f"no reply can be tested: {why} ({n})" for why, n in choice.left_out.most_common(1)]
        reason = reasons[0] if reasons else "the run contains no reply"
        return structs.replace(empty_outcome, reason=reason, left_out=dict(choice.left_out))
    model = load.model(spec, **options)
    if not isinstance(model, SupportsReplyLikelihoods):
        reason = (
            f"{load.without_secrets(spec)} does not return the likelihoods of a given text; hf: (including .gguf files), "
            "merge:, vllm: and server: (if it is vLLM) do"
        )
        return structs.replace(empty_outcome, reason=reason)
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
        outcomes, seconds = run_on_new_loop(_run_model(model, choice, sampling, decoding))
    except (Fatal, Rejected) as error:
        return structs.replace(empty_outcome, reason=str(error), left_out=dict(choice.left_out))
    failed = Counter(str(outcome)[:MAX_REASON] for outcome in outcomes if isinstance(outcome, ModelError))
    pairs = zip(choice.exchanges, outcomes, strict=True)
    tested = [(reply, outcome) for (_, reply), outcome in pairs if not isinstance(outcome, ModelError)]
    evidence = weigh(
        [tokens for _, tokens in tested],
        greedy=not decoding.temperature,
        alpha=empty_outcome.alpha,
        one_seed=sampling.seed is not None,
    )
    reason = next(iter(failed.most_common(1)), ("they have no tokens", 0))[0]
    recorded_s = [reply.seconds for reply, _ in tested]
    is_time_known = min(recorded_s, default=0) >= 0 and 0 < sum(recorded_s) <= MAX_SECONDS
    return structs.replace(
        empty_outcome,
        **{name: value for name, value in evidence._asdict().items() if name != "same_e_value"},
        backend=model.backend(),
        reason=f"no reply can be tested: {reason}" if evidence.verdict == "untestable" else "",
        left_out=dict(choice.left_out + failed),
        retokenised=sum(t.recorded_tokens not in (None, len(t.logprob)) for _, t in tested),
        reading_s=seconds,
        generation_s=sum(recorded_s) if is_time_known else None,
    )


async def _run_model(
    model: ClaimedModel, choice: Choice, sampling: Sampling, decoding: Decoding
) -> tuple[Sequence[TokenLikelihoods | ModelError], float]:
    """Compute the likelihoods and close the model; return them with the seconds taken, without the model's startup."""
    try:
        if isinstance(model, HasStartup) and (startup := model.ready()) is not None:
            await startup
        started = time.perf_counter()
        outcomes = await model.reply_likelihoods(choice.exchanges, sampling, decoding)
        return outcomes, time.perf_counter() - started
    finally:
        await model.close()
