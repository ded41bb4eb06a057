"""The switch interval's scenario, in its shortest form, and its arithmetic."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from stress.__main__ import main
from stress.gil import OURS_S, PYTHONS_S, Turn, _report, _tails
from stress.options import parser

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.process
def test_both_intervals_are_measured(tmp_path: Path) -> None:
    status = main(["gil", "--rounds", "1", "--seconds", "0.3", "--out", str(tmp_path)])
    told = json.loads((tmp_path / "gil.json").read_text())
    assert status == int(not told["met"])
    assert len(told["verdicts"]) == 2
    for name in ("5 ms", "0.5 ms"):
        assert told["facts"][f"{name}, trivial, requests/CPU s"][0] > 0
        assert told["facts"][f"{name}, computing, requests/CPU s"][0] > 0


def test_the_report_sets_one_interval_against_the_other() -> None:
    turns = {PYTHONS_S: [Turn(100.0, 10.0, [0.2, 0.4])], OURS_S: [Turn(80.0, 10.0, [0.01] * 9)]}
    told = _report(turns)
    assert [verdict.met for verdict in told.verdicts] == [False, True]
    assert told.facts["5 ms, refusals"] == [{"refusals": 2, "p50_ms": 300.0, "p99_ms": 398.0}]
    assert "p50   10.0 ms" in told.notes[1]


def test_latencies_of_nothing_are_left_out() -> None:
    assert _tails([]) == {"refusals": 0}


def test_the_scenario_has_its_defaults() -> None:
    assert parser().parse_args(["gil"]).rounds == 5
