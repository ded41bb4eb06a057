import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.cache.entry import (
    Entry,
    Found,
    entry_of,
    fresh_headers,
    from_bytes,
    may_be_asked,
    may_be_kept,
    stale_headers,
    to_bytes,
)

TEXT = st.text(max_size=20)


@pytest.mark.parametrize(
    ("environ", "may"),
    [
        ({}, True),
        ({"REQUEST_METHOD": "POST"}, False),
        ({"REQUEST_METHOD": "HEAD"}, False),
        ({"HTTP_AUTHORIZATION": "Bearer x"}, False),
        ({"HTTP_COOKIE": "a=b"}, False),
        ({"HTTP_RANGE": "bytes=0-1"}, False),
        ({"HTTP_IF_NONE_MATCH": '"x"'}, False),
        ({"HTTP_CACHE_CONTROL": "no-cache"}, False),
        ({"HTTP_CACHE_CONTROL": "foo, No-Store"}, False),
        ({"HTTP_CACHE_CONTROL": "max-age=0"}, False),
        ({"HTTP_CACHE_CONTROL": "max-age=5"}, True),
        ({"CONTENT_LENGTH": ""}, True),
        ({"CONTENT_LENGTH": "0"}, True),
        ({"CONTENT_LENGTH": "1"}, False),
        ({"HTTP_CONTENT_LENGTH": "1"}, False),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, False),
    ],
)
def test_only_a_get_that_anybody_could_send_is_answered_for_all(environ, may):
    assert may_be_asked({"REQUEST_METHOD": "GET", **environ}) is may


@pytest.mark.parametrize(
    ("status", "headers", "may"),
    [
        ("200 OK", [], True),
        ("200 OK", [("Cache-Control", "public, max-age=60")], True),
        ("404 Not Found", [], False),
        ("206 Partial Content", [], False),
        ("503 Service Unavailable", [], False),
        ("200 OK", [("Set-Cookie", "a=b")], False),
        ("200 OK", [("vary", "Accept")], False),
        ("200 OK", [("Cache-Control", "Private")], False),
        ("200 OK", [("cache-control", "max-age=1, no-store")], False),
        ("200 OK", [("Cache-Control", "s-maxage=0")], False),
        ("200 OK", [("Cache-Control", 'Private="X-Name"')], False),
        ("200 OK", [("Cache-Control", 'no-cache="X-Name, X-Other"')], False),
        ("200 OK", [("Cache-Control", "max-age=9, must-revalidate")], False),
        ("200 OK", [("Cache-Control", "proxy-revalidate")], False),
        ("200 OK", [("X-Name", "Li\u00e9")], True),
        ("200 OK", [("X-Name", "\u0141")], False),
        ("200 OK", [("X-Name", "a\r\nB: c")], False),
    ],
)
def test_only_a_200_that_nothing_ties_to_one_client_is_kept(status, headers, may):
    assert may_be_kept(status, headers) is may


@given(st.lists(st.tuples(TEXT, TEXT), max_size=4), st.binary(max_size=50), TEXT)
def test_an_entry_comes_back_from_its_bytes(headers, body, route):
    entry = Entry(tuple(headers), body, route)
    assert from_bytes(to_bytes(entry)) == entry


@given(st.binary(max_size=60))
def test_no_bytes_raise(raw):
    assert from_bytes(raw) is None or isinstance(from_bytes(raw), Entry)


def test_what_belongs_to_one_transfer_is_not_kept():
    kept = entry_of(
        [("Date", "x"), ("Content-Length", "9"), ("Age", "7"), ("ETag", '"e"')], b"abc", "/r"
    )
    assert kept.headers == (("ETag", '"e"'), ("Content-Length", "3"))


def test_a_late_answer_says_so_and_no_other_cache_keeps_it():
    entry = entry_of([("Cache-Control", "max-age=60")], b"x", "")
    assert ("Age", "3") in fresh_headers(Found(entry, 3.9))
    late = stale_headers(Found(entry, 70.2))
    assert late[1:] == (
        ("Age", "70"),
        ("Warning", '110 - "Response is Stale"'),
        ("Cache-Control", "no-store"),
    )
