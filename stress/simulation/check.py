"""``python -m stress simulate check``: the simulation beside the real service.

Both serve the same arrivals: the service of ``stress.compare`` (8 connections whose queries take
20 ms, one worker of 64 threads) under a real gunicorn, with the guard and without; and its model,
which is told for how long the service really held a connection. Both are counted by
``stress.compare.cell``.
"""

from __future__ import annotations

import random
import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from guard import metrics
from guard.settings.load import load
from stress.compare.app import CAPACITY_PER_S, HOLD_S, SLOTS
from stress.compare.cell import KEPT, TIMEOUT_S, cell, poisson, request
from stress.compare.grid import settle
from stress.compare.variants import GUARD, GUARD_SETTINGS, THREADS, VARIANTS, running
from stress.generator_process import cpu_s
from stress.open_loop import fire
from stress.other_work import MOST_CORES, OtherWork
from stress.report import Verdict
from stress.response import Response
from stress.scrape import scrape
from stress.shots import Outcome, Shot, Target, Volley
from stress.simulation.clients import ONCE
from stress.simulation.database import Service, steady
from stress.simulation.policies import POLICIES
from stress.simulation.situation import Situation
from stress.simulation.tally import FAILED, SHED
from stress.simulation.telling import Told, columns, tell
from stress.simulation.world import World

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator, Sequence

    from matplotlib.figure import Figure

    from stress.compare.cell import Cell
    from stress.compare.variants import Running


class Pair(NamedTuple):
    """One variant under one load, twice.

    Attributes:
        found: of the real service.
        said: of its model.
        others_cores: what the machine's other processes took meanwhile.
    """

    found: Cell
    said: Cell
    others_cores: float


LOADS: Final = (0.5, 1.0, 2.0, 5.0)
TOLERANCE: Final = 0.15
"""How far the service may be from what was foretold, of the larger of both."""
SHARE_TOLERANCE: Final = 0.02
"""Shares of requests may differ by so much in any case: a small one is mostly chance."""
SIMULATED: Final[dict[str, str]] = {GUARD: GUARD, "unguarded": "none"}
"""The policy that stands for each variant of the comparison; the guard's is the first, for it
measures how long a connection is held."""

_OK, _REFUSED = 200, 503
_USE: Final = metrics.POOL_USE.name
_HEAD: Final = (
    "", "goodput/s", "foretold", "shed", "foretold", "failed", "foretold", "p50 ms", "foretold",
    "p99 ms", "foretold", "others, cores",
)  # fmt: skip


def run(options: Namespace) -> int:
    """Run both, compare them; return 1 where they differ too much.

    Args:
        options: ``seconds``, ``seed``, ``out``.
    """
    pairs: list[Pair] = []
    with tempfile.TemporaryDirectory(prefix="guard-check-") as name:
        for pair in measured(options.seconds, options.seed, Path(name)):
            pairs.append(pair)
            print(f"{label(pair.found)}: {pair.found.goodput_per_s:.0f}/s", flush=True)
    told = Told(
        f"Foretold and found: {SLOTS} connections x {HOLD_S * 1e3:g} ms = {CAPACITY_PER_S:g}/s, "
        f"{THREADS} threads, seed {options.seed}",
        verdicts=[verdict for pair in pairs for verdict in verdicts(pair.found, pair.said)],
        facts={
            "cells": [
                {
                    "found": asdict(pair.found),
                    "foretold": asdict(pair.said),
                    "others_cores": pair.others_cores,
                }
                for pair in pairs
            ]
        },
        notes=[*columns(_HEAD, [row(pair) for pair in pairs]), *_distrust(pairs)],
    )
    return tell(told, [_plot(pairs)], options.out, "simulate-check")


def measured(seconds: float, seed: int, folder: Path) -> Iterator[Pair]:
    """Yield what was found and what was foretold, load by load.

    Args:
        seconds: each load's length.
        seed: of the arrivals.
        folder: takes logs.

    Raises:
        ServerError: a service did not start, or does not recover.
    """
    by_name = {variant.name: variant for variant in VARIANTS}
    held_s = HOLD_S
    for variant in map(by_name.__getitem__, SIMULATED):
        with running(variant, folder) as one:
            for load_ in LOADS:
                shots = poisson(load_ * CAPACITY_PER_S, seconds, random.Random(f"{seed} {load_}"))
                settle(one)
                others = OtherWork(partial(_own_s, one))
                volley = fire(one.target, shots, timeout_s=TIMEOUT_S, reuse=True)
                others_cores, of = others.cores(), (variant.name, KEPT, load_)
                found = cell(of, volley, seconds, 0.0)
                if variant.name == GUARD and load_ == LOADS[0]:
                    held_s = _held_s(one)
                yield Pair(found, foretold(of, shots, seconds, seed, held_s), others_cores)


def _held_s(one: Running) -> float:
    """Return the mean time for which a connection was held until now, seconds.

    A query's own time without load says too little: the processor's part comes on top of it.
    """
    host, _, port = one.admin.rpartition(":")
    seen = scrape(Target(host, int(port)))
    uses = seen.total(f"{_USE}_count", pool="read")
    return seen.total(f"{_USE}_sum", pool="read") / uses if uses else HOLD_S


def _own_s(one: Running) -> float:
    return one.cpu_s() + cpu_s()


def foretold(
    of: tuple[str, str, float],
    shots: Sequence[Shot],
    seconds: float,
    seed: int,
    held_s: float = HOLD_S,
) -> Cell:
    """Return the figures of the simulated service.

    Args:
        of: variant, connections and load.
        shots: the requests.
        seconds: the schedule's length.
        seed: of the simulation's own randomness.
        held_s: for how long a request holds a connection.
    """
    settings = load(GUARD_SETTINGS).settings
    situation = Situation(
        name=of[0],
        service=Service(steady(held_s)),
        load=of[2],
        length_s=seconds,
        kinds=(ONCE._replace(timeout_s=TIMEOUT_S),),
        pool=settings.read_pool_size,
        threads=settings.threads,
        waiters=settings.read_waiters,
        budget_s=settings.read_wait_budget_s,
    )
    world = World(situation, POLICIES[SIMULATED[of[0]]], seed, (shot.due_s for shot in shots))
    world.run()
    return cell(of, _volley(world), seconds, 0.0)


def _volley(world: World) -> Volley:
    wire, outcomes = request(), []
    for end_s, took_s, first_s in world.tally.ends():
        shot, latency_s = Shot(first_s, wire), end_s - first_s
        if took_s == FAILED:
            outcomes.append(Outcome(shot, 0.0, latency_s, None, "timeout"))
        else:
            status = _REFUSED if took_s == SHED else _OK
            outcomes.append(
                Outcome(shot, 0.0, latency_s, Response(status, b"", b"", reusable=True))
            )
    return Volley(outcomes, world.tally.sent, 0, 0.0, world.engine.now, interrupted=False)


def label(one: Cell) -> str:
    """Return a cell's name."""
    return f"{one.variant}, {one.load:g}x"


def shares(one: Cell) -> tuple[float, float]:
    """Return which share of the requests was shed, and which failed."""
    sent = max(1, one.admitted.count + one.shed.count + one.failed)
    return one.shed.count / sent, one.failed / sent


def near(found: float, said: float, slack: float = 0.0) -> bool:
    """Return whether two figures agree.

    Args:
        found: one.
        said: the other.
        slack: a difference that is none.
    """
    return abs(found - said) <= max(slack, TOLERANCE * max(abs(found), abs(said)))


def verdicts(found: Cell, said: Cell) -> list[Verdict]:
    """Return whether a cell was foretold.

    At exactly the capacity a queue without a bound has no median to foretell: it grows or not by
    a percent of the service time.
    """
    what = label(found)
    if found.void:
        return [Verdict(f"{what}: measured", found.void, met=False, void=True)]
    shed, said_shed = shares(found)[0], shares(said)[0]
    goodput, said_goodput = found.goodput_per_s, said.goodput_per_s
    bars = [
        Verdict(
            f"{what}: goodput within {TOLERANCE:.0%}",
            f"{goodput:.0f}/s, foretold {said_goodput:.0f}/s",
            near(goodput, said_goodput),
        ),
        Verdict(
            f"{what}: shed share within {TOLERANCE:.0%}",
            f"{shed:.1%}, foretold {said_shed:.1%}",
            near(shed, said_shed, SHARE_TOLERANCE),
        ),
    ]
    if found.variant == GUARD or found.load != 1.0:
        p50, said_p50 = found.admitted.p50, said.admitted.p50
        told = f"{p50:.1f} ms, foretold {said_p50:.1f} ms"
        bars.append(Verdict(f"{what}: p50 within {TOLERANCE:.0%}", told, near(p50, said_p50)))
    return bars


def _distrust(pairs: Sequence[Pair]) -> list[str]:
    busy = [label(pair.found) for pair in pairs if pair.others_cores > MOST_CORES]
    if not busy:
        return []
    what = f"other processes took more than {MOST_CORES:g} cores"
    return ["", f"The model knows no processor, and {what} meanwhile: {'; '.join(busy)}"]


def row(pair: Pair) -> tuple[str, ...]:
    """Return a line of the table."""
    found, said, others_cores = pair
    pairs = [
        (f"{found.goodput_per_s:.0f}", f"{said.goodput_per_s:.0f}"),
        *(
            (f"{one:.1%}", f"{two:.1%}")
            for one, two in zip(shares(found), shares(said), strict=True)
        ),
        (f"{found.admitted.p50:.1f}", f"{said.admitted.p50:.1f}"),
        (f"{found.admitted.p99:.1f}", f"{said.admitted.p99:.1f}"),
    ]
    told = (text for both in pairs for text in both)
    return (label(found), *told, f"{others_cores:.1f}")


def _plot(pairs: Sequence[Pair]) -> Callable[[Figure], None]:
    def draw(figure: Figure) -> None:
        goodput, latency = figure.subplots(2, 1, sharex=True)
        for variant in SIMULATED:
            mine = [pair for pair in pairs if pair.found.variant == variant]
            loads = [pair.found.load for pair in mine]
            both = (
                ("found", "o-", [pair.found for pair in mine]),
                ("foretold", "x--", [pair.said for pair in mine]),
            )
            for word, style, cells in both:
                name = f"{variant}, {word}"
                goodput.plot(loads, [one.goodput_per_s for one in cells], style, label=name)
                latency.plot(loads, [one.admitted.p50 for one in cells], style, label=name)
        goodput.set_ylabel("goodput per second")
        latency.set_ylabel("p50 of the answered, ms")
        latency.set_xlabel("load, in capacities")
        goodput.legend()

    return draw
