"""Check that the options of a request can be combined."""

from __future__ import annotations

from collections.abc import Iterator

from evals.errors import UsageError
from evals.run.request import RunRequest, options
from evals.run.request_extras import parse_extra_body, parse_headers

BATCH_EXCLUDES = ("max_cost", "max_total_tokens", "until_decided", "against", "timeout", "concurrency")
"""Options that cannot be combined with --batch."""


def check_conflicts(request: RunRequest) -> None:
    """Raise UsageError if options cannot be combined or are malformed, or if there is no model."""
    if conflict := next(_conflicts(request), ""):
        raise UsageError(conflict)
    parse_extra_body(request.extra_body)
    parse_headers(request.header)


def _conflicts(request: RunRequest) -> Iterator[str]:
    if not request.cluster and (request.replicas is not None or request.gpus is not None):
        yield "--replicas and --gpus need --cluster"
    if request.cluster != "slurm" and (request.slurm or request.detach):
        yield "--slurm and --detach need --cluster slurm"
    if request.cluster and (request.header or request.extra_body):
        yield "--header and --extra-body cannot be combined with --cluster"
    if request.sample_id and request.limit:
        yield "--sample-id and --limit cannot be combined"
    if request.recommended and request.temperature is not None:
        yield "--recommended and --temperature cannot be combined: the recommended sampling is used as a whole or not at all"
    if request.dry_run and request.until_decided:
        yield "--dry-run and --until-decided cannot be combined: `evals gate plan` estimates when a verdict can be expected"
    if request.sample and request.data:
        yield "--sample and --data cannot be combined"
    if request.fresh and request.batch:
        yield "--batch and --fresh cannot be combined: name another run with --run"
    if request.batch:
        for name in BATCH_EXCLUDES:
            if getattr(request, name):
                flag = options()[name].flag
                yield f"--batch and {flag} cannot be combined: a batch is submitted as a whole"
    if not request.models:
        yield "no model: add -m, for example -m smollm2 or -m server:http://127.0.0.1:8000/v1#NAME"
