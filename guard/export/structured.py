"""Log lines for programs and for people, and the request that a line belongs to."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any, Final

from guard.request import CURRENT

_PREFIX: Final = "guard_"
_CONTEXT: Final = ("request_id", "trace_id", "span_id")
# What every record has is either told under a name of its own or of no use to a program.
_ORDINARY: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    "message", "asctime", "taskName", *_CONTEXT,
}  # fmt: skip


class RequestContext(logging.Filter):
    """Gives each record the names of the request under way in its thread.

    Add it to a *handler*, so that it sees the records of all loggers. It lets every record
    through and sets ``request_id``, ``trace_id`` and ``span_id``: empty outside a request, and
    where the request has none. Thread-safe.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Set the attributes."""
        scope = CURRENT.get()
        found = scope.correlation if scope is not None else None
        for name in _CONTEXT:
            setattr(record, name, getattr(found, name, ""))
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object per line: ``time`` (UTC), ``level``, ``logger``, ``message``, ``pid``.

    Then the request's names where ``RequestContext`` found any, ``exception`` with the traceback
    where there is one, and all that was given as ``extra``; Guard's own come without their
    prefix. What JSON can't say is told as text. Thread-safe.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": _utc(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "pid": record.process,
        }
        line |= {name: value for name in _CONTEXT if (value := getattr(record, name, ""))}
        for name, value in vars(record).items():
            if name not in _ORDINARY:
                line.setdefault(name.removeprefix(_PREFIX), value)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        # One lone surrogate would fail the whole line.
        return json.dumps(line, default=str, ensure_ascii=True)


class TextFormatter(logging.Formatter):
    """Lines as gunicorn writes its own, and at their end the request's names."""

    def __init__(self) -> None:
        super().__init__("[%(asctime)s] [%(process)d] [%(levelname)s] %(message)s")
        self.default_time_format = "%Y-%m-%d %H:%M:%S %z"
        self.default_msec_format = ""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base's name
        """Return the line without a traceback."""
        names = [f" {name}={value}" for name in _CONTEXT if (value := getattr(record, name, ""))]
        return super().formatMessage(record) + "".join(names)


def formatter(form: str) -> logging.Formatter:
    """Return the formatter of ``GUARD_LOG_FORMAT``."""
    return JsonFormatter() if form == "json" else TextFormatter()


def _utc(created_s: float) -> str:
    text = datetime.fromtimestamp(created_s, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
