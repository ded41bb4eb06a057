"""The service's description, OpenAPI 3.1, served at ``/openapi.json``."""

from __future__ import annotations

from typing import Any

from guard.jobs import Phase
from service.idempotency import KEY_LIFETIME_S
from service.store import FOUND_MAX
from service.validation import KEY_PATTERN, NAME_MAX, SKILL_MAX, SKILLS_MAX, TERM_MAX

# NUL can't be stored; half of a surrogate pair has no form in a JSON Schema pattern.
_STORABLE = r"^[^\u0000]*$"
_INT = {"type": "integer"}
_TEXT = {"type": "string"}


def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Warriors",
            "version": "1.0.0",
            "summary": "Create, look up, search and count warriors",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            "/warrior": {"post": _create(), "get": _search()},
            "/warrior/{id}": {"get": _look_up()},
            "/counting-warriors": {"get": _count()},
            "/jobs/{id}": {"get": _job()},
            "/livez": {"get": _health("live", "Whether the process answers; it always says yes.")},
            "/readyz": {"get": _health("ready", "Whether the process is open for requests.", 503)},
        },
        "components": {"schemas": _schemas(), "responses": _responses()},
    }


def _create() -> dict[str, Any]:
    links = {"lookUp": {"operationId": "lookUp", "parameters": {"id": "$response.body#/id"}}}
    created = {
        "description": "Created, and durable.",
        "headers": {
            "Location": {
                "description": "Where it can be looked up.",
                "required": True,
                "schema": {"type": "string", "format": "uri-reference"},
            },
        },
        "content": _content("Warrior"),
        "links": links,
    }
    put_off = {
        "description": "There is no room for it now; it is on disk, and will be created.",
        "headers": {
            "Location": {
                "description": "Where it is told how far it is.",
                "required": True,
                "schema": {"type": "string", "format": "uri-reference"},
            },
        },
        "content": _content("Job"),
    }
    return {
        "operationId": "create",
        "summary": "Create a warrior",
        "parameters": [_idempotency_key()],
        "requestBody": {"required": True, "content": _content("NewWarrior")},
        "responses": {"201": created, "202": put_off, **_refs(400, 409, 413, 422, 503, 504)},
    }


def _idempotency_key() -> dict[str, Any]:
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "description": (
            "Makes the request safe to repeat: within "
            f"{KEY_LIFETIME_S // 3600} hours the same key and warrior give the first answer "
            "again. A new one for each new warrior, such as a UUID; with or without quotes."
        ),
        "schema": {"type": "string", "pattern": f"^(?:{KEY_PATTERN})$"},
    }


def _id() -> dict[str, Any]:
    return {
        "name": "id",
        "in": "path",
        "required": True,
        "description": "What is no UUID is answered with 404 too.",
        "schema": {"type": "string", "format": "uuid"},
    }


def _look_up() -> dict[str, Any]:
    return {
        "operationId": "lookUp",
        "summary": "Return one warrior",
        "parameters": [_id()],
        "responses": {"200": _ok("Found.", "Warrior"), **_refs(404, 503, 504)},
    }


def _job() -> dict[str, Any]:
    return {
        "operationId": "job",
        "summary": "Say how far a create is that was put off",
        "parameters": [_id()],
        "responses": {"200": _ok("How far it is.", "Job"), **_refs(404, 503)},
    }


def _search() -> dict[str, Any]:
    parameter = {
        "name": "t",
        "in": "query",
        "required": True,
        "description": (
            "Contained in the name, the date of birth (YYYY-MM-DD) or one skill, whatever its "
            "case; no character has a special meaning. Given once."
        ),
        "schema": {"type": "string", "minLength": 1, "maxLength": TERM_MAX},
    }
    return {
        "operationId": "search",
        "summary": f"Return at most {FOUND_MAX} warriors that contain a term, in no special order",
        "parameters": [parameter],
        "responses": {"200": _ok("May be empty.", "Warriors"), **_refs(400, 503, 504)},
    }


def _count() -> dict[str, Any]:
    return {
        "operationId": "count",
        "summary": "Return the number of warriors",
        "responses": {"200": _ok("The number.", "Count"), **_refs(503, 504)},
    }


def _health(operation: str, summary: str, *refused: int) -> dict[str, Any]:
    return {
        "operationId": operation,
        "summary": summary,
        "responses": {"200": _ok("Yes.", "Health"), **_refs(*refused)},
    }


def _content(schema: str, media_type: str = "application/json") -> dict[str, Any]:
    return {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _ok(description: str, schema: str) -> dict[str, Any]:
    return {"description": description, "content": _content(schema)}


def _refs(*statuses: int) -> dict[str, Any]:
    return {
        str(status): {"$ref": f"#/components/responses/{_NAMES[status]}"} for status in statuses
    }


_NAMES = {
    400: "BadRequest",
    404: "NotFound",
    409: "Conflict",
    413: "ContentTooLarge",
    422: "UnprocessableContent",
    503: "ServiceUnavailable",
    504: "GatewayTimeout",
}
_MEANINGS = {
    400: "The body is no JSON object, the query has no usable term, or the key is malformed.",
    404: "There is no such warrior, or job.",
    409: "The first request with this key has not ended yet; nothing was executed for this one.",
    413: "The body is longer than 64 KiB.",
    422: (
        "Fields are missing or wrong, and every problem is listed in errors; or, without errors, "
        "the key was used for another warrior."
    ),
    503: "Shed, or the database is away. With Retry-After nothing was executed.",
    504: "The database took too long.",
}


def _responses() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status, name in _NAMES.items():
        content = _content("Problem", "application/problem+json")
        found[name] = {"description": _MEANINGS[status], "content": content}
    for name in ("Conflict", "ServiceUnavailable"):
        found[name]["headers"] = {
            "Retry-After": {
                "description": "Whole seconds; only where nothing was executed.",
                "schema": {"type": "integer", "minimum": 1},
            },
        }
    return found


def _fields() -> dict[str, Any]:
    skill = {"type": "string", "minLength": 1, "maxLength": SKILL_MAX, "pattern": _STORABLE}
    return {
        "name": {"type": "string", "minLength": 1, "maxLength": NAME_MAX, "pattern": _STORABLE},
        "dob": {"type": "string", "format": "date", "description": "A date that exists."},
        "fight_skills": {"type": "array", "minItems": 1, "maxItems": SKILLS_MAX, "items": skill},
    }


def _object(
    properties: dict[str, Any], required: list[str] | None = None, description: str = ""
) -> dict[str, Any]:
    names = list(properties) if required is None else required
    found = {"type": "object", "required": names, "properties": properties}
    return {**found, "description": description} if description else found


def _schemas() -> dict[str, Any]:
    problem: dict[str, Any] = {
        "type": {"type": "string", "format": "uri-reference"},
        "title": _TEXT,
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": _TEXT,
        "reason": {"type": "string", "description": "Why the request was shed."},
        "retry_after": {"type": "integer", "minimum": 1, "description": "As Retry-After."},
        "processed": {"type": "boolean", "description": "False: nothing was executed."},
    }
    always = ["type", "title", "status", "detail"]
    pointed = _object({"pointer": _TEXT, "detail": _TEXT})
    problem["errors"] = {"type": "array", "minItems": 1, "items": pointed}
    return {
        "NewWarrior": _object(_fields(), description="Further members are ignored."),
        "Warrior": _object({"id": {"type": "string", "format": "uuid"}, **_fields()}),
        "Warriors": {
            "type": "array",
            "maxItems": FOUND_MAX,
            "items": {"$ref": "#/components/schemas/Warrior"},
        },
        "Count": _object({"count": {**_INT, "minimum": 0}}),
        "Job": _object(
            {
                "id": {"type": "string", "format": "uuid"},
                "status": {"type": "string", "enum": [phase.value for phase in Phase]},
                "location": {"type": "string", "format": "uri-reference"},
            },
            required=["id", "status"],
        ),
        "Health": _object({"status": _TEXT}),
        "Problem": _object(problem, required=always),
    }
