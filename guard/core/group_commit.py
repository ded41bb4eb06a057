"""Group commit as plain decisions: what shares a transaction, what is tried after an error.

The database has no savepoints: an error undoes the whole transaction, so everything in it must
be done anew without the unit at fault. Units are named by their place in the batch.

An error counts as a unit's own only where nothing else had run before it in the transaction;
otherwise the unit is first tried alone. That way no unit fails for what another one did.
"""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Sequence

Step = tuple[int, ...]
"""Units that run together: several single-row inserts as one statement, or one unit."""

Transaction = tuple[Step, ...]
"""Steps that are committed together, in order."""

FAILURES_MAX: Final = 12
"""After so many failed transactions of a batch each unit left gets a transaction of its own."""

SUSPECTS_MAX: Final = 4
"""More suspects than this are no clue; the step is halved instead."""

_PLAIN: Final = frozenset({str, bytes, bool, int, float, date, timedelta, UUID, type(None)})
_ZONED: Final = frozenset({datetime, time})


class Verdict(NamedTuple):
    """What follows from a failed transaction.

    Attributes:
        failed: the unit whose own error it was, or None while that is not known.
        transactions: what to run next, in order; together they hold every unit of the failed
            transaction but ``failed``, each once.
    """

    failed: int | None
    transactions: tuple[Transaction, ...]


def row_kinds(row: Sequence[object]) -> tuple[object, ...] | None:
    """Return a key that rows share where their values can be put into one list per column.

    The database finds *one* type for a list, so an integer beside a float would be stored
    rounded, which it would not be alone. NULL goes with everything only by the key of its own:
    rows whose NULLs are in different columns have different keys.

    Returns:
        The key, or None where the row should have a statement of its own.
    """
    kinds = tuple(_kind(value) for value in row)
    return None if None in kinds else kinds


def _kind(value: object) -> object:
    # Exact types: a subclass, such as an enumeration, may be stored as something else.
    kind: type[Any] = type(value)
    if kind in _PLAIN:
        return kind
    if isinstance(value, datetime | time) and kind in _ZONED:
        return (kind, value.tzinfo is None)
    if isinstance(value, list) and kind is list:
        items = {type(item) for item in value}
        items.discard(type(None))
        # An empty list fits every list, but which one is not known here.
        if not items:
            return (list, None)
        return (list, *items) if len(items) == 1 and items <= _PLAIN else None
    return None


def planned(keys: Sequence[Hashable | None]) -> tuple[Transaction, ...]:
    """Return the transactions of a batch in which every unit has its place once.

    Inserts of one key share a statement at the place of the first of them. All inserts share
    one transaction; the general units (key None) share a second one, so that no insert waits
    for a slow unit or is done anew for a failed one.

    Args:
        keys: each unit's key in the order of arrival; None for a general unit.
    """
    by_key: dict[Hashable, list[int]] = {}
    units: list[Step] = []
    for place, key in enumerate(keys):
        if key is None:
            units.append((place,))
        else:
            by_key.setdefault(key, []).append(place)
    inserts = tuple(tuple(places) for places in by_key.values())
    return tuple(transaction for transaction in (inserts, tuple(units)) if transaction)


def after_failure(
    transaction: Transaction, failed_at: int, suspects: Collection[int], failures: int
) -> Verdict:
    """Return whose error it was, or how to find out, and what to run next.

    Args:
        transaction: the steps that were to run; all of them have been undone.
        failed_at: the step that raised; all steps before it had run.
        suspects: units that the error's text points at; a hint that may be wrong.
        failures: how many transactions of the batch have failed, this one included, >= 1.
    """
    before, step, after = (
        transaction[:failed_at], transaction[failed_at], transaction[failed_at + 1 :]
    )  # fmt: skip
    if len(step) == 1 and not before:
        return Verdict(step[0], _some(after))
    if failures >= FAILURES_MAX:
        return Verdict(None, alone(transaction))
    if len(step) == 1:
        return Verdict(None, ((step,), *_some((*before, *after))))
    accused = tuple(place for place in step if place in suspects)
    if accused and len(accused) < len(step) and len(accused) <= SUSPECTS_MAX:
        others = tuple(place for place in step if place not in suspects)
        return Verdict(None, (*alone((accused,)), (*before, others, *after)))
    middle = len(step) // 2
    return Verdict(None, ((*before, step[:middle], step[middle:], *after),))


def alone(transaction: Transaction) -> tuple[Transaction, ...]:
    """Return a transaction of its own for each unit."""
    return tuple(((place,),) for step in transaction for place in step)


def _some(steps: Transaction) -> tuple[Transaction, ...]:
    return (steps,) if steps else ()


def likeliest(scores: Sequence[int]) -> frozenset[int]:
    """Return the places of the highest score; none where no score is above 0."""
    best = max(scores, default=0)
    if best <= 0 or Counter(scores)[best] == len(scores):
        return frozenset()
    return frozenset(place for place, score in enumerate(scores) if score == best)
