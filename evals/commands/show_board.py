"""`evals show BOARD`: the scores on a board with their verification levels and preregistrations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.commands import common
from evals.errors import UsageError
from evals.terminal.layout import width

if TYPE_CHECKING:
    from evals.terminal.board_numbers import BoardScore


def is_board(folder: Path) -> bool:
    """Return whether a folder is a board."""
    return (folder / "board.toml").is_file()


def show(folder: Path, options: Mapping[str, Any]) -> None:
    """Print the scores of accepted entries, with remarks on broken preregistrations and on challenges that were not passed."""
    for name in ("pivot", "by", "separate", "last", "since"):
        if options[name]:
            raise UsageError(
                f"{folder} is a board, for which `evals show` accepts only --suite, --model, --protocol and --json"
            )
    from evals.terminal import board_numbers

    scores = [score for score in board_numbers.read(folder) if _matches(score, options)]
    if options["as_json"]:
        common.print_json({"numbers": [_json(score) for score in scores]})
    elif not scores:
        common.say("No score matches; `evals board ingest` computes a board's scores.")
    else:
        common.print_lines(board_numbers.layout(scores, width()))
        remarks = [(score, remark) for score in scores for remark in score.remarks]
        if remarks:
            common.say("")
        for score, remark in remarks:
            common.say(f"{score.entry}, {score.result.label}: {remark}")


def _matches(score: BoardScore, options: Mapping[str, Any]) -> bool:
    suite = score.result.suite
    return (
        options["suite"] in ("", suite, suite.partition(":")[0])
        and options["model"].lower() in score.model.lower()
        and options["protocol"] in ("", score.result.protocol)
    )


def _json(score: BoardScore) -> dict[str, Any]:
    result = score.result
    return {
        "entry": score.entry, "model": score.model, "suite": result.suite, "protocol": result.protocol,
        "headline": result.headline, "coverage": result.coverage, "level": result.level, "promise": result.promise,
        "challenge": score.challenge, "decision": score.decision,
    }  # fmt: skip
