"""The service starts while its clients already ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stress.lab.bars import HONEST, Bar, answered_p99, refused_because, right_in_time
from stress.lab.course import AFTER, ALL, DURING
from stress.lab.description import Mishap, Scenario
from stress.lab.mishaps import absence
from stress.lab.plans import mix

if TYPE_CHECKING:
    from stress.lab.course import Course

_UNHEARD: Final = "ECONNREFUSED"


def _never_hung(course: Course) -> tuple[str, bool]:
    found = course.samples(ALL)
    failures = sorted({one.failure for one in found} - {""})
    return ", ".join(failures) or "none", bool(found) and set(failures) <= {_UNHEARD}


SCENARIO: Final = Scenario(
    name="cold-start",
    shows="clients ask before the service is there: refused at once, and served from its start on",
    plan=mix((26, 50, 50)),
    mishaps=(Mishap("no service", 0, 3, absence),),
    bars=(
        *HONEST,
        Bar(f"no request without an answer but by {_UNHEARD}", _never_hung),
        refused_because({"starting"}, DURING),
        right_in_time(0.99, AFTER),
        answered_p99(500.0, AFTER),
    ),
    cold=True,
)
