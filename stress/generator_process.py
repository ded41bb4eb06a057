"""What the generator asks of its own process while it sends."""

from __future__ import annotations

import gc
import os
import resource
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROUND_ROBIN: Final = os.SCHED_RR | os.SCHED_RESET_ON_FORK


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let nothing hold this thread up over the block, as far as that is permitted.

    Clients have machines of their own; here they must not wait until the service that they load
    has had enough of the processor. Niceness does not help: the kernel shares the processor
    between sessions first, and each of PostgreSQL's processes is a session. So the thread is
    scheduled in real time where the process may ask for it (root, ``CAP_SYS_NICE``).
    """
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    with suppress(OSError):
        os.sched_setscheduler(0, _ROUND_ROBIN, os.sched_param(1))
    # A full collection over all outcomes would stall the generator for 10s of ms.
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
        with suppress(OSError):
            os.sched_setscheduler(0, policy, parameters)


def allow_many_files() -> None:
    """Raise the soft limit of open files to the hard one; as many clients need as many sockets."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def cpu_s() -> float:
    """Return the processor time that this process has used, seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
