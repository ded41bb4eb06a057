"""The schema, as numbered SQL files per database, and the runner that brings it up to date.

A file is named ``0001_what_it_does.sql``; the numbers start at 1 without a gap. Each statement
in it ends with a semicolon at the end of a line. A file that was released is never changed: a
change is a new file.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from guard.errors import GuardError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.resources.abc import Traversable

    from guard.backends.base import Session

UNFINISHED_TABLE = "unfinished_copy"
"""It is there while a copy into this database is unfinished; see ``service.transfer``."""
MOVED_TABLE = "moved_to"
"""It is there, and says where to, once this database's data was moved elsewhere."""

_LOCK_KEY = 0x77617272696F7273  # "warriors": the advisory lock that starting workers share
_TABLE = "schema_migrations"
_HAS_TABLE = (
    "SELECT count(*) FROM information_schema.tables "
    "WHERE table_schema = current_schema() AND table_name = '{}'"
)
_CREATE_TABLE = "CREATE TABLE schema_migrations (version integer PRIMARY KEY, name text NOT NULL)"
_APPLIED = "SELECT version FROM schema_migrations ORDER BY version"
_MOVED_TO = f"SELECT url FROM {MOVED_TABLE}"  # noqa: S608 -- a constant of ours
_RECORD = {
    "duckdb": "INSERT INTO schema_migrations (version, name) VALUES (?, ?)",
    "postgres": "INSERT INTO schema_migrations (version, name) VALUES (%s, %s)",
}


class SchemaUnknownError(GuardError):
    """The database's schema is not one that this version of the service knows."""


class NotForServiceError(GuardError):
    """The database holds a part of a copy, or data that was moved elsewhere since."""


class Migration(NamedTuple):
    """One step of the schema.

    Attributes:
        version: its number, from 1.
        name: what it does, from the file's name.
        statements: its SQL statements, in order.
    """

    version: int
    name: str
    statements: tuple[str, ...]


def load_migrations(folder: Traversable) -> list[Migration]:
    """Return the migrations in ``folder`` by number.

    Raises:
        ValueError: a number is missing or there twice.
    """
    found = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
    migrations = []
    for expected, file_name in enumerate(found, start=1):
        version, _, name = file_name.removesuffix(".sql").partition("_")
        if int(version) != expected:
            raise ValueError(f"migration {file_name}: number {expected:04} expected")
        text = (folder / file_name).read_text(encoding="utf-8")
        migrations.append(Migration(expected, name, _split(text)))
    return migrations


def _split(text: str) -> tuple[str, ...]:
    parts = (part.strip() for part in text.split(";\n"))
    return tuple(part for part in parts if part)


def prepare(session: Session) -> None:
    """Make the database ready for the service, in the session's transaction: see ``migrate``.

    Raises:
        NotForServiceError: it is not, or not any more, where the data is.
        SchemaUnknownError: as ``migrate``.
    """
    _check_ours(session)
    migrate(session)
    # Once more: a copy may have begun while its lock was waited for.
    _check_ours(session)


def _check_ours(session: Session) -> None:
    if has_table(session, UNFINISHED_TABLE):
        raise NotForServiceError(
            "a copy into this database is unfinished; `python -m service migrate` goes on with it"
        )
    if has_table(session, MOVED_TABLE):
        (url,) = session.execute(_MOVED_TO)[0]
        raise NotForServiceError(f"the data was moved to {url}; set GUARD_DATABASE_URL to it")


def check_known(session: Session, dialect: str) -> None:
    """Check that the schema is exactly this version's.

    Raises:
        SchemaUnknownError: it is an older or a newer one, or there is none.
    """
    known = [migration.version for migration in load_migrations(files(__name__) / dialect)]
    applied = _applied(session)
    if applied == known:
        return
    if applied == known[: len(applied)]:
        remedy = "start this version of the service on it once, which brings it up to date"
    else:
        remedy = "run a version of the service that fits"
    raise SchemaUnknownError(
        f"the database's schema has versions {applied}, "
        f"this service has 1 to {len(known)}; {remedy}",
    )


def migrate(session: Session, migrations: Sequence[Migration] | None = None) -> None:
    """Bring the schema up to date, in the session's transaction: all steps or none.

    Safe where several workers start at once: on PostgreSQL they take turns by an advisory lock
    that ends with the transaction; a DuckDB file has one process. Where nothing is to be done
    nothing is written, so a role without the right to create tables can start too.

    Args:
        session: a write session inside a transaction.
        migrations: the steps; by default those of the session's database.

    Raises:
        SchemaUnknownError: the database has steps that are not among ``migrations``, such as those
            of a newer version of the service.
    """
    is_postgres = str(session.execute("SELECT version()")[0][0]).startswith("PostgreSQL")
    dialect = "postgres" if is_postgres else "duckdb"
    if migrations is None:
        migrations = load_migrations(files(__name__) / dialect)
    if is_postgres:
        session.execute(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})")
    applied = _applied(session)
    if applied != [migration.version for migration in migrations[: len(applied)]]:
        raise SchemaUnknownError(
            f"the database's schema has versions {applied}, "
            f"this service knows 1 to {len(migrations)}; run a version of the service that fits",
        )
    if migrations[len(applied) :] and not applied and not has_table(session, _TABLE):
        session.execute(_CREATE_TABLE)
    for migration in migrations[len(applied) :]:
        for statement in migration.statements:
            session.execute(statement)
        session.execute(_RECORD[dialect], (migration.version, migration.name))


def has_table(session: Session, name: str) -> bool:
    """Return whether the session's schema has a table of this name."""
    return bool(session.execute(_HAS_TABLE.format(name))[0][0])


def _applied(session: Session) -> list[int]:
    if not has_table(session, _TABLE):
        return []
    return [version for (version,) in session.execute(_APPLIED)]
