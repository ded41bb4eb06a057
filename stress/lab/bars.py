"""What a scenario asks of its run. Pure."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING, Final, NamedTuple

from stress.arrivals import LOOK_UP
from stress.lab.course import AFTER, ALL, BEFORE, DURING
from stress.phases import KEPT as REGAINED
from stress.phases import recovered_s, share_good
from stress.report import Verdict
from stress.result import percentiles, summarise

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from stress.lab.course import Course

    Check = Callable[[Course], tuple[str, bool]]


_NOT_RUN: Final = ("not run", False)


class Bar(NamedTuple):
    """One thing that is asked.

    Attributes:
        text: what.
        check: tells what came out, and whether that is enough.
        always: asked of an unguarded service too, and in shadow mode.
        sure: says something even where the generator was late, and the run is void.
    """

    text: str
    check: Check
    always: bool = False
    sure: bool = False

    def verdict(self, course: Course) -> Verdict:
        """Return what came out."""
        return Verdict(self.text, *self.check(course))


def judge(asked: Iterable[Bar], course: Course) -> list[Verdict]:
    """Return what came out of each bar; void where the runs say nothing about it."""
    why = "; ".join(sorted({void for run in course.runs.values() if (void := summarise(run).void)}))
    return [
        Verdict(bar.text, why, met=False, void=True)
        if why and not bar.sure
        else bar.verdict(course)
        for bar in asked
    ]


def _sent(course: Course) -> tuple[str, bool]:
    summaries = [summarise(run) for run in course.runs.values()]
    bad = [one.void or "interrupted" for one in summaries if one.void or one.interrupted]
    totals = [one.total for one in summaries]
    adds_up = all(one.sent == one.answered + one.shed + one.failed for one in totals)
    told = "; ".join(f"{one.sent} = {one.answered} + {one.shed} + {one.failed}" for one in totals)
    return "; ".join(bad) or told or "nothing", bool(totals) and adds_up and not bad


def _kept(course: Course) -> tuple[str, bool]:
    kept = course.kept
    if kept is None:
        return "not looked at", False
    return f"{kept.acknowledged} acknowledged, {kept.lost}", kept.good and kept.acknowledged > 0


def _untroubled(course: Course) -> tuple[str, bool]:
    return str(len(course.troubles)), not course.troubles


SENT: Final = Bar("sent on time, and sent = answered + shed + failed", _sent, always=True)
KEPT: Final = Bar(
    "every acknowledged warrior there after kill -9, once, as it was sent", _kept,
    always=True, sure=True,
)  # fmt: skip
UNTROUBLED: Final = Bar("no worker time-out, kill or traceback", _untroubled, sure=True)
HONEST: Final = (SENT, KEPT, UNTROUBLED)
"""What is asked of every service."""


def right_in_time(
    least: float, label: str = ALL, kinds: Collection[str] = (), whose: str = ""
) -> Bar:
    """Return the bar for the share of requests that are answered right within 1 s.

    Args:
        least: the share, 0 to 1.
        label: the part of the run.
        kinds: only these; all where it is empty.
        whose: how these requests are called.
    """

    def check(course: Course) -> tuple[str, bool]:
        found = course.samples(label, kinds)
        share = share_good(found)
        return f"{share:.1%} of {len(found)}", share >= least

    return Bar(f"{label}: {whose or 'requests'} right within 1 s >= {least:.0%}", check)


def goodput_kept(least: float, label: str = DURING, of: str = BEFORE) -> Bar:
    """Return the bar for what is served per second, against another part of the run.

    Args:
        least: the share of the other part's goodput.
        label: the part that is judged.
        of: the part that it is compared with.
    """

    def check(course: Course) -> tuple[str, bool]:
        if label not in course.parts or of not in course.parts:
            return _NOT_RUN
        now, then = (summarise(course.parts[one]).goodput_per_s for one in (label, of))
        share = now / then if then else 0.0
        return f"{now:.0f}/s of {then:.0f}/s, {share:.0%}", then > 0 and share >= least

    return Bar(f"{label}: goodput >= {least:.0%} of that {of}", check)


def answered_p99(below_ms: float, label: str = ALL, kinds: Collection[str] = ()) -> Bar:
    """Return the bar for the 99th percentile of the latency of the answered, milliseconds."""

    def check(course: Course) -> tuple[str, bool]:
        found = [one.latency_s for one in course.samples(label, kinds) if one.answered]
        p99 = percentiles(found).p99
        return f"{p99:.0f} ms of {len(found)}", p99 < below_ms

    which = f" ({', '.join(sorted(kinds))})" if kinds else ""
    return Bar(f"{label}: p99 of the answered{which} < {below_ms:g} ms", check)


def answered_p95(below_ms: float) -> Bar:
    """Return the bar for the 95th percentile of the latency of all that were answered."""

    def check(course: Course) -> tuple[str, bool]:
        p95 = percentiles([one.latency_s for one in course.samples(ALL) if one.answered]).p95
        return f"{p95:.0f} ms", p95 < below_ms

    return Bar(f"{ALL}: p95 of the answered < {below_ms:g} ms", check)


def refused_p99(below_ms: float, label: str = ALL) -> Bar:
    """Return the bar for the 99th percentile of the refusals' latency; none at all are as good."""

    def check(course: Course) -> tuple[str, bool]:
        if label not in course.parts:
            return _NOT_RUN
        found = percentiles([one.latency_s for one in course.samples(label) if one.reason])
        told = f"p50 {found.p50:.1f}, p99 {found.p99:.1f} ms of {found.count}"
        return (told, found.p99 < below_ms) if found.count else ("none", True)

    return Bar(f"{label}: p99 of the refusals < {below_ms:g} ms", check)


def back_within(seconds: float) -> Bar:
    """Return the bar for the time until goodput is back for good.

    Args:
        seconds: from the end of the mishaps, or the beginning of the phase ``AFTER``.
    """

    def check(course: Course) -> tuple[str, bool]:
        outage = course.outage or course.between(BEFORE, AFTER)
        if outage is None:
            return _NOT_RUN
        found_s = recovered_s(course.parts[ALL].samples, outage)
        return ("never" if isnan(found_s) else f"{found_s:.1f} s"), found_s <= seconds

    return Bar(f"{REGAINED:.0%} of the goodput from before back within {seconds:g} s", check)


def no_failures(label: str = ALL, kinds: Collection[str] = ()) -> Bar:
    """Return the bar that every request has an answer or a refusal."""

    def check(course: Course) -> tuple[str, bool]:
        found = course.samples(label, kinds)
        failed = sum(bool(one.failure) for one in found)
        return f"{failed} of {len(found)} without", bool(found) and not failed

    return Bar(f"{label}: every request has an answer", check)


def as_expected(label: str = ALL, kinds: Collection[str] = ()) -> Bar:
    """Return the bar that every answer is the right one, and nothing is refused or fails."""

    def check(course: Course) -> tuple[str, bool]:
        found = course.samples(label, kinds)
        right = sum(one.right for one in found)
        return f"{right} of {len(found)}", bool(found) and right == len(found)

    which = f" ({', '.join(sorted(kinds))})" if kinds else ""
    return Bar(f"{label}: every answer right{which}", check)


def served_in_the_end(least: float, label: str = ALL) -> Bar:
    """Return the bar for the share of users that are served at their first or a later try.

    Args:
        least: the share, 0 to 1; look-ups, which follow a create, are not counted.
        label: the part of the run, which must have all tries of its users.
    """

    def check(course: Course) -> tuple[str, bool]:
        found = [one for one in course.samples(label) if one.kind != LOOK_UP]
        users = sum(one.attempt == 1 for one in found)
        served = sum(one.right for one in found)
        return f"{served} of {users}, {served / max(1, users):.1%}", served >= least * users > 0

    return Bar(f"{label}: served at the first or a later try >= {least:.1%}", check)


def refused_because(reasons: Collection[str], label: str = ALL) -> Bar:
    """Return the bar that nothing is refused for any other reason than these."""

    def check(course: Course) -> tuple[str, bool]:
        if label not in course.parts:
            return _NOT_RUN
        found = {one.reason for one in course.samples(label)} - {""}
        return ", ".join(sorted(found)) or "nothing refused", found <= set(reasons)

    return Bar(f"{label}: refused only with {', '.join(sorted(reasons))}", check)
