"""What a scenario is: values only, so that each one is a short module that reads like a plan."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from stress.load import ONCE, TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stress.arrivals import Stage
    from stress.disturbance import Breakage
    from stress.lab.bars import Bar
    from stress.lab.course import Course
    from stress.load import Retry
    from stress.phases import Span
    from stress.scenario import Place
    from stress.server import Server

    Plan = Mapping[str, Sequence[Stage]]


class Guard(StrEnum):
    """What the guard does in a run."""

    ON = "on"
    OFF = "off"
    SHADOW = "shadow"

    @property
    def mode(self) -> str:
        """The value of ``GUARD_MODE``."""
        return "enforce" if self is Guard.ON else str(self)


class Order(NamedTuple):
    """What the command line asks for.

    Attributes:
        backend: one of ``stress.scenario.BACKENDS``.
        guard: what the guard does.
        time_scale: shortens (< 1) every stage and mishap; the rates stay.
        seed: of everything that is drawn.
    """

    backend: str
    guard: Guard
    time_scale: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What the service finds.

    Attributes:
        rows: warriors that are there before.
        far_ms: PostgreSQL's round trip, milliseconds; where it is not 0 there are two workers
            with two connections for each lane, so that connections run out before cores do.
        statements: SQL that is executed before the service starts.
        settings: more of the service's environment.
    """

    rows: int = 0
    far_ms: float = 0.0
    statements: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)

    def but(self, **settings: str) -> Environment:
        """Return it with more of the service's environment."""
        return Environment(
            rows=self.rows,
            far_ms=self.far_ms,
            statements=self.statements,
            settings={**self.settings, **settings},
        )


LIMITED: Final[Mapping[str, Environment]] = {
    "duckdb": Environment(rows=100_000),
    "postgres": Environment(far_ms=40.0),
}
"""Databases that can be overloaded with a rate that a generator on the same cores can send: a
search among 100,000 warriors takes DuckDB a hundredth of a second of a core, and 8 connections
that are 40 ms away can do about 200 calls a second."""
EMPTY: Final[Mapping[str, Environment]] = {"duckdb": Environment(), "postgres": Environment()}
"""Databases as they come."""


class World(NamedTuple):
    """What a mishap can lay its hands on.

    Attributes:
        where: the database.
        server: the service.
    """

    where: Place
    server: Server


class Mishap(NamedTuple):
    """Something that goes wrong, or is done, in the middle.

    Attributes:
        name: what its mark in the plots says.
        at_s: when it begins, seconds from the beginning, at time scale 1.
        for_s: how long it lasts, the same.
        make: returns how it is begun and ended.
    """

    name: str
    at_s: float
    for_s: float
    make: Callable[[World], Breakage]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A scenario.

    Attributes:
        name: its name on the command line.
        shows: what it is for, one sentence.
        plan: what users arrive, at time scale 1.
        clients: more users, by the loopback address that each of these clients has for itself.
        phases: parts of the run that are told apart, at time scale 1. Where there are mishaps
            ``before``, ``during`` and ``after`` come from when they really were.
        mishaps: what goes wrong.
        environments: what the service finds, by backend; the first backend is the default.
        guards: what the guard may do; the first is the default.
        bars: what is asked.
        retry: what refused clients do.
        patience_s: a request without its whole answer after this long has failed, seconds.
        cold: the service is not started; a mishap does it.
        time_scale: the default.
        course: runs it; by default ``stress.lab.course.usual``.
    """

    name: str
    shows: str
    plan: Plan
    clients: Mapping[str, Plan] = field(default_factory=dict)
    phases: Mapping[str, Span] = field(default_factory=dict)
    mishaps: Sequence[Mishap] = ()
    environments: Mapping[str, Environment] = field(default_factory=lambda: LIMITED)
    guards: Sequence[Guard] = tuple(Guard)
    bars: Sequence[Bar] = ()
    retry: Retry = ONCE
    patience_s: float = TIMEOUT_S
    cold: bool = False
    time_scale: float = 1.0
    course: Callable[[Scenario, Order], Course] | None = None
