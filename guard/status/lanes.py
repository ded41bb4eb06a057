"""Lanes, queues and workers in the status document. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard import metrics
from guard.core.sizing import DatabaseKind
from guard.core.vocabulary import Lane, Reason
from guard.settings.forms import kind_of
from guard.status.frames import Frame, Span, peak, phase, queues, tail
from guard.status.points import in_use, latency_ms, peak_in_use, quantiles_ms, working
from guard.status.seen import RECENT_S, Seen
from guard.status.verdict import Facts, LaneFacts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.board import WorkerView


def facts(seen: Seen) -> Facts:
    """Return what the verdict is made from."""
    recent = tail(seen.frames, RECENT_S)
    last_frames = [one for one in seen.frames if one.at_s >= recent.first.at_s]
    silent = [age_s for worker in seen.workers if (age_s := seen.silent_s(worker))]
    p95 = latency_ms(recent)["p95"]
    return Facts(
        lanes=[_lane_facts(last_frames, recent, lane) for lane in Lane],
        workers=len(seen.workers),
        ready=sum(worker.ready for worker in seen.workers),
        silent=len(silent),
        silent_s=max(silent, default=0.0),
        would_shed=recent.decided("would_shed"),
        relieved=recent.decided("cached") + recent.decided("deferred"),
        seconds=max(1.0, recent.seconds),
        p95_s=None if p95 is None else p95 / 1000,
        mode=seen.loaded.settings.mode,
        one_process=kind_of(seen.loaded.settings.database_url) is DatabaseKind.DUCKDB,
    )


def _lane_facts(last_frames: Sequence[Frame], recent: Span, lane: Lane) -> LaneFacts:
    now = last_frames[-1]
    reasons = recent.shed_by_reason(lane)
    return LaneFacts(
        lane=lane,
        # A pool that is never free for long is seen with a free connection now and then.
        in_use=peak_in_use(last_frames, lane),
        size=round(in_use(now, lane)[1]),
        working=working(now, lane),
        waiting=round(peak(last_frames, metrics.POOL_WAITERS, lane.value)),
        full_ratio=sum(_is_full(one, lane) for one in last_frames) / len(last_frames),
        shed=recent.decided("shed", lane),
        admitted=recent.decided("admitted", lane),
        top_reason=Reason(next(iter(reasons))) if reasons else None,
        breaker=phase(now, lane)[0],
        probe_in_s=now.value(metrics.BREAKER_PROBE_DUE, lane.value),
        lock_waiters=round(now.value(metrics.LOCK_WAITERS, lane.value)),
    )


def _is_full(one: Frame, lane: Lane) -> bool:
    busy, size = in_use(one, lane)
    return 0 < size <= busy


def lane_document(seen: Seen, lane: Lane, recent: Span, window: Span) -> dict[str, Any]:
    """Return a lane's part of the document."""
    now, settings = seen.now, seen.loaded.settings
    worst, by_phase = phase(now, lane)
    hold_s = recent.hold_s(lane)
    waiters_max = len(seen.workers) * int(getattr(settings, f"{lane.value}_waiters"))
    return {
        "in_flight": _level(seen, metrics.INFLIGHT, lane, now.value(metrics.LIMIT, lane.value)),
        "pool": _pool(seen, lane),
        "waiting": _level(seen, metrics.POOL_WAITERS, lane, waiters_max),
        "admitted": round(recent.decided("admitted", lane)),
        "shed": round(recent.decided("shed", lane)),
        "shed_ratio": round(recent.shed_ratio(lane), 4),
        "shed_window": round(window.decided("shed", lane)),
        "wait_ms": quantiles_ms(metrics.ACQUIRE_WAIT.buckets, recent.waits(lane)),
        "hold_ms": None if hold_s is None else round(1000 * hold_s, 2),
        "wait_budget_s": getattr(settings, f"{lane.value}_wait_budget_s"),
        "breaker": {
            "phase": worst,
            "workers": by_phase,
            "probe_in_s": round(now.value(metrics.BREAKER_PROBE_DUE, lane.value), 2),
        },
        "lock_waiters": round(now.value(metrics.LOCK_WAITERS, lane.value)),
        "lock_wait_oldest_s": round(now.value(metrics.LOCK_WAIT_OLDEST, lane.value), 2),
        "errors_window": {
            kind: round(count)
            for kind in metrics.ERROR_KINDS
            if (count := window.added(metrics.DB_ERRORS, lane.value, kind))
        },
    }


def _level(seen: Seen, metric: metrics.Metric, lane: Lane, limit: float) -> dict[str, int]:
    return {
        "now": round(seen.now.value(metric, lane.value)),
        "peak": round(peak(seen.frames, metric, lane.value)),
        "limit": round(limit),
    }


def _pool(seen: Seen, lane: Lane) -> dict[str, int]:
    busy, size = in_use(seen.now, lane)
    found = {"now": round(busy), "peak": peak_in_use(seen.frames, lane), "limit": round(size)}
    return found | {"working": working(seen.now, lane)}


def queue_documents(seen: Seen, recent: Span) -> list[dict[str, Any]]:
    """Return each queue's part of the document; PgBouncer's only where somebody looks at it."""
    looked_at = bool(seen.loaded.settings.pgbouncer_admin_url)
    return [
        {
            "queue": queue,
            "now": round(depth),
            "peak": round(peak(seen.frames, metrics.QUEUE_DEPTH, queue)),
            "limit": round(capacity),
            "wait_ms": _queue_wait(recent, queue),
        }
        for queue, (depth, capacity) in queues(seen.now).items()
        if queue != metrics.PGBOUNCER or looked_at
    ]


def _queue_wait(recent: Span, queue: str) -> dict[str, float | None] | None:
    # Only some queues measure how long is waited in them.
    if (queue,) not in metrics.QUEUE_WAIT.known_label_sets():
        return None
    return quantiles_ms(metrics.QUEUE_WAIT.buckets, recent.observed(metrics.QUEUE_WAIT, queue))


def worker_document(seen: Seen, worker: WorkerView) -> dict[str, Any]:
    """Return a worker's part of the document."""
    up_s = seen.now.at_s - seen.since_s.get(worker.pid, seen.now.at_s)
    return {
        "pid": worker.pid,
        "ready": worker.ready,
        "up_s": round(up_s),
        "silent_s": round(seen.silent_s(worker), 1),
        "lanes": {lane.value: _worker_lane(worker, lane.value) for lane in Lane},
    }


def _worker_lane(worker: WorkerView, lane: str) -> dict[str, Any]:
    gauges = worker.gauges
    states = gauges[metrics.BREAKER_STATE]
    return {
        "in_flight": round(gauges[metrics.INFLIGHT][lane,]),
        "permits": round(gauges[metrics.LIMIT][lane,]),
        "in_use": round(gauges[metrics.POOL_CONNECTIONS][lane, "in_use"]),
        "pool": round(gauges[metrics.POOL_MAX][lane,]),
        "waiting": round(gauges[metrics.POOL_WAITERS][lane,]),
        "breaker": next((each for each in metrics.PHASES if states[lane, each]), ""),
    }
