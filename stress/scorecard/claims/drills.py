"""Claims about what goes wrong: kills, faults, broken bytes, long runs."""

from __future__ import annotations

from typing import Final

from stress.havoc import KILL_DATABASE, KILL_WORKER, RELOAD, STOP_DATABASE, STOP_WORKER
from stress.scorecard.model import Claim, Command

_SHORT_OUTAGE: Final = "--before-s 3 --outage-s 8 --after-s 6"
_OUTAGE_BAR: Final = (
    "all workers shed within 1 s of the first failure, p99 of refusals < 20 ms, 95 % of the "
    "goodput back within 3 s"
)
_ROWS: Final = (("rows", "every acknowledged warrior"),)
_OUTAGE_SHOWN: Final = (
    ("all shed after", "from the first failure"),
    ("refusals' p99", "p99 of the refusals"),
    ("back after", "95% of the goodput"),
)


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


DRILLS: Final = (
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
        "scrapes", "5,000 scrapes of the admin listener during 12 worker kills and a reload, every "
        "request thread busy (short form: 800, 4 kills)",
        Command("stress scrapes", "stress scrapes --scrapes 800 --kills 4 --seconds 15"),
        "none failed, p99 < 100 ms", shown=(("failed", "no scrape failed"), ("p99", "p99 <")),
        noise=2.0,
    ),
)  # fmt: skip
