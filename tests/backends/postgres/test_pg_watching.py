from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.backends.postgres.watchdog import Watchdog
from guard.backends.postgres.watching import Line, Watching
from guard.clock import MonotonicClock

if TYPE_CHECKING:
    from collections.abc import Callable


class _Connection:
    """A connection that can be closed, and has a socket's number that nobody has."""

    closed = False
    pgconn = type("PGconn", (), {"socket": -1})

    def close(self) -> None:
        self.closed = True


def test_whatever_goes_wrong_the_next_look_comes_on_a_new_connection(
    until: Callable[[Callable[[], object]], None],
) -> None:
    clock, made, missed = MonotonicClock(), list[Any](), list[Exception]()
    errors = iter([OSError("too many open files"), ValueError("unexpected")])

    def connect() -> Any:
        made.append(_Connection())
        return made[-1]

    def question(server: Any) -> Any:
        for error in errors:
            raise error
        return server

    def heard(error: Exception) -> float:
        missed.append(error)
        return 0.0

    answers: list[Any] = []
    line = Line(connect, 1.0, Watchdog(clock), clock)

    def look() -> float:
        answers.append(line.ask(question))
        return 0.0

    watching = Watching("watch", line, look, heard)
    watching.stop(0.0)
    watching = Watching("watch", line, look, heard)
    watching.start()
    until(lambda: len(answers) > 2)
    watching.stop(30.0)
    assert [type(error) for error in missed] == [OSError, ValueError]
    assert len(made) == 3
    assert set(answers) == {made[2]}
    assert all(one.closed for one in made)
