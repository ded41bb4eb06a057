"""What the fuzzer sends: requests made by a grammar, some then spoiled, cut at random places. Pure.

A *well-formed* request is one that every server must answer with exactly one response. A spoiled
one may get an answer, an error or the connection's end; what it must not do is to change what
becomes of the requests before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from stress.fuzz_app import UNREAD

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

DEADLINE_HEADER: Final = b"X-Request-Timeout-Ms"
ITEMS_MAX: Final = 5

_END: Final = b"\r\n\r\n"
_BODILESS: Final = (b"GET", b"GET", b"GET", b"OPTIONS")
_METHODS: Final = (*_BODILESS, b"POST", b"PUT", b"PATCH", b"DELETE")
_ALL_METHODS: Final = (*_METHODS, b"HEAD")
_SPACES: Final = (b"", b" ", b" ", b" ", b"\t", b"  ")
_BODIES: Final = (
    b"", b"a", b"abc" * 7, b"GET /inner HTTP/1.1\r\nHost: h\r\n\r\n", bytes(range(256)),
)  # fmt: skip
_FIELDS: Final = (
    (b"Accept", b"*/*"),
    (b"X-Empty", b""),
    (b"X-Latin", b"caf\xe9 \xff"),
    (b"X-Long", b"l" * 3000),
    (b"Cookie", b'a=1; b="x, y"'),
    (b"X_Under", b"score"),
    (b"X-Request-ID", b"fuzz"),
    (b"X-Request-Start", b"t=1"),
    (b"X-Priority", b"critical"),
    (b"traceparent", b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01"),
    (b"Idempotency-Key", b'"k"'),
)
_GARBAGE: Final = (
    b"\r\n", b"\n", b"\x00", b"\r", b" ", b"GET", b"HTTP/1.1 200 OK\r\n\r\n", b"\x16\x03\x01\x02",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"0\r\n\r\n", b"Host: h\r\n", b"\xff" * 9, b":" * 9,
    b"GET / HTTP/1.1\r\n", b"X: y\r\n z\r\n", b"-1", b"9" * 30, b"%00", b"../", b"\r\n\r\n",
)  # fmt: skip
_SWAPS: Final = (
    (b"HTTP/1.1", b"HTTP/1.2"), (b"HTTP/1.1", b"HTTP/2.0"), (b"HTTP/1.1", b""), (b"\r\n", b"\n"),
    (b": ", b" : "), (b":", b""), (b"Host", b"H st"), (b"Host: ", b"Host: a\r\nHost: "),
    (b"Content-Length: ", b"Content-Length: +"), (b"Content-Length: ", b"Content-Length: 0"),
    (b"Content-Length: ", b"Content-Length: 7\r\nContent-Length: "),
    (b"Content-Length: ", b"Transfer-Encoding: chunked\r\nContent-Length: "),
    (b"Content-Length: ", b"Content-Length: -"), (b"Content-Length: ", b"Content_Length: "),
    (b"chunked", b"chunked, chunked"), (b"chunked", b"gzip"), (b"chunked", b"xchunked"),
    (b"Host", b"Expect: 200-maybe\r\nHost"), (b"Host", b"Upgrade: h2c\r\nHost"),
    (b"GET ", b"get "), (b" /", b" "), (b"/", b"\\"), (b"/", b"/\x00"), (b"/", b"/#"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Item:
    """One request, or what was meant to look like one.

    Attributes:
        data: its bytes.
        method: what it was made with.
        echo: what the application answers where it admits it: its first three lines.
        too_late: it asks for an answer within no time at all, so the guard refuses it.
        closes: it asks for the connection to be closed after it.
        well_formed: nothing was spoiled.
    """

    data: bytes
    method: str
    echo: bytes
    too_late: bool
    closes: bool
    well_formed: bool = True


@dataclass(frozen=True, slots=True)
class Talk:
    """What one connection says.

    Attributes:
        items: in their order.
        cuts: the bytes are sent in pieces that begin at these places.
        in_turns: each piece is an item, sent when the one before was answered.
    """

    items: tuple[Item, ...]
    cuts: tuple[int, ...]
    in_turns: bool = False

    @property
    def data(self) -> bytes:
        """All that is sent."""
        return b"".join(item.data for item in self.items)

    @property
    def pieces(self) -> list[bytes]:
        """The same, as it is sent."""
        if self.in_turns:
            return [item.data for item in self.items]
        data, ends = self.data, (*self.cuts, None)
        cut = [data[begin:end] for begin, end in zip((0, *self.cuts), ends, strict=True)]
        return [piece for piece in cut if piece]

    @property
    def well_formed(self) -> bool:
        """Whether nothing in it was spoiled."""
        return all(item.well_formed for item in self.items)


def talk(rng: Random, name: str, spoiled_percent: int = 50) -> Talk:
    """Return a new conversation, whose last request asks for the connection's end.

    Args:
        rng: decides everything.
        name: a word that its paths have, so that an answer to another one is seen.
        spoiled_percent: part of the conversations in which something is spoiled.
    """
    number = rng.randint(1, ITEMS_MAX)
    spoils = _chance(rng, spoiled_percent)
    # Whether an answer has a body can't be told once it is not known what it answers.
    methods = _METHODS if spoils else _ALL_METHODS
    items = [
        _item(rng, f"{name}-{place}", rng.choice(methods), closes=place == number)
        for place in range(1, number + 1)
    ]
    if spoils:
        at = rng.randrange(number)
        items[at] = spoiled(rng, items[at])
    return Talk(tuple(items), _cuts(rng, items), _chance(rng, 40))


def _cuts(rng: Random, items: Sequence[Item]) -> tuple[int, ...]:
    """Return places anywhere, or those at which most clients cut: after heads and after bodies."""
    data = b"".join(item.data for item in items)
    if _chance(rng, 60):
        anywhere = (rng.randrange(len(data) + 1) for _ in range(rng.choice((0, 0, 1, 2, 5))))
        return tuple(sorted(set(anywhere)))
    heads = (at + len(_END) for at in range(len(data)) if data.startswith(_END, at))
    return tuple(sorted({*heads, *accumulate(len(item.data) for item in items)}))


def _item(rng: Random, name: str, method: bytes, *, closes: bool) -> Item:
    path = f"{UNREAD if _chance(rng, 10) else ''}/{name}".encode()
    query = rng.choice((b"", b"q=1", b"a%20b=%C3%A4&c", b"?"))
    target = path + (b"?" + query if query else b"")
    if _chance(rng, 10):
        target = b"http://h" + target
    too_late = _chance(rng, 40)
    fields = [(b"Host", b"h"), *rng.sample(_FIELDS, rng.randint(0, 3))]
    if too_late:
        fields.append((DEADLINE_HEADER, b"0"))
    if closes:
        fields.append((b"Connection", b"close"))
    framing, body = _body(rng, method)
    fields += framing
    rng.shuffle(fields)
    lines = [b"%b:%b%b%b" % (_cased(rng, key), rng.choice(_SPACES), value, rng.choice(_SPACES))
             for key, value in fields]  # fmt: skip
    head = b"\r\n".join([b"%b %b HTTP/1.1" % (method, target), *lines])
    echo = b"\n".join([method, path, query])
    return Item(head + b"\r\n\r\n" + body, method.decode(), echo, too_late, closes)


def _chance(rng: Random, percent: int) -> bool:
    return rng.randrange(100) < percent


def _cased(rng: Random, name: bytes) -> bytes:
    return rng.choice((name, name, name.lower(), name.upper()))


def _body(rng: Random, method: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return the fields that frame a body, and the body in its frame."""
    if (method in _BODILESS or method == b"HEAD") and _chance(rng, 80):
        return [], b""
    body = rng.choice(_BODIES)
    if _chance(rng, 70):
        expects = [(b"Expect", b"100-continue")] if _chance(rng, 15) else []
        return [(b"Content-Length", b"%d" % len(body)), *expects], body
    extension = rng.choice((b"", b"", b";x=y"))
    size = rng.randint(1, 40)
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    framed = b"".join(b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    return [(b"Transfer-Encoding", b"chunked")], framed + b"0\r\n\r\n"


def spoiled(rng: Random, item: Item) -> Item:
    """Return the same with one to three things broken."""
    data = item.data
    for _ in range(rng.randint(1, 3)):
        data = rng.choice(_SPOILERS)(rng, data)
    return Item(data, item.method, item.echo, item.too_late, item.closes, well_formed=False)


def _swap(rng: Random, data: bytes) -> bytes:
    old, new = rng.choice(_SWAPS)
    return data.replace(old, new, rng.choice((1, -1)))


def _insert(rng: Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(_GARBAGE) + data[at:]


def _around(rng: Random, data: bytes) -> bytes:
    garbage = rng.choice(_GARBAGE)
    return garbage + data if _chance(rng, 50) else data + garbage


def _cut_out(rng: Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + rng.choice((1, 1, 2, 10, 10_000)) :]


def _flip(rng: Random, data: bytes) -> bytes:
    if not data:
        return data
    at = rng.randrange(len(data))
    return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]


_SPOILERS: Final[tuple[Callable[[Random, bytes], bytes], ...]] = (
    _swap, _swap, _swap, _insert, _around, _cut_out, _flip,
)  # fmt: skip
