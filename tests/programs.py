"""Programs that a test needs and that come from outside the Python environment."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def program(name: str) -> str:
    """Return where the program is.

    On a machine without it the test is skipped, but never under ``CI=true``: there a test that
    can't run must not pass for one that did.
    """
    found = shutil.which(name)
    if found is None:
        missing(f"{name} is not installed")
    return found


def missing(why: str) -> NoReturn:
    """Skip the test, or fail it under ``CI=true``."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)
