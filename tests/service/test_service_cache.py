"""The service with its answers kept."""

import pytest
from service_client import GOOD, Service, wait_ready

from guard.core.vocabulary import Lane

COUNT = "/counting-warriors"

# The protocol checker still asks for what RFC 9110 no longer does.
pytestmark = pytest.mark.filterwarnings("ignore:Absolute URLs required for location header")


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    url = f"duckdb:///{tmp_path_factory.mktemp('cached') / 'warriors.duckdb'}"
    found = Service(url, GUARD_CACHE="memory", GUARD_CACHE_TTL="60m")
    try:
        wait_ready(found.assembly)
        yield found
    finally:
        found.assembly.close()


def uses(service):
    return service.assembly.controller.load(Lane.READ).uses


def number(service):
    return service.send("GET", COUNT).get_json()["count"]


def test_a_created_warrior_is_found_at_once_and_then_without_the_database(cached):
    made = cached.send("POST", "/warrior", json=GOOD)
    place = made.headers["Location"]
    assert cached.send("GET", place).get_json() == made.get_json()
    before = uses(cached)
    again = cached.send("GET", place.upper().replace("/WARRIOR", "/warrior"))
    assert again.get_json() == made.get_json()
    assert int(again.headers["Age"]) >= 0
    assert uses(cached) == before


def test_the_number_may_be_late_by_the_time_to_live(cached):
    before = number(cached)
    cached.send("POST", "/warrior", json=GOOD)
    assert number(cached) == before
    cached.assembly.cache.forget(COUNT)
    assert number(cached) == before + 1


def test_what_is_not_there_and_searches_are_not_kept(cached):
    for path in ("/warrior/00000000-0000-0000-0000-000000000000", "/warrior?t=li"):
        before = uses(cached)
        cached.send("GET", path)
        cached.send("GET", path)
        assert uses(cached) == before + 2


def test_a_worker_that_goes_away_still_gives_what_it_has(cached):
    cached.send("GET", COUNT)
    cached.assembly.close()
    assert cached.send("GET", COUNT).status_code == 200
    assert cached.send("GET", "/warrior?t=li").status_code == 503
