from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stress.response import BadResponseError, CutResponseError, parse

_PLAIN = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3\r\nContent-Length: 2\r\n\r\nno"
_CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
    b"3;x=y\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\n"
)
_TRAILED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\n\r\n"
_EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"
_CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\n" + _PLAIN
_WHOLE = {
    _PLAIN: (503, b"no"),
    _CHUNKED: (200, b"abc0123456789"),
    _TRAILED: (200, b"a"),
    _EMPTY: (204, b""),
    _CONTINUED: (503, b"no"),
}


@pytest.mark.parametrize("data", _WHOLE)
def test_a_response_is_whole_at_its_last_byte_and_no_earlier(data: bytes) -> None:
    for end in range(len(data)):
        assert parse(data[:end]) is None
        with pytest.raises(CutResponseError):
            parse(data[:end], ended=True)
    response = parse(data)

    assert response is not None
    assert (response.status, response.body) == _WHOLE[data]
    assert response.reusable
    followed = parse(data + _PLAIN)
    assert followed is not None
    assert (followed.body, followed.size_bytes) == (response.body, len(data))


def test_the_answer_to_head_has_a_length_and_no_body() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"
    response = parse(head + _PLAIN, to_head=True)

    assert response is not None
    assert (response.body, response.size_bytes) == (b"", len(head))


def test_fields_are_found_in_any_case_and_whole() -> None:
    response = parse(
        b"HTTP/1.1 200 OK\r\nX-A: 1\r\nLoCation:  /Warrior/A \r\nContent-Length: 0\r\n\r\n"
    )

    assert response is not None
    assert response.header("location") == "/Warrior/A"
    assert response.header("A") == ""
    assert response.header("X-A") == "1"


@pytest.mark.parametrize(
    ("head", "reusable"),
    [
        (b"HTTP/1.1 200 OK", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close", False),
        (b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive", True),
        (b"HTTP/1.0 200 OK", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive", True),
    ],
)
def test_the_connection_is_kept_where_the_server_keeps_it(head: bytes, *, reusable: bool) -> None:
    response = parse(head + b"\r\nContent-Length: 0\r\n\r\n")
    with_more = parse(head + b"\r\nContent-Length: 0\r\n\r\nHTTP/1.1")

    assert response is not None
    assert response.reusable is reusable
    assert with_more is not None
    assert not with_more.reusable, "bytes that nobody asked for"


def test_without_a_length_the_end_of_the_connection_ends_the_body() -> None:
    data = b"HTTP/1.1 200 OK\r\n\r\nuntil the end"
    response = parse(data, ended=True)

    assert parse(data) is None
    assert response is not None
    assert response.body == b"until the end"
    assert not response.reusable


@pytest.mark.parametrize(
    "data",
    [
        b"SMTP ready\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        b"a" * 70_000,
    ],
)
def test_what_is_no_response_is_refused(data: bytes) -> None:
    with pytest.raises(BadResponseError):
        parse(data)


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=50)), st.binary(max_size=20))
def test_chunks_join_to_the_body(chunks: list[bytes], rest: bytes) -> None:
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    response = parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framed + rest)

    assert response is not None
    assert response.body == b"".join(chunks)
    assert response.reusable is (not rest)
