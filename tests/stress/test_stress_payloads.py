from __future__ import annotations

import calendar
import json
import re
from collections import Counter
from typing import Any

import pytest

from stress.arrivals import CREATE, LOOK_UP, NO_TERM, SEARCH
from stress.payloads import STYLES, Payloads, Request, look_up

_FIELDS = {"name": "Bo", "dob": "1980-01-02", "fight_skills": ["Judo"]}
_KEY = "0b0a4b52-6e0c-4f0e-8f0a-000000000001"
_CREATED = {**_FIELDS, "id": _KEY}


def _valid(fields: dict[str, Any]) -> bool:
    """The description of a warrior, read by the calendar and not by how a value was drawn."""
    name, dob, skills = fields["name"], fields["dob"], fields["fight_skills"]
    return 1 <= len(name) <= 100 and _is_date(dob) and _are_skills(skills)


def _is_date(dob: str) -> bool:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", dob):
        return False
    year, month, day = map(int, dob.split("-"))
    return 1 <= month <= 12 and year > 0 and 1 <= day <= calendar.monthrange(year, month)[1]


def _are_skills(skills: object) -> bool:
    return (
        isinstance(skills, list)
        and 1 <= len(skills) <= 20
        and all(isinstance(skill, str) and 1 <= len(skill) <= 250 for skill in skills)
    )


@pytest.fixture(scope="module")
def creates() -> list[Request]:
    payloads = Payloads(7)
    return [payloads.request(CREATE) for _ in range(6000)]


def test_the_expected_status_is_what_the_description_says(creates: list[Request]) -> None:
    for request in creates:
        fields = json.loads(request.body)
        assert request.expected == (201 if _valid(fields) else 422), fields


def test_the_data_is_as_nasty_as_described(creates: list[Request]) -> None:
    found = [json.loads(request.body) for request in creates]
    seen: Counter[str] = Counter()
    for fields in found:
        skills = fields["fight_skills"]
        seen["long name"] += len(fields["name"]) == 120
        seen["month 13"] += fields["dob"][5:7] == "13"
        seen["nonsense date"] += not re.fullmatch(r"(19|20)\d\d-\d\d-\d\d", fields["dob"])
        seen["null skills"] += skills is None
        seen["too many"] += isinstance(skills, list) and len(skills) > 20

    assert {name: round(count / len(found), 2) for name, count in seen.items()} == {
        "long name": 0.01,
        "month 13": pytest.approx(1 / 13, abs=0.015),
        "nonsense date": 0.01,
        "null skills": pytest.approx(1 / 14, abs=0.015),
        "too many": pytest.approx(6 / 26 * 0.92, abs=0.03),
    }
    assert len(STYLES) == len(set(STYLES)) == 25


def test_a_seed_repeats_itself() -> None:
    one, same, other = Payloads(1), Payloads(1), Payloads(2)
    kinds = [CREATE, SEARCH, NO_TERM] * 50
    first = [one.request(kind) for kind in kinds]

    assert first == [same.request(kind) for kind in kinds]
    assert first != [other.request(kind) for kind in kinds]


def test_searches_and_thinking_stay_in_their_ranges() -> None:
    payloads = Payloads(3)
    for _ in range(500):
        search = payloads.request(SEARCH)
        assert 1 <= len(search.term) <= 50
        assert search.expected == 200
        assert 0.001 <= payloads.think_s() <= 0.030


def test_what_does_not_arrive_by_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="look-up"):
        Payloads(1).request(LOOK_UP)


_CREATE = Request(CREATE, "POST", "/warrior", 201, b"{}", _FIELDS)
_SEARCH = Request(SEARCH, "GET", "/warrior?t=JU", 200, term="JU")
_NO_TERM = Request(NO_TERM, "GET", "/warrior", 400)
_PLACE = f"http://127.0.0.1/warrior/{_KEY}"


@pytest.mark.parametrize(
    ("request_", "status", "location", "answer", "right"),
    [
        (_CREATE, 201, _PLACE, _CREATED, True),
        (_CREATE, 201, "/warrior/other", _CREATED, False),
        (_CREATE, 201, _PLACE, {**_CREATED, "name": "Bob"}, False),
        (_CREATE, 201, _PLACE, _FIELDS, False),
        (_CREATE, 201, _PLACE, [], False),
        (_CREATE, 503, "", {"status": 503}, False),
        (look_up(_CREATED), 200, "", _CREATED, True),
        (look_up(_CREATED), 200, "", {**_CREATED, "dob": "1980-01-03"}, False),
        (look_up(_CREATED), 404, "", {"status": 404}, False),
        (_SEARCH, 200, "", [], True),
        (_SEARCH, 200, "", [_CREATED], True),
        (_SEARCH, 200, "", [{**_CREATED, "fight_skills": ["Boxing"]}], False),
        (_SEARCH, 200, "", [_CREATED] * 51, False),
        (_SEARCH, 200, "", {}, False),
        (_NO_TERM, 400, "", {"status": 400}, True),
        (_NO_TERM, 400, "", {"status": 422}, False),
    ],
)
def test_an_answer_is_right_by_its_status_and_its_content(
    request_: Request,
    status: int,
    location: str,
    answer: object,
    right: bool,  # noqa: FBT001 - a table column
) -> None:
    assert request_.is_right(status, location, json.dumps(answer).encode()) is right


def test_an_answer_that_is_no_json_is_not_right() -> None:
    assert not _SEARCH.is_right(200, "", b"<html>")
