"""Takes passwords out of every text that people may see."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

MASK: Final = "***"

_SHOWN_MAX: Final = 120
_LETTERS_MIN: Final = 3
"""Shorter passwords aren't searched for in a text: they would be found in every word."""
_SAFE_PARAMETERS: Final = frozenset(
    {"application_name", "connect_timeout", "dbname", "host", "hostaddr", "port", "sslmode"}
    | {"target_session_attrs", "user"}
)
_UNSURE: Final = re.compile(r"[:/@]")
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)(.*)", re.DOTALL)


def mask_url(text: str) -> str:
    """Return a database URL without its password, and without parameters that may hold one.

    Everything between the first colon after the scheme and the *last* at sign is taken for the
    password, so that one that should have been percent-encoded does not show either. A text
    that is no URL is masked as a whole.
    """
    found = _URL.fullmatch(text)
    if found is None:
        return MASK if text else ""
    scheme, rest = found.groups()
    head, question, query = rest.partition("?")
    if "@" in query:
        # A password with a raw question mark, or a parameter with an at sign: nobody can tell.
        return f"{scheme}{_UNSURE.split(head, maxsplit=1)[0]}{MASK}"
    credentials, at, place = head.rpartition("@")
    user, colon, _ = credentials.partition(":")
    password = f":{MASK}" if colon else ""
    parameters = "&".join(_mask_parameter(parameter) for parameter in query.split("&"))
    return f"{scheme}{user}{password}{at}{place}{question}{parameters if question else ''}"


def _mask_parameter(parameter: str) -> str:
    name, equals, value = parameter.partition("=")
    if name == "password" and equals:
        return f"{name}={MASK}"
    return f"{name}={value}" if name in _SAFE_PARAMETERS else MASK


def shown(text: str, *, secret: bool) -> str:
    """Return a setting's text as people may see it, cut to a sensible length.

    A URL is masked wherever it stands: one that was given to the wrong setting is no less secret.
    """
    masked = mask_url(text) if secret or "://" in text else text
    return masked if len(masked) <= _SHOWN_MAX else masked[: _SHOWN_MAX - 3] + "..."


def scrub(text: str, *urls: str) -> str:
    """Return a driver's message without the passwords of these URLs."""
    for url in urls:
        for secret in sorted(_secrets(url), key=len, reverse=True):
            text = text.replace(secret, MASK)
    return text


def _secrets(url: str) -> set[str]:
    found = _URL.fullmatch(url)
    if found is None:
        return set()
    rest = found.group(2)
    candidates = {rest.rpartition("@")[0].partition(":")[2]}
    for parameter in rest.partition("?")[2].split("&"):
        name, _, value = parameter.partition("=")
        if name not in _SAFE_PARAMETERS:
            candidates.add(value)
    both = candidates | {unquote(candidate) for candidate in candidates}
    return {secret for secret in both if len(secret) >= _LETTERS_MIN}
