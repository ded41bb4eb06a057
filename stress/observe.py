"""The service under the incident's load, and a Prometheus that watches it."""

from __future__ import annotations

import re
import signal
import socket
from contextlib import closing, suppress
from time import monotonic
from typing import TYPE_CHECKING, Final

from dashboards.sections import SECTIONS
from service.postgres_process import free_port
from stress.arrivals import INCIDENT, length_s
from stress.pictures import Span, draw
from stress.prometheus import Prometheus
from stress.result import summarise
from stress.scenario import place, replay
from stress.server import HOST

if TYPE_CHECKING:
    from argparse import Namespace
    from pathlib import Path

    from stress.server import Server

INTERVAL_S: Final = 2
RATE_INTERVAL: Final = "10s"


def run(options: Namespace) -> int:
    """Start everything, print where to look, and send load until the time is over or Ctrl-C.

    Args:
        options: ``backend``, ``seconds``, ``port``, ``seed``, ``pictures``.
    """
    # So that whoever ends us by a signal leaves nothing behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    port = options.port if _free(options.port) else free_port()
    with place(options.backend) as where, where.server("service", guarded=True) as server:
        watch = Prometheus(where.folder, [server.admin], port, interval_s=INTERVAL_S)
        with watch as prometheus:
            since_s = prometheus.now_s()
            with suppress(KeyboardInterrupt):
                print(text(server, prometheus, options.seconds), flush=True)
                _load(server, options)
            if options.pictures:
                draw_rows(prometheus, since_s, options.pictures)
    return 0


def text(server: Server, prometheus: Prometheus, seconds: float) -> str:
    """Return what runs where, with a link to the answer of each of the dashboard's questions."""
    lines = [
        f"service     http://{server.target.host}:{server.target.port}",
        f"metrics     http://{server.admin.host}:{server.admin.port}/metrics",
        f"Prometheus  {prometheus.url}",
        f"alerts      {prometheus.url}/alerts",
        "",
    ]
    for section in SECTIONS:
        lines.append(section.question)
        lines += [
            f"  {panel.title}: {prometheus.graph_url(panel.queries[0].plain(RATE_INTERVAL))}"
            for panel in section.panels[:2]
        ]
    return "\n".join([*lines, "", f"The load ends after {seconds:.0f} s; Ctrl-C ends it before."])


def _load(server: Server, options: Namespace) -> None:
    until = monotonic() + options.seconds
    seed = options.seed
    while (left_s := until - monotonic()) > 0:
        scale = min(1.0, left_s / length_s(INCIDENT))
        found = replay(server.target, INCIDENT, seed, scale)
        total = summarise(found).total
        print(
            f"{total.sent} sent: {total.right} right, {total.shed} shed, {total.failed} failed; "
            f"p99 {total.latency.p99:.0f} ms",
            flush=True,
        )
        if found.interrupted:
            return
        seed += 1


def draw_rows(prometheus: Prometheus, since_s: float, folder: Path) -> None:
    """Write each of the dashboard's rows as a PNG.

    Args:
        prometheus: what is asked.
        since_s: from when on, Unix time.
        folder: where they go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    span = Span(since_s, prometheus.now_s(), RATE_INTERVAL)
    for number, section in enumerate(SECTIONS, start=1):
        file = (
            folder / f"{number}-{re.sub('[^a-z]+', '-', section.question.lower()).strip('-')}.png"
        )
        draw(prometheus, section, span, file)
        print(f"written: {file}")


def _free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        # Else a Prometheus that ended a moment ago would still have it.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
