"""Hot reads at five times the capacity: without a cache, and with each kind of it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Timer
from typing import TYPE_CHECKING, Final, NamedTuple

from stress import report
from stress.far import WORKERS, far
from stress.hot_load import replay_hot, store
from stress.redis_server import RedisServer
from stress.report import Report, Verdict
from stress.result import server_errors, summarise
from stress.scenario import place
from stress.scrape import calm_counts, scrape

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from stress.result import Run, Summary
    from stress.scenario import Place

FACTOR: Final = 5
KEPT: Final = 0.98
BETTER: Final = 2.0
NO_WORSE: Final = 0.9
"""Share of the uncached goodput that is left, at least, when Redis is away."""

_STORED: Final = 200
_FIRST_RATE, _STEP, _RATE_MAX = 20.0, 1.4, 3000.0
_PROBE_S: Final = 4.0
_BARE, _MEMORY, _REDIS, _KILLED = "no cache", "memory", "redis", "redis killed in the middle"
_RESULTS: Final = "guard_cache_requests_total"


class Case(NamedTuple):
    """One run at five times the capacity.

    Attributes:
        run: what became of its requests.
        summary: the same, summarised.
        results: how often the cache answered so, by result.
        troubles: suspicious lines of the service's log.
    """

    run: Run
    summary: Summary
    results: Mapping[str, float]
    troubles: list[str]

    @property
    def kept_ratio(self) -> float:
        """Share of the hot reads that needed no database, 0 to 1."""
        total = sum(self.results.values())
        return (total - self.results.get("miss", 0.0)) / total if total else 0.0


@dataclass(slots=True)
class Findings:
    """What is known so far.

    Attributes:
        rate: users per second at the capacity without a cache.
        capacity: requests per second there, right and in time.
        cases: the runs by label.
    """

    rate: float = 0.0
    capacity: float = 0.0
    cases: dict[str, Case] = field(default_factory=dict)


def run(options: Namespace) -> int:
    """Run the scenario, print and write its report; return 1 where a bar was missed.

    Args:
        options: ``far``, ``seconds``, ``seed``, ``out``.
    """
    findings = Findings()
    with place("postgres") as where, ExitStack() as stack:
        settings = far(where, options.far / 1000, stack)
        redis = RedisServer(where.folder)
        stack.enter_context(redis)
        warriors = _search_capacity(where, settings, options, findings)
        for label, more in _cases(redis).items():
            end = redis.stop if label == _KILLED else int
            findings.cases[label] = _case(
                where, {**settings, **more}, warriors, findings.rate * FACTOR, options, end
            )
            print(f"{label}: {_told(findings.cases[label])}", flush=True)
    told = Report(
        f"Hot reads at {FACTOR}x the capacity, PostgreSQL {options.far:g} ms away, "
        f"seed {options.seed}",
        {label: case.summary for label, case in findings.cases.items()},
        verdicts(findings),
        {
            "capacity without a cache": f"{findings.rate:.0f} users/s, "
            f"{findings.capacity:.0f} requests/s",
            **{label: _told(case) for label, case in findings.cases.items()},
        },
    )
    print(told.text())
    runs = {label: case.run for label, case in findings.cases.items()}
    for path in report.write(told, runs, options.out, "cache"):
        print(f"written: {path}")
    return 0 if told.met else 1


def _cases(redis: RedisServer) -> dict[str, dict[str, str]]:
    shared = {"GUARD_CACHE": "redis", "GUARD_CACHE_REDIS_URL": redis.url}
    return {_BARE: {}, _MEMORY: {"GUARD_CACHE": "memory"}, _REDIS: shared, _KILLED: shared}


def _search_capacity(
    where: Place, settings: Mapping[str, str], options: Namespace, findings: Findings
) -> Sequence[Mapping[str, Any]]:
    """Raise the rate until not all are answered in time; return the warriors to look up."""
    with where.server("capacity", guarded=True, settings=settings) as server:
        calm_counts(server.admin, WORKERS)
        warriors = store(server.target, _STORED, options.seed)
        rate = _FIRST_RATE
        while rate < _RATE_MAX:
            summary = summarise(replay_hot(server.target, warriors, rate, _PROBE_S, options.seed))
            print(f"{rate:6.0f} users/s: {summary.good_share:6.1%} {summary.void}", flush=True)
            if summary.good_share < KEPT:
                break
            findings.rate, findings.capacity = rate, summary.goodput_per_s
            rate *= _STEP
    return warriors


def _case(
    where: Place,
    settings: Mapping[str, str],
    warriors: Sequence[Mapping[str, Any]],
    rate: float,
    options: Namespace,
    end: Callable[[], object],
) -> Case:
    with where.server("case", guarded=True, settings=settings) as server:
        calm_counts(server.admin, WORKERS)
        timer = Timer(options.seconds / 2, end)
        timer.start()
        found = replay_hot(server.target, warriors, rate, options.seconds, options.seed)
        timer.join()
        results = scrape(server.admin).by(_RESULTS, "result")
        return Case(found, summarise(found), results, server.troubles())


def verdicts(findings: Findings) -> list[Verdict]:
    """Return the bars."""
    bars = [
        Verdict(
            "the capacity without a cache was found", f"{findings.rate:.0f} users/s",
            findings.rate > 0,
        )
    ]  # fmt: skip
    bare = findings.cases[_BARE].summary.goodput_per_s
    for label, case in findings.cases.items():
        total, void = case.summary.total, case.summary.void
        errors = server_errors(total) - total.shed
        bars += [
            Verdict(f"{label}: sent on time", void or "yes", not void, void=bool(void)),
            Verdict(
                f"{label}: no failure, no error, every answer right",
                f"{total.failed} failed, {errors} errors, {total.answered - total.right} wrong, "
                f"{len(case.troubles)} troubles",
                not (total.failed or errors or case.troubles) and total.answered == total.right,
            ),
        ]
        if label != _BARE:
            least = NO_WORSE if label == _KILLED else BETTER
            ratio = case.summary.goodput_per_s / bare if bare else 0.0
            bars.append(
                Verdict(
                    f"{label}: goodput >= {least:g}x that without a cache", f"{ratio:.1f}x",
                    ratio >= least,
                )
            )  # fmt: skip
    return bars


def _told(case: Case) -> str:
    return (
        f"goodput {case.summary.goodput_per_s:.0f}/s of {case.summary.offered_per_s:.0f}/s, "
        f"{case.kept_ratio:.1%} of the hot reads without the database "
        f"({', '.join(f'{name} {count:.0f}' for name, count in case.results.items() if count)})"
    )
