"""One run of a scenario: the service on its database, the load, and what goes wrong meanwhile."""

from __future__ import annotations

import math
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from heapq import merge
from typing import TYPE_CHECKING, Final

from service.migrations import migrate
from stress.arrivals import length_s, schedule
from stress.disturbance import Disturbance
from stress.far import far
from stress.fill import fill
from stress.lab.description import World
from stress.load import generate, users
from stress.phases import Span, part
from stress.scenario import acknowledged, place, verify_apart
from stress.scrape import scrape
from stress.verify import open_database

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from guard.backends.base import Session
    from stress import verify
    from stress.lab.description import Environment, Order, Scenario
    from stress.load import User
    from stress.result import Run, Sample
    from stress.scenario import Place

    Happened = tuple[str, Span]
    """A mishap's name, and when it was, seconds from the run's beginning."""

ALL: Final = "all"
BEFORE, DURING, AFTER = "before", "during", "after"

_DECISIONS: Final = "guard_admission_decisions_total"


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What came of a scenario.

    Attributes:
        runs: what was sent, by label; each is plotted.
        parts: what is summarised and judged, by label.
        outage: from the first mishap's beginning to the last one's end, seconds from the
            run's beginning; None where nothing went wrong.
        kept: the database compared with what was promised; None where it was not.
        troubles: suspicious lines of the service's log.
        facts: figures that are told beside the bars.
    """

    runs: Mapping[str, Run]
    parts: Mapping[str, Run]
    outage: Span | None = None
    kept: verify.Verdict | None = None
    troubles: Sequence[str] = ()
    facts: Mapping[str, str] = field(default_factory=dict)

    def samples(self, label: str, kinds: Collection[str] = ()) -> list[Sample]:
        """Return a part's requests; nothing where there is no such part.

        Args:
            label: the part's.
            kinds: only these; all where it is empty.
        """
        found = self.parts.get(label)
        if found is None:
            return []
        return [one for one in found.samples if not kinds or one.kind in kinds]

    def between(self, before: str, after: str) -> Span | None:
        """Return the time between two parts; None where one of them was not run."""
        first, last = self.parts.get(before), self.parts.get(after)
        if first is None or last is None:
            return None
        return Span(first.from_s + first.seconds, last.from_s)


def usual(scenario: Scenario, order: Order) -> Course:
    """Run a scenario as it is described, kill the service, and see what was kept.

    Args:
        scenario: what is run.
        order: how.

    Raises:
        ServerError: the service did not start.
        OSError: a mishap could not be made.
    """
    with world(scenario.environments[order.backend], order) as made:
        if not scenario.cold:
            made.server.__enter__()
        run, happened = drive(made, scenario, order)
        facts, troubles = decisions(made), made.server.troubles()
        made.server.kill()
        made.where.crash()
        kept = verify_apart(made.where, acknowledged(run))
    facts["peak memory of the service"] = f"{made.server.peak_bytes / 2**20:.0f} MiB"
    facts["warriors stored"] = str(kept.stored)
    return Course(
        runs={"the whole run": run},
        parts=parts(scenario, run, happened, order.time_scale),
        outage=whole(happened),
        kept=kept,
        troubles=troubles,
        facts=facts,
    )


@contextmanager
def world(environment: Environment, order: Order) -> Iterator[World]:
    """Give a filled database and a service on it that is not started yet; ended with the block.

    Args:
        environment: what is asked for.
        order: the backend, and what the guard does.

    Raises:
        ServerError: the database can't be what is asked for.
    """
    with place(order.backend) as where, ExitStack() as stack:
        _prepare(where, environment)
        settings = {"GUARD_MODE": order.guard.mode}
        if environment.far_ms:
            settings |= far(where, environment.far_ms / 1000, stack)
        settings |= environment.settings
        server = where.server("service", guarded=True, settings=settings)
        stack.callback(server.stop)
        yield World(where, server)


def _prepare(where: Place, environment: Environment) -> None:
    if environment.rows:
        fill(where.url, environment.rows)
    if environment.statements:
        assembly = open_database(where.url, migrate)
        try:
            for sql in environment.statements:
                assembly.database.write(partial(_execute, sql))
        finally:
            assembly.close()


def _execute(sql: str, session: Session) -> None:
    session.execute(sql, prepare=False)


def drive(made: World, scenario: Scenario, order: Order) -> tuple[Run, list[Happened]]:
    """Let the users arrive and the mishaps happen; return the run, and when each happened.

    Raises:
        OSError: a mishap could not be made.
    """
    scale = order.time_scale
    arriving = all_users(scenario, scale, order.seed)
    with ExitStack() as stack:
        happening = [
            stack.enter_context(
                Disturbance(one.make(made), one.at_s * scale, max(0.0, one.for_s * scale))
            )
            for one in scenario.mishaps
        ]
        run = generate(
            made.server.target,
            arriving,
            length_s(scenario.plan, scale),
            timeout_s=scenario.patience_s,
            retry=scenario.retry,
        )
        for one in happening:
            one.wait_mended()
    times = [
        (one.name, Span(took.began_s - run.begun_s, took.ended_s - run.begun_s))
        for one, took in zip(scenario.mishaps, happening, strict=True)
    ]
    marks = [
        mark
        for name, span in times
        for mark in ((span.from_s, name), (span.to_s, f"end of {name}"))
    ]
    return replace(run, marks=marks), times


def all_users(scenario: Scenario, time_scale: float, seed: int) -> list[User]:
    """Return everybody who arrives, by due time; the same seed makes the same ones."""
    usual_ones = users(schedule(scenario.plan, time_scale), seed)
    own = [
        [one._replace(source=source) for one in users(schedule(plan, time_scale), seed + number)]
        for number, (source, plan) in enumerate(scenario.clients.items(), start=1)
    ]
    return list(merge(usual_ones, *own, key=lambda one: one.due_s))


def parts(
    scenario: Scenario, run: Run, happened: Sequence[Happened], time_scale: float
) -> dict[str, Run]:
    """Return the run's parts by label: ``ALL``, and its phases.

    Args:
        scenario: names its phases; where it does not they follow from the mishaps.
        run: the whole run.
        happened: the mishaps. Those with names of their own are parts of their own.
        time_scale: of the scenario's phases.
    """
    spans = {
        label: Span(one.from_s * time_scale, one.to_s * time_scale)
        for label, one in scenario.phases.items()
    }
    outage = whole(happened)
    if not spans and outage is not None:
        spans = {BEFORE: Span(0.0, outage.from_s), DURING: outage}
        if len({name for name, _ in happened}) > 1:
            spans |= dict(happened)
        spans[AFTER] = Span(outage.to_s, max(run.seconds, outage.to_s))
    return {ALL: run, **{label: _part(run, span) for label, span in spans.items()}}


def whole(happened: Sequence[Happened]) -> Span | None:
    """Return the time from the first mishap's beginning to the last one's end, if there was one."""
    if not happened:
        return None
    spans = [span for _, span in happened]
    return Span(min(one.from_s for one in spans), max(one.to_s for one in spans))


def _part(run: Run, span: Span) -> Run:
    # What follows an answer at the schedule's end is due after it, and belongs to the last phase.
    open_end = Span(span.from_s, math.inf) if span.to_s >= run.seconds else span
    found = part(run, open_end)
    return replace(found, seconds=part(run, span).seconds)


def decisions(made: World) -> dict[str, str]:
    """Return how many requests the guard says it decided in which way, where it answers."""
    with suppress(OSError):
        found = scrape(made.server.admin).by(_DECISIONS, "decision")
        told = ", ".join(f"{name} {count:.0f}" for name, count in found.items())
        return {"the guard's decisions": told}
    return {}
