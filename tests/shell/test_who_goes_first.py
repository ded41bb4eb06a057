"""Classes and fairness in a simulated worker under five times what it can serve."""

from random import Random

import pytest
from simulated_worker import CAPACITY_PER_S, SimulatedWorker, poisson

from guard.core.priority import Shares
from guard.core.vocabulary import Priority

SECONDS = 10.0
CLASSES = Shares(0.0, 0.5, 0.25)


@pytest.mark.parametrize("seed", range(3))
def test_critical_requests_lose_nothing_beside_a_flood_of_normal_ones(seed):
    draw, worker = Random(seed), SimulatedWorker(shares=CLASSES)
    worker.run(poisson(0.3, SECONDS, draw, priority=Priority.CRITICAL), poisson(5.0, SECONDS, draw))
    assert worker.sent["", Priority.CRITICAL] > 1000
    assert worker.shed["", Priority.CRITICAL] == 0
    served = worker.sent.total() - worker.shed.total()
    assert served >= 0.97 * CAPACITY_PER_S * SECONDS


def test_each_class_gives_way_to_the_one_above():
    draw, worker = Random(4), SimulatedWorker(shares=CLASSES)
    loads = {Priority.CRITICAL: 0.3, Priority.NORMAL: 0.5, Priority.SHEDDABLE: 5.0}
    worker.run(*(poisson(loads[each], SECONDS, draw, priority=each) for each in Priority))
    lost = {each: worker.shed["", each] / worker.sent["", each] for each in Priority}
    assert lost[Priority.CRITICAL] == 0
    assert lost[Priority.NORMAL] < 0.1
    assert lost[Priority.SHEDDABLE] > 0.9


OTHERS = [f"other-{number}" for number in range(20)]


def others_lost(worker, flood):
    draw = Random(5)
    worker.run(
        poisson(flood, SECONDS, draw, "flood"),
        *(poisson(0.5 / len(OTHERS), SECONDS, draw, other) for other in OTHERS),
    )
    sent = sum(worker.sent[other, Priority.NORMAL] for other in OTHERS)
    return sum(worker.shed[other, Priority.NORMAL] for other in OTHERS) / sent


@pytest.mark.parametrize("flood", [1.0, 5.0, 20.0])
def test_a_flooding_client_takes_only_what_the_others_leave(flood):
    worker = SimulatedWorker(fair=True)
    assert others_lost(worker, flood) < 0.02
    served = worker.sent.total() - worker.shed.total()
    assert served >= 0.9 * CAPACITY_PER_S * SECONDS


def test_without_fairness_the_others_lose_as_much_as_the_flood():
    assert others_lost(SimulatedWorker(), 5.0) > 0.5


def test_a_client_that_asks_for_less_than_the_other_gets_as_much():
    """Max-min: 5x and 0.6x share one capacity by half, whatever each of them asks beyond."""
    draw, worker = Random(6), SimulatedWorker(fair=True)
    worker.run(poisson(5.0, SECONDS, draw, "much"), poisson(0.6, SECONDS, draw, "some"))
    served = worker.sent - worker.shed
    assert served["some", Priority.NORMAL] >= 0.4 * CAPACITY_PER_S * SECONDS
