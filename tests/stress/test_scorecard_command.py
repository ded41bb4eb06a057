"""``python -m stress scorecard`` with commands of the tests' own, as real processes."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path
from threading import Event
from time import monotonic

import pytest
from scorecards import claim, command

from stress import other_work
from stress.__main__ import main
from stress.scorecard import command as scorecard
from stress.scorecard import machine, readme, running, stored
from stress.scorecard.model import Command, Form, State

ROOT = Path(__file__).parents[2]
SHOWN = (("tail", "2x: p99"),)
GOOD = claim("good", bars=("2x: ",), shown=SHOWN)
KEPT = claim("kept", bars=("5x: ",))
MISSED = claim("missed", "missed", shown=SHOWN)
VOID = claim("void", "void")
UNABLE = claim("unable", "unable")
ABSENT = claim("absent", command=command("good", needs=("no-such-program",)))
LONG = claim("long", command=Command("tests.stress.fake_scenario good"))
PATIENCE_S = 60.0


@pytest.fixture
def run(tmp_path, monkeypatch):
    # What else this machine does is not what is tested.
    monkeypatch.setattr(other_work, "busy_s", lambda _stat: 0.0)
    monkeypatch.setattr(machine, "versions", lambda: {"python": "3"})

    def start(*claims, more=()):
        monkeypatch.setattr(scorecard, "CLAIMS", claims)
        where = ("--out", str(tmp_path / "out"), "--kept", str(tmp_path / "kept.json"))
        return main(["scorecard", *where, "--date", "2026-01-02", *more])

    return start


@pytest.fixture
def written(tmp_path):
    return lambda: json.loads((tmp_path / "out" / "scorecard.json").read_text())


def states(card):
    return {one["claim"]: one["state"] for one in card["results"]}


def test_every_claim_is_run_judged_and_written(run, written, tmp_path, capsys):
    assert run(GOOD, KEPT, MISSED, VOID, UNABLE, ABSENT, LONG) == 1
    card = written()
    assert states(card) == {
        "good": "met", "kept": "met", "missed": "missed", "void": "void", "unable": "not run",
        "absent": "not run",
    }  # fmt: skip
    results = {one["claim"]: one for one in card["results"]}
    assert results["unable"]["why"].endswith("there is no PostgreSQL")
    assert results["absent"]["why"] == "no-such-program not installed"
    assert results["good"]["origin"]["date"] == "2026-01-02"
    assert results["good"]["took_s"] > 0
    assert card["machine"]["cores"]
    assert card["versions"] == {"python": "3"}
    assert card["claims"]["good"]["trend"]["why"] == "the first run"
    told = capsys.readouterr().out
    assert told.count("... python -m tests.stress.fake_scenario good") == 2, "once for two claims"
    assert "tail 90 ms" in told
    page = (tmp_path / "out" / "scorecard.html").read_text()
    assert 'href="missed/fake.html"' in page
    assert "Only in the other form (1)" in page
    assert "this is missed" in (tmp_path / "out" / "missed" / running.LOG).read_text()


def test_all_met_is_status_0_and_accepted_results_are_what_the_next_run_is_compared_with(
    run, written, tmp_path
):
    assert run(GOOD, KEPT, more=["--accept"]) == 0
    assert run(GOOD, MISSED, more=["--only", "good", "--accept"]) == 0
    assert states(written()) == {"good": "met"}
    assert written()["claims"]["good"]["trend"]["word"] == "same"
    kept = stored.load(tmp_path / "kept.json")
    assert [one.claim for one in kept.results] == ["good", "kept"]
    assert {one.form for one in kept.results} == {Form.SHORT}
    assert run(LONG, more=["--long", "--accept"]) == 0
    assert stored.load(tmp_path / "kept.json").results[-1].form is Form.LONG


def test_figures_that_others_disturbed_are_kept_only_on_demand(run, tmp_path, monkeypatch, capsys):
    kept = tmp_path / "kept.json"
    used_s = count(0, 1000)
    monkeypatch.setattr(other_work, "busy_s", lambda _stat: float(next(used_s)))
    assert run(GOOD, VOID, more=["--accept"]) == 1
    assert stored.load(kept).results == ()
    told = capsys.readouterr().out
    assert "not kept: good, others took" in told
    assert "not kept: void, void: 2x: p99 < 20 ms: late" in told
    run(GOOD, more=["--accept", "--disturbed"])
    assert [one.claim for one in stored.load(kept).results] == ["good"]


def test_nothing_that_a_command_started_outlives_it(tmp_path):
    tmp_path.joinpath("out").mkdir()
    ended = running.run(command("leaves"), Form.SHORT, tmp_path / "out")
    assert (ended.status, len(ended.reports)) == (0, 1)
    assert gone(int((tmp_path / "out" / "pids").read_text()))


def test_what_an_earlier_run_wrote_is_no_result(run, written):
    assert run(claim("same", "good")) == 0
    assert run(claim("same", "crashed")) == 1
    assert states(written()) == {"same": "not run"}
    assert "RuntimeError: out of luck" in written()["results"][0]["why"]


def test_it_is_told_what_a_scorecard_ran_on(monkeypatch):
    found = machine.machine()
    assert int(found["cores"]) > 0
    assert found["memory"].endswith(" GiB")
    assert machine.line(found).startswith(f"{found['cores']} cores, {found['model']}")
    assert "load" not in machine.line(found)
    monkeypatch.setattr(machine, "_PACKAGES", ("pytest", "no-such-package"))
    monkeypatch.setattr(machine, "_PROGRAMS", ((sys.executable, "-V"), ("no-such-program", "-v")))
    told = machine.versions()
    assert told[sys.executable] == told["python"] == platform.python_version()
    assert told["pytest"] == pytest.__version__
    assert told["no-such-package"] == told["no-such-program"] == "not installed"
    assert told["guard"]


def test_names_of_no_claim_are_refused(run, capsys):
    assert run(GOOD, more=["--only", "good,bad"]) == 2
    assert "no such claim: bad" in capsys.readouterr().err


def test_the_claims_are_listed_without_being_run(run, capsys, tmp_path):
    assert run(GOOD, LONG, more=["--list"]) == 0
    assert capsys.readouterr().out.split("\n")[3:6] == [
        "long", "  long:  python -m tests.stress.fake_scenario good", "  short: none",
    ]  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_the_readme_is_made_from_what_is_kept(run, tmp_path, monkeypatch, capsys):
    page = tmp_path / "README.md"
    page.write_text(f"{readme.BEGIN}\n{readme.END}\n")
    monkeypatch.setattr(scorecard, "README", page)
    assert run(GOOD, more=["--accept"]) == 0
    assert run(GOOD, more=["--readme", "--check"]) == 1
    assert "stale" in capsys.readouterr().err
    assert run(GOOD, more=["--readme"]) == 0
    assert "short, 2026-01-02: met; tail 7 ms" in page.read_text()
    assert run(GOOD, more=["--readme", "--check"]) == 0
    assert run(KEPT, more=["--readme", "--check"]) == 1
    assert "no claim is called good" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["hangs", "clings"])
def test_a_command_that_does_not_end_is_ended_with_all_that_it_started(how, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "_GRACE_S", PATIENCE_S if how == "hangs" else 0.2)
    # Long enough for it to have begun, even on a busy machine.
    limit_s = 2.0
    ended = running.run(command(how, limit_s=limit_s), Form.SHORT, tmp_path)
    assert ended.overdue
    assert ended.status is None
    assert ended.why == "not ended within 2 s"
    found = scorecard.judge(claim(how=how), Form.SHORT, ended, None)
    assert (found.state, found.verdicts) == (State.VOID, ())
    pids = tmp_path / "pids"
    assert not pids.exists() or gone(int(pids.read_text()))


def gone(pid):
    return not Path(f"/proc/{pid}").exists()


_CTRL_C = """
from scorecards import claim
from stress.__main__ import main
from stress.scorecard import command
command.CLAIMS = (claim("good"), claim("hangs", "hangs"), claim("last", "missed"))
raise SystemExit(main(["scorecard", "--out", {out!r}, "--kept", {out!r} + "/none.json"]))
"""


@pytest.mark.process
def test_ctrl_c_ends_the_command_and_writes_what_there_is(tmp_path, written):
    out = tmp_path / "out"
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests/stress")])
    process = subprocess.Popen(
        [sys.executable, "-c", _CTRL_C.format(out=str(out))],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
    )
    until_s, tick = monotonic() + PATIENCE_S, Event()
    pids = out / "hangs" / "pids"
    while not (pids.exists() and pids.read_text()) and monotonic() < until_s:
        assert process.poll() is None
        tick.wait(0.05)
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert states(written()) == {"good": "met", "hangs": "not run", "last": "not run"}
    assert b"2 not run, 1 met" in told
    assert gone(int(pids.read_text()))
    assert "interrupted" in (out / "scorecard.html").read_text()
