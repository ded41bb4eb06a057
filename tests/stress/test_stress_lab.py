"""The lab's parts: bars, phases, clients that come back, slow ones, the stand-in for a proxy."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from dataclasses import replace
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest

from stress.arrivals import CREATE, LARGE, LOOK_UP, NO_TERM, SEARCH, TOO_LONG
from stress.lab import bars
from stress.lab.course import AFTER, ALL, BEFORE, DURING, Course, parts, whole
from stress.lab.description import Guard, Order, Scenario
from stress.lab.execution import carry_out
from stress.lab.front import Front
from stress.lab.plans import mix
from stress.lab.slow_clients import HALF_A_HEAD, KINDS, SlowClients
from stress.load import Retry, User, generate
from stress.payloads import Payloads, Request
from stress.phases import Span, part
from stress.response import Response
from stress.result import Run, Sample, summarise
from stress.shots import Target
from stress.verify import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stress.lab.bars import Bar

GOOD = Sample(SEARCH, 0.0, 0.0, 0.01, 200, 200, right=True)
SHED = replace(GOOD, status=503, right=False, reason="pool_saturated", latency_s=0.05)
FAILED = replace(GOOD, status=0, right=False, failure="time-out", latency_s=10.0)
WRONG = replace(GOOD, status=500, right=False)
KEPT = Verdict(5, 0, 0, 0, 5)
REFUSED = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
    b'%sContent-Length: 15\r\n\r\n{"reason": "x"}'
)
WAIT_S = 20.0


def run(*samples: Sample, seconds: float = 30.0) -> Run:
    return Run(samples, len(samples), len(samples), seconds)


def at(due_s: float, sample: Sample = GOOD) -> Sample:
    return replace(sample, due_s=due_s)


def course(*samples: Sample, **changes: object) -> Course:
    found = run(*samples)
    whole_course = Course(runs={"run": found}, parts={ALL: found}, kept=KEPT)
    return replace(whole_course, **changes)  # type: ignore[arg-type]


def met(bar: Bar, *samples: Sample, **changes: object) -> bool:
    return bar.verdict(course(*samples, **changes)).met


@pytest.mark.parametrize(
    ("bar", "enough", "too_little"),
    [
        (bars.right_in_time(0.75), [GOOD, GOOD, GOOD, SHED], [GOOD, SHED]),
        (bars.right_in_time(1.0, ALL, {SEARCH}), [GOOD, replace(FAILED, kind=CREATE)], [WRONG]),
        (bars.right_in_time(1.0), [GOOD], [replace(GOOD, latency_s=1.1)]),
        (bars.answered_p99(20.0), [GOOD, SHED, FAILED], [replace(GOOD, latency_s=0.03)]),
        (bars.answered_p99(20.0), [GOOD], [SHED]),
        (bars.answered_p95(20.0), [GOOD], [replace(GOOD, latency_s=0.03)]),
        (bars.refused_p99(60.0), [SHED], [replace(SHED, latency_s=0.07)]),
        (bars.no_failures(), [GOOD, SHED, WRONG], [GOOD, FAILED]),
        (bars.as_expected(), [GOOD], [GOOD, SHED]),
        (bars.as_expected(kinds={CREATE}), [replace(GOOD, kind=CREATE), SHED], [GOOD]),
        (bars.refused_because({"pool_saturated"}), [GOOD, SHED], [replace(SHED, reason="other")]),
        (bars.served_in_the_end(1.0), [SHED, replace(GOOD, attempt=2)], [GOOD, SHED]),
        (
            bars.served_in_the_end(1.0),
            [GOOD, replace(SHED, kind=LOOK_UP)],
            [SHED, replace(GOOD, kind=LOOK_UP)],
        ),
        (bars.SENT, [GOOD, SHED, FAILED], []),
    ],
)
def test_a_bar_tells_enough_from_too_little(
    bar: Bar, enough: list[Sample], too_little: list[Sample]
) -> None:
    assert met(bar, *enough)
    assert not met(bar, *too_little)


def test_what_is_asked_of_every_service() -> None:
    assert not met(bars.KEPT, kept=KEPT._replace(missing=1))
    assert not met(bars.KEPT, kept=KEPT._replace(acknowledged=0))
    assert not met(bars.KEPT, kept=None)
    assert met(bars.KEPT)
    assert not met(bars.UNTROUBLED, troubles=["WORKER TIMEOUT"])
    late = [replace(GOOD, lag_s=0.2)]
    assert not met(bars.SENT, *late)
    unended = replace(run(GOOD), sent=2)
    assert not met(bars.SENT, runs={"run": unended})
    assert not met(bars.SENT, GOOD, runs={"run": replace(run(GOOD), interrupted=True)})


def test_a_late_generator_makes_void_what_is_told_of_requests() -> None:
    late = run(replace(GOOD, lag_s=0.2))
    found = course(runs={"late": late})
    told = bars.judge((*bars.HONEST, bars.right_in_time(0.5)), found)

    assert [one.void for one in told] == [True, False, False, True]
    assert [one.met for one in told] == [False, True, True, False]
    assert "late" in told[0].reached


def test_goodput_is_compared_by_the_second() -> None:
    calm, busy = run(*[GOOD] * 10, seconds=10.0), run(*[GOOD] * 9, seconds=5.0)
    one = Course(runs={}, parts={BEFORE: calm, DURING: busy})

    assert bars.goodput_kept(1.8).verdict(one).met
    assert not bars.goodput_kept(1.9).verdict(one).met
    nothing = replace(one, parts={BEFORE: run(SHED), DURING: busy})
    assert not bars.goodput_kept(0.1).verdict(nothing).met


def test_the_way_back_is_measured_from_the_mishap_or_between_the_phases() -> None:
    samples = [at(n / 10) for n in range(50)] + [at(n / 10, SHED) for n in range(50, 120)]
    samples += [at(n / 10) for n in range(120, 200)]
    phases = Scenario(
        name="", shows="", plan={}, phases={BEFORE: Span(0, 5), AFTER: Span(10.0, 20)}
    )
    found = run(*samples, seconds=20.0)
    by_phase = Course(runs={}, parts=parts(phases, found, [], 1.0))
    by_mishap = replace(by_phase, outage=Span(5.0, 11.0), parts={ALL: found})

    assert bars.back_within(2.0).verdict(by_phase).met
    assert not bars.back_within(1.5).verdict(by_phase).met
    assert bars.back_within(1.0).verdict(by_mishap).met


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["reload", "reload"], [ALL, BEFORE, DURING, AFTER]),
        (["one", "two"], [ALL, BEFORE, DURING, "one", "two", AFTER]),
    ],
)
def test_parts_follow_from_what_really_happened(names: list[str], labels: list[str]) -> None:
    one = Scenario(name="", shows="", plan=mix((20, 1, 1)))
    happened = [(names[0], Span(4.0, 6.0)), (names[1], Span(8.0, 9.0))]
    found = run(*(at(float(n)) for n in range(20)), at(20.02), seconds=20.0)
    split = parts(one, found, happened, 0.5)

    assert list(split) == labels
    assert [len(split[label].samples) for label in (BEFORE, DURING, AFTER)] == [4, 5, 12]
    assert [split[label].seconds for label in (BEFORE, DURING, AFTER)] == [4.0, 5.0, 11.0]
    assert whole(happened) == Span(4.0, 9.0)
    assert whole([]) is None


def test_the_phases_of_a_plan_have_its_time_scale() -> None:
    one = Scenario(name="", shows="", plan={}, phases={"first": Span(0, 10), "last": Span(10, 40)})
    found = run(*(at(float(n)) for n in range(20)), at(20.01), seconds=20.0)
    split = parts(one, found, [], 0.5)

    assert [len(split[label].samples) for label in ("first", "last")] == [5, 16]


def test_goodput_of_a_part_counts_from_its_beginning() -> None:
    found = run(*(at(float(n)) for n in range(20)), seconds=20.0)
    late = summarise(part(found, Span(10.0, 20.0)))

    assert late.goodput_per_s == pytest.approx(1.0)


def test_an_unguarded_run_is_judged_only_by_what_holds_for_any_service() -> None:
    one = Scenario(
        name="x", shows="y", plan={}, bars=(*bars.HONEST, bars.as_expected()),
        course=lambda _scenario, _order: course(GOOD, SHED, facts={"a": "b"}),
    )  # fmt: skip
    for guard, judged in ((Guard.ON, 4), (Guard.OFF, 2), (Guard.SHADOW, 2)):
        told, _ = carry_out(one, Order("duckdb", guard, 1.0, 1))
        assert len(told.verdicts) == judged
        assert told.met is (guard is not Guard.ON)
        assert len(told.facts) == 1 + 4 - judged
        assert f"guard {guard}" in told.title


@pytest.mark.parametrize(
    ("retry", "attempt", "told", "wait_s"),
    [
        (Retry(3, obeys=True), 1, b"Retry-After: 7\r\n", 7.0),
        (Retry(3, obeys=True), 3, b"Retry-After: 7\r\n", None),
        (Retry(3, obeys=True), 1, b"", None),
        (Retry(3, obeys=True), 1, None, None),
        (Retry(3, obeys=False), 2, b"Retry-After: 7\r\n", 0.0),
        (Retry(3, obeys=False), 2, None, 0.0),
        (Retry(3, obeys=False), 3, None, None),
    ],
)
def test_when_a_refused_client_comes_back(
    retry: Retry, attempt: int, told: bytes | None, wait_s: float | None
) -> None:
    head, _, body = (REFUSED % (told or b"")).partition(b"\r\n\r\n")
    response = None if told is None else Response(503, head, body, reusable=True)
    assert retry.wait_s(attempt, response) == wait_s


def test_who_was_answered_does_not_come_back() -> None:
    assert Retry(9, obeys=False).wait_s(1, Response(500, b"", b"", reusable=True)) is None


@contextmanager
def serving(answer: Callable[[int], bytes]) -> Iterator[Target]:
    """A server that answers a connection's request with ``answer(number)``; nothing closes it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            number = 0
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                number += 1
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer(number))

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield Target(*listener.getsockname())
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_every_try_is_a_request_on_a_connection_of_its_own() -> None:
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"
    answers = {1: REFUSED % b"Retry-After: 0\r\n", 2: b"", 3: ok}
    search = Request(SEARCH, "GET", "/warrior?t=a", 200, term="a")
    with serving(answers.__getitem__) as target:
        user = User(0.0, search, 0.0, "127.0.3.1")
        found = generate(target, [user], 1.0, retry=Retry(5, obeys=False))

    assert [one.attempt for one in found.samples] == [1, 2, 3]
    assert [bool(one.reason) for one in found.samples] == [True, False, False]
    assert [one.failure for one in found.samples] == ["", "closed", ""]
    assert found.samples[2].right
    assert {one.source for one in found.samples} == {"127.0.3.1"}
    assert met(bars.served_in_the_end(1.0), *found.samples)
    dues = [one.due_s for one in found.samples]
    assert dues == sorted(dues)


def test_large_bodies_are_as_large_as_they_say() -> None:
    payloads = Payloads(1)
    large, too_long = payloads.request(LARGE), payloads.request(TOO_LONG)

    assert (large.expected, too_long.expected) == (201, 413)
    assert 5_000 < len(large.body) < 64 * 1024 < len(too_long.body) <= 200_002
    problem = b'{"status": 413}'
    assert too_long.is_right(413, "", problem)
    assert not too_long.is_right(422, "", b'{"status": 422}')


def test_what_needs_no_database_is_no_goodput() -> None:
    other = [replace(GOOD, kind=kind) for kind in (NO_TERM, TOO_LONG)]
    assert summarise(run(GOOD, *other, seconds=1.0)).goodput_per_s == pytest.approx(1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_slow_clients_stay_connected_and_come_back(kind: str) -> None:
    begun: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        listener.settimeout(WAIT_S)
        clients = SlowClients(Target(*listener.getsockname()), kind, count=1)
        clients.start()
        try:
            for _ in range(2):
                connection, _ = listener.accept()
                connection.settimeout(WAIT_S)
                begun.append(connection.recv(65536))
                connection.close()
        finally:
            clients.stop()
    assert begun[0] == begun[1]
    assert begun[0].startswith(b"POST" if "body" in kind else b"GET")
    if kind == HALF_A_HEAD:
        assert b"\r\n\r\n" not in begun[0]


@pytest.mark.process
def test_the_stand_in_refuses_whoever_comes_beyond_its_limit() -> None:
    go, entered = Event(), Event()

    def answer(number: int) -> bytes:
        entered.set()
        go.wait(WAIT_S)
        return f"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}".encode()

    with (
        serving(answer) as service,
        Front(1, service) as front,
        socket.create_connection(front.target, WAIT_S) as first,
    ):
        first.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert entered.wait(WAIT_S)
        with socket.create_connection(front.target, WAIT_S) as second:
            second.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert second.recv(4096).startswith(b"HTTP/1.1 503")
        go.set()
        assert first.recv(4096).startswith(b"HTTP/1.1 200")
