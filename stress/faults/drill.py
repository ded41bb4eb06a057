"""What a fault is, as data: where it happens, how it is made, and what must hold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from stress import bars
from stress.phases import KINDS_OF_LANE, Span, look_at, part, share_good
from stress.report import Verdict
from stress.result import summarise
from stress.scenario import BACKENDS, Place, place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from stress import verify
    from stress.disturbance import Breakage
    from stress.result import Run, Sample
    from stress.server import Server

_INSTANT_S: Final = 1e-6


class Scene(NamedTuple):
    """What a fault happens to.

    Attributes:
        where: the database.
        service: the service on it.
        facts: figures that the fault takes itself, by name.
    """

    where: Place
    service: Server
    facts: dict[str, float]


class Course(NamedTuple):
    """What came of one round.

    Attributes:
        run: every request.
        fault: from its beginning to its end.
        facts: figures that the fault took itself.
        kept: the database compared with the promises.
        in_flight: permits held at the end.
        troubles: lines of the service's log that it must not have.
    """

    run: Run
    fault: Span
    facts: Mapping[str, float]
    kept: verify.Verdict
    in_flight: int
    troubles: Sequence[str]

    def during(self, kinds: str = "all") -> list[Sample]:
        """Return the requests that were due during the fault.

        Args:
            kinds: those that use this lane; ``all`` for those that use a lane at all.
        """
        return [
            one for one in self.run.samples
            if one.kind in KINDS_OF_LANE[kinds] and self.fault.has(one.due_s)
        ]  # fmt: skip


def no_bars(_course: Course) -> list[Verdict]:
    """Return none: for faults that have no other bars than all have."""
    return []


def nothing_missing() -> str:
    """Return that nothing is missing: for faults that can be made anywhere."""
    return ""


def no_settings(_where: Place) -> Mapping[str, str]:
    """Return none."""
    return {}


@dataclass(frozen=True, slots=True)
class Drill:
    """A fault.

    Attributes:
        about: what happens, one line.
        stage: makes the fault for a scene.
        judge: what must hold in a round beside what always must.
        backends: where it makes sense.
        place: gives it an empty database.
        settings: gives more of the service's environment.
        back_s: how soon goodput must be back, seconds.
        at_once: nothing is mended from outside, so goodput must be back so soon after the
            beginning.
        tolerated: parts of log lines that the fault explains.
        missing: says what keeps it from being made here, one line; empty where nothing does.
    """

    about: str
    stage: Callable[[Scene], Breakage]
    judge: Callable[[Course], list[Verdict]] = no_bars
    backends: tuple[str, ...] = BACKENDS
    place: Callable[[str], AbstractContextManager[Place]] = place
    settings: Callable[[Place], Mapping[str, str]] = no_settings
    back_s: float = bars.BACK_S
    at_once: bool = False
    tolerated: tuple[str, ...] = ()
    missing: Callable[[], str] = nothing_missing

    def verdicts(self, course: Course) -> list[Verdict]:
        """Return all bars of a round."""
        from_s, to_s = course.fault
        end_s = from_s + _INSTANT_S if self.at_once else to_s
        seen = look_at(course.run, Span(from_s, end_s), KINDS_OF_LANE["all"])
        return [
            bars.accounted(course.run),
            *self.judge(course),
            bars.back(seen, self.back_s),
            bars.stored(course.kept),
            Verdict(
                "permits in flight at the end: 0", str(course.in_flight), not course.in_flight
            ),
            bars.quiet_log(course.troubles),
        ]  # fmt: skip


def unanswered(course: Course, most: float) -> Verdict:
    """Return whether at most this share of the requests during the fault had no answer."""
    during = part(course.run, course.fault).samples
    failed = summarise(part(course.run, course.fault)).total.failed
    return Verdict(
        f"without an answer during the fault <= {most:.0%}",
        f"{failed} of {len(during)}", failed <= most * len(during),
    )  # fmt: skip


def served(course: Course, kinds: str, least: float) -> Verdict:
    """Return whether this share of a lane's requests was right and in time during the fault."""
    share = share_good(course.during(kinds))
    bar = f"{kinds} requests right and in time during the fault >= {least:.0%}"
    return Verdict(bar, f"{share:.1%}", share >= least)


def refused(course: Course, kinds: str, within_s: float = bars.ALL_SHED_S) -> list[Verdict]:
    """Return whether the lane's breaker took over soon."""
    found = bars.shed(look_at(course.run, course.fault, KINDS_OF_LANE[kinds]), within_s)
    return [replace(one, bar=f"{kinds} requests: {one.bar}") for one in found]


def fact(course: Course, name: str, most: float) -> Verdict:
    """Return whether a figure that the fault took itself is at most this large."""
    value = course.facts.get(name)
    reached = "was not measured" if value is None else f"{value:.2f}"
    return Verdict(f"{name} <= {most:g}", reached, value is not None and value <= most)


def merged(rounds: Sequence[Sequence[Verdict]]) -> list[Verdict]:
    """Return one verdict per bar: met where it was in every round, else with what missed it."""
    found = []
    for same in zip(*rounds, strict=True):
        told = [one.reached for one in same if not one.met] or [same[-1].reached]
        count = f" ({len(told)} of {len(same)} rounds)" if len(same) > 1 else ""
        met = all(one.met for one in same)
        text = "; ".join(told[:3]) + (count if not met else "")
        found.append(Verdict(same[0].bar, text, met))
    return found
