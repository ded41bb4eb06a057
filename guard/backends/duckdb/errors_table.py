"""DuckDB's tables of errors, for the docs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from guard.backends.duckdb.errors import FILE, TRANSACTION, TYPES, translate
from guard.backends.verdict import Told, anything
from guard.core.vocabulary import Lane

if TYPE_CHECKING:
    from collections.abc import Iterator


def by_type() -> Iterator[Told]:
    """Yield the rows of types whose message decides, then those of all other types."""
    for kind, rows in ((duckdb.TransactionException, TRANSACTION), (duckdb.IOException, FILE)):
        for row in rows:
            sign = f"`{kind.__name__}`, {anything(row.sign)}"
            yield Told(sign, row.meaning, row.verdict, _gets(kind(row.sign)))
    for each in TYPES:
        sign = f"`{each.error.__name__}`"
        yield Told(sign, each.meaning, each.verdict, _gets(each.error("told")))


def _gets(error: BaseException) -> BaseException | None:
    found = translate(error, Lane.READ)
    return None if found is error else found
