"""The status document as text: for curl, and for ``guard top``. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

_LINES: Final = 10
"""Refusals and events that are shown."""
_BAR: Final = 20


def text(document: dict[str, Any], *, lines: int = _LINES) -> str:
    """Return the essentials, verdict first, lines of at most about 100 characters.

    Args:
        document: what ``guard.status.document.document`` returns.
        lines: refusals and events shown, each.
    """
    parts = [
        _verdict(document),
        _lanes(document) + _queues(document),
        _requests(document),
        _workers(document),
        _recent("lock waits", [_lock_wait(one) for one in document["lock_waits"][:lines]]),
        _recent("last refusals", [_refusal(one) for one in document["refusals"][:lines]]),
        _recent("last events", [_event(one) for one in document["events"][:lines]]),
    ]
    return "\n".join(part for part in parts if part)


_MARKS: Final = {"ok": "OK", "warn": "WARNING", "bad": "ALARM"}


def _verdict(document: dict[str, Any]) -> str:
    found = document["verdict"]
    told = f"[{_MARKS[found['level']]}] {found['sentence']}.\n"
    if found["advice"]:
        told += f"      {found['advice']}\n"
    if found["variables"]:
        told += f"      Turn: {', '.join(found['variables'])}\n"
    return told


def _lanes(document: dict[str, Any]) -> str:
    told = f"{'':<7}{'':<{_BAR + 2}} {'now':>5} {'peak':>5} {'limit':>5}\n"
    for lane, figures in document["lanes"].items():
        for name in ("pool", "waiting", "in_flight"):
            level = figures[name]
            told += (
                f"{lane:<6} {_bar(level['now'], level['limit'])} {level['now']:>5} "
                f"{level['peak']:>5} {level['limit']:>5}  {name.replace('_', ' ')}\n"
            )
            lane = ""  # noqa: PLW2901 - said once per lane
        told += f"       {_lane_line(figures)}\n"
    return told


def _queues(document: dict[str, Any]) -> str:
    told = [
        f"{one['queue']} {one['now']}" + (f"/{one['limit']}" if one["limit"] else "")
        for one in document["queues"]
    ]
    return f"queues {', '.join(told)}\n"


def _lane_line(lane: dict[str, Any]) -> str:
    breaker, wait = lane["breaker"], lane["wait_ms"]
    probe = f", next probe in {breaker['probe_in_s']:.1f} s" if breaker["probe_in_s"] else ""
    return (
        f"breaker {breaker['phase']}{probe}; wait p50 {_ms(wait['p50'])}, p99 {_ms(wait['p99'])} "
        f"(budget {_ms(1000 * lane['wait_budget_s'])}); held {_ms(lane['hold_ms'])}; "
        f"shed {100 * lane['shed_ratio']:.0f} %"
    )


def _bar(now: float, limit: float) -> str:
    filled = min(_BAR, round(_BAR * now / limit)) if limit > 0 else 0
    return f"[{'#' * filled}{'.' * (_BAR - filled)}]"


def _requests(document: dict[str, Any]) -> str:
    told = ""
    for name, label in (("recent", "last"), ("window", "in all")):
        found = document["requests"][name]
        latency = found["latency_ms"]
        reasons = ", ".join(f"{reason} {n}" for reason, n in found["shed_by_reason"].items())
        told += (
            f"{label} {found['seconds']:.0f} s: admitted {found['admitted']}, shed {found['shed']} "
            f"({100 * found['shed_ratio']:.1f} %{': ' if reasons else ''}{reasons}), "
            f"errors {found['errors']}; p50 {_ms(latency['p50'])}, p95 {_ms(latency['p95'])}, "
            f"p99 {_ms(latency['p99'])}\n"
        )
    return told


def _workers(document: dict[str, Any]) -> str:
    told = ""
    for worker in document["workers"]:
        state = "ready" if worker["ready"] else "NOT READY"
        if worker["silent_s"]:
            state = f"SILENT for {worker['silent_s']:.0f} s"
        lanes = "; ".join(
            f"{lane} {one['in_use']}/{one['pool']} used, {one['waiting']} waiting, "
            f"breaker {one['breaker'] or '?'}"
            for lane, one in worker["lanes"].items()
        )
        told += f"worker {worker['pid']}: {state}, up {worker['up_s']} s; {lanes}\n"
    return told


def _recent(title: str, lines: list[str]) -> str:
    return f"{title}:\n" + "".join(f"  {line}\n" for line in lines) if lines else ""


def _lock_wait(one: dict[str, Any]) -> str:
    behind = ", ".join(f"{each['pid']} {each['application_name']}" for each in one["blockers"])
    what = f"{one['lock']} {one['relation']}".strip()
    return f"{one['lane']} {one['pid']} waits {_ms(1000 * one['waited_s'])} for {what}" + (
        f" behind {behind}" if behind else ""
    )


def _refusal(one: dict[str, Any]) -> str:
    times = f" (x{one['stands_for']})" if one["stands_for"] > 1 else ""
    return f"{_clock(one['at_unix_s'])} {one['lane']} {one['reason']}{times}: {one['why']}"


def _event(one: dict[str, Any]) -> str:
    return f"{_clock(one['at_unix_s'])} {one['text']}"


def _clock(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%H:%M:%SZ")


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f} ms" if value >= 10 or value == int(value) else f"{value:.1f} ms"  # noqa: PLR2004 - two digits
