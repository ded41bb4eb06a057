"""The scenarios' options."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from stress.disturbance import FAULTS
from stress.faults.table import DRILLS
from stress.scenario import BACKENDS
from stress.simulation import options as simulation

if TYPE_CHECKING:
    from collections.abc import Iterable

    _Parser = argparse.ArgumentParser
    _Commands = argparse._SubParsersAction[_Parser]  # noqa: SLF001 - has no other name


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="python -m stress", description="Stress the service.")
    commands = top.add_subparsers(dest="command", required=True)
    _add_scenario(commands)
    _add_loads(commands)
    _add_drills(commands)
    _add_faults(commands)
    _add_migrate(commands)
    _add_costs(commands)
    _add_models(commands)
    _add_operators_view(commands)
    _add_quality(commands)
    _add_scorecard(commands)
    return top


def _add_scenario(commands: _Commands) -> None:
    scenario = commands.add_parser("scenario", help="one of the lab's scenarios; --list names them")
    scenario.add_argument("name", nargs="?", default="", help="or all: one after the other")
    scenario.add_argument("--list", action="store_true", help="what each of them shows")
    scenario.add_argument(
        "--backend", choices=BACKENDS, help="the scenario's first by default; with all, each"
    )
    scenario.add_argument("--guard", choices=("on", "off", "shadow"), help="on by default")
    scenario.add_argument(
        "--time-scale", type=_positive,
        help="shortens each stage; the rates stay; with all, times each scenario's own",
    )  # fmt: skip
    scenario.add_argument("--seed", type=int, default=1)
    _add_out((scenario,))


def _add_loads(commands: _Commands) -> None:
    incident = commands.add_parser("incident", help="replay the incident")
    incident.add_argument("--unguarded", action="store_true", help="with the guard off")
    incident.add_argument(
        "--time-scale", type=_positive, default=1.0, help="shortens each stage; the rates stay"
    )
    overload = commands.add_parser("overload", help="find the capacity and offer 2x and 5x of it")
    overload.add_argument("--rows", type=_count, default=100_000, help="warriors there before")
    overload.add_argument(
        "--far", type=_positive, default=0.0, metavar="MS",
        help="PostgreSQL so many ms away, with small pools: the database limits, not the cores",
    )  # fmt: skip
    overload.add_argument("--seconds", type=_positive, default=12.0, help="length of each run")
    _add_backend((incident, overload))
    cache = commands.add_parser("cache", help="hot reads, without and with each kind of cache")
    cache.add_argument("--far", type=_positive, default=40.0, metavar="MS", help="as of overload")
    cache.add_argument("--seconds", type=_positive, default=10.0, help="length of each run")
    cache.add_argument("--seed", type=int, default=1)
    growth = commands.add_parser("growth", help="PostgreSQL at a steady rate, and under a crowd")
    growth.add_argument("--rate", type=_positive, default=200.0, help="users per second")
    growth.add_argument("--seconds", type=_positive, default=60.0, help="of the steady rate")
    growth.add_argument("--readers", type=_count, default=1000, help="of the crowd")
    growth.add_argument("--writers", type=_count, default=100, help="of the crowd")
    growth.add_argument("--seed", type=int, default=1)
    compare = commands.add_parser("compare", help="the guard beside nginx and HAProxy")
    compare.add_argument("--seconds", type=_positive, default=10.0, help="length of each cell")
    compare.add_argument("--short", action="store_true", help="three loads, 1.5 s each")
    compare.add_argument("--variants", default="", help="names with commas; all by default")
    compare.add_argument("--seed", type=int, default=1)
    _add_out((incident, overload, cache, growth, compare))


def _add_drills(commands: _Commands) -> None:
    outage = commands.add_parser("outage", help="let the database fail under load and come back")
    outage.add_argument("--fault", choices=FAULTS, required=True)
    outage.add_argument(
        "--lane", choices=("all", "read", "write"), default="all", help="whose network fails"
    )
    outage.add_argument("--rate", type=_positive, default=200.0, help="users per second")
    outage.add_argument("--workers", type=_count, default=4)
    for name, default_s in (("before", 5.0), ("outage", 10.0), ("after", 15.0)):
        outage.add_argument(f"--{name}-s", type=_positive, default=default_s)
    failover = commands.add_parser("failover", help="the primary dies, its standby takes over")
    failover.add_argument("--fault", choices=("kill", "stop"), default="kill")
    failover.add_argument(
        "--asynchronous", action="store_true", help="commits do not wait for the standby"
    )
    failover.add_argument("--rate", type=_positive, default=100.0, help="users per second")
    failover.add_argument("--workers", type=_count, default=2)
    for name, default_s in (("before", 5.0), ("outage", 5.0), ("after", 10.0)):
        failover.add_argument(f"--{name}-s", type=_positive, default=default_s)
    failover.add_argument("--seed", type=int, default=1)
    chaos = commands.add_parser("chaos", help="kill, stop and reload at random, and count")
    chaos.add_argument("--minutes", type=_positive, default=20.0)
    chaos.add_argument("--rate", type=_positive, default=100.0, help="users per second")
    chaos.add_argument("--workers", type=_count, default=4, help="ignored with duckdb")
    _add_backend((outage, chaos))
    jobs = commands.add_parser("jobs", help="put creates off, kill everything, and count")
    jobs.add_argument("--queue", choices=("local", "redis"), default="redis")
    jobs.add_argument("--rate", type=_positive, default=600.0, help="creates per second")
    jobs.add_argument("--seconds", type=_positive, default=16.0)
    jobs.add_argument("--seed", type=int, default=1)
    kills = commands.add_parser("board-kills", help="kill workers that change the breakers")
    kills.add_argument("--rounds", type=_count, default=1000)
    kills.add_argument("--seed", type=int, default=1)
    _add_out((outage, failover, chaos, jobs, kills))


def _add_faults(commands: _Commands) -> None:
    fault = commands.add_parser(
        "fault", help="a fault around the service, under load",
        description="; ".join(f"{name}: {drill.about}" for name, drill in DRILLS.items()),
    )  # fmt: skip
    fault.add_argument("name", choices=tuple(DRILLS), metavar="NAME", help=", ".join(DRILLS))
    fault.add_argument("--rate", type=_positive, default=150.0, help="users per second")
    fault.add_argument("--workers", type=_count, default=4, help="ignored with duckdb")
    fault.add_argument("--rounds", type=_count, default=3)
    for name, default_s in (("before", 3.0), ("fault", 6.0), ("after", 8.0)):
        fault.add_argument(f"--{name}-s", type=_positive, default=default_s)
    _add_backend((fault,))
    durability = commands.add_parser("durability", help="kill -9 under writes, again and again")
    durability.add_argument("--rounds", type=_count, default=200, help="kills of each part")
    durability.add_argument("--part", choices=("both", "service", "units"), default="both")
    durability.add_argument("--rate", type=_positive, default=300.0, help="creates per second")
    durability.add_argument("--seed", type=int, default=1)
    soak = commands.add_parser("soak", help="a lasting overload: what grows, leaks or slows down")
    soak.add_argument("--minutes", type=_positive, default=30.0, help="after the warm-up")
    soak.add_argument("--factor", type=_positive, default=1.5, help="of the capacity")
    soak.add_argument("--rate", type=_positive, help="users per second, instead of the factor")
    soak.add_argument("--rows", type=_count, default=100_000, help="warriors there before")
    _add_backend((soak,))
    _add_out((fault, durability, soak))


def _add_migrate(commands: _Commands) -> None:
    migrate = commands.add_parser("migrate", help="move the data from DuckDB to PostgreSQL")
    migrate.add_argument("--rows", type=_count, default=1_000_000, help="warriors there before")
    migrate.add_argument("--online", action="store_true", help="under load, with a switch")
    migrate.add_argument("--rate", type=_positive, default=60.0, help="users per second, online")
    migrate.add_argument(
        "--seconds", type=_positive, default=0.0, help="length of the load (default: by the rows)"
    )
    migrate.add_argument("--seed", type=int, default=1)
    _add_out((migrate,))


def _add_costs(commands: _Commands) -> None:
    commit = commands.add_parser("group-commit", help="group commit against one per request")
    commit.add_argument("--rounds", type=_count, default=3)
    commit.add_argument("--seconds", type=_positive, default=2.0, help="length of each turn")
    overhead = commands.add_parser("overhead", help="what the guard costs a trivial app")
    overhead.add_argument("--rounds", type=_count, default=5)
    overhead.add_argument("--seconds", type=_positive, default=3.0, help="length of each turn")
    gil = commands.add_parser("gil", help="what a short switch interval gives and costs")
    gil.add_argument("--rounds", type=_count, default=5)
    gil.add_argument("--seconds", type=_positive, default=2.0, help="length of each turn's parts")
    cost = commands.add_parser("metrics-cost", help="what measuring costs, and a scrape")
    cost.add_argument("--rounds", type=_count, default=9)
    scale = commands.add_parser("search-scale", help="how fast reads are with many warriors")
    scale.add_argument("--backend", choices=BACKENDS, required=True)
    scale.add_argument("--rows", type=_count, default=1_000_000, help="warriors to store")
    scale.add_argument("--repeat", type=_count, default=11, help="calls of each kind")
    _add_out((commit, overhead, gil, cost, scale))


def _add_models(commands: _Commands) -> None:
    stampede = commands.add_parser("stampede", help="an outage, and its clients' return")
    stampede.add_argument("--form", choices=("simulated", "real"), default="simulated")
    stampede.add_argument("--outage", type=_positive, default=30.0, help="its length, seconds")
    stampede.add_argument("--constant", type=_count, default=5, help="the constant header, seconds")
    adaptive = commands.add_parser("adaptive", help="a database that slows with concurrency")
    for command in (stampede, adaptive):
        command.add_argument("--seed", type=int, default=1)
    _add_out((stampede, adaptive))
    simulation.add(commands, _positive, _count)


def _add_operators_view(commands: _Commands) -> None:
    observe = commands.add_parser("observe", help="the incident's load under Prometheus' eyes")
    observe.add_argument("--backend", choices=BACKENDS, default="duckdb")
    observe.add_argument("--seconds", type=_positive, default=600.0, help="ends by itself then")
    observe.add_argument("--port", type=_count, default=9090, help="Prometheus' own, if it is free")
    observe.add_argument("--seed", type=int, default=1)
    observe.add_argument("--pictures", type=Path, help="draw the dashboard's rows to this folder")
    scrapes = commands.add_parser("scrapes", help="the admin listener through kills and a reload")
    scrapes.add_argument("--scrapes", type=_count, default=5000)
    scrapes.add_argument("--kills", type=_count, default=12)
    scrapes.add_argument("--seconds", type=_positive, default=75.0, help="over which they spread")
    _add_out((scrapes,))
    pictures = commands.add_parser("page-pictures", help="pictures of the operator's page")
    pictures.add_argument("--rows", type=_count, default=100_000, help="warriors there before")
    pictures.add_argument("--rate", type=_positive, default=900.0, help="users/s of the overload")
    pictures.add_argument("--out", type=Path, default=Path("docs/images"))
    pictures.add_argument(
        "--dashboards", type=Path, help="draw the dashboard's rows to this folder"
    )


def _add_quality(commands: _Commands) -> None:
    score = commands.add_parser("mutation-score", help="how many of the core's mutants are caught")
    score.add_argument("--run", action="store_true", help="make and try them anew (minutes)")
    score.add_argument("--children", type=_count, default=os.cpu_count() or 1, help="at once")
    fuzz = commands.add_parser("fuzz", help="raw HTTP, well-formed and not, against the worker")
    fuzz.add_argument("--seconds", type=_positive, default=60.0)
    fuzz.add_argument("--seed", type=int, default=1)
    _add_out((score, fuzz))


def _add_scorecard(commands: _Commands) -> None:
    card = commands.add_parser("scorecard", help="every claim in its short form, on one page")
    card.add_argument("--only", default="", metavar="CLAIMS", help="names with commas")
    card.add_argument("--list", action="store_true", help="print the claims and their commands")
    card.add_argument("--long", action="store_true", help="the long forms; hours, without --only")
    card.add_argument("--date", default="", help="told as the run's, YYYY-MM-DD; today's in UTC")
    card.add_argument(
        "--kept", type=Path, default=Path("docs/scorecard.json"), metavar="FILE",
        help="the scorecard that the new one is compared with",
    )  # fmt: skip
    card.add_argument("--accept", action="store_true", help="put the results into that file")
    card.add_argument("--disturbed", action="store_true", help="and what others disturbed")
    card.add_argument("--readme", action="store_true", help="make the README's table from it")
    card.add_argument("--check", action="store_true", help="with --readme: only say if it is stale")
    card.add_argument("--out", type=Path, default=Path("stress-results/scorecard"))


def _add_backend(commands: Iterable[_Parser]) -> None:
    for command in commands:
        command.add_argument("--backend", choices=BACKENDS, required=True)
        command.add_argument("--seed", type=int, default=1)


def _add_out(commands: Iterable[_Parser]) -> None:
    for command in commands:
        command.add_argument("--out", type=Path, default=Path("stress-results"))


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be positive, not {text}")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {text}")
    return value
