"""`evals board challenge`: has a model read the replies that it is said to have written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from evals.commands import common
from evals.plain import notice, one_line

if TYPE_CHECKING:
    from evals.challenge.outcome import ChallengeOutcome
    from evals.challenge.replies import Source

EXIT_STATUS = {"consistent": 0, "close": 0, "different": 1, "untestable": 3}
MEANING = {
    "consistent": "no difference from what this model writes was found",
    "close": "close, not equal: no further from what this model writes than other numerics or quantisation explain",
    "different": "this model did not write these replies in this way",
    "untestable": "nothing was tested",
}


@click.command(no_args_is_help=True)
@click.argument("bundle", metavar="BUNDLE|RUN", shell_complete=common.complete_runs)
@click.option(
    "-m",
    "--model",
    required=True,
    help="The claimed model, which reads.",
    shell_complete=common.complete_models,
)
@click.option(
    "--replies",
    default=60,
    show_default=True,
    type=click.IntRange(1, 100_000),
    help="Number of replies to read.",
)
@click.option(
    "--alpha",
    default=0.01,
    show_default=True,
    type=common.FiniteRange(0, 1, min_open=True, max_open=True),
    help="Largest rate of false alarms.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**53), help="Seed of the choice of replies; default: a random one."
)
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    help="Where to write the outcome: a board's challenges/ENTRY, or a .json file; default: in the folder of a RUN.",
)
@click.option("--trust-remote-code", is_flag=True, help="Run code from the weights' repository.")
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
    """Have a model read replies of BUNDLE, or of a RUN, that it is said to have written.

    It generates nothing: one pass over prompt and reply tells whether its tokens can have been drawn from this model under
    the recorded sampling. Exit status: 0 consistent or close, 1 different, 3 untestable.
    """
    import secrets

    from evals.challenge import outcome as outcomes
    from evals.challenge.challenge import ChallengeRequest
    from evals.challenge.challenge import challenge as ask
    from evals.challenge.replies import opened

    seed = secrets.randbits(32) if seed is None else seed
    request = ChallengeRequest(replies=replies, alpha=alpha, seed=seed)
    options = {"results": results, "trust_remote_code": trust_remote_code}
    with opened(bundle, results) as source:
        path = _path(to, source)
        held = outcomes.earlier(path) if path else None
        result = ask(source, model, request, options)
    if as_json:
        common.print_json(result)
    else:
        _print(result)
    if path is not None and held is not None and not outcomes.supersedes(result, held):
        notice(f"{path} is not replaced: it holds the verdict {held.verdict} on the same replies")
    elif path is not None:
        outcomes.write(path, result)
        if not as_json:
            common.say(str(path), no_wrap=True)
    return EXIT_STATUS[result.verdict]


def _path(to: Path | None, source: Source) -> Path | None:
    """Return where the outcome is written: as given, else into the run's folder; None: nowhere."""
    from evals.challenge.outcome import SUFFIX, file_name
    from evals.challenge.summary import NAME

    if to is None:
        return source.folder / NAME if source.folder else None
    config = source.card.config
    return to if to.suffix == SUFFIX else to / file_name(config.suite, config.protocol)


def _print(result: ChallengeOutcome) -> None:
    """Print what was read, what it tells and the verdict: names and reasons of a bundle in one line each."""
    suite, protocol, run, claimed = map(one_line, (result.suite, result.protocol, result.run, result.claimed))
    common.say(f"{suite} ({protocol}), run {run}: replies of {claimed}, read by {result.reader}")
    if result.tokens:
        common.say(f"    read: {_read(result)}")
        common.say(f"    evidence: {_evidence(result)}")
    for why, many in sorted(result.left_out.items(), key=lambda entry: -entry[1]):
        common.say(f"    left out: {many}, {one_line(why)}")
    if result.retokenised:
        common.say(
            f"    number of tokens differs from the recorded one: {_replies(result.retokenised)}, tokenised otherwise"
        )
    common.say(f"{result.verdict}: {one_line(result.reason) or MEANING[result.verdict]}")


def _replies(number: int) -> str:
    return "1 reply" if number == 1 else f"{number} replies"


def _read(result: ChallengeOutcome) -> str:
    cost = f"{result.reading_s:.1f} s"
    if result.generation_s:
        cost += f" ({result.reading_s / result.generation_s:.1%} of the calls that generated them)"
    return f"{_replies(result.replies)}, {result.tokens} tokens, {result.method}, by {result.backend}, seed {result.seed}, {cost}"


def _evidence(result: ChallengeOutcome) -> str:
    parts = []
    if result.first_choices is not None:
        parts.append(f"{result.first_choices:.2%} of the tokens are its first choice")
    if result.e_value is not None:
        parts.append(f"e-value {result.e_value:.3g}")
    if result.p_value is not None:
        parts.append(f"p {result.p_value:.2g}")
    return f"{', '.join(parts)}, alpha {result.alpha:g}"
