"""The verdict, the advice and the reasons: what an operator reads."""

from __future__ import annotations

from math import inf

import pytest

from guard.board import Refusal
from guard.core.vocabulary import BreakerPhase, Lane, Mode, Reason
from guard.settings.model import specs
from guard.status.advice import advice
from guard.status.events import changes
from guard.status.reasons import why
from guard.status.verdict import Facts, LaneFacts, Level, verdict

CALM = LaneFacts(Lane.READ, in_use=1, size=4, working=4, admitted=900)
READ = LaneFacts(
    Lane.READ, in_use=4, size=4, working=4, waiting=4, full_ratio=0.5, shed=270, admitted=730,
    top_reason=Reason.POOL_SATURATED,
)  # fmt: skip
WRITE = LaneFacts(Lane.WRITE, size=2, working=2)
OPEN = CALM._replace(breaker=BreakerPhase.OPEN, probe_in_s=1.24, admitted=0)


def facts(*lanes: LaneFacts, workers: int = 2, ready: int = 2, **more: object) -> Facts:
    return Facts(lanes or (CALM, WRITE), workers, ready)._replace(**more)


@pytest.mark.parametrize(
    ("given", "level", "sentence"),
    [
        (facts(READ, WRITE), "bad", "Shedding 27 %: read pool 4/4 used, 4 waiting; breaker closed"),
        (
            facts(READ._replace(shed=10), WRITE._replace(shed=5, top_reason=Reason.DEADLINE)),
            "warn",
            "Shedding 2 %: read pool 4/4 used, 4 waiting; write pool 0/2 used; breaker closed",
        ),
        (facts(READ._replace(shed=1)), "warn", None),
        (facts(READ._replace(shed=1, admitted=999)), "warn", "Shedding under 1 %"),
        (
            facts(OPEN._replace(breaker=BreakerPhase.RECOVERING)),
            "warn",
            "Recovering: the read breaker lets a growing share through",
        ),
        (facts(workers=0, ready=0), "bad", "Down: there is no worker process"),
        (facts(silent=2, silent_s=12.4), "bad", "Down: no worker has given a sign of life for 12"),
        (facts(silent=1, silent_s=12.4), "warn", "Degraded: 1 of 2 workers silent since 12 s"),
        (facts(ready=1), "warn", "Degraded: 1 of 2 workers are ready"),
        (facts(ready=0), "bad", "Not serving: none of 2 workers is ready"),
        (facts(workers=1, ready=0), "bad", "Not serving: the worker is not ready"),
        (facts(OPEN), "bad", "Database failing: the read breaker is open, next probe in 1.2 s"),
        (
            facts(OPEN._replace(probe_in_s=0), OPEN._replace(lane=Lane.WRITE, shed=9)),
            "bad",
            "Database failing: the read and write breakers are open, a probe is under way; shed",
        ),
        (
            facts(READ._replace(working=0, admitted=0), WRITE),
            "bad",
            "Database unreachable: the read pool has no working connection; shedding 100 %",
        ),
        (facts(WRITE._replace(working=0), ready=0), "bad", "Not serving"),
        (facts(READ._replace(shed=0), WRITE), "warn", "Busy: read pool 4/4 used, 4 waiting"),
        (facts(READ._replace(shed=0, full_ratio=0.4)), "ok", "Fine: 73 requests/s; read pool 4/4"),
        (facts(p95_s=0.0123), "ok", "Fine: 90 requests/s, p95 12 ms; read pool 1/4 used, write"),
        (facts(p95_s=1.25), "ok", "Fine: 90 requests/s, p95 1.2 s"),
        (facts(WRITE), "ok", "Idle: no requests in the last 10 s; write pool 0/2 used"),
        (facts(mode=Mode.OFF), "warn", "Guard is off: 90 requests/s pass undecided"),
        (facts(relieved=300), "warn", "Relieved: no room for 25 %, answered from the cache or put"),
        (facts(mode=Mode.SHADOW, would_shed=100), "ok", "Shadow: would have shed 10 %; read pool"),
        (facts(mode=Mode.SHADOW), "ok", "Shadow: would have shed 0 %"),
    ],
)  # fmt: skip
def test_verdict(given: Facts, level: str, sentence: str | None) -> None:
    found = verdict(given)
    assert found.level is Level(level)
    assert found.sentence.startswith(sentence or "Shedding")
    assert not found.sentence.endswith(".")


def test_what_to_turn() -> None:
    assert verdict(facts(READ)).advice.variables == (
        "GUARD_READ_POOL_SIZE",
        "GUARD_READ_WAIT_BUDGET",
    )
    assert "the database" in verdict(facts(OPEN)).advice.text
    late = READ._replace(top_reason=Reason.QUEUE_DELAY)
    assert verdict(facts(late)).advice.variables[0] == "GUARD_READ_POOL_SIZE"
    assert verdict(facts(late._replace(full_ratio=0.4))).advice.variables == ("GUARD_WORKERS",)
    assert verdict(facts(late._replace(full_ratio=0.4), one_process=True)).advice.variables == ()


@pytest.mark.parametrize("one_process", [False, True])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("lane", Lane)
@pytest.mark.parametrize("reason", [reason for reason in Reason if reason.sheds])
def test_every_reason_has_advice_with_real_settings(
    reason: Reason, lane: Lane, full: bool, one_process: bool  # noqa: FBT001 - a table
) -> None:  # fmt: skip
    found = advice(reason, lane, full=full, one_process=one_process)
    assert found.text
    assert "{" not in found.text
    assert set(found.variables) <= {spec.env for spec in specs().values()}
    # With DuckDB these are what they are.
    assert not (one_process and {"GUARD_WORKERS", "GUARD_WRITE_POOL_SIZE"} & set(found.variables))


def test_a_queue_at_a_full_pool_is_the_pools() -> None:
    assert advice(Reason.QUEUE_DELAY, Lane.READ, full=True) == advice(
        Reason.POOL_SATURATED, Lane.READ
    )
    assert advice(Reason.QUEUE_DELAY, Lane.READ).variables == ("GUARD_WORKERS",)
    assert advice(Reason.OK, Lane.READ).text == ""


ONE = Refusal(
    7, 1.0, Lane.READ, Reason.POOL_SATURATED, in_flight=9, unfinished=9, slots=4, permits_max=10,
    waiters_max=8, hold_s=0.139, wait_s=0.2085, age_s=0.004, budget_s=0.2,
)  # fmt: skip


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (ONE, "predicted wait 208 ms > budget 200 ms (9 unfinished on 4, held 139 ms each)"),
        (
            ONE._replace(wait_s=0.1, unfinished=12),
            "the queue was full: 8 of 8 waiting (12 unfinished on 4, held 139 ms each)",
        ),
        (
            ONE._replace(wait_s=0.0, unfinished=4, hold_s=0.0015),
            "the pool was over its threshold (4 unfinished on 4, held 1.5 ms each)",
        ),
        (ONE._replace(wait_s=inf, slots=0), "the pool had no working connection"),
        (
            ONE._replace(wait_s=0.0, slots=0),
            "admitted, and then got no connection in time (9 unfinished)",
        ),
        (ONE._replace(reason=Reason.THREADS_EXHAUSTED), "9 of 10 permits were held"),
        (
            ONE._replace(reason=Reason.QUEUE_DELAY, wait_s=0.12),
            "a queue stood, and age 4.0 ms + wait 120 ms = 124 ms > half the budget, 100 ms",
        ),
        (
            ONE._replace(reason=Reason.DEADLINE),
            "age 4.0 ms + wait 208 ms + hold 139 ms was past the deadline",
        ),
        (ONE._replace(reason=Reason.BREAKER_OPEN), "the breaker was open"),
        (ONE._replace(reason=Reason.DRAINING), "the worker was going away"),
        (ONE._replace(reason=Reason.STARTING), "the database was not open yet"),
        (ONE._replace(reason=Reason.OK), ""),
    ],
)
def test_why(refusal: Refusal, expected: str) -> None:
    assert why(refusal) == expected


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({}, {5: True}, ["worker 5 has started and is ready"]),
        ({}, {5: False}, ["worker 5 has started"]),
        ({5: False}, {5: True}, ["worker 5 is ready"]),
        ({5: True}, {5: False}, ["worker 5 is not ready"]),
        ({5: True}, {5: True}, []),
        ({5: True}, {6: True}, ["worker 5 has ended", "worker 6 has started and is ready"]),
    ],
)
def test_changes_of_the_workers(
    before: dict[int, bool], now: dict[int, bool], expected: list[str]
) -> None:
    assert list(changes(before, now)) == expected


def test_a_lane_that_waits_for_a_lock_is_told_to_look_at_it() -> None:
    locked = LaneFacts(
        Lane.WRITE, in_use=6, size=8, working=8, waiting=12, shed=59, admitted=173,
        top_reason=Reason.POOL_SATURATED, lock_waiters=6,
    )  # fmt: skip
    found = verdict(Facts([CALM, locked], workers=2, ready=2))
    assert "write pool 6/8 used, 12 waiting" in found.sentence
    assert "wait for a lock" in found.advice.text
    assert found.advice.variables == ()
    few = locked._replace(lock_waiters=3)
    assert "wait for a lock" not in verdict(Facts([CALM, few], 2, 2)).advice.text
    # DuckDB's waiters are the writer's queue, which is told otherwise.
    duckdb = Facts([CALM, locked], workers=1, ready=1, one_process=True)
    assert "wait for a lock" not in verdict(duckdb).advice.text
