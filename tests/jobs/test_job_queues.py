"""One contract, two queues: a SQLite file and a real Redis."""

import os
import signal
import sqlite3
import sys
from subprocess import PIPE, Popen
from threading import Event

import pytest
from patience import PATIENCE_S, until
from redis_process import RedisServer

from guard.core.vocabulary import Lane, Reason
from guard.errors import BackendFailed, Shed
from guard.jobs import Phase
from guard.jobs.local_queue import LocalQueue
from guard.jobs.redis_queue import RedisQueue
from guard.redis_client import connect
from stress.redis_server import DURABLE

NOBODY = "5f0c1d7e-9a43-4b6e-8d52-0c3ab7e61f94"


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis"), *DURABLE)
    yield server
    server.stop()


@pytest.fixture(params=["local", "redis"])
def make(request, tmp_path):
    """Gives more and more clients of one queue."""
    made = []
    redis = request.getfixturevalue("redis") if request.param == "redis" else None

    def client(jobs_max=5):
        if redis is None:
            made.append(LocalQueue(str(tmp_path / "jobs.sqlite"), jobs_max))
        else:
            name = f"{request.node.name}-{os.getpid()}"
            made.append(RedisQueue(connect(redis.url, 20.0), name, jobs_max))
        return made[-1]

    yield client
    for one in made:
        one.stop(PATIENCE_S)


def test_what_is_put_is_run_with_its_id_and_data(make):
    queue, seen = make(), []
    job_id = queue.put({"name": "Li\u00e9", "skills": ["a"]})
    assert queue.phase(job_id) is Phase.QUEUED
    assert queue.waiting() == 1
    queue.start(seen.append)
    until(lambda: queue.phase(job_id) is Phase.DONE)
    assert seen == [(job_id, {"name": "Li\u00e9", "skills": ["a"]})]
    until(lambda: queue.waiting() == 0)


def test_a_queue_on_the_disk_leaves_no_doubt(make):
    assert make().doubt() == ""


def test_a_redis_that_forgets_is_doubted(tmp_path):
    redis = RedisServer(tmp_path)
    queue = RedisQueue(connect(redis.url, 20.0), "doubted", 5)
    try:
        assert queue.doubt() == "of its Redis appendonly is no, appendfsync is everysec"
    finally:
        queue.stop(1.0)
        redis.stop()


def test_nobody_knows_a_job_that_was_not_put(make):
    assert make().phase(NOBODY) is None


def test_a_full_queue_takes_nothing_until_it_has_room(make):
    queue = make(jobs_max=2)
    assert queue.put({})
    assert queue.put({})
    assert queue.put({}) is None
    queue.start(lambda _job: None)
    until(lambda: queue.waiting() == 0)
    assert queue.put({})


def test_without_room_it_is_run_again_and_else_it_has_failed(make):
    queue, left = make(), [Shed(Lane.WRITE, Reason.POOL_SATURATED, 1), BackendFailed("away")]

    def run(job):
        if job.data["bad"]:
            raise ValueError("no")
        if left:
            raise left.pop()

    bad, good = queue.put({"bad": True}), queue.put({"bad": False})
    queue.start(run)
    until(lambda: queue.phase(good) is Phase.DONE)
    assert queue.phase(bad) is Phase.FAILED
    assert not left


def test_another_process_sees_how_far_it_is(make):
    queue, other = make(), make()
    job_id = queue.put({})
    assert other.phase(job_id) is Phase.QUEUED
    other.start(lambda _job: None)
    until(lambda: queue.phase(job_id) is Phase.DONE)


def test_a_job_that_waits_when_the_worker_stops_is_run_by_the_next(make):
    queue, other, tried = make(), make(), Event()

    def never(_job):
        tried.set()
        raise BackendFailed("away")

    job_id = queue.put({})
    queue.start(never)
    assert tried.wait(PATIENCE_S)
    queue.stop(PATIENCE_S)
    assert other.phase(job_id) is Phase.QUEUED
    other.start(lambda _job: None)
    until(lambda: other.phase(job_id) is Phase.DONE)


KILLED = """
import sys, threading
from guard.jobs.local_queue import LocalQueue
queue = LocalQueue(sys.argv[1], 5)
print(queue.put({"n": 1}), flush=True)
def run(job):
    print("begun", flush=True)
    threading.Event().wait()
queue.start(run)
threading.Event().wait()
"""


def test_a_job_whose_process_is_killed_in_the_middle_is_run_by_the_next(tmp_path):
    path = str(tmp_path / "jobs.sqlite")
    with Popen([sys.executable, "-c", KILLED, path], stdout=PIPE, text=True) as process:
        job_id = process.stdout.readline().strip()
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGKILL)
    queue, seen = LocalQueue(path, 5), []
    assert queue.phase(job_id) is Phase.QUEUED
    queue.start(seen.append)
    until(lambda: queue.phase(job_id) is Phase.DONE)
    queue.stop(PATIENCE_S)
    assert seen == [(job_id, {"n": 1})]


def test_the_file_is_synced_at_each_commit(tmp_path):
    queue = LocalQueue(str(tmp_path / "jobs.sqlite"), 5)
    (level,) = queue._queue.conn.execute("PRAGMA synchronous").fetchone()
    (journal,) = queue._queue.conn.execute("PRAGMA journal_mode").fetchone()
    queue.stop(1.0)
    assert (level, journal) == (2, "wal")


def test_a_file_that_is_locked_at_the_start_ends_no_worker(tmp_path, monkeypatch):
    queue, seen = LocalQueue(str(tmp_path / "jobs.sqlite"), 5), []
    sweep, failed = queue._sweep, []

    def locked_once(lost_s):
        if not failed:
            failed.append(lost_s)
            raise sqlite3.OperationalError("database is locked")
        sweep(lost_s)

    monkeypatch.setattr(queue, "_sweep", locked_once)
    queue.put({})
    queue.start(seen.append)
    try:
        until(lambda: seen)
    finally:
        queue.stop(PATIENCE_S)
    assert failed == [0]


def test_what_is_put_after_a_commit_that_failed_is_durable(tmp_path):
    path = str(tmp_path / "jobs.sqlite")
    queue, other = LocalQueue(path, 5), LocalQueue(path, 5)
    queue._queue.conn.execute("BEGIN")
    assert other.phase(queue.put({})) is Phase.QUEUED
    queue.stop(1.0)
    other.stop(1.0)
