"""Is what a server answered to a conversation right? Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from stress.response import BadResponseError, CutResponseError, Response, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stress.fuzz_grammar import Item, Talk

_OK: Final = 200
_REFUSED: Final = 503
_TIMED_OUT: Final = 408
_ERRORS: Final = range(400, 500)


class Ending(StrEnum):
    """How a conversation ended."""

    CLOSED = "the server closed the connection"
    SILENCE = "the server closed it only after the client had"
    RESET = "the server reset the connection"
    HUNG = "the server neither answered nor closed"


@dataclass(frozen=True, slots=True)
class Heard:
    """What came back.

    Attributes:
        data: all bytes.
        ending: how it ended.
    """

    data: bytes
    ending: Ending


def responses(heard: Heard, methods: Sequence[str] = ()) -> list[Response]:
    """Return the responses that the bytes are, all of them.

    Args:
        heard: what came back.
        methods: what each of them answers, as far as that is known.

    Raises:
        BadResponseError: the bytes are something else; a response that a reset has cut is left out.
    """
    found: list[Response] = []
    rest = heard.data
    while rest:
        method = methods[len(found)] if len(found) < len(methods) else ""
        try:
            response = parse(rest, ended=True, to_head=method == "HEAD")
        except CutResponseError:
            if heard.ending is Ending.RESET:
                break
            raise
        if response is None:
            raise BadResponseError("no response")
        found.append(response)
        rest = rest[response.size_bytes :]
    return found


def refused(response: Response) -> bool:
    """Return whether it is the guard's refusal, which says that nothing was executed."""
    if response.status != _REFUSED or not response.header("Retry-After").isdigit():
        return False
    if response.body == b"":
        return response.header("Content-Length") != "0"  # to a HEAD
    try:
        return json.loads(response.body)["processed"] is False
    except (ValueError, KeyError, TypeError):
        return False


def early(response: Response) -> bool:
    """Return whether the refusal left from the accept loop, which tells no date."""
    return response.header("Date") == ""


def fault(talk: Talk, heard: Heard, *, guarded: bool) -> str:
    """Return what is wrong with the answers to a well-formed conversation; empty for nothing.

    Each request has one answer, in order. Only a refusal may close the connection early, and
    it says so. Who asks for an answer within no time is refused, who asks for the connection's
    end gets it.

    Args:
        talk: what was said.
        heard: what came back.
        guarded: whether there is a guard that may refuse.
    """
    try:
        found = responses(heard, [item.method for item in talk.items])
    except BadResponseError as error:
        return f"bytes that are no response: {error}"
    if heard.ending is not Ending.CLOSED:
        return heard.ending.value
    for place, (item, response) in enumerate(zip(talk.items, found, strict=False), 1):
        if what := _wrong(item, response, guarded=guarded):
            return f"request {place} {what}"
        if guarded and refused(response) and _closes(response):
            return _after_close(found, place)
    if len(found) != len(talk.items):
        return f"{len(talk.items)} requests got {len(found)} answers"
    return ""


def _wrong(item: Item, response: Response, *, guarded: bool) -> str:
    if item.closes and not _closes(response):
        return "was to close the connection"
    if guarded and refused(response):
        return ""
    if guarded and item.too_late:
        return f"was to be refused and got {response.status}"
    if response.status != _OK:
        return f"got {response.status}"
    if item.method != "HEAD" and not response.body.startswith(item.echo):
        return f"got another one's answer: {response.body[:80]!r}"
    return ""


def _after_close(found: Sequence[Response], place: int) -> str:
    return "" if len(found) == place else f"answers after the close at {place}"


def difference(plain: Heard, guarded: Heard, methods: Sequence[str] = ()) -> str:
    """Return in what the guard's server differs from a plain one; empty where it does not.

    A refusal in the place of the application's answer is none, nor is a refusal that closes the
    connection: it leaves before anybody has seen what is wrong with the body. Nor is it one where
    the guard's worker waits for the whole of a request, until its client gives up or with a 408,
    which gthread answers by what there is of it.

    Args:
        plain: what came back from the plain one.
        guarded: what came back from the other, to the same bytes.
        methods: see ``responses``.
    """
    try:
        ours, theirs = responses(guarded, methods), responses(plain, methods)
    except BadResponseError as error:
        return f"bytes that are no response: {error}"
    for place, (one, other) in enumerate(zip(theirs, ours, strict=False), 1):
        if refused(other) and _closes(other):
            return _after_close(ours, place)
        if what := _unlike(one, other):
            return f"answer {place}: {what}"
    awaits = guarded.ending is Ending.SILENCE and len(theirs) == len(ours) + 1
    cut = Ending.RESET in {plain.ending, guarded.ending}
    if cut or awaits or _gives_up(ours[len(theirs) :]):
        return ""
    if len(ours) != len(theirs):
        return f"{len(ours)} answers instead of {len(theirs)}"
    unlike = plain.ending is not guarded.ending
    return f"{guarded.ending.value}; with gthread {plain.ending.value}" if unlike else ""


def _gives_up(more: Sequence[Response]) -> bool:
    # gthread waits for the rest of a body; a refusal does not.
    return len(more) == 1 and refused(more[0]) and _closes(more[0])


def _unlike(one: Response, other: Response) -> str:
    if one.status == _OK and refused(other):
        return ""
    if one.status in _ERRORS and other.status == _TIMED_OUT:
        return ""
    if one.status != other.status:
        return f"{other.status} instead of {one.status}"
    if one.status == _OK and one.body != other.body:
        return f"{other.body[:80]!r} instead of {one.body[:80]!r}"
    return ""


def _closes(response: Response) -> bool:
    return response.header("Connection").lower() == "close"
