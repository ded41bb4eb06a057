"""Bars that several drills have in common."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING, Final

from stress.phases import KEPT
from stress.report import Verdict
from stress.result import summarise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stress import verify
    from stress.phases import Seen
    from stress.result import Run

ALL_SHED_S: Final = 1.0
REFUSED_P99_MS: Final = 20.0
BACK_S: Final = 3.0


def accounted(run: Run) -> Verdict:
    """Return whether each request of a run was sent on time and has one end."""
    whole = summarise(run)
    total = whole.total
    return Verdict(
        "sent on time, and sent = answered + shed + failed",
        whole.void or f"{total.sent} = {total.answered} + {total.shed} + {total.failed}",
        not (whole.void or whole.interrupted)
        and total.sent == total.answered + total.shed + total.failed,
        void=bool(whole.void),
    )


def stored(kept: verify.Verdict) -> Verdict:
    """Return whether the database kept what was promised."""
    return Verdict(
        "every acknowledged warrior there once, as it was sent",
        f"{kept.acknowledged} acknowledged, {kept.lost}", kept.good and kept.acknowledged > 0,
    )  # fmt: skip


def quiet_log(troubles: Sequence[str]) -> Verdict:
    """Return whether the service's log has none of the lines that it must not have."""
    return Verdict("no worker time-out, kill or traceback", str(len(troubles)), not troubles)


def shed(seen: Seen, within_s: float = ALL_SHED_S) -> list[Verdict]:
    """Return whether the breaker took over soon, and how fast it refuses."""
    p99 = seen.refusals.p99
    return [
        Verdict(
            f"from the first failure all shed with breaker_open within {within_s:g} s",
            seconds(seen.all_shed_s), seen.all_shed_s <= within_s,
        ),
        Verdict(
            f"p99 of the refusals from then on < {REFUSED_P99_MS:g} ms",
            f"{p99:.1f} ms", p99 < REFUSED_P99_MS,
        ),
    ]  # fmt: skip


def back(seen: Seen, within_s: float = BACK_S) -> Verdict:
    """Return whether the goodput is back soon after the end of the fault."""
    return Verdict(
        f"{KEPT:.0%} of the goodput back within {within_s:g} s",
        seconds(seen.recovered_s), seen.recovered_s <= within_s,
    )  # fmt: skip


def seconds(value: float) -> str:
    """Return a length of time for people; NaN is never."""
    return "never" if isnan(value) else f"{value:.2f} s"
