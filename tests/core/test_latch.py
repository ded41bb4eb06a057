from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from guard.core.latch import Latch, observe

RISE_S, FALL_S = 1.0, 5.0
LOOKS = st.lists(st.tuples(st.floats(0.01, 3.0), st.booleans()), max_size=60)


def look(latch: Latch, *, seen: bool, now_s: float) -> Latch:
    return observe(latch, seen=seen, now_s=now_s, rise_s=RISE_S, fall_s=FALL_S)


def test_it_rises_and_falls_after_its_time() -> None:
    latch = look(Latch(), seen=True, now_s=10.0)
    assert not latch.on
    assert not look(latch, seen=True, now_s=10.9).on
    latch = look(latch, seen=True, now_s=11.0)
    assert latch == Latch(on=True, changed_s=10.0)
    latch = look(latch, seen=False, now_s=20.0)
    latch = look(latch, seen=False, now_s=24.9)
    assert latch.on
    assert look(latch, seen=False, now_s=25.0) == Latch(on=False, changed_s=20.0)


def test_a_break_begins_the_time_anew() -> None:
    latch = look(Latch(), seen=True, now_s=0.0)
    latch = look(latch, seen=False, now_s=0.9)
    latch = look(latch, seen=True, now_s=1.0)
    assert not look(latch, seen=True, now_s=1.9).on


@given(LOOKS)
def test_it_changes_only_after_the_opposite_was_seen_long_enough(
    looks: list[tuple[float, bool]],
) -> None:
    latch, now_s, since_s, last = Latch(), 0.0, None, None
    changes = []
    for gap_s, seen in looks:
        now_s += gap_s
        since_s = now_s if seen is not last or since_s is None else since_s
        last = seen
        before, latch = latch, look(latch, seen=seen, now_s=now_s)
        lasted_s = now_s - since_s
        due = seen is not before.on and lasted_s >= (RISE_S if seen else FALL_S)
        assert (latch.on is not before.on) is due
        if due:
            assert latch.changed_s == since_s
            changes.append(now_s)
    assert all(b - a >= RISE_S for a, b in pairwise(changes))


def test_without_a_time_it_follows_at_once() -> None:
    assert observe(Latch(), seen=True, now_s=1.0, rise_s=0.0, fall_s=0.0).on
