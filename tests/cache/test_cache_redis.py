"""Two workers' stores on a real Redis."""

import signal
import time

import pytest
from redis_process import RedisServer

from guard import metrics
from guard.cache.entry import Entry
from guard.cache.keeping import keeping
from guard.cache.memory_store import MemoryStore
from guard.cache.redis_store import TIMEOUT_S, RedisStore
from guard.errors import SettingsError
from guard.pause import FIRST_S
from guard.redis_client import connect
from guard.settings import load
from guard.testing import FakeClock, MemoryRecorder

ENTRY = Entry((("A", "b"),), b"body", "/rule")
LIFETIME_S = 100.0


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


class Worker:
    """One worker's store. A busy machine may take longer than 50 ms, so the time-out is longer."""

    def __init__(self, redis, prefix, timeout_s=20.0):
        self.clock = FakeClock()
        self.recorder = MemoryRecorder()
        near = MemoryStore(10, LIFETIME_S, self.clock.now_s)
        client = connect(redis.url, timeout_s)
        self.store = RedisStore(client, prefix, LIFETIME_S, near, self.clock.now_s, self.recorder)

    @property
    def failed(self):
        return self.recorder.value(metrics.CACHE_STORE_ERRORS)


@pytest.fixture
def workers(redis, request):
    pair = [Worker(redis, request.node.name) for _ in range(2)]
    yield pair
    for worker in pair:
        worker.store.close()


def put(worker, key="k", entry=ENTRY):
    worker.store.put(key, entry, worker.store.lease(key))


def test_what_one_has_computed_the_other_finds_at_its_age(workers):
    one, other = workers
    assert other.store.get("k") is None
    put(one)
    found = other.store.get("k")
    assert found.entry == ENTRY
    assert 0 <= found.age_s < LIFETIME_S / 2
    # From now on it is at hand where nobody may wait for Redis.
    assert other.store.at_hand("k").entry == ENTRY
    assert other.recorder.value(metrics.CACHE_STORE_UP) == 1


def test_the_first_to_ask_puts_and_a_write_of_any_host_ends_its_right(workers):
    one, other = workers
    lease = one.store.lease("k")
    assert other.store.lease("k") is None
    other.store.put("k", ENTRY, None)
    assert one.store.get("k") is None
    other.store.forget(["k"])
    one.store.put("k", ENTRY, lease)
    assert one.store.get("k") is None
    assert one.store.at_hand("k") is None


def test_what_a_write_drops_is_gone_for_all(workers):
    one, other = workers
    put(one)
    assert other.store.get("k")
    one.store.forget(["k", "j"])
    assert one.store.at_hand("k") is None
    assert other.store.get("k") is None
    assert other.store.at_hand("k") is None


def test_nothing_is_put_where_nothing_may_be_kept(workers):
    one, other = workers
    put(one, entry=None)
    assert one.store.get("k") is None
    put(other)  # the lease is free again
    assert one.store.get("k")


def test_no_answer_takes_the_place_of_anothers_lease(workers):
    one, other = workers
    put(one, "/a?:lease")
    put(one, "/a?")
    assert other.store.get("/a?").entry == ENTRY


def test_what_is_dropped_while_it_is_looked_up_is_not_at_hand(workers, monkeypatch):
    one, other = workers
    put(other)
    look = one.store._look

    def dropped_meanwhile(name):
        found = look(name)
        one.store.forget(["k"])
        return found

    monkeypatch.setattr(one.store, "_look", dropped_meanwhile)
    one.store.get("k")
    assert one.store.at_hand("k") is None


def test_rubbish_under_a_key_is_nothing(redis, workers, request):
    client = connect(redis.url, 20.0)
    client.set(f"{request.node.name}:cache:k", b"rubbish", px=1000)
    client.close()
    assert workers[0].store.get("k") is None


def test_a_frozen_redis_is_asked_once_per_pause(redis, request):
    worker = Worker(redis, request.node.name, TIMEOUT_S)
    redis.send(signal.SIGSTOP)
    try:
        assert worker.store.get("k") is None
        assert worker.failed == 1
        begun_s = time.process_time()
        for _ in range(100):
            assert worker.store.get("k") is None
            put(worker)
        assert worker.failed == 1
        worker.clock.advance(FIRST_S)
        assert worker.store.get("k") is None
        assert worker.failed == 2
        assert worker.recorder.value(metrics.CACHE_STORE_UP) == 0
        assert time.process_time() - begun_s < 5.0
    finally:
        redis.send(signal.SIGCONT)


def test_a_redis_that_is_back_is_found_after_the_pause(tmp_path, request):
    redis = RedisServer(tmp_path)
    try:
        worker = Worker(redis, request.node.name)
        put(worker)
        redis.stop()
        assert worker.store.get("k") is None
        # What is at hand here may still beat a refusal.
        assert worker.store.at_hand("k").entry == ENTRY
        redis.start()
        assert worker.store.get("k") is None
        worker.clock.advance(FIRST_S)
        put(worker)
        assert worker.store.get("k").entry == ENTRY
        assert worker.failed == 1
    finally:
        redis.stop()


def test_settings_make_the_store(redis):
    def made(**more):
        return keeping(load(more).settings, None, MemoryRecorder(), FakeClock().now_s)

    assert made() is None
    assert isinstance(made(GUARD_CACHE="memory").store, MemoryStore)
    shared = made(GUARD_CACHE="redis", GUARD_CACHE_REDIS_URL=redis.url)
    assert isinstance(shared.store, RedisStore)
    shared.store.close()
    with pytest.raises(SettingsError, match="GUARD_CACHE_REDIS_URL"):
        made(GUARD_CACHE="redis")


def test_routes_come_before_what_the_application_names():
    settings = load({"GUARD_CACHE": "memory", "GUARD_CACHE_ROUTES": "/a, /b/*"}).settings
    found = keeping(settings, lambda _environ: "own", MemoryRecorder(), FakeClock().now_s)
    environ = {"REQUEST_METHOD": "GET", "HTTP_HOST": "h", "QUERY_STRING": "q=1"}
    assert found.key({**environ, "PATH_INFO": "/b/c"}) == "h /b/c?q=1"
    assert found.key({**environ, "PATH_INFO": "/c"}) == "own"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("h", "/b/c", "q=1?"), ("h", "/b/c?q=1", "")),
        (("h", "/b/x /b/c", ""), ("h /b/x", "/b/c", "")),
        (("h", "/b/x /b/c", ""), ("h", "/b/x%20/b/c", "")),
    ],
)
def test_different_requests_have_different_names(one, other):
    settings = load({"GUARD_CACHE": "memory", "GUARD_CACHE_ROUTES": "/b/*"}).settings
    found = keeping(settings, None, MemoryRecorder(), FakeClock().now_s)
    names = ("HTTP_HOST", "PATH_INFO", "QUERY_STRING")
    keys = {
        found.key({"REQUEST_METHOD": "GET", **dict(zip(names, asked, strict=True))})
        for asked in (one, other)
    }
    assert len(keys) == 2
