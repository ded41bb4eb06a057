"""Hours in minutes: does anything grow, leak or slow down under a lasting overload?"""

from __future__ import annotations

from array import array
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Final

from guard.settings import load
from stress import report
from stress.arrivals import CREATE, NO_TERM, SEARCH, Stage
from stress.fill import fill
from stress.footprint import Footprint, Watch, footprint
from stress.generator_process import cpu_s
from stress.other_work import OtherWork
from stress.overload import Findings, search_capacity
from stress.report import Report
from stress.result import summarise
from stress.scenario import acknowledged, place, replay, verify_apart
from stress.scrape import scrape
from stress.server import ServerError, tree, tree_cpu_s
from stress.soak_judge import SLOWER_MAX, Course, facts, verdicts

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Sequence

    from matplotlib.figure import Figure

    from stress.result import Run
    from stress.scenario import Place
    from stress.server import Server
    from stress.shots import Target

_CREATES_PER_S: Final = 3.0
_SEARCHES: Final = 80 / 130
_SLICE_S: Final = 60.0
_WARM_UP: Final = 0.1
_REST_S: Final = 8.0
_EVERY_S: Final = 1.0
_NOTES_MAX: Final = 20


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
            own_s = partial(_own_s, where, service)
            offer = partial(_offer, course, service.target, own_s, rate)
            offer(max(_SLICE_S / 6, whole_s * _WARM_UP), options.seed)
            for one in (course.slices, course.latencies_s, course.others_cores):
                one.clear()
            course.rest.append(_at_rest(service))
            course.warm_s = watch.now_s()
            left_s, seed = whole_s, options.seed
            while left_s > 0:
                seed += 1
                offer(min(_SLICE_S, left_s), seed)
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


def _own_s(where: Place, service: Server) -> float:
    database = tree_cpu_s(where.postgres.pid) if where.postgres else 0.0
    return cpu_s() + tree_cpu_s(service.pid) + database


def _offer(
    course: Course,
    target: Target,
    own_s: Callable[[], float],
    rate: float,
    seconds: float,
    seed: int,
) -> None:
    others = OtherWork(own_s)
    found: Run = replay(target, steady(rate, seconds), seed)
    course.others_cores.append(others.cores())
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
