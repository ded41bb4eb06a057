from __future__ import annotations

import signal
from threading import Event
from typing import TYPE_CHECKING

import pytest

from stress import havoc as havoc_module
from stress.disturbance import FAULTS, NETWORK, Breakage, Disturbance, breakage
from stress.havoc import Havoc

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator


class Service:
    """A service whose workers' ids are never alive."""

    def __init__(self, workers: tuple[int, ...] = (11, 12, 13, 14)) -> None:
        self.found = list(workers)
        self.heard: list[int] = []

    def workers(self) -> list[int]:
        return self.found

    def signal(self, number: int) -> None:
        self.heard.append(number)


class Database:
    """A server that only says what was done to it."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def kill(self, number: int) -> None:
        self.heard.append(signal.Signals(number).name)

    def start(self) -> None:
        self.heard.append("start")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """The signals that were sent to workers; the pauses are short."""
    found: list[tuple[int, int]] = []
    monkeypatch.setattr(havoc_module, "_signal", lambda pid, number: found.append((pid, number)))
    for name in ("_PAUSE_S", "_WORKER_STOPPED_S", "_DATABASE_AWAY_S", "_DATABASE_STOPPED_S"):
        monkeypatch.setattr(havoc_module, name, (0.0, 0.001))
    return found


def wreak(seed: int, database: Database | None, count: int = 60) -> tuple[Counter[str], Service]:
    service, enough = Service(), Event()
    with Havoc(service, database, seed) as havoc:  # type: ignore[arg-type]
        while havoc.done.total() < count and havoc.error is None:
            enough.wait(0.001)
        havoc.stop()
    return havoc.done, service


def test_everything_that_was_stopped_goes_on(sent: list[tuple[int, int]]) -> None:
    database = Database()
    done, service = wreak(1, database)
    stopped = [pid for pid, number in sent if number == signal.SIGSTOP]
    assert stopped == [pid for pid, number in sent if number == signal.SIGCONT]
    assert stopped
    assert len(service.heard) == done[havoc_module.RELOAD] > 0
    assert database.heard.count("SIGSTOP") == database.heard.count("SIGCONT") > 0
    assert database.heard.count("SIGKILL") == database.heard.count("start") > 0
    killed = [number for _, number in sent if number == signal.SIGKILL]
    assert len(killed) == done[havoc_module.KILL_WORKER] > 0


def test_a_seed_tells_what_is_done(sent: list[tuple[int, int]]) -> None:
    first = sent[:]
    _, service = wreak(5, None, 30)
    one, sent[:] = sent[:], first
    wreak(5, None, 30)
    assert one[:30] == sent[:30]
    sent[:] = first
    wreak(6, None, 30)
    assert one[:30] != sent[:30]
    assert set(service.heard) == {signal.SIGHUP}


def test_without_a_worker_nobody_is_hit(sent: list[tuple[int, int]]) -> None:
    with Havoc(Service(()), None, 1) as havoc:  # type: ignore[arg-type]
        while havoc.done.total() < 20:
            Event().wait(0.001)
        havoc.stop()
    assert sent == []


def test_what_can_not_be_done_is_told(sent: list[tuple[int, int]]) -> None:
    class Broken(Service):
        def workers(self) -> list[int]:
            raise RuntimeError("planted")

    with Havoc(Broken(), None, 1) as havoc:  # type: ignore[arg-type]
        while havoc.error is None:
            Event().wait(0.001)
        with pytest.raises(OSError, match="planted"):
            havoc.stop()
    assert sent == []


def test_a_disturbance_breaks_and_mends_in_its_time() -> None:
    told: list[str] = []
    how = Breakage(lambda: told.append("broken"), lambda: told.append("whole"))
    with Disturbance(how, 0.01, 0.01) as disturbance:
        disturbance.wait_mended()
        assert told == ["broken", "whole"]
        assert 0 < disturbance.began_s <= disturbance.ended_s


def test_an_early_end_leaves_nothing_broken() -> None:
    told: list[str] = []
    how = Breakage(lambda: told.append("broken"), lambda: told.append("whole"))
    with Disturbance(how, 60.0, 60.0):
        pass
    assert told == []
    begun = Event()
    with Disturbance(Breakage(begun.set, lambda: told.append("whole")), 0.0, 60.0):
        assert begun.wait(10)
    assert told == ["whole"]


def test_a_fault_that_can_not_be_made_is_told() -> None:
    def fail() -> None:
        raise RuntimeError("planted")

    with (
        Disturbance(Breakage(fail, fail), 0.0, 0.0) as disturbance,
        pytest.raises(OSError, match="planted"),
    ):
        disturbance.wait_mended()


def test_how_each_fault_is_made() -> None:
    database, puts = Database(), []

    class Network:
        def set(self, fault: str) -> None:
            puts.append(fault)

    for fault in FAULTS:
        how = breakage(fault, database, [Network()])  # type: ignore[arg-type, list-item]
        how.begin()
        how.end()
    assert database.heard == ["SIGSTOP", "SIGCONT", "SIGKILL", "start"]
    assert [put for put in puts if put != "none"] == [*NETWORK.values()]
    assert puts[1::2] == ["none"] * len(NETWORK)
