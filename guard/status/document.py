"""The status document: what /status.json, the page, the text and ``guard top`` show. Pure.

``guard/admin/assets/status.schema.json`` describes it; a test holds the two together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guard import metrics
from guard.core.vocabulary import Lane, Reason
from guard.settings.durations import format_duration
from guard.settings.model import specs
from guard.settings.render import rows
from guard.status import what_if
from guard.status.frames import tail, tail_of_requests
from guard.status.lanes import facts, lane_document, queue_documents, worker_document
from guard.status.points import COLUMNS, errors, latency_ms
from guard.status.reasons import why
from guard.status.seen import RECENT_S, WINDOW_S, Seen
from guard.status.verdict import Verdict, verdict

if TYPE_CHECKING:
    from guard.board import Refusal
    from guard.settings.load import Loaded
    from guard.status.frames import Span

SCHEMA: Final = 1
"""The document's version; a new one may take fields away."""
REQUESTS: Final = 1000
"""A what-if looks at about so many of the last requests."""


def document(seen: Seen) -> dict[str, Any]:
    """Return the whole document but for the history."""
    settings = seen.loaded.settings
    recent, window = tail(seen.frames, RECENT_S), tail(seen.frames, WINDOW_S)
    return {
        "schema": SCHEMA,
        "boot": seen.boot,
        "sequence": seen.sequence,
        "at_unix_s": round(seen.unix_s, 3),
        "guard": {"version": seen.version, "mode": settings.mode, "policy": settings.policy},
        "verdict": _verdict(verdict(facts(seen))),
        "requests": {"recent": _requests(recent), "window": _requests(window)},
        "lanes": {lane.value: lane_document(seen, lane, recent, window) for lane in Lane},
        "queues": queue_documents(seen, recent),
        "workers": [worker_document(seen, worker) for worker in seen.workers],
        "lock_waits": seen.lock_waits,
        "refusals": [_refusal(seen, one) for one in seen.refusals],
        "events": [
            {"at_unix_s": seen.unix(one.at_s), "kind": one.kind, "text": one.text}
            for one in seen.events
        ],
        "what_if": {lane.value: _what_if(seen, lane) for lane in Lane},
        "settings": _settings(seen.loaded),
    }


def history(seen: Seen, after: int) -> dict[str, Any]:
    """Return the charts' points with a sequence number greater than ``after``."""
    found = [point for point in seen.points if point[0] is not None and point[0] > after]
    return {"columns": COLUMNS, "seconds": WINDOW_S, "rows": found}


def _verdict(found: Verdict) -> dict[str, Any]:
    return {
        "level": found.level,
        "sentence": found.sentence,
        "advice": found.advice.text,
        "variables": found.advice.variables,
    }


def _requests(span: Span) -> dict[str, Any]:
    counts = {word: round(span.decided(word)) for word in metrics.DECISIONS}
    return {
        "seconds": round(span.seconds, 1),
        **counts,
        "errors": round(errors(span)),
        "shed_ratio": round(span.shed_ratio(), 4),
        "shed_by_reason": {reason: round(n) for reason, n in span.shed_by_reason().items()},
        "latency_ms": latency_ms(span),
    }


def _refusal(seen: Seen, refusal: Refusal) -> dict[str, Any]:
    wait_s = refusal.wait_s
    return {
        "at_unix_s": seen.unix(refusal.at_s),
        "pid": refusal.pid,
        "lane": refusal.lane,
        "reason": refusal.reason,
        "why": why(refusal),
        "stands_for": refusal.stands_for,
        "in_flight": refusal.in_flight,
        "permits": refusal.permits_max,
        "unfinished": refusal.unfinished,
        "slots": refusal.slots,
        "hold_ms": round(1000 * refusal.hold_s, 2),
        "age_ms": round(1000 * refusal.age_s, 2),
        "wait_ms": None if wait_s == float("inf") else round(1000 * wait_s, 2),
        "budget_ms": round(1000 * refusal.budget_s, 2),
        "standing_queue": refusal.standing_queue,
    }


def _what_if(seen: Seen, lane: Lane) -> dict[str, Any]:
    field = f"{lane.value}_wait_budget_s"
    variable, budget_s = specs()[field].env, getattr(seen.loaded.settings, field)
    span = tail_of_requests(seen.frames, lane, REQUESTS)
    found = _lane_seen(seen, lane, span, budget_s)
    requests = found.admitted + found.shed_by_wait + found.shed_otherwise
    return {
        "variable": variable,
        "budget_s": budget_s,
        "requests": round(requests),
        "seconds": round(span.seconds),
        "assumption": what_if.ASSUMPTION,
        "steps": [
            {
                "budget_s": step.budget_s,
                "shed": round(step.shed),
                "export": f"export {variable}={format_duration(step.budget_s)}",
            }
            for step in what_if.steps(found)
        ],
    }


def _lane_seen(seen: Seen, lane: Lane, span: Span, budget_s: float) -> what_if.Seen:
    by_wait = span.decided("shed", lane, Reason.POOL_SATURATED.value)
    predicted = [
        (
            what_if.predicted_wait(one.wait_s, one.unfinished - one.slots, one.waiters_max),
            float(one.stands_for),
        )
        for one in seen.refusals
        if one.lane is lane and one.reason is Reason.POOL_SATURATED
    ]
    return what_if.Seen(
        bounds=metrics.ACQUIRE_WAIT.buckets,
        waits=span.waits(lane),
        admitted=span.decided("admitted", lane),
        shed_by_wait=by_wait,
        shed_otherwise=span.decided("shed", lane) - by_wait,
        predicted=predicted,
        budget_s=budget_s,
    )


def _settings(loaded: Loaded) -> list[dict[str, Any]]:
    table = specs()
    return [
        {
            "variable": row.name,
            "value": row.value,
            "source": row.source,
            "unit": row.unit,
            "help": table[row.field].help,
            "watch": table[row.field].watch,
        }
        for row in rows(loaded)
    ]
