"""The head of a response leaves with the first piece of its body, and the bytes are gunicorn's."""

from types import SimpleNamespace

import pytest
from gunicorn.config import Config
from gunicorn.http.wsgi import Response

from guard.gunicorn.response import JOINED_MAX_BYTES, JoinedResponse, join_head

LONG = bytes(JOINED_MAX_BYTES + 1)


class Wire:
    """A socket that keeps what is sent."""

    def __init__(self):
        self.sent = []

    def sendall(self, data):
        self.sent.append(data)


def response_to(method="GET", *, headers=(), made=Response):
    request = SimpleNamespace(method=method, version=(1, 1), should_close=lambda: False)
    found = made(request, Wire(), Config())
    found.start_response("200 OK", list(headers))
    return found


def sent_by(made, method, headers, pieces):
    response = response_to(method, headers=headers, made=made)
    # What is compared is not when they were made.
    response.default_headers = lambda: (
        ["HTTP/1.1 200 OK\r\n", "Server: x\r\n"]
        + (["Transfer-Encoding: chunked\r\n"] if response.chunked else [])
    )
    for piece in pieces:
        response.write(piece)
    response.close()
    return response.sock.sent


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("headers", [(), (("Content-Length", "6"),), (("Content-Length", "4"),)])
@pytest.mark.parametrize("pieces", [[], [b"found!"], [b"fo", b"und!"], [b"", b"found!"], [LONG]])
def test_the_bytes_are_those_that_gunicorn_sends(method, headers, pieces):
    ours, theirs = (sent_by(made, method, headers, pieces) for made in (JoinedResponse, Response))
    assert b"".join(ours) == b"".join(theirs)


def test_head_and_first_piece_are_one_packet_and_the_next_ones_their_own():
    sent = sent_by(JoinedResponse, "GET", [("Content-Length", "6")], [b"fou", b"nd!"])
    assert [one[-4:] for one in sent] == [b"\nfou", b"nd!"]


def test_a_long_piece_is_not_copied_behind_the_head():
    sent = sent_by(JoinedResponse, "GET", [("Content-Length", str(len(LONG)))], [LONG])
    assert sent[1] is LONG


def test_a_body_that_is_no_bytes_is_told_as_gunicorn_tells_it_and_the_head_is_out():
    response = response_to(made=JoinedResponse)
    wire = response.sock
    with pytest.raises(TypeError, match="not a byte"):
        response.write("text")
    assert response.headers_sent
    assert response.sock is wire
    assert wire.sent[0].startswith(b"HTTP/1.1 200 OK")


def test_only_gunicorns_own_response_is_changed():
    class Special(Response):
        pass

    for made, after in ((Response, JoinedResponse), (Special, Special)):
        response = response_to(made=made)
        join_head(response.start_response)
        assert type(response) is after
    join_head(lambda _status, _headers: None)
