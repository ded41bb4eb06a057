"""The guard hears SQLAlchemy's pool: SQLite in a file, real connections."""

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool, QueuePool

from guard import metrics
from guard.backends.sqlalchemy import PoolEvents
from guard.controller import Controller
from guard.core.admission import Limits
from guard.core.vocabulary import Lane, Policy
from guard.meter import PoolMeter
from guard.request import CURRENT
from guard.rules import Rules
from guard.testing import FakeClock, MemoryRecorder

LIMITS = Limits(Policy.PREDICTIVE, permits_max=4, waiters_max=2, wait_budget_s=1.0)


class World:
    def __init__(self, folder):
        self.clock, self.recorder = FakeClock(), MemoryRecorder()
        self.controller = Controller(
            Rules(lanes=dict.fromkeys(Lane, LIMITS)), {lane: lambda: 2 for lane in Lane},
            clock=self.clock,
        )  # fmt: skip
        meter = PoolMeter(self.recorder)
        meter.controller = self.controller
        self.engine = create_engine(
            f"sqlite:///{folder / 'x.sqlite'}", poolclass=QueuePool, pool_size=2, max_overflow=0
        )
        PoolEvents(self.engine, Lane.READ, meter, self.recorder, self.clock)

    @property
    def load(self):
        return self.controller.load(Lane.READ)

    def connections(self):
        return [
            self.recorder.value(metrics.POOL_CONNECTIONS, ("read", state))
            for state in ("in_use", "idle")
        ]

    def uses(self, outcome="ok"):
        return self.recorder.count(metrics.POOL_USE, ("read", outcome))


@pytest.fixture
def world(tmp_path):
    found = World(tmp_path)
    yield found
    CURRENT.set(None)
    found.engine.dispose()


def use(world, seconds):
    with world.engine.connect() as connection:
        world.clock.advance(seconds)
        connection.execute(text("SELECT 1"))


def test_a_slot_is_held_as_long_as_the_connection(world):
    scope = world.controller.scope(Lane.READ)
    _decision, scope.permits[Lane.READ] = world.controller.admit(scope, Lane.READ)
    CURRENT.set(scope)
    assert world.load.unfinished == 1
    use(world, 0.5)
    assert (world.load.in_flight, world.load.unfinished) == (1, 0)
    with world.engine.connect():
        assert world.load.unfinished == 1
    world.clock.advance(9.0)
    scope.release(9.5)  # as for a whole request
    assert (world.load.in_flight, world.load.unfinished) == (0, 0)
    assert (world.load.uses, world.load.used_s) == (2, 0.5)


def test_a_request_without_a_connection_is_measured_whole(world):
    scope = world.controller.scope(Lane.READ)
    _decision, scope.permits[Lane.READ] = world.controller.admit(scope, Lane.READ)
    scope.release(3.0)
    assert (world.load.uses, world.load.used_s) == (1, 3.0)


def test_the_pool_is_shown(world):
    assert world.recorder.value(metrics.POOL_MAX, ("read",)) == 2
    with world.engine.connect(), world.engine.connect():
        assert world.connections() == [2, 0]
    use(world, 0.1)
    assert sum(world.connections()) == 2
    assert world.uses() == 3


def test_a_lost_connection_is_one_failure(world):
    connection = world.engine.connect()
    connection.invalidate(OSError("gone"))
    connection.close()
    assert world.uses("failure") == 1
    assert world.uses() == 0
    assert world.recorder.value(metrics.DB_ERRORS, ("read", "unreachable")) == 1
    use(world, 0.1)
    assert world.uses() == 1


def test_a_pool_that_has_no_size_is_refused(world, tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'y.sqlite'}", poolclass=NullPool)
    with pytest.raises(TypeError, match="NullPool"):
        PoolEvents(engine, Lane.READ, PoolMeter(world.recorder), world.recorder, world.clock)
