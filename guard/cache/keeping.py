"""What a worker keeps of its answers: which ones, where, for how long; made from settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol
from urllib.parse import unquote_to_bytes, urlsplit

from guard import metrics
from guard.cache.entry import HEADERS, fresh_headers, may_be_asked, stale_headers
from guard.cache.flights import Flights
from guard.errors import BadSetting, SettingsError
from guard.problem import Response
from guard.routing import Patterns
from guard.rules import WAIT_BOUND_FACTOR
from guard.tally import ROUTE_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from guard.cache.entry import Entry, Found
    from guard.events import Recorder
    from guard.routing import Environ
    from guard.settings import Settings

_OK: Final = 200
# A path came decoded. What parts a key's parts must not be in it, or two requests have one name.
_IN_PATH: Final = str.maketrans({"%": "%25", " ": "%20", "?": "%3F"})


class Store(Protocol):
    """Where answers are kept; ``MemoryStore`` and ``RedisStore`` tell what each call does."""

    def get(self, key: str) -> Found | None:
        """Return what is kept, within its lifetime."""
        ...

    def at_hand(self, key: str) -> Found | None:
        """Return the same without any wait, or None."""
        ...

    def lease(self, key: str) -> object:
        """Return the right to put what is computed from now on."""
        ...

    def put(self, key: str, entry: Entry | None, lease: object) -> None:
        """Keep what was computed since then."""
        ...

    def forget(self, keys: Iterable[str]) -> None:
        """Drop what is kept, and what is being computed."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class Times(NamedTuple):
    """How long.

    Attributes:
        fresh_s: an answer is given again for this long, seconds.
        stale_s: and for this much longer where its request would be refused, seconds.
        wait_s: most time that a request waits for what another one computes, seconds.
    """

    fresh_s: float
    stale_s: float
    wait_s: float


class Keeping:
    """A worker's kept answers. Thread-safe.

    Args:
        store: where they are.
        key_of: names the answer to a GET; None where it is not to be kept. It sees method, path,
            query and ``Host`` alone.
        times: how long.
        recorder: takes the measurements.

    Attributes:
        store: see above.
        times: see above.
        flights: what is being computed.
        headers: the request headers that ``spare`` looks at.
    """

    headers = HEADERS

    def __init__(
        self,
        store: Store,
        key_of: Callable[[Environ], str | None],
        times: Times,
        recorder: Recorder,
    ) -> None:
        self.store = store
        self.times = times
        self.flights = Flights()
        self._key_of = key_of
        self._record = recorder

    def key(self, environ: Environ) -> str | None:
        """Return the name of the answer to a request; None where none may be given or kept."""
        return self._key_of(environ) if may_be_asked(environ) else None

    def count(self, result: str) -> None:
        """Count how a request was answered, one of ``guard.metrics.CACHE_RESULTS``."""
        self._record.add(metrics.CACHE_REQUESTS, (result,))

    def forget(self, *keys: str) -> None:
        """Drop answers that a write has changed; to be called when it is durable.

        What is computed now is not kept either, and a request that comes later does not wait for
        it. Where answers are kept in Redis this holds for all hosts, but for computations that
        are under way in other processes, and while Redis is away.
        """
        self.flights.forget(keys)
        self.store.forget(keys)

    def forget_changed(self, environ: Environ, headers: Iterable[tuple[str, str]]) -> None:
        """Drop what a write at this URI changes: RFC 9111, section 4.4.

        The answers to the request's own URI, and to those of ``Location`` and ``Content-Location``
        on the same host.
        """
        named = [
            value for name, value in headers if name.lower() in {"location", "content-location"}
        ]
        targets = [_target(environ, value) for value in named]
        found = [self._key_of(one) for one in (_get(environ), *targets) if one is not None]
        keys = [key for key in found if key is not None]
        if keys:
            self.forget(*keys)

    def spare(self, environ: Environ) -> Response | None:
        """Return a kept answer for a request that would be refused; never waits.

        A late one says so in ``Warning``.
        """
        key = self.key(environ)
        found = self.store.at_hand(key) if key is not None else None
        if found is None:
            return None
        environ[ROUTE_KEY] = found.entry.route
        if found.age_s < self.times.fresh_s:
            self.count("hit")
            return Response(_OK, fresh_headers(found), found.entry.body)
        self.count("stale")
        return Response(_OK, stale_headers(found), found.entry.body)


def _get(environ: Environ) -> Environ:
    return {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": environ.get("PATH_INFO", ""),
        "QUERY_STRING": environ.get("QUERY_STRING", ""),
        "HTTP_HOST": environ.get("HTTP_HOST", ""),
    }


def _target(environ: Environ, uri: str) -> Environ | None:
    """Return the GET of a URI that a response names; None where it is another host's."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    host = environ.get("HTTP_HOST", "")
    if parts.netloc not in {"", host} or not parts.path.startswith("/"):
        return None
    path = parts.path.removeprefix(environ.get("SCRIPT_NAME", ""))
    return {
        **_get(environ),
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": parts.query,
    }


def keeping(
    settings: Settings,
    remember: Callable[[Environ], str | None] | None,
    recorder: Recorder,
    now_s: Callable[[], float],
) -> Keeping | None:
    """Return what the settings ask for; None where nothing is kept.

    Args:
        settings: the operator's.
        remember: the developer's own names of answers, asked where ``GUARD_CACHE_ROUTES`` has none.
        recorder: takes the measurements.
        now_s: the monotonic clock.

    Raises:
        SettingsError: a package is missing.
    """
    if settings.cache == "off":
        return None
    try:
        store = _store(settings, recorder, now_s)
    except ModuleNotFoundError as error:
        hint = "pip install 'wsgi-guard[cache]'"
        raise SettingsError(
            [BadSetting("GUARD_CACHE", settings.cache, f"needs {error.name}", hint)]
        ) from error
    times = Times(
        settings.cache_ttl_s,
        settings.cache_stale_s,
        WAIT_BOUND_FACTOR * settings.read_wait_budget_s,
    )
    return Keeping(store, _namer(settings.cache_routes, remember), times, recorder)


def _store(settings: Settings, recorder: Recorder, now_s: Callable[[], float]) -> Store:
    from guard.cache.memory_store import MemoryStore

    lifetime_s = settings.cache_ttl_s + settings.cache_stale_s
    near = MemoryStore(settings.cache_entries, lifetime_s, now_s)
    if settings.cache == "memory":
        return near
    from guard.cache.redis_store import TIMEOUT_S, RedisStore
    from guard.redis_client import connect

    redis = connect(settings.cache_redis_url, TIMEOUT_S)
    return RedisStore(redis, settings.cache_redis_prefix, lifetime_s, near, now_s, recorder)


def _namer(
    routes: tuple[str, ...], remember: Callable[[Environ], str | None] | None
) -> Callable[[Environ], str | None]:
    patterns = Patterns(routes)

    def name(environ: Environ) -> str | None:
        path = environ.get("PATH_INFO", "")
        if patterns.match(path):
            host, query = environ.get("HTTP_HOST", ""), environ.get("QUERY_STRING", "")
            return f"{host} {path.translate(_IN_PATH)}?{query}"
        return remember(environ) if remember is not None else None

    return name
