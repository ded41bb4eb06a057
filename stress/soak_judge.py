"""A soak, judged: what grew, what slowed down. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from stress import bars
from stress.footprint import Footprint, typical
from stress.other_work import MOST_CORES
from stress.report import Verdict
from stress.result import Percentiles, percentiles

if TYPE_CHECKING:
    from array import array
    from collections.abc import Mapping, Sequence

    from stress import verify
    from stress.result import Summary
    from stress.verify import Acknowledged

GROWTH_MAX: Final = 0.05
FILES_MORE_MAX: Final = 2
SLOWER_MAX: Final = {"p50": (1.2, 2.0), "p99": (1.25, 20.0)}
"""By how much a latency may be larger at the end: a factor, and milliseconds besides."""

_WINDOW: Final = 0.1


@dataclass(slots=True)
class Course:
    """What came of the soak.

    Attributes:
        seen: what the processes held, second by second.
        warm_s: when the warm-up was over, by the same clock.
        rest: the same at rest: after the warm-up, and in the end.
        threads_max: how many threads there may be: those of the start, and all request threads,
            which gunicorn makes as they are needed.
        slices: the load, slice by slice.
        latencies_s: of each slice the latencies of what the database answered.
        others_cores: of each slice, how many cores the rest of the machine took.
        promised: the warriors that were acknowledged.
        kept: the database compared with the promises.
        in_flight: permits held in the end.
        troubles: suspicious lines of the log.
    """

    seen: Sequence[Footprint] = ()
    warm_s: float = 0.0
    rest: list[Footprint] = field(default_factory=list)
    threads_max: int = 0
    slices: list[Summary] = field(default_factory=list)
    latencies_s: list[array[float]] = field(default_factory=list)
    others_cores: list[float] = field(default_factory=list)
    promised: list[Acknowledged] = field(default_factory=list)
    kept: verify.Verdict | None = None
    in_flight: int = 0
    troubles: list[str] = field(default_factory=list)


def windows(course: Course) -> tuple[Footprint, Footprint]:
    """Return the medians of the tenth of the time after the warm-up, and of the last tenth."""
    warm = [one for one in course.seen if one.at_s >= course.warm_s]
    count = max(1, round(len(warm) * _WINDOW))
    return typical(warm[:count]), typical(warm[-count:])


def thirds(course: Course) -> tuple[Percentiles, Percentiles]:
    """Return the latencies of the first third of the slices and of the last."""
    count = max(1, len(course.latencies_s) // 3)
    first, last = course.latencies_s[:count], course.latencies_s[-count:]
    return (
        percentiles([one for some in first for one in some]),
        percentiles([one for some in last for one in some]),
    )


def verdicts(course: Course) -> list[Verdict]:
    """Return the bars."""
    void = next((one.void for one in course.slices if one.void), "")
    totals = [one.total for one in course.slices]
    sent = sum(one.sent for one in totals)
    ends = [sum(getattr(one, end) for one in totals) for end in ("answered", "shed", "failed")]
    found = [
        Verdict(
            "sent on time, and sent = answered + shed + failed",
            void or f"{sent} = {ends[0]} + {ends[1]} + {ends[2]}",
            not void and sent == sum(ends) > 0,
            void=bool(void),
        ),
        *_held(course),
        *_drift(course),
        Verdict("permits in flight at the end: 0", str(course.in_flight), not course.in_flight),
        bars.quiet_log(course.troubles),
    ]
    return [*found, *([bars.stored(course.kept)] if course.kept else [])]


def _held(course: Course) -> list[Verdict]:
    first, last = windows(course)
    growth = last.rss_bytes / first.rss_bytes - 1
    more = course.rest[-1].files - course.rest[0].files
    threads = course.rest[-1].threads
    pids = len({one.pids for one in course.seen if one.at_s >= course.warm_s})
    return [
        Verdict("the same processes all along", "yes" if pids == 1 else "no", pids == 1),
        Verdict(
            f"resident memory grows by < {GROWTH_MAX:.0%}",
            f"{growth:+.1%}, {first.rss_bytes / 2**20:.1f} to {last.rss_bytes / 2**20:.1f} MiB",
            growth < GROWTH_MAX,
        ),
        Verdict(
            f"descriptors at rest: at most {FILES_MORE_MAX} more than after the warm-up",
            f"{course.rest[0].files}, then {course.rest[-1].files}", more <= FILES_MORE_MAX,
        ),
        Verdict(
            "threads at rest <= those of the start and all request threads",
            f"{threads} of {course.threads_max}", threads <= course.threads_max,
        ),
    ]  # fmt: skip


def _drift(course: Course) -> list[Verdict]:
    first, last = thirds(course)
    others = max(course.others_cores, default=0.0)
    # Whatever is slower then may be so for that alone.
    void = others > MOST_CORES
    why = f"; other processes took up to {others:.1f} cores" if void else ""
    return [
        Verdict(
            f"{name} of the admitted, last third <= {factor:g}x the first's + {extra_ms:g} ms",
            f"{before:.1f} ms, then {after:.1f} ms{why}",
            not void and after <= before * factor + extra_ms, void=void,
        )
        for name, (factor, extra_ms) in SLOWER_MAX.items()
        for before, after in [(getattr(first, name), getattr(last, name))]
    ]  # fmt: skip


def facts(course: Course) -> Mapping[str, str]:
    """Return the figures that are told beside the bars."""
    totals = [one.total for one in course.slices]
    sent, shed = sum(one.sent for one in totals), sum(one.shed for one in totals)
    return {
        "cores that other processes took, each slice": ", ".join(
            f"{one:.1f}" for one in course.others_cores
        ),
        "refused": f"{shed / max(1, sent):.1%}",
        "goodput of each slice, per second": ", ".join(
            f"{one.goodput_per_s:.0f}" for one in course.slices
        ),
        "warriors stored": str(course.kept.stored if course.kept else 0),
    }
