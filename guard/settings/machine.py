"""What this host, or the container on it, gives the process: cores and memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_CGROUP: Final = Path("/sys/fs/cgroup")
_MEMINFO: Final = Path("/proc/meminfo")
_MIB: Final = 1 << 20
_KIB_PER_MIB: Final = 1024


def usable_cores(cgroup: Path = _CGROUP) -> int:
    """Return the processors that the process may use, >= 1.

    A container's CPU quota counts: half a core of sixteen is one core, not sixteen.

    Args:
        cgroup: the control group's directory.
    """
    cores = len(os.sched_getaffinity(0))
    for quota, period in (_quota_v2(cgroup), _quota_v1(cgroup)):
        if quota > 0 and period > 0:
            cores = min(cores, -(-quota // period))
    return max(1, cores)


def usable_memory_mib(cgroup: Path = _CGROUP, meminfo: Path = _MEMINFO) -> int:
    """Return the memory that the process may use, in MiB; 0 where it can't be told.

    Args:
        cgroup: the control group's directory.
        meminfo: the kernel's figures of the whole machine.
    """
    known = []
    for line in _text(meminfo).splitlines():
        name, _, value = line.partition(":")
        if name == "MemTotal":
            known.append(_int(value.removesuffix("kB")) // _KIB_PER_MIB)
    limits = (cgroup / "memory.max", cgroup / "memory" / "memory.limit_in_bytes")
    known.extend(_int(_text(file)) // _MIB for file in limits)
    return min((mib for mib in known if mib > 0), default=0)


def _quota_v2(cgroup: Path) -> tuple[int, int]:
    quota, _, period = _text(cgroup / "cpu.max").partition(" ")
    return _int(quota), _int(period)


def _quota_v1(cgroup: Path) -> tuple[int, int]:
    names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    quota, period = (_int(_text(cgroup / "cpu" / name)) for name in names)
    return quota, period


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""


def _int(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return 0
