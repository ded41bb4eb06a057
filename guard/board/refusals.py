"""The last refusals of each worker with the numbers that decided: a ring beside each row.

Memory of its own, so that the rows' layout knows nothing of it. A ring outlives its worker: who
gets the row next goes on where the dead one stopped, so nothing has to be saved at a kill::

    ring    | head 64 bytes, word 0: refusals written so far | 128 slots of 80 bytes |
    slot    | checksum u32 | pid, time, lane, reason, the numbers |

The one writer fills a slot and then raises the count; the checksum makes a slot whole or absent
to a reader in another process.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import Final, NamedTuple
from zlib import crc32

from guard.core.vocabulary import Lane, Reason

SLOTS: Final = 128
"""Refusals that a ring holds."""

_HEAD_BYTES: Final = 64
_SLOT_BYTES: Final = 80
_RING_BYTES: Final = _HEAD_BYTES + SLOTS * _SLOT_BYTES
_CHECKSUM: Final = struct.Struct("<I")
_NUMBERS: Final = struct.Struct("<IdBB?x6I4d")
_LANES: Final = tuple(Lane)
_REASONS: Final = tuple(Reason)
_COUNT_MAX: Final = 2**32 - 1
_WRITTEN_MAX: Final = SLOTS << 56
"""A multiple of ``SLOTS`` that a word holds, and that nobody reaches."""


class Refusal(NamedTuple):
    """One refusal and the lane's figures with which it was decided. Times in seconds.

    Attributes:
        pid: the worker.
        at_s: when, on the monotonic clock that all processes of the host share.
        lane: the lane.
        reason: why.
        standing_queue: CoDel's verdict.
        in_flight: permits of the lane that were held.
        unfinished: requests admitted that had not given their connection back.
        slots: requests that the pool could serve at once.
        permits_max: the lane's bound on permits.
        waiters_max: requests that might wait for a slot.
        stands_for: refusals of this lane and reason that this one tells of, itself included.
        hold_s: moving average of the time for which a slot is held.
        wait_s: the predicted wait; ``inf`` without any slot.
        age_s: time since the request was accepted.
        budget_s: the lane's wait budget.
    """

    pid: int
    at_s: float
    lane: Lane
    reason: Reason
    standing_queue: bool = False
    in_flight: int = 0
    unfinished: int = 0
    slots: int = 0
    permits_max: int = 0
    waiters_max: int = 0
    stands_for: int = 1
    hold_s: float = 0.0
    wait_s: float = 0.0
    age_s: float = 0.0
    budget_s: float = 0.0


class Ring:
    """Takes one worker's refusals. Not thread-safe; a forked child's are dropped.

    Args:
        memory: exactly the ring.
    """

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._words = memory[:_HEAD_BYTES].cast("Q")
        self._pid = os.getpid()

    def append(self, refusal: Refusal) -> None:
        """Keep a refusal; the oldest goes where there is no room."""
        if os.getpid() != self._pid:
            return
        count = self._words[0]
        packed = _pack(refusal)
        at = _HEAD_BYTES + count % SLOTS * _SLOT_BYTES
        end = at + _CHECKSUM.size + len(packed)
        self._memory[at + _CHECKSUM.size : end] = packed
        _CHECKSUM.pack_into(self._memory, at, crc32(packed))
        self._words[0] = (count + 1) % _WRITTEN_MAX


class Rings:
    """The rings of all rows, in memory that forked processes share. Reading is thread-safe.

    Args:
        rows: number of rows.

    Raises:
        OSError: there is not enough memory.
    """

    def __init__(self, rows: int) -> None:
        self._memory = memoryview(mmap.mmap(-1, rows * _RING_BYTES))
        self._rows = rows

    def ring(self, index: int) -> Ring:
        """Return the writing end of a row's ring; to be called by the row's owner."""
        return Ring(self._part(index))

    def latest(self, most: int) -> list[Refusal]:
        """Return the newest refusals of all rows, the newest first, at most ``most``."""
        found = [one for index in range(self._rows) for one in _read(self._part(index))]
        found.sort(key=lambda refusal: refusal.at_s, reverse=True)
        return found[:most]

    def _part(self, index: int) -> memoryview:
        return self._memory[index * _RING_BYTES : (index + 1) * _RING_BYTES]


def _pack(refusal: Refusal) -> bytes:
    pid, at_s, lane, reason, standing, *numbers = refusal
    counts = [min(max(int(number), 0), _COUNT_MAX) for number in numbers[:6]]
    return _NUMBERS.pack(
        pid, at_s, _LANES.index(lane), _REASONS.index(reason), standing, *counts, *numbers[6:]
    )


def _read(memory: memoryview) -> list[Refusal]:
    found = []
    # A slot that was never written, or is being written, has no fitting checksum.
    count = memory[:_HEAD_BYTES].cast("Q")[0]
    for number in range(count - 1, max(count - SLOTS, 0) - 1, -1):
        at = _HEAD_BYTES + number % SLOTS * _SLOT_BYTES
        raw = bytes(memory[at : at + _CHECKSUM.size + _NUMBERS.size])
        if _CHECKSUM.unpack_from(raw)[0] == crc32(raw[_CHECKSUM.size :]):
            pid, at_s, lane, reason, *rest = _NUMBERS.unpack_from(raw, _CHECKSUM.size)
            found.append(Refusal(pid, at_s, _LANES[lane], _REASONS[reason], *rest))
    return found
