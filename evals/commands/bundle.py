"""`evals bundle`: a run in one file that anybody can check."""

from __future__ import annotations

from pathlib import Path

import click

from evals.commands import common


@click.command()
@click.argument("run", metavar="RUN")
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False), metavar="OUT.zip")
@common.results_option
def bundle(run: str, out: Path, results: Path) -> None:
    """Pack a run's records, card, environment and hashes into OUT.zip, for `evals verify`.

    A run of a gated suite is packed without texts: ids, hashes, answer letters and scores.
    """
    from evals.bundles.bundle import pack
    from evals.records import store

    manifest = pack(store.find_one(results, run), out)
    size = out.stat().st_size / 1e6
    texts = ", without its texts" if manifest.gated else ""
    click.echo(f"{out}: {manifest.suite} ({manifest.protocol}), run {manifest.run}{texts}, {size:.1f} MB")
    click.echo(f"Check it anywhere:  evals verify {out}{' --data DIR' if manifest.gated else ''}")
