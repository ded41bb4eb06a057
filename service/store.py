"""The warriors in the database."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID, uuid4

from guard.backends.base import Insert
from guard.errors import ConstraintViolation
from service.idempotency import (
    Holder,
    KeyInUseError,
    KeyReusedError,
    KeysInUse,
    claim,
    fingerprint,
)
from service.warrior import NewWarrior, Warrior, fold, search_text

if TYPE_CHECKING:
    from guard.backends.base import Row, Session
    from guard.database import Database
    from guard.jobs import Job

FOUND_MAX = 50
"""Most warriors that a search returns."""

_INSERT = Insert("warriors", ("id", "name", "dob", "fight_skills", "search_text"))
_INTO = f"INSERT INTO {_INSERT.table} ({', '.join(_INSERT.columns)}) VALUES"
_COLUMNS = "SELECT name, dob, fight_skills, id FROM warriors"
_COUNT = "SELECT count(*) FROM warriors"


class _Statements(NamedTuple):
    insert: str
    find: str
    search: str


# No ORDER BY: a term that many warriors match then stops at the first 50.
_STATEMENTS = {
    "duckdb": _Statements(
        f"{_INTO} (?, ?, ?, ?, ?)",
        f"{_COLUMNS} WHERE id = ?",
        f"{_COLUMNS} WHERE contains(search_text, ?) LIMIT {FOUND_MAX}",
    ),
    "postgres": _Statements(
        f"{_INTO} (%s, %s, %s, %s, %s)",
        f"{_COLUMNS} WHERE id = %s",
        f"{_COLUMNS} WHERE search_text LIKE %s LIMIT {FOUND_MAX}",
    ),
}
_LIKE_SPECIAL = str.maketrans({"\\": r"\\", "%": r"\%", "_": r"\_"})


class Warriors:
    """Creates and finds warriors; as thread-safe as its database.

    Every method raises what ``guard.database.Database`` raises.

    Args:
        database: where they are; its schema is that of ``service.migrations``.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = _STATEMENTS[database.dialect]
        self._is_postgres = database.dialect == "postgres"
        self._keys_in_use = KeysInUse()

    def create(self, new: NewWarrior) -> Warrior:
        """Store a new warrior; it is durable on return."""
        warrior = Warrior(new.name, new.dob, new.fight_skills, uuid4())
        self._database.insert(_INSERT, _row(warrior))
        return warrior

    def create_put_off(self, job: Job) -> None:
        """Store the warrior of a job, which has the job's id; a second run stores nothing more."""
        new = NewWarrior(
            job.data["name"], date.fromisoformat(job.data["dob"]), tuple(job.data["fight_skills"])
        )
        warrior = Warrior(new.name, new.dob, new.fight_skills, UUID(job.id))
        with suppress(ConstraintViolation):
            self._database.insert(_INSERT, _row(warrior))

    def create_once(self, new: NewWarrior, key: str) -> Warrior:
        """Store a new warrior, or return the one that ``key`` has created from the same request.

        Raises:
            KeyInUseError: the first request with this key has not ended yet.
            KeyReusedError: the key was used for another warrior.
        """
        wanted = Holder(fingerprint(new), uuid4())
        warrior = Warrior(new.name, new.dob, new.fight_skills, wanted.warrior_id)

        def unit(session: Session) -> Holder | None:
            holder = claim(session, self._database.dialect, key, wanted)
            if holder == wanted:
                session.execute(self._sql.insert, _row(warrior))
            return holder

        with self._keys_in_use.holding(key):
            holder = self._database.write(unit)
        if holder is None:
            raise KeyInUseError
        if holder.fingerprint != wanted.fingerprint:
            raise KeyReusedError
        return replace(warrior, id=holder.warrior_id)

    def find(self, warrior_id: UUID) -> Warrior | None:
        """Return the warrior with this id, or None."""
        rows = self._database.read(lambda session: session.execute(self._sql.find, (warrior_id,)))
        return _warrior(rows[0]) if rows else None

    def search(self, term: str) -> list[Warrior]:
        """Return at most 50 warriors whose name, date of birth (ISO) or a skill contains ``term``.

        Case does not matter, and no character of the term has a special meaning. Which 50 of
        many, and their order, is not told. A term with a NUL matches nothing, since nothing
        stored has one.
        """
        if "\0" in term:
            return []
        folded = fold(term)
        value = f"%{folded.translate(_LIKE_SPECIAL)}%" if self._is_postgres else folded

        def unit(session: Session) -> list[Row]:
            # A prepared statement's generic plan does not know the term and skips the
            # trigram index for ever.
            return session.execute(self._sql.search, (value,), prepare=not self._is_postgres)

        return [_warrior(row) for row in self._database.read(unit)]

    def count(self) -> int:
        """Return the number of warriors."""
        rows = self._database.read(lambda session: session.execute(_COUNT))
        count: int = rows[0][0]
        return count


def _row(warrior: Warrior) -> Row:
    text = search_text(warrior.name, warrior.dob, warrior.fight_skills)
    return (warrior.id, warrior.name, warrior.dob, list(warrior.fight_skills), text)


def _warrior(row: Row) -> Warrior:
    name, dob, fight_skills, warrior_id = row
    return Warrior(name, dob, tuple(fight_skills), warrior_id)
