"""gunicorn's configuration: numbers from the settings, hooks by name, nothing else.

``bind`` is left to gunicorn, which reads ``PORT``.
"""

from guard import gunicorn as guard

settings = guard.settings_or_exit()

worker_class = "guard.gunicorn.worker.GuardWorker"
workers = settings.workers
threads = settings.threads
graceful_timeout = guard.graceful_timeout_s(settings)
worker_connections = 1000
# Longer than proxies keep theirs (60 s), and than the longest Retry-After by default: whoever
# closes first must be the client, or its next request may meet a closed door. An idle one
# makes room where all places are taken.
keepalive = 75
loglevel = settings.log_level
logger_class = "guard.gunicorn.logs.GuardLogger"
accesslog = None
preload_app = False
control_socket_disable = True

on_starting = guard.on_starting
on_reload = guard.on_reload
when_ready = guard.when_ready(curl="curl -i {url}/counting-warriors")
pre_exec = guard.pre_exec
pre_fork = guard.pre_fork
post_fork = guard.post_fork
post_worker_init = guard.post_worker_init
worker_int = guard.worker_int
worker_abort = guard.worker_abort
worker_exit = guard.worker_exit
child_exit = guard.child_exit
on_exit = guard.on_exit
