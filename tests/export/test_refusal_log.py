"""The log of refusals."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from guard.core.vocabulary import Lane, Reason
from guard.export.log import Bucket, RefusalLog, take
from guard.testing import FakeClock

if TYPE_CHECKING:
    import pytest


@given(st.lists(st.floats(0.0, 5.0), max_size=60), st.sampled_from((0.5, 1.0, 3.0)))
def test_lines_are_bounded_and_none_is_forgotten(gaps: list[float], rate: float) -> None:
    capacity = max(1.0, rate)
    bucket, now_s, lines, told = Bucket(capacity, 0.0), 0.0, 0, 0
    for gap in gaps:
        now_s += gap
        before = bucket
        bucket, written = take(bucket, now_s, rate)
        if written:
            lines, told = lines + 1, told + before.suppressed
    assert lines <= capacity + now_s * rate + 1e-6
    assert lines + told + bucket.suppressed == len(gaps)
    assert lines >= min(len(gaps), int(capacity))


def test_a_time_before_the_last_one_gives_no_token() -> None:
    assert take(Bucket(0.5, 10.0), 5.0, 1.0) == (Bucket(0.5, 10.0, 1), False)


def test_each_reason_has_its_own_rate(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    refusals = RefusalLog(clock)
    with caplog.at_level(logging.WARNING, "guard"):
        for _ in range(3):
            refusals.note(Lane.READ, Reason.POOL_SATURATED)
        refusals.note(Lane.WRITE, Reason.POOL_SATURATED)
        refusals.note(Lane.WRITE, Reason.DEADLINE)
        clock.advance(1.0)
        refusals.note(Lane.WRITE, Reason.POOL_SATURATED)
        clock.advance(1.0)
        refusals.note(Lane.WRITE, Reason.POOL_SATURATED)
    assert caplog.messages == [
        "shed lane=read reason=pool_saturated suppressed=0",
        "shed lane=write reason=deadline suppressed=0",
        "shed lane=write reason=pool_saturated suppressed=3",
        "shed lane=write reason=pool_saturated suppressed=0",
    ]
    record = caplog.records[2]
    assert record.name == "guard"
    fields = (record.guard_lane, record.guard_reason, record.guard_suppressed)  # type: ignore[attr-defined]
    assert fields == ("write", "pool_saturated", 3)


def test_several_lines_at_once(caplog: pytest.LogCaptureFixture) -> None:
    refusals = RefusalLog(FakeClock(), lines_per_s=3.0)
    for _ in range(10):
        refusals.note(Lane.READ, Reason.DRAINING)
    assert len(caplog.messages) == 3
