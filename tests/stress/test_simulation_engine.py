"""Virtual time, and things that go at different speeds in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stress.simulation.engine import Engine
from stress.simulation.timeline import ALWAYS, AWAY, FROZEN, End, Stage, Timeline


def test_events_happen_in_order_and_those_of_one_moment_as_they_were_planned():
    engine, seen = Engine(5.0), []
    for at_s, name in ((7.0, "late"), (6.0, "a"), (6.0, "b"), (5.0, "now")):
        engine.at(at_s, lambda name: seen.append((engine.now_s(), name)), name)
    engine.run()
    assert seen == [(5.0, "now"), (6.0, "a"), (6.0, "b"), (7.0, "late")]
    assert engine.done == 4


def test_an_event_plans_others_but_none_in_the_past():
    engine, seen = Engine(), []

    def again():
        seen.append(engine.now)
        if engine.now < 3.0:
            engine.at(engine.now + 1.0, again)

    engine.at(1.0, again)
    engine.run()
    assert seen == [1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match="before now"):
        engine.at(2.9, again)


def test_a_run_ends_at_its_time_or_when_it_is_stopped_and_goes_on_afterwards():
    engine, seen = Engine(), []
    for at_s in (1.0, 2.0, 3.0, 4.0):
        engine.at(at_s, seen.append, at_s)
    engine.at(3.0, engine.stop)
    engine.run(until_s=2.5)
    assert seen == [1.0, 2.0]
    engine.run()
    assert seen == [1.0, 2.0, 3.0]
    engine.run()
    assert seen == [1.0, 2.0, 3.0, 4.0]


SLOW = Timeline([Stage(10.0, 0.5), Stage(20.0, FROZEN), Stage(30.0, 1.0), Stage(40.0, AWAY)])


@pytest.mark.parametrize(
    ("begin_s", "work_s", "end"),
    [
        (0.0, 3.0, End(3.0, ok=True)),
        (8.0, 3.0, End(12.0, ok=True)),
        (15.0, 2.5, End(20.0, ok=True)),
        (15.0, 3.0, End(30.5, ok=True)),
        (25.0, 1.0, End(31.0, ok=True)),
        (39.0, 2.0, End(40.0, ok=False)),
        (41.0, 2.0, End(41.0, ok=False)),
    ],
)
def test_when_something_ends(begin_s, work_s, end):
    found = SLOW.end(begin_s, work_s)
    assert found.at_s == pytest.approx(end.at_s)
    assert found.ok is end.ok


def test_what_is_frozen_for_ever_never_ends():
    assert Timeline([Stage(1.0, FROZEN)]).end(0.0, 2.0).at_s == float("inf")


def test_speeds_and_what_gets_done():
    assert [SLOW.speed(at_s) for at_s in (9.9, 10.0, 20.0, 30.0, 40.0)] == [1, 0.5, 0, 1, -1]
    assert SLOW.work_s(5.0, 35.0) == pytest.approx(5 + 5 + 0 + 5)
    assert SLOW.work_s(35.0, 50.0) == pytest.approx(5)
    assert ALWAYS.work_s(1.0, 3.0) == 2.0
    with pytest.raises(ValueError, match="order"):
        Timeline([Stage(2.0, 1.0), Stage(1.0, 1.0)])


@given(
    st.lists(st.tuples(st.floats(0, 50), st.floats(0.1, 5)), max_size=5),
    st.floats(0, 60),
    st.floats(0.001, 50),
)
def test_from_its_beginning_to_its_end_just_its_work_gets_done(stages, begin_s, work_s):
    timeline = Timeline([Stage(*stage) for stage in sorted(stages)])
    end = timeline.end(begin_s, work_s)
    assert end.ok
    assert timeline.work_s(begin_s, end.at_s) == pytest.approx(work_s, rel=1e-6, abs=1e-6)
