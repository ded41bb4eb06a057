"""Twice and five times the capacity, with the guard on and off in turns."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from math import isnan
from typing import TYPE_CHECKING, Final

from stress import report
from stress.arrivals import constant
from stress.far import far
from stress.fill import fill
from stress.report import Report, Verdict
from stress.result import summarise
from stress.scenario import place, replay

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping, Sequence

    from stress.arrivals import Stage
    from stress.result import Run, Summary
    from stress.scenario import Place
    from stress.shots import Target

KEPT: Final = 0.98
"""At the capacity this share of what is offered is answered right and in time."""
FACTORS: Final = (2, 5)
GOODPUT_LEAST: Final = 0.9
P99_MS: Final = 500.0

_FIRST_RATE: Final = 50.0
_STEP: Final = 1.5
_BISECTIONS: Final = 3
_RATE_MAX: Final = 5000.0
_PROBE_S: Final = 5.0
_BOTH: Final = (("guarded", True), ("unguarded", False))


@dataclass(slots=True)
class Findings:
    """What is known so far; an interrupted scenario tells this much.

    Attributes:
        rate: users per second at the capacity; 0 where it was not found.
        capacity: requests per second there that need the database, right and in time.
        void: why the capacity is that of the generator; empty where it is the service's.
        probes: one line per step of the search for it.
        runs: the overloaded runs by label.
        summaries: the same, summarised.
        interrupted: Ctrl-C came.
        settings: more of the service's environment.
        plan: makes the load of a rate and a length.
    """

    rate: float = 0.0
    capacity: float = 0.0
    void: str = ""
    probes: list[str] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)
    summaries: dict[str, Summary] = field(default_factory=dict)
    interrupted: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    plan: Callable[[float, float], Mapping[str, Sequence[Stage]]] = constant


def run(options: Namespace) -> int:
    """Run the scenario, print and write its report; return 1 where a bar was missed.

    Args:
        options: ``backend``, ``rows``, ``far``, ``seconds``, ``seed``, ``out``.
    """
    findings = Findings()
    with place(options.backend) as where, ExitStack() as stack:
        try:
            fill(where.url, options.rows)
            if options.far:
                findings.settings = far(where, options.far / 1000, stack)
            search_capacity(where, options, findings)
            if findings.capacity:
                _overload(where, options, findings)
        except KeyboardInterrupt:
            findings.interrupted = True
    told = Report(
        _title(options),
        findings.summaries,
        verdicts(findings),
        {"capacity, users/s": round(findings.rate), **_facts(findings)},
        findings.probes,
    )
    print(told.text())
    name = f"overload-{options.backend}" + ("-far" if options.far else "")
    for path in report.write(told, findings.runs, options.out, name):
        print(f"written: {path}")
    return 0 if told.met else 1


def _title(options: Namespace) -> str:
    away = f", {options.far:g} ms away" if options.far else ""
    return f"Overload on {options.backend}{away}, {options.rows} warriors, seed {options.seed}"


def search_capacity(where: Place, options: Namespace, findings: Findings) -> None:
    """Find the highest rate of ``findings.plan`` that a service on ``where`` holds.

    Args:
        where: the database.
        options: ``seconds``, of which each step takes five at most; ``seed``.
        findings: takes what is found.

    Raises:
        KeyboardInterrupt: Ctrl-C came.
    """
    with where.server("capacity", guarded=True, settings=findings.settings) as server:
        _probe(server.target, _FIRST_RATE, options, findings)
        rate, failed = _FIRST_RATE, 0.0
        while not failed and rate <= _RATE_MAX:
            if _holds(server.target, rate, options, findings):
                rate *= _STEP
            else:
                failed = rate
        for _ in range(_BISECTIONS if failed and findings.rate else 0):
            middle = (findings.rate + failed) / 2
            if not _holds(server.target, middle, options, findings):
                failed = middle


def _holds(target: Target, rate: float, options: Namespace, findings: Findings) -> bool:
    summary = _probe(target, rate, options, findings)
    if summary.void:
        # Perhaps the machine was busy with something else; a second time it is the rate.
        summary = _probe(target, rate, options, findings)
    holds = summary.good_share >= KEPT and not summary.void
    findings.probes.append(
        f"{rate:6.0f} users/s: {summary.offered_per_s:6.0f} requests/s offered, "
        f"{summary.good_share:6.1%} right within 1 s {summary.void}"
    )
    print(findings.probes[-1], flush=True)
    if holds:
        findings.rate, findings.capacity = rate, summary.goodput_per_s
    else:
        # What counts is the lowest rate that failed, and that is the last one to fail.
        findings.void = summary.void if summary.good_share >= KEPT else ""
    return holds


def _probe(target: Target, rate: float, options: Namespace, findings: Findings) -> Summary:
    seconds = min(_PROBE_S, options.seconds)
    summary = summarise(replay(target, findings.plan(rate, seconds), options.seed))
    if summary.interrupted:
        raise KeyboardInterrupt
    return summary


def _overload(where: Place, options: Namespace, findings: Findings) -> None:
    for factor in FACTORS:
        for label, guarded in _BOTH:
            name = f"{label} {factor}x"
            started = where.server(
                name.replace(" ", "-"), guarded=guarded, settings=findings.settings
            )
            with started as server:
                plan = constant(findings.rate * factor, options.seconds)
                found = replay(server.target, plan, options.seed + factor)
            findings.runs[name] = found
            findings.summaries[name] = summarise(found)
            print(f"{name}: {findings.summaries[name].goodput_per_s:.0f}/s", flush=True)
            if found.interrupted:
                raise KeyboardInterrupt


def verdicts(findings: Findings) -> list[Verdict]:
    """Return the bars; those that were not tried count as missed."""
    found = f"{findings.rate:.0f} users/s, {findings.capacity:.0f} requests/s"
    if findings.void:
        found += f", but beyond it {findings.void}"
    known = findings.capacity > 0 and not findings.void
    bars = [
        Verdict("the service's capacity was found", found, known, void=bool(findings.void)),
    ]
    for factor in FACTORS:
        summary = findings.summaries.get(f"guarded {factor}x")
        if summary is None:
            bars.append(Verdict(f"{factor}x of it", "not run", met=False))
            continue
        share = summary.goodput_per_s / findings.capacity
        p99 = summary.total.latency.p99
        bars += [
            Verdict(
                f"{factor}x: sent on time",
                summary.void or "yes",
                not summary.void,
                void=bool(summary.void),
            ),
            Verdict(
                f"{factor}x: goodput >= {GOODPUT_LEAST:.0%} of capacity",
                f"{share:.1%}",
                share >= GOODPUT_LEAST,
            ),
            Verdict(
                f"{factor}x: p99 of the admitted < {P99_MS:g} ms",
                f"{p99:.0f} ms",
                not isnan(p99) and p99 < P99_MS,
            ),
        ]
    if findings.interrupted:
        bars.append(Verdict("the scenario ran to its end", "interrupted", met=False))
    return bars


def _facts(findings: Findings) -> dict[str, str]:
    return {name: _told(one, findings.capacity) for name, one in findings.summaries.items()}


def _told(one: Summary, capacity: float) -> str:
    text = (
        f"goodput {one.goodput_per_s / capacity:.1%} of capacity, "
        f"p99 of the admitted {one.total.latency.p99:.0f} ms"
    )
    refusal = one.total.refusal
    if not refusal.count:
        return text
    return text + f", refusals p50 {refusal.p50:.1f} ms, p99 {refusal.p99:.1f} ms"
