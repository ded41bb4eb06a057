"""Who blocks whom."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING

import psycopg
import pytest

from guard.backends.base import Insert
from guard.core.vocabulary import Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guard.backends.postgres import PostgresBackend
    from guard.backends.waits import LockWait

    Until = Callable[[Callable[[], object]], None]
    Make = Callable[..., PostgresBackend]

pytestmark = pytest.mark.postgres
LOCKING = "UPDATE item SET name = 'x' WHERE id = 1"


@contextmanager
def convoy(backend: PostgresBackend, url: str, waiters: int = 2) -> Iterator[psycopg.Connection]:
    """Some writes wait for a row that a session called ``migration`` holds."""
    backend.insert(Insert("item", ("id", "name")), (1, "a"))
    with (
        ThreadPoolExecutor(waiters) as threads,
        psycopg.connect(url, application_name="migration") as holder,
    ):
        holder.execute(LOCKING)
        running = [
            threads.submit(backend.write, lambda s: s.execute(LOCKING)) for _ in range(waiters)
        ]
        try:
            yield holder
        finally:
            holder.rollback()
        for one in running:
            one.result()


def seen(backend: PostgresBackend, until: Until, waiters: int = 2) -> tuple[LockWait, ...]:
    """Return the waits once so many are seen."""
    until(lambda: len(backend.lock_waits()) == waiters)
    return tuple(backend.lock_waits())


def test_the_blocker_and_the_table_are_named(
    postgres_url: str, make_backend: Make, until: Until
) -> None:
    backend = make_backend(postgres_url, lock_sample_s=0.02)
    with convoy(backend, postgres_url) as holder:
        waits = seen(backend, until)
        until(lambda: min(wait.waited_s for wait in backend.lock_waits()) > 0.0)
        pid = holder.info.backend_pid
    assert {wait.lane for wait in waits} == {Lane.WRITE}
    assert {wait.relation for wait in waits} == {"item"}
    assert all(wait.application_name == "guard-write" for wait in waits)
    assert all((wait.state, wait.waiters, wait.query) == ("active", 1, "") for wait in waits)
    # The first waits for the holder's transaction, the second for the first.
    first = next(wait for wait in waits if wait.lock.startswith("transactionid"))
    second = next(wait for wait in waits if wait is not first)
    assert second.lock.startswith("tuple ")
    assert first.pid in {blocker.pid for blocker in second.blockers}
    [blocker] = first.blockers
    assert (blocker.pid, blocker.application_name) == (pid, "migration")
    assert blocker.state == "idle in transaction"
    assert blocker.transaction_s > 0
    assert blocker.query == ""
    until(lambda: not backend.lock_waits())


def test_texts_of_statements_are_shown_only_where_allowed(
    postgres_url: str, make_backend: Make, until: Until
) -> None:
    backend = make_backend(postgres_url, lock_sample_s=0.02, show_queries=True)
    with convoy(backend, postgres_url, waiters=1):
        [wait] = seen(backend, until, waiters=1)
    assert wait.query == LOCKING
    assert wait.blockers[0].query == LOCKING
    document = wait.document()
    assert document["lane"] == "write"
    assert document["blockers"][0]["application_name"] == "migration"


def test_who_waits_no_longer_is_forgotten_while_others_work(
    postgres_url: str, make_backend: Make, until: Until
) -> None:
    backend = make_backend(postgres_url, lock_sample_s=0.02)
    release = Event()
    with ThreadPoolExecutor(1) as threads:
        busy = threads.submit(backend.read, lambda _: release.wait(20))
        with convoy(backend, postgres_url, waiters=1):
            seen(backend, until, waiters=1)
        until(lambda: not backend.lock_waits())
        assert backend.signals(Lane.READ).in_use == 1
        release.set()
        busy.result()


def test_a_table_lock_names_its_table(postgres_url: str, make_backend: Make, until: Until) -> None:
    backend = make_backend(postgres_url, lock_sample_s=0.02)
    with psycopg.connect(postgres_url) as holder, ThreadPoolExecutor(1) as threads:
        holder.execute("LOCK TABLE item IN ACCESS EXCLUSIVE MODE")
        running = threads.submit(backend.read, lambda s: s.execute("SELECT 1 FROM item"))
        [wait] = seen(backend, until, waiters=1)
        holder.rollback()
        running.result()
    assert (wait.lane, wait.relation, wait.lock) == (
        Lane.READ, "item", "relation AccessShareLock",
    )  # fmt: skip
