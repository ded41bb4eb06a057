"""By which names a request is known to others: its request id and its trace.

Almost no request that reaches a service behind no proxy brings either, so the way without costs
two look-ups; see ``docs/logging.md``.
"""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    Environ = dict[str, Any]
    Correlate = Callable[[Environ], "Correlation | None"]
    NewId = Callable[[], str]

REQUEST_ID_HEADER: Final = "X-Request-ID"
REQUEST_ID_KEY: Final = "guard.request_id"
"""Environ key of the request's id, where it has one."""
TRACE_ID_KEY: Final = "guard.trace_id"
"""Environ key of the trace that the request belongs to, where it came with one."""

_GIVEN_ID: Final = "HTTP_X_REQUEST_ID"
_GIVEN_TRACE: Final = "HTTP_TRACEPARENT"
# Whatever is taken over goes into a header and into log lines.
_SAFE_ID: Final = re.compile(r"[A-Za-z0-9._~+/=:@,-]{1,128}")
_TRACEPARENT: Final = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_SAMPLED: Final = 0x01


class Correlation(NamedTuple):
    """A request's names; each may be empty, but not both ids.

    Attributes:
        request_id: of ``X-Request-ID``, or made here.
        trace_id: 32 hexadecimal digits of ``traceparent``.
        span_id: 16 hexadecimal digits: the caller's span.
        sampled: whether the caller records the trace.
    """

    request_id: str = ""
    trace_id: str = ""
    span_id: str = ""
    sampled: bool = False


class TraceParent(NamedTuple):
    """A well-formed ``traceparent``; see ``Correlation``."""

    trace_id: str
    span_id: str
    sampled: bool


def parse_traceparent(text: str) -> TraceParent | None:
    """Return what a ``traceparent`` header says; None where it is not well-formed.

    W3C Trace Context, level 1: a version that is not known yet may have more at its end,
    version 00 may not; ids of zeros and version ff are invalid.
    """
    found = _TRACEPARENT.fullmatch(text)
    if found is None or (found[1] == "00" and found[5]):
        return None
    return TraceParent(found[2], found[3], bool(int(found[4], 16) & _SAMPLED))


def new_id() -> str:
    """Return a new request id: 32 hexadecimal digits, which name and protect nothing else."""
    return f"{random.getrandbits(128):032x}"


def no_correlation(_environ: Environ) -> None:
    """Return None: whatever the request brings is left alone."""


def correlate_by(mode: Literal["off", "accept", "generate"], new_id: NewId) -> Correlate:
    """Return the function that finds a request's names and writes them into its environ.

    It returns None where the request has none. An ``X-Request-ID`` of more than 128 characters,
    or with others than letters, digits and ``._~+/=:@,-``, is as good as none.

    Args:
        mode: of request ids: ``off`` leaves them alone, ``accept`` takes over what is given,
            ``generate`` makes one where none is. A trace is taken over in any case.
        new_id: makes an id.
    """

    def accept(environ: Environ) -> Correlation | None:
        if _GIVEN_ID not in environ and _GIVEN_TRACE not in environ:
            return None
        given = environ.get(_GIVEN_ID, "") if mode != "off" else ""
        return _named(environ, given if _SAFE_ID.fullmatch(given) else "")

    def generate(environ: Environ) -> Correlation | None:
        given = environ.get(_GIVEN_ID, "")
        if _SAFE_ID.fullmatch(given) is None:
            # The application must see the id that the log and the response have.
            environ[_GIVEN_ID] = given = new_id()
        return _named(environ, given)

    return generate if mode == "generate" else accept


def _named(environ: Environ, request_id: str) -> Correlation | None:
    parent = parse_traceparent(environ.get(_GIVEN_TRACE, ""))
    if request_id:
        environ[REQUEST_ID_KEY] = request_id
    if parent is None:
        return Correlation(request_id) if request_id else None
    environ[TRACE_ID_KEY] = parent.trace_id
    return Correlation(request_id, *parent)


class _HandBack:
    """A ``start_response`` that adds the request's id to the response."""

    __slots__ = ("_request_id", "_start_response")

    def __init__(self, start_response: Callable[..., Any], request_id: str) -> None:
        self._start_response = start_response
        self._request_id = request_id

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:  # noqa: ANN401
        if not any(name.lower() == "x-request-id" for name, _ in headers):
            # A refusal's headers are shared by all refusals of its kind.
            headers = [*headers, (REQUEST_ID_HEADER, self._request_id)]
        if exc_info is None:
            return self._start_response(status, headers)
        return self._start_response(status, headers, exc_info)

    def force_close(self) -> None:
        """Do what the server's own response object does; found by ``start_response.__self__``."""
        force_close = getattr(getattr(self._start_response, "__self__", None), "force_close", None)
        if force_close is not None:
            force_close()


def handing_back(
    start_response: Callable[..., Any], correlation: Correlation
) -> Callable[..., Any]:
    """Return a ``start_response`` that adds ``X-Request-ID``, unless the response has one."""
    if not correlation.request_id:
        return start_response
    return _HandBack(start_response, correlation.request_id).start
