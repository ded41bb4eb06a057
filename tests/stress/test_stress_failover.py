from __future__ import annotations

from dataclasses import replace

import pytest

from stress.failover import Course, facts, verdicts
from stress.phases import Seen, Span
from stress.result import Run, Sample, percentiles
from stress.verify import Verdict

KEPT = Verdict(5, 0, 0, 0, 6)
SEEN = Seen(0.2, 0.4, percentiles([]), percentiles([0.002]), 1.0)


def course(*extra: Sample) -> Course:
    samples = [
        Sample("search", 6.0, 0.0, 0.01, 200, 200, right=True),
        Sample("create", 1.0, 0.0, 0.01, 201, 201, right=True),
        Sample("create", 7.0, 0.0, 0.01, 201, 503, reason="breaker_open"),
        *extra,
    ]
    return Course(Run(samples, len(samples), 3, 20.0), Span(5.0, 10.0), KEPT, [])


def missed(found: Course, seen: Seen = SEEN, *, asynchronous: bool = False) -> list[int]:
    bars = verdicts(found, seen, asynchronous=asynchronous)
    return [at for at, one in enumerate(bars) if not one.met]


def test_a_fail_over_as_it_should_be_meets_all_bars() -> None:
    assert missed(course()) == []
    told = facts(course(), SEEN)
    assert told["creates while the primary was away"] == "1, shed 1, failed 0"
    assert told["acknowledged, missing on the new primary"] == "5, 0"


@pytest.mark.parametrize(
    ("place", "bad", "seen"),
    [
        (0, course()._replace(run=replace(course().run, sent=9)), SEEN),
        (1, course(Sample("search", 8.0, 0.0, 0.01, 200, 503, reason="breaker_open")), SEEN),
        (2, course(), SEEN._replace(recovered_s=3.1)),
        (2, course(), SEEN._replace(recovered_s=float("nan"))),
        (3, course()._replace(troubles=["Traceback"]), SEEN),
        (4, course()._replace(kept=KEPT._replace(missing=1)), SEEN),
        (4, course()._replace(kept=KEPT._replace(acknowledged=0)), SEEN),
    ],
)
def test_each_bar_can_be_missed(place: int, bad: Course, seen: Seen) -> None:
    assert missed(bad, seen) == [place]


def test_what_an_asynchronous_standby_lacks_is_told_and_no_bar() -> None:
    lost = course()._replace(kept=KEPT._replace(missing=2))
    assert missed(lost, asynchronous=True) == []
    assert facts(lost, SEEN)["acknowledged, missing on the new primary"] == "5, 2"
