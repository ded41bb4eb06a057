"""Who may open the file, and what opening and closing leave behind."""

from __future__ import annotations

import fcntl
import os
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest

import guard.backends.duckdb
from guard.backends.base import Insert
from guard.backends.duckdb import writer as writer_module
from guard.backends.duckdb.ownership import Owner, leak, watch_forks
from guard.core.vocabulary import Lane
from guard.errors import BackendClosed, BackendFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.backends.base import Session
    from guard.backends.duckdb import DuckDBBackend

    Eventually = Callable[[Callable[[], object]], None]
    Make = Callable[..., DuckDBBackend]

ITEMS = Insert("items", ("id", "name"))


def ids(backend: DuckDBBackend) -> list[int]:
    return [row[0] for row in backend.read(lambda s: s.execute("SELECT id FROM items ORDER BY id"))]


def test_a_missing_directory_is_named(make: Make, tmp_path: Path) -> None:
    backend = make(opened=False, path=tmp_path / "none" / "x.duckdb")
    backend.open()
    assert not backend.wait_ready(0.1)
    assert backend.opening_error == f"the directory {tmp_path / 'none'} does not exist"
    (tmp_path / "none").mkdir()
    assert backend.wait_ready(20)


def test_a_file_that_is_no_database_is_left_alone(make: Make, duckdb_path: Path) -> None:
    duckdb_path.write_bytes(b"x" * 10_000)
    backend = make(opened=False)
    backend.open()
    assert not backend.wait_ready(0.1)
    assert "not a valid DuckDB database file" in backend.opening_error
    backend.close()
    assert duckdb_path.read_bytes() == b"x" * 10_000


def test_an_owner_file_that_can_not_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.duckdb.owner").mkdir()
    with pytest.raises(BackendFailed, match=r"x\.duckdb\.owner can't be used: Is a directory"):
        Owner(tmp_path / "x.duckdb").acquire()


def test_the_lock_is_held_while_it_is_open(make: Make, duckdb_path: Path) -> None:
    backend = make()
    with Path(f"{duckdb_path}.owner").open() as file:
        assert file.read() == f"{os.getpid()}\n"
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        backend.close()
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_two_spellings_of_a_path_meet_in_one_lock(
    make: Make, duckdb_path: Path, tmp_path: Path
) -> None:
    make()
    (tmp_path / "other").symlink_to(duckdb_path)
    other = make(opened=False, path=tmp_path / "other")
    other.open()
    assert not other.wait_ready(0.1)
    assert f"(pid {os.getpid()})" in other.opening_error


def test_the_database_file_is_never_opened_by_hand() -> None:
    """Closing any descriptor of it would drop the engine's lock."""
    folder = Path(guard.backends.duckdb.__file__).parent
    opens = [
        (file.name, line.strip())
        for file in folder.glob("*.py")
        for line in file.read_text().splitlines()
        if re.search(r"\b(os\.open|io\.open|open|read_bytes|read_text|copyfile)\(", line)
        and not re.search(r"def open\(|self\.open\(", line)
    ]
    assert opens == [
        ("ownership.py", "descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)")
    ]


def test_sql_reaches_neither_files_nor_options(make: Make, tmp_path: Path) -> None:
    backend = make()
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    for sql in (
        f"SELECT * FROM read_csv('{secret}')",
        f"SELECT * FROM '{secret}'",
        "SELECT * FROM glob('/*')",
    ):
        with pytest.raises(duckdb.Error):
            backend.read(lambda s, sql=sql: s.execute(sql))  # type: ignore[misc]
    options = backend.read(
        lambda s: s.execute(
            "SELECT name, value FROM duckdb_settings() WHERE name IN ('threads', 'async_threads',"
            " 'lock_configuration', 'enable_external_access', 'memory_limit') ORDER BY name"
        )
    )
    assert options == [
        ("async_threads", "0"),
        ("enable_external_access", "false"),
        ("lock_configuration", "true"),
        ("memory_limit", "512.0 MiB"),
        ("threads", "1"),
    ]


def test_a_unit_that_can_not_be_cut_keeps_the_file_until_it_ends(
    make: Make, monkeypatch: pytest.MonkeyPatch, eventually: Eventually, duckdb_path: Path
) -> None:
    monkeypatch.setattr("guard.backends.duckdb.engine._JOIN_S", 0.01)
    monkeypatch.setattr(writer_module, "_JOIN_S", 0.01)
    backend = make(readers=1)
    free = threading.Event()
    with ThreadPoolExecutor(4) as threads:
        stuck = [
            threads.submit(run, lambda _: free.wait(60)) for run in (backend.read, backend.write)
        ]
        eventually(lambda: all(backend.signals(lane).in_use for lane in Lane))
        waiting = [
            threads.submit(ids, backend),
            threads.submit(backend.insert, ITEMS, (1, "a")),
        ]
        eventually(lambda: all(backend.signals(lane).waiting for lane in Lane))
        backend.close(0.01)
        for call in waiting:
            assert isinstance(call.exception(20), BackendClosed)
        with Path(f"{duckdb_path}.owner").open() as file:
            with pytest.raises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free.set()
            assert stuck[0].result(20)

            def is_free() -> bool:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
                return True

            eventually(is_free)


def test_closed_while_it_opens(make: Make, duckdb_path: Path) -> None:
    backend = make(opened=False)
    entered, free = threading.Event(), threading.Event()

    def prepare(_: Session) -> None:
        entered.set()
        free.wait(60)

    backend.open(prepare)
    assert entered.wait(20)
    backend.close(0.01)
    free.set()
    opener = backend._opener
    assert opener is not None
    opener.join(20)
    assert not backend.ready
    other = make()
    assert other.ready
    assert duckdb_path.exists()


def test_a_copy_in_another_process_refuses_everything(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the forked child above shows; here where the lines are measured."""
    backend = make()
    with monkeypatch.context() as other:
        other.setattr(backend, "_pid", 0)
        with pytest.raises(BackendClosed, match="another process"):
            ids(backend)
        backend.close()
    assert ids(backend) == []
    engine = backend._engine
    assert engine is not None
    backend._reopen(make(path=backend._config.real_path().with_name("y"))._engine, LookupError())  # type: ignore[arg-type]
    assert backend._engine is engine


def test_what_a_fork_leaves_is_kept_from_ever_being_destroyed(tmp_path: Path) -> None:
    owner = Owner(tmp_path / "x.duckdb")
    owner.acquire()
    thing = object()
    before = sys.getrefcount(thing)

    class Copy:
        def after_fork(self) -> None:
            leak([thing])
            owner.release()

    copy = Copy()
    watch_forks(copy)
    child = os.fork()
    if not child:
        os._exit(int(sys.getrefcount(thing) != before + 1))
    assert os.waitpid(child, 0)[1] == 0
    assert sys.getrefcount(thing) == before
    # The child's copy of the descriptor is closed, the parent's still holds the lock.
    with pytest.raises(BackendFailed, match="another process"):
        Owner(tmp_path / "x.duckdb").acquire()
    copy.after_fork()
    assert sys.getrefcount(thing) == before + 1
    Owner(tmp_path / "x.duckdb").acquire()
