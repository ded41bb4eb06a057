"""The database fails under load and comes back: how long it hurts, and whom."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from math import isnan
from typing import TYPE_CHECKING, Final, NamedTuple

from stress import bars, report
from stress.arrivals import constant
from stress.bars import seconds
from stress.disturbance import AWAY, BAD, HALF_OPEN, NETWORK, Disturbance, breakage
from stress.phases import KINDS_OF_LANE, Seen, Span, look_at, part, share_good
from stress.proxy import Proxy
from stress.report import Report, Verdict
from stress.result import GOOD_WITHIN_S, percentiles, summarise
from stress.scenario import acknowledged, place, replay, verify_apart
from stress.server import ServerError

if TYPE_CHECKING:
    from argparse import Namespace

    from stress import verify
    from stress.result import Percentiles, Run
    from stress.scenario import Place

REFUSED_SLOW_P99_MS: Final = 1200.0
LATE_MAX: Final = 0.05
UNHARMED: Final = 0.99

_NOTES_MAX: Final = 20
_INSTANT_S: Final = 1e-6


class Course(NamedTuple):
    """What came of the run.

    Attributes:
        run: every request.
        outage: from the fault to the database's return.
        kept: the database compared with the promises.
        troubles: suspicious lines of the service's log.
    """

    run: Run
    outage: Span
    kept: verify.Verdict
    troubles: list[str]


def run(options: Namespace) -> int:
    """Run the scenario, print and write its report; return 1 where a bar was missed.

    Args:
        options: ``backend``, ``fault``, ``lane``, ``rate``, ``workers``, ``before_s``,
            ``outage_s``, ``after_s``, ``seed``, ``out``.
    """
    if options.lane != "all" and options.fault not in NETWORK:
        raise ServerError(
            f"--lane {options.lane} needs a fault of the network: {', '.join(NETWORK)}"
        )
    with place(options.backend) as where, ExitStack() as stack:
        course = _course(where, options, stack)
    seen = look_at(course.run, course.outage, KINDS_OF_LANE[options.lane])
    name = "-".join(["outage", options.fault, *([] if options.lane == "all" else [options.lane])])
    told = Report(
        f"Outage of {options.backend} by {options.fault} for {options.outage_s:g} s, lanes "
        f"{options.lane}, {options.rate:g} users/s, {options.workers} workers, "
        f"seed {options.seed}",
        {label: summarise(part(course.run, span)) for label, span in spans(course).items()},
        verdicts(course, seen, options.lane, options.fault),
        facts(course, seen),
        course.troubles[:_NOTES_MAX],
    )
    print(told.text())
    for path in report.write(told, {"the whole run": course.run}, options.out, name):
        print(f"written: {path}")
    return 0 if told.met else 1


def _course(where: Place, options: Namespace, stack: ExitStack) -> Course:
    server = where.postgres
    if server is None:
        raise ServerError("only PostgreSQL has a server that can go away")
    settings = {"GUARD_WORKERS": str(options.workers)}
    proxies: list[Proxy] = []
    if options.fault in NETWORK:
        proxies = [stack.enter_context(Proxy(server.port, BAD)) for _ in range(2)]
        write, read = (where.url.replace(f":{server.port}/", f":{one.port}/") for one in proxies)
        settings |= {"GUARD_DATABASE_URL": write, "GUARD_DATABASE_READ_URL": read}
    hit = {"all": proxies, "write": proxies[:1], "read": proxies[1:]}[options.lane]
    how = breakage(options.fault, server, hit)
    length_s = options.before_s + options.outage_s + options.after_s
    with (
        where.server("service", guarded=True, settings=settings) as service,
        Disturbance(how, options.before_s, options.outage_s) as disturbance,
    ):
        found = replay(service.target, constant(options.rate, length_s), options.seed)
        disturbance.wait_mended()
        outage = Span(disturbance.began_s - found.begun_s, disturbance.ended_s - found.begun_s)
        kept = verify_apart(where, acknowledged(found))
        return Course(_marked(found, outage), outage, kept, service.troubles())


def _marked(found: Run, outage: Span) -> Run:
    return replace(found, marks=((outage.from_s, "fault"), (outage.to_s, "back")))


def spans(course: Course) -> dict[str, Span]:
    """Return the phases of the run by their names."""
    from_s, to_s = course.outage
    # The last look-ups are due after the schedule's end.
    end_s = max((sample.due_s for sample in course.run.samples), default=to_s) + _INSTANT_S
    return {"before": Span(0.0, from_s), "outage": course.outage, "after": Span(to_s, end_s)}


def verdicts(course: Course, seen: Seen, lane: str, fault: str = "stop") -> list[Verdict]:
    """Return the bars.

    Args:
        course: what came of the run.
        seen: the same as the clients saw it.
        lane: the lane that was hit, or ``all``.
        fault: one of ``FAULTS``; some leave the database there, slow or behind dead connections.
    """
    # Dead connections are not mended by the network: they have to be noticed.
    mended = _since_noticed(course, seen, lane) if fault == HALF_OPEN else seen
    found = [
        bars.accounted(course.run),
        *(bars.shed(seen) if fault in AWAY else _served(course)),
        bars.back(mended),
        bars.stored(course.kept),
        bars.quiet_log(course.troubles),
    ]
    return [*found, *_other_lane(course, lane)]


def _served(course: Course) -> list[Verdict]:
    during = [one for one in course.run.samples if course.outage.has(one.due_s)]
    late = sum(one.answered and one.latency_s > GOOD_WITHIN_S for one in during)
    p99 = percentiles([one.latency_s for one in during if one.reason]).p99
    return [
        Verdict(
            f"answered later than {GOOD_WITHIN_S:g} s during the fault <= {LATE_MAX:.0%}",
            f"{late} of {len(during)}", late <= LATE_MAX * len(during),
        ),
        Verdict(
            f"p99 of the refusals during the fault < {REFUSED_SLOW_P99_MS:g} ms",
            "none" if isnan(p99) else f"{p99:.1f} ms", not p99 >= REFUSED_SLOW_P99_MS,
        ),
    ]  # fmt: skip


def _since_noticed(course: Course, seen: Seen, lane: str) -> Seen:
    from_s = course.outage.from_s
    noticed = Span(from_s, from_s + (0.0 if isnan(seen.first_failure_s) else seen.first_failure_s))
    return look_at(course.run, noticed, KINDS_OF_LANE[lane])


def _other_lane(course: Course, lane: str) -> list[Verdict]:
    if lane == "all":
        return []
    other = {"read": "write", "write": "read"}[lane]
    share = share_good(
        [
            one for one in course.run.samples
            if one.kind in KINDS_OF_LANE[other] and course.outage.has(one.due_s)
        ]
    )  # fmt: skip
    bar = f"the {other} lane right and in time in the outage >= {UNHARMED:.0%}"
    return [Verdict(bar, f"{share:.1%}", share >= UNHARMED)]


def facts(course: Course, seen: Seen) -> dict[str, str]:
    """Return the figures that are told beside the bars."""
    return {
        "fault, back": " s, ".join(f"{at_s:.2f}" for at_s in course.outage) + " s",
        "first failure after the fault": seconds(seen.first_failure_s),
        "refusals before all were shed": _latencies(seen.early),
        "refusals from then on": _latencies(seen.refusals),
        "warriors stored": str(course.kept.stored),
    }


def _latencies(found: Percentiles) -> str:
    if not found.count:
        return "none"
    return (
        f"{found.count}, p50 {found.p50:.1f} ms, p99 {found.p99:.1f} ms, longest {found.max:.1f} ms"
    )
