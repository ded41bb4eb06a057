"""PostgreSQL's tables of errors, for the docs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from guard.backends.postgres.errors import CONNECTING, LOST, POOLER, STATES, STORAGE, translate
from guard.backends.verdict import STATEMENT, Told, anything
from guard.core.vocabulary import Lane

if TYPE_CHECKING:
    from collections.abc import Iterator


def by_state() -> Iterator[Told]:
    """Yield the rows by SQLSTATE, in its order."""
    for row in sorted((*STATES, *STORAGE), key=lambda one: one.sign):
        error = psycopg.OperationalError()
        error.sqlstate = row.sign.ljust(5, "*")
        sign, gets = f"`{error.sqlstate}`", translate(error, Lane.READ)
        if row in STORAGE:
            # As ``LOST``, which is translated alike; the place in the server can't be made up.
            sign, gets = f"{sign} of its storage", translate(psycopg.OperationalError(), Lane.READ)
        yield Told(sign, row.meaning, row.verdict, gets)
    yield Told("any other", "the statement or its data", STATEMENT, None)


def by_message() -> Iterator[Told]:
    """Yield the rows of errors without a SQLSTATE, and of a pooler's."""
    for row in (*CONNECTING, POOLER, LOST):
        error = psycopg.OperationalError(row.sign)
        if row is POOLER:
            error.sqlstate = "08P01"
        yield Told(anything(row.sign), row.meaning, row.verdict, translate(error, Lane.READ))
