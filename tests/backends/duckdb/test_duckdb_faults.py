"""Kills, a full disk, a second process, a fork: with real processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import duckdb
import pytest

from guard.core.vocabulary import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guard.backends.duckdb import DuckDBBackend

    Make = Callable[..., DuckDBBackend]

CHILD = Path(__file__).with_name("duckdb_child.py")


@contextmanager
def child(task: str, path: Path) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    command = [sys.executable, str(CHILD), task, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout
        finally:
            process.kill()


def stored(path: Path) -> set[str]:
    with duckdb.connect(str(path)) as connection:
        rows = connection.execute("SELECT id FROM items").fetchall()
    assert len(rows) == len(set(rows))
    return {row[0] for row in rows}


@pytest.mark.process
def test_no_kill_loses_an_acknowledged_row(duckdb_path: Path) -> None:
    acknowledged: set[str] = set()
    for turn in range(10):
        with child("hammer", duckdb_path) as (process, lines):
            acknowledged.update(lines.readline().rstrip("\n") for _ in range(200 + 37 * turn))
            process.kill()
            # What it had said before it died is acknowledged too; the last line may be torn.
            acknowledged.update(line[:-1] for line in lines if line.endswith("\n"))
        assert acknowledged <= stored(duckdb_path)
    assert len(acknowledged) > 3000


@pytest.mark.process
def test_a_full_disk_is_a_failure_and_nothing_acknowledged_is_lost(duckdb_path: Path) -> None:
    with child("full", duckdb_path) as (process, lines):
        told: dict[str, str] = json.loads(lines.readline())
        assert process.wait(20) == 0
    assert {name for name, said in told.items() if said == "acknowledged"} == stored(duckdb_path)
    assert set(told.values()) == {"acknowledged", f"BackendFailed {Outcome.FAILURE}"}
    assert told["row 0"] == told["row 1000"] == "acknowledged"
    alone = {n: told[f"row {n}"] for n in range(60, 120)}
    refused = {n for n, said in alone.items() if said != "acknowledged"}
    assert any(n % 3 for n in refused)
    assert any(n % 3 == 0 for n in refused)


@pytest.mark.process
def test_a_write_probe_meets_a_full_disk_and_leaves_nothing_behind(duckdb_path: Path) -> None:
    with child("probe", duckdb_path) as (process, lines):
        room, no_room, no_commit, again, left = map(json.loads, lines)
        assert process.wait(20) == 0
    assert room == again == {"read": "works", "write": "works"}
    assert no_room["read"] == no_commit["read"] == "works"
    assert "BackendFailed the probe could not write" in no_room["write"]
    assert "BackendFailed" in no_commit["write"]
    assert "Failed to commit" in no_commit["write"]
    name = duckdb_path.name
    assert left == [[["items"]], [name, f"{name}.owner", f"{name}.wal"]]


@pytest.mark.process
def test_a_second_process_is_told_who_has_the_file(make: Make, duckdb_path: Path) -> None:
    with child("hold", duckdb_path) as (process, lines):
        assert lines.readline() == "open\n"
        backend = make(opened=False)
        backend.open()
        assert not backend.wait_ready(0.3)
        assert f"another process (pid {process.pid}) has {duckdb_path} open" in (
            backend.opening_error
        )
        process.send_signal(signal.SIGKILL)
        process.wait(20)
        # It had been trying all the time.
        assert backend.wait_ready(20)


@pytest.mark.process
def test_a_forked_child_can_neither_use_nor_harm_the_database(duckdb_path: Path) -> None:
    with child("fork", duckdb_path) as (process, lines):
        said = lines.read().splitlines()
        process.wait(20)
    refused = "the database belongs to another process; make and open it after the fork"
    assert said == [
        *[f"BackendClosed: {refused}"] * 3, "0", "0", "True", "[('after',), ('before',)]",
    ]  # fmt: skip
    assert stored(duckdb_path) == {"before", "after"}
