"""Helper processes that end when their standard input does."""

from __future__ import annotations

import subprocess

_STOP_S = 5.0


def let_end(process: subprocess.Popen[str]) -> None:
    """Close a helper's standard input and wait for its end; kill it where that takes 5 s."""
    try:
        process.communicate(timeout=_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
