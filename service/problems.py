"""Every error as a problem document (RFC 9457)."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from flask import Response
from werkzeug.exceptions import HTTPException

from guard.errors import ClientGone, GuardError, Shed
from guard.problem import CONTENT_TYPE, response_for
from service.idempotency import KeyInUseError, KeyReusedError
from service.validation import (
    BadTermError,
    InvalidFieldsError,
    MalformedBodyError,
    MalformedKeyError,
)

if TYPE_CHECKING:
    from flask import Flask

log = logging.getLogger("service")

_CONFLICT = 409
_UNPROCESSABLE = 422
_IN_USE_S = 1
"""A write lasts milliseconds, so the shortest time that the header can tell is long enough."""


def problem(status: int, detail: str, **members: object) -> Response:
    """Return a problem response; its title is the status' phrase.

    Args:
        status: the HTTP status, 400 to 599.
        detail: what went wrong this time, for people.
        members: further members of the document.
    """
    response = Response(status=status)
    title = response.status.partition(" ")[2].title()
    document = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        **members,
    }
    response.data = json.dumps(document)
    response.content_type = CONTENT_TYPE
    return response


def install(app: Flask, problem_type: str) -> None:
    """Answer every error of ``app`` with a problem document.

    Args:
        app: the application.
        problem_type: the ``type`` URI of the guard's refusals.
    """

    def refused(error: GuardError) -> Response:
        if not isinstance(error, Shed | ClientGone):
            log.warning("the database did not answer: %s", error)
        answer = response_for(error, problem_type)
        return Response(answer.body, answer.status, list(answer.headers))

    app.register_error_handler(GuardError, refused)
    app.register_error_handler(InvalidFieldsError, _invalid_fields)
    app.register_error_handler(KeyInUseError, _key_in_use)
    app.register_error_handler(KeyReusedError, _key_reused)
    app.register_error_handler(MalformedKeyError, _bad_request)
    app.register_error_handler(MalformedBodyError, _bad_request)
    app.register_error_handler(BadTermError, _bad_request)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)


def _invalid_fields(error: InvalidFieldsError) -> Response:
    errors = [{"pointer": found.pointer, "detail": found.detail} for found in error.problems]
    return problem(_UNPROCESSABLE, "The warrior has missing or wrong fields.", errors=errors)


def _key_in_use(_error: KeyInUseError) -> Response:
    # No client retries a 409 unless it is told to; those that are find here when.
    response = problem(
        _CONFLICT,
        "The first request with this Idempotency-Key has not ended yet. Nothing was executed for "
        "this one; it can be sent again.",
        retry_after=_IN_USE_S,
        processed=False,
    )
    response.headers["Retry-After"] = str(_IN_USE_S)
    response.headers["Cache-Control"] = "no-store"
    return response


def _key_reused(_error: KeyReusedError) -> Response:
    return problem(
        _UNPROCESSABLE,
        "This Idempotency-Key was used for another warrior. Nothing was executed; a new request "
        "needs a new key.",
        processed=False,
    )


def _bad_request(error: MalformedBodyError | MalformedKeyError | BadTermError) -> Response:
    return problem(400, str(error))


def _http_error(error: HTTPException) -> Response:
    response = problem(error.code or 500, error.description or "")
    for name, value in error.get_headers():
        # Allow of a 405 and its like; not the type of the HTML page that we don't send.
        if name.lower() != "content-type":
            response.headers[name] = value
    return response


def _unexpected(error: Exception) -> Response:
    log.error("a request failed", exc_info=error)
    return problem(500, "The request failed.")
