"""The fuzzer: what it sends, what it finds fault with, and a short run against the worker."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stress.__main__ import main
from stress.fuzz import Finding, Found, verdicts
from stress.fuzz_grammar import Item, Talk, talk
from stress.fuzz_judge import Ending, Heard, difference, early, fault, refused, responses
from stress.fuzz_shrink import shrunk

if TYPE_CHECKING:
    from pathlib import Path

DATE = b"Date: Tue, 24 Nov 2026 16:00:00 GMT\r\n"
PROBLEM = b'{"reason": "deadline", "processed": false}'


def answer(body: bytes, status: bytes = b"200 OK", fields: bytes = DATE) -> bytes:
    return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, fields, len(body), body)


def refusal(fields: bytes = DATE) -> bytes:
    return answer(PROBLEM, b"503 Service Unavailable", b"Retry-After: 3\r\n" + fields)


CLOSE = DATE + b"Connection: close\r\n"
ONE, TWO = answer(b"GET\n/1\n\n0"), answer(b"GET\n/2\n\n0", fields=CLOSE)
SHED, SHED_CLOSING = refusal(), refusal(CLOSE)
BAD = answer(b"<html>", b"400 Bad Request", CLOSE)
TALK = Talk(
    (
        Item(b"1", "GET", b"GET\n/1\n", too_late=False, closes=False),
        Item(b"2", "GET", b"GET\n/2\n", too_late=False, closes=True),
    ),
    (),
)
LATE = Talk((Item(b"1", "GET", b"GET\n/1\n", too_late=True, closes=True),), ())


@given(st.integers(0, 10**9))
def test_a_seed_makes_one_conversation_and_its_pieces_are_the_whole(seed: int) -> None:
    said = talk(Random(seed), "name")
    assert said == talk(Random(seed), "name")
    assert b"".join(said.pieces) == said.data
    assert all(said.pieces)
    assert said.items[-1].closes


@given(st.integers(0, 10**9))
def test_what_is_not_spoiled_is_well_formed(seed: int) -> None:
    said = talk(Random(seed), "name", spoiled_percent=0)
    assert said.well_formed
    for item in said.items:
        head, _, body = item.data.partition(b"\r\n\r\n")
        line, *fields = head.split(b"\r\n")
        assert line.startswith(item.method.encode() + b" ")
        assert line.endswith(b" HTTP/1.1")
        named = dict(field.lower().split(b":", 1) for field in fields)
        assert named[b"host"].strip() == b"h"
        assert (b"x-request-timeout-ms" in named) is item.too_late
        assert (b"connection" in named) is item.closes
        if b"content-length" in named:
            assert int(named[b"content-length"]) == len(body)
        else:
            assert body.endswith(b"0\r\n\r\n") is (b"transfer-encoding" in named)


@pytest.mark.parametrize(
    ("data", "ending", "told"),
    [
        (ONE + TWO, Ending.CLOSED, ""),
        (SHED + TWO, Ending.CLOSED, ""),
        (ONE + SHED_CLOSING, Ending.CLOSED, ""),
        (SHED_CLOSING, Ending.CLOSED, ""),
        (ONE, Ending.CLOSED, "2 requests got 1 answers"),
        (b"", Ending.CLOSED, "2 requests got 0 answers"),
        (TWO + ONE, Ending.CLOSED, "request 1 got another one's answer"),
        (ONE + ONE, Ending.CLOSED, "request 2 was to close the connection"),
        (ONE + TWO + TWO, Ending.CLOSED, "2 requests got 3 answers"),
        (SHED_CLOSING + TWO, Ending.CLOSED, "answers after the close at 1"),
        (BAD + TWO, Ending.CLOSED, "request 1 got 400"),
        (ONE + TWO[:-1], Ending.CLOSED, "bytes that are no response"),
        (ONE + b"x" + TWO, Ending.CLOSED, "bytes that are no response"),
        (ONE + TWO, Ending.HUNG, "neither answered nor closed"),
        (ONE, Ending.RESET, "reset the connection"),
    ],
)
def test_each_request_has_one_answer_in_order(data: bytes, ending: Ending, told: str) -> None:
    found = fault(TALK, Heard(data, ending), guarded=True)
    assert told in found
    assert bool(found) is bool(told)


def test_a_request_that_comes_too_late_is_refused_by_the_guard_alone() -> None:
    served = Heard(answer(b"GET\n/1\n\n0", fields=CLOSE), Ending.CLOSED)
    assert "was to be refused" in fault(LATE, served, guarded=True)
    assert fault(LATE, served, guarded=False) == ""
    shed = Heard(SHED_CLOSING, Ending.CLOSED)
    assert fault(LATE, shed, guarded=True) == ""
    assert "got 503" in fault(LATE, shed, guarded=False)


@pytest.mark.parametrize(
    ("plain", "guarded", "told"),
    [
        (ONE + BAD, ONE + BAD, ""),
        (ONE + BAD, SHED + BAD, ""),
        (ONE + BAD, SHED_CLOSING, ""),
        (ONE + BAD, ONE + SHED_CLOSING, ""),
        (ONE, ONE + SHED_CLOSING, ""),
        (b"", b"", ""),
        (ONE + BAD, ONE + SHED, "answer 2: 503 instead of 400"),
        (ONE + BAD, ONE, "1 answers instead of 2"),
        (ONE, ONE + BAD, "2 answers instead of 1"),
        (ONE, ONE + SHED, "2 answers instead of 1"),
        (ONE + TWO, TWO + ONE, "answer 1: "),
        (BAD, ONE, "answer 1: 200 instead of 400"),
        (ONE, b"garbage", "no response"),
    ],
)
def test_the_guards_server_does_what_the_plain_one_does(
    plain: bytes, guarded: bytes, told: str
) -> None:
    found = difference(Heard(plain, Ending.CLOSED), Heard(guarded, Ending.CLOSED))
    assert told in found
    assert bool(found) is bool(told)


def test_how_it_ends_counts_but_for_a_reset_that_may_take_answers_along() -> None:
    closed, hung = Heard(ONE, Ending.CLOSED), Heard(ONE, Ending.HUNG)
    assert "neither answered nor closed; with gthread" in difference(closed, hung)
    assert difference(closed, Heard(b"", Ending.RESET)) == ""
    assert difference(closed, Heard(ONE[:-1], Ending.RESET)) == ""


def test_the_worker_may_wait_for_the_whole_of_what_gthread_answers_at_once() -> None:
    plain, silent = Heard(ONE + BAD, Ending.CLOSED), Heard(ONE, Ending.SILENCE)
    assert difference(plain, silent) == ""
    late = Heard(ONE + answer(b"", b"408 Request Timeout", CLOSE), Ending.CLOSED)
    assert difference(plain, late) == ""
    assert difference(Heard(ONE + TWO, Ending.SILENCE), silent) == ""
    assert difference(Heard(ONE + ONE + TWO, Ending.CLOSED), silent) == "1 answers instead of 3"
    assert difference(Heard(ONE + TWO, Ending.CLOSED), late) == "answer 2: 408 instead of 200"


def test_a_refusal_is_known_by_its_promise_and_an_early_one_by_its_missing_date() -> None:
    (late, soon) = responses(Heard(SHED + refusal(b""), Ending.CLOSED))
    assert refused(late)
    assert refused(soon)
    assert (early(late), early(soon)) == (False, True)
    others = (
        answer(b"{}", b"503 Busy"),
        answer(PROBLEM),
        answer(b"[]", b"503 Busy", b"Retry-After: 1\r\n"),
    )
    assert not any(refused(one) for one in responses(Heard(b"".join(others), Ending.CLOSED)))


def test_the_smallest_input_is_found() -> None:
    def fails(pieces: list[bytes]) -> bool:
        return b"".join(pieces).replace(b".", b"").startswith(b"bug")

    assert shrunk([b"..b..", b"u.g....", b"more"], fails, 1000) == [b"bug"]


def test_where_the_pieces_matter_they_stay_apart() -> None:
    found = shrunk([b"ab", b"cd", b"ef"], lambda pieces: len(pieces) > 1, 1000)
    assert [len(piece) for piece in found] == [1, 1]
    assert shrunk([b"ab"], lambda _pieces: True, 0) == [b"ab"]


def test_every_bar_can_be_missed() -> None:
    found = Found(whole=1, requests=2, spoiled=1)
    found.answers.update(["refused in the accept loop", "refused by the middleware"])
    assert [bar.met for bar in verdicts(found, "")] == [True] * 4
    assert [bar.met for bar in verdicts(Found(), "its worker is another one")] == [False] * 4
    found.findings.append(Finding(7, TALK, "2 requests got 1 answers"))
    first, second, *_ = verdicts(found, "")
    assert (first.met, second.met) == (False, True)
    assert "1 went wrong, number 7: 2 requests got 1 answers" in first.reached


@pytest.mark.process
def test_the_worker_answers_a_hundred_conversations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["fuzz", "--seconds", "0.1", "--seed", "11", "--out", str(tmp_path)])
    assert status == 0, capsys.readouterr().out
    document = json.loads((tmp_path / "fuzz.json").read_text())
    assert document["met"] is True
    assert document["facts"]["conversations"] >= 100
