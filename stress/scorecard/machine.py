"""What a scorecard ran on: the machine, and the versions of everything."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from service.postgres_binaries import NoPostgres, find_binaries
from stress.server import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

_PACKAGES: Final = (
    "gunicorn", "flask", "duckdb", "psycopg", "psycopg-pool", "pybreaker", "prometheus-client",
)  # fmt: skip
_PROGRAMS: Final = (("nginx", "-v"), ("haproxy", "-v"), ("redis-server", "-v"), ("pgbouncer", "-V"))
_VERSION: Final = re.compile(r"\d+\.\d+(?:\.\d+)*")
_ABSENT: Final = "not installed"
_PATIENCE_S: Final = 10.0


def machine() -> dict[str, str]:
    """Return what the machine is, and how busy it is at the moment."""
    loads = " ".join(f"{load:.2f}" for load in os.getloadavg())
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "model": _field("/proc/cpuinfo", "model name") or platform.machine(),
        "memory": f"{_memory_bytes() / 2**30:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "load before": f"{loads} (1, 5, 15 minutes)",
    }


def line(found: dict[str, str]) -> str:
    """Return a machine as one line, without what changes from run to run."""
    return f"{found['cores']} cores, {found['model']}, {found['memory']}"


def versions() -> dict[str, str]:
    """Return the versions of guard, Python, and what a run uses of others."""
    return {
        "guard": commit(),
        "python": platform.python_version(),
        **{name: _package(name) for name in _PACKAGES},
        "postgres": _postgres(),
        **{name: _program([name, option]) for name, option in _PROGRAMS},
    }


def commit() -> str:
    """Return guard's commit, with ``+`` where files were changed since; or its version."""
    found = _output(["git", "-C", str(ROOT), "rev-parse", "--short=9", "HEAD"])
    if not found:
        return _package("wsgi-guard")
    changed = _output(["git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no"])
    return found + ("+" if changed else "")


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return _ABSENT


def _postgres() -> str:
    try:
        return _program([str(find_binaries(os.environ) / "postgres"), "--version"])
    except NoPostgres:
        return _ABSENT


def _program(command: Sequence[str]) -> str:
    if shutil.which(command[0]) is None:
        return _ABSENT
    found = _VERSION.search(_output(command))
    return found[0] if found else "unknown"


def _output(command: Sequence[str]) -> str:
    with suppress(OSError, subprocess.TimeoutExpired):
        found = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
        return (found.stdout + found.stderr).strip() if found.returncode == 0 else ""
    return ""


def _field(path: str, name: str) -> str:
    with suppress(OSError):
        for text in Path(path).read_text(encoding="utf-8").splitlines():
            key, _, value = text.partition(":")
            if key.strip() == name:
                return value.strip()
    return ""


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
