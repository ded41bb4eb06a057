"""Clients that hold connections and hardly read or write."""

from __future__ import annotations

from functools import partial
from typing import Final

from stress.lab.bars import HONEST, Bar, answered_p99, no_failures, right_in_time
from stress.lab.course import AFTER, BEFORE
from stress.lab.description import Environment, Mishap, Scenario
from stress.lab.mishaps import slow_clients
from stress.lab.plans import mix
from stress.lab.slow_clients import KINDS

_GIANTS: Final = {
    "duckdb": (
        "INSERT INTO warriors SELECT uuid(), 'giant ' || i, DATE '1980-01-01', "
        "list_transform(range(20), lambda x: repeat('giant', 50)), repeat('giant', 1000) "
        "FROM range(60) giants(i)"
    ),
    "postgres": (
        "INSERT INTO warriors SELECT gen_random_uuid(), 'giant ' || i, DATE '1980-01-01', "
        "array_fill(repeat('giant', 50), ARRAY[20]), repeat('giant', 1000) "
        "FROM generate_series(1, 60) giants(i)"
    ),
}
"""Their search is an answer of 250 kB, which no kernel buffers for a client that does not read."""


def _unharmed(kind: str) -> tuple[Bar, ...]:
    return right_in_time(0.99, kind), answered_p99(500.0, kind), no_failures(kind)


SCENARIO: Final = Scenario(
    name="slow-clients",
    shows="120 clients with half a head, then 120 that send byte by byte, then 120 deaf ones",
    plan=mix((38, 50, 50)),
    mishaps=tuple(
        Mishap(kind, 5.0 + 10.0 * number, 6, partial(slow_clients, kind))
        for number, kind in enumerate(KINDS)
    ),
    environments={
        backend: Environment(statements=(giants,)) for backend, giants in _GIANTS.items()
    },
    bars=(
        *HONEST,
        right_in_time(0.99, BEFORE),
        *(bar for kind in KINDS for bar in _unharmed(kind)),
        right_in_time(0.99, AFTER),
    ),
)
