from __future__ import annotations

from dataclasses import replace

import pytest

from stress.outage import Course, facts, spans, verdicts
from stress.phases import Seen, Span
from stress.result import Run, Sample, percentiles
from stress.verify import Verdict

KEPT = Verdict(5, 0, 0, 0, 6)
SEEN = Seen(5.5, 0.4, percentiles([1.0]), percentiles([0.002] * 9), 2.9)


def course(*extra: Sample) -> Course:
    samples = [
        Sample("search", 1.0, 0.0, 0.01, 200, 200, right=True),
        Sample("create", 7.0, 0.0, 0.01, 201, 201, right=True),
        *extra,
    ]
    return Course(Run(samples, len(samples), 2, 30.0), Span(5.0, 15.0), KEPT, [])


def met(found: Course, seen: Seen = SEEN, lane: str = "all") -> list[bool]:
    return [one.met for one in verdicts(found, seen, lane)]


def test_all_bars_of_a_short_pain_are_met() -> None:
    assert met(course()) == [True] * 6
    assert met(course(), lane="read") == [True] * 7


@pytest.mark.parametrize(
    ("place", "seen"),
    [
        (1, SEEN._replace(all_shed_s=1.1)),
        (1, SEEN._replace(all_shed_s=float("nan"))),
        (2, SEEN._replace(refusals=percentiles([0.021] * 9))),
        (2, SEEN._replace(refusals=percentiles([]))),
        (3, SEEN._replace(recovered_s=3.1)),
        (3, SEEN._replace(recovered_s=float("nan"))),
    ],
)
def test_what_lasted_too_long_or_never_came_is_missed(place: int, seen: Seen) -> None:
    assert [where for where, one in enumerate(met(course(), seen)) if not one] == [place]
    assert facts(course(), seen)


def test_a_slow_database_may_be_slow_and_not_late() -> None:
    found = course()
    assert [one.met for one in verdicts(found, SEEN, "all", "latency")] == [True] * 6
    late = Sample("search", 8.0, 0.0, 1.5, 200, 200, right=True)
    assert [one.met for one in verdicts(course(late), SEEN, "all", "loss")][1] is False
    slow = Sample("search", 8.0, 0.0, 1.3, 200, 503, reason="pool_saturated")
    assert [one.met for one in verdicts(course(slow), SEEN, "all", "loss")][2] is False


def test_dead_connections_are_mended_from_when_they_are_noticed() -> None:
    before = [Sample("search", at / 10, 0.0, 0.01, 200, 200, right=True) for at in range(50)]
    dead = Sample("search", 5.5, 0.0, 3.0, 200, 503)
    after = [
        Sample("search", 8.6 + at / 10, 0.0, 0.01, 200, 200, right=True) for at in range(90)
    ]  # fmt: skip
    samples = [*before, dead, *after]
    found = course()._replace(run=Run(samples, len(samples), 2, 30.0))
    seen = SEEN._replace(first_failure_s=3.5)
    assert verdicts(found, seen, "all", "half-open")[3].met
    assert not verdicts(found, SEEN._replace(recovered_s=9.0), "all", "latency")[3].met


def test_lost_counts_warriors_and_workers_are_missed() -> None:
    late = course()._replace(run=replace(course().run, sent=3))
    assert met(late)[0] is False
    assert met(course()._replace(kept=KEPT._replace(missing=1)))[4] is False
    assert met(course()._replace(kept=KEPT._replace(acknowledged=0)))[4] is False
    assert met(course()._replace(troubles=["WORKER TIMEOUT"]))[5] is False


def test_the_other_lane_must_not_notice() -> None:
    hurt = Sample("create", 8.0, 0.0, 0.01, 201, 503, reason="breaker_open")
    assert met(course(hurt), lane="read")[-1] is False
    assert met(course(hurt), lane="write")[-1] is False, "no reads came at all"


def test_every_request_is_in_one_phase() -> None:
    found = course(Sample("look-up", 30.02, 0.0, 0.01, 200, 200, right=True))
    phases = spans(found)
    for sample in found.run.samples:
        assert sum(span.has(sample.due_s) for span in phases.values()) == 1
