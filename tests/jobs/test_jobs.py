"""What is put off, and how it is counted."""

from threading import Event, Thread

import pytest
from patience import PATIENCE_S, until

from guard import metrics
from guard.core.vocabulary import Lane, Reason
from guard.errors import BackendFailed, SettingsError
from guard.jobs import Job, Jobs, Phase, Unsure, jobs
from guard.jobs.jobs import FULL_S, PUTS_MAX
from guard.pause import FIRST_S
from guard.request import CURRENT, RequestScope
from guard.settings import load
from guard.testing import FakeClock, MemoryRecorder


class Queue:
    """A queue that answers what it is told to."""

    def __init__(self):
        self.answer = "id"
        self.asks = []
        self.run = None
        self.hold = None

    def put(self, data):
        self.asks.append(data)
        if self.hold is not None:
            assert self.hold.wait(PATIENCE_S)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def phase(self, job_id):
        return self.put(job_id)

    def start(self, run):
        self.run = run

    def waiting(self):
        return 7

    def doubt(self):
        return "it says so"

    def stop(self, _timeout_s):
        pass


class World:
    def __init__(self):
        self.queue, self.clock, self.recorder = Queue(), FakeClock(), MemoryRecorder()
        self.jobs = Jobs(self.queue, lambda environ: environ["ok"], 0.25, self.clock, self.recorder)

    def counted(self, result):
        return self.recorder.value(metrics.JOBS, (result,))

    def takes(self, reason=Reason.POOL_SATURATED, age_s=0.0, *, ok=True):
        return self.jobs.takes({"ok": ok}, reason, age_s)


@pytest.fixture
def world():
    return World()


@pytest.mark.parametrize("reason", [one for one in Reason if one.sheds])
def test_for_which_reasons_a_write_is_put_off(world, reason):
    put_off = {Reason.POOL_SATURATED, Reason.BREAKER_OPEN, Reason.LOW_PRIORITY}
    assert world.takes(reason) is (reason in put_off)
    assert not world.takes(reason, ok=False)
    assert not world.takes(reason, age_s=0.3)


@pytest.mark.parametrize(
    ("reason", "relieved"), [(Reason.POOL_SATURATED, "deferred"), (Reason.OK, "")]
)
def test_a_write_that_is_put_off_is_counted_so(world, reason, relieved):
    scope = RequestScope(Lane.WRITE, 0.0, 1.0)
    scope.reason = reason
    CURRENT.set(scope)
    try:
        assert world.jobs.put({}) == "id"
    finally:
        CURRENT.set(None)
    assert scope.relieved == relieved
    assert world.counted("accepted") == 1


def test_a_full_queue_is_not_asked_again_at_once(world):
    world.queue.answer = None
    assert world.jobs.put({}) is None
    assert world.counted("full") == 1
    assert not world.takes()
    world.clock.advance(FULL_S)
    assert world.takes()


def test_a_queue_that_is_away_is_left_alone_for_a_while(world):
    world.queue.answer = OSError("away")
    assert world.jobs.put({}) is None
    assert world.jobs.put({}) is None
    assert (len(world.queue.asks), world.counted("error")) == (1, 1)
    world.clock.advance(FIRST_S)
    world.queue.answer = "id"
    assert world.jobs.put({}) == "id"


def test_a_write_that_may_have_been_put_off_is_not_refused_as_one_that_was_not(world):
    scope = RequestScope(Lane.WRITE, 0.0, 10.0)
    scope.reason = Reason.POOL_SATURATED
    world.queue.answer = Unsure("gone")
    token = CURRENT.set(scope)
    try:
        with pytest.raises(BackendFailed):
            world.jobs.put({})
    finally:
        CURRENT.reset(token)
    assert (scope.reason, scope.executed, scope.relieved) == (Reason.OK, True, "")
    assert world.counted("error") == 1
    world.queue.answer = "id"
    assert world.jobs.put({}) is None, "the queue is left alone for a while"


def test_nobody_asks_how_far_a_job_is_while_the_queue_is_away(world):
    world.queue.answer = OSError("away")
    for _ in range(3):
        with pytest.raises(OSError, match=r"away|moment ago"):
            world.jobs.phase("id")
    assert len(world.queue.asks) == 1
    world.clock.advance(FIRST_S)
    world.queue.answer = Phase.DONE
    assert [world.jobs.phase("id") for _ in range(2)] == [Phase.DONE] * 2


def test_what_was_refused_for_another_reason_is_not_put_off(world):
    scope = RequestScope(Lane.WRITE, 0.0, 1.0)
    scope.reason = Reason.DRAINING
    CURRENT.set(scope)
    try:
        assert world.jobs.put({}) is None
    finally:
        CURRENT.set(None)
    assert world.queue.asks == []


def test_who_finds_no_place_is_not_the_one_that_tries(world):
    world.queue.hold = Event()
    threads = [Thread(target=world.jobs.put, args=({},)) for _ in range(PUTS_MAX)]
    for thread in threads:
        thread.start()
    until(lambda: len(world.queue.asks) == PUTS_MAX)
    world.jobs._pause.failed(world.clock.now_s())
    world.clock.advance(FIRST_S)
    assert world.jobs.put({}) is None
    assert world.jobs._pause.over(world.clock.now_s())
    world.queue.hold.set()
    for thread in threads:
        thread.join(PATIENCE_S)


def test_few_requests_wait_for_the_disk_and_the_others_are_refused(world):
    world.queue.hold = Event()
    threads = [Thread(target=world.jobs.put, args=({},)) for _ in range(PUTS_MAX)]
    for thread in threads:
        thread.start()
    until(lambda: len(world.queue.asks) == PUTS_MAX)
    assert world.jobs.put({}) is None
    world.queue.hold.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert world.jobs.put({}) == "id"


def test_what_was_run_is_counted_and_what_waits_is_shown(world, caplog):
    seen = []
    world.jobs.start(seen.append)
    world.queue.run(Job("id", {}))
    assert seen == [("id", {})]
    assert world.counted("done") == 1
    until(lambda: world.recorder.value(metrics.JOBS_WAITING))
    assert world.recorder.value(metrics.JOBS_WAITING) == 7
    assert "a write that is put off may be lost: it says so" in caplog.text
    world.jobs.stop(1.0)


def test_settings_make_the_queue(tmp_path):
    def made(may_wait=bool, **more):
        more = {"GUARD_DATABASE_URL": "postgresql://x", **more}
        return jobs(load(more).settings, may_wait, FakeClock(), MemoryRecorder())

    assert made() is None
    file = str(tmp_path / "jobs.sqlite")
    assert made(None, GUARD_JOBS="local", GUARD_JOBS_FILE=file) is None
    found = made(GUARD_JOBS="local", GUARD_JOBS_FILE=file, GUARD_JOBS_MAX="1")
    assert found.put({}) is not None
    assert found.put({}) is None
    found.stop(1.0)
    found = made(GUARD_JOBS="redis", GUARD_JOBS_REDIS_URL="redis://127.0.0.1:1/0")
    assert found.put({}) is None  # nobody is there
    found.stop(1.0)
    with pytest.raises(SettingsError, match="GUARD_JOBS_FILE"):
        made(GUARD_JOBS="local", GUARD_JOBS_FILE=str(tmp_path / "missing" / "jobs.sqlite"))
    with pytest.raises(SettingsError, match="GUARD_JOBS_REDIS_URL"):
        made(GUARD_JOBS="redis")
    with pytest.raises(SettingsError, match="GUARD_JOBS='local'"):
        made(GUARD_JOBS="local", GUARD_DATABASE_URL="")
