"""What is compared, in one table, and each of it started."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from service.postgres_process import free_port
from stress.compare.app import SLOTS
from stress.compare.peers import Proxy, RunningProxy, haproxy, nginx
from stress.server import HOST, Server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from stress.shots import Target

THREADS: Final = 64
GUARD: Final = "guard"

_PLAIN: Final = (
    "-m", "gunicorn", "--worker-class", "gthread", "--workers", "1", "--threads", str(THREADS),
    "--keep-alive", "5", "--no-control-socket", "stress.compare.app:plain()",
)  # fmt: skip
_GUARDED: Final = ("-m", "gunicorn", "-c", "gunicorn_config.py", "stress.compare.app:guarded()")

GUARD_SETTINGS: Final[Mapping[str, str]] = {
    "GUARD_DATABASE_URL": "",
    "GUARD_WORKERS": "1",
    "GUARD_THREADS": str(THREADS),
    "GUARD_READ_POOL_SIZE": str(SLOTS),
    "GUARD_READ_WAITERS": "20",
    "GUARD_WRITE_POOL_SIZE": "1",
    "GUARD_WRITE_WAITERS": "1",
    "GUARD_READ_WAIT_BUDGET": "120ms",
    "GUARD_LOG_LEVEL": "warning",
}
"""The guard's settings here. The places bound the wait, at 2.5 ms each: 50 ms, HAProxy's limit.
The budget is over twice that, so that at just the capacity, where the queue is seldom empty, no
burst is refused for standing there."""


class Variant(NamedTuple):
    """One way to run the service.

    Attributes:
        name: a word for the tables.
        told: what it is, one line.
        environ: the guard's settings; None without the guard.
        proxy: what stands in front; None for nothing.
    """

    name: str
    told: str
    environ: Mapping[str, str] | None = None
    proxy: Proxy | None = None

    @property
    def missing(self) -> str:
        """The program that is not installed; empty where nothing is missing."""
        return self.proxy.program if self.proxy and self.proxy.path() is None else ""


VARIANTS: Final = (
    Variant("unguarded", f"gthread, 1 worker, {THREADS} threads"),
    Variant(GUARD, "the guard in the same worker", GUARD_SETTINGS),
    Variant("nginx", "nginx, limit_conn 16, kept connections", proxy=nginx(16)),
    Variant("haproxy-8", "HAProxy, maxconn 8, timeout queue 50 ms", proxy=haproxy(8)),
    Variant("haproxy-16", "HAProxy, maxconn 16, timeout queue 50 ms", proxy=haproxy(16)),
    Variant(
        "haproxy-deny",
        "HAProxy, maxconn 8, timeout queue 50 ms, refusing at once while 16 wait",
        proxy=haproxy(8, deny=True),
    ),
)


class Running(NamedTuple):
    """A variant that runs.

    Attributes:
        variant: which.
        target: where its requests go.
        server: its gunicorn.
        proxy: what stands in front, or None.
        admin: where its guard tells its metrics; nobody listens there without the guard.
    """

    variant: Variant
    target: Target
    server: Server
    proxy: RunningProxy | None
    admin: str

    def cpu_s(self) -> float:
        """Return the processor time that all its processes have used, seconds."""
        return self.server.cpu_s() + (self.proxy.cpu_s() if self.proxy else 0.0)


@contextmanager
def running(variant: Variant, folder: Path) -> Iterator[Running]:
    """Run a variant over the block.

    Args:
        variant: which.
        folder: takes its logs.

    Raises:
        ServerError: it did not start.
    """
    admin = f"{HOST}:{free_port()}"
    environ = {**(variant.environ or {}), "GUARD_ADMIN_BIND": admin}
    command = _PLAIN if variant.environ is None else _GUARDED
    log = folder / f"{variant.name}.log"
    with ExitStack() as stack:
        server = stack.enter_context(
            Server(log, environ, command, ready_path="/", watch_memory=False)
        )
        proxy, target = None, server.target
        if variant.proxy is not None:
            in_front = RunningProxy(variant.proxy, server.target, folder / variant.name)
            proxy = stack.enter_context(in_front)
            target = proxy.target
        yield Running(variant, target, server, proxy, admin)
