"""`evals board`: a leaderboard in a git repository, to which others submit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from evals.commands import common
from evals.commands.groups import Entry, LazyGroup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evals.board.results import EntryResult

COMMANDS = {
    "init": Entry("board:init", "Create the repository of a board: policy, workflows, README."),
    "submit": Entry("board:submit", "Pack runs of a model as an entry of a board, and check it."),
    "ingest": Entry("board:ingest", "Verify new entries, score them again and write their results."),
    "rerun": Entry("board:rerun", "Add the board's own run of an entry's model, to be held against it."),
    "site": Entry("board:site", "Write the pages of a board, or of a results folder, as static files."),
}

folder_argument = click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")


@click.group(cls=LazyGroup, lazy=COMMANDS)
def board() -> None:
    """Keep a leaderboard in a git repository: entries are files, and nothing in them is executed."""


@click.command(no_args_is_help=True)
@folder_argument
@click.argument("suites", nargs=-1, required=True, metavar="SUITE...", shell_complete=common.complete_suites)
@click.option("--protocol", help="Protocol of the suites; default: each suite's own default.")
@click.option("--title", default="Leaderboard", show_default=True, help="Title of the board.")
def init(folder: Path, suites: tuple[str, ...], protocol: str | None, title: str) -> None:
    """Create a board in DIR, an empty or new folder, with a rule for each SUITE in its `board.toml`."""
    from evals.board import create

    for path in create.create(folder, title, create.suites_of(suites, protocol)):
        common.say(str(path), whole=True)
    common.say(
        f"Next: edit {folder / 'board.toml'}, commit all, and set the variable GOLD_REPOSITORY and the secret GOLD_TOKEN "
        "of the repository if gated suites are part of it."
    )


@click.command(no_args_is_help=True)
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", shell_complete=common.complete_runs)
@click.option(
    "--to",
    "folder",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Checkout of the board's repository.",
)
@click.option(
    "--model-card",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML file that describes the model: id, revision, weights, licence, training data, contact.",
)
@click.option("--data", type=click.Path(path_type=Path), help="Local mirror of the data of gated suites.")
@common.latest_option
@common.results_option
def submit(
    runs: tuple[str, ...], folder: Path, model_card: Path, data: Path | None, *, latest: bool, results: Path
) -> int:
    """Pack RUNs of one model as an entry of a board, and check it as the board will.

    Exit status: 0 the entry was written, 1 the board would refuse it and nothing was written.
    """
    from evals.board import policy, submission
    from evals.board.ingest import ENTRIES, ingest
    from evals.records import store

    rules, card = policy.read(folder), submission.read_model_card(model_card)
    chosen = [run for name in runs for run in store.find_suites(results, name)]
    if latest:
        chosen = list({submission.bundle_name(run): run for run in chosen}.values())
    path = submission.pack(chosen, card, rules, folder / ENTRIES)
    accepted = False
    try:
        (result,) = ingest(folder, [path.name], gold=data, write=False)
        accepted = result.status != "refused"
    finally:
        if not accepted:
            path.unlink()
    _print(result)
    if accepted:
        common.say(f"{path}: commit it, and open a pull request that adds it")
    return int(not accepted)


@click.command(no_args_is_help=True)
@folder_argument
@click.argument("entries", nargs=-1, metavar="[ENTRY]...")
@click.option("--check", is_flag=True, help="Write nothing: the check of a pull request.")
@click.option(
    "--gold", type=click.Path(path_type=Path, file_okay=False), help="The board's own data: a folder a suite."
)
@common.json_option
def ingest(folder: Path, entries: tuple[str, ...], gold: Path | None, *, check: bool, as_json: bool) -> int:
    """Verify entries of the board in DIR, score every reply again, and write `results/`.

    Without ENTRY all that are new or changed. Entries are data: nothing in them is executed. Exit status: 0 none was
    refused, 1 an entry was refused, 2 the board itself is faulty.
    """
    from evals.board import levels
    from evals.board.ingest import ingest as ingest_entries

    outcome: list[EntryResult] = []
    for result in ingest_entries(folder, entries, gold=gold, write=not check):
        outcome.append(result)
        if not as_json:
            _print(result)
    for challenge in levels.read(folder).challenges:
        if challenge.fault:
            label = f"{challenge.entry}, {challenge.suite} ({challenge.protocol})"
            common.note(f"challenge of {label}, does not count: {challenge.fault}")
    if as_json:
        common.print_json(outcome)
    elif not outcome:
        common.say("No new entry.")
    return int(_any_refused(outcome))


@click.command(no_args_is_help=True)
@folder_argument
@click.argument("entry")
@click.argument("run", shell_complete=common.complete_runs)
@common.results_option
def rerun(folder: Path, entry: str, run: str, results: Path) -> None:
    """Add RUN, made by the board itself with the model of ENTRY, to `reruns/`.

    The next ingest compares both item by item; if they are equivalent within the rule's margin, the entry's number has
    the level `rerun`.
    """
    from evals.board import levels
    from evals.records import store

    path = levels.add_rerun(folder, entry, store.find_one(results, run))
    common.say(f"{path}: commit it; `evals board ingest {folder}` compares it with the entry")


@click.command(no_args_is_help=True)
@folder_argument
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder of the pages."
)
def site(folder: Path, out: Path) -> None:
    """Write the pages of the board in DIR, or of a results folder, into a folder: HTML, feeds, data, badges.

    They need no server and load nothing from elsewhere.
    """
    from evals.board.site.write import write

    written = write(folder, out)
    common.say(f"{out / 'index.html'}: {len(written)} files")


def _any_refused(results: Sequence[EntryResult]) -> bool:
    return any(result.status == "refused" for result in results)


def _print(result: EntryResult) -> None:
    """Print an entry's status, the reasons for it and its headlines."""
    from evals.terminal import figures

    common.say(f"{result.entry}: {result.status}")
    for line in result.reasons:
        common.say(f"    {line}")
    for suite in result.suites:
        if (head := suite.headline) is not None:
            common.say(f"    {suite.label}: {head.metric} {figures.figure(head)}")
