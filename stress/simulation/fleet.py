"""``python -m stress simulate fleet``: many hosts, each of which decides for itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from stress.report import Verdict
from stress.simulation.balancers import BALANCERS
from stress.simulation.clients import OBEDIENT
from stress.simulation.database import Service, slowing, steady
from stress.simulation.figures import Figures, per_second, simulate
from stress.simulation.policies import GUARD, POLICIES
from stress.simulation.situation import HOLD_S, Situation
from stress.simulation.telling import Told, columns, conserved, facts, speed, tell
from stress.simulation.timeline import AWAY, Stage, Timeline

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator, Sequence

    from matplotlib.figure import Figure

    from stress.simulation.world import World

HOST_CONNECTIONS: Final = 20
CUTS: Final = (1, 2, 5, 10)
"""Workers between whom a host's connections are divided."""
SLOWNESS: Final = 5.0
AWAY_S: Final = Stage(10.0, AWAY), Stage(25.0, 1.0)
AWAY_HOLD_S: Final = 0.4
AWAY_LENGTH_S: Final = 75.0

GOOD_LEAST: Final = 0.97
PEAK_MOST: Final = 1.2
SERVED_LEAST: Final = 0.99

_STEADY: Final = Service(steady(HOLD_S), "exponential")


@dataclass(frozen=True, slots=True)
class Row:
    """A run, and how its hosts differed.

    Attributes:
        run: its figures.
        offered_per_s: fresh requests per second.
        busiest: the most tries that a host got, over the mean.
        shed_least: the smallest share that a host refused.
        shed_most: the largest.
        peak: most tries that came in one second after a return, over the capacity; 0 without one.
    """

    run: Figures
    offered_per_s: float
    busiest: float
    shed_least: float
    shed_most: float
    peak: float


def run(options: Namespace) -> int:
    """Run all fleets; return 1 where a bar was missed.

    Args:
        options: ``hosts``, ``seconds``, ``seed``, ``out``.
    """
    rows: list[Row] = []
    for situation in situations(options.hosts, options.seconds):
        found, world = simulate(situation, GUARD, POLICIES[GUARD], options.seed)
        rows.append(row(found, world))
        print(f"{situation.name}: {found.good_share:.1%}", flush=True)
    runs = [one.run for one in rows]
    told = Told(
        f"{options.hosts} hosts of {HOST_CONNECTIONS} connections x {HOLD_S * 1e3:g} ms, "
        f"simulated, seed {options.seed}",
        verdicts=[conserved(runs), *verdicts(rows)],
        facts=facts(runs, options.seed),
        notes=[*lines(rows), "", speed(runs)],
    )
    return tell(told, [_plot(rows)], options.out, "simulate-fleet")


def situations(hosts: int, seconds: float) -> Iterator[Situation]:
    """Yield the fleets.

    Args:
        hosts: how many each has.
        seconds: how long each is loaded, but for the outage, which needs its time.
    """
    plain = Situation(
        name="", service=_STEADY, load=1.0, length_s=seconds, hosts=hosts, workers=2,
        pool=HOST_CONNECTIONS // 2, waiters=HOST_CONNECTIONS,
    )  # fmt: skip
    for load in (0.8, 1.0):
        for balancer in BALANCERS:
            yield replace(plain, name=f"{load:g}x, {balancer}", load=load, balancer=balancer)
    yield replace(plain, name="2x, random", load=2.0)
    for workers in CUTS:
        pool = HOST_CONNECTIONS // workers
        name = f"0.9x, {workers} x {pool} connections"
        yield replace(plain, name=name, load=0.9, workers=workers, pool=pool, waiters=2 * pool)
    for balancer in BALANCERS:
        yield replace(
            plain, name=f"0.8x, {balancer}, one host five times slower", load=0.8,
            balancer=balancer, slow_hosts=1, slowness=SLOWNESS,
        )  # fmt: skip
    yield from _one_database(plain)


def _one_database(plain: Situation) -> Iterator[Situation]:
    half = plain.connections // 2
    yield replace(
        plain, name="2x of a database for half of the connections", load=2.0,
        service=Service(slowing(half, 0.0, HOLD_S), "exponential"),
    )  # fmt: skip
    yield replace(
        plain, name="2x of one that more than half slow down", load=2.0,
        service=Service(slowing(half, 1 / half, HOLD_S), "exponential"),
    )  # fmt: skip
    away = Service(steady(AWAY_HOLD_S), "exponential", Timeline(AWAY_S))
    yield replace(
        plain, name="0.5x, away for 15 s, three obedient tries", load=0.5, service=away,
        kinds=(OBEDIENT,), length_s=AWAY_LENGTH_S, budget_s=2 * AWAY_HOLD_S,
    )  # fmt: skip


def row(run: Figures, world: World) -> Row:
    """Return a run with its hosts' differences."""
    it = world.situation
    hosts = [world.workers[at : at + it.workers] for at in range(0, len(world.workers), it.workers)]
    arrived = [sum(worker.arrived for worker in host) for host in hosts]
    refused = [sum(worker.refused for worker in host) for host in hosts]
    shares = [shed / max(1, came) for shed, came in zip(refused, arrived, strict=True)]
    edges_s = it.service.stages.edges_s
    after = per_second(world)["sent"][int(edges_s[-1]) :] if edges_s else [0]
    return Row(
        run,
        it.load * it.capacity_per_s,
        max(arrived) * len(hosts) / max(1, sum(arrived)),
        min(shares),
        max(shares),
        max(after) / it.capacity_per_s,
    )


def verdicts(rows: Sequence[Row]) -> list[Verdict]:
    """Return the bars, of the fleets that were run."""
    found: list[Verdict] = []
    for one in rows:
        run, name = one.run, one.run.situation
        if name.startswith(("2x, ", "2x of a ")):
            bar = f"{name}: goodput >= {GOOD_LEAST:.0%} of what is possible"
            found.append(Verdict(bar, f"{run.good_share:.1%}", run.good_share >= GOOD_LEAST))
        if one.peak:
            found.append(
                Verdict(
                    f"{name}: peak after the return <= {PEAK_MOST:g} x capacity",
                    f"{one.peak:.2f}",
                    one.peak <= PEAK_MOST,
                )
            )
            bar = f"{name}: >= {SERVED_LEAST:.0%} served in the end"
            served = run.served_share
            found.append(Verdict(bar, f"{served:.2%}", served >= SERVED_LEAST))
    return found


def lines(rows: Sequence[Row]) -> list[str]:
    """Return the table."""
    head = (
        "", "offered/s", "goodput", "p50 ms", "p99 ms", "shed", "busiest host", "shed by host",
        "peak",
    )  # fmt: skip
    return columns(
        head,
        [
            (
                one.run.situation,
                f"{one.offered_per_s:,.0f}",
                f"{one.run.good_share:.1%}",
                f"{one.run.p50_ms:.0f}",
                f"{one.run.p99_ms:.0f}",
                f"{one.run.shed_share:.1%}",
                f"{one.busiest:.2f} x",
                f"{one.shed_least:.1%} to {one.shed_most:.1%}",
                f"{one.peak:.2f} x" if one.peak else "-",
            )
            for one in rows
        ],
    )


def _plot(rows: Sequence[Row]) -> Callable[[Figure], None]:
    names = [one.run.situation for one in rows]

    def draw(figure: Figure) -> None:
        goodput, shed, latency = figure.subplots(1, 3, sharey=True)
        goodput.barh(names, [one.run.good_share for one in rows])
        goodput.set_xlabel("goodput, of what is possible")
        widths = [one.shed_most - one.shed_least for one in rows]
        shed.barh(names, widths, left=[one.shed_least for one in rows])
        shed.set_xlabel("refused, by host: least to most")
        latency.barh(names, [one.run.p99_ms for one in rows])
        latency.set_xlabel("p99 of the answered, ms")
        goodput.invert_yaxis()

    return draw
