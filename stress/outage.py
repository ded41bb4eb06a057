"""The database fails under load and comes back: how long it hurts, and whom."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from math import isnan
from typing import TYPE_CHECKING, Final, NamedTuple

from stress import report
from stress.arrivals import constant
from stress.disturbance import NETWORK, Disturbance, breakage
from stress.phases import KEPT, KINDS_OF_LANE, Seen, Span, look_at, part, share_good
from stress.proxy import Proxy
from stress.report import Report, Verdict
from stress.result import summarise
from stress.scenario import acknowledged, place, replay, verify_apart
from stress.server import ServerError

if TYPE_CHECKING:
    from argparse import Namespace

    from stress import verify
    from stress.result import Percentiles, Run
    from stress.scenario import Place

ALL_SHED_S: Final = 1.0
REFUSED_P99_MS: Final = 20.0
BACK_S: Final = 3.0
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
        raise ServerError(f"--lane {options.lane} needs a fault of the network: {NETWORK}")
    with place(options.backend) as where, ExitStack() as stack:
        course = _course(where, options, stack)
    seen = look_at(course.run, course.outage, KINDS_OF_LANE[options.lane])
    name = "-".join(["outage", options.fault, *([] if options.lane == "all" else [options.lane])])
    told = Report(
        f"Outage of {options.backend} by {options.fault} for {options.outage_s:g} s, lanes "
        f"{options.lane}, {options.rate:g} users/s, {options.workers} workers, "
        f"seed {options.seed}",
        {label: summarise(part(course.run, span)) for label, span in spans(course).items()},
        verdicts(course, seen, options.lane),
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
        proxies = [stack.enter_context(Proxy(server.port)) for _ in range(2)]
        write, read = (where.url.replace(f":{server.port}/", f":{one.port}/") for one in proxies)
        settings |= {"GUARD_DATABASE_URL": write, "GUARD_DATABASE_READ_URL": read}
    hit = {"all": proxies, "write": proxies[:1], "read": proxies[1:]}[options.lane]
    how = breakage(options.fault, server, hit)
    seconds = options.before_s + options.outage_s + options.after_s
    with (
        where.server("service", guarded=True, settings=settings) as service,
        Disturbance(how, options.before_s, options.outage_s) as disturbance,
    ):
        found = replay(service.target, constant(options.rate, seconds), options.seed)
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


def verdicts(course: Course, seen: Seen, lane: str) -> list[Verdict]:
    """Return the bars.

    Args:
        course: what came of the run.
        seen: the same as the clients saw it.
        lane: the lane that was hit, or ``all``.
    """
    whole = summarise(course.run)
    total, kept, p99 = whole.total, course.kept, seen.refusals.p99
    lost = f"{kept.missing} missing, {kept.repeated} doubled, {kept.different} altered"
    bars = [
        Verdict(
            "sent on time, and sent = answered + shed + failed",
            whole.void or f"{total.sent} = {total.answered} + {total.shed} + {total.failed}",
            not (whole.void or whole.interrupted)
            and total.sent == total.answered + total.shed + total.failed,
            void=bool(whole.void),
        ),
        Verdict(
            f"from the first failure all shed with breaker_open within {ALL_SHED_S:g} s",
            _seconds(seen.all_shed_s), seen.all_shed_s <= ALL_SHED_S,
        ),
        Verdict(
            f"p99 of the refusals from then on < {REFUSED_P99_MS:g} ms",
            f"{p99:.1f} ms", p99 < REFUSED_P99_MS,
        ),
        Verdict(
            f"{KEPT:.0%} of the goodput back within {BACK_S:g} s",
            _seconds(seen.recovered_s), seen.recovered_s <= BACK_S,
        ),
        Verdict(
            "every acknowledged warrior there once, as it was sent",
            f"{kept.acknowledged} acknowledged, {lost}", kept.good and kept.acknowledged > 0,
        ),
        Verdict(
            "no worker time-out, kill or traceback", str(len(course.troubles)),
            not course.troubles,
        ),
    ]  # fmt: skip
    return [*bars, *_other_lane(course, lane)]


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
        "first failure after the fault": _seconds(seen.first_failure_s),
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


def _seconds(value: float) -> str:
    return "never" if isnan(value) else f"{value:.2f} s"
