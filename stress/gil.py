"""What a shorter switch interval gives to refusals beside busy threads, and what it costs.

A thread that wants the interpreter asks the one that has it to let go after ``switchinterval``
(5 ms in Python, 0.5 ms in the guard's workers). A refusal needs it several times: beside
threads that only compute, each time costs a whole interval for each of them.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median, quantiles
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from stress import report
from stress.gil_app import CPU_PATH, INTERVAL, SLOTS
from stress.ratios import ratios
from stress.report import Report
from stress.server import Server

if TYPE_CHECKING:
    from argparse import Namespace
    from multiprocessing.connection import Connection

    from stress.shots import Target

PYTHONS_S: Final = 0.005
OURS_S: Final = 0.0005
LEAST: Final = 0.9
"""What a handler must still get out of a second of the processor, as a share."""

_COMMAND: Final = ("-m", "gunicorn", "-c", "gunicorn_config.py", "stress.gil_app:app()")
_TRIVIAL, _CPU = "/", CPU_PATH
_SERVED, _REFUSED = b"200", b"503"
_LATE: Final = "/late"
"""Asked for with a deadline that has passed, and so refused whatever else goes on."""
_PAUSE_S: Final = 0.01
_READ_BYTES: Final = 65536
_TICK_S: Final = 0.01


class Told(NamedTuple):
    """What the clients saw.

    Attributes:
        served: requests answered 200.
        refused_s: latencies of the refusals, seconds.
    """

    served: int
    refused_s: list[float]


class Turn(NamedTuple):
    """One round under one interval.

    Attributes:
        trivial: requests to the trivial handler per second of the server's processor time.
        computing: the same for the one that computes.
        refused_s: latencies of the refusals beside that, seconds.
    """

    trivial: float
    computing: float
    refused_s: list[float]


def run(options: Namespace) -> int:
    """Run the rounds, print and write the report; return 1 where a bar was missed.

    Args:
        options: ``rounds``, ``seconds``, ``out``.
    """
    turns: dict[float, list[Turn]] = {PYTHONS_S: [], OURS_S: []}
    with tempfile.TemporaryDirectory(prefix="guard-stress-") as folder, ExitStack() as stack:
        servers = {
            interval_s: stack.enter_context(_server(Path(folder) / f"{interval_s}.log", interval_s))
            for interval_s in turns
        }
        for server in servers.values():
            server.pin()
        for number in range(options.rounds):
            # Who is first changes, so a drift of the machine favours nobody.
            for interval_s in sorted(turns, reverse=bool(number % 2)):
                turn = _turn(servers[interval_s], options.seconds)
                turns[interval_s].append(turn)
                print(_line(interval_s, [turn]), flush=True)
    told = _report(turns)
    print(told.text())
    report.write(told, {}, options.out, "gil")
    return 0 if told.met else 1


def _server(log: Path, interval_s: float) -> Server:
    environ = {
        "GUARD_DATABASE_URL": "", "GUARD_WORKERS": "1", INTERVAL: str(interval_s),
        "GUARD_READ_POOL_SIZE": str(SLOTS), "GUARD_READ_WAITERS": "0",
        "GUARD_WRITE_POOL_SIZE": "1", "GUARD_WRITE_WAITERS": "0",
    }  # fmt: skip
    return Server(log, environ, _COMMAND, ready_path="/", watch_memory=False)


def _turn(server: Server, seconds: float) -> Turn:
    beside = measure(server.target, [*[_CPU] * SLOTS, _LATE], seconds)
    return Turn(
        _per_cpu_s(server, _TRIVIAL, seconds), _per_cpu_s(server, _CPU, seconds), beside.refused_s
    )


def _per_cpu_s(server: Server, path: str, seconds: float) -> float:
    # Of the processor's time, not of the clock's: other processes take turns too.
    before_s = server.cpu_s()
    served = measure(server.target, [path] * SLOTS, seconds).served
    return served / max(server.cpu_s() - before_s, _TICK_S)


def measure(target: Target, paths: list[str], seconds: float) -> Told:
    """Return what keep-alive clients in another process saw, one for each of ``paths``.

    Raises:
        OSError: an answer was neither served nor refused.
    """
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_clients, args=(theirs, target, paths, seconds))
    process.start()
    theirs.close()
    with closing(mine):
        try:
            found: Told = mine.recv()
        except EOFError as error:
            raise OSError("the clients failed") from error
        finally:
            process.join()
    return found


def _clients(pipe: Connection, target: Target, paths: list[str], seconds: float) -> None:
    # A core each for the clients and the server, so that neither takes the other's turn.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    found: list[Told] = []
    until = monotonic() + seconds

    def client(path: str) -> None:
        found.append(_asked(target, path, until))

    threads = [Thread(target=client, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(found) == len(paths):
        late_s = [each for one in found for each in one.refused_s]
        pipe.send(Told(sum(one.served for one in found), late_s))
    pipe.close()


def _asked(target: Target, path: str, until: float) -> Told:
    late = "X-Request-Timeout-Ms: 0\r\n" if path == _LATE else ""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{late}\r\n".encode()
    served, refused_s, pause = 0, [], Event()
    with closing(socket.create_connection((target.host, target.port), 30.0)) as connection:
        while (asked_s := monotonic()) < until:
            connection.sendall(request)
            status = _status(connection)
            if status == _SERVED:
                served += 1
            elif status == _REFUSED:
                refused_s.append(monotonic() - asked_s)
                pause.wait(_PAUSE_S)
            else:
                raise OSError(f"unexpected answer: {status!r}")
    return Told(served, refused_s)


def _status(connection: socket.socket) -> bytes:
    """Read one whole answer; return its status."""
    text = b""
    while b"\r\n\r\n" not in text:
        text += _part(connection)
    head, _, body = text.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += _part(connection)
    return head[9:12]


def _part(connection: socket.socket) -> bytes:
    part = connection.recv(_READ_BYTES)
    if not part:
        raise OSError("the connection was closed")
    return part


def _report(turns: dict[float, list[Turn]]) -> Report:
    python, ours = turns[PYTHONS_S], turns[OURS_S]
    trivial = ratios([turn.trivial for turn in ours], [turn.trivial for turn in python])
    computing = ratios([turn.computing for turn in ours], [turn.computing for turn in python])
    facts: dict[str, object] = {}
    for interval_s, found in turns.items():
        name = f"{interval_s * 1e3:g} ms"
        facts[f"{name}, trivial, requests/CPU s"] = [round(turn.trivial) for turn in found]
        facts[f"{name}, computing, requests/CPU s"] = [round(turn.computing, 1) for turn in found]
        facts[f"{name}, refusals"] = [_tails(turn.refused_s) for turn in found]
    return Report(
        "The interpreter's switch interval",
        verdicts=[
            trivial.verdict("a trivial handler's requests per CPU s, 0.5 ms / 5 ms", LEAST),
            computing.verdict("a computing handler's requests per CPU s, 0.5 ms / 5 ms", LEAST),
        ],
        facts=facts,
        notes=[_line(interval_s, found) for interval_s, found in turns.items()],
    )


def _tails(refused_s: list[float]) -> dict[str, float]:
    """Return how many refusals there were, and their latencies in milliseconds."""
    if len(refused_s) < 2:  # noqa: PLR2004 - a quantile needs two
        return {"refusals": len(refused_s)}
    p99 = quantiles(refused_s, n=100, method="inclusive")[-1]
    return {
        "refusals": len(refused_s),
        "p50_ms": round(median(refused_s) * 1e3, 1),
        "p99_ms": round(p99 * 1e3, 1),
    }


def _line(interval_s: float, turns: list[Turn]) -> str:
    late = _tails([each for turn in turns for each in turn.refused_s])
    return (
        f"{interval_s * 1e3:>4g} ms: trivial {median(turn.trivial for turn in turns):>6.0f} per "
        f"CPU s, computing {median(turn.computing for turn in turns):>6.1f}, refusals beside it "
        f"{late['refusals']:>5} at p50 {late.get('p50_ms', 0.0):>6.1f} ms, "
        f"p99 {late.get('p99_ms', 0.0):>6.1f} ms"
    )
