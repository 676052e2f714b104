"""Export to MLflow: a run as a run of an experiment, with metrics, their intervals, parameters, tags and tables.

MLflow never changes what was logged, and neither does this: a run is identified by a tag, a second export changes
nothing, and a run that was scored again becomes a further MLflow run, named by a tag of the earlier one. The tag with
the hash of its state is set last, so that a run without it is one whose export was interrupted.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stdout
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from evals.boundary import foreign_code
from evals.errors import UsageError, install
from evals.interop import sinks, tables
from evals.interop.outgoing import ended
from evals.interop.sinks import Exported, Sink, State
from evals.records.card import Card
from evals.records.store import Run

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "science-evals"
TAG = "science_evals."
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}
"""Environment variables of MLflow, unless the user has set them: no telemetry, quiet, an answer within seconds."""
AT_ONCE = 1000
"""Metrics in one request, the most that MLflow takes."""
LONGEST_PARAMETER = 500
LONGEST_TAG = 4000
LONGEST_KEY = 240
ABANDONED_S = 3600.0
"""Age in seconds from which an unfinished export is taken for interrupted, and deleted."""
CARD = (
    "model", "served", "status", "data", "source", "gated", "origin", "coverage", "expected", "truncated", "counts",
    "tokens", "cost_usd", "chance", "errata", "commit", "packages", "notes", "scorers", "health",
)  # fmt: skip
"""Fields of a card that become tags; all of it is the artifact card.json."""


def write(runs: Sequence[Run], to: str, *, experiment: str = EXPERIMENT) -> Sink:
    """Write runs to a tracking server or database; `to`: its URI, empty for MLFLOW_TRACKING_URI."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    pairs = ended(runs)
    uri = _checked(to or os.environ.get("MLFLOW_TRACKING_URI", ""))
    with foreign_code(lambda text: UsageError(f"MLflow: {text[:300]}")), redirect_stdout(sys.stderr):
        client = _client(uri)
        place = _experiment(client, experiment)
        exported = [_write_run(client, place, run, card) for run, card in pairs]
    lines = [
        *sinks.lost([card for _, card in pairs]),
        "characters that MLflow does not take in names of metrics, such as @",
    ]
    return Sink(runs=exported, lost=lines)


def _checked(uri: str) -> str:
    """Return a URI; raises UsageError if it is missing or holds a password."""
    if not uri:
        raise UsageError("name the tracking server: --to http://host:5000, or MLFLOW_TRACKING_URI")
    try:
        parts = urlsplit(uri)
        password = parts.password
    except ValueError:
        raise UsageError("the tracking URI is no URI") from None
    if password is not None or parts.query:
        raise UsageError(
            "a tracking URI holds no credentials; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
    return uri


def _client(uri: str) -> MlflowClient:
    try:
        from mlflow import MlflowClient
    except ImportError:
        raise UsageError(f"export mlflow needs `{install('mlflow')}`") from None
    return MlflowClient(tracking_uri=uri)


def _experiment(client: MlflowClient, name: str) -> str:
    from mlflow.exceptions import MlflowException

    if (known := client.get_experiment_by_name(name)) is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:  # another process was faster, or this raises again
            if (known := client.get_experiment_by_name(name)) is None:
                raise
    if known.lifecycle_stage != "active":
        raise UsageError(f"MLflow: the experiment {name} was deleted; name another one with --experiment")
    return str(known.experiment_id)


def _write_run(client: MlflowClient, experiment: str, run: Run, card: Card) -> Exported:
    state_hash = sinks.state_hash(card)
    earlier = _complete(client, experiment, card)
    same = [id_ for id_, state in earlier.items() if state == state_hash]
    state: State = "unchanged"
    if not same:
        state = "new version" if earlier else "new"
        same = [_log(client, experiment, run, card, version=len(earlier) + 1)]
        if (first := _deduplicated(client, experiment, card, same[0])) != same[0]:
            state, same = "unchanged", [first]  # another process exported the same state meanwhile
        for id_ in earlier:
            client.set_tag(id_, f"{TAG}superseded_by", same[0])
    return Exported(run=card.run, suite=card.config.suite, state=state, place=f"run {same[0]}")


def _complete(client: MlflowClient, experiment: str, card: Card) -> dict[str, str]:
    """Return the MLflow runs of a run and the hashes of their states; delete those whose export was interrupted."""
    runs = client.search_runs([experiment], f"tags.`{TAG}id` = '{sinks.key(card)}'", max_results=1000)
    complete = {}
    for entry in runs:
        if state := entry.data.tags.get(f"{TAG}state_sha256", ""):
            complete[str(entry.info.run_id)] = str(state)
        elif time.time() - float(entry.data.tags.get(f"{TAG}exported", "inf")) > ABANDONED_S:
            client.delete_run(entry.info.run_id)
    return complete


def _deduplicated(client: MlflowClient, experiment: str, card: Card, own: str) -> str:
    """Return the one MLflow run of this state; of several, made at once, the others are deleted."""
    state = sinks.state_hash(card)
    first, *others = sorted(
        id_ for id_, other in _complete(client, experiment, card).items() if other == state
    )
    for id_ in others:
        client.delete_run(id_)
    return first


def _log(client: MlflowClient, experiment: str, run: Run, card: Card, *, version: int) -> str:
    tags = {f"{TAG}id": sinks.key(card), f"{TAG}version": str(version), f"{TAG}exported": repr(time.time())}
    name = sinks.clean(f"{card.config.suite} {card.model} {card.run}")[:200]
    begun = int(1000 * (card.started or time.time()))
    entry = client.create_run(experiment, start_time=begun, run_name=name, tags=tags)
    id_ = str(entry.info.run_id)
    with ExitStack() as cleanup:
        cleanup.callback(_delete, client, id_)
        _log_numbers(client, id_, card, when=int(1000 * (card.finished or card.started or time.time())))
        client.log_text(id_, msgspec.json.format(msgspec.json.encode(card), indent=1).decode(), "card.json")
        client.log_text(
            id_,
            _table(tables.SAMPLES[4:], [row[4:] for row in tables.sample_rows(run, card)]),
            "samples.json",
        )
        scores = [row[8:21] for row in (tables.score_row(card, e) for e in card.estimates)]
        client.log_text(id_, _table(tables.SCORES[8:21], scores), "scores.json")
        listed = [{"path": path, "type": "table"} for path in ("samples.json", "scores.json")]
        client.set_tag(id_, "mlflow.loggedArtifacts", msgspec.json.encode(listed).decode())
        client.set_terminated(id_, "FINISHED", int(1000 * card.finished) if card.finished else None)
        client.set_tag(id_, f"{TAG}state_sha256", sinks.state_hash(card))
        cleanup.pop_all()
    return id_


def _delete(client: MlflowClient, id_: str) -> None:
    """Delete a run that could not be written completely."""
    with foreign_code(UsageError):
        client.delete_run(id_)


def _log_numbers(client: MlflowClient, id_: str, card: Card, *, when: int) -> None:
    from mlflow.entities import Metric, Param, RunTag

    values = iter(_metrics(card).items())
    while several := [Metric(name, value, when, 0) for name, value in islice(values, AT_ONCE)]:
        client.log_batch(id_, metrics=several)
    settings = msgspec.to_builtins(card.config)
    settings |= {f"sampling.{name}": value for name, value in settings.pop("sampling").items()}
    parameters = {
        name: _text(value)[:LONGEST_PARAMETER]
        for name, value in settings.items()
        if value not in (None, "", [])
    }
    fields = msgspec.to_builtins(card)
    tags = {
        name: _text(fields[name])[:LONGEST_TAG] for name in CARD if fields[name] not in (None, "", [], {})
    }
    client.log_batch(
        id_,
        params=[Param(name, value) for name, value in parameters.items()],
        tags=[RunTag(f"card.{name}", value) for name, value in tags.items()],
    )


def _metrics(card: Card) -> dict[str, float]:
    """Return the estimates by MLflow's names: `accuracy`, `accuracy.low`, `accuracy.high`, `accuracy.n`, `accuracy/GROUP`."""
    metrics: dict[str, float] = {"coverage": card.coverage}
    for e in card.estimates:
        base = re.sub(r"[^\w.\- :/]", "_", f"{e.metric}/{e.group}" if e.group else e.metric, flags=re.ASCII)[
            :LONGEST_KEY
        ]
        name, number = base, 1
        while name in metrics:  # two names that differ only in characters that MLflow does not take
            number += 1
            name = f"{base}_{number}"
        values = {"": e.value, ".low": e.low, ".high": e.high, ".n": float(e.n)}
        metrics |= {name + part: float(value) for part, value in values.items() if value is not None}
    return metrics


def _text(value: Any) -> str:
    return sinks.clean(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def _table(columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> str:
    """Return a table as MLflow's pages show it."""
    return msgspec.json.encode({"columns": columns, "data": rows}).decode()
