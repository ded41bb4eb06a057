"""Something that goes wrong in the middle of a run and is mended later."""

from __future__ import annotations

import signal
from threading import Event, Thread
from time import perf_counter
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from stress.proxy import Fault, Quality

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from service.demo_postgres import DemoServer
    from stress.proxy import Proxy

HALF_OPEN: Final = "half-open"
NETWORK: Final[Mapping[str, Fault]] = {
    "blackhole": Fault.SWALLOW,
    "reset": Fault.RESET,
    "latency": Fault.DELAY,
    "loss": Fault.LOSS,
    HALF_OPEN: Fault.HALF_OPEN,
}
"""Those that need a proxy, and can hit one lane alone."""
FAULTS: Final = ("stop", "kill", *NETWORK)
"""A frozen server, a killed one, and the ways in which a network can be bad."""
AWAY: Final = frozenset({"stop", "kill", "blackhole", "reset"})
"""Those under which the database is not there at all until it comes back."""
BAD: Final = Quality(delay_s=0.02, jitter_s=0.02, loss_ratio=0.02)
"""Under ``latency`` and ``loss``: 20 to 40 ms each way; one piece in 50 lost."""


class Breakage(NamedTuple):
    """A way to break a database, and to mend it."""

    begin: Callable[[], None]
    end: Callable[[], None]


def breakage(fault: str, server: DemoServer, proxies: Sequence[Proxy]) -> Breakage:
    """Return how a fault is made.

    Args:
        fault: one of ``FAULTS``.
        server: the database's server.
        proxies: between the service and the database, where the fault is one of ``NETWORK``.
    """
    if fault == "stop":
        return Breakage(lambda: server.kill(signal.SIGSTOP), lambda: server.kill(signal.SIGCONT))
    if fault == "kill":
        return Breakage(lambda: server.kill(signal.SIGKILL), server.start)

    def put(wanted: Fault) -> None:
        for proxy in proxies:
            proxy.set(wanted)

    return Breakage(lambda: put(NETWORK[fault]), lambda: put(Fault.NONE))


class Disturbance:
    """Breaks and mends in a thread of its own. Use as a context manager.

    The thread lives until the block's end: a server that it started again ends with it.

    Args:
        how: what to do.
        after_s: when to break, seconds from the block's beginning.
        for_s: how long it stays broken, seconds.

    Attributes:
        began_s: when it was broken, by ``perf_counter``; 0 where it was not.
        ended_s: when it was whole again.
        error: what went wrong in doing it.
    """

    def __init__(self, how: Breakage, after_s: float, for_s: float) -> None:
        self._how = how
        self._after_s = after_s
        self._for_s = for_s
        self._over = Event()
        self._mended = Event()
        self._thread = Thread(target=self._run, name="disturbance", daemon=True)
        self.began_s = self.ended_s = 0.0
        self.error: Exception | None = None

    def __enter__(self) -> Self:
        """Start to count the time."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def wait_mended(self) -> None:
        """Wait until all is whole again.

        Raises:
            OSError: it could not be broken or mended.
        """
        self._mended.wait()
        if self.error is not None:
            raise OSError(f"the fault could not be made: {self.error}") from self.error

    def _run(self) -> None:
        try:
            if self._over.wait(self._after_s):
                return
            self._how.begin()
            self.began_s = perf_counter()
            self._over.wait(self._for_s)
            self._how.end()
            self.ended_s = perf_counter()
        except Exception as error:  # noqa: BLE001 - told by ``wait_mended``
            self.error = error
        finally:
            self._mended.set()
            self._over.wait()
