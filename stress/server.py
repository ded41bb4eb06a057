"""The real service in a process tree of its own: started, watched, stopped, killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Self

import service
from service.postgres_process import free_port
from stress.shots import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

HOST = "127.0.0.1"
ROOT = Path(service.__file__).resolve().parent.parent
SERVICE = ("-m", "gunicorn", "-c", "gunicorn_config.py", "service:create_app()")
TROUBLES = ("WORKER TIMEOUT", "SIGKILL", "Traceback")
"""Words that gunicorn's log must not have."""

_READY_S, _STOP_S, _TICK_S = 60.0, 20.0, 0.05
_SAMPLE_S = 1.0
_LOG_TAIL = 2000
_HTTP_OK = 200
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class ServerError(Exception):
    """The service did not start; the message has the end of its log."""


class Server:
    """A gunicorn, with the threads and processes below it. Use as a context manager.

    Not thread-safe. Leaving the block stops it by SIGTERM, and by SIGKILL where that takes
    more than 20 s.

    Args:
        log: the file that takes its output.
        environ: what its environment has beyond ours, without our own ``GUARD_*``.
        command: arguments to the Python interpreter.
        ready_path: the path that answers 200 once it is open; "/" for any answer's sake.
        watch_memory: False leaves ``peak_bytes`` at 0, and the processor to the load.

    Attributes:
        target: where it listens.
        admin: where its metrics are.
        peak_bytes: the most memory that its processes had together.
    """

    def __init__(
        self,
        log: Path,
        environ: Mapping[str, str],
        command: Sequence[str] = SERVICE,
        ready_path: str = "/readyz",
        *,
        watch_memory: bool = True,
    ) -> None:
        self.target = Target(HOST, free_port())
        self.admin = Target(HOST, free_port())
        self.peak_bytes = 0
        self._log = log
        self._command = command
        self._ready_path = ready_path
        self._watches_memory = watch_memory
        self._environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GUARD_")},
            "PORT": str(self.target.port),
            "GUARD_ADMIN_BIND": f"{HOST}:{self.admin.port}",
            "PYTHONUNBUFFERED": "1",
            **environ,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = Event()

    def __enter__(self) -> Self:
        """Start it; see ``start``."""
        self.start()
        return self

    def start(self) -> None:
        """Start it and wait until it is ready, at most 60 s; what is left of it is killed first.

        Raises:
            ServerError: it ended, or is not ready yet.
        """
        self.kill()
        self._ended = Event()
        with self._log.open("ab") as log:
            # A session of its own: Ctrl-C is ours, and one signal reaches the whole tree.
            self._process = subprocess.Popen(
                [sys.executable, *self._command, "--bind", f"{HOST}:{self.target.port}"],
                cwd=ROOT,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_ready(self._process)
        except BaseException:
            self.stop()
            raise
        if self._watches_memory:
            watched = (self._process.pid, self._ended)
            Thread(target=self._watch_memory, args=watched, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it in order. Idempotent."""
        self._ended.set()
        if self._process is not None:
            end(self._process, _STOP_S)
            self._process = None

    def kill(self) -> None:
        """End every process of the tree by SIGKILL, as a power cut would. Idempotent."""
        self._ended.set()
        process, self._process = self._process, None
        if process is not None:
            kill(process)

    @property
    def pid(self) -> int:
        """The arbiter's process; 0 where it does not run."""
        return 0 if self._process is None else self._process.pid

    def signal(self, number: int) -> None:
        """Send a signal to the arbiter."""
        if self._process is not None:
            self._process.send_signal(number)

    def workers(self) -> list[int]:
        """Return the process ids of the workers that live."""
        return [] if self._process is None else tree(self._process.pid)[1:]

    def pin(self) -> None:
        """Keep every thread of the tree on the first core."""
        if self._process is not None:
            for pid in tree(self._process.pid):
                for thread in Path(f"/proc/{pid}/task").iterdir():
                    os.sched_setaffinity(int(thread.name), {min(os.sched_getaffinity(0))})

    def cpu_s(self) -> float:
        """Return the processor time that the tree's living processes have used, seconds."""
        return tree_cpu_s(self._process.pid) if self._process is not None else 0.0

    def log_text(self) -> str:
        """Return everything that it logged."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def troubles(self) -> list[str]:
        """Return the lines of the log that tell of a killed or timed-out worker or an error."""
        return [
            line for line in self.log_text().splitlines() if any(word in line for word in TROUBLES)
        ]

    def _wait_ready(self, process: subprocess.Popen[bytes]) -> None:
        if wait_answers(self.target, self._ready_path, alive=lambda: process.poll() is None):
            return
        if process.returncode is not None:
            raise ServerError(f"it ended with status {process.returncode}:\n{self._tail()}")
        raise ServerError(f"it is not ready after {_READY_S:.0f} s:\n{self._tail()}")

    def _tail(self) -> str:
        return self.log_text()[-_LOG_TAIL:]

    def _watch_memory(self, pid: int, ended: Event) -> None:
        while True:
            self.peak_bytes = max(self.peak_bytes, sum(map(_memory_bytes, tree(pid))))
            if ended.wait(_SAMPLE_S):
                return


def end(process: subprocess.Popen[bytes], within_s: float) -> None:
    """End a process that leads a session of its own: by SIGTERM, then all of it by SIGKILL.

    Args:
        process: whose end is awaited.
        within_s: how long it may take before it is killed, seconds.
    """
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(within_s)
    kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that leads a session of its own, and all that it started there."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_answers(target: Target, path: str = "/", *, alive: Callable[[], bool]) -> bool:
    """Wait until a GET is answered 200, at most 60 s; return whether it was.

    Args:
        target: who is asked.
        path: what for.
        alive: False ends the wait.
    """
    tick, until = Event(), monotonic() + _READY_S
    while monotonic() < until and alive():
        if answers(target, path):
            return True
        tick.wait(_TICK_S)
    return False


def answers(target: Target, path: str = "/", within_s: float = 2.0) -> bool:
    """Return whether a GET is answered 200 in time."""
    connection = HTTPConnection(target.host, target.port, timeout=within_s)
    with closing(connection):
        try:
            connection.request("GET", path)
            return connection.getresponse().status == _HTTP_OK
        except (OSError, HTTPException):
            return False


def tree(pid: int) -> list[int]:
    """Return a process and its descendants (Linux), or nothing where it has gone."""
    found: list[int] = []
    left = [pid]
    while left:
        one = left.pop()
        with suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                left.extend(map(int, (task / "children").read_text().split()))
            found.append(one)
    return found


def tree_cpu_s(pid: int) -> float:
    """Return the processor time of a process and its living descendants, seconds (Linux)."""
    return sum(map(_cpu_s, tree(pid)))


def _cpu_s(pid: int) -> float:
    # Fields 14 and 15, counted behind the name, which may hold anything.
    with suppress(OSError):
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / _TICKS_PER_S
    return 0.0


def _memory_bytes(pid: int) -> int:
    # A page that n processes share counts 1/n in each.
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
