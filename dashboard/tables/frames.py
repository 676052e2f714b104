"""Runs as tables: an index of cards, and DuckDB over the records of chosen runs. Nothing here draws.

Everything is cached by path, modification time and size, and read again only if a file has changed. A whole run is
never in memory: what a page shows is selected in SQL, over the Parquet files of a sealed run and the JSON lines of a
growing one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from msgspec import Struct, structs

from evals.challenge.summary import Challenge, beside_run
from evals.errors import StoreError
from evals.records import store
from evals.records.card import Card
from evals.records.files import unread_bytes
from evals.remote import cache
from evals.types import Estimate

if TYPE_CHECKING:
    import pandas as pd

Stamp: TypeAlias = tuple[tuple[str, int, int], ...]
"""Per file: name, modification time in nanoseconds, size in bytes. Another stamp, another content."""

FILES = ("records.parquet", "records.jsonl", "samples.parquet", "samples.jsonl")


class Entry(Struct, frozen=True, kw_only=True):
    """A run as the index knows it."""

    path: Path
    card: Card
    """Only with the estimates of whole suites; `groups` reads the others."""
    challenge: Challenge | None = None
    """By the outcome beside the run."""

    @property
    def headline(self) -> Estimate | None:
        """Return the run's headline estimate; None if nothing was scored yet."""
        return self.card.headline


class Broken(NamedTuple):
    """A run that cannot be read."""

    path: Path
    why: str


class Index(NamedTuple):
    """All runs of a results folder, the newest last."""

    entries: tuple[Entry, ...]
    broken: tuple[Broken, ...]

    def find(self, run: str, suite: str = "") -> Entry | None:
        """Return the newest run of an id (and of a suite, since one command may run several under one id)."""
        runs = [e for e in self.entries if e.card.run == run and suite in ("", e.card.config.suite)]
        return runs[-1] if runs else None


_CARDS: dict[str, tuple[store.Stamp | None, Entry | Broken]] = {}
"""Runs by path, with their state when they were read; deleted runs are dropped with the next index."""


AT_ONCE = 8 << 20
"""Bytes of copied or foreign files that `index` reads to check them, about half a second."""
_LATER: SimpleQueue[tuple[str, store.Stamp]] = SimpleQueue()
"""Runs whose files are to be checked in the background."""
_START = Lock()
_CHECKER: list[Thread] = []


def index(results: Path) -> Index:
    """Read the cards of a results folder; those that have not changed since the last time are not read again.

    Files that were copied or made elsewhere are checked too. If they have more than `AT_ONCE` bytes, the others are
    checked in the background: until then their runs are listed by their cards, and any query checks what it reads.
    """
    stamps = store.stamps(results)
    left, runs = AT_ONCE, []
    for path, now in stamps.items():
        run, size = _card(path, now, left)
        left -= size
        runs.append(run)
    if len(_CARDS) > len(stamps):
        inside = f"{results}{os.sep}"
        for path in list(_CARDS):  # a copy: others write to it meanwhile
            if path.startswith(inside) and path not in stamps:
                _CARDS.pop(path, None)
    return Index(
        tuple(run for run in runs if isinstance(run, Entry)),
        tuple(run for run in runs if isinstance(run, Broken)),
    )


def _card(path: str, now: store.Stamp, most: int) -> tuple[Entry | Broken, int]:
    """Return a run and the bytes that were read to check its files; at most so many.

    A run whose state is the same as the last time is not read again.
    """
    known = _CARDS.get(path)
    if known and known[0] == now:
        return known[1], 0
    run: Entry | Broken
    size, later = 0, False
    try:
        card = store.read_card(Path(path))
        size = unread_bytes(Path(path), card)
        later = size > max(most, 0)
        if not later:
            store.check(Path(path), card)
        elif line := store.damage(Path(path), card):
            raise StoreError(line)
        whole = tuple(estimate for estimate in card.estimates if not estimate.group)
        run = Entry(
            path=Path(path),
            card=structs.replace(card, estimates=whole),
            challenge=beside_run(Path(path), card),
        )
    except StoreError as error:
        run, later = Broken(Path(path), str(error)), False
    _CARDS[path] = (now, run)
    if later:
        _check_later(path, now)
    return run, 0 if later else size


def _check_later(path: str, now: store.Stamp) -> None:
    _LATER.put((path, now))
    with _START:
        if not _CHECKER:
            _CHECKER.append(Thread(target=_check_queued, daemon=True))
            _CHECKER[0].start()


def _check_queued() -> None:
    """Check the files of queued runs, one after the other; those that cannot be read become broken runs."""
    while True:
        path, now = _LATER.get()
        if (_CARDS.get(path) or (None,))[0] != now:
            continue  # it has changed or is gone: the next index reads it again
        if why := fault(Path(path)):
            _CARDS[path] = (now, Broken(Path(path), why))


def fault(path: Path) -> str:
    """Return why a run cannot be read; empty if it can. Unlike `index`, this notices files that were changed in place."""
    return _fault(path, stamp(path, ("card.json", *FILES)))


@lru_cache(maxsize=512)
def _fault(path: Path, _now: Stamp) -> str:
    try:
        store.check(path)
    except StoreError as error:
        return str(error)
    return ""


def groups(path: Path) -> tuple[Estimate, ...]:
    """Return a run's estimates by group, headline metric first; raises StoreError if its card is broken."""
    card = store.read_card(path)
    first = next((estimate.metric for estimate in card.estimates if estimate.headline), "")
    return tuple(sorted((e for e in card.estimates if e.group), key=lambda e: e.metric != first))


def stamp(path: Path, files: Sequence[str] = FILES) -> Stamp:
    """Return what changes when a run's files do."""
    stats = []
    for name in files:
        try:
            facts = (path / name).stat()
        except OSError:
            continue
        stats.append((name, facts.st_mtime_ns, facts.st_size))
    return tuple(stats)


def query(
    paths: Path | Sequence[Path], sql: str, parameters: Sequence[Any] = (), *, keep: bool = True
) -> pd.DataFrame:
    """Run SQL over the tables `records` and `samples` of one run or several; raises StoreError if they are broken.

    `records` has path, sample, repeat, verdict, value, answer, stop, seconds, input_tokens, output_tokens,
    reasoning_tokens, cached_tokens, started, and the JSON texts scores, prompt, outcome; `samples` has path, id,
    group, cluster, target (JSON), options, json. Select few columns: texts are read only if they are named.
    `keep`: whether to keep the result for the next time; not if it has a row for every sample of many runs.
    """
    folders = (paths,) if isinstance(paths, Path) else tuple(paths)
    for path in folders:
        cache.ensure_all(path)
        if why := fault(path):
            raise StoreError(why)
    for _ in range(TRIES):
        runs = tuple((path, stamp(path)) for path in folders)
        try:
            ask = _query if keep else _query.__wrapped__
            frame: pd.DataFrame = ask(runs, sql, tuple(parameters))
        except StoreError:
            if runs == tuple((path, stamp(path)) for path in folders):
                raise
            continue
        if _names(runs) == _names(tuple((path, stamp(path)) for path in folders)):
            return frame.copy(deep=False)
        # else it was sealed meanwhile, and a part may be missing or there twice
    raise StoreError(f"{folders[0]}: its files change faster than they can be read")


TRIES = 20


def _names(runs: tuple[tuple[Path, Stamp], ...]) -> list[list[str]]:
    return [[name for name, *_ in files] for _, files in runs]


@lru_cache(maxsize=128)
def _query(runs: tuple[tuple[Path, Stamp], ...], sql: str, parameters: tuple[Any, ...]) -> pd.DataFrame:
    import duckdb

    config: dict[str, str | bool | int | float | list[str]]
    config = {"memory_limit": "160MB", "threads": 2, "autoinstall_known_extensions": False}
    try:
        with duckdb.connect(config=config) as connection:
            for name, view in (("records", _records), ("samples", _samples)):
                parts = [part for path, files in runs for part in view(path, [file for file, *_ in files])]
                text = " UNION ALL BY NAME ".join(parts) or EMPTY[name]
                connection.execute(f"CREATE TEMP VIEW {name} AS {text}")
            return connection.execute(sql, list(parameters)).df()
    except duckdb.Error as error:
        raise StoreError(f"{runs[0][0] if runs else 'no run'}: {error}") from error


def _quoted(text: object) -> str:
    return "'" + str(text).replace("'", "''") + "'"


def _file(path: Path) -> str:
    """Quote a path for DuckDB, whose names of files are patterns."""
    return _quoted("".join(f"[{c}]" if c in "*?[" else c for c in str(path)))


_SEALED = (
    "sample, repeat, verdict, value, answer, stop, seconds, input_tokens, output_tokens, reasoning_tokens, "
)
_SEALED += "cached_tokens, started, scores, prompt, outcome"

_GROWING = """
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
"""The JSON lines with the columns of the Parquet file; a torn last line is left out."""


def _records(path: Path, files: Sequence[str]) -> list[str]:
    parts = []
    if "records.parquet" in files:
        parts.append(
            f"SELECT 0 AS age, {_SEALED} FROM read_parquet({_file(path / 'records.parquet')}, hive_partitioning=false)"
        )
    if "records.jsonl" in files:
        parts.append(
            f"SELECT row_number() OVER () AS age, * FROM ({_GROWING.format(file=_file(path / 'records.jsonl'))})"
        )
    if not parts:
        return []
    latest = "QUALIFY row_number() OVER (PARTITION BY sample, repeat ORDER BY age DESC) = 1"
    kept = latest if "records.jsonl" in files else ""
    return [
        f"(SELECT {_quoted(path)} AS path, * EXCLUDE (age) FROM ({' UNION ALL BY NAME '.join(parts)}) {kept})"
    ]


def _samples(path: Path, files: Sequence[str]) -> list[str]:
    if "samples.parquet" in files:
        source = f'SELECT id, "group", cluster, target, options, json FROM read_parquet({_file(path / "samples.parquet")}, hive_partitioning=false)'
    elif "samples.jsonl" in files:
        source = f"""
            SELECT j->>'id' AS id, coalesce(j->>'group', '') AS "group", coalesce(j->>'cluster', j->>'id') AS cluster,
                (j->'target')::VARCHAR AS target, coalesce(json_array_length(j->'choices'), 0)::INT AS options,
                j::VARCHAR AS json
            FROM (SELECT json AS j FROM read_ndjson_objects({_file(path / "samples.jsonl")}, ignore_errors=true, hive_partitioning=false)
                  WHERE json IS NOT NULL)"""
    else:
        return []
    return [f"(SELECT {_quoted(path)} AS path, * FROM ({source}))"]


EMPTY = {
    "records": "SELECT NULL::VARCHAR AS path, NULL::VARCHAR AS sample, NULL::INT AS repeat, NULL::VARCHAR AS verdict, "
    "NULL::DOUBLE AS value, NULL::VARCHAR AS answer, NULL::VARCHAR AS stop, NULL::DOUBLE AS seconds, "
    "NULL::BIGINT AS input_tokens, NULL::BIGINT AS output_tokens, NULL::BIGINT AS reasoning_tokens, "
    "NULL::BIGINT AS cached_tokens, NULL::DOUBLE AS started, NULL::VARCHAR AS scores, NULL::VARCHAR AS prompt, "
    "NULL::VARCHAR AS outcome WHERE false",
    "samples": 'SELECT NULL::VARCHAR AS path, NULL::VARCHAR AS id, NULL::VARCHAR AS "group", NULL::VARCHAR AS cluster, '
    "NULL::VARCHAR AS target, NULL::INT AS options, NULL::VARCHAR AS json WHERE false",
}
"""Tables of runs that have no such file yet."""
