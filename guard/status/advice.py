"""What an operator does about refusals: one table for the page and the text. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from guard.core.vocabulary import Lane, Reason


class Advice(NamedTuple):
    """What to do.

    Attributes:
        text: one or two sentences.
        variables: the settings to turn, in the order in which to try.
    """

    text: str
    variables: tuple[str, ...] = ()


NOTHING: Final = Advice("")
LOOK_AT_DATABASE: Final = Advice(
    "Look at the database and the way to it. Guard probes it, and serves again by itself as soon "
    "as it answers."
)

_ADVICE: Final = {
    Reason.POOL_SATURATED: Advice(
        "The {lane} connections are all in use and the queue is as long as it may get. Make the "
        "slowest {lane} query cheaper, or add connections if the database has room; a larger "
        "budget trades waiting for refusals.",
        ("GUARD_{LANE}_POOL_SIZE", "GUARD_{LANE}_WAIT_BUDGET"),
    ),
    Reason.THREADS_EXHAUSTED: Advice(
        "Requests hold their threads although the database is quick: clients read slowly. Put a "
        "buffering proxy in front, or add threads.",
        ("GUARD_THREADS",),
    ),
    Reason.QUEUE_DELAY: Advice(
        "Requests grow old before the application sees them: the process is out of CPU. More "
        "workers or cores help, larger pools do not.",
        ("GUARD_WORKERS",),
    ),
    Reason.LOW_PRIORITY: Advice(
        "The {lane} lane is short, and what is left of it waits for higher classes. If they never "
        "need it, let the others use more of it.",
        ("GUARD_NORMAL_BUDGET", "GUARD_SHEDDABLE_BUDGET", "GUARD_CRITICAL_SHARE"),
    ),
    Reason.UNFAIR_SHARE: Advice(
        "A client asks the {lane} lane for more than its fair share and is held back, so that the "
        "others are served. If it may ask for so much, add capacity."
    ),
    Reason.BREAKER_OPEN: LOOK_AT_DATABASE,
    Reason.DEADLINE: Advice(
        "The answer would come after the deadline. Make the queries quicker, or allow more time.",
        ("GUARD_DEADLINE",),
    ),
    Reason.DRAINING: Advice("A worker goes away; that passes."),
    Reason.STARTING: Advice(
        "A worker's database is not open yet. If this lasts, look at the log: it says why."
    ),
}
# DuckDB has one worker and one writer, whatever is asked for.
_ONE_PROCESS: Final = {
    Reason.QUEUE_DELAY: Advice(
        "Requests grow old before the application sees them: the process is out of CPU, and with "
        "DuckDB there is one. Make the queries cheaper, or move to PostgreSQL."
    ),
    Reason.POOL_SATURATED: Advice(
        "The {lane} slots are all in use and the queue is as long as it may get. Make the slowest "
        "{lane} query cheaper, or use more cores; a larger budget trades waiting for refusals.",
        ("GUARD_{LANE}_WAIT_BUDGET",),
    ),
}


def look_at_locks(lane: Lane) -> Advice:
    """Return what to do about a lane whose connections wait for a lock."""
    return Advice(
        f"Most of the {lane} connections wait for a lock in the database: see who blocks whom, and "
        "end or mend that. A larger pool would only wait with them."
    )


def advice(reason: Reason, lane: Lane, *, full: bool = False, one_process: bool = False) -> Advice:
    """Return what to do about refusals for a reason in a lane.

    Args:
        reason: of most of the refusals.
        lane: where they are.
        full: the lane's pool has no free connection, so a queue that stands is the pool's.
        one_process: the database belongs to one process (DuckDB).
    """
    if reason is Reason.QUEUE_DELAY and full:
        reason = Reason.POOL_SATURATED
    found = _ADVICE.get(reason, NOTHING)
    if one_process:
        found = _ONE_PROCESS.get(reason, found)
    return Advice(
        found.text.replace("{lane}", lane.value),
        tuple(name.replace("{LANE}", lane.name) for name in found.variables),
    )
