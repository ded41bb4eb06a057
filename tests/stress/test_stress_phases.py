from __future__ import annotations

from math import isnan

import pytest

from stress.arrivals import CREATE, NO_TERM, SEARCH
from stress.phases import KINDS_OF_LANE, Span, look_at, part, share_good
from stress.result import Run, Sample

OUTAGE = Span(5.0, 15.0)
READ = KINDS_OF_LANE["read"]


def good(due_s: float, kind: str = SEARCH) -> Sample:
    return Sample(kind, due_s, 0.0, 0.01, 200, 200, right=True)


def shed(due_s: float, reason: str = "breaker_open", latency_s: float = 0.002) -> Sample:
    return Sample(SEARCH, due_s, 0.0, latency_s, 200, 503, reason=reason)


def failed(due_s: float, latency_s: float) -> Sample:
    return Sample(SEARCH, due_s, 0.0, latency_s, 200, 503)


def run(*samples: Sample) -> Run:
    return Run(samples, len(samples), len(samples), 30.0)


BEFORE = [good(n / 10) for n in range(50)]
AFTER = [good(15 + n / 10) for n in range(100)]
OUT = [
    failed(5.1, 1.0),
    shed(5.2, "pool_saturated", 0.5),
    failed(5.3, 1.2),
    shed(6.5, "pool_saturated", 0.003),
    *(shed(7.0 + n / 10) for n in range(80)),
]


def test_an_outage_is_measured_from_its_first_failure() -> None:
    seen = look_at(run(*BEFORE, *OUT, *AFTER), OUTAGE, READ)

    assert seen.first_failure_s == pytest.approx(1.1)
    assert seen.all_shed_s == pytest.approx(6.5 - 6.1)
    assert (seen.early.count, seen.early.max) == (2, 500.0)
    assert (seen.refusals.count, seen.refusals.p99) == (80, pytest.approx(2.0))
    assert seen.recovered_s == 0.0


def test_who_is_never_refused_for_good_was_never_shed() -> None:
    last = shed(14.9, "pool_saturated")
    assert isnan(look_at(run(*BEFORE, *OUT, last, *AFTER), OUTAGE, READ).all_shed_s)
    only_good = look_at(run(*BEFORE, good(7.0), shed(8.0), *AFTER), OUTAGE, READ)
    assert isnan(only_good.first_failure_s)
    # Where nothing failed, the time counts from the fault.
    assert only_good.all_shed_s == 2.0


def test_a_failure_outside_the_outage_is_not_its_first() -> None:
    seen = look_at(run(*BEFORE, failed(4.0, 0.5), *OUT, *AFTER), OUTAGE, READ)
    assert seen.first_failure_s == pytest.approx(1.1)


def test_only_the_lanes_that_were_hit_count_for_the_refusals() -> None:
    writes = [good(8.0 + n / 10, CREATE) for n in range(20)]
    seen = look_at(run(*BEFORE, *OUT, *writes, *AFTER), OUTAGE, READ)
    assert seen.all_shed_s == pytest.approx(0.4)
    assert isnan(look_at(run(*BEFORE, *OUT, *AFTER), OUTAGE, KINDS_OF_LANE["write"]).all_shed_s)


def test_goodput_is_back_where_it_stays() -> None:
    late = [*(shed(15 + n / 10) for n in range(12)), *(good(16.2 + n / 10) for n in range(80))]
    assert look_at(run(*BEFORE, *OUT, *late), OUTAGE, READ).recovered_s == pytest.approx(1.2)
    # It came back, and fell again for a while.
    twice = [*AFTER[:20], *(shed(17 + n / 10) for n in range(20)),
             *(good(19 + n / 10) for n in range(60))]  # fmt: skip
    assert look_at(run(*BEFORE, *OUT, *twice), OUTAGE, READ).recovered_s == pytest.approx(
        4.0, abs=0.11
    )
    never = [shed(15 + n / 10) for n in range(100)]
    assert isnan(look_at(run(*BEFORE, *OUT, *never), OUTAGE, READ).recovered_s)
    assert isnan(look_at(run(*BEFORE, *OUT), OUTAGE, READ).recovered_s)


def test_requests_that_need_no_database_say_nothing_about_recovery() -> None:
    easy = [good(15 + n / 10, NO_TERM) for n in range(100)]
    assert isnan(look_at(run(*BEFORE, *OUT, *easy), OUTAGE, READ).recovered_s)


def test_a_part_is_a_run_of_what_was_due_in_it() -> None:
    found = part(run(*BEFORE, *OUT, *AFTER), OUTAGE)
    assert (found.sent, len(found.samples), found.seconds) == (len(OUT), len(OUT), 10.0)
    assert share_good(found.samples) == 0.0
    assert share_good([]) == 0.0
