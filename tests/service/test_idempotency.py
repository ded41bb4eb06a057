from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from itertools import count
from threading import Event
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from service_client import wait_ready

from guard.assembly import assemble
from guard.settings import load
from service import idempotency, store
from service.idempotency import (
    KEY_LIFETIME_S,
    PURGE_EVERY,
    PURGED_MAX,
    KeyInUseError,
    KeyReusedError,
    fingerprint,
)
from service.migrations import migrate
from service.store import Warriors
from service.validation import KEY_MAX, MalformedKeyError, parse_key
from service.warrior import NewWarrior

if TYPE_CHECKING:
    from guard.backends.base import Session
    from guard.database import Database

LI = NewWarrior("Li", date(1999, 12, 31), ("BJJ", "Karate"))
BRUCE = NewWarrior("Bruce", date(1940, 11, 27), ("Jeet Kune Do",))
KEYS = "SELECT key FROM idempotency_keys ORDER BY key"


def keys(database: Database) -> list[str]:
    return [key for (key,) in database.read(lambda session: session.execute(KEYS))]


def age(database: Database, seconds: int) -> None:
    """Let that time pass for every key."""
    sql = f"UPDATE idempotency_keys SET created_s = created_s - {seconds}"
    database.write(lambda session: session.execute(sql))


def test_a_key_creates_one_warrior(warriors: Warriors) -> None:
    first = warriors.create_once(LI, "k")
    assert warriors.create_once(LI, "k") == first
    assert warriors.find(first.id) == first
    other = warriors.create_once(LI, "K")
    assert other.id != first.id
    assert warriors.count() == 2


def test_a_key_that_was_used_for_another_warrior_is_refused(warriors: Warriors) -> None:
    warriors.create_once(LI, "k")
    with pytest.raises(KeyReusedError):
        warriors.create_once(BRUCE, "k")
    assert warriors.count() == 1


def test_another_process_and_a_restart_know_the_key(database_url: str) -> None:
    made = []
    for _ in range(2):
        settings = load({"GUARD_DATABASE_URL": database_url, "GUARD_MODE": "off"}).settings
        assembly = assemble(settings, prepare=migrate)
        try:
            wait_ready(assembly)
            made.append(Warriors(assembly.database).create_once(LI, "k"))
        finally:
            assembly.close()
    assert made[0] == made[1]


def test_a_write_that_fails_keeps_neither_the_key_nor_the_warrior(
    database: Database, warriors: Warriors, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = warriors.create(LI).id
    with monkeypatch.context() as patch:
        patch.setattr(store, "uuid4", lambda: taken)
        with pytest.raises(Exception, match=r"(?i)duplicate key"):
            warriors.create_once(LI, "k")
    assert keys(database) == []
    assert warriors.create_once(BRUCE, "k").id != taken
    assert warriors.count() == 2


def test_a_key_expires_and_then_creates_anew(database: Database, warriors: Warriors) -> None:
    first = warriors.create_once(LI, "k")
    age(database, KEY_LIFETIME_S - 60)
    assert warriors.create_once(LI, "k") == first
    age(database, 120)
    second = warriors.create_once(BRUCE, "k")
    assert second.id != first.id
    assert warriors.create_once(BRUCE, "k") == second
    assert keys(database) == ["k"]
    assert warriors.count() == 2


def test_expired_keys_are_forgotten_a_bounded_number_at_a_time(
    database: Database, warriors: Warriors, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = (UUID(int=(number << 64)) for number in count(1))
    purging = (found for found in ids if found.int % PURGE_EVERY == 0)
    expired = PURGED_MAX + 10

    def fill(session: Session) -> None:
        session.execute(
            "INSERT INTO idempotency_keys SELECT 'old' || x, ''::"
            + ("bytea" if database.dialect == "postgres" else "BLOB")
            + f", '{UUID(int=1)}'::uuid, 0 FROM generate_series(1, {expired}) AS t (x)"
        )

    database.write(fill)
    monkeypatch.setattr(store, "uuid4", lambda: UUID(int=1))
    warriors.create_once(LI, "a")
    assert len(keys(database)) == expired + 1
    monkeypatch.setattr(store, "uuid4", lambda: next(purging))
    warriors.create_once(LI, "b")
    assert len(keys(database)) == 10 + 2
    # An expired key that comes back is renewed, and the purge of the same transaction spares it.
    again = keys(database)[-1]
    assert warriors.create_once(LI, again).id == warriors.create_once(LI, again).id
    assert keys(database) == sorted(["a", "b", again])


def test_two_at_once_in_one_process(database: Database, warriors: Warriors) -> None:
    inside, go_on = Event(), Event()
    original = idempotency.claim

    def slow(*args: Any) -> Any:
        inside.set()
        assert go_on.wait(20)
        return original(*args)

    with ThreadPoolExecutor(1) as pool, pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "claim", slow)
        first = pool.submit(warriors.create_once, LI, "k")
        assert inside.wait(20)
        with pytest.raises(KeyInUseError):
            warriors.create_once(LI, "k")
        go_on.set()
        created = first.result(20)
        assert warriors.create_once(LI, "k") == created
        assert warriors.create_once(LI, "another") != created
    assert keys(database) == ["another", "k"]


@pytest.mark.postgres
def test_two_at_once_in_two_processes(postgres_url: str) -> None:
    settings = load({"GUARD_DATABASE_URL": postgres_url, "GUARD_MODE": "off"}).settings
    assemblies = [assemble(settings, prepare=migrate) for _ in range(2)]
    try:
        for assembly in assemblies:
            wait_ready(assembly)
        one, two = (Warriors(assembly.database) for assembly in assemblies)
        with psycopg.connect(postgres_url) as blocker, ThreadPoolExecutor(1) as pool:
            blocker.execute("LOCK TABLE warriors")
            first = pool.submit(one.create_once, LI, "k")
            wait_for_waiter(postgres_url)
            with pytest.raises(KeyInUseError):
                two.create_once(LI, "k")
            blocker.rollback()
            created = first.result(20)
        assert two.create_once(LI, "k") == created
        assert one.count() == 1
    finally:
        for assembly in assemblies:
            assembly.close()


def wait_for_waiter(url: str) -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    tick = Event()
    with psycopg.connect(url, autocommit=True) as looking:
        for _ in range(2000):
            found = looking.execute(waiting).fetchone()
            if found and found[0]:
                return
            tick.wait(0.01)
    pytest.fail("nobody waits for the table")


def test_many_at_once_create_one(database: Database, warriors: Warriors) -> None:
    def attempt(_number: int) -> UUID:
        tick = Event()
        while True:
            try:
                return warriors.create_once(LI, "k").id
            except KeyInUseError:
                tick.wait(0.001)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(attempt, range(40)))) == 1
    assert warriors.count() == 1
    assert keys(database) == ["k"]


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("a", "a"),
        ('"a"', "a"),
        ('" a, b "', " a, b "),
        ("8e03978e-40d5-43e8-bc93-6894a57f9324",) * 2,
        ("x" * KEY_MAX,) * 2,
        (f'"{"x" * KEY_MAX}"', "x" * KEY_MAX),
        ("a;b=c:d/e+f~", "a;b=c:d/e+f~"),
    ],
)
def test_keys(header: str, key: str) -> None:
    assert parse_key(header) == key


@pytest.mark.parametrize(
    "header",
    ["", '""', '"', "a b", "a,b", '"a","b"', '"a"b', '"a', 'a"', "\\", '"\\"', "é", "\x7f", "a\n",
     "x" * (KEY_MAX + 1), f'"{"x" * (KEY_MAX + 1)}"'],
)  # fmt: skip
def test_what_is_no_key(header: str) -> None:
    with pytest.raises(MalformedKeyError):
        parse_key(header)


TEXT = st.text(max_size=3)
NEW = st.builds(NewWarrior, TEXT, st.dates(), st.lists(TEXT, max_size=3).map(tuple))


@given(NEW, NEW)
def test_fingerprints_are_equal_where_the_warriors_are(one: NewWarrior, two: NewWarrior) -> None:
    assert (fingerprint(one) == fingerprint(two)) == (one == two)
    assert len(fingerprint(one)) == 32
