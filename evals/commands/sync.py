"""`evals sync`: copy sealed runs to an object store or another file system."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from evals.commands import common
from evals.errors import UsageError

if TYPE_CHECKING:
    from evals.records.sync import Synced


@click.command()
@click.argument("results", type=click.Path(path_type=Path, file_okay=False), metavar="RESULTS")
@click.argument("address", metavar="ADDRESS")
@click.option(
    "--gated",
    is_flag=True,
    help="Also runs of gated suites; their records hold the texts, so only into a private store.",
)
@common.json_option
def sync(results: Path, address: str, gated: bool, as_json: bool) -> int:
    """Copy the finished runs of RESULTS to ADDRESS: s3://bucket/path, gs://, az://, sftp://host/path, hf://datasets/...

    Commands that read runs then take the address in place of a results folder or a run. What is there already is not
    sent again, so that the command can be killed and repeated. Credentials come from the environment. Exit status:
    0, or 2 if a run could not be sent.
    """
    from evals.records import store
    from evals.records.sync import push
    from evals.remote.address import is_address, parse

    if is_address(results):
        raise UsageError("the first argument is a results folder on this machine, the second an address")
    target = parse(address)
    if target.run:
        raise UsageError("an address to copy to names no run (#)")
    if not results.is_dir():
        raise UsageError(f"no results folder at {results}")
    if not store.runs(results):
        store.refuse_wrong_level(results)
    synced = push(results, target, gated=gated)
    if as_json:
        common.print_json(synced)
    else:
        _print(synced, str(target))
    if synced.failed:
        path, why = next(iter(synced.failed.items()))
        more = f" ({len(synced.failed)} runs were not sent)" if len(synced.failed) > 1 else ""
        raise UsageError(f"{why if path in why else f'{path}: {why}'}{more}")
    return 0


def _print(synced: Synced, address: str) -> None:
    for sent in synced.sent:
        state = "" if sent.version == 1 else f", version {sent.version} of it"
        common.say(f"sent {sent.folder}{state}, {sent.bytes / 1e6:.1f} MB")
    for path, why in synced.skipped.items():
        common.note(f"not sent: {path}: {why}")
    size = sum(sent.bytes for sent in synced.sent) / 1e6
    common.say(f"{address}: {len(synced.sent)} sent ({size:.1f} MB), {synced.present} there already")
    if synced.sent:
        common.say(f"Read them anywhere:  evals show --results {address}")
