"""The service's answers."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request
from werkzeug.exceptions import BadRequest, NotFound, RequestEntityTooLarge

from guard.errors import Shed
from guard.jobs import Phase
from service.lanes import BODY_MAX_BYTES
from service.openapi import document
from service.problems import problem
from service.validation import parse_key, parse_object, parse_term, parse_warrior

if TYPE_CHECKING:
    from uuid import UUID

    from guard.assembly import Assembly
    from service.store import Warriors
    from service.warrior import NewWarrior

log = logging.getLogger("service")

_OK = 200
KEY_HEADER = "HTTP_IDEMPOTENCY_KEY"
"""Environ key of the request header ``Idempotency-Key``."""
UNREAD_KEY = "service.body_unread"
"""Environ key that says that a part of the body was left unread."""


class Handlers:
    """One method per operation; as thread-safe as what it is given.

    Args:
        warriors: the store.
        assembly: tells whether the worker is ready.
    """

    def __init__(self, warriors: Warriors, assembly: Assembly) -> None:
        self._warriors = warriors
        self._assembly = assembly
        self._openapi = json.dumps(document())

    def create(self) -> Response:
        """Create a warrior, once per Idempotency-Key: 201, 202, or 400, 409, 413, 422."""
        header = request.environ.get(KEY_HEADER)
        key = None if header is None else parse_key(header)
        new = parse_warrior(parse_object(_read_body()))
        try:
            if key is None:
                warrior = self._warriors.create(new)
            else:
                warrior = self._warriors.create_once(new, key)
        except Shed:
            job_id = self._put_off(new) if key is None else None
            if job_id is None:
                raise
            return _job(job_id, Phase.QUEUED, 202)
        response = _json(warrior.as_json(), 201)
        response.headers["Location"] = f"/warrior/{warrior.id}"
        return response

    def _put_off(self, new: NewWarrior) -> str | None:
        jobs = self._assembly.jobs
        if jobs is None:
            return None
        skills = list(new.fight_skills)
        return jobs.put({"name": new.name, "dob": new.dob.isoformat(), "fight_skills": skills})

    def job(self, job_id: UUID) -> Response:
        """Say how far a create is that was put off: 200, or 404, 503."""
        jobs = self._assembly.jobs
        try:
            phase = jobs.phase(str(job_id)) if jobs is not None else None
        except Exception as error:  # noqa: BLE001 - the queue's driver has its own
            log.warning("the queue of jobs can't be reached: %s", error)
            return _uncached(problem(503, "The queue of jobs can't be reached."))
        if phase is None:
            raise NotFound("There is no job with this id.")
        return _job(str(job_id), phase)

    def look_up(self, warrior_id: UUID) -> Response:
        """Return one warrior: 200 or 404."""
        warrior = self._warriors.find(warrior_id)
        if warrior is None:
            raise NotFound("There is no warrior with this id.")
        return _json(warrior.as_json())

    def search(self) -> Response:
        """Return at most 50 warriors: 200, or 400 without a usable term."""
        term = parse_term(request.environ.get("QUERY_STRING", ""))
        return _json([warrior.as_json() for warrior in self._warriors.search(term)])

    def count(self) -> Response:
        """Return the number of warriors."""
        return _json({"count": self._warriors.count()})

    def livez(self) -> Response:
        """Say that the process answers."""
        return _uncached(_json({"status": "alive"}))

    def readyz(self) -> Response:
        """Say whether the process is open for requests: 200 or 503."""
        why = self._assembly.why_not_ready
        return _uncached(problem(503, f"Not ready: {why}.") if why else _json({"status": "ready"}))

    def openapi(self) -> Response:
        """Return the description of this service."""
        return Response(self._openapi, mimetype="application/json")

    def blueprint(self) -> Blueprint:
        """Return the routes; Flask adds HEAD to each GET and OPTIONS to all."""
        routes = Blueprint("warriors", __name__)
        routes.post("/warrior")(self.create)
        routes.get("/warrior")(self.search)
        routes.get("/warrior/<uuid:warrior_id>")(self.look_up)
        routes.get("/counting-warriors")(self.count)
        routes.get("/jobs/<uuid:job_id>")(self.job)
        routes.get("/livez")(self.livez)
        routes.get("/readyz")(self.readyz)
        routes.get("/openapi.json")(self.openapi)
        return routes


def _read_body() -> bytes:
    try:
        body = request.get_data(cache=False)
        too_long = len(body) > BODY_MAX_BYTES
    except RequestEntityTooLarge:
        too_long = True
    except Exception as error:
        # A lost connection, or a chunk that is none: each server has exceptions of its own.
        request.environ[UNREAD_KEY] = True
        raise BadRequest("The body could not be read.") from error
    if too_long:
        request.environ[UNREAD_KEY] = True
        raise RequestEntityTooLarge(f"The body must have at most {BODY_MAX_BYTES} bytes.")
    return body


def _job(job_id: str, phase: Phase, status: int = 200) -> Response:
    told = {"id": job_id, "status": phase.value}
    if phase is Phase.DONE:
        # The job's id is the warrior's.
        told["location"] = f"/warrior/{job_id}"
    response = _uncached(_json(told, status))
    if status != _OK:
        response.headers["Location"] = f"/jobs/{job_id}"
    return response


def _json(value: object, status: int = 200) -> Response:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Response(text, status, mimetype="application/json")


def _uncached(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response
