"""The database's host dies, and its standby takes over."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TYPE_CHECKING, Final

from service.demo_postgres import demo_server
from stress.disturbance import Breakage
from stress.faults.drill import Drill, fact, refused
from stress.phases import Span, share_good
from stress.report import Verdict
from stress.scenario import Place
from stress.standby import Standby, standby_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stress.faults.drill import Course, Scene

PROMOTED: Final = "seconds that the promotion took"
PROMOTED_S: Final = 10.0
READS_BACK_S: Final = 3.0
READS_KEPT: Final = 0.95

_SYNCHRONOUS: Final = {"synchronous_standby_names": "*"}
"""A commit is acknowledged when both hosts have it."""


@dataclass(frozen=True, slots=True)
class Pair(Place):
    """A database on two hosts; ``url`` names both, ``postgres`` is the primary at first."""

    standby: Standby


@contextmanager
def two_hosts(_backend: str) -> Iterator[Pair]:
    """Give an empty database with a synchronous standby, both gone after the block."""
    with (
        TemporaryDirectory(prefix="guard-stress-") as folder,
        demo_server(settings=_SYNCHRONOUS) as primary,
        standby_of(primary) as standby,
    ):
        host = f"127.0.0.1:{primary.port}"
        url = primary.url.replace(host, f"{host},127.0.0.1:{standby.port}")
        yield Pair(url, Path(folder), primary, standby)


def _fail_over(scene: Scene) -> Breakage:
    where = scene.where
    if not isinstance(where, Pair) or where.postgres is None:
        raise TypeError("a fail-over needs a place with two hosts")
    primary, standby = where.postgres, where.standby

    def promote() -> None:
        begun_s = monotonic()
        standby.promote()
        scene.facts[PROMOTED] = monotonic() - begun_s

    return Breakage(lambda: primary.kill(signal.SIGKILL), promote)


def _judge(course: Course) -> list[Verdict]:
    # The standby takes writes before the promotion is known to be over.
    away = course.fault._replace(to_s=course.fault.to_s - course.facts.get(PROMOTED, 0.0))
    # Whoever only reads is served by the standby as soon as the connections are made anew.
    later = Span(course.fault.from_s + READS_BACK_S, course.fault.to_s)
    share = share_good([one for one in course.during("read") if later.has(one.due_s)])
    return [
        *refused(course._replace(fault=away), "write"),
        Verdict(
            f"read requests right and in time from {READS_BACK_S:g} s after the primary's death "
            f">= {READS_KEPT:.0%}",
            f"{share:.1%}", share >= READS_KEPT,
        ),
        fact(course, PROMOTED, PROMOTED_S),
    ]  # fmt: skip


DRILLS: Final = {
    "fail-over": Drill(
        "kill -9 of the primary; its synchronous standby is promoted",
        _fail_over, _judge, backends=("postgres",), place=two_hosts,
    ),
}  # fmt: skip
