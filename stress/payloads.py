"""Seeded requests as nasty as the incident's, each with the status that is right for it.

What is expected follows from how a value was made, by this module alone: it shares no code
with the service, so the two can disagree.
"""

from __future__ import annotations

import json
import random
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from stress.arrivals import COUNT, CREATE, LARGE, LOOK_UP, NO_TERM, SEARCH, TOO_LONG

if TYPE_CHECKING:
    from collections.abc import Mapping

STYLES = (
    "Aikido", "BJJ", "Boxing", "Capoeira", "Hapkido", "Jeet Kune Do", "Judo", "Karate", "Kendo",
    "Kickboxing", "Krav Maga", "Kung Fu", "Lethwei", "Muay Thai", "Ninjutsu", "Pankration",
    "Sambo", "Savate", "Silat", "Sumo", "Systema", "Taekwondo", "Tai Chi", "Wing Chun", "Wrestling",
)  # fmt: skip

CREATED, OK, BAD_REQUEST, CONTENT_TOO_LARGE, UNPROCESSABLE = 201, 200, 400, 413, 422

_LETTERS = string.ascii_letters + " "
_NONSENSE = ("", "yesterday", "1980/01/02", "02-01-1980", "1980-1-2", "0000-00-00", "null")
_WRONG_SKILLS: tuple[Any, ...] = ("Judo", 7, {"style": "Judo"}, [1, 2], [None], [["Judo"]], True)
_RARE = 0.01
_NAME_MAX, _NAME_TOO_LONG = 100, 120
_SKILLS_MAX, _SKILLS_DRAWN = 20, 26
_NULL_SKILLS = 14
_TERM_MAX = 50
_FOUND_MAX = 50
_SKILL_MAX = 250
_TOO_LONG_BYTES = (66_000, 200_000)


@dataclass(frozen=True, slots=True)
class Request:
    """A request and what a right answer to it is.

    Attributes:
        kind: one of ``stress.arrivals.KINDS``.
        method: the HTTP method.
        target: path and query.
        expected: the right status.
        body: what is sent.
        fields: the warrior that is created or must be found; None for the other kinds.
        term: what is searched for; empty for the other kinds.
    """

    kind: str
    method: str
    target: str
    expected: int
    body: bytes = b""
    fields: Mapping[str, Any] | None = None
    term: str = ""

    def is_right(self, status: int, location: str, body: bytes) -> bool:
        """Tell whether an answer is right: its status, and what it says.

        Args:
            status: the answer's status.
            location: its ``Location``, empty where there is none.
            body: its body.
        """
        if status != self.expected:
            return False
        try:
            answer = json.loads(body)
        except ValueError:
            return False
        if status == CREATED:
            return _is_created(answer, self.fields, location)
        if self.kind == LOOK_UP:
            return bool(answer == self.fields)
        if self.kind == SEARCH:
            return _is_found(answer, self.term)
        return self._is_document(answer)

    def _is_document(self, answer: object) -> bool:
        status = self.expected
        if self.kind == COUNT:
            return isinstance(answer, dict) and isinstance(answer.get("count"), int)
        return isinstance(answer, dict) and answer.get("status") == status


def _is_created(answer: object, fields: Mapping[str, Any] | None, location: str) -> bool:
    if not isinstance(answer, dict) or not isinstance(answer.get("id"), str):
        return False
    path = f"/warrior/{answer['id']}"
    return answer == {**(fields or {}), "id": answer["id"]} and location.endswith(path)


def _is_found(answer: object, term: str) -> bool:
    if not isinstance(answer, list) or len(answer) > _FOUND_MAX:
        return False
    wanted = term.casefold()
    return all(
        any(
            wanted in text.casefold()
            for text in (warrior["name"], warrior["dob"], *warrior["fight_skills"])
        )
        for warrior in answer
    )


def look_up(created: Mapping[str, Any]) -> Request:
    """Return the request that looks up a warrior just created, as the answer described it."""
    return Request(LOOK_UP, "GET", f"/warrior/{created['id']}", OK, fields=created)


def count() -> Request:
    """Return the request for the number of warriors."""
    return Request(COUNT, "GET", "/counting-warriors", OK)


class Payloads:
    """Makes requests; the same seed makes the same ones in the same order. Not thread-safe.

    Args:
        seed: any integer.
    """

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)

    def request(self, kind: str) -> Request:
        """Return the next request of a kind that arrives by schedule.

        Raises:
            ValueError: no such kind.
        """
        if kind == CREATE:
            return self._create()
        if kind == SEARCH:
            term = self._text(self._draw.randint(1, _TERM_MAX))
            return Request(SEARCH, "GET", f"/warrior?t={quote_plus(term)}", OK, term=term)
        if kind == NO_TERM:
            return Request(NO_TERM, "GET", "/warrior", BAD_REQUEST)
        if kind == LARGE:
            return self._large()
        if kind == TOO_LONG:
            body = b'"' + b"x" * self._draw.randint(*_TOO_LONG_BYTES) + b'"'
            return Request(TOO_LONG, "POST", "/warrior", CONTENT_TOO_LARGE, body)
        raise ValueError(f"no kind {kind!r} arrives by schedule")

    def think_s(self) -> float:
        """Return how long a user waits before it looks up what it created: 1 to 30 ms."""
        return self._draw.uniform(0.001, 0.030)

    def _create(self) -> Request:
        name, good_name = self._name()
        dob, good_dob = self._dob()
        skills, good_skills = self._skills()
        fields = {"name": name, "dob": dob, "fight_skills": skills}
        good = good_name and good_dob and good_skills
        expected = CREATED if good else UNPROCESSABLE
        body = json.dumps(fields).encode()
        return Request(CREATE, "POST", "/warrior", expected, body, fields)

    def _large(self) -> Request:
        fields = {
            "name": self._text(_NAME_MAX),
            "dob": "1980-01-02",
            "fight_skills": [self._text(_SKILL_MAX) for _ in range(_SKILLS_MAX)],
        }
        body = json.dumps(fields).encode()
        return Request(LARGE, "POST", "/warrior", CREATED, body, fields)

    def _text(self, length: int) -> str:
        return "".join(self._draw.choices(_LETTERS, k=length))

    def _name(self) -> tuple[str, bool]:
        if self._draw.random() < _RARE:
            return self._text(_NAME_TOO_LONG), False
        return self._text(self._draw.randint(1, _NAME_MAX)), True

    def _dob(self) -> tuple[str, bool]:
        if self._draw.random() < _RARE:
            return self._draw.choice(_NONSENSE), False
        year = self._draw.randint(1940, 2020)
        month, day = self._draw.randint(1, 13), self._draw.randint(1, 29)
        # Of days up to 29 only that of February may be missing; 2000 was a leap year.
        exists = month <= 12 and (month != 2 or day <= 28 or year % 4 == 0)  # noqa: PLR2004
        return f"{year:04}-{month:02}-{day:02}", exists

    def _skills(self) -> tuple[Any, bool]:
        if self._draw.randrange(_NULL_SKILLS) == 0:
            return None, False
        if self._draw.random() < _RARE:
            return self._draw.choice(_WRONG_SKILLS), False
        count = self._draw.randint(1, _SKILLS_DRAWN)
        return self._draw.choices(STYLES, k=count), count <= _SKILLS_MAX
