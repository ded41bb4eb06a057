"""A process that is killed before any one bytecode of a change leaves the old state or the new."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from guard.board import Board
from guard.breaker import locks, memory, store, window
from guard.breaker.memory import FAILURE
from guard.core.breaker_types import BreakerState, Tally
from guard.core.vocabulary import BreakerPhase, Lane

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from guard.breaker import BreakerStore

TRACED = {part.__file__ for part in (locks, memory, store, window)}
STEP = 13
"""Every thirteenth bytecode: each death is a fork, slow while coverage is measured."""
NOW_S = 100.0


def die_after(opcodes: int) -> None:  # pragma: no cover - in a child
    left = opcodes

    def trace(frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in TRACED:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    # What measures coverage would take its place back at the return from any of these frames.
    outer: FrameType | None = sys._getframe()
    while outer is not None:
        outer.f_trace = None
        outer = outer.f_back
    sys.settrace(trace)


def survived(opcodes: int, work: Callable[[], object]) -> bool:
    """Run ``work`` in a child that dies after that many bytecodes; return whether it lived."""
    pid = os.fork()
    if not pid:  # pragma: no cover - the child is not measured
        die_after(opcodes)
        try:
            work()
        finally:
            sys.settrace(None)
            os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in {0, -signal.SIGKILL}
    return status == 0


def a_store() -> BreakerStore:
    return Board.anonymous(1).claim(0, os.getpid()).breakers.stores[Lane.READ]


def flip(state: BreakerState) -> BreakerState:
    phase = BreakerPhase.CLOSED if state.phase is BreakerPhase.OPEN else BreakerPhase.OPEN
    return state._replace(phase=phase, generation=state.generation + 1)


def use_row(shared: BreakerStore) -> None:
    # A fork leaves its parent's row; this one stands for the row's owner.
    owner = window.Window(shared.memory, 0)
    for now_s in (NOW_S, NOW_S, NOW_S + 10.0):
        owner.count(FAILURE, 1, now_s, 10.0)


@pytest.mark.parametrize("offset", [5])
def test_killed_anywhere_in_a_change(offset: int) -> None:
    made = 0
    for kills in count(offset, STEP):
        shared = a_store()
        if survived(kills, partial(shared.update, flip, 0.0)):
            break
        found = shared.update(lambda state: state, 0.0)
        assert found is not None, f"the lock stays, {kills}"
        commit, _, state = found
        # Made or not, never half; and the next change follows.
        assert commit == state.generation - 1
        assert state.phase is (BreakerPhase.OPEN if commit % 2 else BreakerPhase.CLOSED)
        made += commit > 0
        assert shared.update(flip, 0.0) is not None
        assert shared.memory.read() == (commit + 1, flip(state))
        assert shared.memory.change(state.generation + 1) == (state.phase, flip(state).phase)
    assert kills > 100
    # Some died after the store that puts the change in force, and most before it.
    assert 0 < made < kills / STEP


@pytest.mark.parametrize("offset", [5])
def test_killed_anywhere_while_it_counts(offset: int) -> None:
    for kills in count(offset, STEP):
        shared = a_store()
        if survived(kills, partial(use_row, shared)):
            break
        counted = shared.window.tally(1, NOW_S, 10.0)
        assert counted in {Tally(failures=seen) for seen in range(3)}
        use_row(shared)
        # What the killed one had counted of the last bucket, or nothing; and then the heir's.
        assert shared.window.tally(1, NOW_S + 10.0, 10.0).failures in {1, 2}
    assert kills > 100
