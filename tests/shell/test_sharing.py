"""From settings to breakers that a host's workers share."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from guard.assembly import Assembly
from guard.board import Board
from guard.core.vocabulary import BreakerPhase, Lane, Outcome
from guard.errors import BackendFailed, SettingsError, Shed
from guard.meter import PoolMeter
from guard.routing import lane_of_method
from guard.settings import load
from guard.sharing import exchange, lane_breakers
from guard.testing import FakeClock, MemoryBackend, MemoryRecorder

if TYPE_CHECKING:
    from guard.events import Recorder
    from guard.settings import Settings

URL = {"GUARD_DATABASE_URL": "postgresql://user@127.0.0.1/name"}


def settings(**environ: str) -> Settings:
    return load({**URL, **environ}).settings


class Worker:
    """A worker whose database is in memory and whose watcher does not run."""

    def __init__(self, recorder: Recorder, chosen: Settings, *, backend: bool = True) -> None:
        self.clock = FakeClock()
        self.meter = PoolMeter(recorder)
        self.backend = MemoryBackend(2, clock=self.clock, observer=self.meter)
        self.backend.open()
        self.assembly = Assembly(
            chosen, recorder, self.backend if backend else None, self.meter, self.clock,
            lane_of_method,
        )  # fmt: skip

    def fail(self, times: int) -> None:
        self.backend.failure = BackendFailed("away")
        for _ in range(times):
            with pytest.raises(BackendFailed):
                self.assembly.database.read(lambda session: session.execute("SELECT 1"))


def test_workers_of_one_board_share_their_breakers_and_lanes_are_apart() -> None:
    board = Board.anonymous(2)
    chosen = settings(GUARD_BREAKER_MIN_CALLS="4")
    one, other = (Worker(board.claim(index, os.getpid()), chosen) for index in range(2))
    one.fail(3)
    other.fail(1)
    for worker in (one, other):
        with pytest.raises(Shed) as caught:
            worker.assembly.database.read(lambda session: session.execute("SELECT 1"))
        assert caught.value.reason == "breaker_open"
        assert worker.assembly.breakers[Lane.WRITE].admits()
        assert worker.assembly.why_not_ready == "the read lane's breaker is open"
    one.clock.advance(9.0)
    assert one.assembly.breakers[Lane.READ].run_probe_if_due(lambda: None)
    # A worker that recovers takes requests, or it would never have recovered.
    assert other.assembly.breakers[Lane.READ].phase is BreakerPhase.RECOVERING
    assert other.assembly.why_not_ready == ""


@pytest.mark.parametrize("recorder", [MemoryRecorder(), Board.local()[1]], ids=["none", "local"])
def test_a_worker_without_a_shared_board_has_breakers_of_its_own(recorder: Recorder) -> None:
    alone = Worker(recorder, settings(GUARD_BREAKER_MIN_CALLS="2"))
    alone.fail(2)
    assert not alone.assembly.breakers[Lane.READ].admits()
    assert Worker(MemoryRecorder(), settings()).assembly.breakers[Lane.READ].admits()


def test_the_settings_reach_the_rules() -> None:
    chosen = settings(
        GUARD_BREAKER="metrics", GUARD_BREAKER_FAILURE_RATIO="0.3", GUARD_BREAKER_MIN_CALLS="7",
        GUARD_BREAKER_WINDOW="12s", GUARD_BREAKER_SLOW_CALL="250ms", GUARD_BREAKER_RAMP="3s",
        GUARD_BREAKER_SLOW_RATIO="0.6", GUARD_BREAKER_OPEN="2s", GUARD_BREAKER_OPEN_MAX="9s",
        GUARD_PROBE_TIMEOUT="700ms",
    )  # fmt: skip
    breaker = lane_breakers(chosen, None, FakeClock(), lambda: 0.0, MemoryRecorder())[Lane.READ]
    assert breaker._rules == ("metrics", 0.3, 7, 12.0, 0.25, 0.6, 2.0, 9.0, 3.0, 5.7)


def test_slow_connections_open_the_breaker_where_that_is_set() -> None:
    chosen = settings(GUARD_BREAKER_SLOW_CALL="2s", GUARD_BREAKER_MIN_CALLS="2")
    for choice, admits in ((chosen, False), (settings(GUARD_BREAKER_MIN_CALLS="2"), True)):
        worker = Worker(MemoryRecorder(), choice)
        worker.clock.advance(100.0)
        for _ in range(2):
            worker.meter.released(Lane.READ, 2.5, Outcome.OK)
        assert worker.assembly.breakers[Lane.READ].admits() is admits
        assert worker.assembly.breakers[Lane.WRITE].admits()


def test_redis_is_asked_only_where_it_is_set_and_there_is_a_database() -> None:
    chosen = settings(GUARD_BREAKER_REDIS_URL="redis://127.0.0.1:1/0")
    assert exchange(settings(), None, {}, MemoryRecorder()) is None
    assert exchange(chosen, None, {}, MemoryRecorder()) is not None
    host = Board.anonymous(1).claim(0, os.getpid()).breakers
    assert exchange(chosen, host, {}, MemoryRecorder()) is not None
    # Nothing here could tell that the database is back.
    assert Worker(MemoryRecorder(), chosen, backend=False).assembly._exchange is None


def test_an_assembly_starts_and_stops_its_exchange() -> None:
    chosen = settings(GUARD_BREAKER_REDIS_URL="redis://127.0.0.1:1/0")
    assembly = Worker(MemoryRecorder(), chosen).assembly
    assembly.start()
    assert assembly._exchange._thread.is_alive()
    assembly.close()
    assert not assembly._exchange._thread.is_alive()


def test_without_the_package_the_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "guard.breaker.redis_bulletin", raising=False)
    monkeypatch.delitem(sys.modules, "guard.redis_client", raising=False)
    monkeypatch.setitem(sys.modules, "redis", None)
    chosen = settings(GUARD_BREAKER_REDIS_URL="redis://:secret@127.0.0.1:1/0")
    with pytest.raises(SettingsError, match=r"pip install 'wsgi-guard\[redis\]'") as caught:
        exchange(chosen, None, {}, MemoryRecorder())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:6379", "http://127.0.0.1", "redis://a b", "redis://h:port/0"]
)
def test_a_url_that_is_none_of_redis_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="GUARD_BREAKER_REDIS_URL"):
        settings(GUARD_BREAKER_REDIS_URL=url)
