from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.core.promise_ring import COUNT_MAX, QUARTERS, SECONDS, PromiseRing, words_for


def rings(writers=3):
    words = [0] * words_for(writers)
    return [PromiseRing(words, writers, writer) for writer in range(writers)]


def test_an_empty_ring_promises_nothing():
    one = rings()[0]
    assert all(one.promised(second) == one.own(second) == 0 for second in range(200))


@given(
    st.integers(0, 2**40),
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, SECONDS - 1), st.integers(0, QUARTERS - 1)),
        max_size=60,
    ),
)
def test_no_promise_is_lost_or_seen_twice(start, promises):
    each = rings()
    told = Counter()
    for writer, ahead, quarter in promises:
        each[writer].promise(start + ahead, quarter)
        told[writer, start + ahead, quarter] += 1
    for ahead in range(SECONDS):
        second = start + ahead
        own = [sum(told[writer, second, q] for q in range(QUARTERS)) for writer in range(3)]
        for writer, one in enumerate(each):
            assert one.own(second) == own[writer]
            assert one.promised(second) == sum(own)
            for quarter in range(QUARTERS):
                within = sum(told[w, second, quarter] for w in range(3))
                assert one.counts(second, quarter) == (sum(own), within)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 63)), max_size=100))
def test_what_an_older_second_left_behind_is_stale(steps):
    one, told, now = rings(1)[0], Counter(), 1000
    for passed, ahead in steps:
        now += passed
        one.promise(now + ahead, 0)
        told[now + ahead] += 1
        coming = range(now, now + SECONDS)
        assert [one.promised(s) for s in coming] == [told[s] for s in coming]
        assert [one.own(s) for s in coming] == [told[s] for s in coming]


def test_a_count_stays_at_its_largest_and_spills_into_no_other():
    one = rings(1)[0]
    for _ in range(COUNT_MAX + 10):
        one.promise(5, 1)
    one.promise(5, 2)
    assert [one.counts(5, quarter)[1] for quarter in range(QUARTERS)] == [0, COUNT_MAX, 1, 0]
    assert one.promised(5) == COUNT_MAX + 1


@pytest.mark.parametrize("quarter", range(QUARTERS))
def test_a_word_fits_into_64_bits(quarter):
    words = memoryview(bytearray(8 * words_for(1))).cast("Q")
    one = PromiseRing(words, 1, 0)
    latest = 64 * 65_535 + 63
    one.promise(latest, quarter)
    assert one.counts(latest, quarter) == (1, 1)


def test_a_ring_left_alone_no_longer_shares():
    first, second, _ = rings()
    first.promise(10, 0)
    second.detach()
    second.promise(10, 0)
    assert (first.promised(10), second.promised(10)) == (1, 2)
