"""Export to PostgreSQL: the tables `runs`, `scores` and `samples` in the schema `science_evals`.

A run is identified by suite, protocol, model, run id and start time, and written in one transaction. A second export
changes nothing, unless the run was scored again: then its rows are replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from evals.errors import UsageError, needs
from evals.interop import outgoing, tables
from evals.interop.outgoing import ExportedRun, ExportResult, State, require_ended
from evals.records.card import Card
from evals.records.store import Run

if TYPE_CHECKING:
    import psycopg

SCHEMA = """
CREATE SCHEMA IF NOT EXISTS science_evals;
CREATE TABLE IF NOT EXISTS science_evals.runs (
    id text PRIMARY KEY, run text NOT NULL, suite text NOT NULL, version text NOT NULL, protocol text NOT NULL,
    model text NOT NULL, served text NOT NULL, status text NOT NULL, data text NOT NULL, data_sha256 text NOT NULL,
    gated boolean NOT NULL, coverage double precision NOT NULL, expected bigint NOT NULL, cost_usd double precision,
    started timestamptz, finished timestamptz, state_sha256 text NOT NULL, exported timestamptz NOT NULL DEFAULT now(),
    card jsonb NOT NULL
);
CREATE TABLE IF NOT EXISTS science_evals.scores (
    run_id text NOT NULL REFERENCES science_evals.runs ON DELETE CASCADE, metric text NOT NULL, "group" text NOT NULL,
    value double precision, low double precision, high double precision, worst double precision,
    best double precision, n bigint NOT NULL, clusters bigint NOT NULL, unit text NOT NULL, better text NOT NULL,
    method text NOT NULL, headline boolean NOT NULL, PRIMARY KEY (run_id, metric, "group")
);
CREATE TABLE IF NOT EXISTS science_evals.samples (
    run_id text NOT NULL REFERENCES science_evals.runs ON DELETE CASCADE, sample text NOT NULL, repeat bigint NOT NULL,
    "group" text NOT NULL, cluster text NOT NULL, verdict text, value double precision, answer text, gold text,
    failure text, stop text, seconds double precision, input_tokens bigint, output_tokens bigint,
    reasoning_tokens bigint, prompt_sha256 text NOT NULL, PRIMARY KEY (run_id, sample, repeat)
);
"""
RUN_COLUMNS = (
    "id", "run", "suite", "version", "protocol", "model", "served", "status", "data", "data_sha256", "gated", "coverage",
    "expected", "cost_usd", "started", "finished", "state_sha256", "card",
)  # fmt: skip


def write(runs: Sequence[Run], to: str) -> ExportResult:
    """Write runs to a database; `to` is a connection string without a password; if empty, the PG* variables apply.

    Raises UsageError.
    """
    with needs("export postgres", "postgres"):
        import psycopg
    pairs = require_ended(runs)
    address = _checked_address(to)
    with _usage_errors(), psycopg.connect(address, connect_timeout=20, client_encoding="utf8") as connection:
        _create_tables(connection)
        exported = [_write_run(connection, run, card) for run, card in pairs]
    return ExportResult(runs=exported, lost=outgoing.lost_information([card for _, card in pairs]))


def _checked_address(to: str) -> str:
    """Return the connection string; raise UsageError if it is invalid or contains a password."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        settings = conninfo_to_dict(to)
    except (psycopg.Error, ValueError):  # their messages repeat the string, which may contain a password
        raise UsageError("--to is not a connection string such as postgresql://user@host/database") from None
    if {"password", "sslpassword"} & set(settings):
        raise UsageError("the connection string must not contain a password; set PGPASSWORD or use ~/.pgpass")
    return to


@contextmanager
def _usage_errors() -> Iterator[None]:
    """Report database errors as UsageError, without addresses."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        line = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        raise UsageError(f"PostgreSQL: {re.sub(r'postgres(ql)?://[^ ]*', '...', line)[:300]}") from None
    except UnicodeError:
        raise UsageError("PostgreSQL: a text in the run cannot be encoded") from None


def _create_tables(connection: psycopg.Connection[Any]) -> None:
    """Create the tables unless they exist, one process at a time."""
    with connection.transaction():
        row = connection.execute("SELECT to_regclass('science_evals.samples')").fetchone()
        if row is not None and row[0] is not None:
            return
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('science_evals'))")
        connection.execute(SCHEMA)


def _write_run(connection: psycopg.Connection[Any], run: Run, card: Card) -> ExportedRun:
    key = outgoing.run_key(card)
    state: State = "unchanged"
    with connection.transaction():
        row = connection.execute(_upsert_statement(), _run_row(card)).fetchone()
        if row is not None:
            state = "new" if row[0] else "updated"
            for table in ("scores", "samples"):
                connection.execute(f"DELETE FROM science_evals.{table} WHERE run_id = %s", (key,))  # noqa: S608 - ours
            scores = ((key, *tables.score_row(card, e)[tables.ESTIMATE_CELLS]) for e in card.estimates)
            _copy_rows(connection, "scores", tables.SCORE_COLUMNS[tables.ESTIMATE_CELLS], scores)
            samples = ((key, *row[tables.RECORD_CELLS]) for row in tables.sample_rows(run, card))
            _copy_rows(connection, "samples", tables.SAMPLE_COLUMNS[tables.RECORD_CELLS], samples)
    return ExportedRun(run=card.run, suite=card.config.suite, state=state, place=f"science_evals.runs {key}")


def _upsert_statement() -> str:
    """Return the statement that writes a run; it yields no row if the run is already stored in this state."""
    changes = ", ".join(f"{name} = excluded.{name}" for name in RUN_COLUMNS[1:])
    return (
        f"INSERT INTO science_evals.runs AS r ({', '.join(RUN_COLUMNS)}) VALUES ({', '.join(['%s'] * len(RUN_COLUMNS))}) "  # noqa: S608 - ours
        f"ON CONFLICT (id) DO UPDATE SET {changes}, exported = now() "
        "WHERE r.state_sha256 <> excluded.state_sha256 RETURNING xmax = 0"
    )


def _run_row(card: Card) -> tuple[Any, ...]:
    c = card.config
    card_json = msgspec.json.encode(card).decode().replace("\\u0000", "\\ufffd")
    row = (
        outgoing.run_key(card), card.run, c.suite, c.version, c.protocol, card.model, card.served, card.status, card.data,
        c.data_sha256, card.gated, card.coverage, card.expected, card.cost_usd, _timestamp(card.started),
        _timestamp(card.finished), outgoing.state_hash(card), card_json,
    )  # fmt: skip
    return tuple(map(_sanitize_cell, row))


def _copy_rows(
    connection: psycopg.Connection[Any], table: str, columns: Sequence[str], rows: Iterator[tuple[Any, ...]]
) -> None:
    names = ", ".join(f'"{name}"' for name in ("run_id", *columns))  # `group` is a keyword
    statement = f"COPY science_evals.{table} ({names}) FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(tuple(map(_sanitize_cell, row)))


def _sanitize_cell(value: Any) -> Any:
    return outgoing.sanitize(value) if isinstance(value, str) else value


def _timestamp(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
