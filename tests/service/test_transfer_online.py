"""The copy through the service that owns the file, while it goes on."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING

import pytest
from service_client import wait_ready
from transfer_world import PATIENT, awkward, copy, opened, silent, stored

from guard.assembly import assemble
from guard.errors import Shed
from guard.gate import Gate
from guard.settings import load
from service.migrations import NotForServiceError, prepare
from service.store import Warriors
from service.transfer import served
from service.transfer.copy import Copying
from service.transfer.remote import ask_owner
from service.transfer.served import copy_server
from service.transfer.source import TransferError, open_file, path_of
from service.transfer.target import open_target
from service.transfer.wire import socket_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from guard.assembly import Assembly
    from service.transfer.remote import RemoteSource
    from service.transfer.served import CopyServer
    from service.warrior import Warrior

ROWS = 30


def until(condition: object, patience_s: float = 30.0) -> None:
    assert callable(condition)
    tick, end_s = Event(), monotonic() + patience_s
    while not condition():
        assert monotonic() < end_s
        tick.wait(0.01)


@pytest.fixture
def serving(duckdb_path: Path) -> Iterator[tuple[Assembly, CopyServer]]:
    """A service's database, with rows, and what serves copies of it."""
    url = f"duckdb:///{duckdb_path}"
    assembly = assemble(load({"GUARD_DATABASE_URL": url, **PATIENT}).settings, prepare=prepare)
    server = copy_server(assembly)
    assert server is not None
    try:
        wait_ready(assembly)
        store = Warriors(assembly.database)
        for number, new in enumerate(awkward(ROWS)):
            store.create_once(new, f"key {number}")
        server.start()
        yield assembly, server
    finally:
        server.close(30.0)
        assembly.close()


@pytest.fixture
def owner(serving: tuple[Assembly, CopyServer]) -> Assembly:
    """A service's database, with rows, that can be copied online."""
    return serving[0]


@contextmanager
def asking(path: Path) -> Iterator[RemoteSource]:
    until(lambda: _listens(path))
    with ask_owner(path) as source:
        yield source


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(socket_path(path)) == 0


def is_shed(assembly: Assembly) -> bool:
    try:
        Warriors(assembly.database).create(awkward(1)[0])
    except Shed as shed:
        return shed.retry_after_s >= 1
    return False


class Busy(Thread):
    """Creates warriors until it is shed, or has had enough of it."""

    def __init__(self, assembly: Assembly) -> None:
        super().__init__()
        self._store = Warriors(assembly.database)
        self.made: list[Warrior] = []

    def run(self) -> None:
        for number, new in enumerate(awkward(400, seed=3)):
            try:
                key = f"busy {number}"
                made = self._store.create_once(new, key) if number % 2 else self._store.create(new)
            except Shed:
                return
            self.made.append(made)


@pytest.mark.postgres
def test_every_acknowledged_row_moves_and_nothing_is_written_afterwards(
    owner: Assembly, duckdb_path: Path, postgres_url: str
) -> None:
    busy = Busy(owner)
    with asking(duckdb_path) as source, open_target(postgres_url) as target:
        busy.start()
        until(lambda: busy.made)
        copied = Copying(source, target, silent()).online(source, monotonic, merge=False)
    busy.join()
    assert copied.warriors == ROWS + len(busy.made)
    assert copied.pause_s > 0
    # The command has gone, and writes stay shed; reads go on.
    assert is_shed(owner)
    assert Warriors(owner.database).count() == copied.warriors
    with opened(postgres_url) as assembly:
        assert stored(assembly, busy.made) == busy.made
        assert Warriors(assembly.database).count() == copied.warriors
        again = Warriors(assembly.database).create_once(awkward(2, seed=3)[1], "busy 1")
        assert len(busy.made) < 2 or again == busy.made[1]
    owner.close()
    with open_file(duckdb_path) as source, source._backend.snapshot() as session:
        with pytest.raises(NotForServiceError, match="moved to postgresql"):
            prepare(session)
        assert postgres_url not in str(session.execute("SELECT url FROM moved_to"))


def test_a_command_that_goes_gives_the_writes_back(owner: Assembly, duckdb_path: Path) -> None:
    with asking(duckdb_path) as source:
        source.shut()
        assert is_shed(owner)
        assert Warriors(owner.database).count() == ROWS
    until(lambda: not is_shed(owner))


def test_a_command_that_falls_silent_gives_the_writes_back(
    owner: Assembly, duckdb_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "SHUT_MAX_S", 0.05)
    with asking(duckdb_path) as source:
        source.shut()
        until(lambda: not is_shed(owner))
        with pytest.raises(TransferError, match="the service has gone"):
            source.extent()


def test_a_worker_that_drains_lets_go_of_the_command(
    serving: tuple[Assembly, CopyServer], duckdb_path: Path
) -> None:
    owner, server = serving
    with asking(duckdb_path) as source:
        source.shut()
        server.close(30.0)
        with pytest.raises(TransferError, match="the service has gone"):
            source.extent()
    assert not is_shed(owner)


def test_a_question_that_is_none_is_told_so(owner: Assembly, duckdb_path: Path) -> None:
    assert owner.ready
    with asking(duckdb_path) as source:
        with pytest.raises(TransferError, match="KeyError: 'unheard_of'"):
            source._ask("unheard_of")
        with pytest.raises(TransferError, match="TypeError"):
            source._ask("warriors", 1, 2, 3)
        assert source.extent().end_row == ROWS


def test_a_schema_that_is_not_known_is_told(owner: Assembly, duckdb_path: Path) -> None:
    owner.database.write(lambda session: session.execute("DELETE FROM schema_migrations"))
    with asking(duckdb_path) as source, pytest.raises(TransferError, match="schema has versions"):
        source.extent()


def test_nothing_is_moved_while_writes_are_taken(owner: Assembly, duckdb_path: Path) -> None:
    with asking(duckdb_path) as source, pytest.raises(TransferError, match="writes are taken"):
        source.mark_moved("elsewhere")
    assert not is_shed(owner)


def test_what_the_owner_can_t_answer_is_told_in_one_line(
    owner: Assembly, duckdb_path: Path
) -> None:
    assert owner.ready
    with asking(duckdb_path) as source:
        with pytest.raises(TransferError, match=r"the service says: .*Conversion Error"):
            source.warriors("no number", 1)  # type: ignore[arg-type]
        assert source.extent().end_row == ROWS


def test_the_socket_is_its_owner_s_alone(owner: Assembly, duckdb_path: Path) -> None:
    assert owner.ready
    until(lambda: _listens(duckdb_path))
    assert path_of(socket_path(duckdb_path).removesuffix(".migrate")) == duckdb_path
    assert duckdb_path.with_name(f"{duckdb_path.name}.migrate").stat().st_mode & 0o777 == 0o600


def test_without_a_running_service_the_command_says_so(duckdb_path: Path) -> None:
    with pytest.raises(TransferError, match="no service answers"), ask_owner(duckdb_path):
        pass


@pytest.mark.postgres
def test_postgresql_has_nothing_to_copy_from(postgres_url: str) -> None:
    with opened(postgres_url) as assembly:
        assert copy_server(assembly) is None


@pytest.mark.postgres
def test_what_was_moved_but_not_finished_is_finished_by_a_second_run(
    owner: Assembly, duckdb_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost() -> None:
        raise TransferError("the server has gone")

    with asking(duckdb_path) as source, open_target(postgres_url) as target:
        monkeypatch.setattr(target, "finish", lost)
        with pytest.raises(TransferError, match=r"is moved, .*the server has gone; run the same"):
            Copying(source, target, silent()).online(source, monotonic, merge=False)
    assert is_shed(owner)
    owner.close()
    assert copy(duckdb_path, postgres_url).warriors == ROWS
    with opened(postgres_url) as assembly:
        assert Warriors(assembly.database).count() == ROWS


def test_a_gate_waits_for_those_inside() -> None:
    gate, entered, leave = Gate(), Event(), Event()

    def stay() -> None:
        with gate.inside() as let_in:
            assert let_in
            entered.set()
            leave.wait(30.0)

    thread = Thread(target=stay)
    thread.start()
    assert entered.wait(30.0)
    assert not gate.shut(0.0)
    with gate.inside() as let_in:
        assert not let_in
    leave.set()
    assert gate.shut(30.0)
    thread.join(30.0)
    gate.open()
    with gate.inside() as let_in:
        assert let_in
