import json

import pytest

from stress.__main__ import main
from stress.adaptive import gain
from stress.adaptive_cases import CASES
from stress.adaptive_sim import simulate

BY_NAME = {case.name: case._replace(length_s=40.0) for case in CASES}


@pytest.mark.parametrize(("name", "least"), [("thrashing", 0.5), ("steady", -0.08)])
def test_it_helps_where_fewer_serve_more_and_costs_little_elsewhere(name, least):
    off, on = (simulate(BY_NAME[name], on=on, seed=1) for on in (False, True))
    assert gain(off, on) >= least


def test_several_workers_find_nothing_each_seeing_its_own_share():
    assert simulate(BY_NAME["4 workers"], on=True, seed=1).limits == [8] * 4


def test_the_same_seed_gives_the_same_figures():
    case = BY_NAME["steady at half"]._replace(length_s=8.0)
    assert simulate(case, on=True, seed=3) == simulate(case, on=True, seed=3)


def test_the_command_prints_a_table_and_writes_json(tmp_path, monkeypatch, capsys):
    short = [case._replace(length_s=2.0) for case in CASES]
    monkeypatch.setattr("stress.adaptive.CASES", short)
    assert main(["adaptive", "--out", str(tmp_path)]) in {0, 1}
    printed = capsys.readouterr().out
    written = json.loads((tmp_path / "adaptive.json").read_text())
    assert written["cases"].keys() == {case.name for case in CASES}
    assert all(case.name in printed for case in CASES)
