"""What a run came to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from time import process_time
from typing import TYPE_CHECKING

from stress.result import GOOD_WITHIN_S, percentile
from stress.simulation.tally import FAILED, SHED
from stress.simulation.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stress.simulation.policies import Maker
    from stress.simulation.situation import Situation


@dataclass(frozen=True, slots=True)
class Figures:
    """A run's summary.

    Attributes:
        situation: its name.
        policy: its name.
        seed: of all that was random.
        fresh: requests.
        sent: tries of them; ``answered + shed + failed + waiting``.
        answered: tries whose answer was heard; also the requests that were served in the end.
        shed: tries that were refused.
        failed: tries that ended in an error or were given up.
        waiting: tries that have not ended; 0 after a whole run.
        good: answers within 1 s of their try, before the run's end.
        possible: how many there could have been, by offered load and capacity at each moment.
        p50_ms: the median latency of the answered, milliseconds; NaN for none.
        p99_ms: its 99th percentile.
        busy_max: the most connections that were ever in use.
        events: what the engine did.
        cpu_s: processor time that the run took; not the same for the same seed.
        digest: a hash of everything that happened; the same for the same seed.
    """

    situation: str
    policy: str
    seed: int
    fresh: int
    sent: int
    answered: int
    shed: int
    failed: int
    waiting: int
    good: int
    possible: float
    p50_ms: float
    p99_ms: float
    busy_max: int
    events: int
    cpu_s: float
    digest: str

    @property
    def good_share(self) -> float:
        """Good answers, of those that were possible."""
        return self.good / max(1.0, self.possible)

    @property
    def shed_share(self) -> float:
        """Refusals, of the tries."""
        return self.shed / max(1, self.sent)

    @property
    def failed_share(self) -> float:
        """Errors and tries that were given up, of the tries."""
        return self.failed / max(1, self.sent)

    @property
    def served_share(self) -> float:
        """Requests that were served in the end, of all."""
        return self.answered / max(1, self.fresh)


def simulate(
    situation: Situation,
    policy: str,
    maker: Maker,
    seed: int,
    dues_s: Iterator[float] | None = None,
) -> tuple[Figures, World]:
    """Run a situation under a policy; the same arguments give the same run.

    Args:
        situation: what happens.
        policy: its name.
        maker: makes it.
        seed: of all that is random.
        dues_s: when the requests are due, where not by the situation's load.
    """
    began_s = process_time()
    world = World(situation, maker, seed, dues_s)
    world.run()
    return figures(world, policy, seed, process_time() - began_s), world


def figures(world: World, policy: str, seed: int, cpu_s: float) -> Figures:
    """Return the summary of a run that has ended."""
    tally, length_s = world.tally, world.situation.length_s
    answers = [(end_s, took_s) for end_s, took_s, _ in tally.answers()]
    ordered = sorted(took_s for _, took_s in answers)
    return Figures(
        situation=world.situation.name,
        policy=policy,
        seed=seed,
        fresh=world.fresh,
        sent=tally.sent,
        answered=tally.answered,
        shed=tally.shed,
        failed=tally.failed,
        waiting=tally.waiting,
        good=sum(took_s <= GOOD_WITHIN_S and end_s <= length_s for end_s, took_s in answers),
        possible=possible(world.situation),
        p50_ms=percentile(ordered, 0.5) * 1e3,
        p99_ms=percentile(ordered, 0.99) * 1e3,
        busy_max=world.database.busy_max,
        events=world.engine.done,
        cpu_s=cpu_s,
        digest=tally.digest(),
    )


def possible(situation: Situation) -> float:
    """Return how many requests could be served while they are offered.

    That is the integral of the smaller of load and capacity; what a queue could carry over from
    a moment that offers too much to one that offers too little is not counted.
    """
    capacity_per_s, stages = situation.capacity_per_s, situation.service.stages
    edges_s = sorted({0.0, situation.length_s, *stages.edges_s, *situation.surges.edges_s})
    inner_s = [at_s for at_s in edges_s if 0.0 <= at_s <= situation.length_s]
    return sum(
        (to_s - from_s)
        * capacity_per_s
        * min(situation.load * situation.surges.speed(from_s), max(0.0, stages.speed(from_s)))
        for from_s, to_s in pairwise(inner_s)
    )


def per_second(world: World) -> dict[str, list[int]]:
    """Return how many tries were sent, good, shed and failed in each second, by these words."""
    counts: dict[str, Counter[int]] = {
        word: Counter() for word in ("sent", "good", "shed", "failed")
    }
    counts["sent"].update(int(at_s) for at_s in world.tally.sent_s())
    for end_s, took_s, _ in world.tally.ends():
        if took_s == SHED:
            counts["shed"][int(end_s)] += 1
        elif took_s == FAILED:
            counts["failed"][int(end_s)] += 1
        elif took_s <= GOOD_WITHIN_S:
            counts["good"][int(end_s)] += 1
    seconds = range(int(world.engine.now) + 1)
    return {word: [count[second] for second in seconds] for word, count in counts.items()}
