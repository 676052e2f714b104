"""Attach a judge model to the suites that use one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import structs

from evals.errors import UsageError

if TYPE_CHECKING:
    from evals.profiles import Price
    from evals.scorers.judge.judge import Judge
    from evals.suite import Suite


def make_judge(spec: str, *, name: str, price: Price | None) -> Judge:
    """Return a judge. `name`: its spec without secrets. `price`: the price of its tokens; None: as in its profile."""
    from evals import load, profiles
    from evals.scorers.judge.judge import Judge

    return Judge(load.model(spec), spec=name, price=price or profiles.price(spec))


def with_judge(
    suites: Sequence[Suite],
    spec: str | None,
    *,
    name: str,
    price: Price | None = None,
    allow_missing: bool,
) -> list[Suite]:
    """Return the suites, with the judge attached to those that use one.

    Without `spec`, replies that need a judge stay unscored. Raises UsageError if a suite cannot score any reply without a
    judge, unless `allow_missing`; if a judge is given but no suite uses one; or if upstream's judge prompt is missing.
    """
    from evals.scorers.judge.judged import lacks_judge
    from evals.scorers.judge.judged import with_judge as scorers_with_judge

    if spec is None:
        for suite in suites:
            if not allow_missing and suite.judged and lacks_judge(suite.scorers):
                raise UsageError(
                    f"{suite.id}: protocol {suite.protocol} needs a judge model: add --judge MODEL, "
                    "or choose another --protocol"
                )
        return list(suites)
    if not any(suite.judged for suite in suites):
        raise UsageError(f"--judge {name}: {suites[0].id} under {suites[0].protocol} uses no judge")
    for suite in suites:
        if (
            suite.judged
            and suite.upstream is not None
            and suite.upstream.judge_path
            and (reason := suite.upstream.missing_file_reason())
        ):
            raise UsageError(f"{suite.id}: {suite.protocol} uses upstream's judge prompt; {reason}")
    judge = make_judge(spec, name=name, price=price)
    return [
        structs.replace(suite, scorers=scorers_with_judge(suite.scorers, judge)) if suite.judged else suite
        for suite in suites
    ]
