"""Export to MLflow: each run becomes an MLflow run with metrics, their intervals, parameters, tags and tables.

What has been logged is never changed. A tag identifies the run, so a second export changes nothing; a run that was scored
again becomes another MLflow run, and the earlier one gets a tag with the id of its successor. The tag with the hash of
the run's state is set last, so an MLflow run without that tag is an interrupted export.
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
from evals.errors import UsageError, needs
from evals.interop import outgoing, tables
from evals.interop.outgoing import ExportedRun, ExportResult, State, require_ended
from evals.records.card import Card
from evals.records.store import Run

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "science-evals"
TAG_PREFIX = "science_evals."
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}
"""Environment variables for MLflow, unless the user has set them: no telemetry, no URLs printed, few retries."""
BATCH_SIZE = 1000
"""Number of metrics in one request: the maximum that MLflow accepts."""
MAX_PARAMETER_LENGTH, MAX_TAG_LENGTH, MAX_METRIC_NAME_LENGTH = 500, 4000, 240
"""Maximum numbers of characters."""
ABANDONED_S = 3600.0
"""Age in seconds from which an unfinished export is considered interrupted and deleted."""
CARD_TAGS = (
    "model", "served", "status", "data", "source", "gated", "origin", "coverage", "expected", "truncated", "counts",
    "tokens", "cost_usd", "chance", "errata", "commit", "packages", "notes", "scorers", "health",
)  # fmt: skip
"""Fields of a card that become tags; the whole card is the artifact card.json."""


def write(runs: Sequence[Run], to: str, *, experiment: str = EXPERIMENT) -> ExportResult:
    """Write runs to a tracking server or database; `to` is its URI, empty for the one in MLFLOW_TRACKING_URI."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    pairs = require_ended(runs)
    uri = _checked_uri(to or os.environ.get("MLFLOW_TRACKING_URI", ""))
    with foreign_code(lambda text: UsageError(f"MLflow: {text[:300]}")), redirect_stdout(sys.stderr):
        with needs("export mlflow", "mlflow"):
            from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=uri)
        experiment_id = _experiment_id(client, experiment)
        exported = [_write_run(client, experiment_id, run, card) for run, card in pairs]
    lost = [
        *outgoing.lost_information([card for _, card in pairs]),
        "characters that MLflow does not allow in names of metrics, such as @",
    ]
    return ExportResult(runs=exported, lost=lost)


def _checked_uri(uri: str) -> str:
    """Return the URI; raise UsageError if it is missing, invalid or contains credentials."""
    if not uri:
        raise UsageError("name the tracking server with --to http://host:5000 or MLFLOW_TRACKING_URI")
    try:
        parts = urlsplit(uri)
        password = parts.password
    except ValueError:
        raise UsageError("the tracking URI is not valid") from None
    if password is not None or parts.query:
        raise UsageError(
            "the tracking URI must not contain credentials; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
    return uri


def _experiment_id(client: MlflowClient, name: str) -> str:
    """Return the id of an experiment, which is created if it does not exist."""
    from mlflow.exceptions import MlflowException

    if (experiment := client.get_experiment_by_name(name)) is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:  # another process may have created it first
            if (experiment := client.get_experiment_by_name(name)) is None:
                raise
    if experiment.lifecycle_stage != "active":
        raise UsageError(f"MLflow: the experiment {name} was deleted; name another one with --experiment")
    return str(experiment.experiment_id)


def _write_run(client: MlflowClient, experiment_id: str, run: Run, card: Card) -> ExportedRun:
    state_hash = outgoing.state_hash(card)
    earlier = _complete_runs(client, experiment_id, card)
    id_ = next((id_ for id_, hash_ in earlier.items() if hash_ == state_hash), None)
    state: State = "unchanged"
    if id_ is None:
        created = _log_run(client, experiment_id, run, card, version=len(earlier) + 1)
        id_ = _deduplicate(client, experiment_id, card)
        if id_ == created:  # else another process exported the same state meanwhile
            state = "new version" if earlier else "new"
        for earlier_id in earlier:
            client.set_tag(earlier_id, f"{TAG_PREFIX}superseded_by", id_)
    return ExportedRun(run=card.run, suite=card.config.suite, state=state, place=f"run {id_}")


def _complete_runs(client: MlflowClient, experiment_id: str, card: Card) -> dict[str, str]:
    """Return the ids of a run's MLflow runs and the hashes of their states; delete interrupted exports."""
    runs = client.search_runs(
        [experiment_id], f"tags.`{TAG_PREFIX}id` = '{outgoing.run_key(card)}'", max_results=1000
    )
    complete = {}
    for run in runs:
        if state_hash := run.data.tags.get(f"{TAG_PREFIX}state_sha256", ""):
            complete[str(run.info.run_id)] = str(state_hash)
        elif time.time() - float(run.data.tags.get(f"{TAG_PREFIX}exported", "inf")) > ABANDONED_S:
            client.delete_run(run.info.run_id)
    return complete


def _deduplicate(client: MlflowClient, experiment_id: str, card: Card) -> str:
    """Return the id of the MLflow run of this state; if several processes created one, delete all but the first."""
    state_hash = outgoing.state_hash(card)
    first, *others = sorted(
        id_ for id_, hash_ in _complete_runs(client, experiment_id, card).items() if hash_ == state_hash
    )
    for id_ in others:
        client.delete_run(id_)
    return first


def _log_run(client: MlflowClient, experiment_id: str, run: Run, card: Card, *, version: int) -> str:
    tags = {
        f"{TAG_PREFIX}id": outgoing.run_key(card),
        f"{TAG_PREFIX}version": str(version),
        f"{TAG_PREFIX}exported": repr(time.time()),
    }
    name = outgoing.sanitize(f"{card.config.suite} {card.model} {card.run}")[:200]
    started = int(1000 * (card.started or time.time()))
    created = client.create_run(experiment_id, start_time=started, run_name=name, tags=tags)
    id_ = str(created.info.run_id)
    with ExitStack() as cleanup:
        cleanup.callback(_delete_run, client, id_)
        _log_fields(client, id_, card, time_ms=int(1000 * (card.finished or card.started or time.time())))
        client.log_text(id_, msgspec.json.format(msgspec.json.encode(card), indent=1).decode(), "card.json")
        samples = [row[tables.RECORD_CELLS] for row in tables.sample_rows(run, card)]
        client.log_text(id_, _table_json(tables.SAMPLE_COLUMNS[tables.RECORD_CELLS], samples), "samples.json")
        scores = [tables.score_row(card, e)[tables.ESTIMATE_CELLS] for e in card.estimates]
        client.log_text(id_, _table_json(tables.SCORE_COLUMNS[tables.ESTIMATE_CELLS], scores), "scores.json")
        artifacts = [{"path": path, "type": "table"} for path in ("samples.json", "scores.json")]
        client.set_tag(id_, "mlflow.loggedArtifacts", msgspec.json.encode(artifacts).decode())
        client.set_terminated(id_, "FINISHED", int(1000 * card.finished) if card.finished else None)
        client.set_tag(id_, f"{TAG_PREFIX}state_sha256", outgoing.state_hash(card))
        cleanup.pop_all()
    return id_


def _delete_run(client: MlflowClient, id_: str) -> None:
    """Delete an MLflow run that could not be written completely."""
    with foreign_code(UsageError):
        client.delete_run(id_)


def _log_fields(client: MlflowClient, id_: str, card: Card, *, time_ms: int) -> None:
    """Log a run's metrics, parameters and tags."""
    from mlflow.entities import Metric, Param, RunTag

    values = iter(_metrics(card).items())
    while batch := [Metric(name, value, time_ms, 0) for name, value in islice(values, BATCH_SIZE)]:
        client.log_batch(id_, metrics=batch)
    settings = msgspec.to_builtins(card.config)
    settings |= {f"sampling.{name}": value for name, value in settings.pop("sampling").items()}
    parameters = {
        name: _tag_text(value)[:MAX_PARAMETER_LENGTH]
        for name, value in settings.items()
        if value not in (None, "", [])
    }
    fields = msgspec.to_builtins(card)
    tags = {
        name: _tag_text(fields[name])[:MAX_TAG_LENGTH]
        for name in CARD_TAGS
        if fields[name] not in (None, "", [], {})
    }
    client.log_batch(
        id_,
        params=[Param(name, value) for name, value in parameters.items()],
        tags=[RunTag(f"card.{name}", value) for name, value in tags.items()],
    )


def _metrics(card: Card) -> dict[str, float]:
    """Return the estimates by name in MLflow: `accuracy`, `accuracy.low`, `accuracy.high`, `accuracy.n`, `accuracy/GROUP`."""
    metrics: dict[str, float] = {"coverage": card.coverage}
    for e in card.estimates:
        name = f"{e.metric}/{e.group}" if e.group else e.metric
        base = re.sub(r"[^\w.\- :/]", "_", name, flags=re.ASCII)[:MAX_METRIC_NAME_LENGTH]
        name, number = base, 1
        while name in metrics:  # names that differ only in characters that MLflow does not allow
            number += 1
            name = f"{base}_{number}"
        values = {"": e.value, ".low": e.low, ".high": e.high, ".n": float(e.n)}
        metrics |= {name + suffix: float(value) for suffix, value in values.items() if value is not None}
    return metrics


def _tag_text(value: Any) -> str:
    return outgoing.sanitize(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def _table_json(columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> str:
    """Return a table as JSON in the layout that MLflow displays."""
    return msgspec.json.encode({"columns": columns, "data": rows}).decode()
