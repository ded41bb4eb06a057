"""Hours in minutes: does anything grow, leak or slow down under a lasting overload?"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Final

from guard.settings import load
from stress import bars, report
from stress.arrivals import CREATE, NO_TERM, SEARCH, Stage
from stress.fill import fill
from stress.footprint import Footprint, Watch, footprint, typical
from stress.overload import Findings, search_capacity
from stress.report import Report, Verdict
from stress.result import Percentiles, percentiles, summarise
from stress.scenario import acknowledged, place, replay, verify_apart
from stress.scrape import scrape
from stress.server import ServerError, tree

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    from stress import verify
    from stress.result import Run, Summary
    from stress.scenario import Place
    from stress.server import Server
    from stress.verify import Acknowledged

GROWTH_MAX: Final = 0.05
FILES_MORE_MAX: Final = 2
SLOWER_MAX: Final = {"p50": (1.2, 2.0), "p99": (1.25, 20.0)}
"""By how much a latency may be larger at the end: a factor, and milliseconds besides."""

_CREATES_PER_S: Final = 3.0
_SEARCHES: Final = 80 / 130
_SLICE_S: Final = 60.0
_WARM_UP: Final = 0.1
_WINDOW: Final = 0.1
_REST_S: Final = 8.0
_EVERY_S: Final = 1.0
_NOTES_MAX: Final = 20


@dataclass(slots=True)
class Course:
    """What came of the soak.

    Attributes:
        seen: what the processes held, second by second.
        warm_s: when the warm-up was over, by the same clock.
        rest: the same at rest: after the warm-up, and in the end.
        threads_max: how many threads there may be: those of the start, and all request threads,
            which gunicorn makes as they are needed.
        slices: the load, slice by slice.
        latencies_s: of each slice the latencies of what the database answered.
        promised: the warriors that were acknowledged.
        kept: the database compared with the promises.
        in_flight: permits held in the end.
        troubles: suspicious lines of the log.
    """

    seen: Sequence[Footprint] = ()
    warm_s: float = 0.0
    rest: list[Footprint] = field(default_factory=list)
    threads_max: int = 0
    slices: list[Summary] = field(default_factory=list)
    latencies_s: list[array[float]] = field(default_factory=list)
    promised: list[Acknowledged] = field(default_factory=list)
    kept: verify.Verdict | None = None
    in_flight: int = 0
    troubles: list[str] = field(default_factory=list)


def steady(rate: float, seconds: float) -> dict[str, Sequence[Stage]]:
    """Return a mix of few creates and many searches, so that the data hardly grows.

    Otherwise searches would slow down for that alone.

    Args:
        rate: users per second, > 0.
        seconds: how long.
    """
    creates = min(_CREATES_PER_S, rate / 2)
    shares = {CREATE: creates, SEARCH: (rate - creates) * _SEARCHES,
              NO_TERM: (rate - creates) * (1 - _SEARCHES)}  # fmt: skip
    return {kind: (Stage(seconds, one, one),) for kind, one in shares.items()}


def run(options: Namespace) -> int:
    """Run the scenario, print and write its report; return 1 where a bar was missed.

    Args:
        options: ``backend``, ``minutes``, ``factor``, ``rate``, ``rows``, ``seed``, ``out``.
    """
    with place(options.backend) as where:
        fill(where.url, options.rows)
        rate = options.rate or _capacity(where, options) * options.factor
        course = _course(where, options, rate)
    told = Report(
        f"Soak of {options.backend} for {options.minutes:g} minutes at {rate:.0f} users/s, "
        f"{options.rows} warriors, seed {options.seed}",
        {},
        verdicts(course),
        facts(course),
        course.troubles[:_NOTES_MAX],
    )
    print(told.text())
    options.out.mkdir(parents=True, exist_ok=True)
    for ending, text in (("json", report.to_json(told)), ("html", _page(told, course))):
        path = options.out / f"soak-{options.backend}.{ending}"
        path.write_text(text)
        print(f"written: {path}")
    return 0 if told.met else 1


def _capacity(where: Place, options: Namespace) -> float:
    findings = Findings(plan=steady)
    options.seconds = _SLICE_S
    search_capacity(where, options, findings)
    if not findings.rate:
        raise ServerError("no rate was found that the service holds")
    return findings.rate


def _course(where: Place, options: Namespace, rate: float) -> Course:
    course, whole_s = Course(), options.minutes * 60
    with where.server("soak", guarded=True, watch_memory=False) as service:
        settings = load({"GUARD_DATABASE_URL": where.url}).settings
        begun = footprint(tree(service.pid), 0.0).threads
        course.threads_max = begun + settings.threads * settings.workers
        with Watch(lambda: tree(service.pid), _EVERY_S) as watch:
            _load(course, service, rate, max(_SLICE_S / 6, whole_s * _WARM_UP), options.seed)
            course.slices.clear()
            course.latencies_s.clear()
            course.rest.append(_at_rest(service))
            course.warm_s = watch.now_s()
            left_s, seed = whole_s, options.seed
            while left_s > 0:
                seed += 1
                _load(course, service, rate, min(_SLICE_S, left_s), seed)
                left_s -= _SLICE_S
                print(_progress(course, watch), flush=True)
        course.seen = watch.seen
        course.rest.append(_at_rest(service))
        course.in_flight = scrape(service.admin).in_flight
        course.troubles = service.troubles()
        service.kill()
    where.crash()
    course.kept = verify_apart(where, course.promised)
    return course


def _load(course: Course, service: Server, rate: float, seconds: float, seed: int) -> None:
    found: Run = replay(service.target, steady(rate, seconds), seed)
    if found.interrupted:
        raise KeyboardInterrupt
    course.slices.append(summarise(found))
    course.latencies_s.append(
        array("d", [one.latency_s for one in found.samples if one.answered and one.kind != NO_TERM])
    )
    course.promised += acknowledged(found)


def _at_rest(service: Server) -> Footprint:
    # Connections that are kept for their clients' next requests are closed after 5 s.
    Event().wait(_REST_S)
    return footprint(tree(service.pid), 0.0)


def _progress(course: Course, watch: Watch) -> str:
    last, held = course.slices[-1].total, watch.seen[-1]
    return (
        f"{watch.now_s():5.0f} s: {held.rss_bytes / 2**20:.1f} MiB, {held.files} files, "
        f"{held.threads} threads; p50 {last.latency.p50:.1f} ms, p99 {last.latency.p99:.1f} ms, "
        f"{last.shed} of {last.sent} shed, {last.failed} failed"
    )


def windows(course: Course) -> tuple[Footprint, Footprint]:
    """Return the medians of the tenth of the time after the warm-up, and of the last tenth."""
    warm = [one for one in course.seen if one.at_s >= course.warm_s]
    count = max(1, round(len(warm) * _WINDOW))
    return typical(warm[:count]), typical(warm[-count:])


def thirds(course: Course) -> tuple[Percentiles, Percentiles]:
    """Return the latencies of the first third of the slices and of the last."""
    count = max(1, len(course.latencies_s) // 3)
    first, last = course.latencies_s[:count], course.latencies_s[-count:]
    return (
        percentiles([one for some in first for one in some]),
        percentiles([one for some in last for one in some]),
    )


def verdicts(course: Course) -> list[Verdict]:
    """Return the bars."""
    void = next((one.void for one in course.slices if one.void), "")
    totals = [one.total for one in course.slices]
    sent = sum(one.sent for one in totals)
    ends = [sum(getattr(one, end) for one in totals) for end in ("answered", "shed", "failed")]
    found = [
        Verdict(
            "sent on time, and sent = answered + shed + failed",
            void or f"{sent} = {ends[0]} + {ends[1]} + {ends[2]}",
            not void and sent == sum(ends) > 0,
        ),
        *_held(course),
        *_drift(course),
        Verdict("permits in flight at the end: 0", str(course.in_flight), not course.in_flight),
        bars.quiet_log(course.troubles),
    ]
    return [*found, *([bars.stored(course.kept)] if course.kept else [])]


def _held(course: Course) -> list[Verdict]:
    first, last = windows(course)
    growth = last.rss_bytes / first.rss_bytes - 1
    more = course.rest[-1].files - course.rest[0].files
    threads = course.rest[-1].threads
    pids = len({one.pids for one in course.seen if one.at_s >= course.warm_s})
    return [
        Verdict("the same processes all along", "yes" if pids == 1 else "no", pids == 1),
        Verdict(
            f"resident memory grows by < {GROWTH_MAX:.0%}",
            f"{growth:+.1%}, {first.rss_bytes / 2**20:.1f} to {last.rss_bytes / 2**20:.1f} MiB",
            growth < GROWTH_MAX,
        ),
        Verdict(
            f"descriptors at rest: at most {FILES_MORE_MAX} more than after the warm-up",
            f"{course.rest[0].files}, then {course.rest[-1].files}", more <= FILES_MORE_MAX,
        ),
        Verdict(
            "threads at rest <= those of the start and all request threads",
            f"{threads} of {course.threads_max}", threads <= course.threads_max,
        ),
    ]  # fmt: skip


def _drift(course: Course) -> list[Verdict]:
    first, last = thirds(course)
    return [
        Verdict(
            f"{name} of the admitted, last third <= {factor:g}x the first's + {extra_ms:g} ms",
            f"{before:.1f} ms, then {after:.1f} ms", after <= before * factor + extra_ms,
        )
        for name, (factor, extra_ms) in SLOWER_MAX.items()
        for before, after in [(getattr(first, name), getattr(last, name))]
    ]  # fmt: skip


def facts(course: Course) -> Mapping[str, str]:
    """Return the figures that are told beside the bars."""
    totals = [one.total for one in course.slices]
    sent, shed = sum(one.sent for one in totals), sum(one.shed for one in totals)
    return {
        "refused": f"{shed / max(1, sent):.1%}",
        "goodput of each slice, per second": ", ".join(
            f"{one.goodput_per_s:.0f}" for one in course.slices
        ),
        "warriors stored": str(course.kept.stored if course.kept else 0),
    }


def _page(told: Report, course: Course) -> str:
    def draw(figure: Figure) -> None:
        memory, counts, latency = figure.subplots(3, 1)
        at_s = [one.at_s for one in course.seen]
        memory.plot(at_s, [one.rss_bytes / 2**20 for one in course.seen])
        memory.set_ylabel("resident memory, MiB")
        counts.plot(at_s, [one.files for one in course.seen], label="descriptors")
        counts.plot(at_s, [one.threads for one in course.seen], label="threads")
        for axes in (memory, counts):
            axes.axvline(course.warm_s, color="black", linestyle="--", linewidth=1)
            axes.set_ylim(bottom=0)
            axes.set_xlabel("seconds from the beginning; dashed: the end of the warm-up")
        counts.legend(loc="lower left")
        for name in SLOWER_MAX:
            values = [getattr(one.total.latency, name) for one in course.slices]
            latency.plot(range(1, len(values) + 1), values, "o-", label=name)
        latency.set_ylabel("latency of the answered, ms")
        latency.set_xlabel(f"slices of {_SLICE_S:g} s")
        latency.set_ylim(bottom=0)
        latency.legend(loc="lower left")

    return report.page(told, report.svg(draw))
