"""How the move to PostgreSQL is judged."""

from __future__ import annotations

from math import inf

import pytest

from stress.arrivals import CREATE, SEARCH
from stress.migrate import Ran, verdicts
from stress.migrate_online import Move, gap_of, length_s
from stress.migrate_online import verdicts as verdicts_online
from stress.result import Run, Sample
from stress.verify import Verdict

WRITES = frozenset({CREATE})


def sample(due_s: float, *, right: bool = True, kind: str = CREATE, reason: str = "") -> Sample:
    if not right and not reason:
        return Sample(kind, due_s, 0.0, 0.01, 201, failure="reset")
    status = 201 if right else 503
    return Sample(kind, due_s, 0.0, 0.01, 201, status=status, right=right, reason=reason)


def shed(due_s: float, kind: str = CREATE) -> Sample:
    return sample(due_s, right=False, kind=kind, reason="draining")


def test_a_gap_lasts_until_the_next_one_that_is_taken() -> None:
    samples = [sample(6.5), sample(1.0), shed(2.0), sample(3.0), shed(5.0), shed(1.5, SEARCH)]
    gap = gap_of(samples, WRITES)
    assert gap == (2.0, 6.5)
    assert length_s(gap) == 4.5


def test_without_a_refusal_there_is_no_gap() -> None:
    gap = gap_of([sample(1.0), shed(2.0, SEARCH)], WRITES)
    assert length_s(gap) == 0.0
    assert gap.from_s == inf


def test_a_gap_without_an_end_is_infinite() -> None:
    assert length_s(gap_of([sample(1.0), shed(2.0)], WRITES)) == inf


def judged(
    samples: list[Sample], *, status: int = 0, missing: int = 0, added: int = 3
) -> list[bool]:
    found = Run(samples, len(samples), len(samples), 10.0)
    kept = Verdict(3, missing, 0, 0, 100)
    move = Move(began_s=0.5, ended_s=4.0, status=status)
    return [verdict.met for verdict in verdicts_online(found, move, kept, added)]


GOOD = [sample(1.0), sample(1.2, kind=SEARCH), shed(2.0), sample(4.0), shed(3.0, SEARCH)]


def test_all_bars_are_met_by_a_good_move() -> None:
    assert all(judged(GOOD))


@pytest.mark.parametrize(
    ("bar", "met"),
    [
        (1, judged(GOOD, status=1)),
        (2, judged(GOOD, missing=1)),
        (2, judged(GOOD, added=4)),
        (3, judged([*GOOD, shed(1.5, SEARCH)])),
        (4, judged([*GOOD, sample(2.5, right=False)])),
        (5, judged([*GOOD, shed(8.0), sample(9.0)])),
    ],
)
def test_each_fault_misses_its_bar_alone(bar: int, met: list[bool]) -> None:
    assert [number for number, each in enumerate(met) if not each] == [bar]


def test_the_offline_bars() -> None:
    killed, good = Ran(-9, 20.0, 200.0, ""), Ran(0, 30.0, 300.0, "")
    refused, kept = Ran(1, 1.0, 50.0, ""), Verdict(10, 0, 0, 0, 100)
    assert all(verdict.met for verdict in verdicts(100, killed, good, refused, kept))
    bad = verdicts(100, Ran(0, 50.0, 600.0, ""), good, good, Verdict(10, 1, 0, 0, 101))
    assert not any(verdict.met for verdict in bad)
