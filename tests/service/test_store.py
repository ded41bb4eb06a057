from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.store import FOUND_MAX
from service.warrior import NewWarrior, fold, search_text

if TYPE_CHECKING:
    from service.store import Warriors
    from service.warrior import Warrior

# Letters that fold, wildcards, escapes, separators, quotes, combining and astral characters.
NASTY = (
    "aAbBxX%_\\'\"[](){}.*?-019 \n\t\x1f\x1e|;ßẞsSſKkiIİıΣσςéÉ\u0301"  # noqa: RUF001
    "ＡａЖж忍\U0001f94b\U00010400\U00010428\uffff"
)
TEXT = st.text(st.sampled_from(NASTY), min_size=1, max_size=6)
NEW = st.builds(
    NewWarrior,
    name=TEXT,
    dob=st.dates(date(1, 1, 1)),
    fight_skills=st.lists(TEXT, min_size=1, max_size=3).map(tuple),
)


def plainly_matches(warrior: Warrior, term: str) -> bool:
    fields = [warrior.name, warrior.dob.isoformat(), *warrior.fight_skills]
    return any(term.casefold() in field.casefold() for field in fields)


def new(name: str = "Li", dob: str = "1999-12-31", *skills: str) -> NewWarrior:
    return NewWarrior(name, date.fromisoformat(dob), skills or ("BJJ",))


def names(found: list[Warrior]) -> set[str]:
    return {warrior.name for warrior in found}


def test_what_was_created_is_found_as_it_was(warriors: Warriors) -> None:
    longest = NewWarrior("\U0001f94b" * 100, date(1, 1, 1), ("名" * 250,) * 20)
    for wanted in (new(), new("%_\\'\"\n", "9999-12-31", "", "a" * 250), longest):
        created = warriors.create(wanted)
        assert (created.name, created.dob, created.fight_skills) == (
            wanted.name, wanted.dob, wanted.fight_skills,
        )  # fmt: skip
        assert warriors.find(created.id) == created
    assert warriors.count() == 3
    assert warriors.find(uuid4()) is None


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ("CHUCK", {"Chuck Norris"}),
        ("k n", {"Chuck Norris"}),
        ("1940-03", {"Chuck Norris"}),
        ("-", {"Chuck Norris", "100%", "Bruce_Lee\\"}),
        ("tang soo", {"Chuck Norris"}),
        ("%", {"100%"}),
        ("_", {"Bruce_Lee\\"}),
        ("\\", {"Bruce_Lee\\"}),
        ("e_L", {"Bruce_Lee\\"}),
        ("c%k", set()),
        ("_huck", set()),
        ("norris1940", set()),
        ("norrisx1940", set()),
        ("norrisX1940", set()),
        ("strasse", {"100%"}),
        ("STRASSE", {"100%"}),
        ("straße", {"100%"}),
        ("ΣΑΣ", {"Bruce_Lee\\"}),
        ("\0", set()),
        ("i" * 100, set()),
    ],
)
def test_search(warriors: Warriors, term: str, expected: set[str]) -> None:
    warriors.create(new("Chuck Norris", "1940-03-10", "Tang Soo Do", "Karate"))
    warriors.create(new("100%", "1999-12-31", "Straße"))
    warriors.create(new("Bruce_Lee\\", "2000-01-01", "σασα"))  # noqa: RUF001
    assert names(warriors.search(term)) == expected


def test_a_search_returns_at_most_fifty(warriors: Warriors) -> None:
    for number in range(FOUND_MAX + 5):
        warriors.create(new(f"n{number}"))
    assert len(names(warriors.search("N"))) == FOUND_MAX
    assert warriors.count() == FOUND_MAX + 5


@settings(
    max_examples=12, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(
    created=st.lists(NEW, min_size=1, max_size=8), terms=st.lists(TEXT, max_size=8), data=st.data()
)
def test_search_agrees_with_its_plain_twin(
    warriors: Warriors, created: list[NewWarrior], terms: list[str], data: st.DataObject
) -> None:
    # Each example adds to the same database, so that a term may have more than fifty hits.
    stored = [warriors.create(wanted) for wanted in created]
    ids = {warrior.id for warrior in stored}
    hay = st.sampled_from(
        [text for warrior in stored for text in (warrior.name, *warrior.fight_skills)]
    )
    for _ in range(4):
        text = data.draw(hay)
        start = data.draw(st.integers(0, len(text) - 1))
        terms.append(text[start : start + data.draw(st.integers(1, 6))].swapcase())
    for term in terms:
        found = warriors.search(term)
        assert all(plainly_matches(warrior, term) for warrior in found)
        missed = {warrior.id for warrior in stored if plainly_matches(warrior, term)} - {
            warrior.id for warrior in found
        }
        assert not missed or len(found) == FOUND_MAX
    assert all(warriors.find(warrior_id) in stored for warrior_id in ids)


@given(st.text(), st.text(max_size=3))
def test_folding_keeps_parts_parts_and_leaves_no_ascii_capital(text: str, part: str) -> None:
    assert not set(fold(text)) & set("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert fold(part) in fold(text + part + text)
    assert fold(part + text) == fold(part) + fold(text)


@given(NEW, TEXT)
def test_no_term_matches_across_two_fields(warrior: NewWarrior, term: str) -> None:
    fields = [warrior.name, warrior.dob.isoformat(), *warrior.fight_skills]
    expected = any(fold(term) in fold(field) for field in fields)
    assert (fold(term) in search_text(warrior.name, warrior.dob, warrior.fight_skills)) == expected
