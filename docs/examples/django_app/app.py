"""A Django project in one file, guarded: ``application`` is what gunicorn runs.

In a project of your own only ``guarded`` goes into ``wsgi.py``, around ``get_wsgi_application()``.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.db.backends.signals import connection_created
from django.http import HttpRequest, JsonResponse
from django.urls import path

from guard.assembly import assemble
from guard.gunicorn import current_worker
from guard.settings import load
from guard.tally import ROUTE_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django.http import HttpResponse

    WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

FILE = os.environ.get("DATABASE_FILE", "/tmp/guard-example-django.sqlite")  # noqa: S108 - an example


def tell_route(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Tell the guard's metrics the URL's rule; a Django middleware."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if request.resolver_match is not None:
            request.environ[ROUTE_KEY] = f"/{request.resolver_match.route}"
        return response

    return middleware


def report(request: HttpRequest) -> JsonResponse:
    """Ask the database for as long as the query says: ``/report?seconds=0.5``."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT sleep(%s)", [float(request.GET.get("seconds", "0"))])
    return JsonResponse({"done": True})


def about(_request: HttpRequest) -> JsonResponse:
    """Answer without the database."""
    return JsonResponse({"name": "guarded Django"})


urlpatterns = [path("report", report), path("about", about)]

django_settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": FILE}},
    MIDDLEWARE=[f"{__name__}.tell_route"],
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.environ.get("SECRET_KEY", "only for the example"),
)


def _add_sleep(connection: Any, **_: object) -> None:  # noqa: ANN401
    # SQLite has no pg_sleep; a query that takes its time is what an overload is made of.
    connection.connection.create_function("sleep", 1, time.sleep)  # noqa: TID251 - the database's


connection_created.connect(_add_sleep)


def guarded(app: WsgiApp) -> WsgiApp:
    """Return the application with the guard around it. Runs in each worker, after the fork."""
    worker = current_worker()
    settings = load().settings if worker is None else worker.settings
    if worker is None:
        return assemble(settings).wrap(app)
    assembly = assemble(settings, recorder=worker.recorder, queues=worker.queues)
    guard = assembly.wrap(app)
    worker.gate = guard
    worker.on_drain(assembly.drain)
    worker.on_exit(assembly.close)
    return guard


application = guarded(get_wsgi_application())
