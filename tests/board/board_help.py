"""What the board's tests share: children, and threads that switch at every turn."""

from __future__ import annotations

import os
import random
import select
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

from guard.metrics import Kind, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from guard.board import Board
    from guard.metrics import Metric

Key = tuple["Metric", tuple[str, ...]]


def forked(work: Callable[[], object]) -> int:
    """Run ``work`` in a forked child; return its pid."""
    pid = os.fork()
    if pid:
        return pid
    status = 1  # pragma: no cover - the child is not measured
    try:  # pragma: no cover
        work()
        status = 0
    except BaseException:  # noqa: BLE001 # pragma: no cover - told to the parent by the status
        traceback.print_exc()
    finally:  # pragma: no cover
        os._exit(status)


def ended(pid: int) -> int:
    """Wait for a child; return its exit status, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def trace_opcodes(visit: Callable[[], object]) -> None:
    """Call ``visit`` before each bytecode that this thread runs in the board's modules."""

    def inside(_frame: object, event: str, _arg: object) -> Any:
        if event == "opcode":
            visit()
        return inside

    def outside(frame: Any, _event: str, _arg: object) -> Any:
        if "/guard/board/" not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return inside

    sys.settrace(outside)


def run_switching(works: Sequence[Callable[[], object]], seed: int, share: float) -> None:
    """Run each in a thread that gives up the processor before a ``share`` of its bytecodes."""
    start = threading.Barrier(len(works))
    errors: list[BaseException] = []

    def run(work: Callable[[], object], rng: random.Random) -> None:
        def maybe_switch() -> None:
            if rng.random() < share:
                select.select([], [], [], 1e-6)

        start.wait()
        trace_opcodes(maybe_switch)
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)
        finally:
            sys.settrace(None)

    threads = [
        threading.Thread(target=run, args=(work, random.Random(f"{seed}/{number}")))
        for number, work in enumerate(works)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def by_key(samples: Iterable[Sample]) -> dict[Key, Sample]:
    """Return the samples by metric and labels; each label set must be there once."""
    found: dict[Key, Sample] = {}
    for sample in samples:
        assert (sample.metric, sample.labels) not in found
        found[sample.metric, sample.labels] = sample
    return found


def growing(board: Board) -> dict[Key, tuple[float, ...]]:
    """Return all that may never go down: counters, histograms' sums and counts."""
    return {
        key: (sample.value, *sample.counts)
        for key, sample in by_key(board.collect()).items()
        if key[0].kind is not Kind.GAUGE
    }


def never_down(before: dict[Key, tuple[float, ...]], after: dict[Key, tuple[float, ...]]) -> None:
    """Check that ``after`` holds everything of ``before``, and no less of it."""
    for key, values in before.items():
        assert all(a >= b for a, b in zip(after[key], values, strict=True)), key
