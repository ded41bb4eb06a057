"""What the watcher does beside the gauges."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from guard import metrics
from guard.backends.base import PoolSignals
from guard.backends.waits import Blocker, LockWait
from guard.board import Board
from guard.core.latch import Latch
from guard.core.pooler import PoolerQueue
from guard.core.replicas import Replica
from guard.core.vocabulary import Lane
from guard.testing import MemoryBackend, MemoryRecorder
from guard.watches.locks import LockWatch, all_waits
from guard.watches.pooler import PoolerWatch
from guard.watches.queues import QueueLength, QueueWatch
from guard.watches.replicas import ReplicaWatch
from guard.watches.standard import standard
from guard.watches.states import StateWatch

WAIT = LockWait(
    Lane.WRITE, 1, 1.5, "transactionid ShareLock", "item", 12, "guard-write", "active", "",
    (Blocker(11, "migration", "idle in transaction", 9.0, ""),),
)  # fmt: skip


class Pools(MemoryBackend):
    """A backend whose pools are what the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = PoolSignals(2, 2, 0, 0, 2)

    def signals(self, lane: Lane) -> PoolSignals:
        return self.pool if lane is Lane.READ else PoolSignals(1, 1, 0, 0, 1)


def events(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [record.guard_event for record in caplog.records]  # type: ignore[attr-defined]


def test_queues_of_the_server_are_published() -> None:
    recorder = MemoryRecorder()
    QueueWatch({"executor": lambda: QueueLength(7, 988)}, recorder)(0.0)
    assert recorder.value(metrics.QUEUE_DEPTH, ("executor",)) == 7
    assert recorder.value(metrics.QUEUE_CAPACITY, ("executor",)) == 988


def test_a_poolers_queue_is_told_by_every_worker_and_counted_once() -> None:
    board = Board.anonymous(2)
    for index, queue in enumerate((PoolerQueue(5, 0.25, 3, 1), PoolerQueue(4, 0.0, 2, 0))):
        row = board.claim(index, 100 + index)
        PoolerWatch(iter([queue]).__next__, row)(0.0)
        row.set(metrics.QUEUE_DEPTH, ("executor",), 1)
    assert board.value(metrics.QUEUE_DEPTH, ("pgbouncer",)) == 5
    assert board.value(metrics.QUEUE_DEPTH, ("executor",)) == 2
    assert board.value(metrics.PGBOUNCER_WAIT_OLDEST) == 0.25
    assert board.value(metrics.PGBOUNCER_SERVERS, ("active",)) == 3
    assert board.value(metrics.PGBOUNCER_SERVERS, ("idle",)) == 1


def test_without_a_look_at_a_pooler_nothing_is_told_of_it() -> None:
    recorder = MemoryRecorder()
    PoolerWatch(lambda: None, recorder)(0.0)
    assert recorder.value(metrics.QUEUE_DEPTH, ("pgbouncer",)) == 0


class BehindPooler(MemoryBackend):
    """A backend that can tell of a pooler."""

    def pooler_queue(self) -> PoolerQueue:
        return PoolerQueue(7, 1.0, 2, 0)


def test_a_backend_that_tells_of_a_pooler_is_asked() -> None:
    recorder = MemoryRecorder()
    for look in standard(recorder, BehindPooler(), lambda: "", {}, single_writer=False):
        look(0.0)
    assert recorder.value(metrics.QUEUE_DEPTH, ("pgbouncer",)) == 7


class Fleet:
    """Two replicas, of which one is out."""

    def __init__(self) -> None:
        self.known = {"a:1": Replica(Latch(on=True), 10, 0.25), "b:1": Replica(Latch(), 5, 7.0)}
        self.reads = {"fresh": 3}


def test_replicas_are_told_by_name_and_their_reads_are_counted() -> None:
    board = Board.anonymous(2)
    fleet = Fleet()
    watches = [ReplicaWatch(fleet, board.claim(index, 100 + index)) for index in range(2)]
    for look in watches:
        look(0.0)
    fleet.reads = {"fresh": 3, "primary": 2}
    watches[0](1.0)
    assert board.value(metrics.REPLICA_LAG, ("b:1",)) == 7.0
    assert board.value(metrics.REPLICA_WORKERS, ("a:1",)) == 2
    assert board.value(metrics.REPLICA_WORKERS, ("b:1",)) == 0
    found = {
        name: board.value(metrics.MARKED_READS_TOTAL, (name,)) for name in metrics.MARKED_READS
    }
    assert found == {"fresh": 6, "waited": 0, "primary": 2}


def test_a_backend_with_replicas_is_asked() -> None:
    recorder, backend = MemoryRecorder(), BehindPooler()
    backend.fleet = Fleet()  # type: ignore[attr-defined]
    for look in standard(recorder, backend, lambda: "", {}, single_writer=False):
        look(0.0)
    assert recorder.value(metrics.REPLICA_LAG, ("a:1",)) == 0.25


def test_lock_waits_reach_whoever_reads_the_board() -> None:
    board, row = Board.local()
    backend = MemoryBackend()
    watch = LockWatch(backend, row, row.note, single_writer=False)
    backend.waits = (WAIT,)
    watch(0.0)
    [found] = all_waits(board.notes().values())
    assert found["blockers"] == [WAIT.blockers[0]._asdict()]
    assert (found["pid"], found["lane"], found["waited_s"]) == (12, "write", 1.5)
    # The sampler sets PostgreSQL's gauges itself.
    assert board.value(metrics.LOCK_WAITERS, ("write",)) == 0
    backend.waits = ()
    watch(1.0)
    assert all_waits(board.notes().values()) == []


def test_a_single_writers_queue_is_its_lock_wait() -> None:
    recorder, backend = MemoryRecorder(), MemoryBackend()
    watch = LockWatch(backend, recorder, None, single_writer=True)
    backend.waits = (LockWait(Lane.WRITE, 5, 0.25, "writer"),)
    watch(0.0)
    assert recorder.value(metrics.LOCK_WAITERS, ("write",)) == 5
    assert recorder.value(metrics.LOCK_WAIT_OLDEST, ("write",)) == 0.25
    backend.waits = ()
    watch(1.0)
    assert recorder.value(metrics.LOCK_WAITERS, ("write",)) == 0
    assert recorder.value(metrics.LOCK_WAIT_OLDEST, ("write",)) == 0


def test_the_longest_wait_of_all_workers_comes_first() -> None:
    notes = [{"locks": [{"waited_s": 1.0}]}, {}, {"locks": [{"waited_s": 3.0}]}]
    assert [wait["waited_s"] for wait in all_waits(notes)] == [3.0, 1.0]


def test_readiness_is_told_once_per_change(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "guard.state")
    why = [""]
    watch = StateWatch(lambda: why[0], None)
    reasons = ("opening", "opening", "no route", "", "", "breaker open", "half-open", "", "gone")
    for why[0] in (*reasons, "draining", "draining"):
        watch(0.0)
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("INFO", "not open for requests: opening"),
        ("INFO", "open for requests"),
        ("WARNING", "not open for requests: breaker open"),
        ("INFO", "open for requests"),
        ("WARNING", "not open for requests: gone"),
        ("INFO", "not open for requests: draining"),
    ]
    ready = [record.guard_ready for record in caplog.records]  # type: ignore[attr-defined]
    assert ready == [False, True, False, True, False, False]


@pytest.mark.parametrize(
    ("bad", "begins", "ends"),
    [
        (PoolSignals(1, 2, 0, 0, 1), "pool_short", "pool_whole"),
        (PoolSignals(2, 2, 2, 3, 2), "pool_full", "pool_room"),
    ],
)
def test_a_pools_state_is_told_when_it_lasts(
    caplog: pytest.LogCaptureFixture, bad: PoolSignals, begins: str, ends: str
) -> None:
    caplog.set_level(logging.INFO, "guard.state")
    backend = Pools()
    good = backend.pool
    watch = StateWatch(str, backend)
    looks = [*[bad] * 20, *[good] * 40, bad, good]
    for number, backend.pool in enumerate(looks):
        watch(number * 0.2)
    assert events(caplog) == ["readiness", begins, ends]
    first, last = caplog.records[1:]
    assert (first.levelname, last.levelname) == ("WARNING", "INFO")
    assert first.guard_lane == "read"  # type: ignore[attr-defined]
    assert first.guard_waiting == bad.waiting  # type: ignore[attr-defined]
    assert last.guard_lasted_s == 4.0  # type: ignore[attr-defined]


def test_a_pool_that_is_not_open_is_not_short(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "guard.state")
    backend = Pools()
    backend.pool = PoolSignals(0, 2, 0, 0, 0)
    backend.ready = False
    watch = StateWatch(lambda: "opening", backend)
    for number in range(20):
        watch(number * 0.2)
    assert events(caplog) == ["readiness"]
