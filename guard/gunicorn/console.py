"""Lines for the person at the terminal, or for the log that takes their place."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO


log = logging.getLogger("guard.gunicorn")


class _Form:
    """Whether a program reads what is told."""

    structured = False


def use_log(*, structured: bool) -> None:
    """Say whether ``tell`` writes log lines, for a program that reads them, or plain ones."""
    _Form.structured = structured


def tell(*lines: str) -> None:
    """Write each line to stderr, marked as ours."""
    if _Form.structured:
        for line in lines:
            log.warning("%s", line)
        return
    _write(sys.stderr, "".join(f"guard: {line}\n" for line in lines))


def show(text: str) -> None:
    """Write a text to stdout."""
    _write(sys.stdout, text)


def _write(stream: TextIO, text: str) -> None:
    # A closed terminal is no reason to end a service.
    with suppress(OSError, ValueError):
        stream.write(text)
        stream.flush()
