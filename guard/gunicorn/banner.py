"""What runs where, in a few lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.settings.masking import mask_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.settings import Settings

_ANY = ("0.0.0.0", "[::]")  # noqa: S104 - what a listener says, not what we bind
_LABEL_WIDTH = 10


def banner(settings: Settings, urls: Sequence[str], admin: str, curl: str) -> str:
    """Return the banner.

    Args:
        settings: the settings in force.
        urls: where the service listens, as gunicorn names it.
        admin: where the admin listener is or will be, ``host:port``; empty where it is off.
        curl: a command to try; ``{url}`` in it becomes the service's URL.
    """
    metrics = f"http://{admin}/metrics (also /livez, /readyz)" if admin else "off"
    lines = [
        ("service", ", ".join(urls)),
        ("page", f"http://{admin}/ (in a terminal: python -m guard top)" if admin else "off"),
        ("metrics", metrics),
        ("database", _database(settings)),
        ("capacity", _capacity(settings)),
        ("mode", f"{settings.mode}, policy {settings.policy}"),
    ]
    if curl and urls:
        lines.append(("try", curl.replace("{url}", _reachable(urls[0]))))
    text = (f"  {label:<{_LABEL_WIDTH}}{value}" for label, value in lines)
    return "\n".join(["Guard is in front of the service:", *text, ""])


def _database(settings: Settings) -> str:
    if not settings.database_url:
        return "none"
    reads = settings.database_read_url
    text = mask_url(settings.database_url)
    return f"{text}, reads from {mask_url(reads)}" if reads else text


def _capacity(settings: Settings) -> str:
    return (
        f"{_count(settings.workers, 'worker')} x {_count(settings.threads, 'thread')} "
        f"({settings.thread_reserve} in reserve) x pool: "
        f"read {settings.read_pool_size} (+{settings.read_waiters} waiting), "
        f"write {settings.write_pool_size} (+{settings.write_waiters} waiting)"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _reachable(url: str) -> str:
    for wildcard in _ANY:
        url = url.replace(wildcard, "127.0.0.1")
    return url
