from __future__ import annotations

import json
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.validation import (
    PROBLEMS_MAX,
    BadTermError,
    InvalidFieldsError,
    MalformedBodyError,
    parse_object,
    parse_term,
    parse_warrior,
)

GOOD = {"name": "Li", "dob": "1999-12-31", "fight_skills": ["BJJ", "Karate"]}


def problems_of(fields: dict[str, object]) -> list[tuple[str, str]]:
    with pytest.raises(InvalidFieldsError) as caught:
        parse_warrior(fields)
    return [tuple(problem) for problem in caught.value.problems]


def test_a_good_warrior_is_taken_as_it_is() -> None:
    warrior = parse_warrior({**GOOD, "id": "mine", "extra": None})
    assert warrior.name == "Li"
    assert warrior.dob == date(1999, 12, 31)
    assert warrior.fight_skills == ("BJJ", "Karate")


@pytest.mark.parametrize(
    "name", ["x", "x" * 100, " ", "\n", "%_\\", "名前", "\U0001f94b" * 100, "\x1f", "null"]
)
def test_names_that_are_taken(name: str) -> None:
    assert parse_warrior({**GOOD, "name": name}).name == name


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("", "must have 1 to 100 characters, not 0"),
        ("x" * 101, "must have 1 to 100 characters, not 101"),
        (None, "must be a string, not null"),
        (True, "must be a string, not a boolean"),
        (1.0, "must be a string, not a number"),
        (["x"], "must be a string, not an array"),
        ({}, "must be a string, not an object"),
        ("a\0b", "must not contain NUL or half of a surrogate pair"),
        ("a\ud800", "must not contain NUL or half of a surrogate pair"),
    ],
)
def test_names_that_are_refused(name: object, detail: str) -> None:
    assert problems_of({**GOOD, "name": name}) == [("#/name", detail)]


@pytest.mark.parametrize("dob", ["2000-02-29", "0001-01-01", "9999-12-31", "1940-01-29"])
def test_dates_that_are_taken(dob: str) -> None:
    assert parse_warrior({**GOOD, "dob": dob}).dob.isoformat() == dob


@pytest.mark.parametrize(
    "dob",
    [
        "", "2001-02-29", "1900-02-29", "1999-13-01", "1999-00-10", "1999-01-00", "0000-01-01",
        "19990131", "1999-W05-3", "1999-1-1", "99-01-01", "1999-01-01T00:00:00", "1999-01-01\n",
        " 1999-01-01", "1999/01/01", "-999-01-01", "+999-01-01", "١٩٩٩-٠١-٠١",  # noqa: RUF001
        "1999-01-01\0", "31-12-1999", "nonsense", "\ud800",
    ],
)  # fmt: skip
def test_dates_that_are_refused(dob: str) -> None:
    assert problems_of({**GOOD, "dob": dob}) == [
        ("#/dob", "must be a date that exists, as YYYY-MM-DD")
    ]


@pytest.mark.parametrize(
    ("skills", "expected"),
    [
        ([], [("", "must have 1 to 20 entries, not 0")]),
        (["x"] * 21, [("", "must have 1 to 20 entries, not 21")]),
        ("BJJ", [("", "must be an array, not a string")]),
        (None, [("", "must be an array, not null")]),
        ({"0": "BJJ"}, [("", "must be an array, not an object")]),
        ([""], [("/0", "must have 1 to 250 characters, not 0")]),
        (["ok", "x" * 251], [("/1", "must have 1 to 250 characters, not 251")]),
        ([["BJJ"]], [("/0", "must be a string, not an array")]),
        (["ok", None], [("/1", "must be a string, not null")]),
        (["a\0"], [("/0", "must not contain NUL or half of a surrogate pair")]),
        (
            ["x"] * 20 + [7.0],
            [("", "must have 1 to 20 entries, not 21"), ("/20", "must be a string, not a number")],
        ),
    ],
)  # fmt: skip
def test_skills_that_are_refused(skills: object, expected: list[tuple[str, str]]) -> None:
    found = problems_of({**GOOD, "fight_skills": skills})
    assert found == [(f"#/fight_skills{where}", detail) for where, detail in expected]


def test_skills_at_their_limits_are_taken() -> None:
    skills = ["x" * 250] * 20
    assert parse_warrior({**GOOD, "fight_skills": skills}).fight_skills == tuple(skills)


def test_every_problem_is_listed() -> None:
    missing = [("#/name", "is missing"), ("#/dob", "is missing"), ("#/fight_skills", "is missing")]
    assert problems_of({}) == missing
    wrong = problems_of({"name": 1.0, "dob": False, "fight_skills": [None, "", "ok"]})
    assert [pointer for pointer, _ in wrong] == [
        "#/name", "#/dob", "#/fight_skills/0", "#/fight_skills/1",
    ]  # fmt: skip
    assert wrong[1] == ("#/dob", "must be a string, not a boolean")


def test_a_long_list_of_problems_is_cut_and_says_so() -> None:
    found = problems_of({**GOOD, "fight_skills": [None] * 1000})
    assert len(found) == PROBLEMS_MAX
    assert found[0] == ("#/fight_skills", "must have 1 to 20 entries, not 1000")
    assert found[-1] == ("#", "and 902 more problems")


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "The body is not JSON"),
        (b"{", "The body is not JSON"),
        (b"name=Li", "The body is not JSON"),
        (b'{"name": NaN}', "NaN is no JSON value"),
        (b'{"name": -Infinity}', "-Infinity is no JSON value"),
        (b'{"name": "a\nb"}', "The body is not JSON"),
        (b"{'name': 1}", "The body is not JSON"),
        (b'\xef\xbb\xbf{"name": 1}', "The body is not JSON"),
        (b'{"name": "\xff"}', "The body is not UTF-8 (byte 10)."),
        (b'{"name": "\xed\xa0\x80"}', "The body is not UTF-8 (byte 10)."),
        ("{}".encode("utf-16"), "The body is not UTF-8"),
        (b"[" * 65_000, "nested too deeply"),
        (b'{"a":' * 13_000 + b"1" + b"}" * 13_000, "nested too deeply"),
        (b"null", "must be a JSON object, not null"),
        (b"[]", "must be a JSON object, not an array"),
        (b'"text"', "must be a JSON object, not a string"),
        (b"1", "must be a JSON object, not a number"),
        (b"true", "must be a JSON object, not a boolean"),
    ],
)
def test_bodies_that_are_no_object(body: bytes, detail: str) -> None:
    with pytest.raises(MalformedBodyError) as caught:
        parse_object(body)
    assert detail in str(caught.value)


def test_of_a_member_given_twice_the_last_one_counts() -> None:
    assert parse_object(b'{"name": 1, "name": "b"}') == {"name": "b"}


def test_a_number_of_any_length_is_only_a_number() -> None:
    fields = parse_object(b'{"name": ' + b"9" * 60_000 + b', "dob": 1e999}')
    assert problems_of({**GOOD, **fields}) == [
        ("#/name", "must be a string, not a number"),
        ("#/dob", "must be a string, not a number"),
    ]


@pytest.mark.parametrize(
    ("query", "term"),
    [
        ("t=a", "a"),
        ("x=1&t=a+b&y", "a b"),
        ("t=+", " "),
        ("t=%25_%5C", "%_\\"),
        ("t=a%26b%3Dc", "a&b=c"),
        ("t=a=b", "a=b"),
        ("%74=a", "a"),
        ("t=%zz", "%zz"),
        ("t=%C3%89", "É"),
        ("t=\xc3\x89", "É"),
        ("t=%00", "\0"),
        ("t=" + "%F0%9F%A5%8B" * 100, "\U0001f94b" * 100),
        ("t=a;t=b", "a;t=b"),
    ],
)
def test_terms_that_are_taken(query: str, term: str) -> None:
    assert parse_term(query) == term


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("", "is missing"),
        ("t", "is missing"),
        ("t=", "is missing"),
        ("T=a", "is missing"),
        ("tt=a", "is missing"),
        ("t=a&t=b", "must be given once"),
        ("t=a&t=", "must be given once"),
        ("t=%FF", "not UTF-8"),
        ("t=\xff", "not UTF-8"),
        ("t=%ED%A0%80", "not UTF-8"),
        ("t=" + "a" * 101, "at most 100 characters, not 101"),
    ],
)
def test_terms_that_are_refused(query: str, detail: str) -> None:
    with pytest.raises(BadTermError) as caught:
        parse_term(query)
    assert detail in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300),
    lambda inner: (
        st.lists(inner, max_size=22) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=25,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.text(max_size=102) | JSON,
        "dob": st.dates().map(date.isoformat) | st.text(max_size=12) | JSON,
        "fight_skills": st.lists(st.text(max_size=252), max_size=22) | JSON,
    },
)


def plainly_valid(fields: dict[str, object]) -> bool:
    """Say the rules once more, as plainly as they can be said."""
    name, dob, skills = fields.get("name"), fields.get("dob"), fields.get("fight_skills")

    def text(value: object, longest: int) -> bool:
        return isinstance(value, str) and 1 <= len(value) <= longest and "\0" not in value

    def day(value: object) -> bool:
        try:
            return isinstance(value, str) and date(*map(int, value.split("-"))).isoformat() == value
        except (ValueError, TypeError, OverflowError):
            return False

    return (
        text(name, 100)
        and day(dob)
        and isinstance(skills, list)
        and 1 <= len(skills) <= 20
        and all(text(skill, 250) for skill in skills)
    )


@given(FIELDS)
def test_the_rules_agree_with_their_plain_twin(fields: dict[str, object]) -> None:
    try:
        warrior = parse_warrior(fields)
    except InvalidFieldsError as error:
        count = len(error.problems)
        valid = False
    else:
        count = 0
        valid = True
        assert warrior.dob.isoformat() == fields["dob"]
    assert valid == plainly_valid(fields)
    assert count <= PROBLEMS_MAX
    assert (count == 0) == valid


@given(st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_body_makes_anything_but_an_object_or_a_told_error(body: bytes) -> None:
    try:
        found = parse_object(body)
    except MalformedBodyError:
        return
    assert isinstance(found, dict)


@given(st.text(st.characters(max_codepoint=255), max_size=40).map(lambda tail: "t=" + tail))
def test_no_query_makes_anything_but_a_term_or_a_told_error(query: str) -> None:
    try:
        term = parse_term(query)
    except BadTermError:
        return
    assert 1 <= len(term) <= 100
    term.encode()
