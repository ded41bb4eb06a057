"""Claims about load: what the service answers, keeps and moves."""

from __future__ import annotations

from typing import Final

from stress.scenarios import NAMES
from stress.scorecard.model import Claim, Command

_SHORT_OVERLOAD: Final = "--seconds 3"
_OVERLOAD_BAR: Final = "goodput >= 90 % of the capacity, p99 of the admitted < 500 ms"
_INCIDENT_BAR: Final = (
    "every answer right, no 5xx, p95 < 100 ms, p99 < 200 ms, all acknowledged rows there after "
    "kill -9"
)
_SEARCH_BAR: Final = "each kind of read < 250 ms at the median"
_LATENCIES: Final = (("p95", "p95 <"), ("p99", "p99 <"))
_ROWS: Final = (("rows", "every acknowledged warrior"),)
_SEARCH_SHOWN: Final = (
    ("a term that nothing contains", "search, rare (nothing)"),
    ("one character", "search, one character"),
    ("look-up", "look-up"),
)
_OVERLOAD_DUCKDB: Final = Command(
    "stress overload --backend duckdb", f"stress overload --backend duckdb {_SHORT_OVERLOAD}", 300
)
_OVERLOAD_FAR: Final = Command(
    "stress overload --backend postgres --far 40",
    f"stress overload --backend postgres --far 40 {_SHORT_OVERLOAD}",
    300,
)
_OVERLOAD_SAME: Final = Command(
    "stress overload --backend postgres",
    f"stress overload --backend postgres {_SHORT_OVERLOAD}",
    300,
)
_GROUP_COMMIT: Final = Command(
    "stress group-commit --rounds 5", "stress group-commit --rounds 3 --seconds 1"
)
_GROWTH: Final = Command("stress growth", "stress growth --seconds 20")


def _incident(backend: str, name: str) -> Claim:
    long = f"stress incident --backend {backend}"
    return Claim(
        f"incident-{backend}", f"the incident on {name}",
        Command(long, f"{long} --time-scale 0.2"), _INCIDENT_BAR,
        shown=(*_LATENCIES, *_ROWS), noise=2.0,
    )  # fmt: skip


def _overload(where: str, factor: int, text: str, command: Command) -> Claim:
    return Claim(
        f"overload-{where}-{factor}x", f"{factor}x the capacity, {text}, 100,000 rows",
        command, _OVERLOAD_BAR,
        shown=(("goodput", f"{factor}x: goodput"), ("p99", f"{factor}x: p99")),
        bars=("the service's capacity", f"{factor}x: ", "the scenario ran"),
        beside=(f"unguarded {factor}x",),
    )  # fmt: skip


def _put_off(queue: str, where: str, *needs: str) -> Claim:
    long = f"stress jobs --queue {queue}"
    return Claim(
        f"jobs-{queue}", f"creates that are put off, {where}; every process killed",
        Command(long, f"{long} --seconds 6", needs=needs),
        "every 202 is done in the end, every promised row there once",
        shown=(("put off", "creates were put off"), ("rows", "every promised warrior")), noise=2.0,
    )  # fmt: skip


def _search(backend: str, name: str) -> Claim:
    long = f"stress search-scale --backend {backend} --rows 1000000"
    return Claim(
        f"search-{backend}",
        f"reads among 1,000,000 warriors on {name} (short form: 100,000)",
        Command(long, f"stress search-scale --backend {backend} --rows 100000"), _SEARCH_BAR,
        shown=_SEARCH_SHOWN, noise=2.0,
    )  # fmt: skip


LOADS: Final = (
    _incident("duckdb", "DuckDB"),
    _incident("postgres", "PostgreSQL"),
    _overload("duckdb", 2, "DuckDB", _OVERLOAD_DUCKDB),
    _overload("duckdb", 5, "DuckDB", _OVERLOAD_DUCKDB),
    _overload("far", 2, "PostgreSQL 40 ms away", _OVERLOAD_FAR),
    _overload("far", 5, "PostgreSQL 40 ms away", _OVERLOAD_FAR),
    _overload("postgres", 2, "PostgreSQL on the service's and the load's cores", _OVERLOAD_SAME),
    _overload("postgres", 5, "PostgreSQL on the service's and the load's cores", _OVERLOAD_SAME),
    Claim(
        "group-commit-64", "64 DuckDB writers, group commit against a commit per request",
        _GROUP_COMMIT, ">= 5x the rows", shown=(("ratio", "64 threads"),), bars=("64 threads",),
    ),
    Claim(
        "group-commit-1", "one DuckDB writer, group commit against a commit per request",
        _GROUP_COMMIT, ">= 0.9x the rows", shown=(("ratio", "1 threads"),), bars=("1 threads",),
    ),
    _search("duckdb", "DuckDB"),
    _search("postgres", "PostgreSQL"),
    Claim(
        "scenarios", "each scenario on each of its databases, guarded",
        Command("stress scenario all --guard on"),
        "every bar of every scenario",
        bars=(*(f"{name} on " for name in NAMES), "the round ran"),
    ),
    Claim(
        "migrate", "1,000,000 warriors moved from DuckDB to PostgreSQL, killed half-way",
        Command("stress migrate"), "every one there once, < 60 s, < 500 MiB",
        shown=(("took", "both runs together"), ("memory", "memory <")),
    ),
    Claim(
        "migrate-online", "the same under load, with a switch", Command("stress migrate --online"),
        "99 % of the reads in time, no acknowledged write lost, writes shed for < 5 s",
        shown=(("reads", "reads right"), ("writes shed for", "from the first write")),
    ),
    Claim(
        "growth-steady", "200 users/s on PostgreSQL (short form: 20 s)", _GROWTH,
        "99.9 % right, p95 < 100 ms, p99 < 200 ms",
        shown=(("right", "steady: right"), ("p95", "steady: p95"), ("p99", "steady: p99")),
        bars=("steady: ",), noise=2.0,
    ),
    Claim(
        "growth-crowd", "1,000 readers and 100 writers on PostgreSQL at the same moment", _GROWTH,
        "all held at once, no error, nobody refused",
        shown=(("held", "crowd: 1000 readers"), ("right", "crowd: every answer")),
        bars=("crowd: ",),
    ),
    Claim(
        "hot-reads", "hot reads at 5x the capacity, PostgreSQL 40 ms away, from a cache in memory, "
        "in Redis, and in a Redis that is killed",
        Command("stress cache", "stress cache --seconds 4", needs=("redis-server",)),
        ">= 2x the goodput without a cache, >= 0.9x with the killed one; nothing fails",
        shown=(
            ("in memory", "memory: goodput"), ("in Redis", "redis: goodput"),
            ("Redis killed", "redis killed in the middle: goodput"),
        ),
        noise=1.3,
    ),
    _put_off("redis", "PostgreSQL and a queue in Redis", "redis-server"),
    _put_off("local", "DuckDB and a queue in a file"),
)  # fmt: skip
