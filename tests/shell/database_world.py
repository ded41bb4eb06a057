"""A guarded database with its parts at hand, for its tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.backends.base import Insert
from guard.controller import Controller
from guard.core.admission import Limits
from guard.core.vocabulary import Lane, Mode, Outcome, Policy, Reason
from guard.database import Database
from guard.rules import Rules
from guard.testing import FakeClock, MemoryBackend

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.backends.base import Row
    from guard.breaker import LaneBreaker
    from guard.request import RequestScope

    Begin = Callable[..., RequestScope]

# A tiny budget: the only real wait in here is four times as long.
LIMITS = Limits(Policy.PREDICTIVE, permits_max=2, waiters_max=9, wait_budget_s=0.001)
ITEMS = Insert("items", ("id",))


class Gate:
    """A breaker that writes down what it hears."""

    def __init__(self) -> None:
        self.generation = 3
        self.open = False
        self.heard = []

    def admits(self) -> bool:
        return not self.open

    def admits_one(self) -> bool:
        return not self.open

    def record(self, outcome: Outcome, generation: int) -> None:
        self.heard.append((outcome, generation))

    def remaining_s(self) -> float:
        return 0.0


class World:
    """A database with its parts at hand; ``slots`` is what the controller believes."""

    def __init__(
        self,
        *,
        pool_size: int = 2,
        slots: int = 2,
        mode: Mode = Mode.ENFORCE,
        serving: Reason = Reason.OK,
        breaker: LaneBreaker | None = None,
    ) -> None:
        self.clock = FakeClock()
        self.slots = slots
        self.gate = breaker or Gate()
        self.backend = MemoryBackend(pool_size, clock=self.clock)
        self.controller = Controller(
            Rules(lanes=dict.fromkeys(Lane, LIMITS), mode=mode),
            {lane: lambda: self.slots for lane in Lane},
            dict.fromkeys(Lane, self.gate),
            clock=self.clock,
            draw=lambda: 0.0,
            serving=lambda: serving,
        )
        self.database = Database(self.backend, self.controller, "duckdb")

    def load(self, lane: Lane = Lane.READ) -> tuple[int, int]:
        return self.controller.load(lane)[:2]

    def ask(self) -> list[Row]:
        return self.database.read(lambda session: session.execute("SELECT 1"))
