"""All faults by their names on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stress.faults import clock, disks, processes, resources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stress.faults.drill import Drill

DRILLS: Final[Mapping[str, Drill]] = {
    **processes.DRILLS,
    **resources.DRILLS,
    **disks.DRILLS,
    **clock.DRILLS,
}
