"""A real gunicorn with the project's configuration file and a small application of its own."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.postgres_process import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONFIG = Path(__file__).parents[2] / "gunicorn_config.py"
BOUND_S = 60.0
"""Generous: the tests wait for what must happen, and measure nothing."""

# The smallest sizes with which the guard can fire: four threads.
ENVIRON = {
    "GUARD_WORKERS": "1",
    "GUARD_READ_POOL_SIZE": "1",
    "GUARD_READ_WAITERS": "0",
    "GUARD_WRITE_POOL_SIZE": "1",
    "GUARD_WRITE_WAITERS": "0",
    "GUARD_DEADLINE": "3s",
}

APP = """
import os
import threading
from pathlib import Path

from guard import metrics
from guard.gunicorn import current_worker

HERE = Path(__file__).parent
worker = current_worker()


def note(text):
    with (HERE / "notes").open("a") as file:
        file.write(f"{os.getpid()} {text}\\n")


def hold(name):
    (HERE / f"held-{threading.get_ident()}-{os.getpid()}").touch()
    while not (HERE / name).exists():
        threading.Event().wait(0.01)


worker.on_drain(lambda: note("drain"))
worker.on_exit(lambda left_s: note("exit"))
worker.recorder.set(metrics.WORKER_READY, (), 1.0)


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/hold":
        hold("release")
        note("held")
    worker.recorder.add(metrics.HTTP_RESPONSES, ("GET", path, "200"))
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def until(condition: Callable[[], Any], what: str, detail: Callable[[], str] = str) -> Any:
    """Wait until the condition holds and return its value; fail after a generous time."""
    pause = threading.Event()
    for _ in range(round(BOUND_S / 0.02)):
        value = condition()
        if value:
            return value
        pause.wait(0.02)
    raise AssertionError(f"{what}: did not happen\n{detail()}")


def get(port: int, path: str, timeout_s: float = BOUND_S) -> tuple[int, str]:
    """GET on loopback; return status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    with closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()


@dataclass
class Gunicorn:
    """A running gunicorn.

    Attributes:
        process: the arbiter.
        folder: where the application lies and notes what happens to it.
        port: the service's.
        admin_port: the admin listener's.
        lines: what was printed so far.
    """

    process: subprocess.Popen[str]
    folder: Path
    port: int
    admin_port: int
    lines: list[str] = field(default_factory=list)

    @property
    def output(self) -> str:
        return "".join(self.lines)

    @property
    def notes(self) -> list[str]:
        file = self.folder / "notes"
        return file.read_text().splitlines() if file.exists() else []

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        return until(condition, what, lambda: self.output)

    def readiness(self) -> dict[str, Any]:
        """Return /readyz, or nothing while there is no answer."""
        try:
            document: dict[str, Any] = json.loads(get(self.admin_port, "/readyz")[1])
        except OSError:
            return {}
        return document

    def pids(self) -> set[int]:
        return {worker["pid"] for worker in self.readiness().get("workers", [])}

    def wait_ready(self, workers: int = 1) -> None:
        def ready() -> bool:
            assert self.process.poll() is None, self.output
            return bool(self.readiness().get("workers_ready", 0) >= workers)

        self.until(ready, "the workers are ready")

    def metric(self, name: str) -> float:
        """Return the sum over all label sets of a metric, or the value of a whole series."""
        text = get(self.admin_port, "/metrics")[1]
        starts = (f"{name} ",) if name.endswith("}") else (f"{name}{{", f"{name} ")
        lines = (line for line in text.splitlines() if line.startswith(starts))
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def interrupt_group(self) -> None:
        """Do what Ctrl-C in a terminal does."""
        os.killpg(self.process.pid, signal.SIGINT)

    def wait(self) -> int:
        """Wait for the end and return the exit status."""
        status = self.process.wait(BOUND_S)
        self.reader.join(BOUND_S)
        return status

    def __post_init__(self) -> None:
        # ``extend`` takes line by line, so that a test sees what has come so far.
        def read() -> None:
            assert self.process.stdout is not None
            self.lines.extend(self.process.stdout)

        self.reader = threading.Thread(target=read)
        self.reader.start()


@contextmanager
def gunicorn(
    folder: Path, *options: str, app: str = APP, port: int = 0, **environ: str
) -> Iterator[Gunicorn]:
    """Start gunicorn in a process group of its own, and end it in any case."""
    (folder / "little_app.py").write_text(app)
    ports = port or free_port(), free_port()
    settings = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GUARD_")},
        **ENVIRON,
        "PORT": str(ports[0]),
        "GUARD_ADMIN_BIND": f"127.0.0.1:{ports[1]}",
        "PYTHONUNBUFFERED": "1",
        **environ,
    }
    command = [sys.executable, "-m", "gunicorn", "-c", str(CONFIG), *options, "little_app:app"]
    with subprocess.Popen(
        command, cwd=folder, env=settings, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        running = Gunicorn(process, folder, *ports)
        try:
            yield running
        finally:
            # The group is this test's own: it holds no process but gunicorn's.
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(BOUND_S)
            running.reader.join(BOUND_S)
