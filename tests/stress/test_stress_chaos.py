from __future__ import annotations

from dataclasses import replace

import pytest

from stress.chaos import Outcome, Phase, verdicts
from stress.havoc import KILL_WORKER
from stress.result import Run, Sample
from stress.scrape import Counts
from stress.verify import Verdict

ANSWERED = Sample("search", 1.0, 0.0, 0.01, 200, 200, right=True)
SHED = Sample("search", 1.0, 0.0, 0.01, 200, 503, reason="starting")
FAILED = Sample("search", 1.0, 0.0, 0.01, 200, failure="ECONNRESET")


def phase(counts: tuple[int, int, int], *samples: Sample) -> Phase:
    return Phase(Run(samples, len(samples), len(samples), 5.0), Counts(*counts))


WILD = phase((18, 3, 18), *[ANSWERED] * 15, *[SHED] * 3, *[FAILED] * 2)
QUIET = phase((10, 0, 10), *[ANSWERED] * 10)
GOOD = Outcome(WILD, QUIET, {KILL_WORKER: 1}, 0, Verdict(5, 0, 0, 0, 6), [])


def missed(outcome: Outcome) -> list[int]:
    return [place for place, one in enumerate(verdicts(outcome)) if not one.met]


def test_what_adds_up_meets_every_bar() -> None:
    assert missed(GOOD) == []
    # A request that its client saw fail may have been counted; a kill may cost four counts.
    for decided in (14, 20):
        assert missed(GOOD._replace(wild=WILD._replace(counts=Counts(decided, 3, decided)))) == []


@pytest.mark.parametrize("counts", [(13, 3, 13), (21, 3, 21), (18, 3, 13), (18, 3, 23)])
def test_counts_that_no_kill_explains_are_missed(counts: tuple[int, int, int]) -> None:
    assert missed(GOOD._replace(wild=WILD._replace(counts=Counts(*counts)))) == [2]


@pytest.mark.parametrize("counts", [(9, 0, 10), (10, 1, 10), (10, 0, 11)])
def test_one_request_too_few_or_too_many_afterwards_is_missed(counts: tuple[int, int, int]) -> None:
    assert missed(GOOD._replace(quiet=QUIET._replace(counts=Counts(*counts)))) == [3]


def test_what_is_lost_or_left_is_missed() -> None:
    assert missed(GOOD._replace(in_flight=1)) == [4]
    assert missed(GOOD._replace(kept=GOOD.kept._replace(repeated=1))) == [5]
    assert missed(GOOD._replace(troubles=["Traceback"])) == [7]
    late = [replace(ANSWERED, latency_s=1.5)] * 10
    assert missed(GOOD._replace(quiet=phase((10, 0, 10), *late))) == [6]
    broken = phase((10, 0, 10), *[ANSWERED] * 9, FAILED)
    assert missed(GOOD._replace(quiet=broken)) == [3, 6]
    unsent = WILD._replace(run=replace(WILD.run, sent=21))
    assert 0 in missed(GOOD._replace(wild=unsent))
