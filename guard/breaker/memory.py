"""Where a breaker's state and counts lie, in memory that the workers of a host share.

A breaker's part, every word of 8 bytes and aligned::

    breaker +--------------------------------------------------------------+
            | head      64 bytes                                           |
            |   word 0  commit: number of the last change of the record    |
            |   word 1  mode: 0 never used, else 1 + place in MODES        |
            +--------------------------------------------------------------+
            | record of the even commits    128 bytes                      |
            +--------------------------------------------------------------+
            | record of the odd commits     128 bytes                      |
            +--------------------------------------------------------------+
            | journal   32 entries of 32 bytes: the last changes of phase  |
            +--------------------------------------------------------------+
            | counts    of worker 0: 10 buckets of 48 bytes                |
            +--------------------------------------------------------------+
            | counts    of worker 1, worker 2, ...                         |
            +--------------------------------------------------------------+

    record  | commit u64 | phase u64 | generation u64 | since f64 | until f64 |
            | failed probes u64 | outage u64 | taken over u64 | opened at f64 |
            | fail counter u64 | success counter u64 | checksum u64 |

    entry   | generation u64 | phase before u64 | phase after u64 | checksum u64 |

    bucket  | begin f64 | generation u64 | ok u64 | failures u64 | quick u64 | slow u64 |

**Killed anywhere.** A record is changed by whoever holds the breaker's lock (an ``fcntl`` lock:
the kernel frees it at his death). He writes the journal's entry, then the record that is *not*
in force, then the commit number, one word, which puts it in force. Until that store readers use
the old record, and the next holder begins anew; after it all is done. A reader takes a
record only if its number is the one that he looked for and its checksum is right; else it
was overwritten while he read, and he reads again. Zeroed memory is a breaker's first state.

A worker's counts are written by that worker alone, and readers sum over all. A bucket that is
begun anew has generation 0, which nobody counts, until the rest of it is written. Counts of a
dead worker stay: they tell of the database, not of him, and the row's next owner goes on.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, get_args
from zlib import crc32

from guard.core.breaker_types import BreakerMode, BreakerState
from guard.core.vocabulary import BreakerPhase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.core.vocabulary import BreakerPhase as Phase

BUCKETS: Final = 10
"""Parts of the window; one of them is forgotten at a time."""
JOURNAL: Final = 32
"""Changes of phase that are remembered for workers that did not look in between."""
MODES: Final[tuple[BreakerMode, ...]] = get_args(BreakerMode)
OK, FAILURE, QUICK, SLOW = 2, 3, 4, 5
"""Words of a bucket that count."""
BUCKET: Final = struct.Struct("<dQQQQQ")

_HEAD_BYTES: Final = 64
_RECORD_BYTES: Final = 128
_RECORD: Final = struct.Struct("<QQQddQQQdQQ")
_ENTRY: Final = struct.Struct("<QQQ")
_CHECKSUM: Final = struct.Struct("<Q")
_ENTRY_BYTES: Final = _ENTRY.size + _CHECKSUM.size
_JOURNAL_AT: Final = _HEAD_BYTES + 2 * _RECORD_BYTES
_ROWS_AT: Final = _JOURNAL_AT + JOURNAL * _ENTRY_BYTES
_ROW_BYTES: Final = BUCKETS * BUCKET.size
_PHASES: Final = tuple(BreakerPhase)
_PHASE_NUMBERS: Final = {phase: number for number, phase in enumerate(_PHASES)}
_TRIES: Final = 1000
_COMMITS: Final = 1 << 62
"""More changes than there ever are."""


class Overwritten(RuntimeError):  # noqa: N818 - says what happened
    """Somebody else wrote into the breaker's memory: no record is whole."""


def size_bytes(rows: int) -> int:
    """Return how much memory a breaker takes for that many workers; a multiple of 64."""
    return -(-(_ROWS_AT + rows * _ROW_BYTES) // _HEAD_BYTES) * _HEAD_BYTES


class BreakerMemory:
    """One breaker's words, records, journal and counts; no rule about who may write them.

    Args:
        memory: exactly its part, ``size_bytes(rows)`` long.
        rows: workers that count.

    Attributes:
        commits: its first item is the number of the last change; one look tells whether
            anything has changed.
    """

    def __init__(self, memory: memoryview, rows: int) -> None:
        self.commits = memory[:_HEAD_BYTES].cast("Q")
        self._memory = memory
        self._rows = rows

    @property
    def mode(self) -> BreakerMode | None:
        """The mode in which the breaker was last used; None before, and where none is there."""
        number = self.commits[1]
        return MODES[number - 1] if 0 < number <= len(MODES) else None

    @mode.setter
    def mode(self, mode: BreakerMode) -> None:
        self.commits[1] = 1 + MODES.index(mode)

    def read(self) -> tuple[int, BreakerState]:
        """Return the number of the last change and the state that it left.

        Raises:
            Overwritten: there is none to be found.
        """
        for _ in range(_TRIES):
            commit = self.commits[0]
            if commit == 0:
                return 0, BreakerState()
            at = _record_at(commit)
            raw = bytes(self._memory[at : at + _RECORD.size + _CHECKSUM.size])
            number, *values = _RECORD.unpack_from(raw)
            if number == commit and _sound(raw):
                return commit, _state(values)
        raise Overwritten("the breaker's memory was overwritten")

    def mend(self, state: BreakerState) -> int:
        """Put a state in force, whatever is there; as ``write``. Return the change's number."""
        self.commits[0] %= _COMMITS
        return self.write(state, state)

    def write(self, before: BreakerState, after: BreakerState) -> int:
        """Put a state in force; only under the breaker's lock. Return the change's number."""
        if after.generation != before.generation:
            self._write_entry(after.generation, before.phase, after.phase)
        commit = self.commits[0] + 1
        phase, taken = _PHASE_NUMBERS[after.phase], int(after.taken_over)
        values = after._replace(phase=phase, taken_over=taken)  # type: ignore[arg-type]
        raw = _RECORD.pack(commit, *values)
        at = _record_at(commit)
        self._memory[at : at + len(raw)] = raw
        _CHECKSUM.pack_into(self._memory, at + len(raw), crc32(raw))
        self.commits[0] = commit
        return commit

    def _write_entry(self, generation: int, before: Phase, after: Phase) -> None:
        raw = _ENTRY.pack(generation, _PHASE_NUMBERS[before], _PHASE_NUMBERS[after])
        at = _entry_at(generation)
        self._memory[at : at + len(raw)] = raw
        _CHECKSUM.pack_into(self._memory, at + len(raw), crc32(raw))

    def change(self, generation: int) -> tuple[Phase, Phase] | None:
        """Return the phases before and after the change that began ``generation``.

        None where later changes have taken its place.
        """
        at = _entry_at(generation)
        raw = bytes(self._memory[at : at + _ENTRY_BYTES])
        number, before, after = _ENTRY.unpack_from(raw)
        if number != generation or not _sound(raw):
            return None
        return _PHASES[before], _PHASES[after]

    def row(self, index: int) -> memoryview:
        """Return one worker's buckets."""
        at = _ROWS_AT + index * _ROW_BYTES
        return self._memory[at : at + _ROW_BYTES]

    def buckets(self) -> Iterator[tuple[float, int, int, int, int, int]]:
        """Yield every bucket of every worker: begin, generation, ok, failures, quick, slow."""
        return BUCKET.iter_unpack(self._memory[_ROWS_AT : _ROWS_AT + self._rows * _ROW_BYTES])


def _record_at(commit: int) -> int:
    return _HEAD_BYTES + commit % 2 * _RECORD_BYTES


def _entry_at(generation: int) -> int:
    return _JOURNAL_AT + generation % JOURNAL * _ENTRY_BYTES


def _sound(raw: bytes) -> bool:
    (checksum,) = _CHECKSUM.unpack_from(raw, len(raw) - _CHECKSUM.size)
    return crc32(raw[: -_CHECKSUM.size]) == int(checksum)


def _state(values: list[float]) -> BreakerState:
    state = BreakerState(*values)  # type: ignore[arg-type]
    phase = _PHASES[int(state.phase)]
    return state._replace(phase=phase, taken_over=bool(state.taken_over))
