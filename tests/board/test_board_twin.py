"""The board against a slow, plainly right twin: dictionaries."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from board_help import by_key
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from guard import metrics
from guard.board import Board
from guard.metrics import ALL, Kind, Merge, Metric

if TYPE_CHECKING:
    from guard.board import WorkerRow

ROWS = 3
# Exact in binary, so that sums don't depend on their order.
AMOUNTS = st.integers(0, 4000).map(lambda number: number / 16)


def label_sets(metric: Metric) -> st.SearchStrategy[tuple[str, ...]]:
    known = metric.known_label_sets()
    if known:
        return st.sampled_from(known)
    return st.tuples(*[st.sampled_from(("a", "b", "", 'é€\n"\\')) for _ in metric.labels])


def targets(kind: Kind) -> st.SearchStrategy[tuple[Metric, tuple[str, ...]]]:
    some = [metric for metric in ALL if metric.kind is kind and metric not in HOST]
    return st.sampled_from(some).flatmap(lambda m: st.tuples(st.just(m), label_sets(m)))


HOST = (metrics.WORKERS, metrics.WORKER_RECYCLES)


class BoardAndTwin(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.board = Board.anonymous(ROWS)
        self.rows: dict[int, WorkerRow] = {}
        self.counts: dict[Any, float] = {}
        self.observed: dict[Any, list[float]] = {}
        self.gauges: dict[int, dict[Any, float]] = {}
        self.retired = 0

    @rule(index=st.integers(0, ROWS - 1))
    def claim_or_retire(self, index: int) -> None:
        if index in self.rows:
            del self.rows[index], self.gauges[index]
            self.retired += 1
        else:
            self.rows[index] = self.board.claim(index, 100 + index)
            self.gauges[index] = {}
            return
        self.board.retire(index)

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), where=targets(Kind.COUNTER), amount=AMOUNTS)
    def add(self, data: st.DataObject, where: Any, amount: float) -> None:
        self.rows[self.some_row(data)].add(*where, amount)
        self.counts[where] = self.counts.get(where, 0.0) + amount

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), where=targets(Kind.HISTOGRAM), value=AMOUNTS)
    def observe(self, data: st.DataObject, where: Any, value: float) -> None:
        self.rows[self.some_row(data)].observe(*where, value)
        self.observed.setdefault(where, []).append(value)

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), where=targets(Kind.GAUGE), value=AMOUNTS)
    def set(self, data: st.DataObject, where: Any, value: float) -> None:
        index = self.some_row(data)
        self.rows[index].set(*where, value)
        self.gauges[index][where] = value

    def some_row(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(sorted(self.rows)))

    @invariant()
    def the_same(self) -> None:
        found = by_key(self.board.collect())
        assert found[metrics.WORKERS, ()].value == len(self.rows)
        assert found[metrics.WORKER_RECYCLES, ()].value == self.retired
        for (metric, labels), sample in found.items():
            if metric in HOST:
                continue
            value, counts = self.right(metric, labels)
            assert (sample.value, list(sample.counts)) == (value, counts), (metric.name, labels)
        assert {*self.counts, *self.observed} <= found.keys()

    def right(self, metric: Metric, labels: tuple[str, ...]) -> tuple[float, list[float]]:
        key = (metric, labels)
        if metric.kind is Kind.COUNTER:
            return self.counts.get(key, 0.0), []
        if metric.kind is Kind.GAUGE:
            values = [gauges.get(key, 0.0) for gauges in self.gauges.values()] or [0.0]
            told = [value for value in values if value > 0.0] or [0.0]
            merged = {Merge.SUM: sum(values), Merge.MAX: max(values), Merge.LEAST: min(told)}
            return merged[metric.merge], []
        values = self.observed.get(key, [])
        bounds = [float("-inf"), *metric.buckets, float("inf")]
        pairs = pairwise(bounds)
        return sum(values), [float(sum(low < v <= high for v in values)) for low, high in pairs]


TestBoardAndTwin = BoardAndTwin.TestCase
TestBoardAndTwin.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
