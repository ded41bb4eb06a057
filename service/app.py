"""The application, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Flask, request

from guard.assembly import assemble
from guard.errors import BadSetting, SettingsError
from guard.exchange import close_connection
from guard.gunicorn import current_worker
from guard.settings import load
from guard.tally import ROUTE_KEY
from service import own_writes
from service.lanes import BODY_MAX_BYTES, classify, has_long_body, may_wait, remember
from service.migrations import prepare
from service.problems import install
from service.routes import UNREAD_KEY, Handlers
from service.store import Warriors
from service.transfer.served import copy_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from guard.assembly import Assembly
    from guard.events import Recorder
    from guard.middleware import Guard
    from guard.routing import Environ
    from guard.settings import Settings

EXTENSION = "guard"
"""The name in ``app.extensions`` of the app's ``guard.assembly.Assembly``."""


def create_app(settings: Settings | None = None, *, recorder: Recorder | None = None) -> Flask:
    """Return the service, its database opening in the background.

    Makes threads and connections, so it must be called after a fork. In a gunicorn worker the
    guard measures into the worker's row, drains with the worker and closes at its exit;
    elsewhere the caller ends with ``app.extensions["guard"].close()``.

    Args:
        settings: checked settings; by default the worker's, or those of the environment.
        recorder: takes the measurements; by default the worker's, or one of its own.

    Raises:
        SettingsError: a setting is wrong, or there is no database in them.
        LoadedInArbiter: this is the process that forks gunicorn's workers.
    """
    worker = current_worker()
    if settings is None:
        settings = load().settings if worker is None else worker.settings
    if not settings.database_url:
        raise SettingsError([BadSetting("GUARD_DATABASE_URL", "", "the service needs a database")])
    if recorder is None and worker is not None:
        recorder = worker.recorder
    queues, live = (None, None) if worker is None else (worker.queues, worker.live)
    assembly = assemble(
        settings, recorder=recorder, prepare=prepare, classify=classify, queues=queues, live=live,
        remember=remember, may_wait=may_wait,
    )  # fmt: skip
    app = Flask("service", static_folder=None)
    guard = _install(app, assembly)
    if worker is not None:
        worker.gate = guard
        worker.on_drain(assembly.drain)
        worker.on_exit(assembly.close)
        if (copies := copy_server(assembly)) is not None:
            copies.start()
            worker.on_drain(copies.stop)
    return app


def _install(app: Flask, assembly: Assembly) -> Guard:
    # One byte more than is taken: of a body without a told length werkzeug reads this much and
    # drops the rest in silence, so the last byte is how a handler sees that there was more.
    app.config["MAX_CONTENT_LENGTH"] = BODY_MAX_BYTES + 1
    # A path with a slash too many is an unknown path, not a redirect.
    app.url_map.merge_slashes = False
    app.before_request(_tell_route)
    warriors = Warriors(assembly.database)
    app.register_blueprint(Handlers(warriors, assembly).blueprint())
    if assembly.jobs is not None:
        assembly.jobs.start(warriors.create_put_off)
    install(app, assembly.settings.problem_type)
    own_writes.install(app, assembly.settings)
    app.extensions[EXTENSION] = assembly
    inner: Callable[..., Iterable[bytes]] = app.wsgi_app

    def closing(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        return inner(environ, _close_after_unread_body(environ, start_response))

    guard = assembly.wrap(closing)
    app.wsgi_app = guard  # type: ignore[method-assign]
    return guard


def _tell_route() -> None:
    if request.url_rule is not None:
        request.environ[ROUTE_KEY] = request.url_rule.rule


def _close_after_unread_body(
    environ: Environ, start_response: Callable[..., Any]
) -> Callable[..., Any]:
    # Whoever sends more than we read would hold a thread until all of it has come.
    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:  # noqa: ANN401
        if UNREAD_KEY in environ or has_long_body(environ):
            close_connection(start_response)
        return (
            start_response(status, headers, exc_info)
            if exc_info
            else start_response(status, headers)
        )

    return start
