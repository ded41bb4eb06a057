"""Whose word counts: the proxies that the operator trusts, and what they say of a request's age."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final

from guard.core.request_times import age_s

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guard.routing import Environ

EVERYBODY: Final = "*"
START_KEY: Final = "HTTP_X_REQUEST_START"
_PEERS_MAX: Final = 1024


def trusts(proxies: Sequence[str]) -> Callable[[Environ], bool]:
    """Return what tells whether a request came straight from one of ``proxies``.

    It looks at ``REMOTE_ADDR`` alone, which is the peer's address; over a Unix socket there is
    none, and only ``*`` matches.

    Args:
        proxies: addresses, networks such as ``10.0.0.0/8``, or ``*`` for every peer.
    """
    if EVERYBODY in proxies:
        return lambda _environ: True
    networks = [ip_network(each, strict=False) for each in proxies]

    @lru_cache(_PEERS_MAX)
    def trusted(peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        # A listener of both families tells an IPv4 peer in IPv6's form.
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in networks)

    return lambda environ: trusted(environ.get("REMOTE_ADDR", ""))


def age_told_by(
    proxies: Sequence[str], otherwise: Callable[[Environ], float], wall_s: Callable[[], float]
) -> Callable[[Environ], float]:
    """Return what tells a request's age, by ``X-Request-Start`` too where a proxy is trusted.

    The greater of the two counts: the proxy may have held the request before it came here, and
    its clock may be ahead of ours.

    Args:
        proxies: as in ``trusts``; without any, ``otherwise`` is returned.
        otherwise: tells the age without a proxy's help, seconds.
        wall_s: our wall clock, seconds since 1970.
    """
    if not proxies:
        return otherwise
    trusted = trusts(proxies)

    def told_s(environ: Environ) -> float:
        own_s = otherwise(environ)
        text = environ.get(START_KEY)
        if text is None or not trusted(environ):
            return own_s
        return max(own_s, age_s(text, wall_s()))

    return told_s
