"""`evals sync`: copy finished runs to an object store or another file system."""

from __future__ import annotations

from pathlib import Path

import click

from evals.commands import common
from evals.errors import UsageError
from evals.records import store
from evals.records.sync import SyncResult, push
from evals.remote.address import is_address, parse


@click.command()
@click.argument("results", type=common.FOLDER, metavar="RESULTS")
@click.argument("address", metavar="ADDRESS")
@click.option(
    "--gated",
    is_flag=True,
    help="Include runs of gated suites; their records contain the texts, so use a private store.",
)
@common.json_option
def sync(results: Path, address: str, gated: bool, as_json: bool) -> int:
    """Copy the finished runs of RESULTS to ADDRESS: s3://bucket/path, gs://, az://, sftp://host/path, hf://datasets/...

    Commands that read runs accept the address in place of a results folder or a run. Runs that are already there are
    skipped, so the command can be killed and repeated. Credentials come from the environment. Exit status: 0, or 2 if
    a run could not be sent.
    """
    if is_address(results):
        raise UsageError("the first argument must be a local results folder, the second an address")
    target = parse(address)
    if target.run:
        raise UsageError("the target address must not name a run (#)")
    if not results.is_dir():
        raise UsageError(f"no results folder at {results}")
    if not store.runs(results):
        store.check_intended_folder(results)
    result = push(results, target, gated=gated)
    if as_json:
        common.print_json(result)
    else:
        _print(result, str(target))
    if result.failed:
        path, reason = next(iter(result.failed.items()))
        suffix = f" ({len(result.failed)} runs were not sent)" if len(result.failed) > 1 else ""
        raise UsageError(f"{reason if path in reason else f'{path}: {reason}'}{suffix}")
    return 0


def _print(result: SyncResult, address: str) -> None:
    for run in result.sent:
        state = "" if run.version == 1 else f", version {run.version}"
        common.say(f"sent {run.folder}{state}, {run.bytes / 1e6:.1f} MB")
    for path, reason in result.skipped.items():
        common.note(f"not sent: {path}: {reason}")
    size = sum(run.bytes for run in result.sent) / 1e6
    common.say(f"{address}: {len(result.sent)} sent ({size:.1f} MB), {result.present} already there")
    if result.sent:
        common.say(f"Read them anywhere:  evals show --results {address}")
