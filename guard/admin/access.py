"""Who may look: a token, as a bearer or as the password of a browser's login; which host. Pure."""

from __future__ import annotations

import binascii
from base64 import b64decode
from hmac import compare_digest
from ipaddress import ip_address

CHALLENGE = 'Basic realm="guard", charset="UTF-8"'
"""What a browser understands; any user name will do."""


def allowed(authorization: str, token: str) -> bool:
    """Return whether a request may be answered; takes as long for any wrong token.

    Args:
        authorization: the header ``Authorization``; empty where there is none.
        token: what has to be known; empty where everybody may look.
    """
    if not token:
        return True
    scheme, _, credentials = authorization.strip().partition(" ")
    read = {"bearer": _bearer, "basic": _password}.get(scheme.lower(), _nothing)
    return compare_digest(read(credentials.strip()), token.encode())


def named_here(host: str) -> bool:
    """Return whether a ``Host`` header names this machine by its address, or as localhost.

    A stranger's web page can have its own name resolve to 127.0.0.1 and so have a browser on this
    machine read what answers there (DNS rebinding); then the header has the stranger's name.
    """
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    if not name or name.lower() == "localhost":
        return True
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _nothing(_credentials: str) -> bytes:
    return b""


def _bearer(credentials: str) -> bytes:
    return credentials.encode("latin-1", "replace")


def _password(credentials: str) -> bytes:
    try:
        return b64decode(credentials, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""
