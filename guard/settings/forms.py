"""What the texts of some settings must look like: URLs, addresses, paths, routes, headers."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from guard.core.sizing import DatabaseKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.settings.model import Form

PORT_MAX: Final = 65535

_KINDS: Final = {
    "duckdb": DatabaseKind.DUCKDB,
    "postgresql": DatabaseKind.POSTGRES,
    "postgres": DatabaseKind.POSTGRES,
}
_UNSEEN: Final = re.compile(r"[\x00-\x20\x7f-\x9f]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NO_TEXT: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")
_URI: Final = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
_HOST: Final = re.compile(r"[A-Za-z0-9\-._~%]*|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?\]")
_TOKEN: Final = re.compile(r"[!-9;-~]{16,512}")
_NUMBER: Final = re.compile(r"[0-9]{1,5}")
_PATH: Final = re.compile(r"/[^\x00-\x20,\x7f]*")
_HEADER: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,99}")
_ROUTE: Final = re.compile(r"([A-Za-z]{1,20}) +(/[^\x00-\x20,\x7f]*)")


class Unfit(Exception):  # noqa: N818 - never leaves this package
    """A value that can't be used.

    Attributes:
        allowed: what would be allowed, for people.
        hint: what to do about it; may be empty.
    """

    def __init__(self, allowed: str, hint: str = "") -> None:
        self.allowed = allowed
        self.hint = hint
        super().__init__(allowed)


def kind_of(url: str) -> DatabaseKind:
    """Return the database that a checked URL names."""
    return _KINDS.get(url.partition("://")[0], DatabaseKind.NONE)


def fit(form: Form, text: str) -> str:
    """Return the text in its normal form.

    Raises:
        Unfit: it doesn't look as it must.
    """
    return _FORMS[form](text)


def _database(url: str) -> str:
    scheme, found, rest = url.partition("://")
    kind = _KINDS.get(scheme) if found else None
    if kind is None:
        raise Unfit("must begin with duckdb:///, postgresql:// or postgres://")
    return _duckdb(url, rest) if kind is DatabaseKind.DUCKDB else _postgres(url, rest)


def _duckdb(url: str, rest: str) -> str:
    path = rest.removeprefix("/")
    if path == rest:
        raise Unfit("must be duckdb:/// (three slashes) and the path of a file")
    if not path or path.endswith("/") or path.strip("/") in {".", ".."}:
        raise Unfit("the path of a file is missing", "duckdb:///data/app.duckdb")
    if ":memory:" in path:
        raise Unfit("must be a file: a database in memory has no file to own and is lost")
    if "?" in path:
        raise Unfit("takes no parameters after the path")
    if _CONTROL.search(path):
        raise Unfit("must have no control characters")
    return url


def _postgres(url: str, rest: str) -> str:
    if _UNSEEN.search(url):
        raise Unfit("must have no spaces or control characters", "a space is written %20")
    if _BAD_ESCAPE.search(url):
        raise Unfit("has a % that is no escape", "a % in a password is written %25")
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]
    # The driver ends the password at the first at sign or slash, and would go on to name what
    # follows as a host in its messages.
    if rest.count("@") > 1 or rest.count("@") != authority.count("@"):
        raise Unfit(
            "user and password must be percent-encoded", "@ is written %40, / %2F, ? %3F, : %3A"
        )
    for place in authority.rpartition("@")[2].split(","):
        host, port = _split_address(place)
        if _HOST.fullmatch(host) is None or (port and not _is_port(port)):
            raise Unfit("must name its hosts as host, host:port or [IPv6]:port")
    return url


def _redis(url: str) -> str:
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise Unfit("must begin with redis://, rediss:// or unix://", "redis://127.0.0.1:6379/0")
    if _UNSEEN.search(url) or _BAD_ESCAPE.search(url):
        raise Unfit("must have no spaces or control characters, and % only in escapes")
    try:
        _ = urlsplit(url).port
    except ValueError:
        raise Unfit("must name its host as host, host:port or [IPv6]:port") from None
    return url


def _split_address(text: str) -> tuple[str, str]:
    host, colon, port = text.rpartition(":")
    return (text, "") if not colon or port.endswith("]") else (host, port)


def _is_port(text: str, low: int = 1) -> bool:
    return _NUMBER.fullmatch(text) is not None and low <= int(text) <= PORT_MAX


def _address(text: str) -> str:
    if text.lower() == "off":
        return "off"
    host, port = _split_address(text)
    if not host or _HOST.fullmatch(host) is None or not _is_port(port, low=0):
        raise Unfit("must be host:port, [IPv6]:port or off", "127.0.0.1:8001")
    return text


def _token(text: str) -> str:
    if _TOKEN.fullmatch(text) is None:
        raise Unfit(
            "must be 16 to 512 printable ASCII letters without spaces and colons",
            "openssl rand -hex 24",
        )
    return text


def is_loopback(bind: str) -> bool:
    """Return whether only this machine reaches a checked address (host:port)."""
    host = _split_address(bind)[0].strip("[]").partition("%")[0]
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _uri(text: str) -> str:
    if _CONTROL.search(text):
        raise Unfit("must have no control characters")
    if _URI.fullmatch(text) is None or _BAD_ESCAPE.search(text):
        raise Unfit("must be a URI reference (RFC 3986), such as https://example.com/problems#busy")
    try:
        urlsplit(text)
    except ValueError:
        raise Unfit("must be a URI reference (RFC 3986): its host can't be read") from None
    return text


def _path(text: str) -> str:
    if _PATH.fullmatch(text) is None:
        raise Unfit("each must be a path that begins with /, such as /static/*")
    return text


def _route(text: str) -> str:
    found = _ROUTE.fullmatch(text)
    if found is None:
        raise Unfit("each must be a method and a path, such as POST /search")
    return f"{found.group(1).upper()} {found.group(2)}"


def _header(text: str) -> str:
    if text.lower() == "off":
        return "off"
    if _HEADER.fullmatch(text) is None:
        # A server drops a name with an underscore, which it can't tell from one with a hyphen.
        raise Unfit("must be a header's name, of letters, digits and hyphens, or off")
    return text


def _peer(text: str) -> str:
    if text == "*":
        return text
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        raise Unfit("each must be an address, a network such as 10.0.0.0/8, or *") from None


def _plain(text: str) -> str:
    if _NO_TEXT.search(text):
        raise Unfit("must be a text in UTF-8, without control characters")
    return text


_FORMS: Final[Mapping[Form, Callable[[str], str]]] = {
    "": _plain,
    "database": _database,
    "redis": _redis,
    "address": _address,
    "token": _token,
    "uri": _uri,
    "path": _path,
    "route": _route,
    "header": _header,
    "peer": _peer,
}
