from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event

import pytest
from cache_world import STALE_S, TTL_S, World
from patience import PATIENCE_S, until

from guard import metrics
from guard.cache.entry import BODY_MAX_BYTES
from guard.cache.flights import Flight
from guard.core.vocabulary import Mode
from guard.errors import Shed


@pytest.fixture
def world():
    return World()


def test_an_answer_is_given_again_while_it_is_fresh(world):
    assert world.send()[0] == "1"
    world.clock.advance(TTL_S * 0.99)
    body, status, headers = world.send()
    assert (body, status, headers["Age"]) == ("1", "200 OK", "0")
    assert "Warning" not in headers
    world.clock.advance(TTL_S * 0.02)
    assert world.send()[0] == "2"
    assert (world.counted("miss"), world.counted("hit")) == (2, 1)


def test_a_hit_needs_no_database_and_is_labelled_with_its_route(world):
    world.app.database = world.database
    world.send()
    uses = world.controller.load("read").uses
    world.send()
    assert world.controller.load("read").uses == uses
    assert world.recorder.value(metrics.HTTP_RESPONSES, ("GET", "/rule", "200")) == 2


@pytest.mark.parametrize("path", ["/cold", "/other"])
def test_what_has_no_name_is_always_computed(world, path):
    assert [world.send(path)[0] for _ in range(3)] == ["1", "2", "3"]


def test_keys_are_apart(world):
    assert [world.send(path)[0] for path in ("/hot1", "/hot2", "/hot1")] == ["1", "2", "1"]


def test_a_404_is_not_kept(world):
    world.app.status = "404 Not Found"
    assert world.send()[0] == "1"
    world.app.status = "200 OK"
    assert world.send()[:2] == ("2", "200 OK")


def test_one_request_computes_and_the_others_wait_for_it(world):
    begun, go_on = Event(), Event()

    def hold():
        begun.set()
        assert go_on.wait(PATIENCE_S)

    world.app.before = hold
    with ThreadPoolExecutor(5) as threads:
        first = threads.submit(world.send)
        assert begun.wait(PATIENCE_S)
        others = [threads.submit(world.send) for _ in range(4)]
        until(lambda: world.controller.load("read").in_flight == 4)
        assert world.controller.load("read").unfinished == 0
        go_on.set()
        assert {one.result(PATIENCE_S)[0] for one in [first, *others]} == {"1"}
    assert world.app.asked == 1
    assert world.counted("shared") == 4
    assert world.controller.load("read").in_flight == 0


def test_what_can_not_be_shared_each_computes_for_himself(world):
    begun, go_on = Event(), Event()

    def hold():
        begun.set()
        assert go_on.wait(PATIENCE_S)

    world.app.before, world.app.status = hold, "404 Not Found"
    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(world.send)
        assert begun.wait(PATIENCE_S)
        others = [threads.submit(world.send) for _ in range(2)]
        until(lambda: world.controller.load("read").in_flight == 2)
        go_on.set()
        bodies = {one.result(PATIENCE_S)[0] for one in [first, *others]}
    assert bodies == {"1", "2", "3"}


def test_a_computation_that_raises_leaves_nothing_behind(world):
    world.app.before = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        world.send()
    world.app.before = int
    assert world.send()[0] == "2"
    assert world.send()[0] == "2"


def test_nobody_waits_longer_than_his_deadline(world, monkeypatch):
    waits = []
    monkeypatch.setattr(Flight, "wait", lambda _flight, most_s: waits.append(most_s))
    world.controller.configure(replace(world.controller.rules, deadline_s=3.0))
    world.keeping.flights.join("/hot")
    assert world.send()[0] == "1"
    assert waits == [pytest.approx(3.0)]


@pytest.mark.parametrize("step", ["lease", "put"])
def test_a_store_that_raises_keeps_nobody_waiting(world, monkeypatch, step):
    with monkeypatch.context() as patched:
        patched.setattr(world.keeping.store, step, lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            world.send()
    _flight, leads = world.keeping.flights.join("/hot")
    assert leads


def test_a_write_drops_what_it_changes(world):
    world.send("/hot/a")
    world.send("/hot/b")
    world.app.status = "201 Created"
    world.app.headers = [("Location", "http://localhost/hot/b")]
    world.send("/hot/a", "POST")
    world.app.status, world.app.headers = "200 OK", []
    assert [world.send(f"/hot/{name}")[0] for name in "ab"] == ["4", "5"]


@pytest.mark.parametrize(
    ("method", "status", "location"),
    [
        ("POST", "422 Unprocessable Content", "/hot"),
        ("POST", "200 OK", "http://elsewhere/hot"),
        ("HEAD", "200 OK", "/hot"),
    ],
)
def test_what_changes_nothing_here_drops_nothing(world, method, status, location):
    world.send()
    world.app.status, world.app.headers = status, [("Location", location)]
    world.send("/other", method)
    world.app.status, world.app.headers = "200 OK", []
    assert world.send()[0] == "1"


@pytest.mark.parametrize("asked_meanwhile", [True, False])
def test_what_was_read_before_a_write_is_not_kept_after_it(world, asked_meanwhile):
    begun, go_on = Event(), Event()

    def hold():
        begun.set()
        assert go_on.wait(PATIENCE_S)

    world.app.before = hold
    with ThreadPoolExecutor(1) as threads:
        late = threads.submit(world.send)
        assert begun.wait(PATIENCE_S)
        world.app.before = int
        world.send("/hot", "PUT")
        if asked_meanwhile:
            # It does not join the computation that began before the write.
            assert world.send()[0] == "3"
        go_on.set()
        assert late.result(PATIENCE_S)[0] == "1"
    assert world.send()[0] == "3"


def full(world):
    """Let the lane have no connection, so that its every request is refused."""
    world.slots = 0


def test_a_late_answer_beats_the_early_gates_refusal(world):
    world.send()
    full(world)
    world.clock.advance(TTL_S + 4.5)
    body, status, headers = world.send()
    assert (body, status, headers["Age"]) == ("1", "200 OK", "5")
    assert headers["Warning"].startswith("110 ")
    assert world.decided("cached", "pool_saturated") == 1
    assert world.counted("stale") == 1
    assert world.app.asked == 1
    world.clock.advance(STALE_S)
    assert world.send()[1].startswith("503")
    assert world.decided("shed", "pool_saturated") == 1


def test_a_fresh_answer_is_given_there_without_a_warning(world):
    world.send()
    full(world)
    _body, status, headers = world.send()
    assert status == "200 OK"
    assert "Warning" not in headers
    assert world.counted("hit") == 1


def test_a_late_answer_beats_the_accept_loops_refusal(world):
    world.send()
    full(world)
    world.clock.advance(TTL_S)
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/hot", "QUERY_STRING": "", "SCRIPT_NAME": ""}
    response = world.guard.consider(dict(environ))
    assert (response.status, response.body) == (200, b"1")
    assert world.guard.pressed()
    assert world.guard.consider({**environ, "PATH_INFO": "/hot/other"}).status == 503
    assert world.guard.consider({**environ, "HTTP_AUTHORIZATION": "x"}).status == 503
    assert world.decided("cached", "pool_saturated") == 1
    assert world.decided("shed", "pool_saturated") == 2


@pytest.mark.parametrize("caught", [False, True])
def test_a_late_answer_beats_the_exact_gates_refusal(world, caught):
    world.app.database = world.database
    world.send()
    world.clock.advance(TTL_S)
    plain = world.app.__call__

    def app(environ, start_response):
        full(world)  # between the gates
        try:
            return plain(environ, start_response)
        except Shed:
            if not caught:
                raise
            start_response("503 Service Unavailable", [])
            return [b"busy"]

    world.hot._app = app
    body, status, headers = world.send()
    assert (body, status) == ("1", "200 OK")
    assert headers["Warning"].startswith("110 ")
    assert world.decided("cached", "pool_saturated") == 1
    assert world.send("/hot/other")[1].startswith("503")


def test_an_applications_own_503_is_no_refusal(world):
    world.send()
    world.clock.advance(TTL_S)
    world.app.status = "503 Service Unavailable"
    assert world.send()[:2] == ("2", "503 Service Unavailable")


def test_shadow_mode_gives_no_late_answer():
    world = World(mode=Mode.SHADOW)
    world.send()
    full(world)
    world.clock.advance(TTL_S)
    assert world.send()[0] == "2"
    assert world.decided("would_shed", "pool_saturated") == 1


class Body:
    def __init__(self, *chunks):
        self.chunks, self.closed = iter(chunks), 0

    def __iter__(self):
        return self.chunks

    def close(self):
        self.closed += 1


def test_a_short_body_is_closed_before_it_is_given(world):
    world.app.body = Body(b"a", b"", b"b")
    assert world.send()[0] == "ab"
    assert world.app.body.closed == 1
    assert world.send()[0] == "ab"
    assert world.app.asked == 1


def test_a_long_body_passes_through_whole_and_is_not_kept(world):
    chunk = b"x" * 1000
    count = BODY_MAX_BYTES // 1000 + 5
    for asked in (1, 2):
        world.app.body = Body(*[chunk] * count)
        assert len(world.send()[0]) == 1000 * count
        assert world.app.body.closed == 1
        assert world.app.asked == asked
