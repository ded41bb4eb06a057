"""gunicorn's hooks. Each has the name of the setting that it is meant for."""

from __future__ import annotations

import logging
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from guard.errors import GuardError
from guard.gunicorn.banner import banner
from guard.gunicorn.console import show, tell
from guard.gunicorn.context import WorkerContext, become_worker
from guard.gunicorn.ending import Ending
from guard.gunicorn.logs import set_up
from guard.gunicorn.queues import EXECUTOR, executor_queue
from guard.gunicorn.startup import last_read, settings_in_force, start
from guard.settings.model import specs

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.gunicorn.arbiter import Arbiter
    from guard.gunicorn.kinds import Server, Worker

log = logging.getLogger("guard.gunicorn")

_BOOT_ERROR: Final = 3
"""gunicorn's status of a worker that did not start: the arbiter then ends too."""
_SWITCH_INTERVAL_S: Final = 0.0005
_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


class _Process:
    """What the hooks remember in one process; a reload keeps it, a fork copies it."""

    arbiter: Arbiter | None = None
    ending: Ending | None = None


def on_starting(server: Server) -> None:
    """Refuse to start where that can be seen to fail; take the admin address."""
    set_up(settings_in_force())
    _Process.arbiter = start(server)


def on_reload(_server: Server) -> None:
    """Give the new settings to the workers that start from now on."""
    arbiter = _Process.arbiter
    if arbiter is None:
        return
    loaded = last_read()
    if arbiter.live is not None:
        arbiter.live.renewed(loaded)
    if loaded is None:
        return
    settings = loaded.settings
    for field in ("admin_bind", "admin_token"):
        if getattr(settings, field) != getattr(arbiter.settings, field):
            tell(f"GUARD_{field.upper()} has changed: that takes a restart")
    set_up(settings)
    changed = [
        spec.env
        for field, spec in specs().items()
        if getattr(settings, field) != getattr(arbiter.settings, field)
    ]
    arbiter.reload(loaded)
    log.info(
        "reload: new workers start, changed settings: %s", ", ".join(changed) or "none",
        extra={"guard_event": "reload", "guard_changed": changed},
    )  # fmt: skip


def when_ready(curl: str = "") -> Callable[[Server], None]:
    """Return the hook that tells what runs where and starts the admin listener.

    Args:
        curl: a command to try; ``{url}`` in it becomes the service's URL.
    """

    def hook(server: Server) -> None:
        arbiter = _Process.arbiter
        if arbiter is None:
            return
        urls = [str(listener) for listener in server.LISTENERS]
        if arbiter.settings.log_format == "json":
            admin = arbiter.admin_address
            extra = {"guard_event": "serving", "guard_urls": urls, "guard_admin": admin}
            log.info("serving on %s", ", ".join(urls), extra=extra)
        else:
            show(banner(arbiter.settings, urls, arbiter.admin_address, curl))
        arbiter.start_admin()
        if arbiter.live is not None:
            arbiter.live.start()

    return hook


def pre_exec(server: Server) -> None:
    """Mend the command with which an upgrade (USR2) starts the new arbiter.

    After ``python -m gunicorn`` gunicorn would run the path of its own ``__main__.py``; that
    puts its folder first on the module path, where its ``http`` hides the standard library's.
    """
    arguments = server.START_CTX["args"]
    if Path(arguments[1]).parts[-2:] == ("gunicorn", "__main__.py"):
        arguments[1:2] = ["-m", "gunicorn"]


def pre_fork(server: Server, worker: Worker) -> None:
    """Give the coming worker a row of the board."""
    arbiter = _Process.arbiter
    if arbiter is None:
        return
    if arbiter.live is not None:
        arbiter.settings = arbiter.live.loaded.settings
    # child_exit is not called for every dead worker.
    arbiter.sweep(living.age for living in server.WORKERS.values())
    if arbiter.reserve(worker.age) is None:
        server.log.warning("no row of the board is free: this worker's metrics are not seen")


def post_fork(_server: Server, worker: Worker) -> None:
    """Become a worker: let go of the arbiter's sockets, take the row, listen to the end."""
    # Until gunicorn sets the worker's own handlers the arbiter's would swallow a stop signal.
    for number in _STOP_SIGNALS:
        signal.signal(number, _exit_at_once)
    arbiter = _Process.arbiter
    if arbiter is None:
        return
    if arbiter.listener is not None:
        arbiter.listener.abandon()
    # With the default of 5 ms one busy thread makes every other thread's step wait as long.
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    queues = {EXECUTOR: partial(executor_queue, worker)}
    news = None if arbiter.live is None else arbiter.live.news
    context = WorkerContext(arbiter.claim(worker.age), arbiter.settings, queues, news)
    become_worker(context)
    _Process.ending = Ending(worker, context)
    _Process.ending.install()
    _tell_guard_errors(worker)


def post_worker_init(worker: Worker) -> None:
    """Watch for the worker's end, now that the application is loaded."""
    log.info("worker %s has loaded the application", worker.pid, extra=_event("started", worker))
    if _Process.ending is not None:
        _Process.ending.watch()


def worker_int(_worker: Worker) -> None:
    """Begin to drain: gunicorn's reloader calls this; signals are noticed without it."""
    if _Process.ending is not None:
        _Process.ending.begin()


def worker_abort(_worker: Worker) -> None:
    """Begin to drain: the arbiter gave the worker up, since its main thread was stuck."""
    if _Process.ending is not None:
        _Process.ending.begin()


def worker_exit(_server: Server, worker: Worker) -> None:
    """End the worker: let running requests end, then run the exit callbacks.

    gunicorn calls this in the arbiter too, for a worker that is found gone.
    """
    if worker.pid != os.getpid():
        _retire(worker)
        return
    if _Process.ending is None:
        return
    leaving = sys.exc_info()[1]
    if not worker.booted and leaving is not None:
        _tell_boot_failure(worker, leaving)
    code = leaving.code if isinstance(leaving, SystemExit) else 0
    _Process.ending.finish(code if isinstance(code, int) else 0)


def child_exit(_server: Server, worker: Worker) -> None:
    """Fold the dead worker's row into the totals and free it."""
    _retire(worker)


def on_exit(_server: Server) -> None:
    """Give the admin address back."""
    if _Process.arbiter is not None and _Process.arbiter.listener is not None:
        _Process.arbiter.listener.abandon()


def _tell_guard_errors(worker: Worker) -> None:
    # gunicorn prints a traceback for each error in loading the application; ours explain
    # themselves in one line.
    load_wsgi = worker.load_wsgi

    def load_or_exit() -> None:
        try:
            load_wsgi()
        except GuardError as error:
            tell(*str(error).splitlines())
            raise SystemExit(_BOOT_ERROR) from error

    worker.load_wsgi = load_or_exit


def _tell_boot_failure(worker: Worker, leaving: BaseException) -> None:
    reason = leaving.__context__
    if reason is None or isinstance(reason, GuardError):
        return
    tell(f"worker {worker.pid} could not start: {type(reason).__name__}: {reason}")


def _retire(worker: Worker) -> None:
    if _Process.arbiter is not None and _Process.arbiter.retire(worker.age):
        log.info("worker %s has ended", worker.pid, extra=_event("ended", worker))


def _event(what: str, worker: Worker) -> dict[str, object]:
    return {"guard_event": f"worker_{what}", "guard_worker": worker.pid}


def _exit_at_once(_signal: int, _frame: object) -> None:
    os._exit(0)
