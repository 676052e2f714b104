"""`evals import`: create runs from replies recorded by another tool. Formats are functions in `evals/interop/`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from evals.commands import common
from evals.errors import UnknownName, UsageError
from evals.interop import formats
from evals.records.card import Card

DIRECT_READERS = {"replies": "replies:read_replies", "matbench": "matbench:read_results"}
"""Format with a reader that creates the runs itself -> module:function in `evals.interop`."""


@click.command("import")
@click.argument("arguments", nargs=-1, required=True, metavar="[FORMAT] PATH")
@click.option("--suite", help="Suite with its variant; default: as stated in the source.")
@click.option("--model", help="Name of the model; default: as stated in the source.")
@click.option("--protocol", help="Protocol to score under; default: the suite's own default.")
@common.data_options
@click.option("--run", metavar="ID", help="Name of the run.")
@common.trust_option
@common.writable_results_option
@common.json_option
def import_(arguments: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Create a run from recorded replies and score it; items without a reply are missing outcomes.

    FORMAT is detected if it is omitted: replies (JSON lines {"id", "repeat", "text", "reasoning", "stop",
    "order"}), matbench, lm-eval, opencompass, vlmevalkit, scieval, inspect, evalscope, lighteval, helm, chembench,
    mathvista, mathvision, mmlu-pro, mmmu.
    """
    if len(arguments) > 2:
        raise UsageError(f"expected [FORMAT] PATH, got {' '.join(arguments)}")
    path = Path(arguments[-1])
    if len(arguments) == 2 and arguments[0] not in formats.READERS and arguments[0] not in DIRECT_READERS:
        raise UnknownName("format", arguments[0], [*DIRECT_READERS, *formats.READERS])
    if not path.exists():
        raise UsageError(f"{path} does not exist")
    if not (path.is_file() or path.is_dir()):  # pipes and devices may block
        raise UsageError(f"{path} is neither a file nor a folder")
    with formats.opened(path, arguments[0] if len(arguments) == 2 else None) as (source, format_name):
        cards, notes = _import_runs(format_name, source, path, options)
    for line in notes:
        common.note(line)
    from evals.commands.show import print_overview
    from evals.run.overview import Overview, aggregates

    print_overview(
        Overview(cards=cards, broken=[], aggregates=aggregates(cards)), by_group=False, as_json=as_json
    )


def _import_runs(
    format_name: str, source: Path, path: Path, options: dict[str, Any]
) -> tuple[list[Card], list[str]]:
    from evals.interop.foreign import import_all
    from evals.interop.replies import ImportRequest

    request = ImportRequest(**options)
    if format_name in DIRECT_READERS:
        cards = formats.load_function(DIRECT_READERS[format_name])(source, request)
        return cards, [f"{card.run}: {note}" for card in cards for note in card.notes]
    return import_all(path, formats.read(format_name, source), request)
