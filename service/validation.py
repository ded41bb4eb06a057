"""What a client sent, parsed and checked. Pure: text in, values or a list of problems out."""

from __future__ import annotations

import json
import re
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from urllib.parse import unquote_to_bytes

from service.warrior import NewWarrior

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME_MAX = 100
SKILLS_MAX = 20
SKILL_MAX = 250
TERM_MAX = 100
KEY_MAX = 255
KEY_PATTERN = rf'[!#-+\--\[\]-~]{{1,{KEY_MAX}}}|"[ !#-\[\]-~]{{1,{KEY_MAX}}}"'
"""An ``Idempotency-Key``: a structured string (RFC 8941) without escapes, or one without quotes,
which then has no comma either: a header that is given twice arrives joined by one."""
PROBLEMS_MAX = 100
"""Most problems that one answer lists: 64 KiB hold 30,000 wrong skills, their list megabytes."""

_KEY = re.compile(KEY_PATTERN)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# PostgreSQL stores no NUL, and UTF-8 has no form for half of a surrogate pair.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_MISSING = object()
_TYPE_NAMES = {
    bool: "a boolean",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
}


class FieldProblem(NamedTuple):
    """One thing that is wrong with a body.

    Attributes:
        pointer: where, as a JSON pointer in URI fragment form, such as ``#/fight_skills/2``.
        detail: what, for people.
    """

    pointer: str
    detail: str


class MalformedBodyError(Exception):
    """The body is no JSON object; the message says why, for people."""


class InvalidFieldsError(Exception):
    """The body is a JSON object with missing or wrong fields.

    Attributes:
        problems: every one of them, at least one, at most ``PROBLEMS_MAX``.
    """

    def __init__(self, problems: list[FieldProblem]) -> None:
        super().__init__(f"{len(problems)} problems")
        self.problems = problems


class BadTermError(Exception):
    """The query has no usable search term; the message says why, for people."""


class MalformedKeyError(Exception):
    """The ``Idempotency-Key`` is none; the message says why, for people."""


def parse_key(header: str) -> str:
    """Return the key in an ``Idempotency-Key`` header, without quotes if it has any.

    Raises:
        MalformedKeyError: empty, too long, given twice, or with characters that no key has.
    """
    if _KEY.fullmatch(header) is None:
        raise MalformedKeyError(
            f"Idempotency-Key must be one string of 1 to {KEY_MAX} printable ASCII characters, "
            "without quotes and backslashes inside; a UUID is best."
        )
    return header.strip('"')


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object that ``body`` is; of a member given twice the last one counts.

    Numbers all become floats: no field takes one, and a number of 60,000 digits must cost
    nothing.

    Raises:
        MalformedBodyError: not UTF-8, not JSON (``NaN`` and ``Infinity`` are not), nested deeper
            than the parser goes, or not an object.
    """
    try:
        found = json.loads(body.decode(), parse_int=float, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise MalformedBodyError(f"The body is not UTF-8 (byte {error.start}).") from error
    except json.JSONDecodeError as error:
        raise MalformedBodyError(f"The body is not JSON: {error}.") from error
    except RecursionError as error:
        raise MalformedBodyError("The body is nested too deeply.") from error
    if not isinstance(found, dict):
        raise MalformedBodyError(f"The body must be a JSON object, not {_type_name(found)}.")
    return found


def _no_constant(name: str) -> NoReturn:
    raise MalformedBodyError(f"The body is not JSON: {name} is no JSON value.")


def parse_warrior(fields: dict[str, Any]) -> NewWarrior:
    """Return the warrior that ``fields`` describe; members without a meaning are ignored.

    Raises:
        InvalidFieldsError: with every problem.
    """
    born = _parse_date(fields.get("dob"))
    problems = [
        *_text_problems("#/name", fields.get("name", _MISSING), NAME_MAX),
        *_date_problems(fields, born),
        *_skills_problems(fields),
    ]
    if problems or born is None:
        more = len(problems) - PROBLEMS_MAX
        if more > 0:
            problems[PROBLEMS_MAX - 1 :] = [FieldProblem("#", f"and {more + 1} more problems")]
        raise InvalidFieldsError(problems)
    return NewWarrior(fields["name"], born, tuple(fields["fight_skills"]))


def _parse_date(value: object) -> date | None:
    # The pattern first: fromisoformat also takes 20240131 and 2024-W05-3.
    if not isinstance(value, str) or _DATE.fullmatch(value) is None:
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def _date_problems(fields: dict[str, Any], born: date | None) -> Iterator[FieldProblem]:
    if born is not None:
        return
    if "dob" not in fields:
        yield FieldProblem("#/dob", "is missing")
    elif isinstance(fields["dob"], str):
        yield FieldProblem("#/dob", "must be a date that exists, as YYYY-MM-DD")
    else:
        yield FieldProblem("#/dob", f"must be a string, not {_type_name(fields['dob'])}")


def _skills_problems(fields: dict[str, Any]) -> Iterator[FieldProblem]:
    pointer = "#/fight_skills"
    if "fight_skills" not in fields:
        yield FieldProblem(pointer, "is missing")
        return
    skills = fields["fight_skills"]
    if not isinstance(skills, list):
        yield FieldProblem(pointer, f"must be an array, not {_type_name(skills)}")
        return
    if not 1 <= len(skills) <= SKILLS_MAX:
        yield FieldProblem(pointer, f"must have 1 to {SKILLS_MAX} entries, not {len(skills)}")
    for index, skill in enumerate(skills):
        yield from _text_problems(f"{pointer}/{index}", skill, SKILL_MAX)


def _text_problems(pointer: str, value: object, longest: int) -> Iterator[FieldProblem]:
    if value is _MISSING:
        yield FieldProblem(pointer, "is missing")
        return
    if not isinstance(value, str):
        yield FieldProblem(pointer, f"must be a string, not {_type_name(value)}")
        return
    if not 1 <= len(value) <= longest:
        yield FieldProblem(pointer, f"must have 1 to {longest} characters, not {len(value)}")
    if _UNSTORABLE.search(value):
        yield FieldProblem(pointer, "must not contain NUL or half of a surrogate pair")


def _type_name(value: object) -> str:
    return _TYPE_NAMES.get(type(value), "null")


def parse_term(query: str) -> str:
    """Return the search term ``t`` of a WSGI ``QUERY_STRING``, 1 to 100 characters, as it came.

    Werkzeug's own parser is not used: it keeps what is not UTF-8 as percent signs and digits,
    which would then be searched for.

    Raises:
        BadTermError: no term, an empty one, more than one, not UTF-8, too long.
    """
    found = [value for name, value in _query_fields(query) if name == b"t"]
    if not found or found == [b""]:
        raise BadTermError("The query parameter t, the term to search for, is missing.")
    if len(found) > 1:
        raise BadTermError("The query parameter t must be given once.")
    try:
        term = found[0].decode()
    except UnicodeDecodeError as error:
        raise BadTermError("The term is not UTF-8.") from error
    if len(term) > TERM_MAX:
        raise BadTermError(f"The term must have at most {TERM_MAX} characters, not {len(term)}.")
    return term


def _query_fields(query: str) -> Iterator[tuple[bytes, bytes]]:
    # WSGI gives bytes in the shape of a latin-1 string (PEP 3333).
    for field in query.encode("latin-1").replace(b"+", b" ").split(b"&"):
        name, _, value = field.partition(b"=")
        yield unquote_to_bytes(name), unquote_to_bytes(value)
