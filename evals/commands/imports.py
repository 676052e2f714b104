"""`evals import`: make runs of replies recorded by another tool. A format is a function in `evals/interop/`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evals.commands import common
from evals.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from evals.records.card import Card

DIRECT = {"replies": "replies:read_replies", "matbench": "matbench:read_results"}
"""Formats whose readers create the runs themselves -> module:function below evals.interop."""


@click.command("import")
@click.argument("words", nargs=-1, required=True, metavar="[FORMAT] PATH")
@click.option("--suite", help="Suite with its variant; default: as the source says.")
@click.option("--model", help="Name of the model that replied; default: as the source says.")
@click.option("--protocol", help="Rules to score by; default: the suite's first.")
@common.data_options
@click.option("--run", metavar="ID", help="Name the run.")
@common.trust_option
@common.written_results_option
@common.json_option
def import_(words: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Make a run of recorded replies and score it; items without a reply are missing outcomes.

    FORMAT is guessed when it is left out: replies (JSON lines {"id", "repeat", "text", "reasoning", "stop",
    "order"}), matbench, lm-eval, opencompass, vlmevalkit, inspect, evalscope, lighteval, helm, chembench,
    mathvista, mathvision, mmlu-pro, mmmu.
    """
    from evals.interop import formats

    if len(words) > 2:
        raise UsageError(f"one path at a time: {' '.join(words)}")
    path = Path(words[-1])
    if len(words) == 2 and words[0] not in formats.READERS and words[0] not in DIRECT:
        raise UnknownName("format", words[0], [*DIRECT, *formats.READERS])
    if not (path.is_file() or path.is_dir()):  # not a pipe or a device, which may block
        raise UsageError(f"{path} does not exist, or is neither a file nor a folder")
    with formats.opened(path, words[0] if len(words) == 2 else None) as (source, format_name):
        cards, notes = _read(format_name, source, path, options)
    for line in notes:
        common.note(line)
    from evals.commands.show import print_overview
    from evals.run.overview import Overview, aggregates

    print_overview(
        Overview(cards=cards, broken=[], aggregates=aggregates(cards)), by_group=False, as_json=as_json
    )


def _read(
    format_name: str, source: Path, path: Path, options: dict[str, Any]
) -> tuple[list[Card], list[str]]:
    from evals.interop import formats
    from evals.interop.foreign import import_all
    from evals.interop.replies import ImportRequest

    request = ImportRequest(**options)
    if format_name in DIRECT:
        module, _, function = DIRECT[format_name].partition(":")
        cards = getattr(import_module(f"evals.interop.{module}"), function)(source, request)
        return cards, [f"{card.run}: {note}" for card in cards for note in card.notes]
    return import_all(path, formats.read(format_name, source), request)
