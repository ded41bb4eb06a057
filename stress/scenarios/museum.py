"""The incident as it really was: the service of then, under the load of then."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stress.arrivals import INCIDENT, length_s
from stress.compare.peers import RunningProxy, nginx
from stress.lab.bars import SENT, Bar
from stress.lab.course import ALL, Course, all_users
from stress.lab.description import Environment, Guard, Scenario
from stress.lab.front import Front
from stress.load import generate
from stress.result import percentiles
from stress.scenarios.museum_app import FILE, TIMEOUT
from stress.server import Server

if TYPE_CHECKING:
    from stress.lab.description import Order
    from stress.shots import Target

WORKERS: Final = 29
CONNECTIONS: Final = 200
"""What the proxy lets in at the same time."""
POOL_S: Final = 30.0
"""How long a request waits for a connection, and a worker for its request."""

LOST_LEAST: Final = 0.8
WAIT_LEAST: Final = 0.25
"""Of the pool's time-out: how long half of those that were let in wait at least."""

_PATIENCE_S: Final = 16.0
"""Nobody wrote down when clients gave up; chosen because the figures of then come out with it."""
_SHED: Final = 503
_LIMIT: Final = "proxy's limit"


def _course(scenario: Scenario, order: Order) -> Course:
    """Run it; the shorter the time scale, the fewer workers and places there are.

    All times shrink by the same factor and the rates stay, so by Little's law places and
    workers must shrink with the times, for the shares and the waits' relations to be those of
    the whole.
    """
    scale = order.time_scale
    with tempfile.TemporaryDirectory(prefix="guard-museum-") as name, ExitStack() as stack:
        folder = Path(name)
        server = stack.enter_context(_service(folder, scale))
        target, what = _front(server.target, max(1, round(CONNECTIONS * scale)), folder, stack)
        seconds = length_s(scenario.plan, scale)
        run = generate(
            target, all_users(scenario, scale, order.seed), seconds,
            timeout_s=_PATIENCE_S * scale,
        )  # fmt: skip
        troubles = server.troubles()
    samples = [replace(one, reason=_LIMIT) if one.status == _SHED else one for one in run.samples]
    run = replace(run, samples=samples)
    facts = {
        "in front": what,
        "a request waits at most": f"{POOL_S * scale:g} s",
        "workers timed out or killed": str(sum("WORKER TIMEOUT" in line for line in troubles)),
        "peak memory of the service": f"{server.peak_bytes / 2**20:.0f} MiB",
    }
    return Course(runs={"the whole run": run}, parts={ALL: run}, facts=facts)


def _service(folder: Path, scale: float) -> Server:
    command = (
        "-m", "gunicorn", "--worker-class", "sync", "--no-control-socket",
        "--workers", str(max(1, round(WORKERS * scale))),
        "--timeout", str(max(1, round(POOL_S * scale))),
        "stress.scenarios.museum_app:create_app()",
    )  # fmt: skip
    environ = {FILE: str(folder / "warriors.duckdb"), TIMEOUT: str(POOL_S * scale)}
    return Server(folder / "service.log", environ, command, "/")


def _front(service: Target, limit: int, folder: Path, stack: ExitStack) -> tuple[Target, str]:
    proxy = nginx(limit)
    if proxy.path() is None:
        return stack.enter_context(Front(limit, service)).target, f"a stand-in, {limit} places"
    running = stack.enter_context(RunningProxy(proxy, service, folder / "nginx"))
    return running.target, f"nginx, limit_conn {limit}"


def _lost(course: Course) -> tuple[str, bool]:
    samples = course.samples(ALL)
    lost = sum(one.status >= 500 or bool(one.failure) for one in samples)  # noqa: PLR2004
    share = lost / max(1, len(samples))
    return f"{share:.1%} of {len(samples)}", share >= LOST_LEAST


def _refused_fast(course: Course) -> tuple[str, bool]:
    found = percentiles([one.latency_s for one in course.samples(ALL) if one.reason])
    return f"{found.count}, p50 {found.p50:.1f} ms", found.p50 < 100.0  # noqa: PLR2004


def _let_in(course: Course) -> tuple[str, bool]:
    run = course.parts.get(ALL)
    if run is None:
        return "not run", False
    found = percentiles([one.latency_s for one in run.samples if not one.reason])
    scale = run.seconds / length_s(INCIDENT)
    least_ms = WAIT_LEAST * POOL_S * scale * 1e3
    told = f"{found.count}, p50 {found.p50 / 1e3:.1f} s, as {found.p50 / 1e3 / scale:.1f} s then"
    return told, found.p50 >= least_ms


SCENARIO: Final = Scenario(
    name="museum",
    shows="the incident as it was, without a guard: an empty pool, 29 workers, 200 places in nginx",
    plan=INCIDENT,
    environments={"duckdb": Environment()},
    guards=(Guard.OFF,),
    bars=(
        SENT,
        Bar(f"refused or failed, as then: >= {LOST_LEAST:.0%}", _lost, always=True),
        Bar("the proxy's refusals are fast: p50 < 100 ms", _refused_fast, always=True),
        Bar("the rest waits, as long as clients are patient", _let_in, always=True),
    ),
    time_scale=0.25,
    course=_course,
)
