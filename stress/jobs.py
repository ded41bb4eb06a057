"""Writes that are put off while processes are killed: nothing that was accepted may be lost."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from contextlib import ExitStack, suppress
from http.client import HTTPConnection
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from stress import report
from stress.arrivals import CREATE
from stress.far import far
from stress.load import wire
from stress.open_loop import fire
from stress.payloads import CREATED, Payloads
from stress.redis_server import DURABLE, RedisServer
from stress.report import Report, Verdict
from stress.result import percentile
from stress.scenario import place, verify_apart
from stress.shots import Shot
from stress.verify import Acknowledged

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping, Sequence

    from stress import verify
    from stress.scenario import Place
    from stress.server import Server
    from stress.shots import Outcome, Target, Volley

ACCEPTED, REFUSED, FOUND = 202, 503, 200
QUEUES: Final = ("local", "redis")
JOBS_MAX: Final = 400

_TIMEOUT_S: Final = 10.0
_AWAY_S: Final = 1.0
_DRAINED_S: Final = 180.0
_LOOK_S: Final = 0.2
# One row per commit and nobody waits for a turn, so that DuckDB's lane fills up at all.
_NARROW: Final = {"GUARD_WRITE_BATCH_MAX": "1", "GUARD_WRITE_WAIT_BUDGET": "1ms"}


class Course(NamedTuple):
    """What came of it.

    Attributes:
        volley: every create.
        kills: what was killed, in its order.
        left: jobs that were waiting when the whole service was killed.
        unfinished: accepted jobs of which it is not told in the end that they are done.
        kept: the database compared with the promises.
        took_s: from the service's return until the last job was done, seconds.
    """

    volley: Volley
    kills: list[str]
    left: int
    unfinished: int
    kept: verify.Verdict
    took_s: float

    @property
    def statuses(self) -> Counter[int]:
        """Answers by status; 0 where there was none."""
        return Counter(_status(one) for one in self.volley.outcomes)


def run(options: Namespace) -> int:
    """Run the scenario, print and write its report; return 1 where a bar was missed.

    Args:
        options: ``queue``, ``rate``, ``seconds``, ``seed``, ``out``.
    """
    backend = "duckdb" if options.queue == "local" else "postgres"
    with place(backend) as where, ExitStack() as stack:
        course = _course(where, options, stack)
    told = Report(
        f"Creates that are put off ({options.queue}, {backend}), {options.rate:g}/s for "
        f"{options.seconds:g} s, seed {options.seed}",
        {},
        verdicts(course),
        {
            "answers by status": ", ".join(
                f"{status or 'none'}: {count}" for status, count in sorted(course.statuses.items())
            ),
            "killed": ", ".join(course.kills),
            "jobs that waited when the service was killed": course.left,
            "done after its return within": f"{course.took_s:.1f} s",
            "202 p50, p99": " and ".join(
                f"{_percentile_ms(course.volley.outcomes, share):.0f} ms" for share in (0.5, 0.99)
            ),
        },
    )
    print(told.text())
    for path in report.write(told, {}, options.out, f"jobs-{options.queue}"):
        print(f"written: {path}")
    return 0 if told.met else 1


def _course(where: Place, options: Namespace, stack: ExitStack) -> Course:
    settings = {"GUARD_JOBS": options.queue, "GUARD_JOBS_MAX": str(JOBS_MAX)}
    redis = None
    if options.queue == "redis":
        redis = stack.enter_context(RedisServer(where.folder, *DURABLE))
        settings |= {"GUARD_JOBS_REDIS_URL": redis.url, **far(where, 0.04, stack)}
    else:
        settings |= {"GUARD_JOBS_FILE": str(where.folder / "jobs.sqlite"), **_NARROW}
    server = where.server("service", guarded=True, settings=settings)
    kills: list[str] = []
    with server:
        killer = _killing(_plan(server, redis, kills), options.seconds)
        volley = fire(server.target, _shots(server.target, options), timeout_s=_TIMEOUT_S)
        killer.join()
        accepted = _promised(volley.outcomes, ACCEPTED)
        left = len(_unfinished(server.target, accepted))
        server.kill()
    kills.append("the whole service")
    if redis is not None:
        _restart(redis, kills)
    again = where.server("again", guarded=True, settings=settings)
    with again:
        begun_s = monotonic()
        unfinished = _drained(again.target, accepted)
        took_s = monotonic() - begun_s
    kept = verify_apart(where, [*accepted, *_promised(volley.outcomes, CREATED)])
    return Course(volley, kills, left, len(unfinished), kept, took_s)


def _plan(
    server: Server, redis: RedisServer | None, kills: list[str]
) -> Sequence[Callable[[], None]]:
    def worker() -> None:
        for pid in server.workers()[:1]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            kills.append("a worker")

    def middle() -> None:
        if redis is None:
            worker()
        else:
            _restart(redis, kills)

    return worker, middle, worker


def _restart(redis: RedisServer, kills: list[str]) -> None:
    redis.stop()
    kills.append("Redis")
    Event().wait(_AWAY_S)
    redis.start()


def _killing(plan: Sequence[Callable[[], None]], seconds: float) -> Thread:
    """Do one thing after the other, evenly over the run."""

    def act() -> None:
        for each in plan:
            Event().wait(seconds / (len(plan) + 1))
            each()

    thread = Thread(target=act)
    thread.start()
    return thread


def _shots(target: Target, options: Namespace) -> list[Shot]:
    payloads = Payloads(options.seed)
    found: list[Shot] = []
    while len(found) < options.rate * options.seconds:
        request = payloads.request(CREATE)
        if request.expected == CREATED:
            due_s = len(found) / options.rate
            found.append(Shot(due_s, wire(request, f"{target.host}:{target.port}"), request))
    return found


def _status(outcome: Outcome) -> int:
    return 0 if outcome.response is None else outcome.response.status


def _promised(outcomes: Sequence[Outcome], status: int) -> list[Acknowledged]:
    """Return the warriors that answers with this status promise; a job has its warrior's id."""
    return [
        Acknowledged(json.loads(one.response.body)["id"], dict(one.shot.what.fields))
        for one in outcomes
        if one.response is not None and one.response.status == status
    ]


def _drained(target: Target, jobs: Sequence[Acknowledged]) -> list[Acknowledged]:
    """Wait until all jobs are done, as far as the service says; return those that are not."""
    tick, until_s, left = Event(), monotonic() + _DRAINED_S, list(jobs)
    while monotonic() < until_s:
        left = _unfinished(target, left)
        if not left:
            break
        tick.wait(_LOOK_S)
    return left


def _unfinished(target: Target, jobs: Sequence[Acknowledged]) -> list[Acknowledged]:
    connection = HTTPConnection(target.host, target.port, timeout=_TIMEOUT_S)
    left = []
    for job in jobs:
        try:
            connection.request("GET", f"/jobs/{job.id}")
            answer = connection.getresponse()
            told: Mapping[str, str] = json.loads(answer.read())
        except OSError:
            connection.close()
            left.append(job)
            continue
        if answer.status != FOUND or told.get("location") != f"/warrior/{job.id}":
            left.append(job)
    connection.close()
    return left


def verdicts(course: Course) -> list[Verdict]:
    """Return the bars."""
    statuses, kept = course.statuses, course.kept
    known = {CREATED, ACCEPTED, REFUSED, 0}
    other = sum(count for status, count in statuses.items() if status not in known)
    sent, ended = course.volley.sent, len(course.volley.outcomes)
    return [
        Verdict(
            "sent = answered + refused + failed, no other status",
            f"{sent} sent, {ended} ended, {other} others", sent == ended and not other,
        ),
        Verdict("creates were put off", str(statuses[ACCEPTED]), statuses[ACCEPTED] > 0),
        Verdict(
            f"and refused again with {JOBS_MAX} waiting", str(statuses[REFUSED]),
            statuses[REFUSED] > 0,
        ),
        Verdict(
            "jobs waited when the whole service was killed", str(course.left), course.left > 0
        ),
        Verdict(
            "every accepted job is done in the end", f"{course.unfinished} are not",
            course.unfinished == 0,
        ),
        Verdict(
            "every promised warrior there once, as it was sent",
            f"{kept.acknowledged} promised, {kept.lost}", kept.good and kept.acknowledged > 0,
        ),
    ]  # fmt: skip


def _percentile_ms(outcomes: Sequence[Outcome], share: float) -> float:
    latencies = sorted(one.latency_s for one in outcomes if _status(one) == ACCEPTED)
    return 1e3 * percentile(latencies, share)
