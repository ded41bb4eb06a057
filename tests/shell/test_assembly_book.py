import pytest

from guard.assembly import assemble
from guard.board import Board
from guard.book import AppointmentBook
from guard.core.vocabulary import Lane, Reason
from guard.settings import load
from guard.testing import MemoryRecorder


@pytest.fixture
def assembled():
    made = []

    def make(recorder=None, **environ):
        made.append(assemble(load({"GUARD_WORKERS": "1", **environ}).settings, recorder=recorder))
        return made[-1]

    yield make
    for assembly in made:
        assembly.close()


def test_the_workers_of_a_board_keep_one_book(assembled):
    board = Board.anonymous(2)
    first, second = (assembled(board.claim(number, number + 1)) for number in range(2))
    assert isinstance(first.controller.book, AppointmentBook)
    told = [first.controller.retry_after_s(Lane.READ, Reason.POOL_SATURATED) for _ in range(5)]
    ring = second.controller.book._pages[Lane.READ]._ring
    now = int(first.controller.clock.now_s())
    assert sum(ring.promised(now + ahead) for ahead in range(-2, 64)) == 5
    assert all(1 <= answer <= 30 for answer in told)


def test_without_a_policy_or_a_board_the_answers_are_spread(assembled):
    assert assembled(GUARD_RETRY_AFTER_POLICY="spread").controller.book is None
    assert assembled(MemoryRecorder()).controller.book is None


def test_the_settings_bound_the_answers(assembled):
    controller = assembled(GUARD_RETRY_AFTER_MIN="3", GUARD_RETRY_AFTER_MAX="8").controller
    answers = [controller.retry_after_s(Lane.READ, Reason.BREAKER_OPEN) for _ in range(50)]
    answers += [controller.retry_after_s(Lane.READ, Reason.POOL_SATURATED) for _ in range(50)]
    assert min(answers) >= 3
    assert max(answers) <= 8
