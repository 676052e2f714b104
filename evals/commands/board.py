"""`evals board`: a leaderboard in a git repository that others submit to."""

from __future__ import annotations

from pathlib import Path

import click

from evals import load
from evals.board import policy, submission
from evals.board.results import EntryResult
from evals.commands import common
from evals.commands.groups import Entry, LazyGroup
from evals.records import store
from evals.terminal import figures

COMMANDS = {
    "init": Entry("board:init", "Create the repository of a board: policy, workflows, README."),
    "submit": Entry("board:submit", "Pack runs of a model as an entry of a board, and check it."),
    "ingest": Entry("board:ingest", "Verify and rescore new entries, and write their results."),
    "rerun": Entry("board:rerun", "Add the board's own run of an entry's model, to compare with the entry."),
    "challenge": Entry("challenge:challenge", "Test whether a model could have written a run's replies."),
    "site": Entry("board:site", "Write the pages of a board, or of a results folder, as static files."),
}

folder_argument = click.argument("folder", type=common.FOLDER, metavar="DIR")


@click.group(cls=LazyGroup, entries=COMMANDS)
def board() -> None:
    """Keep a leaderboard in a git repository. Entries are data files; nothing in them is executed."""


@click.command(no_args_is_help=True)
@folder_argument
@click.argument("suites", nargs=-1, required=True, metavar="SUITE...", shell_complete=common.complete_suites)
@click.option("--protocol", help="Protocol of the suites; default: each suite's own default.")
@click.option("--title", default="Leaderboard", show_default=True, help="Title of the board.")
def init(folder: Path, suites: tuple[str, ...], protocol: str | None, title: str) -> None:
    """Create a board in DIR, an empty or new folder, with a rule for each SUITE in its `board.toml`."""
    from evals.board.create import create

    for path in create(folder, title, [suite for name in suites for suite in load.suite(name, protocol)]):
        common.say(str(path), no_wrap=True)
    common.say(
        f"Next: edit {folder / 'board.toml'} and commit everything. If gated suites are included, set the repository's "
        "variable GOLD_REPOSITORY and its secret GOLD_TOKEN."
    )


@click.command(no_args_is_help=True)
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", shell_complete=common.complete_runs)
@click.option("--to", "folder", required=True, type=common.FOLDER, help="Checkout of the board's repository.")
@click.option(
    "--model-card",
    required=True,
    type=common.FILE,
    help="TOML file with the keys model, revision, weights, licence, training_data, contact.",
)
@click.option("--data", type=common.PATH, help="Local mirror of the data of gated suites.")
@common.latest_option
@common.results_option
def submit(
    runs: tuple[str, ...], folder: Path, model_card: Path, data: Path | None, *, latest: bool, results: Path
) -> int:
    """Pack RUNs of one model as an entry of a board, and check it as the board will.

    Exit status: 0 if the entry was written, 1 if the board would refuse it and nothing was written.
    """
    from evals.board.ingest import ENTRIES, ingest

    board_policy, card = policy.read(folder), submission.read_model_card(model_card)
    selected = [run for name in runs for run in store.find_suites(results, name)]
    if latest:
        selected = list({submission.bundle_name(run): run for run in selected}.values())
    path = submission.pack(selected, card, board_policy, folder / ENTRIES)
    accepted = False
    try:
        (result,) = ingest(folder, [path.name], gold=data, write=False)
        accepted = result.status != "refused"
    finally:
        if not accepted:
            path.unlink()
    _print(result)
    if accepted:
        common.say(f"{path}: commit it and open a pull request")
    return int(not accepted)


@click.command(no_args_is_help=True)
@folder_argument
@click.argument("entries", nargs=-1, metavar="[ENTRY]...")
@click.option("--check", is_flag=True, help="Only check, as for a pull request; write nothing.")
@click.option("--gold", type=common.FOLDER, help="The board's own data: a folder with a subfolder per suite.")
@common.json_option
def ingest(folder: Path, entries: tuple[str, ...], gold: Path | None, *, check: bool, as_json: bool) -> int:
    """Verify entries of the board in DIR, rescore every reply, and write `results/`.

    Without ENTRY, all new or changed entries are verified. Nothing in an entry is executed. Exit status: 0 if none was
    refused, 1 if one was, 2 if the board itself is invalid.
    """
    from evals.board import levels
    from evals.board.ingest import ingest as ingest_entries

    entry_results: list[EntryResult] = []
    for result in ingest_entries(folder, entries, gold=gold, write=not check):
        entry_results.append(result)
        if not as_json:
            _print(result)
    for challenge in levels.read(folder).challenges:
        if challenge.fault:
            label = f"{challenge.entry}, {challenge.suite} ({challenge.protocol})"
            common.note(f"challenge of {label} does not count: {challenge.fault}")
    if as_json:
        common.print_json(entry_results)
    elif not entry_results:
        common.say("No new entries.")
    return int(any(result.status == "refused" for result in entry_results))


@click.command(no_args_is_help=True)
@folder_argument
@click.argument("entry")
@click.argument("run", shell_complete=common.complete_runs)
@common.results_option
def rerun(folder: Path, entry: str, run: str, results: Path) -> None:
    """Add RUN, the board's own run of ENTRY's model, to `reruns/`.

    The next `evals board ingest` compares the entry with RUN item by item; if they are equivalent within the margin of the
    board's rule, the entry's score gets the verification level `rerun`.
    """
    from evals.board import levels

    path = levels.add_rerun(folder, entry, store.find_one(results, run))
    common.say(f"{path}: commit it; `evals board ingest {folder}` compares it with the entry")


@click.command(no_args_is_help=True)
@folder_argument
@click.option("--out", required=True, type=common.FOLDER, help="Output folder.")
def site(folder: Path, out: Path) -> None:
    """Write the pages of the board, or results folder, in DIR: HTML, feeds, data, badges.

    The pages need no server and load nothing from other hosts.
    """
    from evals.board.site.write import write

    paths = write(folder, out)
    common.say(f"{out / 'index.html'}: {len(paths)} files")


def _print(result: EntryResult) -> None:
    common.say(f"{result.entry}: {result.status}")
    for line in result.reasons:
        common.say(f"    {line}")
    for suite in result.suites:
        if (headline := suite.headline) is not None:
            common.say(f"    {suite.label}: {headline.metric} {figures.score_text(headline)}")
