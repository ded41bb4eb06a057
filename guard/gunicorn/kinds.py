"""The parts of gunicorn's objects that the hooks use; gunicorn itself carries no types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor
    from logging import Logger


class Config(Protocol):
    """gunicorn's configuration, of a file and the command line."""

    address: Sequence[tuple[str, int] | str | int]
    workers: int
    threads: int
    worker_connections: int
    worker_class: type
    worker_class_str: str
    preload_app: bool
    reuse_port: bool
    graceful_timeout: int
    worker_int: Callable[[Any], None]

    def set(self, name: str, value: object) -> None:
        """Change one setting in this process."""
        ...


class Pidfile(Protocol):
    """The file with the arbiter's process number."""

    def unlink(self) -> None:
        """Remove it."""
        ...


class Server(Protocol):
    """The arbiter."""

    cfg: Config
    log: Logger
    app: Any
    pidfile: Pidfile | None
    WORKERS: Mapping[int, Worker]
    LISTENERS: Sequence[object]
    START_CTX: dict[Any, Any]


class MethodQueue(Protocol):
    """gthread's queue of calls for the main thread."""

    def defer(self, callback: Callable[[], object]) -> None:
        """Add a call and wake the main thread; may be called in a signal handler."""
        ...


class Worker(Protocol):
    """A worker, on both sides of the fork. ``tpool`` and below: gthread's only."""

    age: int
    pid: int | str
    booted: bool
    alive: bool
    cfg: Config
    log: Logger
    load_wsgi: Callable[[], None]
    handle_exit: Callable[[int, object], None]
    handle_quit: Callable[[int, object], None]
    tpool: Executor | None
    method_queue: MethodQueue
    nr_conns: int
