from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING, Any
from uuid import UUID
from wsgiref.validate import validator

import pytest
from service_client import GOOD, Service, problem_of, wait_ready
from werkzeug.test import Client, EnvironBuilder

from guard import errors
from guard.board import Board
from guard.core.vocabulary import Lane, Reason
from guard.errors import SettingsError, Shed
from guard.gunicorn.context import WorkerContext
from guard.settings import load
from service import create_app
from service.lanes import BODY_MAX_BYTES

if TYPE_CHECKING:
    from pathlib import Path


NOBODY = "5f0c1d7e-9a43-4b6e-8d52-0c3ab7e61f94"

# The protocol checker still asks for what RFC 9110 no longer does.
pytestmark = pytest.mark.filterwarnings("ignore:Absolute URLs required for location header")


def body(**changes: object) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def test_create_then_look_up_search_and_count(database_url: str) -> None:
    service = Service(database_url)
    try:
        wait_ready(service.assembly)
        created = service.post(body(), content_type="application/json")
        assert created.status_code == 201
        assert created.mimetype == "application/json"
        warrior = created.get_json()
        assert warrior == {"id": str(UUID(warrior["id"])), **GOOD}
        assert created.headers["Location"] == f"/warrior/{warrior['id']}"
        for path in (
            created.headers["Location"],
            created.headers["Location"].upper().replace("WARRIOR", "warrior"),
        ):
            assert service.send("GET", path).get_json() == warrior
        assert service.send("GET", "/warrior?t=KARA").get_json() == [warrior]
        assert service.send("GET", "/warrior?t=99-12").get_json() == [warrior]
        assert service.send("GET", "/warrior?t=nothing").get_json() == []
        assert service.send("GET", "/counting-warriors").get_json() == {"count": 1}
    finally:
        service.assembly.close()


def test_the_same_key_gives_the_first_answer_again(database_url: str) -> None:
    service = Service(database_url)
    try:
        wait_ready(service.assembly)
        key = {"Idempotency-Key": '"8e03978e-40d5-43e8-bc93-6894a57f9324"'}
        first = service.post(body(), headers=key)
        again = service.post(json.dumps(GOOD, indent=1).encode(), headers=key)
        assert first.status_code == again.status_code == 201
        assert again.headers["Location"] == first.headers["Location"]
        assert again.data == first.data
        document = problem_of(service.post(body(name="Lo"), headers=key), 422)
        assert document["processed"] is False
        assert service.send("GET", "/counting-warriors").get_json() == {"count": 1}
        assert service.send("GET", first.headers["Location"]).data == first.data
    finally:
        service.assembly.close()


def test_a_key_whose_request_is_under_way_is_409(service: Service) -> None:
    inside, go_on = Event(), Event()

    def occupy(_session: object) -> None:
        inside.set()
        assert go_on.wait(20)

    key = {"Idempotency-Key": "k"}
    database = service.assembly.database
    with ThreadPoolExecutor(2) as pool:
        pool.submit(database.write, occupy)
        assert inside.wait(20)
        first = pool.submit(service.post, body(), headers=key)
        try:
            tick = Event()
            while service.assembly.controller.load(Lane.WRITE).in_flight < 2:
                tick.wait(0.005)
            refused = service.post(body(), headers=key)
        finally:
            go_on.set()
        document = problem_of(refused, 409)
        assert refused.headers["Retry-After"] == "1"
        assert (document["retry_after"], document["processed"]) == (1, False)
        answer = first.result(20).data
        assert service.post(body(), headers=key).data == answer


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, '"a', "a,b"])
def test_a_malformed_key_is_400(service: Service, key: str) -> None:
    problem_of(service.post(body(), headers={"Idempotency-Key": key}), 400)
    assert service.send("GET", "/counting-warriors").get_json() == {"count": 0}


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "application/json",
        "application/json; charset=utf-8",
        "text/plain",
        "application/x-www-form-urlencoded",
    ],
)
def test_the_body_counts_and_not_its_label(service: Service, content_type: str | None) -> None:
    assert service.post(body(), content_type=content_type).status_code == 201


@pytest.mark.parametrize(
    "sent",
    [b"", b"{", b"[]", b'"x"', b"null", b'{"name": NaN}', b"\xff", b"a=b", b"[" * 60_000],
)
def test_what_is_no_json_object_is_400(service: Service, sent: bytes) -> None:
    problem_of(service.post(sent, content_type="application/json"), 400)
    assert service.send("GET", "/counting-warriors").get_json() == {"count": 0}


def test_wrong_fields_are_422_with_every_problem(service: Service) -> None:
    found = problem_of(service.post(body(name="", dob="2001-02-29", fight_skills=[1, "ok"])), 422)
    assert found["title"] == "Unprocessable Entity"
    assert [error["pointer"] for error in found["errors"]] == [
        "#/name", "#/dob", "#/fight_skills/0",
    ]  # fmt: skip
    assert all(error["detail"] for error in found["errors"])
    assert service.send("GET", "/counting-warriors").get_json() == {"count": 0}


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_what_no_database_can_store_is_422(service: Service, name: str) -> None:
    problem_of(service.post(body(name=name)), 422)


def padded(length: int) -> bytes:
    good = body()
    return good + b" " * (length - len(good))


def chunked(data: bytes) -> dict[str, Any]:
    # What gunicorn gives for a chunked body: no length, and an end to the input.
    return {
        "input_stream": io.BytesIO(data),
        "environ_overrides": {
            "wsgi.input_terminated": True,
            "HTTP_TRANSFER_ENCODING": "chunked",
            "CONTENT_LENGTH": "",
        },
    }


def test_a_body_of_64_kib_is_read_and_one_byte_more_is_413(service: Service) -> None:
    assert service.post(padded(BODY_MAX_BYTES)).status_code == 201
    problem_of(service.post(padded(BODY_MAX_BYTES + 1)), 413)


def test_the_same_for_a_chunked_body(service: Service) -> None:
    assert service.send("POST", "/warrior", **chunked(padded(BODY_MAX_BYTES))).status_code == 201
    problem_of(service.send("POST", "/warrior", **chunked(padded(BODY_MAX_BYTES + 1))), 413)


class Server:
    """Takes a response as gunicorn's response object does."""

    def __init__(self) -> None:
        self.status = ""
        self.closes = False

    def start_response(self, status: str, _headers: object, _exc_info: object = None) -> None:
        self.status = status

    def force_close(self) -> None:
        self.closes = True


@pytest.mark.parametrize(
    ("path", "sent", "status", "closes"),
    [
        ("/warrior", {"data": padded(BODY_MAX_BYTES + 1)}, "413", True),
        ("/warrior", {"data": padded(BODY_MAX_BYTES + 2)}, "413", True),
        ("/warrior", chunked(padded(BODY_MAX_BYTES + 1)), "413", True),
        ("/nothing", {"data": padded(BODY_MAX_BYTES + 1)}, "404", True),
        ("/nothing", {"data": b"short"}, "404", False),
        ("/warrior", {"data": body()}, "201", False),
        ("/warrior", {"data": b"{"}, "400", False),
        (
            "/warrior",
            {"input_stream": io.BytesIO(b"{"), "environ_overrides": {"CONTENT_LENGTH": "9"}},
            "400",
            True,
        ),
    ],
)
def test_the_connection_is_closed_on_a_body_that_nobody_reads(
    service: Service, path: str, sent: dict[str, Any], status: str, *, closes: bool
) -> None:
    server = Server()
    environ = EnvironBuilder(path, method="POST", **sent).get_environ()
    answer = service.app(environ, server.start_response)
    b"".join(answer)
    answer.close()  # type: ignore[attr-defined]
    assert (server.status[:3], server.closes) == (status, closes)


class Lost(io.BytesIO):
    """An input whose other side has gone, or sends nonsense, in the server's own words."""

    def __init__(self, error: type[Exception]) -> None:
        super().__init__()
        self.error = error

    def read(self, _size: int | None = -1) -> bytes:
        raise self.error

    readline = read


def test_a_body_that_breaks_off_is_400(service: Service) -> None:
    cut = {"input_stream": io.BytesIO(b'{"na'), "environ_overrides": {"CONTENT_LENGTH": "100"}}
    problem_of(service.send("POST", "/warrior", **cut), 400)
    for error in (ConnectionResetError, KeyError):
        lost = {"input_stream": Lost(error), "environ_overrides": {"CONTENT_LENGTH": "100"}}
        problem_of(service.send("POST", "/warrior", **lost), 400)


@pytest.mark.parametrize(
    "path",
    [
        f"/warrior/{NOBODY}", "/warrior/1", "/warrior/", "/warrior//", f"/warrior/{NOBODY}/",
        "/warrior/{" + NOBODY + "}", "/warrior/" + NOBODY.replace("-", ""), f"//warrior/{NOBODY}",
        "/", "/warriors", "/Warrior", "/counting-warriors/", "/%00", "/%FF", "/static/x", "/livez/",
    ],
)  # fmt: skip
def test_what_is_not_there_is_404(service: Service, path: str) -> None:
    problem_of(service.send("GET", path), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/warrior", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("BREW", "/warrior", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("POST", f"/warrior/{NOBODY}", {"GET", "HEAD", "OPTIONS"}),
        ("DELETE", "/counting-warriors", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_another_method_is_405_with_those_that_are_allowed(
    service: Service, method: str, path: str, allowed: set[str]
) -> None:
    response = service.send(method, path)
    problem_of(response, 405)
    assert set(response.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize(
    "query",
    ["", "?", "?t", "?t=", "?x=1", "?t=a&t=b", "?t=%FF", "?t=" + "a" * 101],
)
def test_a_search_without_a_usable_term_is_400(service: Service, query: str) -> None:
    problem_of(service.send("GET", "/warrior" + query), 400)


@pytest.mark.parametrize("term", ["%25", "_", "%5C", "%00", "%22", "+", "a" * 100, "%F0%9F%A5%8B"])
def test_any_other_term_is_searched_for(service: Service, term: str) -> None:
    service.post(body(name='% _ \\ " \U0001f94b'))
    response = service.send("GET", f"/warrior?t={term}")
    assert response.status_code == 200
    assert len(response.get_json()) == (0 if term in {"%00", "a" * 100} else 1)


# The protocol checker does not know that HEAD tells the length of a body that is not sent.
@pytest.mark.filterwarnings("ignore:Content-Length and the number of bytes")
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/warrior?t=li", 200), ("/warrior", 400), (f"/warrior/{NOBODY}", 404), ("/nothing", 404),
        ("/counting-warriors", 200), ("/livez", 200), ("/readyz", 200), ("/openapi.json", 200),
    ],
)  # fmt: skip
def test_head_is_get_without_the_body(service: Service, path: str, status: int) -> None:
    got, head = service.send("GET", path), service.send("HEAD", path)
    assert (got.status_code, head.status_code) == (status, status)
    assert head.data == b""
    assert head.headers["Content-Length"] == str(len(got.data))
    assert head.headers["Content-Type"] == got.headers["Content-Type"]


def test_the_protocol_is_kept_by_the_standard_librarys_checker_too(service: Service) -> None:
    client = Client(validator(service.app))
    sent = client.post("/warrior", data=body(), buffered=True)
    assert sent.status_code == 201
    for path, status in [
        (sent.headers["Location"], 200),
        ("/warrior?t=a", 200),
        ("/warrior", 400),
        ("/x", 404),
    ]:
        assert client.get(path, buffered=True).status_code == status
    service.assembly.close()
    assert client.get("/counting-warriors", buffered=True).status_code == 503


def test_options_tells_the_methods(service: Service) -> None:
    response = service.send("OPTIONS", "/warrior")
    assert response.status_code == 200
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


def test_health(service: Service) -> None:
    for path in ("/livez", "/readyz"):
        response = service.send("GET", path)
        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "no-store"
    service.assembly.drain()
    assert "draining" in problem_of(service.send("GET", "/readyz"), 503)["detail"]
    assert service.send("GET", "/livez").status_code == 200
    assert service.post(body()).status_code == 201


def test_without_the_database_only_what_needs_it_is_shed(service: Service) -> None:
    service.assembly.close()
    for method, path in [
        ("GET", f"/warrior/{NOBODY}"),
        ("GET", "/warrior?t=a"),
        ("GET", "/counting-warriors"),
    ]:
        refused = service.send(method, path)
        assert problem_of(refused, 503)["processed"] is False
        assert int(refused.headers["Retry-After"]) >= 1
    assert problem_of(service.post(body()), 503)["reason"] == "draining"
    for method, path, status in [
        ("GET", "/warrior", 400), ("GET", "/warrior?t=" + "a" * 101, 400),
        ("GET", "/warrior/1", 404), ("GET", "/nothing", 404),
        ("POST", "/nothing", 404), ("PUT", "/warrior", 405),
        ("GET", "/livez", 200), ("GET", "/readyz", 503), ("GET", "/openapi.json", 200),
        ("OPTIONS", "/warrior", 200),
    ]:  # fmt: skip
        assert service.send(method, path).status_code == status, (method, path)
    problem_of(service.post(padded(BODY_MAX_BYTES + 1)), 413)


def failing(service: Service, error: Exception, monkeypatch: pytest.MonkeyPatch) -> Any:
    def fail(_unit: object) -> None:
        raise error

    monkeypatch.setattr(service.assembly.database, "read", fail)
    return service.send("GET", "/counting-warriors")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.BackendBusy("busy"), 503),
        (errors.BackendClosed("closed"), 503),
        (errors.BackendFailed("gone"), 503),
        (errors.StatementTimeout("slow"), 504),
        (errors.ConstraintViolation("twice"), 409),
        (errors.ResultTooLarge("rows"), 500),
        (ZeroDivisionError("a secret"), 500),
    ],
)
def test_errors_of_the_database(
    service: Service, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    response = failing(service, error, monkeypatch)
    problem_of(response, status)
    assert "secret" not in response.text
    assert "Retry-After" not in response.headers


def test_a_late_refusal_is_the_guards_own(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    response = failing(service, Shed(Lane.READ, Reason.POOL_SATURATED, 7), monkeypatch)
    assert problem_of(response, 503)["reason"] == "pool_saturated"
    assert response.headers["Retry-After"] == "7"


def test_the_route_is_told_to_the_guard(service: Service) -> None:
    found = []
    inner = service.app.wsgi_app

    def watched(environ: dict[str, Any], start_response: Any) -> Any:
        answer = inner(environ, start_response)
        found.append(environ.get("guard.route"))
        return answer

    service.app.wsgi_app = watched  # type: ignore[method-assign]
    for path in ("/warrior?t=a", f"/warrior/{NOBODY}", "/warrior/1", "/nothing"):
        service.send("GET", path)
    assert found == ["/warrior", "/warrior/<uuid:warrior_id>", None, None]


def test_in_a_gunicorn_worker_it_measures_drains_and_ends_with_the_worker(
    duckdb_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Board.local()[1]
    chosen = load({"GUARD_DATABASE_URL": f"duckdb:///{duckdb_path}"})
    worker = WorkerContext(recorder, chosen.settings)
    monkeypatch.setattr("service.app.current_worker", lambda: worker)
    assembly = create_app().extensions["guard"]
    try:
        wait_ready(assembly)
        assert assembly.settings is worker.settings
        for drain in worker.drain_callbacks:
            drain()
        assert assembly.why_not_ready == "draining"
    finally:
        [close] = worker.exit_callbacks
        close(5.0)
    with pytest.raises(Shed):
        assembly.database.read(lambda session: session.execute("SELECT 1"))


def test_the_environment_is_read_where_no_settings_are_given(
    duckdb_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUARD_DATABASE_URL", f"duckdb:///{duckdb_path}")
    assembly = create_app().extensions["guard"]
    assembly.close()
    assert assembly.settings.database_url.endswith(duckdb_path.name)


def test_a_service_needs_a_database() -> None:
    with pytest.raises(SettingsError, match="GUARD_DATABASE_URL"):
        create_app(load({}).settings)


def test_it_is_not_ready_while_the_database_cannot_be_opened(tmp_path: Path) -> None:
    service = Service(f"duckdb:///{tmp_path}/missing/x.duckdb")
    try:
        problem_of(service.send("GET", "/readyz"), 503)
        assert problem_of(service.send("GET", "/counting-warriors"), 503)["processed"] is False
        assert service.send("GET", "/warrior").status_code == 400
    finally:
        service.assembly.close()
