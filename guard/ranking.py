"""How much a request matters, and whose it is, told from its environ alone."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final, Literal

from guard.core.priority import Shares
from guard.core.vocabulary import Priority
from guard.routing import Patterns
from guard.trust import trusts

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.request import RequestScope
    from guard.routing import Environ
    from guard.settings import Settings

KEY_LENGTH_MAX: Final = 128
"""So much of a client's key is told apart."""

_PRIORITIES: Final = {each.value: each for each in Priority}
_NETWORK_BYTES: Final = 8


class Ranking:
    """The operator's and the developer's rules for classes and clients. Immutable.

    A class is what the header of a trusted proxy says, else what the routes say, else what the
    developer's callable says, else normal.

    Args:
        critical_routes: ``METHOD /path`` of critical requests; a trailing ``*`` matches any rest.
        sheddable_routes: the same for sheddable ones.
        priority_header: the header with a class; empty for none.
        prioritise: the developer's own answer for what is left; None = normal.
        fairness: by what clients are told apart.
        client_header: the header that names the client.
        trusted_proxies: whose headers are believed, as in ``guard.trust``; the requests of all
            others are told apart by address.

    Attributes:
        headers: names of the headers that are looked at; None where it may be any.
        knows_critical: whether there can be critical requests.
    """

    def __init__(  # noqa: PLR0913 - every part has a sound default
        self,
        *,
        critical_routes: tuple[str, ...] = (),
        sheddable_routes: tuple[str, ...] = (),
        priority_header: str = "",
        prioritise: Callable[[Environ], Priority | None] | None = None,
        fairness: Literal["off", "address", "header"] = "off",
        client_header: str = "",
        trusted_proxies: tuple[str, ...] = (),
    ) -> None:
        self._critical = Patterns(critical_routes)
        self._sheddable = Patterns(sheddable_routes)
        self._by_route = bool(critical_routes or sheddable_routes)
        self._priority_key = _environ_key(priority_header)
        self._prioritise = prioritise
        self._fair = fairness != "off"
        client_header = client_header if fairness == "header" else ""
        self._client_key = _environ_key(client_header)
        named = tuple(name for name in (priority_header, client_header) if name)
        self._trusted = trusts(trusted_proxies if named else ())
        self.headers = named if prioritise is None else None
        self.knows_critical = bool(critical_routes or priority_header or prioritise)

    def __bool__(self) -> bool:
        """Whether any request can differ from another."""
        return self._fair or self._by_route or self.knows_critical

    def rank(self, environ: Environ, scope: RequestScope) -> None:
        """Note in the scope which class and whose the request is."""
        trusted = self._trusted(environ)
        scope.priority = self._priority(environ, trusted=trusted)
        if self._fair:
            named = environ.get(self._client_key, "") if trusted else ""
            scope.client = named[:KEY_LENGTH_MAX] or _network_of(environ.get("REMOTE_ADDR", ""))

    def _priority(self, environ: Environ, *, trusted: bool) -> Priority:
        found = None
        if trusted:
            found = _PRIORITIES.get(environ.get(self._priority_key, "").strip().lower())
        if found is None and self._by_route:
            route = f"{environ['REQUEST_METHOD']} {environ.get('PATH_INFO', '')}"
            if self._critical.match(route):
                return Priority.CRITICAL
            if self._sheddable.match(route):
                return Priority.SHEDDABLE
        if found is None and self._prioritise is not None:
            found = self._prioritise(environ)
        return found or Priority.NORMAL


def _environ_key(header: str) -> str:
    return f"HTTP_{header.upper().replace('-', '_')}" if header else ""


@lru_cache(1024)
def _network_of(address: str) -> str:
    # One IPv6 client has a whole /64 to take its addresses from.
    try:
        peer = ip_address(address)
    except ValueError:
        return address
    if isinstance(peer, IPv6Address) and peer.ipv4_mapped is None:
        return peer.packed[:_NETWORK_BYTES].hex()
    return address


def ranking_by(
    settings: Settings, prioritise: Callable[[Environ], Priority | None] | None = None
) -> Ranking:
    """Return what the settings, and the developer's callable, say of classes and clients."""
    return Ranking(
        critical_routes=settings.critical_routes,
        sheddable_routes=settings.sheddable_routes,
        priority_header=_header(settings.priority_header),
        prioritise=prioritise,
        fairness=settings.fairness,
        client_header=_header(settings.client_key_header),
        trusted_proxies=settings.trusted_proxies,
    )


def _header(setting: str) -> str:
    return "" if setting == "off" else setting


def shares_by(settings: Settings, ranking: Ranking) -> Shares | None:
    """Return what each class may use of a lane; None where all requests are alike.

    Normal requests leave nothing to critical ones where there can be none.
    """
    if not ranking:
        return None
    if not ranking.knows_critical:
        return Shares(sheddable=settings.sheddable_budget_ratio)
    return Shares(
        settings.critical_share, settings.normal_budget_ratio, settings.sheddable_budget_ratio
    )
