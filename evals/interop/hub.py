"""Export to the Hugging Face hub's community evals: `.eval_results/*.yaml` in a model's repository.

An entry is {dataset {id, task_id, revision}, value, date, source, notes}, with values from 0 to 100; only registered
benchmarks have a task id. The interval is stated in the notes, since there is no field for it.
Sources: huggingface_hub 2.4, EvalResultEntry; every-eval-ever 0.3.0, tools/hf_community_evals.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evals.errors import UsageError, needs
from evals.interop import outgoing
from evals.interop.hub_tasks import KNOWN_TASKS, task_of
from evals.interop.outgoing import ExportedFiles, caveat, require_ended, utc_text
from evals.records.card import Card
from evals.records.store import Run, slug


def write(runs: Sequence[Run], out: Path) -> ExportedFiles:
    """Write `<model>/.eval_results/<suite>-<protocol>.yaml` for each run of a registered benchmark; raises UsageError."""
    with needs("export hub", "export"):
        import yaml
    texts: dict[Path, bytes] = {}
    lost: list[str] = []
    for _, card in require_ended(runs):
        if reason := _why_unsuitable(card):
            lost.append(f"{card.config.suite} ({card.config.protocol}), {card.model}: {reason}")
            continue
        name = f"{slug(card.config.suite.replace(':', '-'))}-{card.config.protocol}.yaml"
        path = out / slug(card.model) / ".eval_results" / name
        if path in texts:
            raise UsageError(
                f"{card.model} has several runs of {card.config.suite} ({card.config.protocol}); export one of them"
            )
        text = yaml.safe_dump([_entry(card)], sort_keys=False, allow_unicode=False, width=100)
        texts[path] = text.encode()
    if not texts:
        raise UsageError(f"nothing to export to the hub: {'; '.join(lost)}")
    lost.append(
        "interval, protocol and coverage are only text in `notes`; groups, verdicts and records are left out"
    )
    return ExportedFiles(files=[outgoing.write(path, [text]) for path, text in texts.items()], lost=lost)


def _why_unsuitable(card: Card) -> str:
    """Return why a run cannot be published on the hub; empty if it can."""
    if task_of(card) is None:
        return f"not known to be registered on the hub (known: {', '.join(KNOWN_TASKS)})"
    if caveat(card):
        return caveat(card)
    headline = card.headline
    has_score = headline is not None and headline.value is not None and headline.unit == "fraction"
    return "" if has_score else "no score"


def _entry(card: Card) -> dict[str, Any]:
    headline = card.headline
    if headline is None or headline.value is None:
        raise ValueError(f"{card.run} has no score")
    if (registered := task_of(card)) is None:
        raise ValueError(f"{card.run} is not a run of a registered benchmark")
    dataset, task = registered
    interval = "no interval"
    if headline.low is not None and headline.high is not None:
        interval = f"95 % interval {100 * headline.low:.2f} to {100 * headline.high:.2f} ({headline.method})"
    notes = [
        f"{headline.metric} under protocol {card.config.protocol}", interval, f"n {headline.n}",
        f"coverage {100 * card.coverage:.1f} %",
        "" if card.origin != "run" or card.wording else "reworded prompts",
        f"science-evals, suite version {card.config.version}, run {card.run}",
    ]  # fmt: skip
    date = {} if card.origin.startswith("import") else {"date": utc_text(card.finished or card.started)}
    return {
        "dataset": {"id": dataset, "task_id": task},
        "value": round(100 * headline.value, 10),
        **date,
        "notes": "; ".join(filter(None, notes)),
    }
