from __future__ import annotations

import json
import os
import resource
import signal
import struct
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from stress.__main__ import main
from stress.bars import stored
from stress.faults import clock
from stress.faults.drill import Course, Drill, Scene, fact, merged, refused, served, unanswered
from stress.faults.processes import lives, send, troubles, wait_until
from stress.faults.resources import _limited, address_space_bytes, open_files
from stress.faults.table import DRILLS
from stress.phases import Span
from stress.report import Verdict
from stress.result import Run, Sample
from stress.scenario import Place
from stress.verify import Verdict as Kept

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEPT = Kept(5, 0, 0, 0, 6)


def right(kind: str, due_s: float, latency_s: float = 0.01) -> Sample:
    return Sample(kind, due_s, 0.0, latency_s, 200, 200, right=True)


def course(*during: Sample, **facts: float) -> Course:
    """Six seconds: fine for two, then a fault of two, then fine again."""
    fine = [right("search", at / 10) for at in [*range(20), *range(40, 60)]]
    samples = [*fine, *during]
    return Course(Run(samples, len(samples), 1, 6.0), Span(2.0, 4.0), facts, KEPT, 0, [])


@contextmanager
def sleeping() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            yield process
        finally:
            process.kill()


class Service:
    """Stands for a service with one worker."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def workers(self) -> list[int]:
        return [self.pid]


def test_a_drill_has_its_own_bars_between_those_of_all() -> None:
    own = Verdict("own", "yes", met=True)
    drill = Drill("nothing happens", lambda _: None, lambda _: [own])  # type: ignore[arg-type,return-value]
    found = drill.verdicts(course())
    assert [one.met for one in found] == [True] * 6
    assert found[1] == own
    assert found[3] == stored(KEPT)
    left = drill.verdicts(course()._replace(in_flight=1, troubles=["Traceback"]))
    assert [place for place, one in enumerate(left) if not one.met] == [4, 5]


def test_what_nobody_mends_must_be_back_from_its_beginning() -> None:
    lost = [Sample("search", 2 + at / 10, 0.0, 0.01, 200, 500) for at in range(20)]
    ended = Drill("x", lambda _: None, back_s=1.5)  # type: ignore[arg-type,return-value]
    at_once = Drill("x", lambda _: None, back_s=1.5, at_once=True)  # type: ignore[arg-type,return-value]
    assert ended.verdicts(course(*lost))[1].met
    assert not at_once.verdicts(course(*lost))[1].met


def test_the_bars_of_a_fault() -> None:
    gone = Sample("search", 2.5, 0.0, 0.01, 200, failure="ECONNRESET")
    assert unanswered(course(*[right("search", 2.1)] * 19, gone), 0.05).met
    assert not unanswered(course(*[right("search", 2.1)] * 18, gone), 0.05).met
    late = right("create", 2.5, 1.5)
    assert served(course(right("search", 2.1), late), "read", 0.99).met
    assert not served(course(right("search", 2.1), late), "all", 0.99).met
    assert not served(course(), "read", 0.99).met, "nothing came at all"
    assert fact(course(cores=0.5), "cores", 0.5).met
    assert not fact(course(cores=0.6), "cores", 0.5).met
    assert not fact(course(), "cores", 0.5).met, "it was not measured"
    failure = Sample("create", 2.0, 0.0, 0.1, 201, 503)
    shed = [Sample("create", 2.3, 0.0, 0.001, 201, 503, reason="breaker_open")] * 9
    assert [one.met for one in refused(course(failure, *shed), "write")] == [True, True]
    assert [one.met for one in refused(course(failure, *shed), "read")] == [False, False]


def test_a_bar_is_met_where_every_round_met_it() -> None:
    good, bad = Verdict("bar", "1", met=True), Verdict("bar", "9", met=False)
    assert merged([[good], [good]]) == [good]
    (found,) = merged([[good], [bad], [good]])
    assert (found.met, found.reached) == (False, "9 (1 of 3 rounds)")


def test_a_limit_is_lowered_and_given_back() -> None:
    with sleeping() as process:
        before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        scene = Scene(None, Service(process.pid), {})  # type: ignore[arg-type]
        how = _limited(scene, resource.RLIMIT_NOFILE, lambda _: 7)
        how.begin()
        assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == (7, before[1])
        how.end()
        assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == before
        assert scene.facts["workers that ended"] == 0
        how.begin()
        process.kill()
        process.wait()
        how.end()
        assert scene.facts["workers that ended"] == 1


def test_what_is_seen_of_a_process() -> None:
    with sleeping() as process:
        assert lives(process.pid)
        assert open_files(process.pid) >= 1
        assert address_space_bytes(process.pid) > 0
        process.kill()
        # It has ended, though nobody has asked for its status yet.
        assert wait_until(lambda: not lives(process.pid))
    assert not lives(process.pid)
    assert open_files(process.pid) == 0
    send(process.pid, signal.SIGKILL)
    assert not wait_until(lambda: False, 0.0)


def test_lines_that_a_fault_explains_are_no_trouble() -> None:
    log = ["fine", "Worker was sent SIGKILL!", "Traceback (most recent call last):"]
    assert troubles(log, ()) == log[1:]
    assert troubles(log, ("SIGKILL",)) == log[2:]


def test_the_clock_of_a_python_process_jumps(tmp_path: Path) -> None:
    where = Place("", tmp_path, None)
    environ = {**os.environ, **clock._jumping_clock(where)}
    told = [sys.executable, "-c", "import time; print(time.time(), time.time_ns() / 1e9)"]
    plain = subprocess.run(told, env=environ, capture_output=True, check=True).stdout.split()
    clock._shift(where, clock.AHEAD_S)
    assert (tmp_path / "clock").read_bytes() == struct.pack("d", clock.AHEAD_S)
    shifted = subprocess.run(told, env=environ, capture_output=True, check=True).stdout.split()
    for text in shifted:
        assert clock.AHEAD_S <= float(text) - float(plain[0]) < 2 * clock.AHEAD_S


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("fault file-size --backend postgres", "a fault of duckdb alone"),
    ],
)
def test_what_is_no_fault_there(
    arguments: str, complaint: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main([*arguments.split(), "--out", str(tmp_path)]) == 2
    assert complaint in capsys.readouterr().err


def test_each_fault_says_what_it_is() -> None:
    assert len(DRILLS) >= 9
    assert all(drill.about and drill.backends for drill in DRILLS.values())


@pytest.mark.process
def test_a_fault_on_the_real_service(tmp_path: Path) -> None:
    arguments = (
        "fault descriptors --backend duckdb --rounds 1 --rate 30 --before-s 0.5 --fault-s 0.5 "
        f"--after-s 0.5 --out {tmp_path}"
    )
    status = main(arguments.split())
    told = json.loads((tmp_path / "fault-descriptors-duckdb.json").read_text())
    met = {bar["bar"]: bar["met"] for bar in told["verdicts"]}
    # How soon goodput is back, and whether the generator was on time, is a matter of the machine.
    assert status == int(not told["met"])
    for bar in (
        "workers that ended <= 0", "every acknowledged warrior there once, as it was sent",
        "permits in flight at the end: 0", "no worker time-out, kill or traceback",
    ):  # fmt: skip
        assert met[bar], told["verdicts"]
    assert "<svg" in (tmp_path / "fault-descriptors-duckdb.html").read_text()
