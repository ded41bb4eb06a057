"""The keeper and its document, over a real board."""

from __future__ import annotations

import json
import logging
import os
import threading
from importlib.resources import files
from typing import Any

import jsonschema_rs
import pytest
from status_world import START_S, StatusWorld

from guard import metrics
from guard.backends.waits import Blocker, LockWait
from guard.board import Board, Refusal
from guard.core.vocabulary import BreakerPhase, Lane, Reason
from guard.settings import load
from guard.status import Keeper, keeper
from guard.status.points import COLUMNS
from guard.status.seen import WINDOW_S

URL = "postgresql://clerk:hush-hush@db.example/shop"


def strict(schema: Any) -> Any:
    """Return the schema with no room for a field that it does not describe."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: strict(one) for name, one in schema.items()}
    if "properties" in schema and "required" in schema:
        found["additionalProperties"] = False
    return found


def check(document: dict[str, Any]) -> None:
    schema = json.loads((files("guard.admin") / "assets" / "status.schema.json").read_text())
    errors = jsonschema_rs.validator_for(strict(schema)).iter_errors(document)
    assert [str(error) for error in errors] == []


def busy() -> StatusWorld:
    world = StatusWorld(GUARD_DATABASE_URL=URL, GUARD_READ_WAIT_BUDGET="100ms")
    world.tick()
    world.row.set(metrics.POOL_CONNECTIONS, (Lane.READ, "in_use"), 4.0)
    world.row.set(metrics.POOL_CONNECTIONS, (Lane.READ, "idle"), 0.0)
    world.row.set(metrics.POOL_WAITERS, (Lane.READ,), 3.0)
    world.row.set(metrics.INFLIGHT, (Lane.READ,), 7.0)
    world.row.set(metrics.QUEUE_DEPTH, ("admission",), 5.0)
    world.row.set(metrics.QUEUE_CAPACITY, ("admission",), 9.0)
    world.admit(73)
    world.shed(27)
    assert world.row.refusals is not None
    for wait_s in (0.15, 0.3):
        world.row.refusals.append(
            Refusal(
                os.getpid(), world.clock.now_s() + 0.5, Lane.READ, Reason.POOL_SATURATED,
                unfinished=7, slots=4, waiters_max=4, stands_for=3, hold_s=0.1, wait_s=wait_s,
                budget_s=0.1,
            )
        )  # fmt: skip
    world.tick()
    return world


def test_the_document_is_as_its_schema_says() -> None:
    check(StatusWorld().document())
    world = busy()
    world.keeper.reloaded()
    world.phase(Lane.WRITE, BreakerPhase.OPEN)
    check(world.document())


def test_what_it_says_under_load() -> None:
    found = busy().document()
    assert found["verdict"]["level"] == "bad"
    assert found["verdict"]["sentence"] == (
        "Shedding 27 %: read pool 4/4 used, 3 waiting; breaker closed"
    )
    assert found["verdict"]["variables"] == ["GUARD_READ_POOL_SIZE", "GUARD_READ_WAIT_BUDGET"]
    recent = found["requests"]["recent"]
    assert (recent["admitted"], recent["shed"], recent["errors"]) == (73, 27, 0)
    assert recent["shed_by_reason"] == {"pool_saturated": 27}
    assert 10 < recent["latency_ms"]["p95"] <= 25
    lane = found["lanes"]["read"]
    assert lane["pool"] == {"now": 4, "peak": 4, "limit": 4, "working": 4}
    assert lane["in_flight"] == {"now": 7, "peak": 7, "limit": 8}
    assert lane["hold_ms"] == pytest.approx(20.0)
    refusal = found["refusals"][0]
    assert refusal["why"].startswith("predicted wait 300 ms > budget 100 ms")
    assert refusal["at_unix_s"] == START_S + 1.5
    what_if = found["what_if"]["read"]
    assert (what_if["requests"], what_if["variable"]) == (100, "GUARD_READ_WAIT_BUDGET")
    steps = {step["budget_s"]: step for step in what_if["steps"]}
    assert [steps[s]["shed"] for s in (0.001, 0.05, 0.1, 0.2, 0.5)] == [27, 27, 27, 14, 0]
    assert steps[0.05]["export"] == "export GUARD_READ_WAIT_BUDGET=50ms"
    worker = found["workers"][0]
    assert (worker["pid"], worker["ready"], worker["silent_s"]) == (os.getpid(), True, 0.0)


def test_peaks_stay_and_the_recent_past_is_forgotten() -> None:
    world = busy()
    world.row.set(metrics.POOL_CONNECTIONS, (Lane.READ, "in_use"), 1.0)
    world.row.set(metrics.POOL_CONNECTIONS, (Lane.READ, "idle"), 3.0)
    world.row.set(metrics.POOL_WAITERS, (Lane.READ,), 0.0)
    world.tick(12)
    found = world.document()
    assert found["lanes"]["read"]["pool"] == {"now": 1, "peak": 4, "limit": 4, "working": 4}
    assert found["requests"]["recent"]["shed"] == 0
    assert found["requests"]["window"]["shed"] == 27
    assert found["verdict"]["level"] == "ok"


def test_memory_is_bounded_and_what_is_older_than_the_window_is_gone() -> None:
    world = busy()
    world.tick(int(WINDOW_S) + 50)
    found = world.document()
    assert len(found["history"]["rows"]) == len(world.keeper._frames) == int(WINDOW_S) + 1
    assert found["requests"]["window"]["shed"] == 0
    assert found["requests"]["window"]["seconds"] == WINDOW_S
    assert world.keeper._frames[-1].values.itemsize * len(world.keeper._frames[-1].values) < 4000


def test_the_history_begins_after_what_is_known() -> None:
    world = busy()
    rows = world.document()["history"]["rows"]
    assert [row[0] for row in rows] == [1, 2, 3]
    last = dict(zip(COLUMNS, rows[-1], strict=True))
    assert (last["admitted_per_s"], last["shed_pool_saturated_per_s"]) == (73.0, 27.0)
    assert (last["read_in_use"], last["read_waiting"]) == (4.0, 3.0)
    assert [row[0] for row in world.document(after=2)["history"]["rows"]] == [3]
    assert world.document(after=3)["history"]["rows"] == []


def test_the_etag_changes_with_each_look_and_with_the_question() -> None:
    world = StatusWorld()
    first = world.keeper.etag(0)
    assert first == world.keeper.etag(0) != world.keeper.etag(1)
    world.tick()
    assert world.keeper.etag(0) != first
    assert StatusWorld().keeper.etag(0) != first


def test_events() -> None:
    world = StatusWorld()
    assert world.board.claim(1, 4711)
    world.row.add(metrics.BREAKER_TRANSITIONS, (Lane.READ, "closed", "open"))
    world.row.add(metrics.BREAKER_TRANSITIONS, (Lane.READ, "open", "half-open"), 2.0)
    world.tick()
    world.board.retire(1)
    world.keeper.reloaded()
    world.tick()
    told = [one["text"] for one in world.document()["events"]]
    assert told == [
        "worker 4711 has ended",
        "the settings were read again; workers follow",
        "worker 4711 has started",
        "read breaker is half-open, was open (2 times)",
        "read breaker is open, was closed",
        f"worker {os.getpid()} has started and is ready",
    ]
    for _ in range(60):
        world.row.set(metrics.WORKER_READY, (), 0.0)
        world.tick()
        world.row.set(metrics.WORKER_READY, (), 1.0)
        world.tick()
    assert len(world.document()["events"]) == 100


def test_a_silent_worker_is_told() -> None:
    world = busy()
    for _ in range(12):
        world.clock.advance(1.0)
        world.keeper.look()
    found = world.document()
    assert found["workers"][0]["silent_s"] == 12.0
    assert found["verdict"]["sentence"] == "Down: no worker has given a sign of life for 12 s"


def test_a_dead_workers_counts_are_no_new_requests() -> None:
    world = busy()
    world.tick(20)
    world.board.retire(0)
    world.clock.advance(1.0)
    world.keeper.look()
    found = world.document()
    assert found["requests"]["recent"]["admitted"] == 0
    assert found["requests"]["window"]["admitted"] == 73
    assert found["verdict"]["sentence"] == "Down: there is no worker process"


def test_no_secret_is_told() -> None:
    world = StatusWorld(GUARD_DATABASE_URL=URL, GUARD_ADMIN_TOKEN="let-me-in-let-me-in")  # noqa: S106 - a test's
    body = world.keeper.json().decode()
    assert "hush-hush" not in body
    assert "let-me-in" not in body
    settings = {one["variable"]: one for one in json.loads(body)["settings"]}
    assert settings["GUARD_DATABASE_URL"]["value"] == "postgresql://clerk:***@db.example/shop"
    assert settings["GUARD_ADMIN_TOKEN"]["value"] == "***"
    assert settings["GUARD_DATABASE_URL"]["source"] == "environment"
    assert settings["GUARD_MODE"]["source"] == "default"


def test_the_settings_are_those_in_force_after_a_reload() -> None:
    world = StatusWorld()
    world.loaded = load({"GUARD_MODE": "shadow"}, cores=2)
    world.tick()
    assert world.document()["guard"] == {
        "version": "1.2.3", "mode": "shadow", "policy": "predictive",
    }  # fmt: skip
    assert world.document()["verdict"]["sentence"].startswith("Shadow: would have shed 0 %")


def test_without_a_pool_of_ours_permits_are_shown() -> None:
    world = StatusWorld()
    world.row.set(metrics.POOL_MAX, (Lane.READ,), 0.0)
    world.row.set(metrics.INFLIGHT, (Lane.READ,), 5.0)
    world.tick()
    assert world.document()["lanes"]["read"]["pool"] == {
        "now": 5, "peak": 5, "limit": 8, "working": 8,
    }  # fmt: skip


def test_the_text_says_the_same() -> None:
    world = busy()
    told = world.keeper.text()
    assert told.startswith(
        "[ALARM] Shedding 27 %: read pool 4/4 used, 3 waiting; breaker closed.\n"
    )
    assert "Turn: GUARD_READ_POOL_SIZE, GUARD_READ_WAIT_BUDGET" in told
    assert "read   [####################]     4     4     4  pool" in told
    assert "queues kernel 0, executor 0, admission 5/9, writer 0\n" in told
    assert "shed 27 (27.0 %: pool_saturated 27)" in told
    assert "read pool_saturated (x3): predicted wait 300 ms" in told
    assert f"worker {os.getpid()}: ready" in told
    assert told.isascii()


def test_the_thread_looks_and_outlives_a_failure(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing:
        def __init__(self) -> None:
            self.board, _ = Board.local()
            self.looks, self.enough = 0, threading.Event()

        def collect(self) -> Any:
            self.looks += 1
            if self.looks == 2:
                raise ValueError("once")
            if self.looks > 3:
                self.enough.set()
            return self.board.collect()

        def workers(self) -> Any:
            return self.board.workers()

        def refusals(self, most: int = 100) -> Any:
            return self.board.refusals(most)

    monkeypatch.setattr(keeper, "PERIOD_S", 0.01)
    source = Failing()
    with caplog.at_level(logging.ERROR):
        made = Keeper(source, lambda: load({}, cores=2))
        made.start()
        assert source.enough.wait(20)
        made.stop()
    assert "could not be looked at" in caplog.text


def test_who_waits_for_whom() -> None:
    blocker = Blocker(9, "batch", "idle in transaction", 3.0, "")
    wait = LockWait(Lane.WRITE, 1, 2.5, "tuple ExclusiveLock", "stock", 7, blockers=(blocker,))
    board, _row = Board.local()
    made = Keeper(board, lambda: load({}, cores=2), lock_waits=lambda: [wait.document()])
    found = json.loads(made.json())
    check(found)
    assert found["lock_waits"][0]["blockers"][0]["pid"] == 9
    assert "write 7 waits 2500 ms for tuple ExclusiveLock stock behind 9 batch" in made.text()


def test_pgbouncers_queue_is_shown_where_somebody_looks_at_it() -> None:
    world = StatusWorld(
        GUARD_DATABASE_URL="postgresql://u@h/x", GUARD_PGBOUNCER="true",
        GUARD_PGBOUNCER_ADMIN_URL="postgresql://u@h/pgbouncer",
    )  # fmt: skip
    world.row.set(metrics.QUEUE_DEPTH, ("pgbouncer",), 7)
    world.tick()
    assert "writer 0, pgbouncer 7\n" in world.keeper.text()
