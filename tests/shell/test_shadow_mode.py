"""What shadow mode foretells is what enforcing then sheds."""

from random import Random

import pytest
from simulated_worker import SimulatedWorker, poisson

from guard.core.vocabulary import Mode


def refused_ratio(mode, load):
    worker = SimulatedWorker(mode)
    worker.run(poisson(load, 4.0 / load + 2.0, Random(1)))
    return worker.shed.total() / worker.sent.total()


@pytest.mark.parametrize("load", [0.5, 1.0, 2.0, 5.0])
def test_the_foretold_share_is_the_enforced_one(load):
    foretold, done = (refused_ratio(mode, load) for mode in (Mode.SHADOW, Mode.ENFORCE))
    assert foretold == pytest.approx(done, rel=0.1, abs=0.02)
    assert done >= 1 - 1 / load - 0.02
