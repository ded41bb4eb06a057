"""Workers that change the host's breakers are killed at random instants; is all still usable?

Each round forks two workers that fail, open, probe and recover as fast as they can. One is
stopped at a random instant, looked at (does it hold the lock of changes, or a probe's lease?)
and killed by SIGKILL; the other must go on. Then that one is killed too, and what is left is
checked: the state is whole, no generation was lost or repeated, the locks are free, and a
third process takes the breaker through all its phases.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import traceback
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Final

from guard import metrics
from guard.board import Board
from guard.breaker import LaneBreaker
from guard.breaker.memory import JOURNAL
from guard.breaker.store import LOCKS
from guard.clock import MonotonicClock
from guard.core.breaker_types import BreakerRules
from guard.core.vocabulary import BreakerPhase, Lane, Outcome
from guard.errors import GuardError
from stress import report
from stress.quiet import only_from
from stress.report import Report, Verdict

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from guard.breaker import BreakerStore

RULES: Final = BreakerRules(min_calls=1, open_s=0.0002, open_max_s=0.0004, ramp_s=0.0004)
WORKERS: Final = 2
_WATCHER: Final = WORKERS
_LONGEST_S: Final = 0.01
_PATIENCE_S: Final = 20.0


class Unusable(GuardError):  # noqa: N818 - says what happened
    """A kill left something that nobody can use."""


@dataclass
class Tally:
    """What the kills hit.

    Attributes:
        kills: workers killed.
        changing: of these, how many held the lock of changes.
        probing: how many held a probe's lease.
        changes: changes of phase that were made in all.
    """

    kills: int = 0
    changing: int = 0
    probing: int = 0
    changes: int = 0


def run(options: Namespace) -> int:
    """Run the rounds, print and write the report; return 1 where something was left unusable.

    Args:
        options: ``rounds``, ``seed``, ``out``.
    """
    told = Report(
        f"Workers killed while they change the breakers, {options.rounds} rounds, "
        f"seed {options.seed}",
        verdicts=[_verdict(options.rounds, options.seed)],
    )
    print(told.text())
    report.write(told, {}, options.out, "board-kills")
    return 0 if told.met else 1


def _verdict(rounds: int, seed: int) -> Verdict:
    bar = f"usable after each of {rounds * WORKERS} kills"
    try:
        hit = kill_rounds(rounds, seed)
    except Unusable as error:
        return Verdict(bar, str(error), met=False)
    told = (
        f"{hit.kills} kills, {hit.changing} of them inside a change, {hit.probing} inside a "
        f"probe; {hit.changes} changes of phase"
    )
    return Verdict(bar, told, met=True)


def kill_rounds(rounds: int, seed: int) -> Tally:
    """Kill ``WORKERS`` workers in each round; return what was hit.

    Raises:
        Unusable: a kill left something that nobody can use.
    """
    # Each of very many changes would be a line.
    with only_from(logging.ERROR, "guard.breaker"):
        return _kill_rounds(rounds, seed)


def _kill_rounds(rounds: int, seed: int) -> Tally:
    rng, tally = random.Random(seed), Tally()
    board = Board.anonymous(WORKERS + 1)
    stores, breakers = _claim(board, _WATCHER)
    for number in range(rounds):
        lane = rng.choice(list(Lane))
        _round(board, stores[lane], lane, rng, tally)
        _check(stores[lane], breakers[lane], f"round {number}")
    tally.changes = sum(breaker.generation - 1 for breaker in breakers.values())
    _check_sums(board, tally)
    return tally


def _claim(board: Board, index: int) -> tuple[dict[Lane, BreakerStore], dict[Lane, LaneBreaker]]:
    row = board.claim(index, os.getpid())
    if row.breakers is None:
        raise Unusable("the board has no breakers")
    stores, clock = row.breakers.stores, MonotonicClock()
    breakers = {
        lane: LaneBreaker(lane, RULES, clock, random.random, row, store=store)
        for lane, store in stores.items()
    }
    return stores, breakers


def _round(board: Board, store: BreakerStore, lane: Lane, rng: random.Random, tally: Tally) -> None:
    pids = {index: _fork(partial(_work, board, index, lane)) for index in range(WORKERS)}
    try:
        for index in rng.sample(range(WORKERS), WORKERS):
            # Those that live go on, whatever the dead one held.
            _await_changes(store)
            Event().wait(rng.random() * _LONGEST_S)
            _kill(pids.pop(index), tally)
            board.retire(index)
    finally:
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _fork(work: Callable[[], object]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:  # pragma: no cover - the child is killed
        work()
    except BaseException:  # noqa: BLE001 # pragma: no cover - told here, there is no caller
        traceback.print_exc()
    finally:  # pragma: no cover
        os._exit(1)


def _work(board: Board, index: int, lane: Lane) -> None:  # pragma: no cover - in a child
    breaker = _claim(board, index)[1][lane]
    rng, clock = random.Random(os.getpid()), MonotonicClock()

    def probe() -> None:
        if rng.random() < 1 / 2:
            raise OSError("no answer")

    until_s = clock.now_s() + _PATIENCE_S
    while clock.now_s() < until_s:
        breaker.record(Outcome.FAILURE, breaker.generation)
        breaker.record(Outcome.OK, breaker.generation)
        breaker.run_probe_if_due(probe)


def _await_changes(store: BreakerStore) -> None:
    commits, clock = store.memory.commits, MonotonicClock()
    before, until_s = commits[0], clock.now_s() + _PATIENCE_S
    while commits[0] < before + 2:
        if clock.now_s() > until_s:
            raise Unusable("the workers that live don't go on")
        Event().wait(0.0002)


def _kill(pid: int, tally: Tally) -> None:
    # Stopped first, so that one can see where it will have died.
    os.kill(pid, signal.SIGSTOP)
    os.waitpid(pid, os.WUNTRACED)
    held = _locks_of(pid)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    tally.kills += 1
    tally.changing += any(number % LOCKS == 0 for number in held)
    tally.probing += any(number % LOCKS != 0 for number in held)


def _locks_of(pid: int) -> list[int]:
    # 1: POSIX  ADVISORY  WRITE 4711 00:01:2048 first last
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return [int(words[6]) for words in lines if words[1] == "POSIX" and words[4] == str(pid)]


def _check(store: BreakerStore, breaker: LaneBreaker, when: str) -> None:
    found = store.update(lambda state: state, 0.0)
    _require(found is not None, f"{when}: the lock of changes is held by nobody alive")
    _, state = store.memory.read()
    _require(state.generation >= breaker.generation, f"{when}: a generation was lost")
    # The oldest entry's place may have been taken by a change that was killed before it was made.
    first = max(2, state.generation - JOURNAL + 2)
    journal = [store.memory.change(number) for number in range(first, state.generation + 1)]
    _require(None not in journal, f"{when}: a change is missing in the journal")
    changes = [change for change in journal if change is not None]
    chained = all(one[1] is other[0] for one, other in pairwise(changes))
    _require(chained and changes[-1][1] is state.phase, f"{when}: the journal doesn't chain")
    _require(store.take_lease(state.generation), f"{when}: a probe's lease is held by the dead")
    store.free_lease(state.generation)
    # As an operator would, then as the watcher does: through all phases.
    breaker.move(BreakerPhase.CLOSED)
    breaker.record(Outcome.FAILURE, breaker.generation)
    _require(not breaker.admits(), f"{when}: it doesn't open")
    breaker.move(BreakerPhase.HALF_OPEN)
    _require(breaker.run_probe_if_due(lambda: None), f"{when}: it can't be probed")
    _require(breaker.admits(), f"{when}: it doesn't recover")


def _check_sums(board: Board, tally: Tally) -> None:
    samples = [one for one in board.collect() if one.metric is metrics.BREAKER_TRANSITIONS]
    counted = sum(one.value for one in samples)
    # A change may be made and not counted by a kill in between, and a dead prober's probe run
    # anew is a generation, but no change of phase.
    fits = tally.changes - 2 * tally.kills <= counted <= tally.changes
    _require(fits, f"{counted:.0f} changes were counted, {tally.changes} were made")


def _require(fulfilled: object, what: str) -> None:
    if not fulfilled:
        raise Unusable(what)
