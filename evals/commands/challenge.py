"""`evals board challenge`: test whether a model could have written the replies of a run."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from evals.challenge import outcome as outcomes
from evals.challenge.outcome import SUFFIX, ChallengeOutcome, file_name
from evals.challenge.replies import Source, open_run_or_bundle
from evals.challenge.summary import FILE_NAME
from evals.commands import common
from evals.plain import count_of, notice, one_line

EXIT_STATUS = {"consistent": 0, "close": 0, "different": 1, "untestable": 3}
MEANINGS = {
    "consistent": "the replies do not differ detectably from what this model writes",
    "close": "different numerics or quantisation can explain how the replies differ from what this model writes",
    "different": "this model did not write these replies under the recorded settings",
    "untestable": "nothing was tested",
}


@click.command(no_args_is_help=True)
@click.argument("bundle", metavar="BUNDLE|RUN", shell_complete=common.complete_runs)
@click.option(
    "-m",
    "--model",
    required=True,
    help="The model that is claimed to have written the replies.",
    shell_complete=common.complete_models,
)
@click.option(
    "--replies",
    default=60,
    show_default=True,
    type=click.IntRange(1, 100_000),
    help="Number of replies to test.",
)
@click.option(
    "--alpha",
    default=0.01,
    show_default=True,
    type=common.FiniteRange(0, 1, min_open=True, max_open=True),
    help="Maximum rate of false alarms.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**53), help="Seed for the choice of replies; default: a random one."
)
@click.option(
    "--to",
    type=common.PATH,
    help="Where to write the outcome: a board's challenges/ENTRY, or a .json file; default: the RUN's folder.",
)
@click.option("--trust-remote-code", is_flag=True, help="Run code from the model's repository.")
@common.json_option
@common.results_option
def challenge(
    bundle: str,
    model: str,
    replies: int,
    alpha: float,
    seed: int | None,
    to: Path | None,
    *,
    trust_remote_code: bool,
    as_json: bool,
    results: Path,
) -> int:
    """Test whether a model could have written the replies in a BUNDLE or RUN.

    The model generates nothing: one forward pass over prompt and reply shows whether the reply's tokens could have been
    sampled from it under the recorded settings. Exit status: 0 consistent or close, 1 different, 3 untestable.
    """
    from evals.challenge.challenge import ChallengeRequest
    from evals.challenge.challenge import challenge as run_challenge

    seed = secrets.randbits(32) if seed is None else seed
    request = ChallengeRequest(replies=replies, alpha=alpha, seed=seed)
    options = {"results": results, "trust_remote_code": trust_remote_code}
    with open_run_or_bundle(bundle, results) as source:
        path = _outcome_path(to, source)
        stored = outcomes.stored_outcome(path) if path else None
        outcome = run_challenge(source, model, request=request, options=options)
    if as_json:
        common.print_json(outcome)
    else:
        _print(outcome)
    if path is not None and _store(outcome, path, stored) and not as_json:
        common.say(str(path), no_wrap=True)
    return EXIT_STATUS[outcome.verdict]


def _store(outcome: ChallengeOutcome, path: Path, stored: ChallengeOutcome | None) -> bool:
    """Write an outcome unless the stored one has to be kept; return whether it was written."""
    if stored is None or outcomes.supersedes(outcome, stored):
        outcomes.write(path, outcome)
        return True
    notice(f"{path} keeps its verdict {stored.verdict}: the new outcome on the same replies is untestable")
    return False


def _outcome_path(to: Path | None, source: Source) -> Path | None:
    """Return the path to write the outcome to, by default in the run's folder; None if it is not to be written."""
    if to is None:
        return source.folder / FILE_NAME if source.folder else None
    config = source.card.config
    return to if to.suffix == SUFFIX else to / file_name(config.suite, config.protocol)


def _print(outcome: ChallengeOutcome) -> None:
    """Print what was tested, the evidence and the verdict, with each text from the bundle on one line."""
    suite, protocol, run, claimed = map(
        one_line, (outcome.suite, outcome.protocol, outcome.run, outcome.claimed)
    )
    common.say(
        f"{suite} ({protocol}), run {run}: replies attributed to {claimed}, tested with {outcome.reader}"
    )
    if outcome.tokens:
        common.say(f"    tested: {_scope_text(outcome)}")
        common.say(f"    evidence: {_evidence_text(outcome)}")
    for reason, count in sorted(outcome.left_out.items(), key=lambda entry: -entry[1]):
        common.say(f"    left out: {count}, {one_line(reason)}")
    if outcome.retokenised:
        common.say(
            f"    tokenised to a different number of tokens than recorded: {count_of(outcome.retokenised, 'reply', 'replies')}"
        )
    common.say(f"{outcome.verdict}: {one_line(outcome.reason) or MEANINGS[outcome.verdict]}")


def _scope_text(outcome: ChallengeOutcome) -> str:
    duration = f"{outcome.reading_s:.1f} s"
    if outcome.generation_s:
        duration += f" ({outcome.reading_s / outcome.generation_s:.1%} of the time taken to generate them, summed over calls)"
    replies = count_of(outcome.replies, "reply", "replies")
    return f"{replies}, {outcome.tokens} tokens, {outcome.method}, by {outcome.backend}, seed {outcome.seed}, {duration}"


def _evidence_text(outcome: ChallengeOutcome) -> str:
    facts = []
    if outcome.first_choices is not None:
        facts.append(f"{outcome.first_choices:.2%} of the tokens are the model's first choice")
    if outcome.e_value is not None:
        facts.append(f"e-value {outcome.e_value:.3g}")
    if outcome.p_value is not None:
        facts.append(f"p {outcome.p_value:.2g}")
    return f"{', '.join(facts)}, alpha {outcome.alpha:g}"
