"""What measuring costs: CPU per request of the metrics, and one scrape with many workers."""

from __future__ import annotations

import gzip
import http.client
import time
from contextlib import closing
from statistics import median
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard import metrics
from guard.admin import AdminApp, AdminListener
from guard.board import Board
from guard.controller import Controller
from guard.core.admission import Limits
from guard.core.vocabulary import Lane, Policy
from guard.correlation import correlate_by, new_id, no_correlation
from guard.database import Database
from guard.meter import PoolMeter
from guard.middleware import Guard
from guard.rules import Rules
from guard.socket_age import socket_age_s
from guard.tally import NullRecorder
from guard.testing import MemoryBackend
from stress import report
from stress.report import Report, Verdict

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterable

    from guard.correlation import Correlate
    from guard.events import Recorder

REQUEST_US_MAX: Final = 20.0
SCRAPE_MS_MAX: Final = 100.0
NO_NAMES_US_MAX: Final = 1.0
WORKERS: Final = 32
ROUTES: Final = 20
CODES: Final = ("200", "404", "503")

_REQUESTS: Final = 2000
_SCRAPES: Final = 50
_OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0"
_NAMES: Final = {
    "HTTP_X_REQUEST_ID": "6f9619ff-8b86-d011-b42d-00c04fc964ff",
    "HTTP_TRACEPARENT": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}


class Way(NamedTuple):
    """One way to answer the same request.

    Attributes:
        call: answers it once.
        environ: what is added to its environ.
    """

    call: Callable[[dict[str, Any]], None]
    environ: dict[str, str]


def run(options: Namespace) -> int:
    """Measure, print and write the report; return 1 where a bar was missed.

    Args:
        options: ``rounds``, ``out``.
    """
    costs = request_costs_us(options.rounds)
    scrapes = {name: scrape(accept, encoding) for name, (accept, encoding) in _FORMS.items()}
    added = {
        "metrics": [a - b for a, b in zip(costs["measured"], costs["bare"], strict=True)],
        "a look for names": _added(costs, "asked"),
        "request id and trace": _added(costs, "named"),
    }
    facts = {f"{name}, us of CPU per request": _range(values) for name, values in added.items()}
    facts |= {f"scrape, {name}": told for name, (told, _) in scrapes.items()}
    slowest_ms = max(p50_ms for _, p50_ms in scrapes.values())
    verdicts = [
        _verdict("metrics per request, us", added["metrics"], REQUEST_US_MAX),
        _verdict("names per request that has none, us", added["a look for names"], NO_NAMES_US_MAX),
        _verdict(f"scrape with {WORKERS} workers, median, ms", [slowest_ms], SCRAPE_MS_MAX),
    ]
    told = Report("What measuring costs", verdicts=verdicts, facts=facts)
    print(told.text())
    report.write(told, {}, options.out, "metrics-cost")
    return 0 if told.met else 1


def _added(costs: dict[str, list[float]], name: str) -> list[float]:
    return [a - b for a, b in zip(costs[name], costs["measured"], strict=True)]


def _range(values: list[float]) -> str:
    return f"min {min(values):.2f}, median {median(values):.2f}, max {max(values):.2f}"


def _verdict(what: str, values: list[float], most: float) -> Verdict:
    return Verdict(f"{what} < {most:g}", f"{median(values):.2f}", median(values) < most)


def request_costs_us(rounds: int) -> dict[str, list[float]]:
    """Return the CPU time of one request that reads the database once, by way and round.

    The ways: ``bare`` measures nothing, ``measured`` into a row of a board, ``asked`` also looks
    for a request id and a trace, ``named`` finds both.

    Args:
        rounds: how often, >= 1; who goes first changes with each.
    """
    row = Board.local()[1]
    ways = {
        "bare": Way(_request(NullRecorder(), no_correlation), {}),
        "measured": Way(_request(row, no_correlation), {}),
        "asked": Way(_request(row, correlate_by("accept", new_id)), {}),
        "named": Way(_request(row, correlate_by("accept", new_id)), _NAMES),
    }
    costs: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name in ways if number % 2 == 0 else reversed(ways):
            cost_us = _cpu_us(ways[name])
            if number:  # the first round warms up
                costs[name].append(cost_us)
    return costs


def _cpu_us(way: Way) -> float:
    began_s = time.thread_time()
    for _ in range(_REQUESTS):
        way.call({"REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": "", **way.environ})
    return (time.thread_time() - began_s) / _REQUESTS * 1e6


def _request(recorder: Recorder, correlate: Correlate) -> Callable[[dict[str, Any]], None]:
    meter = PoolMeter(recorder)
    backend = MemoryBackend(observer=meter)
    limits = Limits(Policy.PREDICTIVE, permits_max=8, waiters_max=4, wait_budget_s=0.2)
    slots = {lane: lambda: 2 for lane in Lane}
    controller = Controller(Rules(lanes=dict.fromkeys(Lane, limits)), slots)
    meter.controller = controller
    database = Database(backend, controller, "duckdb")

    def app(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        database.read(lambda session: session.execute("SELECT 1"))
        start_response("200 OK", [])
        return [b"ok"]

    guard = Guard(
        app, controller, recorder=recorder, hold="connection", age_s=socket_age_s,
        correlate=correlate,
    )  # fmt: skip

    def call(environ: dict[str, Any]) -> None:
        body = guard(environ, lambda *_: None)
        for _ in body:
            pass
        body.close()  # type: ignore[attr-defined]

    return call


_FORMS: Final = {
    "text": ("", ""),
    "OpenMetrics": (_OPENMETRICS, ""),
    "text, gzip": ("", "gzip"),
}


def busy_board() -> Board:
    """Return a board on which every worker has answered every route in three ways."""
    board = Board.anonymous(2 * WORKERS + 8)
    for index in range(WORKERS):
        row = board.claim(index, index + 1)
        for route in (f"/items/{number}/<id>" for number in range(ROUTES)):
            row.observe(metrics.HTTP_DURATION, ("GET", route), 0.01)
            for code in CODES:
                row.add(metrics.HTTP_RESPONSES, ("GET", route, code))
    return board


def scrape(accept: str, encoding: str) -> tuple[str, float]:
    """Scrape an admin listener many times; return the figures as text, and the median in ms.

    Args:
        accept: the Accept header.
        encoding: the Accept-Encoding header.
    """
    listener = AdminListener("127.0.0.1", 0, AdminApp(busy_board()))
    listener.bind()
    listener.start()
    headers = {"Accept": accept, "Accept-Encoding": encoding or "identity"}
    took_ms, size_bytes, cpu_s = [], 0, time.process_time()
    try:
        for _ in range(_SCRAPES):
            began_s = time.monotonic()
            size_bytes = _get(listener.port, headers)
            took_ms.append((time.monotonic() - began_s) * 1e3)
    finally:
        listener.close()
    cpu_ms = (time.process_time() - cpu_s) / _SCRAPES * 1e3
    p50_ms = median(took_ms)
    told = (
        f"p50 {p50_ms:.1f} ms, max {max(took_ms):.1f} ms, CPU of both sides {cpu_ms:.1f} ms, "
        f"{size_bytes / 1024:.0f} KiB"
    )
    return told, p50_ms


def _get(port: int, headers: dict[str, str]) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10.0)) as connection:
        connection.request("GET", "/metrics", headers=headers)
        response = connection.getresponse()
        body = response.read()
    plain = gzip.decompress(body) if response.headers["Content-Encoding"] == "gzip" else body
    if response.status != http.client.OK or b"guard_workers 32" not in plain:
        raise OSError("the scrape was not answered as it should be")
    return len(body)
