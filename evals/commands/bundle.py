"""`evals bundle`: a run in one file that anyone can verify."""

from __future__ import annotations

from pathlib import Path

import click

from evals.bundles.bundle import pack as write_bundle
from evals.commands import common
from evals.commands.groups import DefaultCommand, Entry, LazyGroup
from evals.records import store

COMMANDS = {
    "verify": Entry("verify:verify", "Verify a bundle: rescore every reply, compare every figure."),
    "pack": Entry("bundle:pack"),
}


@click.group(cls=LazyGroup, entries=COMMANDS, default="pack")
def bundle() -> None:
    """Pack a run, or verify a bundle."""


@click.command(cls=DefaultCommand, no_args_is_help=True)
@click.argument("run", metavar="RUN", shell_complete=common.complete_runs)
@click.argument("out", type=common.FILE, metavar="OUT.zip")
@common.results_option
def pack(run: str, out: Path, results: Path) -> None:
    """Pack a run's records, card, environment and hashes into OUT.zip, for `evals bundle verify`.

    If RUN names runs of several suites (`--run NAME`), a file is written for each: OUT-SUITE.zip. Runs of gated suites are
    packed without texts: ids, hashes, answer letters and scores only.
    """
    runs = store.find_suites(results, run)
    for stored in runs:
        suite = store.slug(stored.card.config.suite)
        path = out if len(runs) == 1 else out.with_name(f"{out.stem}-{suite}{out.suffix}")
        manifest = write_bundle(stored, path)
        size = path.stat().st_size / 1e6
        note = ", without its texts" if manifest.gated else ""
        common.say(f"{path}: {manifest.suite} ({manifest.protocol}), run {manifest.run}{note}, {size:.1f} MB")
        common.say(f"Verify it with:  evals bundle verify {path}{' --data DIR' if manifest.gated else ''}")
