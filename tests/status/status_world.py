"""A keeper over a real board, with time in the test's hand."""

from __future__ import annotations

import json
import os
from typing import Any

from guard import metrics
from guard.board import Board
from guard.core.vocabulary import BreakerPhase, Lane, Reason
from guard.settings import load
from guard.status import Keeper
from guard.testing import FakeClock

START_S = 1_700_000_000.0


class StatusWorld:
    """One worker that records, and a keeper that looks when it is told to."""

    def __init__(self, **environ: str) -> None:
        self.clock = FakeClock()
        self.board = Board.anonymous(4, clock=self.clock)
        self.loaded = load(environ, cores=2)
        self.row = self.board.claim(0, os.getpid())
        self.ready()
        self.begun_s = self.clock.now_s()
        self.keeper = Keeper(
            self.board, lambda: self.loaded, clock=self.clock,
            wall=lambda: START_S + self.clock.now_s() - self.begun_s, version="1.2.3",
        )  # fmt: skip

    def ready(self) -> None:
        self.row.set(metrics.WORKER_READY, (), 1.0)
        for lane in Lane:
            self.row.set(metrics.POOL_MAX, (lane,), 4.0)
            self.row.set(metrics.POOL_CONNECTIONS, (lane, "idle"), 4.0)
            self.row.set(metrics.LIMIT, (lane,), 8.0)
            self.phase(lane, BreakerPhase.CLOSED)

    def phase(self, lane: Lane, phase: BreakerPhase) -> None:
        for each in BreakerPhase:
            self.row.set(metrics.BREAKER_STATE, (lane, each), float(each is phase))

    def admit(self, count: int, took_s: float = 0.02, wait_s: float = 0.001) -> None:
        """Record admitted reads."""
        self.row.add(metrics.DECISIONS_TOTAL, ("admitted", Reason.OK, Lane.READ), count)
        for number in range(count):
            route = ("GET", f"/r{number % 3}")
            self.row.observe(metrics.HTTP_DURATION, route, took_s)
            self.row.add(metrics.HTTP_RESPONSES, (*route, "200"))
            self.row.observe(metrics.ACQUIRE_WAIT, (Lane.READ, "ok"), wait_s)
            self.row.observe(metrics.POOL_USE, (Lane.READ, "ok"), took_s)

    def shed(self, count: int, reason: Reason = Reason.POOL_SATURATED) -> None:
        """Record refused reads."""
        self.row.add(metrics.DECISIONS_TOTAL, ("shed", reason, Lane.READ), count)
        self.row.add(metrics.HTTP_RESPONSES, ("GET", "/r0", "503"), count)

    def tick(self, seconds: int = 1) -> None:
        """Let time pass; the worker lives, and the keeper looks each second."""
        for _ in range(seconds):
            self.clock.advance(1.0)
            self.row.heartbeat(self.clock.now_s())
            self.keeper.look()

    def document(self, after: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.keeper.json(after))
        return found
