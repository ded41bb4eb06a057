"""PostgreSQL under what the service is to grow to: a steady rate, and a crowd at one time.

The crowd is held by a lock on the table, so that all of it is inside at the same moment however
fast the database is: nobody is answered until everybody has come.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import psycopg

from stress import report
from stress.arrivals import CREATE, SEARCH, constant
from stress.disturbance import Breakage, Disturbance
from stress.load import User, generate
from stress.payloads import CREATED, Payloads
from stress.report import Report, Verdict
from stress.result import server_errors, summarise
from stress.scenario import place, replay
from stress.scrape import calm_counts

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from stress.payloads import Request
    from stress.result import Run, Summary
    from stress.scenario import Place

SUCCESS: Final = 0.999
P95_MS, P99_MS = 100.0, 200.0

_COME_S: Final = 1.0
_HELD_S: Final = 2.0
_BEFORE_S: Final = 0.2
_PATIENCE_S: Final = 60.0
_THINK_S: Final = 0.01
_STEADY: Final = {"GUARD_WORKERS": "2"}
_CROWD: Final = {
    "GUARD_WORKERS": "4", "GUARD_READ_WAITERS": "500", "GUARD_WRITE_WAITERS": "100",
    "GUARD_READ_WAIT_BUDGET": "30s", "GUARD_WRITE_WAIT_BUDGET": "30s", "GUARD_DEADLINE": "60s",
    "GUARD_STATEMENT_TIMEOUT": "30s",
}  # fmt: skip
"""Places for all, in whichever worker they come in, and budgets that outlast the lock."""


@dataclass(frozen=True, slots=True)
class Held:
    """How many were inside when the lock went.

    Attributes:
        readers: searches that had been sent and not answered.
        writers: creates.
    """

    readers: int
    writers: int


def run(options: Namespace) -> int:
    """Run both, print and write the report; return 1 where a bar was missed.

    Args:
        options: ``rate``, ``seconds``, ``readers``, ``writers``, ``seed``, ``out``.
    """
    with place("postgres") as where:
        steady, troubles = _steady(where, options)
        crowd, held, more = _crowd(where, options)
    summaries = {"steady": summarise(steady), "crowd": summarise(crowd)}
    told = Report(
        f"Growth on PostgreSQL: {options.rate:g} users/s for {options.seconds:g} s, then "
        f"{options.readers} readers and {options.writers} writers at once, seed {options.seed}",
        summaries,
        [
            *steady_verdicts(summaries["steady"]),
            *crowd_verdicts(summaries["crowd"], held, options.readers, options.writers),
        ],
        {"all of the crowd answered after": f"{crowd.took_s:.1f} s"},
        [*troubles, *more],
    )
    print(told.text())
    runs = {"steady": steady, "crowd": crowd}
    for path in report.write(told, runs, options.out, "growth"):
        print(f"written: {path}")
    return 0 if told.met else 1


def _steady(where: Place, options: Namespace) -> tuple[Run, list[str]]:
    with where.server("steady", guarded=True, settings=_STEADY) as service:
        calm_counts(service.admin, int(_STEADY["GUARD_WORKERS"]))
        found = replay(service.target, constant(options.rate, options.seconds), options.seed)
        return found, service.troubles()


def _crowd(where: Place, options: Namespace) -> tuple[Run, Held, list[str]]:
    arriving = crowd(options.readers, options.writers, options.seed)
    with where.server("crowd", guarded=True, settings=_CROWD) as service:
        calm_counts(service.admin, int(_CROWD["GUARD_WORKERS"]))
        with _lock(where) as lock:
            found = generate(service.target, arriving, _COME_S, timeout_s=_PATIENCE_S)
            lock.wait_mended()
        freed_s = lock.ended_s - found.begun_s
        marks = ((lock.began_s - found.begun_s, "locked"), (freed_s, "free"))
        return replace(found, marks=marks), inside(found, freed_s), service.troubles()


@contextmanager
def _lock(where: Place) -> Iterator[Disturbance]:
    with psycopg.connect(where.url) as admin:

        def begin() -> None:
            admin.execute("LOCK TABLE warriors IN ACCESS EXCLUSIVE MODE")

        with Disturbance(Breakage(begin, admin.rollback), 0.0, _HELD_S) as lock:
            yield lock


def crowd(readers: int, writers: int, seed: int) -> list[User]:
    """Return so many users, spread evenly over a second, of whom each needs the database."""
    payloads = Payloads(seed)
    creates: list[Request] = []
    while len(creates) < writers:
        request = payloads.request(CREATE)
        if request.expected == CREATED:
            creates.append(request)
    searches = [payloads.request(SEARCH) for _ in range(readers)]
    due = [(_BEFORE_S + _COME_S * at / readers, one) for at, one in enumerate(searches)]
    due += [(_BEFORE_S + _COME_S * at / writers, one) for at, one in enumerate(creates)]
    return [User(due_s, one, _THINK_S) for due_s, one in sorted(due, key=lambda pair: pair[0])]


def inside(found: Run, at_s: float) -> Held:
    """Return how many requests had been sent and had not been answered at a moment."""
    kinds = [
        one.kind
        for one in found.samples
        if one.due_s + one.lag_s <= at_s < one.due_s + one.latency_s
    ]
    return Held(kinds.count(SEARCH), kinds.count(CREATE))


def steady_verdicts(summary: Summary) -> list[Verdict]:
    """Return the bars of the steady rate."""
    total, latency = summary.total, summary.total.latency
    share = total.right / max(1, total.sent)
    rate = total.sent / summary.seconds
    return [
        Verdict("steady: sent on time", summary.void or f"{rate:.0f} requests/s",
                not (summary.void or summary.interrupted), void=bool(summary.void)),
        Verdict(f"steady: right answers >= {SUCCESS:.1%}",
                f"{total.right} of {total.sent}", share >= SUCCESS),
        Verdict(f"steady: p95 < {P95_MS:g} ms", f"{latency.p95:.1f} ms", latency.p95 < P95_MS),
        Verdict(f"steady: p99 < {P99_MS:g} ms", f"{latency.p99:.1f} ms", latency.p99 < P99_MS),
    ]  # fmt: skip


def crowd_verdicts(summary: Summary, held: Held, readers: int, writers: int) -> list[Verdict]:
    """Return the bars of the crowd."""
    total = summary.total
    errors = server_errors(total) - total.shed
    return [
        Verdict("crowd: sent on time", summary.void or f"{total.sent} requests",
                not (summary.void or summary.interrupted), void=bool(summary.void)),
        Verdict(f"crowd: {readers} readers and {writers} writers held at once",
                f"{held.readers} and {held.writers}",
                held.readers >= readers and held.writers >= writers),
        Verdict("crowd: no error, nobody without an answer",
                f"{errors} errors, {total.failed} failed", errors == 0 and total.failed == 0),
        Verdict("crowd: every answer right, nobody refused",
                f"{total.right} of {total.sent}, {total.shed} refused",
                total.right == total.sent),
    ]  # fmt: skip
