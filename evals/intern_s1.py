"""The protocol `intern-s1` for the text benchmarks for which OpenCompass calls a judge model."""

from __future__ import annotations

from typing import Any, Literal

from evals.benchmark import Protocol
from evals.prompts.upstream import UpstreamPrompts
from evals.scorers.judge.judged import Judged
from evals.suite import INTERN_S1
from evals.types import Prompter, Scorer


def intern_s1_protocol(
    prompt: Prompter,
    upstream: UpstreamPrompts,
    rule: Scorer,
    *,
    mode: Literal["whole", "cascade"] = "cascade",
    **fields: Any,
) -> Protocol:
    """Return the protocol; `prompt` builds the reworded prompt, `mode` defines which replies the judge grades (see `Judged`).

    `fields`: further fields of the protocol.
    """
    scorers = {"judge": Judged(rule=rule, mode=mode)}
    return Protocol(prompt=prompt, upstream=upstream, scorers=scorers, sampling=INTERN_S1, **fields)
