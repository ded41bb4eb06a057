"""The SQL of inserts: one row, many rows of one shape, and the look-up of a row by its key."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from guard.backends.base import Insert, Row

_KEYS: Final = """
    SELECT constraint_column_names FROM duckdb_constraints()
    WHERE table_name = ? AND schema_name = current_schema()
      AND constraint_type IN ('PRIMARY KEY', 'UNIQUE')
    ORDER BY constraint_type
"""


@lru_cache(maxsize=1024)
def single_sql(insert: Insert) -> str:
    """Return the statement for one row."""
    return f"{_into(insert)} VALUES ({', '.join('?' * len(insert.columns))})"


@lru_cache(maxsize=1024)
def merged_sql(insert: Insert) -> str:
    """Return the statement for any number of rows; its parameters are lists, one per column."""
    return f"{_into(insert)} SELECT {', '.join(['unnest(?)'] * len(insert.columns))}"


def columns_of(rows: Sequence[Row]) -> list[list[object]]:
    """Return one list of values per column."""
    return [list(values) for values in zip(*rows, strict=True)]


def _into(insert: Insert) -> str:
    columns = ", ".join(_quoted(column) for column in insert.columns)
    return f"INSERT INTO {_quoted(insert.table)} ({columns})"


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def is_stored(cursor: duckdb.DuckDBPyConnection, rows: Iterable[tuple[Insert, Row]]) -> bool | None:
    """Return whether the rows of one transaction are stored; None where that can't be told.

    One row speaks for all of them. It must have a key: only then can a row with its values
    not have been there before.
    """
    try:
        for insert, row in rows:
            found = _find(cursor, insert, row)
            if found is not None:
                return found
    except duckdb.Error:
        return None
    return None


def _find(cursor: duckdb.DuckDBPyConnection, insert: Insert, row: Row) -> bool | None:
    values = dict(zip(insert.columns, row, strict=True))
    for (key,) in cursor.execute(_KEYS, [insert.table]).fetchall():
        if any(values.get(column) is None for column in key):
            continue
        where = " AND ".join(f"{_quoted(column)} = ?" for column in key)
        sql = f"SELECT count(*) FROM {_quoted(insert.table)} WHERE {where}"  # noqa: S608 -- quoted
        count = cursor.execute(sql, [values[column] for column in key]).fetchall()[0][0]
        return bool(count)
    return None
