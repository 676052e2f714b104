"""Runs as tables: an index of cards, and SQL queries over the records of runs.

Results are cached by path, modification time and size of the files. Runs are never loaded completely: DuckDB selects what a
page shows, from the Parquet files of finished runs and the JSON Lines files of active ones.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from msgspec import Struct, structs

from evals.challenge.summary import Challenge, challenge_of_run
from evals.errors import StoreError
from evals.records import store
from evals.records.card import Card
from evals.records.files import unread_bytes
from evals.remote import cache
from evals.types import Estimate

if TYPE_CHECKING:
    import pandas as pd

Stamp: TypeAlias = tuple[tuple[str, int, int], ...]
"""Name, modification time in nanoseconds and size in bytes of each file, to detect changes."""

FILES = ("records.parquet", "records.jsonl", "samples.parquet", "samples.jsonl")
"""Names of the files that queries read; a run has some of them."""


class Entry(Struct, frozen=True, kw_only=True):
    """A run in the index."""

    path: Path
    card: Card
    """The run's card without the estimates by group, which `group_estimates` reads."""
    challenge: Challenge | None = None
    """The run's challenge; None if it was not challenged."""
    shares_id: bool = False
    """Whether runs of other models have the same id (`evals run -m A -m B --run NAME`, or imported runs)."""

    @property
    def name(self) -> str:
        """Return the name of the run in lists and URLs: its id, and its model if several models share the id."""
        return f"{self.card.run} ({self.card.model})" if self.shares_id else self.card.run

    @property
    def headline(self) -> Estimate | None:
        """Return the run's headline estimate; None if nothing is scored yet."""
        return self.card.headline

    @property
    def is_scored(self) -> bool:
        """Return whether the headline has a value."""
        return self.headline is not None and self.headline.value is not None

    def precedence(self) -> tuple[bool, float]:
        """Return a key under which the newest complete run, or the newest if none is complete, is the largest."""
        return self.card.complete, self.card.started

    @property
    def configuration(self) -> tuple[str, str, str]:
        """Return the suite, the protocol and the hash of the data, which comparable runs have in common."""
        return self.card.config.suite, self.card.config.protocol, self.card.config.data_sha256


class BrokenRun(NamedTuple):
    """A run that cannot be read."""

    path: Path
    reason: str


class Index(NamedTuple):
    """All runs of a results folder, newest last."""

    entries: tuple[Entry, ...]
    broken: tuple[BrokenRun, ...]

    def find(self, run: str, suite: str = "") -> Entry | None:
        """Return the newest run with this name or id; `suite` selects among the runs of one command, which share their id."""
        runs = [entry for entry in reversed(self.entries) if suite in ("", entry.card.config.suite)]
        by_name = (entry for entry in runs if entry.name == run)
        return next(by_name, next((entry for entry in runs if entry.card.run == run), None))


_RUNS: dict[str, tuple[store.Stamp | None, Entry | BrokenRun]] = {}
"""Runs by path, with the stamps that they had when they were read; `index` removes deleted runs."""


MAX_CHECKED_BYTES = 8 << 20
"""Maximum number of bytes that one call of `index` checks in other installations' files; checking takes half a second."""
_PENDING: SimpleQueue[tuple[str, store.Stamp]] = SimpleQueue()
"""Paths and stamps of the runs to check in the background."""
_CHECKER: list[Thread] = []
"""The thread that checks pending runs; empty until there are any."""
_CHECKER_LOCK = Lock()


def index(results: Path) -> Index:
    """Return the runs of a results folder; only cards that have changed since the last call are read.

    Files written by another installation are checked, beyond `MAX_CHECKED_BYTES` in the background. Until they have been
    checked, their runs count as readable; a query checks the runs that it reads.
    """
    stamps = store.stamps(results)
    remaining, runs = MAX_CHECKED_BYTES, []
    for path, current_stamp in stamps.items():
        run, size = _read_run(path, current_stamp, remaining)
        remaining -= size
        runs.append(run)
    if len(_RUNS) > len(stamps):
        prefix = f"{results}{os.sep}"
        for path in list(_RUNS):  # a copy, because other threads change it
            if path.startswith(prefix) and path not in stamps:
                _RUNS.pop(path, None)
    return Index(
        tuple(_mark_shared_ids([run for run in runs if isinstance(run, Entry)])),
        tuple(run for run in runs if isinstance(run, BrokenRun)),
    )


def _mark_shared_ids(entries: Sequence[Entry]) -> list[Entry]:
    """Return the runs with `shares_id` set; changed runs are cached, so that they are the same objects in the next call."""
    models: dict[str, set[str]] = {}
    for entry in entries:
        models.setdefault(entry.card.run, set()).add(entry.card.model)
    marked_entries = []
    for entry in entries:
        shares_id = len(models[entry.card.run]) > 1
        marked = entry if entry.shares_id == shares_id else structs.replace(entry, shares_id=shares_id)
        cached = _RUNS.get(str(entry.path))
        if marked is not entry and cached and cached[1] is entry:
            _RUNS[str(entry.path)] = (cached[0], marked)
        marked_entries.append(marked)
    return marked_entries


def _read_run(path: str, current_stamp: store.Stamp, max_bytes: int) -> tuple[Entry | BrokenRun, int]:
    """Return a run, and the number of bytes read to check it; 0 if this would exceed `max_bytes`, so that it is checked later."""
    cached = _RUNS.get(path)
    if cached and cached[0] == current_stamp:
        return cached[1], 0
    run: Entry | BrokenRun
    size, is_deferred = 0, False
    try:
        card = store.read_card(Path(path))
        size = unread_bytes(Path(path), card)
        is_deferred = size > max(max_bytes, 0)
        if not is_deferred:
            store.check(Path(path), card)
        elif damage := store.damage(Path(path), card):
            raise StoreError(damage)
        suite_estimates = tuple(estimate for estimate in card.estimates if not estimate.group)
        run = Entry(
            path=Path(path),
            card=structs.replace(card, estimates=suite_estimates),
            challenge=challenge_of_run(Path(path), card),
        )
    except StoreError as error:
        run, is_deferred = BrokenRun(Path(path), str(error)), False
    _RUNS[path] = (current_stamp, run)
    if not is_deferred:
        return run, size
    _PENDING.put((path, current_stamp))
    with _CHECKER_LOCK:
        if not _CHECKER:
            _CHECKER.append(Thread(target=_check_pending, daemon=True))
            _CHECKER[0].start()
    return run, 0


def _check_pending() -> None:
    """Check the files of pending runs in an endless loop; a run with an unreadable file becomes a broken run."""
    while True:
        path, current_stamp = _PENDING.get()
        if (_RUNS.get(path) or (None,))[0] != current_stamp:
            continue  # changed or deleted; the next call of `index` reads it
        if reason := fault(Path(path)):
            _RUNS[path] = (current_stamp, BrokenRun(Path(path), reason))


def fault(path: Path) -> str:
    """Return why a run cannot be read; empty if it can. The result is cached until the card or a data file changes."""
    return _fault(path, stamp(path, ("card.json", *FILES)))


@lru_cache(maxsize=512)
def _fault(path: Path, _stamp: Stamp) -> str:
    try:
        store.check(path)
    except StoreError as error:
        return str(error)
    return ""


def group_estimates(path: Path) -> tuple[Estimate, ...]:
    """Return a run's estimates by group, headline metric first; raises StoreError if the card is broken."""
    card = store.read_card(path)
    headline_metric = next((estimate.metric for estimate in card.estimates if estimate.headline), "")
    return tuple(sorted((e for e in card.estimates if e.group), key=lambda e: e.metric != headline_metric))


def stamp(path: Path, files: Sequence[str] = FILES) -> Stamp:
    """Return the stamp of a run's files; files that do not exist are left out."""
    stats = []
    for name in files:
        with suppress(OSError):
            stat = (path / name).stat()
            stats.append((name, stat.st_mtime_ns, stat.st_size))
    return tuple(stats)


def query(
    paths: Path | Sequence[Path], sql: str, parameters: Sequence[Any] = (), *, cache_result: bool = True
) -> pd.DataFrame:
    """Return the result of an SQL query on the tables `records` and `samples` of runs; raises StoreError for a broken run.

    `records` has path, sample, repeat, verdict, value, answer, stop, seconds, input_tokens, output_tokens,
    reasoning_tokens, cached_tokens, started, and the JSON texts scores, prompt, outcome; `samples` has path, id,
    group, cluster, target (JSON), options (their number), json. Select only the columns needed: texts are read only if the
    query names them. `cache_result`: false for results with a row per sample of many runs, which would fill the memory.
    """
    folders = (paths,) if isinstance(paths, Path) else tuple(paths)
    for path in folders:
        cache.fetch_all(path)
        if reason := fault(path):
            raise StoreError(reason)
    for _ in range(MAX_ATTEMPTS):
        runs = tuple((path, stamp(path)) for path in folders)
        try:
            run_query = _query if cache_result else _query.__wrapped__
            frame: pd.DataFrame = run_query(runs, sql, tuple(parameters))
        except StoreError:
            if runs == tuple((path, stamp(path)) for path in folders):
                raise
            continue
        if _file_names(runs) == _file_names(tuple((path, stamp(path)) for path in folders)):
            return frame.copy(deep=False)
        # otherwise a run was finished during the query, and records may be missing or duplicated
    raise StoreError(f"{folders[0]}: the files change faster than they can be read")


MAX_ATTEMPTS = 20
"""Number of attempts to query runs whose files change meanwhile."""


def _file_names(runs: tuple[tuple[Path, Stamp], ...]) -> list[list[str]]:
    return [[name for name, *_ in files] for _, files in runs]


@lru_cache(maxsize=128)
def _query(runs: tuple[tuple[Path, Stamp], ...], sql: str, parameters: tuple[Any, ...]) -> pd.DataFrame:
    import duckdb

    config: dict[str, str | bool | int | float | list[str]]
    config = {"memory_limit": "160MB", "threads": 2, "autoinstall_known_extensions": False}
    try:
        with duckdb.connect(config=config) as connection:
            for name, select in (("records", _select_records), ("samples", _select_samples)):
                selects = [select(path, [file for file, *_ in files]) for path, files in runs]
                if view_sql := " UNION ALL BY NAME ".join(filter(None, selects)):
                    connection.execute(f"CREATE TEMP VIEW {name} AS {view_sql}")
                else:  # the runs have no files yet
                    connection.execute(f"CREATE TEMP TABLE {name} ({COLUMNS[name]})")
            return connection.execute(sql, list(parameters)).df()
    except duckdb.Error as error:
        raise StoreError(f"{runs[0][0] if runs else 'no run'}: {error}") from error


def _sql_string(text: object) -> str:
    return "'" + str(text).replace("'", "''") + "'"


def _sql_path(path: Path) -> str:
    """Return a path as an SQL string, with wildcards escaped, because DuckDB reads file names as patterns."""
    return _sql_string("".join(f"[{c}]" if c in "*?[" else c for c in str(path)))


COLUMNS = {
    "records": "path VARCHAR, sample VARCHAR, repeat INT, verdict VARCHAR, value DOUBLE, answer VARCHAR, stop VARCHAR, "
    "seconds DOUBLE, input_tokens BIGINT, output_tokens BIGINT, reasoning_tokens BIGINT, cached_tokens BIGINT, "
    "started DOUBLE, scores VARCHAR, prompt VARCHAR, outcome VARCHAR",
    "samples": 'path VARCHAR, id VARCHAR, "group" VARCHAR, cluster VARCHAR, target VARCHAR, options INT, json VARCHAR',
}
_PARQUET_COLUMNS = ", ".join(column.split()[0] for column in COLUMNS["records"].split(", ")[1:])

_JSONL_QUERY = """
    SELECT j->>'sample' AS sample, (j->>'repeat')::INT AS repeat,
        CASE WHEN j->'outcome'->>'type' = 'failure' THEN 'failed:' || (j->'outcome'->>'kind')
             WHEN s IS NULL THEN 'failed:unscored'
             WHEN s->>'type' = 'failure' THEN 'failed:' || (s->>'kind') ELSE s->>'verdict' END AS verdict,
        (s->>'value')::DOUBLE AS value, s->>'answer' AS answer, coalesce(j->'outcome'->>'stop', '') AS stop,
        coalesce((j->'outcome'->>'seconds')::DOUBLE, 0) AS seconds,
        (j->'outcome'->'usage'->>'input')::BIGINT AS input_tokens,
        (j->'outcome'->'usage'->>'output')::BIGINT AS output_tokens,
        (j->'outcome'->'usage'->>'reasoning')::BIGINT AS reasoning_tokens,
        (j->'outcome'->'usage'->>'cached')::BIGINT AS cached_tokens,
        (j->>'started')::DOUBLE AS started, (j->'scores')::VARCHAR AS scores,
        (j->'prompt')::VARCHAR AS prompt, (j->'outcome')::VARCHAR AS outcome
    FROM (SELECT json AS j, json_extract(json, '$.scores.*')[1] AS s FROM read_ndjson_objects({file}, ignore_errors=true, hive_partitioning=false)
          WHERE json IS NOT NULL)
"""
"""Select the columns of the Parquet file from a JSON Lines file; an incomplete last line is ignored."""


def _select_records(path: Path, files: Sequence[str]) -> str:
    """Return an SQL query of a run's records; empty if the run has no record files."""
    selects = []
    if "records.parquet" in files:
        selects.append(
            f"SELECT 0 AS position, {_PARQUET_COLUMNS} FROM read_parquet({_sql_path(path / 'records.parquet')}, hive_partitioning=false)"
        )
    if "records.jsonl" in files:
        selects.append(
            f"SELECT row_number() OVER () AS position, * FROM ({_JSONL_QUERY.format(file=_sql_path(path / 'records.jsonl'))})"
        )
    if not selects:
        return ""
    latest = "QUALIFY row_number() OVER (PARTITION BY sample, repeat ORDER BY position DESC) = 1"
    deduplicate = latest if "records.jsonl" in files else ""
    return f"(SELECT {_sql_string(path)} AS path, * EXCLUDE (position) FROM ({' UNION ALL BY NAME '.join(selects)}) {deduplicate})"


def _select_samples(path: Path, files: Sequence[str]) -> str:
    """Return an SQL query of a run's samples; empty if the run has no sample files."""
    if "samples.parquet" in files:
        source = f'SELECT id, "group", cluster, target, options, json FROM read_parquet({_sql_path(path / "samples.parquet")}, hive_partitioning=false)'
    elif "samples.jsonl" in files:
        source = f"""
            SELECT j->>'id' AS id, coalesce(j->>'group', '') AS "group", coalesce(j->>'cluster', j->>'id') AS cluster,
                (j->'target')::VARCHAR AS target, coalesce(json_array_length(j->'choices'), 0)::INT AS options,
                j::VARCHAR AS json
            FROM (SELECT json AS j FROM read_ndjson_objects({_sql_path(path / "samples.jsonl")}, ignore_errors=true, hive_partitioning=false)
                  WHERE json IS NOT NULL)"""
    else:
        return ""
    return f"(SELECT {_sql_string(path)} AS path, * FROM ({source}))"
