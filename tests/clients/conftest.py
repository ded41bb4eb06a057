"""What the real clients need: Node's packages, a real service."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from programs import missing, program

if TYPE_CHECKING:
    from collections.abc import Callable

_NODE = Path(__file__).parent / "node"
_INSTALL_S = 120


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Installs Node's clients, in the versions of the lock file; returns their folder."""

    @cache
    def install() -> Path:
        program("node")
        folder = tmp_path_factory.mktemp("node")
        shutil.copytree(_NODE, folder, dirs_exist_ok=True)
        done = subprocess.run(
            [program("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=folder, capture_output=True, text=True, timeout=_INSTALL_S, check=False,
        )  # fmt: skip
        if done.returncode:
            missing(f"Node's clients can't be installed: {done.stderr[-500:]}")
        return folder

    return install
