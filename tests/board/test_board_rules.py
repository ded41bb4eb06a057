"""The board's rules, one by one."""

from __future__ import annotations

import logging
import math
import os
from typing import TYPE_CHECKING

import pytest
from board_help import by_key, ended, forked

from guard import metrics
from guard.board import Board, RowTaken
from guard.board.layout import OTHER, RETIRED, ROW, STATIC, STATIC_CELLS, Layout, Shape
from guard.board.layout import encode_labels as encode
from guard.board.row import ROUTES_MAX, _leave_rows
from guard.board.sums import Directory
from guard.metrics import ALL, Kind, Metric
from guard.testing import FakeClock

if TYPE_CHECKING:
    from guard.board.layout import RowMemory

OTHER_RESPONSES = (OTHER, OTHER, OTHER)
SMALL = Shape(len(STATIC) + 7, STATIC_CELLS + 80)


def small_board() -> Board:
    return Board.anonymous(0, layout=Layout(2, SMALL, SMALL))


def responses_by_route(board: Board) -> dict[str, float]:
    found: dict[str, float] = {}
    for sample in board.collect():
        if sample.metric is metrics.HTTP_RESPONSES:
            found[sample.labels[1]] = found.get(sample.labels[1], 0.0) + sample.value
    return found


def test_every_known_label_set_is_there_before_any_worker() -> None:
    found = by_key(Board.anonymous(2).collect())
    wanted = [(m, labels) for m in ALL for labels in m.known_label_sets()]
    assert list(found) == wanted
    assert all(s.value == 0.0 and not any(s.counts) for s in found.values())
    assert len(found[metrics.BATCH_SIZE, ()].counts) == len(metrics.BATCH_BUCKETS) + 1
    assert found[metrics.INFLIGHT, ("read",)].counts == ()


def test_known_labels_and_every_number_of_the_table_fit() -> None:
    assert all(encode(entry.labels) is not None for entry in STATIC)
    assert len(STATIC) + 100 * 3 * 6 + 100 * 3 < ROW.entries
    assert ROW.cells > STATIC_CELLS + 100 * 3 * 6 + 100 * 3 * 16
    assert ROW.size_bytes % 64 == RETIRED.size_bytes % 64 == 0


def test_gauges_are_merged_as_the_metric_says_and_die_with_the_worker() -> None:
    board = Board.anonymous(2)
    for index, value in enumerate((3.0, 5.0)):
        row = board.claim(index, 100 + index)
        row.set(metrics.INFLIGHT, ("read",), value)
        row.set(metrics.LOCK_WAIT_OLDEST, ("read",), value)
    assert board.value(metrics.INFLIGHT, ("read",)) == 8.0
    assert board.value(metrics.LOCK_WAIT_OLDEST, ("read",)) == 5.0
    assert board.value(metrics.WORKERS) == 2.0
    board.retire(1)
    assert board.value(metrics.INFLIGHT, ("read",)) == 3.0
    assert board.value(metrics.LOCK_WAIT_OLDEST, ("read",)) == 3.0
    assert board.value(metrics.WORKERS) == 1.0
    assert board.value(metrics.WORKER_RECYCLES) == 1.0
    board.claim(1, 102)
    assert board.workers()[1].gauges[metrics.INFLIGHT] == {("read",): 0.0, ("write",): 0.0}


def test_a_largest_value_may_be_negative() -> None:
    board = Board.anonymous(1)
    board.claim(0, 100).set(metrics.LOCK_WAIT_OLDEST, ("read",), -2.0)
    assert board.value(metrics.LOCK_WAIT_OLDEST, ("read",)) == -2.0


def test_a_label_set_that_nobody_declared_is_merged_too() -> None:
    board = Board.anonymous(2)
    for index, value in enumerate((3.0, 5.0)):
        row = board.claim(index, 100 + index)
        row.set(metrics.LOCK_WAIT_OLDEST, ("side",), value)
        row.set(metrics.INFLIGHT, ("side",), value)
    assert board.value(metrics.LOCK_WAIT_OLDEST, ("side",)) == 5.0
    assert board.value(metrics.INFLIGHT, ("side",)) == 8.0


def test_a_bucket_includes_its_bound() -> None:
    board, row = Board.local()
    for value in (1.0, 1.5, 2.0, 129.0, -1.0):
        row.observe(metrics.BATCH_SIZE, (), value)
    sample = by_key(board.collect())[metrics.BATCH_SIZE, ()]
    assert sample.counts == (2.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    assert sample.value == board.value(metrics.BATCH_SIZE) == 133.5


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_left_out(value: float) -> None:
    board, row = Board.local()
    before = board.collect()
    row.add(metrics.LOCK_WAITED_TOTAL, ("read",), value)
    row.set(metrics.INFLIGHT, ("read",), value)
    row.observe(metrics.BATCH_SIZE, (), value)
    assert board.collect() == before


def test_a_counter_takes_nothing_negative() -> None:
    board, row = Board.local()
    row.add(metrics.LOCK_WAITED_TOTAL, ("read",), -1.0)
    assert board.value(metrics.LOCK_WAITED_TOTAL, ("read",)) == 0.0


def test_a_metric_of_another_kind_or_of_nobody_is_left_out() -> None:
    board, row = Board.local()
    before = board.collect()
    stranger = Metric("stranger_total", Kind.COUNTER, "Not in the table.")
    row.add(stranger)
    row.add(metrics.BATCH_SIZE)
    row.add(metrics.INFLIGHT, ("read",))
    row.set(metrics.DB_ERRORS, ("read", "busy"), 1.0)
    row.observe(metrics.DB_ERRORS, ("read", "busy"), 1.0)
    row.add(metrics.DB_ERRORS, ("read",))
    row.add(metrics.HTTP_RESPONSES, ("GET",))
    assert board.collect() == before
    assert board.value(stranger) == board.value(metrics.HTTP_RESPONSES, ("GET",)) == 0.0


def test_labels_that_are_odd_are_counted_and_readable() -> None:
    board, row = Board.local()
    row.add(metrics.HTTP_RESPONSES, ("GET", "/a\x00\x1f", "200"))
    row.add(metrics.HTTP_RESPONSES, ("GET", "/\ud800é", "200"))
    row.add(metrics.HTTP_RESPONSES, ("GET", "/?é", "200"))
    row.add(metrics.HTTP_RESPONSES, ("", "", ""))
    row.add(metrics.HTTP_RESPONSES, ["GET", "/list", "200"])  # type: ignore[arg-type]
    row.add(metrics.HTTP_RESPONSES, ("GET", None, 200))  # type: ignore[arg-type]
    found = {
        k[1]: s.value for k, s in by_key(board.collect()).items() if len(k[1]) == 3 and s.value
    }
    assert found == {
        ("GET", "/a\x00\x1f", "200"): 1.0,
        ("GET", "/?é", "200"): 2.0,
        ("", "", ""): 1.0,
        ("GET", "/list", "200"): 1.0,
        ("GET", "None", "200"): 1.0,
    }


@pytest.mark.parametrize("length", [129, 250, 300, 70_000])
def test_a_route_that_is_too_long_is_counted_as_other(length: int) -> None:
    board, row = Board.local()
    row.add(metrics.HTTP_RESPONSES, ("GET", "/" * length, "200"))
    row.add(metrics.HTTP_RESPONSES, ("GET", "/" * 128, "200"))
    assert responses_by_route(board) == {OTHER: 1.0, "/" * 128: 1.0}
    assert board.value(metrics.HTTP_RESPONSES, ("GET", OTHER, "200")) == 1.0


@pytest.mark.parametrize("length", [173, 250, 300, 70_000])
def test_labels_that_are_too_long_are_counted_as_other(
    length: int, caplog: pytest.LogCaptureFixture
) -> None:
    board, row = Board.local()
    row.add(metrics.HTTP_RESPONSES, ("x" * 172, "/", "2003"))
    assert caplog.messages == []
    row.add(metrics.HTTP_RESPONSES, ("x" * length, "/", "2003"))
    row.add(metrics.DB_ERRORS, ("read", "x" * (length + 4)))
    assert board.value(metrics.HTTP_RESPONSES, OTHER_RESPONSES) == 1.0
    assert len(by_key(board.collect())) == len(STATIC) + 2
    [message] = caplog.messages
    assert "guard_http_responses_total" in message
    assert "xxx" not in message


def test_a_full_row_counts_on_as_other(caplog: pytest.LogCaptureFixture) -> None:
    board = small_board()
    row = board.claim(0, 100)
    with caplog.at_level(logging.WARNING, "guard.board"):
        for number in range(50):
            row.add(metrics.HTTP_RESPONSES, ("GET", "/", str(number)))
            row.observe(metrics.HTTP_DURATION, ("GET", f"/{number}"), 1.0)
            row.add(metrics.DB_ERRORS, ("read", f"unheard of {number}"))
    samples = by_key(board.collect())
    responses = [s.value for k, s in samples.items() if k[0] is metrics.HTTP_RESPONSES]
    assert sum(responses) == 50.0
    assert board.value(metrics.HTTP_RESPONSES, OTHER_RESPONSES) > 40.0
    durations = [s for k, s in samples.items() if k[0] is metrics.HTTP_DURATION]
    assert sum(sum(s.counts) for s in durations) == sum(s.value for s in durations) == 50.0
    assert len(samples) <= SMALL.entries
    assert len(caplog.records) == 1
    board.retire(0)
    again = by_key(board.collect())
    assert all(again[key] == sample for key, sample in samples.items() if key[0].kind != "gauge"
               and key[0] is not metrics.WORKER_RECYCLES)  # fmt: skip


def test_a_full_retired_row_keeps_the_sum() -> None:
    board = small_board()
    for life in range(4):
        row = board.claim(0, 100 + life)
        for number in range(4):
            row.add(metrics.HTTP_RESPONSES, ("GET", "/", f"{life}{number}"))
        board.retire(0)
    values = [s.value for s in board.collect() if s.metric is metrics.HTTP_RESPONSES]
    assert sum(values) == 16.0
    # How many sets find room depends on how many metrics keep a place for their own (other).
    assert 1 < len(values) < 16
    assert board.value(metrics.HTTP_RESPONSES, OTHER_RESPONSES) == 17.0 - len(values)


def test_routes_are_bounded_in_a_row() -> None:
    board, row = Board.local()
    for number in range(ROUTES_MAX + 50):
        row.add(metrics.HTTP_RESPONSES, ("GET", f"/{number}", "200"))
        row.observe(metrics.HTTP_DURATION, ("GET", f"/{number}"), 0.1)
    row.add(metrics.HTTP_RESPONSES, ("GET", OTHER, "200"))
    row.add(metrics.HTTP_RESPONSES, ("POST", "/7", "200"))
    found = responses_by_route(board)
    assert len(found) == ROUTES_MAX + 1
    assert found[OTHER] == 51.0
    assert found["/7"] == 2.0
    assert board.value(metrics.HTTP_RESPONSES, ("GET", OTHER, "200")) == 51.0


def test_routes_are_bounded_over_the_host_and_over_time() -> None:
    board = Board.anonymous(2)
    first = board.claim(0, 100)
    for number in range(60):
        first.add(metrics.HTTP_RESPONSES, ("GET", f"/a{number}", "200"))
    second = board.claim(1, 101)
    for number in range(60):
        second.add(metrics.HTTP_RESPONSES, ("GET", f"/b{number}", "200"))
    second.add(metrics.HTTP_RESPONSES, ("GET", "/a0", "200"))
    before = responses_by_route(board)
    assert (len(before), before[OTHER], before["/a0"]) == (ROUTES_MAX + 1, 20.0, 2.0)
    board.retire(0)
    board.retire(1)
    third = board.claim(0, 102)
    for number in range(60):
        third.add(metrics.HTTP_RESPONSES, ("GET", f"/c{number}", "200"))
        third.add(metrics.HTTP_RESPONSES, ("GET", f"/a{number}", "200"))
    after = responses_by_route(board)
    assert after.keys() == before.keys()
    assert after[OTHER] == 80.0


def test_a_row_has_its_bound_even_where_the_host_went_over_it() -> None:
    board = Board.anonymous(1)
    row = board.claim(0, 100)
    row._routes_of_host = lambda: {f"/{number}" for number in range(ROUTES_MAX + 5)}
    for number in range(ROUTES_MAX + 5):
        row.add(metrics.HTTP_RESPONSES, ("GET", f"/{number}", "200"))
    found = responses_by_route(board)
    assert (len(found), found[OTHER]) == (ROUTES_MAX + 1, 5.0)


def test_two_threads_bring_one_route() -> None:
    board = Board.anonymous(1)
    row = board.claim(0, 100)

    def other_thread_first() -> set[str]:
        row._routes_of_host = set
        row.add(metrics.HTTP_RESPONSES, ("GET", "/same", "200"))
        return set()

    row._routes_of_host = other_thread_first
    row.add(metrics.HTTP_RESPONSES, ("GET", "/same", "200"))
    assert responses_by_route(board) == {"/same": 2.0}


def test_a_row_is_claimed_once() -> None:
    board = Board.anonymous(2)
    assert board.free_index() == 0
    board.claim(0, 100)
    with pytest.raises(RowTaken, match="row 0 belongs to process 100"):
        board.claim(0, 101)
    assert board.free_index() == 1
    board.claim(1, 101)
    assert board.free_index() is None
    board.retire(0)
    assert board.free_index() == 0
    with pytest.raises(IndexError):
        board.claim(2, 103)


def test_heartbeats() -> None:
    clock = FakeClock(50.0)
    board = Board.anonymous(3, clock=clock)
    board.claim(0, 100)
    clock.advance(1.0)
    board.claim(2, 102).heartbeat(60.5)
    assert board.rows_in_use() == [(0, 100, 50.0), (2, 102, 60.5)]
    assert [(w.pid, w.heartbeat_s) for w in board.workers()] == [(100, 50.0), (102, 60.5)]


def test_readiness_by_worker() -> None:
    board = Board.anonymous(2)
    board.claim(0, 100).set(metrics.WORKER_READY, (), 1.0)
    board.claim(1, 101)
    assert [(w.pid, w.ready) for w in board.workers()] == [(100, True), (101, False)]
    assert board.value(metrics.WORKER_READY) == 1.0


def test_retire_is_idempotent() -> None:
    board = Board.anonymous(1)
    board.retire(0)
    row = board.claim(0, 100)
    row.add(metrics.DB_ERRORS, ("read", "busy"), 3.0)
    row.observe(metrics.HTTP_DURATION, ("GET", "/"), 0.2)
    for _ in range(3):
        board.retire(0)
        found = by_key(board.collect())
        assert found[metrics.DB_ERRORS, ("read", "busy")].value == 3.0
        assert sum(found[metrics.HTTP_DURATION, ("GET", "/")].counts) == 1.0
        assert found[metrics.WORKER_RECYCLES, ()].value == 1.0
    assert board.rows_in_use() == []
    assert board.workers() == []


@pytest.mark.parametrize("at", [50, 115])
def test_an_interrupted_retire_can_be_repeated(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board.anonymous(1)
    board.claim(0, 100).add(metrics.DB_ERRORS, ("read", "busy"), 3.0)
    place = board._retired_table.place
    calls = 0

    def interrupted(metric: Metric, labels: tuple[str, ...]) -> int:
        nonlocal calls
        calls += 1
        if calls == at:
            raise KeyboardInterrupt
        return place(metric, labels)

    monkeypatch.setattr(board._retired_table, "place", interrupted)
    with pytest.raises(KeyboardInterrupt):
        board.retire(0)
    assert board.value(metrics.DB_ERRORS, ("read", "busy")) == 3.0
    board.retire(0)
    assert board.value(metrics.DB_ERRORS, ("read", "busy")) == 3.0


def test_a_reader_waits_while_a_row_is_retired_and_not_for_ever() -> None:
    board = Board.anonymous(1)
    board.claim(0, 100).add(metrics.DB_ERRORS, ("read", "busy"), 3.0)
    seen = []

    class Pause:
        def wait(self, timeout_s: float) -> None:
            seen.append(timeout_s)

    board._pause = Pause()  # type: ignore[assignment]
    board._head.sequence += 1
    assert board.value(metrics.DB_ERRORS, ("read", "busy")) == 3.0
    assert sum(seen) == pytest.approx(0.2)


def test_an_entry_that_is_not_whole_is_not_seen_yet() -> None:
    board = Board.anonymous(1)
    row = board.claim(0, 100)
    row.add(metrics.HTTP_RESPONSES, ("GET", "/", "200"))
    memory = board._rows[0]
    memory.count += 1  # raised before the entry is visible
    assert len(board.collect()) == len(STATIC) + 1
    memory.count -= 1
    row.add(metrics.HTTP_RESPONSES, ("GET", "/", "503"))
    assert len(board.collect()) == len(STATIC) + 2
    memory._directory[:] = bytes(len(memory._directory))
    board._directories.clear()
    assert len(board.collect()) == len(STATIC)


def test_a_claim_that_was_cut_short_leaves_the_row_free() -> None:
    board = Board.anonymous(1)

    class Killed:
        def now_s(self) -> float:
            os._exit(9)

    def die() -> None:
        board._clock = Killed()
        board.claim(0, 100)

    assert ended(forked(die)) == 9
    assert board.free_index() == 0
    board.retire(0)
    board.claim(0, 101).add(metrics.DB_ERRORS, ("read", "busy"))
    assert board.value(metrics.DB_ERRORS, ("read", "busy")) == 1.0


def test_a_child_of_a_worker_writes_nowhere() -> None:
    board = Board.anonymous(1)
    row = board.claim(0, os.getpid())
    row.add(metrics.DB_ERRORS, ("read", "busy"))

    def record() -> None:
        row.add(metrics.DB_ERRORS, ("read", "busy"), 10.0)
        row.observe(metrics.HTTP_DURATION, ("GET", "/child"), 1.0)
        row.heartbeat(1e9)

    with row._lock:  # held by another thread at the fork
        pid = forked(record)
    assert ended(pid) == 0
    assert board.value(metrics.DB_ERRORS, ("read", "busy")) == 1.0
    assert len(board.collect()) == len(STATIC)
    assert board.rows_in_use()[0].heartbeat_s < 1e9


def test_a_local_board_goes_on_in_a_child() -> None:
    board, row = Board.local()
    row.add(metrics.DB_ERRORS, ("read", "busy"))

    def record() -> None:
        row.add(metrics.DB_ERRORS, ("read", "busy"))
        assert board.value(metrics.DB_ERRORS, ("read", "busy")) == 2.0

    with row._lock:
        pid = forked(record)
    assert ended(pid) == 0
    assert board.value(metrics.DB_ERRORS, ("read", "busy")) == 1.0
    assert board.rows_in_use()[0].pid == os.getpid()


@pytest.mark.parametrize("shared", [False, True])
def test_what_happens_to_a_row_after_a_fork(*, shared: bool) -> None:
    # The same as in the children above, where nothing can be measured.
    board, row = (Board.anonymous(1), None) if shared else Board.local()
    row = row or board.claim(0, 100)
    lock = row._lock
    _leave_rows()
    assert row._lock is not lock
    row.add(metrics.DB_ERRORS, ("read", "busy"))
    assert board.value(metrics.DB_ERRORS, ("read", "busy")) == (0.0 if shared else 1.0)


def test_a_directory_that_changed_hands_while_it_was_read_is_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    board = Board.anonymous(1)
    board.claim(0, 100).add(metrics.HTTP_RESPONSES, ("GET", "/old", "200"))
    extended = Directory.extended

    def interrupted(self: Directory, memory: RowMemory) -> Directory:
        found = extended(self, memory)
        monkeypatch.setattr(Directory, "extended", extended)
        board.retire(0)
        board.claim(0, 101).add(metrics.HTTP_RESPONSES, ("GET", "/new", "200"))
        return found

    monkeypatch.setattr(Directory, "extended", interrupted)
    assert board._directory(board._rows[0]).routes == {"/old"}
    assert board._directory(board._rows[0]).routes == {"/new"}
    assert responses_by_route(board) == {"/old": 1.0, "/new": 1.0}


REQUEST = (
    ((metrics.HTTP_RESPONSES, ("GET", "/x", "200")), (metrics.DB_ERRORS, ("read", "busy"))),
    ((metrics.HTTP_DURATION, ("GET", "/x")), (metrics.SHED_DURATION, ())),
)


@pytest.mark.parametrize("value", [0.0, 0.005, 0.02, 99.0, -1.0, math.inf, math.nan])
def test_a_bound_count_does_what_the_single_calls_do(value: float) -> None:
    board, bound = Board.local()
    counters, histograms = REQUEST
    count = bound.bind(counters, histograms)
    other, single = Board.local()
    for _ in range(2):
        count(value)
        for series in counters:
            single.add(*series)
        for metric, labels in histograms:
            single.observe(metric, labels, value if value in {0.0, 0.005, 0.02, 99.0} else 0.0)
    assert board.collect() == other.collect()


def test_a_bound_count_leaves_out_what_has_no_place() -> None:
    board, row = Board.local()
    before = board.collect()
    row.bind(((metrics.INFLIGHT, ("read",)),), ((metrics.DB_ERRORS, ("read", "busy")),))(1.0)
    assert board.collect() == before


def test_a_value_can_stand_for_several() -> None:
    board, row = Board.local()
    row.observe(metrics.SHED_DURATION, (), 0.5, 8)
    found = by_key(board.collect())[metrics.SHED_DURATION, ()]
    assert (sum(found.counts), found.value) == (8, 4.0)


def test_a_bound_count_in_a_forked_process_writes_to_memory_of_its_own() -> None:
    board = Board.anonymous(1)
    row = board.claim(0, os.getpid())
    count = row.bind(*REQUEST)
    count(0.1)

    def work() -> None:
        count(0.1)

    assert ended(forked(work)) == 0
    assert board.value(metrics.HTTP_RESPONSES, ("GET", "/x", "200")) == 1.0
