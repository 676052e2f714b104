"""Tables for notebooks, as pandas frames (if installed), Arrow tables or HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

from evals.errors import UsageError, install_command

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

MAX_ROWS = 60
"""Maximum number of rows of a table in a notebook."""


def arrow_table(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> pa.Table:
    """Return rows as an Arrow table; `columns`: name -> Arrow type (`string`, `double`, `int64`, `bool_`)."""
    import pyarrow as pa

    schema = pa.schema([(name, getattr(pa, kind)()) for name, kind in columns.items()])
    return pa.Table.from_pylist([{name: row.get(name) for name in columns} for row in rows], schema=schema)


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """Return a table as a pandas frame; raises UsageError if pandas is not installed."""
    _import_pandas()
    return table.to_pandas()


def from_structs(rows: Iterable[Struct]) -> pd.DataFrame:
    """Return structs of one type as a pandas frame with a column per field."""
    table: pd.DataFrame = _import_pandas().DataFrame([structs.asdict(row) for row in rows])
    return table


def _import_pandas() -> Any:
    try:
        import pandas as pd
    except ImportError:
        raise UsageError(
            f"pandas is not installed: {install_command('notebook')}, or use .to_arrow()"
        ) from None
    return pd


def html_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, caption: str = "") -> str:
    """Return a table as HTML; all text is escaped."""
    all_rows = list(rows)
    header = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_format_cell(value))}</td>" for value in row) + "</tr>"
        for row in all_rows[:MAX_ROWS]
    )
    remaining = f"<p>... and {len(all_rows) - MAX_ROWS} more rows</p>" if len(all_rows) > MAX_ROWS else ""
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>{remaining}"


def _format_cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
