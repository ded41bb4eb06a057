"""Lines for the person at the terminal, or for the log that takes their place."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO


def tell(*lines: str) -> None:
    """Write each line to stderr, marked as ours."""
    _write(sys.stderr, "".join(f"guard: {line}\n" for line in lines))


def show(text: str) -> None:
    """Write a text to stdout."""
    _write(sys.stdout, text)


def _write(stream: TextIO, text: str) -> None:
    # A closed terminal is no reason to end a service.
    with suppress(OSError, ValueError):
        stream.write(text)
        stream.flush()
