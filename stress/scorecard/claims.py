"""The table of claims: one entry per row of the scorecard, and of the README's table.

A new one needs nothing else: its command must write its bars to ``--out`` by ``report.write``.
"""

from __future__ import annotations

from typing import Final

from stress.compare.cell import KEPT, NEW
from stress.havoc import KILL_DATABASE, KILL_WORKER, RELOAD, STOP_DATABASE, STOP_WORKER
from stress.scorecard.model import Claim, Command

_SHORT_OVERLOAD: Final = "--seconds 3"
_SHORT_OUTAGE: Final = "--before-s 3 --outage-s 8 --after-s 6"
_OVERLOAD_BAR: Final = "goodput >= 90 % of the capacity, p99 of the admitted < 500 ms"
_INCIDENT_BAR: Final = (
    "every answer right, no 5xx, p95 < 100 ms, p99 < 200 ms, all acknowledged rows there after "
    "kill -9"
)
_OUTAGE_BAR: Final = (
    "all workers shed within 1 s of the first failure, p99 of refusals < 20 ms, 95 % of the "
    "goodput back within 3 s"
)
_STAMPEDE_BAR: Final = "peak <= 1.2x the capacity, >= 99 % of the refused served in three tries"
_SEARCH_BAR: Final = "each kind of read < 250 ms at the median"
_LATENCIES: Final = (("p95", "p95 <"), ("p99", "p99 <"))
_ROWS: Final = (("rows", "every acknowledged warrior"),)
_OUTAGE_SHOWN: Final = (
    ("all shed after", "from the first failure"),
    ("refusals' p99", "p99 of the refusals"),
    ("back after", "95% of the goodput"),
)
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
_COMPARE: Final = Command(
    "stress compare", "stress compare --short", 400, needs=("nginx", "haproxy")
)


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


def _outage(fault: str, text: str) -> Claim:
    long = f"stress outage --backend postgres --fault {fault}"
    return Claim(
        f"outage-{fault}", f"PostgreSQL {text}, 200 users/s",
        Command(long, f"{long} {_SHORT_OUTAGE}"), _OUTAGE_BAR,
        shown=_OUTAGE_SHOWN, noise=2.0,
    )  # fmt: skip


def _fault(name: str, backend: str, text: str, bar: str) -> Claim:
    long = f"stress fault {name} --backend {backend}"
    return Claim(
        f"fault-{name}-{backend}", f"{text}, 150 users/s", Command(long, f"{long} --rounds 1"),
        f"{bar}, 95 % of the goodput back within 3 s, no acknowledged row lost",
        shown=(*_ROWS, ("back after", "95% of the goodput")), noise=2.0,
    )  # fmt: skip


def _failover(fault: str, text: str) -> Claim:
    long = f"stress failover --fault {fault}"
    return Claim(
        f"failover-{fault}", f"the primary {text} and its standby is promoted, 100 users/s",
        Command(long, f"{long} --before-s 3 --outage-s 4 --after-s 6"),
        "99 % of the searches right and in time meanwhile, 95 % of the goodput back within 3 s of "
        "the promotion, all acknowledged rows there",
        shown=(("searches", "searches right"), ("back after", "95% of the goodput"), *_ROWS),
        beside=("creates while the primary was away",), noise=2.0,
    )  # fmt: skip


def _put_off(queue: str, where: str, *needs: str) -> Claim:
    long = f"stress jobs --queue {queue}"
    return Claim(
        f"jobs-{queue}", f"creates that are put off, {where}; every process killed",
        Command(long, f"{long} --seconds 6", needs=needs),
        "every 202 is done in the end, every promised row there once",
        shown=(("put off", "creates were put off"), ("rows", "every promised warrior")), noise=2.0,
    )  # fmt: skip


def _compare(factor: int) -> Claim:
    return Claim(
        f"compare-{factor}x",
        f"{factor}x the capacity of 8 connections x 20 ms, beside nginx and HAProxy", _COMPARE,
        ">= 95 % of the capacity and not below the proxies, p99 of the admitted < 3x its unloaded, "
        "refusals' p50 < 2 ms and p99 < 20 ms",
        shown=(
            ("goodput, new connections", f"{factor}x, {NEW}: goodput >="),
            ("kept ones", f"{factor}x, {KEPT}: goodput >="),
        ),
        bars=(f"{factor}x, ", "the comparison ran"), noise=1.3,
    )  # fmt: skip


def _search(backend: str, name: str) -> Claim:
    long = f"stress search-scale --backend {backend} --rows 1000000"
    return Claim(
        f"search-{backend}",
        f"reads among 1,000,000 warriors on {name} (short form: 100,000)",
        Command(long, f"stress search-scale --backend {backend} --rows 100000"), _SEARCH_BAR,
        shown=_SEARCH_SHOWN, noise=2.0,
    )  # fmt: skip


CLAIMS: Final = (
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
        "metrics-cost", "what measuring costs a request; a scrape of 32 workers",
        Command("stress metrics-cost", "stress metrics-cost --rounds 5"),
        "< 20 us of CPU; < 100 ms at the median",
        shown=(("us per request", "metrics per request"), ("ms per scrape", "scrape with")),
        noise=2.0,
    ),
    Claim(
        "overhead",
        "throughput of a trivial application, the guard with its worker class against gunicorn's "
        "gthread without it",
        Command("stress overhead --rounds 9", "stress overhead --rounds 5 --seconds 1"), ">= 0.95",
        shown=(("ratio", "throughput with / without"),),
        beside=("the middleware alone on gthread / without",), noise=1.25,
    ),
    Claim(
        "gil", "requests per CPU second with the guard's switch interval against Python's",
        Command("stress gil", "stress gil --rounds 3 --seconds 1"), ">= 0.9",
        shown=(("trivial handler", "a trivial"), ("computing handler", "a computing")),
    ),
    _compare(2),
    _compare(5),
    Claim(
        "flood", "twenty clients beside one that floods at 5x the capacity", _COMPARE,
        ">= 95 % of the others' requests in time",
        shown=(("in time", "one client floods"),), bars=("one client floods",), noise=1.1,
    ),
    Claim(
        "critical", "critical requests at 0.3x beside normal ones at 5x the capacity", _COMPARE,
        "none lost", shown=(("in time", "critical requests"),), bars=("critical requests",),
    ),
    Claim(
        "shadow", "shadow mode at 2x the capacity foretells what enforcing sheds", _COMPARE,
        "within 10 %", shown=(("shares", "2x: shadow"),), bars=("2x: shadow",),
    ),
    Claim(
        "slow-close", "new connections beside clients that close theirs 200 ms late", _COMPARE,
        "p99 < 3x that without such clients", shown=(("p99", "2 clients a second"),),
        bars=("2 clients a second",),
    ),
    Claim(
        "adaptive", "a database that slows with concurrency, simulated: the adaptive limit",
        Command("stress adaptive", "stress adaptive"),
        "serves more where fewer connections do (>= 20 and 100 %), costs <= 3 % elsewhere",
        shown=(("look-ups", "look-ups"), ("thrashing", "thrashing"), ("steady", "steady:")),
        noise=1.1,
    ),
    Claim(
        "stampede",
        "clients' return after 30 s without a database, at half the capacity, simulated",
        Command("stress stampede", "stress stampede"),
        _STAMPEDE_BAR,
        shown=(("peak / capacity", "book: peak"), ("served", "book: of those")), noise=1.1,
    ),
    Claim(
        "stampede-real",
        "clients' return after 30 s without a database, at half the capacity, for real, with "
        "gunicorn and PostgreSQL",
        Command("stress stampede --form real"), _STAMPEDE_BAR,
        shown=(("peak / capacity", "book: peak"), ("served", "book: of those")), noise=1.1,
    ),
    Claim(
        "board-kills", "workers killed while they change the breakers",
        Command("stress board-kills --rounds 1000", "stress board-kills --rounds 200"),
        "usable after each kill", shown=(("hit", "usable"),),
    ),
    Claim(
        "chaos-postgres", "20 minutes of random kills, stops and reloads under load "
        "(short form: half a minute)",
        Command("stress chaos --backend postgres --minutes 20",
                "stress chaos --backend postgres --minutes 0.5", 300),
        "every request and every acknowledged row accounted for, no permit left in flight",
        shown=(*_ROWS, ("right afterwards", "right and in time afterwards")),
        beside=(KILL_WORKER, STOP_WORKER, RELOAD, KILL_DATABASE, STOP_DATABASE),
    ),
    Claim(
        "fuzz", "raw HTTP against the worker, half of it broken, plain gthread as the oracle",
        Command("stress fuzz --seconds 60", "stress fuzz --seconds 15"),
        "one answer per well-formed request, the right one, in order; spoiled ones as with gthread",
        shown=(("well-formed", "each well-formed"), ("spoiled", "spoiled")),
    ),
    Claim(
        "mutation", "mutants of the core that its tests catch",
        Command("stress mutation-score --run --children 2"), ">= 90 %",
        shown=(("caught", "mutants of guard/core"),),
    ),
    _outage("stop", "frozen"),
    _outage("kill", "killed"),
    _outage("blackhole", "swallowed by the network"),
    _fault("arbiter-kill", "duckdb", "gunicorn's arbiter killed and started anew",
           "its workers end by themselves"),
    _fault("descriptors", "duckdb", "no file descriptor left for 6 s", "no worker ends or spins"),
    _fault("disk-full", "duckdb", "DuckDB's disk full for 6 s", "reads go on"),
    Claim(
        "durability",
        "DuckDB's writers killed at random moments, also while they start, and with units that "
        "raise, break a key or time out (short form: 10 kills each)",
        Command("stress durability --rounds 200", "stress durability --rounds 10"),
        "no acknowledged row lost or twice, nothing there of a unit that failed",
        shown=(("service", "service: every acknowledged"), ("units", "units: every acknowledged")),
    ),
    Claim(
        "soak-duckdb", "30 minutes at 1.5x the capacity, DuckDB, 100,000 rows",
        Command("stress soak --backend duckdb --minutes 30"),
        "resident memory grows by < 5 %, descriptors and threads flat, no drift in the latencies",
        shown=(("memory", "resident memory"), ("p99", "p99 of the admitted")), noise=1.25,
    ),
    _failover("kill", "is killed"),
    _failover("stop", "freezes"),
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
    Claim(
        "scrapes", "5,000 scrapes of the admin listener during 12 worker kills and a reload, every "
        "request thread busy (short form: 800, 4 kills)",
        Command("stress scrapes", "stress scrapes --scrapes 800 --kills 4 --seconds 15"),
        "none failed, p99 < 100 ms", shown=(("failed", "no scrape failed"), ("p99", "p99 <")),
        noise=2.0,
    ),
)  # fmt: skip
"""In the order in which they are run and told."""
