"""What is kept of an answer, and which answers may be kept (RFC 9111). Pure."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

Headers = tuple[tuple[str, str], ...]

BODY_MAX_BYTES: Final = 16 * 1024
"""A longer body is not kept: with ``GUARD_CACHE_ENTRIES`` it bounds the memory."""

_OK: Final = "200"
# Who sends one of these may get another answer than the next, or a part of it.
_PERSONAL: Final = (
    "HTTP_AUTHORIZATION", "HTTP_COOKIE", "HTTP_RANGE", "HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH",
    "HTTP_IF_MODIFIED_SINCE", "HTTP_IF_UNMODIFIED_SINCE",
)  # fmt: skip
HEADERS: Final = (
    *(name[5:].replace("_", "-").title() for name in _PERSONAL), "Cache-Control", "Host",
    "Content-Length",
)  # fmt: skip
"""The request headers on which it depends whether, and with what, a request may be answered."""
# The accept loop gives it like any other header.
_LENGTHS: Final = ("CONTENT_LENGTH", "HTTP_CONTENT_LENGTH")
_NO_BODY: Final = frozenset({None, "", "0"})
_UNWILLING: Final = frozenset({"no-cache", "no-store", "max-age=0"})
# The two last forbid what this cache is for: an answer given late (RFC 9111, section 4.2.4).
_UNKEPT: Final = frozenset({
    "no-cache", "no-store", "private", "max-age=0", "s-maxage=0", "must-revalidate",
    "proxy-revalidate",
})  # fmt: skip
_FOR_FIELDS: Final = ("private=", "no-cache=")
"""Meant for some fields alone; taken for the whole answer, as section 5.2.2 allows."""
_SHARED_WITH_NOBODY: Final = frozenset({"set-cookie", "vary"})
# The server refuses others, the first time; the accept loop, which sends kept ones, must not.
_SENDABLE: Final = re.compile(r"[\t -~\x80-\xff]*")
# They belong to one transfer of the answer, or are made anew for each.
_DROPPED: Final = frozenset(
    {"age", "connection", "date", "keep-alive", "server", "transfer-encoding", "warning"}
)


class Entry(NamedTuple):
    """A kept answer; its status is 200.

    Attributes:
        headers: name and value pairs.
        body: the body's bytes.
        route: the application's rule for it, for the metrics' labels.
    """

    headers: Headers
    body: bytes
    route: str


class Found(NamedTuple):
    """An entry as it was found.

    Attributes:
        entry: the answer.
        age_s: the time since it was computed, seconds, >= 0.
    """

    entry: Entry
    age_s: float


def may_be_asked(environ: dict[str, str]) -> bool:
    """Return whether a request may be given an answer that was made for another.

    It must be a GET without a body, credentials, cookies, ranges and conditions, whose client does
    not ask for a new answer. A body is in no name, and an application may look at it.
    """
    if environ["REQUEST_METHOD"] != "GET" or any(name in environ for name in _PERSONAL):
        return False
    if "HTTP_TRANSFER_ENCODING" in environ or any(
        environ.get(name) not in _NO_BODY for name in _LENGTHS
    ):
        return False
    wanted = environ.get("HTTP_CACHE_CONTROL")
    return wanted is None or _UNWILLING.isdisjoint(_directives(wanted))


def may_be_kept(status: str, headers: Iterable[tuple[str, str]]) -> bool:
    """Return whether an answer may be given to others: a 200 that nothing ties to one client."""
    if not status.startswith(_OK):
        return False
    for name, value in headers:
        lowered = name.lower()
        if lowered in _SHARED_WITH_NOBODY or _SENDABLE.fullmatch(value) is None:
            return False
        if lowered == "cache-control" and any(map(_forbids, _directives(value))):
            return False
    return True


def _forbids(directive: str) -> bool:
    return directive in _UNKEPT or directive.startswith(_FOR_FIELDS)


def _directives(value: str) -> set[str]:
    return {part.strip().lower().replace(" ", "") for part in value.split(",")}


def entry_of(headers: Iterable[tuple[str, str]], body: bytes, route: str) -> Entry:
    """Return what is kept of an answer; its length is told, whoever told it before."""
    kept = [pair for pair in headers if pair[0].lower() not in {*_DROPPED, "content-length"}]
    return Entry((*kept, ("Content-Length", str(len(body)))), body, route)


def fresh_headers(found: Found) -> Headers:
    """Return the headers with which an entry is given while it is fresh."""
    return (*found.entry.headers, ("Age", str(int(found.age_s))))


def stale_headers(found: Found) -> Headers:
    """Return the headers with which an entry is given in place of a refusal.

    ``Age`` tells how old it is, but not that this is older than wanted: that only the service
    knows. So ``Warning: 110`` is sent as well. RFC 9111 made the field obsolete because caches
    hardly sent it, not since it did harm, and put nothing in its place; who does not know it
    loses nothing. No other cache may keep it as if it were fresh.
    """
    kept = [pair for pair in found.entry.headers if pair[0].lower() != "cache-control"]
    return (
        *kept,
        ("Age", str(int(found.age_s))),
        ("Warning", '110 - "Response is Stale"'),
        ("Cache-Control", "no-store"),
    )


def to_bytes(entry: Entry) -> bytes:
    """Return an entry as it lies in Redis: one line of JSON, then the body."""
    return json.dumps([entry.headers, entry.route]).encode() + b"\n" + entry.body


def from_bytes(raw: bytes) -> Entry | None:
    """Return the entry that ``to_bytes`` wrote; None for anything else."""
    line, _newline, body = raw.partition(b"\n")
    try:
        headers, route = json.loads(line)
        return Entry(tuple((str(name), str(value)) for name, value in headers), body, str(route))
    except (ValueError, TypeError):
        return None
