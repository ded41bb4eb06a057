from __future__ import annotations

import os
from typing import TYPE_CHECKING

from guard.settings.machine import usable_cores, usable_memory_mib

if TYPE_CHECKING:
    from pathlib import Path


def test_a_containers_share_of_the_cores_counts(tmp_path: Path) -> None:
    cores = len(os.sched_getaffinity(0))
    assert usable_cores(tmp_path) == cores
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert usable_cores(tmp_path) == cores
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert usable_cores(tmp_path) == 1
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("100000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_cores(tmp_path) == 1


def test_the_smallest_memory_limit_counts(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    assert usable_memory_mib(tmp_path, meminfo) == 0
    meminfo.write_text("MemFree: 1 kB\nMemTotal:        2097152 kB\n")
    assert usable_memory_mib(tmp_path, meminfo) == 2048
    (tmp_path / "memory.max").write_text("max\n")
    assert usable_memory_mib(tmp_path, meminfo) == 2048
    (tmp_path / "memory.max").write_text(f"{512 << 20}\n")
    assert usable_memory_mib(tmp_path, meminfo) == 512
    (tmp_path / "memory.max").write_bytes(b"\xff")
    assert usable_memory_mib(tmp_path, meminfo) == 2048
