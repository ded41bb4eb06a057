"""Which worker gets a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from random import Random

    from stress.simulation.worker import Worker

    Choose = Callable[[], Worker]


def at_random(workers: Sequence[Worker], _each: int, draw: Random) -> Choose:
    """Return what takes any worker of any host, each as likely."""
    count, random = len(workers), draw.random
    return lambda: workers[int(random() * count)]


def in_turns(workers: Sequence[Worker], each: int, draw: Random) -> Choose:
    """Return what takes the hosts in turns, and any of the host's workers."""
    turn, hosts, random = 0, len(workers) // each, draw.random

    def choose() -> Worker:
        nonlocal turn
        turn = (turn + 1) % hosts
        return workers[turn * each + int(random() * each)]

    return choose


def better_of_two(workers: Sequence[Worker], each: int, draw: Random) -> Choose:
    """Return what takes the less loaded of two hosts taken at random, and any of its workers.

    Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001).
    """
    hosts, random = len(workers) // each, draw.random

    def load(host: int) -> int:
        return sum(worker.load for worker in workers[host * each : (host + 1) * each])

    def choose() -> Worker:
        first, second = int(random() * hosts), int(random() * hosts)
        host = first if load(first) <= load(second) else second
        return workers[host * each + int(random() * each)]

    return choose


BALANCERS: Final[Mapping[str, Callable[[Sequence[Worker], int, Random], Choose]]] = {
    "random": at_random,
    "in turns": in_turns,
    "better of two": better_of_two,
}
"""By name."""
