from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from threading import Barrier
from typing import TYPE_CHECKING

import pytest
from service_client import wait_ready

from guard.assembly import assemble
from guard.settings import load
from service.migrations import Migration, SchemaUnknownError, load_migrations, migrate
from service.store import Warriors
from service.validation import parse_warrior

if TYPE_CHECKING:
    from pathlib import Path

    from guard.backends.base import Session
    from guard.database import Database

STEPS = {
    dialect: load_migrations(files("service.migrations") / dialect)
    for dialect in ("duckdb", "postgres")
}
VERSIONS = "SELECT version, name FROM schema_migrations ORDER BY version"


def clear(session: Session) -> None:
    for table in ("idempotency_keys", "warriors", "schema_migrations"):
        session.execute(f"DROP TABLE IF EXISTS {table}")


def recorded(database: Database) -> list[tuple[int, str]]:
    return [tuple(row) for row in database.read(lambda session: session.execute(VERSIONS))]


def test_the_schema_is_recorded(database: Database) -> None:
    assert recorded(database) == [(step.version, step.name) for step in STEPS[database.dialect]]


def test_a_second_run_changes_nothing(database: Database) -> None:
    before = recorded(database)
    database.write(migrate)
    assert recorded(database) == before


def test_up_from_every_version(database: Database) -> None:
    steps = STEPS[database.dialect]
    for start in range(len(steps) + 1):
        database.write(clear)
        database.write(lambda session, start=start: migrate(session, steps[:start]))
        database.write(migrate)
        assert [version for version, _ in recorded(database)] == list(range(1, len(steps) + 1))
        store = Warriors(database)
        store.create(parse_warrior({"name": "Li", "dob": "1999-12-31", "fight_skills": ["BJJ"]}))
        assert len(store.search("bjj")) == 1


def test_a_newer_schema_is_refused_and_left_alone(database: Database) -> None:
    steps = STEPS[database.dialect]
    newer = Migration(len(steps) + 1, "tomorrow", ("CREATE TABLE tomorrow (x integer)",))
    database.write(lambda session: migrate(session, [*steps, newer]))
    before = recorded(database)
    with pytest.raises(SchemaUnknownError, match=f"knows 1 to {len(steps)}"):
        database.write(migrate)
    assert recorded(database) == before


def test_a_gap_in_the_record_is_refused(database: Database) -> None:
    steps = STEPS[database.dialect]
    later = [Migration(number, "x", ()) for number in (len(steps) + 1, len(steps) + 2)]
    database.write(lambda session: migrate(session, [*steps, *later]))
    gap = f"DELETE FROM schema_migrations WHERE version = {len(steps) + 1}"
    database.write(lambda session: session.execute(gap))
    with pytest.raises(SchemaUnknownError):
        database.write(lambda session: migrate(session, [*steps, *later]))


def test_a_step_that_fails_leaves_nothing(database: Database) -> None:
    steps = STEPS[database.dialect]
    broken = Migration(
        len(steps) + 1, "broken", ("CREATE TABLE half (x integer)", "CREATE TABLE half (x integer)")
    )
    with pytest.raises(Exception, match="half"):
        database.write(lambda session: migrate(session, [*steps, broken]))
    assert len(recorded(database)) == len(steps)
    gone = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'half'"
    assert database.read(lambda session: session.execute(gone))[0][0] == 0


@pytest.mark.postgres
def test_workers_that_start_at_once_take_turns(postgres_url: str) -> None:
    chosen = {"GUARD_DATABASE_URL": postgres_url, "GUARD_MODE": "off", "GUARD_WRITE_POOL_SIZE": "4"}
    assembly = assemble(load(chosen).settings)
    together = Barrier(4)

    def worker(_number: int) -> None:
        together.wait(20.0)
        assembly.database.write(migrate)

    try:
        wait_ready(assembly)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(worker, range(4)))
        assert recorded(assembly.database) == [
            (step.version, step.name) for step in STEPS["postgres"]
        ]
    finally:
        assembly.close()


def test_the_files_are_numbered_without_a_gap(tmp_path: Path) -> None:
    (tmp_path / "0001_one.sql").write_text("SELECT 1;\n-- and\nSELECT 2;\n")
    (tmp_path / "notes.txt").write_text("no migration")
    assert load_migrations(tmp_path) == [Migration(1, "one", ("SELECT 1", "-- and\nSELECT 2"))]
    (tmp_path / "0003_three.sql").write_text("SELECT 3;\n")
    with pytest.raises(ValueError, match="number 0002 expected"):
        load_migrations(tmp_path)
    (tmp_path / "0001_again.sql").write_text("SELECT 1;\n")
    with pytest.raises(ValueError, match="number 0002 expected"):
        load_migrations(tmp_path)
