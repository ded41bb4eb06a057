"""How many workers, threads, connections and waiters; and can the guard fire with them?

gthread queues accepted requests in an unbounded executor in front of the application. If the
lanes together may hold as many threads as there are, every thread waits inside the guard, the
next request waits outside, and no refusal is ever sent. So

    needed  = read pool + read waiters + write pool + write waiters
    reserve = max(2, ceil(needed / 8))
    threads >= needed + reserve

Each lane holds at most ``pool + waiters`` permits, so one lane's saturation leaves the other its
threads, and the reserve is left for refusals, health checks and requests without a database.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

POOL_MAX: Final = 500
"""Most connections of one pool."""
WAITERS_MAX: Final = 500
"""Most requests that may wait in one lane."""
CONNECTIONS_BESIDE_POOLS: Final = 2
"""Connections of a worker beside its pools: the lock sampler's and a probe's."""
GENERATIONS: Final = 2
"""Worker generations that overlap in a reload."""

_CORES_MAX: Final = 8
_POSTGRES_WORKERS_MAX: Final = 4
"""4 x (4 + 4 + 2) x 2 = 80 connections: fits the 97 that a stock server has to give."""
_CORES_MIN: Final = 2
_RESERVE_MIN: Final = 2
_RESERVE_SHARE: Final = 8


class DatabaseKind(StrEnum):
    """Which database the sizes are for."""

    DUCKDB = "duckdb"
    POSTGRES = "postgres"
    NONE = ""
    """No database of Guard's own: whole requests hold a permit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The sizes that the operator chose; None where they are to be derived. Immutable.

    The attributes are those of ``Sizing``.
    """

    workers: int | None = None
    threads: int | None = None
    thread_reserve: int | None = None
    read_pool_size: int | None = None
    read_waiters: int | None = None
    write_pool_size: int | None = None
    write_waiters: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """The sizes of the service. All but ``workers`` are per worker. Immutable.

    Attributes:
        workers: processes, >= 1.
        threads: request threads, >= 1.
        thread_reserve: threads that database work never takes.
        read_pool_size: read connections, >= 1.
        read_waiters: reads that may wait for a connection, >= 0.
        write_pool_size: write connections, >= 1.
        write_waiters: writes that may wait for a connection, >= 0.
    """

    workers: int
    threads: int
    thread_reserve: int
    read_pool_size: int
    read_waiters: int
    write_pool_size: int
    write_waiters: int

    @property
    def read_limit(self) -> int:
        """Permits of the read lane at once."""
        return self.read_pool_size + self.read_waiters

    @property
    def write_limit(self) -> int:
        """Permits of the write lane at once."""
        return self.write_pool_size + self.write_waiters

    @property
    def needed(self) -> int:
        """Threads that both lanes can hold at once."""
        return self.read_limit + self.write_limit


class Finding(NamedTuple):
    """One thing that an operator should know.

    Attributes:
        fatal: True where the guard can't work like this; False for a warning.
        text: one sentence with the numbers and what to set.
    """

    fatal: bool
    text: str


class ServerLimits(NamedTuple):
    """What a PostgreSQL server allows.

    Attributes:
        max_connections: the server's limit, >= 1.
        reserved: connections of it that an ordinary role never gets, >= 0.
        cap: the role's or the database's own, lower limit; None where there is none.
    """

    max_connections: int
    reserved: int
    cap: int | None = None

    @property
    def usable(self) -> int:
        """Connections that an ordinary role can have, all together."""
        free = self.max_connections - self.reserved
        return free if self.cap is None else min(free, self.cap)


class _Shape(NamedTuple):
    workers: int
    read_pool_size: int
    read_waiters: int
    write_pool_size: int
    write_waiters: int


def _shape(kind: DatabaseKind, cores: int) -> _Shape:
    scaled = min(_CORES_MAX, max(_CORES_MIN, cores))
    if kind is DatabaseKind.DUCKDB:
        # One process owns the file. More readers than cores make every query slower; a writer
        # that waits for the group commit costs nothing but its thread.
        return _Shape(1, scaled, 40, 1, 39)
    if kind is DatabaseKind.POSTGRES:
        return _Shape(min(scaled, _POSTGRES_WORKERS_MAX), 4, 12, 4, 12)
    return _Shape(scaled, 4, 4, 4, 4)


def reserve_for(needed: int) -> int:
    """Return ``max(2, ceil(needed / 8))``, the threads kept back beside ``needed``."""
    return max(_RESERVE_MIN, -(-needed // _RESERVE_SHARE))


def room_for(threads: int, reserve: int | None = None) -> int:
    """Return how many threads the lanes may hold of ``threads``.

    Args:
        threads: request threads of a worker.
        reserve: threads kept back; None: as many as ``reserve_for`` says.
    """
    if reserve is not None:
        return max(0, threads - reserve)
    # The largest n with n + ceil(n / 8) <= threads is floor(threads * 8/9).
    return max(0, min(threads - _RESERVE_MIN, threads * _RESERVE_SHARE // (_RESERVE_SHARE + 1)))


def derive(kind: DatabaseKind, cores: int, given: Given | None = None) -> Sizing:
    """Return all sizes: what was given, and for the rest what fits it.

    Where ``threads`` are given but a lane's waiters are not, the waiters take the room that the
    threads leave, in the defaults' proportion. Nothing given is ever changed, so the result can
    be one with which the guard can't fire; ask ``can_fire``.

    Args:
        kind: the database.
        cores: processors that this host may use, >= 1.
        given: the operator's own choice.
    """
    chosen = given or Given()
    shape = _shape(kind, cores)
    read_pool = _or(chosen.read_pool_size, shape.read_pool_size)
    write_pool = _or(chosen.write_pool_size, shape.write_pool_size)
    read_waiters, write_waiters = _waiters(chosen, shape, read_pool + write_pool)
    needed = read_pool + read_waiters + write_pool + write_waiters
    reserve = _or(chosen.thread_reserve, reserve_for(needed))
    return Sizing(
        workers=_or(chosen.workers, shape.workers),
        threads=_or(chosen.threads, needed + reserve),
        thread_reserve=reserve,
        read_pool_size=read_pool,
        read_waiters=read_waiters,
        write_pool_size=write_pool,
        write_waiters=write_waiters,
    )


def _waiters(given: Given, shape: _Shape, pools: int) -> tuple[int, int]:
    read, write = given.read_waiters, given.write_waiters
    if given.threads is None:
        return _or(read, shape.read_waiters), _or(write, shape.write_waiters)
    free = max(0, room_for(given.threads, given.thread_reserve) - pools)
    if read is None and write is None:
        read = free * shape.read_waiters // (shape.read_waiters + shape.write_waiters)
        write = free - read
    elif read is None:
        read = max(0, free - _or(write, 0))
    elif write is None:
        write = max(0, free - read)
    return min(read, WAITERS_MAX), min(_or(write, 0), WAITERS_MAX)


def _or(given: int | None, otherwise: int) -> int:
    return otherwise if given is None else given


def can_fire(sizing: Sizing) -> list[Finding]:
    """Return what keeps the guard from refusing in time; empty where nothing does."""
    left = sizing.threads - sizing.thread_reserve
    if sizing.needed > left:
        return [Finding(fatal=True, text=_never(sizing, left))]
    wanted = reserve_for(sizing.needed)
    if sizing.thread_reserve >= wanted:
        return []
    text = (
        f"{sizing.thread_reserve} threads in reserve beside {sizing.needed} that the lanes can "
        f"hold are few: a refusal may wait for a thread; set GUARD_THREAD_RESERVE={wanted} and "
        f"GUARD_THREADS={max(sizing.threads, sizing.needed + wanted)}"
    )
    return [Finding(fatal=False, text=text)]


def _never(sizing: Sizing, left: int) -> str:
    text = (
        f"the guard can never fire: the lanes can hold {sizing.needed} threads "
        f"(read {sizing.read_pool_size} connections + {sizing.read_waiters} waiting, "
        f"write {sizing.write_pool_size} + {sizing.write_waiters}), and {sizing.threads} threads "
        f"less {sizing.thread_reserve} in reserve leave {max(0, left)}; set "
        f"GUARD_THREADS={sizing.needed + sizing.thread_reserve} or more"
    )
    excess, waiters = sizing.needed - left, sizing.read_waiters + sizing.write_waiters
    if excess <= waiters:
        return f"{text}, or GUARD_READ_WAITERS and GUARD_WRITE_WAITERS lower by {excess} together"
    return f"{text}, or GUARD_READ_POOL_SIZE, GUARD_WRITE_POOL_SIZE and the waiters lower"


def connections_wanted(sizing: Sizing, *, with_reads: bool = True) -> int:
    """Return the connections of all workers at one server, outside a reload.

    ``workers * (read pool + write pool + 2)``: the lock sampler and a probe have one each.

    Args:
        sizing: the sizes.
        with_reads: False where the read pool is at another server.
    """
    pools = sizing.write_pool_size + (sizing.read_pool_size if with_reads else 0)
    return sizing.workers * (pools + CONNECTIONS_BESIDE_POOLS)


def connections_problem(sizing: Sizing, limits: ServerLimits, *, with_reads: bool = True) -> str:
    """Return why the server hasn't enough connections; an empty string where it has.

    In a reload two generations of workers overlap, so twice ``connections_wanted`` must fit.

    Args:
        sizing: the sizes.
        limits: what the server allows.
        with_reads: False where the read pool is at another server.
    """
    wanted = GENERATIONS * connections_wanted(sizing, with_reads=with_reads)
    if wanted <= limits.usable:
        return ""
    pools = f"{sizing.write_pool_size} write connections"
    names = "GUARD_WRITE_POOL_SIZE"
    if with_reads:
        pools = f"{sizing.read_pool_size} read and {pools}"
        names = f"GUARD_READ_POOL_SIZE, {names}"
    return (
        f"{sizing.workers} workers x ({pools} + {CONNECTIONS_BESIDE_POOLS} for the lock sampler "
        f"and a probe) x {GENERATIONS} (a reload's old and new workers) = {wanted} connections, "
        f"and PostgreSQL allows {limits.usable} ({_why(limits)}); lower GUARD_WORKERS or {names}, "
        f"or let PostgreSQL allow {wanted}"
    )


def _why(limits: ServerLimits) -> str:
    if limits.cap == limits.usable:
        return "the connection limit of the role or the database"
    return f"max_connections {limits.max_connections} less {limits.reserved} reserved"
