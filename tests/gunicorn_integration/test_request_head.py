import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.gunicorn.head import HEAD_BYTES_MAX, REQUEST_BYTES_MAX, finder, is_partial, parse

PLAIN = b"GET /a%20b/%C3%A4?t=x%20y HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n\r\n"


def test_a_plain_get_is_recognised():
    head = parse(PLAIN)
    assert head is not None
    assert head.keep_alive
    assert head.environ == {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/a b/\xc3\xa4",
        "QUERY_STRING": "t=x%20y",
        "SCRIPT_NAME": "",
    }


def test_close_is_seen():
    head = parse(PLAIN.replace(b"Accept: */*", b"connection:  Close "))
    assert head is not None
    assert not head.keep_alive


def test_a_body_of_the_told_length_belongs_to_the_request():
    posted = PLAIN.replace(b"GET", b"POST").replace(b"Accept: */*", b"content-length:  3 ")
    head = parse(posted + b"abc")
    assert head is not None
    assert head.environ["REQUEST_METHOD"] == "POST"
    assert parse(posted) is None
    assert parse(posted + b"ab") is None
    assert parse(posted + b"abcd") is None


@pytest.mark.parametrize("length", [b"+3", b"03", b"3, 3", b"0x3", b"", b"3\r\nContent-Length: 3"])
def test_an_unusual_length_goes_the_normal_way(length):
    assert parse(PLAIN.replace(b"Accept: */*", b"Content-Length: " + length) + b"abc") is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        PLAIN[:-1],
        PLAIN[:-2],
        PLAIN + b"G",
        PLAIN + PLAIN,
        PLAIN.replace(b"GET", b"HEAD"),
        PLAIN.replace(b"GET", b"BREW"),
        PLAIN.replace(b"GET ", b"GET  "),
        PLAIN.replace(b"GET /", b"GET http://h/"),
        PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
        PLAIN.replace(b"Accept: */*", b"Content-Length: 1"),
        PLAIN.replace(b"Accept: */*", b"content-length : 5"),
        PLAIN.replace(b"Accept: */*", b"Transfer-Encoding: chunked"),
        PLAIN.replace(b"Accept: */*", b"Expect: 100-continue"),
        PLAIN.replace(b"Accept: */*", b"Upgrade: h2c"),
        PLAIN.replace(b"Accept: */*", b"HTTP2-Settings: x"),
        PLAIN.replace(b"Accept: */*", b"Connection: upgrade"),
        PLAIN.replace(b"Accept: */*", b"Connection: close, te"),
        PLAIN.replace(b"Accept: */*", b"Host: twice"),
        PLAIN.replace(b"Host: h", b"X: h"),
        PLAIN.replace(b"Accept: */*", b" folded"),
        PLAIN.replace(b"Accept: */*", b"X: \x00"),
        PLAIN.replace(b"Accept: */*\r\n", b"Accept: */*\n"),
        PLAIN.replace(b"\r\n", b"\n"),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
    ],
)
def test_everything_else_goes_the_normal_way(data):
    assert parse(data) is None


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        (b"X-Request-Timeout-Ms: 250", "250"),
        (b"x-request-timeout-ms:250\t ", "250"),
        (b"X-Request-Timeout-Ms: 1\r\nX-REQUEST-TIMEOUT-MS: 2", "1,2"),
        (b"X-Request-Timeout-Ms:", ""),
        (b"X-Request-Timeout-Ms: \xe9", "\xe9"),
        (b"X-Request-Timeout: 250", None),
        (b"X-X-Request-Timeout-Ms: 250", None),
        (b"X-Request-Timeout-Ms-X: 250", None),
        (b"X_Request_Timeout_Ms: 250", None),
        (b"Accept: X-Request-Timeout-Ms: 250", None),
    ],
)
def test_fields_that_are_asked_for_are_found_as_the_full_parser_finds_them(fields, value):
    head = parse(PLAIN.replace(b"Accept: */*", fields), finder(["X-Request-Timeout-Ms", "X-Key"]))
    assert head is not None
    assert head.environ.get("HTTP_X_REQUEST_TIMEOUT_MS") == value
    assert "HTTP_X_KEY" not in head.environ


def test_nothing_is_looked_for_where_nothing_is_asked_for():
    assert finder([]) is None


FIELDS = b"Accept: a/b\r\nX-One:  1 \r\nx-ONE: 2\r\nX_One: 3\r\nX-One-More: 4\r\n"


@pytest.mark.parametrize(
    ("names", "carried"),
    [
        ((), {}),
        (("X-Other",), {}),
        (("X-One",), {"HTTP_X_ONE": "1,2"}),
        (("X-Other", "accept"), {"HTTP_ACCEPT": "a/b"}),
        (
            None,
            {"HTTP_HOST": "h", "HTTP_ACCEPT": "a/b", "HTTP_X_ONE": "1,2", "HTTP_X_ONE_MORE": "4"},
        ),
    ],
)
def test_the_named_headers_are_carried_along(names, carried):
    head = parse(PLAIN.replace(b"Accept: */*\r\n", FIELDS), finder(names))
    assert head is not None
    found = {key: value for key, value in head.environ.items() if key.startswith("HTTP_")}
    assert found == carried


@given(st.binary(max_size=200))
def test_no_bytes_raise(data):
    parse(data)
    parse(b"GET /" + data + b" HTTP/1.1\r\nHost: h\r\n\r\n")
    wanted = finder(["X-Request-Timeout-Ms"])
    parse(PLAIN.replace(b"*/*", b"*/*\r\nX-Request-Timeout-Ms: " + data), wanted)


@given(st.binary(min_size=1, max_size=100))
def test_what_follows_the_head_is_never_taken_for_a_part_of_it(rest):
    head = parse(PLAIN + rest)
    assert head is None


POSTED = PLAIN.replace(b"GET", b"POST").replace(b"Accept: */*", b"Content-Length: 3")


@given(st.integers(1, len(POSTED) + 2))
def test_each_beginning_of_a_request_is_partial_and_the_whole_is_not(length):
    whole = POSTED + b"abc"
    assert is_partial(whole[:length])
    assert not is_partial(whole)
    assert not is_partial(whole + b"GET")


@pytest.mark.parametrize(
    "data",
    [
        # A parser would wait for the end of a line.
        b"", b"\r\n", b"\x16\x03\x01", b"GET / HTTP/1.1\nHost: h\n", b"G\n",
        # The rest of a head.
        b"\r\nGET / HTTP/1.1\r\n", b"M-SEARCH * HTTP/1.0\r\nA: b\r\n", b"get / HTTP/1.1\r\nHos",
        # A body.
        b"\r\n" + POSTED + b"ab",
    ],
)  # fmt: skip
def test_what_the_full_parser_would_wait_for_is_awaited_without_a_thread(data):
    assert is_partial(data)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"nonsense\r\n",
        b"GET  / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\n" + b"x" * HEAD_BYTES_MAX,
        POSTED.replace(b": 3", b": %d" % REQUEST_BYTES_MAX),
        POSTED.replace(b": 3", b": 99999999999999999999"),
        POSTED.replace(b": 3", b": -3"),
        POSTED.replace(b": 3", b": three"),
        POSTED.replace(b": 3", b": 3\r\nContent-Length: 4"),
        POSTED.replace(b": 3", b": 3\r\nExpect: 100-continue"),
        POSTED.replace(b": 3", b": 3\r\nTransfer-Encoding: chunked"),
        PLAIN.replace(b"Accept: */*", b"Transfer-Encoding: chunked"),
    ],
)
def test_what_the_full_parser_has_something_to_say_about_is_not_awaited(data):
    assert not is_partial(data)


@given(st.binary(max_size=200))
def test_any_bytes_can_be_asked_about(data):
    assert not (is_partial(data) and parse(data) is not None)
