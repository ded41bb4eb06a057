"""A worker's breakers from settings, shared with its host's workers and with other hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import uuid4

from guard.breaker import LaneBreaker
from guard.breaker.exchange import Exchange
from guard.core.breaker_types import BreakerRules
from guard.core.vocabulary import Lane
from guard.errors import BadSetting, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.board.breakers import WorkerBreakers
    from guard.clock import Clock
    from guard.events import Recorder
    from guard.settings import Settings

_PROBE_GRACE_S: Final = 5.0


def lane_breakers(
    settings: Settings,
    host: WorkerBreakers | None,
    clock: Clock,
    draw: Callable[[], float],
    recorder: Recorder,
) -> dict[Lane, LaneBreaker]:
    """Return a breaker for each lane.

    Args:
        settings: the operator's.
        host: what the workers of this host share; None where this process is alone.
        clock: the monotonic clock.
        draw: gives uniform random numbers in ``[0, 1)``.
        recorder: takes what the breakers measure.
    """
    rules = breaker_rules(settings)
    stores = host.stores if host else {}
    return {
        lane: LaneBreaker(lane, rules, clock, draw, recorder, store=stores.get(lane))
        for lane in Lane
    }


def exchange(
    settings: Settings,
    host: WorkerBreakers | None,
    breakers: Mapping[Lane, LaneBreaker],
    recorder: Recorder,
) -> Exchange | None:
    """Return the exchange with other hosts, not yet started; None where none is wanted.

    Raises:
        SettingsError: the package that speaks to Redis is missing.
    """
    if not settings.breaker_redis_url:
        return None
    try:
        from guard.breaker.redis_bulletin import RedisBulletin
    except ModuleNotFoundError as error:
        raise SettingsError(
            [
                BadSetting(
                    "GUARD_BREAKER_REDIS_URL", "(set)", "needs pip install 'wsgi-guard[redis]'"
                )
            ]
        ) from error
    name = host.host if host else uuid4().hex
    may_exchange = host.may_exchange if host else lambda: True
    bulletin = RedisBulletin(settings.breaker_redis_url, settings.breaker_redis_prefix)
    return Exchange(breakers, bulletin, name, may_exchange, recorder)


def breaker_rules(settings: Settings) -> BreakerRules:
    """Return the breakers' rules of the settings."""
    return BreakerRules(
        mode=settings.breaker_mode,
        failure_ratio=settings.breaker_failure_ratio,
        min_calls=settings.breaker_min_calls,
        window_s=settings.breaker_window_s,
        open_s=settings.breaker_open_s,
        open_max_s=settings.breaker_open_max_s,
        slow_s=settings.breaker_slow_s,
        slow_ratio=settings.breaker_slow_ratio,
        ramp_s=settings.breaker_ramp_s,
        probe_limit_s=settings.probe_timeout_s + _PROBE_GRACE_S,
    )
