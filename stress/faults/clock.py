"""The wall clock of the service's host jumps: forwards, and then back beyond the truth."""

from __future__ import annotations

import os
import struct
from contextlib import closing
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stress.disturbance import Breakage
from stress.faults.drill import Drill, served
from stress.report import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stress.faults.drill import Course, Scene
    from stress.scenario import Place
    from stress.shots import Target

AHEAD_S: Final = 3600.0
UNHARMED: Final = 0.99
JUMPED: Final = "seconds by which the service's clock jumped"

_TIMEOUT_S: Final = 10.0
_OFF_BY_MAX_S: Final = 60.0


def _clock_file(where: Place) -> Path:
    return where.folder / "clock"


def _jumping_clock(where: Place) -> Mapping[str, str]:
    _shift(where, 0.0)
    found = [str(Path(__file__).with_name("jumping_clock")), os.environ.get("PYTHONPATH", "")]
    return {
        "STRESS_CLOCK_FILE": str(_clock_file(where)),
        "PYTHONPATH": os.pathsep.join(filter(None, found)),
    }


def _shift(where: Place, shift_s: float) -> None:
    # In place: the service has the file mapped.
    with _clock_file(where).open("r+b" if _clock_file(where).exists() else "wb") as file:
        file.write(struct.pack("d", shift_s))


def _date_s(target: Target) -> float:
    connection = HTTPConnection(target.host, target.port, timeout=_TIMEOUT_S)
    with closing(connection):
        connection.request("GET", "/warrior")
        told = connection.getresponse().headers["Date"]
    return parsedate_to_datetime(told).timestamp()


def _jump(scene: Scene) -> Breakage:
    def begin() -> None:
        before_s = _date_s(scene.service.target)
        _shift(scene.where, AHEAD_S)
        scene.facts[JUMPED] = _date_s(scene.service.target) - before_s

    return Breakage(begin, lambda: _shift(scene.where, -AHEAD_S))


def _unharmed(course: Course) -> list[Verdict]:
    jumped_s = course.facts.get(JUMPED, 0.0)
    return [
        Verdict(
            f"{JUMPED}: {AHEAD_S:g}", f"{jumped_s:.0f}",
            abs(jumped_s - AHEAD_S) <= _OFF_BY_MAX_S,
        ),
        served(course, "all", UNHARMED),
    ]  # fmt: skip


DRILLS: Final = {
    "clock": Drill(
        "the wall clock jumps an hour ahead, and two hours back",
        _jump, _unharmed, settings=_jumping_clock,
    ),
}  # fmt: skip
