from collections import deque
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.gunicorn.waiting import Waiting

STEPS = st.lists(st.tuples(st.sampled_from(["append", "remove", "popleft"]), st.integers(0, 5)))


@dataclass(eq=False)
class Conn:
    waits_in: Any = None


@given(STEPS)
def test_it_does_what_a_deque_does(steps):
    waiting, twin = Waiting[Conn](), deque[Conn]()
    conns = [Conn() for _ in range(6)]
    for step, number in steps:
        conn = conns[number]
        if step == "append" and conn not in twin:
            twin.append(conn)
            waiting.append(conn)
        elif step == "remove" and conn in twin:
            twin.remove(conn)
            waiting.remove(conn)
        elif step == "popleft" and twin:
            assert waiting.popleft() is twin.popleft()
        assert list(waiting) == list(twin)
        assert (len(waiting), bool(waiting)) == (len(twin), bool(twin))
        assert [each for each in conns if each.waits_in is waiting] == [
            each for each in conns if each in twin
        ]
        if twin:
            assert waiting[0] is twin[0]


def test_what_is_not_there_is_an_error():
    waiting = Waiting[Conn]()
    with pytest.raises(KeyError):
        waiting.popleft()
    with pytest.raises(KeyError):
        waiting.remove(Conn())
    with pytest.raises(IndexError):
        waiting[0]
    waiting.append(Conn())
    with pytest.raises(IndexError):
        waiting[1]
