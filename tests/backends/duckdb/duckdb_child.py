"""What the fault tests run in a process of its own: ``python duckdb_child.py TASK PATH``."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guard.backends.base import Bounds, Insert
from guard.backends.duckdb import DuckDBBackend, DuckDBConfig
from guard.clock import MonotonicClock
from guard.core.vocabulary import Lane
from guard.errors import BackendError

if TYPE_CHECKING:
    from guard.backends.base import Session

ITEMS = Insert("items", ("id", "name"))


class Deaf:
    """A PoolObserver that hears nothing."""

    def __getattr__(self, _: str) -> Any:
        return lambda *_args, **_options: None


def create(session: Session) -> None:
    session.execute("CREATE TABLE IF NOT EXISTS items (id varchar PRIMARY KEY, name varchar)")


def say(text: str) -> None:
    # One write is one line, also from many threads.
    os.write(1, f"{text}\n".encode())


def opened(path: str) -> DuckDBBackend:
    config = DuckDBConfig(path=path, bounds=Bounds(20.0, 20.0))
    backend = DuckDBBackend(config, Deaf(), MonotonicClock())
    backend.open(create)
    if not backend.wait_ready(20):
        say(backend.opening_error)
        sys.exit(3)
    return backend


def hammer(path: str) -> None:
    """Insert until killed; a line for each acknowledged row."""
    backend = opened(path)

    def some(thread: int) -> None:
        for n in count():
            name = f"{os.getpid()}-{thread}-{n}"
            if n % 20 == 7:
                backend.write(
                    lambda s, name=name: s.execute("INSERT INTO items VALUES (?, ?)", (name, "x"))  # type: ignore[misc]
                )
            else:
                backend.insert(ITEMS, (name, "x" * 50))
            say(name)

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(some, range(12)))


def full(path: str) -> None:
    """Write into a full disk, then make room; tell what was acknowledged and what not."""
    # A file that may not grow is what a full disk looks like to the engine.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    backend = opened(path)
    limit, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, most))
    told: dict[str, str] = {}

    def insert(n: int) -> None:
        name = f"row {n}"
        try:
            if n % 3:
                backend.insert(ITEMS, (name, "x" * 20_000))
            else:
                backend.write(
                    lambda s: s.execute("INSERT INTO items VALUES (?, ?)", (name, "x" * 20_000))
                )
        except BackendError as error:
            told[name] = f"{type(error).__name__} {backend.classify(error)}"
        else:
            told[name] = "acknowledged"

    insert(0)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(insert, range(1, 60)))
    # One at a time. A checkpoint may have made room once more, but never for all of these.
    for n in range(60, 120):
        insert(n)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    insert(1000)
    backend.close()
    say(json.dumps(told))


def probe(path: str) -> None:
    """Probe both lanes with room on the disk, without, and with it again; tell what came."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    backend = opened(path)
    backend.insert(ITEMS, ("before", "x"))
    limit, most = resource.getrlimit(resource.RLIMIT_FSIZE)

    def ask() -> dict[str, str]:
        told = {}
        for lane in Lane:
            try:
                backend.probe(lane, 5.0)
                told[lane.value] = "works"
            except BackendError as error:
                told[lane.value] = f"{type(error).__name__} {error}"
        return told

    say(json.dumps(ask()))
    log_bytes = os.stat(f"{path}.wal").st_size  # noqa: PTH116
    # A disk with less than the probe's own file; one with room for that, but not for a commit.
    for room_bytes, filler_bytes in ((60_000, 0), (70_000, 70_000 - log_bytes)):
        backend.insert(ITEMS, (f"filler {room_bytes}", "x" * filler_bytes))
        resource.setrlimit(resource.RLIMIT_FSIZE, (room_bytes, most))
        say(json.dumps(ask()))
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    say(json.dumps(ask()))
    tables = "SELECT table_name FROM duckdb_tables()"
    left = backend.read(lambda s: s.execute(tables))
    say(json.dumps([left, sorted(each.name for each in Path(path).parent.iterdir())]))
    backend.close()


def fork(path: str) -> None:
    """Fork with the database open; the child uses it, and ends in the ordinary way."""
    backend = opened(path)
    backend.insert(ITEMS, ("before", "x"))
    child = os.fork()
    if not child:
        for act in (
            lambda: backend.read(lambda s: s.execute("SELECT 1")),
            lambda: backend.insert(ITEMS, ("child", "x")),
            backend.open,
        ):
            try:
                act()
            except BackendError as error:
                say(f"{type(error).__name__}: {error}")
        say(str(backend.signals("read").size))  # type: ignore[arg-type]
        backend.close()
        del backend
        # What the driver says about what was kept from it is of no interest.
        os.close(2)
        sys.exit(0)
    _, status = os.waitpid(child, 0)
    say(str(status))
    # Taken apart by the child, the parent's log would be gone.
    say(str(os.path.exists(f"{path}.wal")))  # noqa: PTH110
    backend.insert(ITEMS, ("after", "x"))
    say(str(backend.read(lambda s: s.execute("SELECT id FROM items ORDER BY id"))))
    os.kill(os.getpid(), signal.SIGKILL)


def hold(path: str) -> None:
    """Open, say so, and wait to be killed."""
    opened(path)
    say("open")
    with suppress(KeyboardInterrupt):
        threading.Event().wait()


if __name__ == "__main__":
    tasks = {"hammer": hammer, "full": full, "fork": fork, "probe": probe, "hold": hold}
    tasks[sys.argv[1]](sys.argv[2])
