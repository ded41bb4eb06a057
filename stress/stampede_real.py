"""An outage for real: gunicorn on PostgreSQL, which is killed, and started again in time."""

from __future__ import annotations

import re
import signal
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Final
from urllib.request import urlopen

from guard import metrics
from service.postgres_process import free_port
from stress.result import LAG_MAX_S, percentile
from stress.scenario import place
from stress.server import HOST, Server
from stress.stampede_app import BACK_FILE, CONSTANT_S, HOLD_S, POLICY
from stress.stampede_load import send
from stress.stampede_plan import BOOK, Run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.metrics import Metric
    from stress.scenario import Place
    from stress.stampede_plan import Plan

WORKERS: Final = 2
_COMMAND: Final = ("-m", "gunicorn", "-c", "gunicorn_config.py", "stress.stampede_app:create_app()")
_PROBE_S: Final = 8.0
_PROBE_FIRST_S: Final = 3.0
_RESTART_S: Final = 1.0
"""What the remaining time allows PostgreSQL for its start."""


def capacity_per_s(plan: Plan) -> float:
    """Return how many requests a second the service serves, offered twice what it should."""
    with place("postgres") as where, _service(where, plan, BOOK) as (server, _):
        step_s = 1 / (2 * plan.capacity_per_s)
        arrivals = [number * step_s for number in range(round(_PROBE_S / step_s))]
        tries, _ = send(server.target, arrivals, 1)
    late = [one for one in tries if one.served and one.at_s >= _PROBE_FIRST_S]
    return len(late) / (_PROBE_S - _PROBE_FIRST_S)


def replay(plan: Plan, policy: str, capacity: float, seed: int) -> tuple[Run, str]:
    """Return what became of every request, and why the run is void (empty where it is not).

    Args:
        plan: what happens.
        policy: one of ``stress.stampede_plan.POLICIES``.
        capacity: what the service can serve, requests per second.
        seed: of the arrivals.
    """
    with place("postgres") as where, _service(where, plan, policy) as (server, admin):
        over = Event()
        outage = Thread(target=_outage, args=(where, plan, over), daemon=True)
        outage.start()
        try:
            tries, lags_s = send(server.target, plan.arrivals(seed), plan.tries)
            due, kept = _counters(admin)
        finally:
            over.set()
            outage.join()
    return Run(tuple(tries), capacity, plan, due, kept), _void(lags_s)


def _void(lags_s: list[float]) -> str:
    lag_s = percentile(sorted(lags_s), 0.99)
    return f"the clients were {lag_s * 1e3:.0f} ms late (p99)" if lag_s > LAG_MAX_S else ""


@contextmanager
def _service(where: Place, plan: Plan, policy: str) -> Iterator[tuple[Server, str]]:
    # Gives the service and the address of its metrics.
    admin = f"{HOST}:{free_port()}"
    pool = max(1, round(plan.capacity_per_s * HOLD_S / WORKERS))
    environ = {
        "GUARD_DATABASE_URL": where.url,
        "GUARD_ADMIN_BIND": admin,
        "GUARD_WORKERS": str(WORKERS),
        "GUARD_READ_POOL_SIZE": str(pool),
        "GUARD_READ_WAITERS": str(3 * pool),
        "GUARD_WRITE_POOL_SIZE": "1",
        "GUARD_WRITE_WAITERS": "1",
        "GUARD_RETRY_AFTER_MAX": str(plan.retry_after_max_s),
        POLICY: policy,
        CONSTANT_S: str(plan.constant_s),
        BACK_FILE: str(where.folder / "back"),
    }
    (where.folder / "back").write_text("0")
    with Server(where.folder / "service.log", environ, _COMMAND) as server:
        yield server, admin


def _outage(where: Place, plan: Plan, over: Event) -> None:
    # PostgreSQL ends with the thread that started it, so this one stays until all is over.
    postgres, begun_s = where.postgres, monotonic()
    if postgres is None or over.wait(plan.outage_at_s):
        return
    (where.folder / "back").write_text(str(begun_s + plan.back_s + _RESTART_S))
    postgres.kill(signal.SIGKILL)
    if not over.wait(begun_s + plan.back_s - monotonic()):
        postgres.restart()
        over.wait()


def _counters(admin: str) -> tuple[float, float]:
    with urlopen(f"http://{admin}/metrics", timeout=5.0) as answer:
        text = answer.read().decode()
    return _value(text, metrics.RETRY_PROMISES_DUE), _value(text, metrics.RETRY_PROMISES_KEPT)


def _value(text: str, metric: Metric) -> float:
    found = re.search(rf'^{metric.name}\{{lane="read"\}} (\S+)$', text, re.MULTILINE)
    return float(found[1]) if found else 0.0
