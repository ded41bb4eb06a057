"""The service with its creates put off where there is no room."""

import pytest
from patience import until
from service_client import GOOD, Service, problem_of, wait_ready

from guard.core.vocabulary import Lane
from guard.jobs import Job
from service.store import Warriors

# The protocol checker still asks for what RFC 9110 no longer does.
pytestmark = pytest.mark.filterwarnings("ignore:Absolute URLs required for location header")


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("put_off")
    found = Service(
        f"duckdb:///{folder / 'warriors.duckdb'}",
        GUARD_JOBS="local", GUARD_JOBS_FILE=str(folder / "jobs.sqlite"), GUARD_JOBS_MAX="2",
    )  # fmt: skip
    try:
        wait_ready(found.assembly)
        yield found
    finally:
        found.assembly.close()


@pytest.fixture
def full(service):
    """The write lane has no connection: every write is refused, the put-off ones' too."""
    state = service.assembly.controller._lanes[Lane.WRITE]
    slots, state.slots = state.slots, lambda: 0
    yield lambda: setattr(state, "slots", slots)
    state.slots = slots


def test_a_create_without_room_is_put_off_and_done_when_there_is(service, full):
    accepted = service.send("POST", "/warrior", json=GOOD)
    assert accepted.status_code == 202
    job = accepted.get_json()
    assert accepted.headers["Location"] == f"/jobs/{job['id']}"
    assert job["status"] == "queued"
    assert service.send("GET", f"/jobs/{job['id']}").get_json() == job
    full()
    until(lambda: service.send("GET", f"/jobs/{job['id']}").get_json()["status"] != "queued")
    told = service.send("GET", f"/jobs/{job['id']}").get_json()
    assert told == {"id": job["id"], "status": "done", "location": f"/warrior/{job['id']}"}
    assert service.send("GET", told["location"]).get_json() == {"id": job["id"], **GOOD}


@pytest.mark.usefixtures("full")
def test_a_full_queue_a_key_and_bad_fields_are_answered_as_ever(service):
    assert service.send("POST", "/warrior", json={"name": ""}).status_code == 422
    keyed = service.send("POST", "/warrior", json=GOOD, headers={"Idempotency-Key": "k"})
    assert problem_of(keyed, 503)["processed"] is False
    sent = [service.send("POST", "/warrior", json=GOOD).status_code for _ in range(3)]
    assert sent == [202, 202, 503]


def test_a_job_that_is_run_twice_creates_once(service):
    made = service.send("POST", "/warrior", json=GOOD).get_json()
    Warriors(service.assembly.database).create_put_off(Job(made["id"], {**GOOD, "name": "Other"}))
    assert service.send("GET", f"/warrior/{made['id']}").get_json() == made


def test_an_unknown_job(service):
    assert service.send("GET", "/jobs/5f0c1d7e-9a43-4b6e-8d52-0c3ab7e61f94").status_code == 404
    assert service.send("GET", "/jobs/x").status_code == 404
