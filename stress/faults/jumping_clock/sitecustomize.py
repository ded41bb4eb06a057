# ruff: noqa: INP001 - no package: Python finds the module in a folder on its path
"""Shifts the wall clock of the Python process that has this folder on its path.

Python imports a module of this name at its start. The shift, seconds as a double, lies in the file
that ``STRESS_CLOCK_FILE`` names, and may change at any time. ``datetime.now`` is not shifted: it
is no Python code.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path

_SHIFT = struct.Struct("d")


def _shift_wall_clock(name: str) -> None:
    with Path(name).open("rb") as file:
        page = mmap.mmap(file.fileno(), _SHIFT.size, access=mmap.ACCESS_READ)
    real_s, real_ns = time.time, time.time_ns  # noqa: TID251 - what is to be shifted

    def shift_s() -> float:
        found: float = _SHIFT.unpack_from(page)[0]
        return found

    time.time = lambda: real_s() + shift_s()  # noqa: TID251 - what is shifted
    time.time_ns = lambda: real_ns() + round(shift_s() * 1e9)


if "STRESS_CLOCK_FILE" in os.environ:
    _shift_wall_clock(os.environ["STRESS_CLOCK_FILE"])
