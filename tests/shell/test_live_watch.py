"""Settings that change under a worker: its controller, breakers, book and gauges follow."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard import metrics
from guard.assembly import assemble
from guard.board import Board
from guard.controller import Controller
from guard.core.admission import Limits
from guard.core.vocabulary import Lane, Mode, Policy
from guard.rules import Rules
from guard.settings import load
from guard.settings.live import News, live_texts
from guard.testing import FakeClock, MemoryRecorder
from guard.watches.live import LiveWatch, news_in


def rules(permits, waiters, budget_s=1.0, mode=Mode.ENFORCE):
    limits = Limits(Policy.PREDICTIVE, permits, waiters, budget_s)
    return Rules(lanes=dict.fromkeys(Lane, limits), mode=mode)


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(0, 8)), min_size=1, max_size=6))
def test_shrinking_keeps_those_in_flight_and_judges_new_ones_by_the_new_limits(sizes):
    control = Controller(rules(16, 12), dict.fromkeys(Lane, lambda: 4), clock=FakeClock())
    held = [control.admit(control.scope(Lane.READ), Lane.READ)[1] for _ in range(10)]
    for permits, waiters in sizes:
        control.configure(rules(permits, waiters))
        assert control.load(Lane.READ).in_flight == len(held)
        decision, permit = control.admit(control.scope(Lane.READ), Lane.READ)
        assert decision.admitted is (len(held) < permits and len(held) < 4 + waiters)
        if permit is not None:
            held.append(permit)
        held.pop(0).release()
    for permit in held:
        permit.release()
    assert control.load(Lane.READ).in_flight == 0


def test_another_mode_counts_for_the_next_request():
    control = Controller(rules(1, 0), dict.fromkeys(Lane, lambda: 0), clock=FakeClock())
    assert not control.check(control.scope(Lane.READ), Lane.READ).admitted
    control.configure(rules(1, 0, mode=Mode.OFF))
    assert control.check(control.scope(Lane.READ), Lane.READ).admitted
    assert control.mode is Mode.OFF


@pytest.fixture
def assembly():
    found = assemble(load({}, cores=2).settings)
    yield found
    found.close()


def test_every_part_of_a_worker_follows(assembly):
    before = logging.getLogger("guard").level
    texts = {
        "GUARD_READ_WAITERS": "1", "GUARD_READ_WAIT_BUDGET": "50ms", "GUARD_DEADLINE": "2s",
        "GUARD_BREAKER": "open", "GUARD_RETRY_AFTER_MIN": "7", "GUARD_RETRY_AFTER_MAX": "7",
        "GUARD_LOG_LEVEL": "error", "GUARD_BREAKER_OPEN": "3s", "GUARD_BREAKER_OPEN_MAX": "3s",
    }  # fmt: skip
    threads = str(assembly.settings.threads)
    reserve = str(assembly.settings.thread_reserve)
    wanted = load(
        texts | {"GUARD_THREADS": threads, "GUARD_THREAD_RESERVE": reserve,
        "GUARD_WRITE_WAITERS": "1"}, cores=2,
    )  # fmt: skip
    assembly.configure(wanted.settings)
    control = assembly.controller
    limits = control.rules.lanes[Lane.READ]
    assert (limits.waiters_max, limits.wait_budget_s) == (1, 0.05)
    assert not assembly.breakers[Lane.READ].admits()
    assert assembly.breakers[Lane.READ].view.reset_timeout == 3.0
    decision = control.check(control.scope(Lane.READ), Lane.READ)
    assert control.retry_after_s(Lane.READ, decision.reason) == 7
    scope = control.scope(Lane.READ)
    assert scope.deadline_at_s - scope.arrived_s == pytest.approx(2.0)
    assert logging.getLogger("guard").level == logging.ERROR
    logging.getLogger("guard").setLevel(before)


class Followed:
    """A watch, what it is told, and what it applied."""

    def __init__(self):
        self.news = None
        self.applied = []
        self.recorder = MemoryRecorder()
        self.settings = load({}, cores=2).settings
        self.watch = LiveWatch(self.settings, lambda: self.news, self.applied.append, self.recorder)

    def tell(self, generation, *, successful=True, waiting=(), **texts):
        texts = live_texts(self.settings) | texts
        self.news = News(generation, successful, 5.0, waiting, texts)
        self.watch(0.0)

    def gauge(self, metric):
        return self.recorder.value(metric, ())


def test_each_generation_is_applied_once():
    followed = Followed()
    followed.watch(0.0)
    followed.tell(1)
    assert followed.applied == []
    followed.tell(2, mode="shadow")
    followed.watch(0.0)
    assert [each.mode for each in followed.applied] == [Mode.SHADOW]
    assert followed.gauge(metrics.CONFIG_GENERATION) == 2
    followed.tell(2, successful=False, waiting=("GUARD_THREADS",), mode="shadow")
    assert len(followed.applied) == 1
    assert followed.gauge(metrics.CONFIG_SUCCESSFUL) == 0
    assert followed.gauge(metrics.CONFIG_WAITING) == 1
    assert followed.gauge(metrics.CONFIG_LOADED) == 5.0


def test_a_worker_too_small_for_the_news_keeps_its_settings_and_generation():
    followed = Followed()
    followed.tell(1)
    followed.tell(2, read_waiters="60", mode="off")
    assert followed.applied == []
    assert followed.gauge(metrics.CONFIG_GENERATION) == 1


def test_the_generation_of_the_host_is_that_of_its_last_worker():
    board = Board.anonymous(3)
    rows = [board.claim(index, 100 + index) for index in range(3)]
    rows[0].set(metrics.CONFIG_GENERATION, (), 5)
    rows[1].set(metrics.CONFIG_GENERATION, (), 4)
    assert board.value(metrics.CONFIG_GENERATION, ()) == 4


def test_news_go_through_a_note():
    board = Board.anonymous(1)
    note = board.claim(0, 1).note
    assert news_in(note) is None
    news = News(3, True, 5.0, ("GUARD_THREADS",), {"mode": "off"})  # noqa: FBT003
    note.put("settings", news)
    found = news_in(note)
    assert found is not None
    assert found._replace(waiting=tuple(found.waiting)) == news
