"""Claims about the guard's decisions and what they cost, and beside other means."""

from __future__ import annotations

from typing import Final

from stress.compare.cell import KEPT, NEW
from stress.scorecard.model import Claim, Command

_STAMPEDE_BAR: Final = "peak <= 1.2x the capacity, >= 99 % of the refused served in three tries"
_PROXIES: Final = ("nginx", "haproxy")
_COMPARE: Final = Command("stress compare", "stress compare --short", 400, needs=_PROXIES)


def _compare(factor: int, command: Command = _COMPARE) -> Claim:
    return Claim(
        f"compare-{factor}x",
        f"{factor}x the capacity of 8 connections x 20 ms, beside nginx and HAProxy", command,
        ">= 95 % of the capacity and not below the proxies, p99 of the admitted < 3x its unloaded, "
        "refusals' p50 < 2 ms and p99 < 20 ms",
        shown=(
            ("goodput, new connections", f"{factor}x, {NEW}: goodput >="),
            ("kept ones", f"{factor}x, {KEPT}: goodput >="),
        ),
        bars=(f"{factor}x, ", "the comparison ran"), noise=1.3,
    )  # fmt: skip


RULES: Final = (
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
    # Within the seconds of the short form chance alone offers some percent more or less than 1x.
    _compare(1, Command("stress compare", needs=_PROXIES)),
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
        "simulation", "the simulation foretells the real service, from 0.5x to 5x the capacity, "
        "guarded and not",
        Command("stress simulate check --seconds 15"),
        "goodput, refused share and median within 15 %",
        shown=(("guarded at 1x", "guard, 1x: goodput"), ("5x", "guard, 5x: goodput"),
               ("unguarded at 2x", "unguarded, 2x: goodput")),
    ),
)  # fmt: skip
