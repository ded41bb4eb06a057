"""Whether the database has every acknowledged warrior exactly once, as it was sent.

``python -m stress.verify URL FILE`` looks in a process of its own, so nothing of the service's
is left in it. It opens the database as the service would: what a crash left is recovered.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID

from guard.assembly import assemble
from guard.settings import load

DATABASE: Final = "STRESS_DATABASE_URL"

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from guard.assembly import Assembly
    from guard.backends.base import Session

_READY_S, _TICK_S = 60.0, 0.02
_SELECT = "SELECT id, name, dob, fight_skills FROM warriors"
_CHUNK = 1000


class Acknowledged(NamedTuple):
    """A warrior that a 201 promised.

    Attributes:
        id: its id, as the answer named it.
        fields: the warrior as it was sent.
    """

    id: str
    fields: dict[str, Any]


class Verdict(NamedTuple):
    """What the database has of the acknowledged warriors.

    Attributes:
        acknowledged: how many there should be.
        missing: those that are not there.
        repeated: those that are there, or were acknowledged, more than once.
        different: those that are there but not as they were sent.
        stored: all warriors in the database; more than acknowledged where an answer was lost.
    """

    acknowledged: int
    missing: int
    repeated: int
    different: int
    stored: int

    @property
    def good(self) -> bool:
        """Whether nothing acknowledged was lost, doubled or altered."""
        return not (self.missing or self.repeated or self.different)

    @property
    def lost(self) -> str:
        """What was lost, doubled or altered, in words."""
        return f"{self.missing} missing, {self.repeated} doubled, {self.different} altered"


def compare(acknowledged: Sequence[Acknowledged], stored: Iterable[tuple[Any, ...]]) -> Verdict:
    """Compare what was promised with what is stored. Pure.

    Args:
        acknowledged: the promises.
        stored: rows of id, name, date of birth and skills.
    """
    wanted = {one.id: one.fields for one in acknowledged}
    seen: Counter[str] = Counter()
    different = total = 0
    for key, name, dob, skills in stored:
        total += 1
        fields = wanted.get(str(key))
        if fields is None:
            continue
        seen[str(key)] += 1
        found = {"name": name, "dob": dob.isoformat(), "fight_skills": list(skills)}
        different += found != fields
    promised_twice = len(acknowledged) - len(wanted)
    repeated = promised_twice + sum(count > 1 for count in seen.values())
    return Verdict(len(acknowledged), len(wanted) - len(seen), repeated, different, total)


def verify(url: str, acknowledged: Sequence[Acknowledged]) -> Verdict:
    """Open the database and compare.

    Args:
        url: a ``GUARD_DATABASE_URL``.
        acknowledged: what should be there.

    Raises:
        TimeoutError: the database did not open.
    """
    bad = [one.id for one in acknowledged if str(UUID(one.id)) != one.id]
    if bad:
        raise ValueError(f"no UUIDs in their usual form: {bad[:3]}")
    assembly = open_database(url)
    try:
        with assembly.database.stream() as session:
            return compare(acknowledged, session.rows(_SELECT, chunk=_CHUNK))
    finally:
        assembly.close()


def open_database(url: str, prepare: Callable[[Session], None] | None = None) -> Assembly:
    """Open a database through the guard, its mode off and its time-outs long.

    Args:
        url: a ``GUARD_DATABASE_URL``.
        prepare: runs first, such as the migrations.

    Raises:
        TimeoutError: it did not open within a minute.
    """
    long = {"GUARD_STATEMENT_TIMEOUT": "600", "GUARD_DEADLINE": "600"}
    settings = load({"GUARD_DATABASE_URL": url, "GUARD_MODE": "off", **long}).settings
    assembly = assemble(settings, prepare=prepare)
    tick = Event()
    for _ in range(int(_READY_S / _TICK_S)):
        if assembly.ready:
            return assembly
        tick.wait(_TICK_S)
    why = assembly.why_not_ready
    assembly.close()
    raise TimeoutError(why)


def main(arguments: Sequence[str]) -> int:
    """Print the verdict on a file of acknowledged warriors, one JSON array a line, as JSON.

    The environment variable ``DATABASE`` has the database's URL.
    """
    (path,) = arguments
    url = os.environ[DATABASE]
    lines = Path(path).read_text().splitlines()
    verdict = verify(url, [Acknowledged(*json.loads(line)) for line in lines])
    print(json.dumps(verdict._asdict()))
    return 0 if verdict.good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
