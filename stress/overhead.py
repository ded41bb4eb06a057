"""What the guard costs an admitted request: a trivial app's throughput with and without it."""

from __future__ import annotations

import multiprocessing
import os
import socket
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final

from stress import report
from stress.ratios import ratios
from stress.report import Report
from stress.server import Server
from stress.trivial_app import BODY

if TYPE_CHECKING:
    from argparse import Namespace

    from stress.shots import Target

LEAST: Final = 0.95
CLIENTS: Final = 4
THREADS: Final = 12
_REQUEST: Final = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
_GTHREAD: Final = "gthread"
_WORKER: Final = "guard.gunicorn.worker.GuardWorker"
_VARIANTS: Final = {
    "without": (_GTHREAD, "plain"),
    "middleware alone": (_GTHREAD, "guarded"),
    "with": (_WORKER, "guarded"),
}
"""Worker class and application: gunicorn as it comes, the middleware on it, the whole guard."""


def run(options: Namespace) -> int:
    """Run the rounds, print and write the report; return 1 where the bar was missed.

    Args:
        options: ``rounds``, ``seconds``, ``out``.
    """
    rates: dict[str, list[float]] = {name: [] for name in _VARIANTS}
    with tempfile.TemporaryDirectory(prefix="guard-stress-") as folder, ExitStack() as stack:
        servers = {
            name: stack.enter_context(_server(Path(folder) / f"{number}.log", *variant))
            for number, (name, variant) in enumerate(_VARIANTS.items())
        }
        for server in servers.values():
            server.pin()
            measure(server.target, min(1.0, options.seconds))
        names = list(_VARIANTS)
        for number in range(options.rounds):
            # Who is first changes, so a drift of the machine favours nobody.
            for name in names[number % len(names) :] + names[: number % len(names)]:
                rates[name].append(measure(servers[name].target, options.seconds))
                print(f"{name}: {rates[name][-1]:.0f} requests/s", flush=True)
    verdict = ratios(rates["with"], rates["without"]).verdict("throughput with / without", LEAST)
    alone = ratios(rates["middleware alone"], rates["without"])
    facts: dict[str, object] = {
        f"{name}, requests/s": [round(rate) for rate in rates[name]] for name in _VARIANTS
    }
    facts["the middleware alone on gthread / without"] = alone.text()
    told = Report("What the guard costs a trivial app", verdicts=[verdict], facts=facts)
    print(told.text())
    report.write(told, {}, options.out, "overhead")
    return 0 if told.met else 1


def _server(log: Path, worker_class: str, app: str) -> Server:
    command = (
        "-m", "gunicorn", "--worker-class", worker_class, "--workers", "1",
        "--threads", str(THREADS), "--keep-alive", "60", "--no-control-socket",
        f"stress.trivial_app:{app}()",
    )  # fmt: skip
    environ = {"GUARD_DATABASE_URL": "", "GUARD_WORKERS": "1", "GUARD_THREADS": str(THREADS)}
    return Server(log, environ, command, ready_path="/")


def measure(target: Target, seconds: float) -> float:
    """Return the requests per second that a few keep-alive clients in another process get.

    Raises:
        OSError: an answer was not the app's.
    """
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_clients, args=(theirs, target, seconds))
    process.start()
    theirs.close()
    with closing(mine):
        try:
            found = mine.recv()
        except EOFError as error:
            raise OSError("the clients failed") from error
        finally:
            process.join()
    return float(found)


def _clients(pipe: multiprocessing.connection.Connection, target: Target, seconds: float) -> None:
    from threading import Thread

    # A core each for the clients and the server, so that neither takes the other's turn.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    counts: list[int] = []
    until = monotonic() + seconds

    def client() -> None:
        count = 0
        with closing(socket.create_connection((target.host, target.port), 10.0)) as connection:
            while monotonic() < until:
                connection.sendall(_REQUEST)
                if not _answered(connection):
                    return
                count += 1
        counts.append(count)

    started = [Thread(target=client) for _ in range(CLIENTS)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    if len(counts) == CLIENTS:
        pipe.send(sum(counts) / seconds)
    pipe.close()


def _answered(connection: socket.socket) -> bool:
    # As little Python as can be: the clients must not be what is measured.
    text = b""
    while not text.endswith(BODY):
        part = connection.recv(65536)
        if not part:
            return False
        text += part
    return text.startswith(b"HTTP/1.1 200")
