from __future__ import annotations

import json
from array import array
from os import getpid
from typing import TYPE_CHECKING

import pytest

from stress import soak
from stress.__main__ import main
from stress.arrivals import CREATE, length_s, schedule
from stress.footprint import Footprint, Watch, footprint, typical
from stress.result import Run, Sample, summarise
from stress.soak import steady
from stress.soak_judge import Course, facts, thirds, verdicts, windows
from stress.verify import Verdict

if TYPE_CHECKING:
    from pathlib import Path

MIB = 2**20


def seen(rss_mib: float = 100.0, files: int = 20, at_s: float = 0.0, pid: int = 1) -> Footprint:
    return Footprint(at_s, (pid,), round(rss_mib * MIB), files, 30)


def course(**changes: object) -> Course:
    slices = [summarise(Run([Sample("search", 1.0, 0.0, 0.01, 200, 200)] * 9, 9, 9, 60.0))] * 3
    found = Course(
        [seen(at_s=float(at)) for at in range(120)], 20.0, [seen(), seen()], 40, slices,
        [array("d", [0.01] * 99)] * 3, kept=Verdict(5, 0, 0, 0, 6),
    )  # fmt: skip
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def missed(found: Course) -> list[str]:
    return [one.bar.partition(" ")[0] for one in verdicts(found) if not one.met]


def test_what_stays_as_it_is_meets_every_bar() -> None:
    assert missed(course()) == []
    assert facts(course())["refused"] == "0.0%"


def test_memory_is_compared_from_the_end_of_the_warm_up() -> None:
    # Before it, it may grow as it likes; a single peak is no growth.
    early = [seen(20.0, at_s=float(at)) for at in range(20)]
    flat = [seen(at_s=float(at)) for at in range(20, 120)]
    peak = seen(300.0, at_s=115.5)
    assert missed(course(seen=[*early, *flat, peak])) == []
    growing = [seen(100 + at / 10, at_s=float(at)) for at in range(120)]
    assert missed(course(seen=growing)) == ["resident"]
    first, last = windows(course(seen=growing))
    assert first.rss_bytes == pytest.approx(102.45 * MIB)
    assert last.rss_bytes == pytest.approx(111.45 * MIB)


def test_what_leaks_changes_or_slows_down_is_missed() -> None:
    assert missed(course(rest=[seen(), seen(files=23)])) == ["descriptors"]
    assert missed(course(threads_max=29)) == ["threads"]
    two = [seen(at_s=float(at), pid=1 + (at > 60)) for at in range(120)]
    assert missed(course(seen=two)) == ["the"]
    slower = [array("d", [0.01] * 99)] * 2 + [array("d", [0.05] * 99)]
    assert missed(course(latencies_s=slower)) == ["p50", "p99"]
    (p50, p99) = [one for one in verdicts(course(others_cores=[0.1, 0.4])) if one.void]
    assert "up to 0.4 cores" in p50.reached
    assert not p99.met
    assert missed(course(others_cores=[0.3])) == []
    assert missed(course(in_flight=1, troubles=["Traceback"])) == ["permits", "no"]
    assert [one.p50 for one in thirds(course(latencies_s=slower))] == [10.0, 50.0]


def test_the_data_hardly_grows() -> None:
    plan = steady(130.0, 10.0)
    arriving = schedule(plan)
    assert len(arriving) == pytest.approx(1300, abs=3)
    assert sum(one.kind == CREATE for one in arriving) == 30
    assert length_s(plan) == 10.0


def test_a_process_holds_something_and_one_that_has_gone_nothing() -> None:
    held = footprint([getpid()], 1.0)
    assert held.rss_bytes > MIB
    assert held.files > 2
    assert held.threads >= 1
    assert footprint([2**22 + 1], 1.0)[2:] == (0, 0, 0)
    with pytest.raises(ValueError, match="nothing was seen"):
        typical([])


def test_a_watch_looks_again_and_again() -> None:
    with Watch(lambda: [getpid()], 0.001) as watch:
        while len(watch.seen) < 3:
            pass
    assert [one.at_s for one in watch.seen] == sorted(one.at_s for one in watch.seen)
    assert watch.seen[0].pids == (getpid(),)


@pytest.mark.process
def test_a_very_short_soak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "_SLICE_S", 1.0)
    monkeypatch.setattr(soak, "_REST_S", 0.0)
    monkeypatch.setattr(soak, "_EVERY_S", 0.05)
    arguments = f"soak --backend duckdb --minutes 0.01 --rate 20 --rows 10 --out {tmp_path}"
    status = main(arguments.split())
    told = json.loads((tmp_path / "soak-duckdb.json").read_text())
    met = {bar["bar"].partition(" ")[0]: bar["met"] for bar in told["verdicts"]}
    assert met["the"]
    assert met["threads"]
    assert met["no"]
    assert met["every"], told
    assert status == int(not told["met"])
    assert "<svg" in (tmp_path / "soak-duckdb.html").read_text()
