"""What a user's test can make go wrong with ``MemoryBackend``."""

import pytest

from guard import metrics
from guard.backends.base import Bounds, Insert
from guard.core.vocabulary import Lane
from guard.errors import BackendBusy, BackendFailed, ConstraintViolation, StatementTimeout
from guard.meter import PoolMeter
from guard.testing import FakeClock, MemoryBackend, MemoryRecorder

WARRIORS = Insert("warriors", ("id",))


class World:
    """A backend whose statements take as long as ``takes_s`` says."""

    def __init__(self):
        self.clock = FakeClock()
        self.recorder = MemoryRecorder()
        self.takes_s = 0.0
        self.executed = []
        self.backend = MemoryBackend(
            1, self.execute, observer=PoolMeter(self.recorder), clock=self.clock,
            bounds=Bounds(1.0, 5.0),
        )  # fmt: skip

    def execute(self, sql, params):
        self.executed.append((sql, params))
        self.clock.advance(self.takes_s)
        return [(len(self.executed),)]

    def errors(self, lane, kind):
        return self.recorder.value(metrics.DB_ERRORS, (lane.value, kind))


def test_a_pool_that_lost_its_connections_is_seen_and_refuses():
    world = World()
    world.backend.resize(Lane.READ, 0)
    assert world.backend.signals(Lane.READ)[:2] == (0, 1)
    assert world.backend.signals(Lane.WRITE)[:2] == (1, 1)
    with pytest.raises(BackendBusy):
        world.backend.read(lambda s: s.execute("SELECT 1"), Bounds(0.001, 1.0))
    assert world.errors(Lane.READ, "busy") == 1
    world.backend.resize(Lane.READ, 1)
    assert world.backend.read(lambda s: s.execute("SELECT 1")) == [(1,)]


def test_a_slow_database_is_cut_and_nothing_more_of_the_unit_is_executed():
    world = World()
    world.takes_s = 6.0

    def unit(session):
        with pytest.raises(StatementTimeout):
            session.execute("SELECT 1")
        session.execute("SELECT 2")

    with pytest.raises(StatementTimeout):
        world.backend.read(unit)
    assert world.executed == [("SELECT 1", ())]
    assert world.errors(Lane.READ, "timeout") == 2
    assert world.backend.signals(Lane.READ).in_use == 0


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (BackendFailed("away"), "unreachable"),
        (ConstraintViolation("taken"), "constraint"),
        (ValueError("syntax"), "statement"),
    ],
)
def test_failures_are_told_by_their_kind(failure, kind):
    world = World()
    world.backend.failure = failure
    with pytest.raises(type(failure)):
        world.backend.insert(WARRIORS, (1,))
    with pytest.raises(type(failure)):
        world.backend.write(lambda s: s.execute("DELETE FROM warriors"))
    assert world.errors(Lane.WRITE, kind) == 2
    assert world.backend.rows == []


def test_an_unobserved_backend_fails_just_as_well():
    backend = MemoryBackend()
    backend.failure = BackendFailed("away")
    with pytest.raises(BackendFailed):
        backend.insert(WARRIORS, (1,))
