"""A client's mark as a text that only we can have written.

    <position, hexadecimal>.<seconds since 1970, hexadecimal>.<half of an HMAC-SHA-256 of both>

Unsigned, anybody could name a position that no replica will ever have, and with each request make
one wait and the primary answer. Once it is older than any replica's lag may be it says nothing,
so it is not believed for ever.
"""

from __future__ import annotations

import re
from hashlib import sha256
from hmac import compare_digest, digest
from typing import Final

_FORM: Final = re.compile(r"([0-9a-f]{1,16})\.([0-9a-f]{1,12})\.([0-9a-f]{32})")
_DIGITS: Final = 32
_EARLY_S: Final = 2
"""Hosts' clocks may differ by so much."""


def signed(position: int, key: str, now_s: float) -> str:
    """Return the text of a mark.

    Args:
        position: bytes of the log, >= 0.
        key: the secret.
        now_s: the time, seconds since 1970.
    """
    text = f"{position:x}.{int(now_s):x}"
    return f"{text}.{_signature(text, key)}"


def position_in(token: str, key: str, now_s: float, age_max_s: float) -> int:
    """Return the position in a text that ``signed`` made; 0 where it is none, forged or too old.

    Args:
        token: whatever came.
        key: the secret.
        now_s: the time, seconds since 1970.
        age_max_s: an older one says nothing, seconds.
    """
    found = _FORM.fullmatch(token)
    if found is None:
        return 0
    position, at, signature = found.groups()
    if not compare_digest(signature, _signature(f"{position}.{at}", key)):
        return 0
    age_s = now_s - int(at, 16)
    return int(position, 16) if -_EARLY_S <= age_s <= age_max_s else 0


def _signature(text: str, key: str) -> str:
    return digest(key.encode(), text.encode(), sha256).hex()[:_DIGITS]
