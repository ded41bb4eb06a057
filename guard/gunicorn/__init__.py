"""Guard on gunicorn: the hooks that a configuration file names, and a worker's own view.

A configuration file for gunicorn looks like this::

    from guard.gunicorn import graceful_timeout_s, settings_or_exit, ...

    settings = settings_or_exit()
    worker_class = "guard.gunicorn.worker.GuardWorker"
    workers = settings.workers
    threads = settings.threads
    graceful_timeout = graceful_timeout_s(settings)

``gunicorn_config.py`` of this project is the whole of it.
"""

from guard.gunicorn.context import LoadedInArbiter, WorkerContext, current_worker
from guard.gunicorn.hooks import (
    child_exit,
    on_exit,
    on_reload,
    on_starting,
    post_fork,
    post_worker_init,
    pre_exec,
    pre_fork,
    when_ready,
    worker_abort,
    worker_exit,
    worker_int,
)
from guard.gunicorn.startup import graceful_timeout_s, settings_or_exit

__all__ = [
    "LoadedInArbiter",
    "WorkerContext",
    "child_exit",
    "current_worker",
    "graceful_timeout_s",
    "on_exit",
    "on_reload",
    "on_starting",
    "post_fork",
    "post_worker_init",
    "pre_exec",
    "pre_fork",
    "settings_or_exit",
    "when_ready",
    "worker_abort",
    "worker_exit",
    "worker_int",
]
