"""Helpers of the service's tests: start it, wait for it, talk to it."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.middleware.lint import LintMiddleware
from werkzeug.test import Client

from guard.settings import load
from service import create_app

if TYPE_CHECKING:
    from guard.assembly import Assembly

GOOD = {"name": "Li", "dob": "1999-12-31", "fight_skills": ["BJJ", "Karate"]}


def wait_ready(assembly: Assembly, timeout_s: float = 20.0) -> None:
    """Wait until the database is open and migrated."""
    tick = Event()
    for _ in range(int(timeout_s / 0.01)):
        if assembly.ready:
            return
        tick.wait(0.01)
    pytest.fail(assembly.why_not_ready)


class Service:
    """A running application and a client of it, with werkzeug's protocol checks around both."""

    def __init__(self, url: str, **more: str) -> None:
        self.app = create_app(load({"GUARD_DATABASE_URL": url, **more}).settings)
        self.assembly: Assembly = self.app.extensions["guard"]
        self.client = Client(LintMiddleware(self.app))

    def send(self, method: str, path: str, **options: Any) -> Any:
        """Return the response to one request."""
        # Buffered: read and closed at once, as a server does; the permit goes with the close.
        return self.client.open(path, method=method, buffered=True, **options)

    def post(self, body: bytes, **options: Any) -> Any:
        """Return the response to a POST of ``body`` as it is."""
        return self.send("POST", "/warrior", data=body, **options)


def problem_of(response: Any, status: int) -> dict[str, Any]:
    """Return the problem document of ``response``, which must be one with this status."""
    assert response.status_code == status, response.text
    assert response.mimetype == "application/problem+json"
    document: dict[str, Any] = response.get_json(force=True)
    assert document["status"] == status
    assert document["title"] == response.status.split(" ", 1)[1].title()
    assert {"type", "detail"} <= set(document)
    return document
