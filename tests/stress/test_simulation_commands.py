"""The commands: their tables, their bars, what they write."""

import json
import random
from dataclasses import replace

import pytest

from stress import other_work
from stress.__main__ import main
from stress.compare.app import CAPACITY_PER_S
from stress.compare.cell import KEPT, Cell, poisson
from stress.compare.variants import GUARD
from stress.options import parser
from stress.result import percentiles
from stress.simulation import check, comparison, fleet, telling, worst
from stress.simulation.cases import LENGTH_S, case
from stress.simulation.figures import possible, simulate
from stress.simulation.policies import POLICIES
from stress.simulation.situation import SITUATIONS


def written(folder, name):
    assert "<svg" in (folder / f"{name}.html").read_text()
    return json.loads((folder / f"{name}.json").read_text())


def test_policies_are_compared_in_a_table_and_the_guard_has_bars(tmp_path, monkeypatch, capsys):
    short = [replace(one, length_s=1.5) for one in SITUATIONS if one.name in {"1x", "5x"}]
    monkeypatch.setattr(comparison, "SITUATIONS", short)
    status = main(
        ["simulate", "policies", "--policies", "none", "guard", "--situations", "5", "--seed", "4",
         "--out", str(tmp_path)]
    )  # fmt: skip
    told = written(tmp_path, "simulate-policies")
    assert {(one["situation"], one["policy"]) for one in told["facts"]["runs"]} == {
        ("5x", "none"),
        ("5x", "guard"),
    }
    assert len(told["verdicts"]) == 2
    assert told["facts"]["seed"] == 4
    assert status == (0 if told["met"] else 1)
    assert "tries/s" in capsys.readouterr().out


def test_a_bar_can_be_missed_and_a_lost_try_is_told():
    situation = replace(SITUATIONS[1], length_s=1.0)
    found, _ = simulate(situation, GUARD, POLICIES["none"], 1)
    assert not comparison.verdicts([replace(found, good=1)])[0].met
    assert telling.conserved([found]).met
    assert not telling.conserved([replace(found, waiting=1)]).met


def test_a_fleet_tells_how_its_hosts_differ(tmp_path, capsys):
    main(["simulate", "fleet", "--hosts", "2", "--seconds", "0.3", "--out", str(tmp_path)])
    told = written(tmp_path, "simulate-fleet")
    names = [one["situation"] for one in told["facts"]["runs"]]
    assert len(names) == len(set(names)) == len(list(fleet.situations(2, 0.3)))
    assert "busiest host" in capsys.readouterr().out
    assert [one["met"] for one in told["verdicts"] if "sent = " in one["bar"]] == [True]


def test_hosts_are_told_apart_and_the_slow_one_refuses_more():
    slow = next(one for one in fleet.situations(5, 1.0) if one.slow_hosts)
    found, world = simulate(slow, GUARD, POLICIES[GUARD], 1)
    row = fleet.row(found, world)
    assert row.shed_most > 0.5
    assert row.shed_least < 0.1
    assert 1.0 <= row.busiest < 1.3
    assert row.peak == 0


def test_a_case_is_its_seed(tmp_path, capsys):
    assert main(
        ["simulate", "worst", "--cases", "2", "--seed", "29", "--score", "lost", "--sized",
         "--out", str(tmp_path)]
    ) == 0  # fmt: skip
    told = written(tmp_path, "simulate-worst-lost-sized")
    first = told["facts"]["runs"][0]
    printed = capsys.readouterr().out
    assert f"--sized --cases 1 --seed {first['seed']}" in printed
    again = worst.trial(first["seed"], "lost", sized=True)
    assert again.ours.digest == first["digest"]
    assert case(first["seed"], sized=True).name == first["situation"]


def test_the_worst_comes_first_and_a_score_is_reckoned_as_it_says():
    tried = [worst.trial(seed, "regret") for seed in (29, 30)]
    ranked = worst.worst_first(tried)
    assert ranked[0].score >= ranked[1].score
    best = max(one.good_share for one in ranked[0].others)
    assert ranked[0].score == pytest.approx(best - ranked[0].ours.good_share)
    assert worst.trial(29, "late").score == tried[0].ours.failed_share
    assert worst.again(tried[0]).met
    other = replace(tried[0].ours, digest="another")
    assert not worst.again(replace(tried[0], ours=other)).met


def test_cases_are_all_different_and_none_is_beyond_its_size():
    cases = [case(seed) for seed in range(300)]
    assert len({one.name for one in cases}) == 300
    for one in cases:
        assert 0 < possible(one) <= one.capacity_per_s * LENGTH_S * 1.000001
        assert one.pool + one.waiters < one.threads
        assert sum(kind.share for kind in one.kinds) == 1.0
    for seed, one in enumerate(cases):
        sized = case(seed, sized=True)
        assert sized.waiters >= max(one.waiters, 2 * one.burst)
        assert (sized.load, sized.service.spread) == (one.load, one.service.spread)


def made_up(**changes):
    fine = Cell(
        GUARD, KEPT, 2.0, offered_per_s=800, goodput_per_s=400, admitted=percentiles([0.06] * 100),
        shed=percentiles([0.0] * 100), failed=0, cpu_s=0, lag_p99_ms=0, generator_cores=0, void="",
    )  # fmt: skip
    return replace(fine, **changes)


@pytest.mark.parametrize(
    ("found", "met"),
    [
        ({}, [True, True, True]),
        ({"goodput_per_s": 345}, [True, True, True]),
        ({"goodput_per_s": 335}, [False, True, True]),
        ({"shed": percentiles([0.0] * 150)}, [True, False, True]),
        ({"admitted": percentiles([0.08] * 100)}, [True, True, False]),
        ({"void": "late"}, [False]),
        ({"variant": "unguarded", "load": 1.0}, [True, True]),
    ],
)
def test_what_was_found_is_held_against_what_was_foretold(found, met):
    assert [one.met for one in check.verdicts(made_up(**found), made_up())] == met


def test_other_work_is_what_all_processes_took_but_for_our_own(monkeypatch, tmp_path):
    stat = tmp_path / "stat"
    monkeypatch.setattr(other_work, "_STAT", stat)
    second = other_work.os.sysconf("SC_CLK_TCK")
    stat.write_text(f"cpu  {second} 0 {second} 900 50 9 9 0 7 7\ncpu0 1 2 3\n")
    assert other_work.busy_s(stat.read_text()) == 2.0
    own_s = [1.0]
    watch = other_work.OtherWork(lambda: own_s[0])
    own_s[0] = 1e6
    assert watch.cores() == 0.0
    own_s[0] = 1.0
    stat.write_text(f"cpu  {second * 10**9} 0 0 0 0 0 0 0\n")
    assert watch.cores() > 1000


def test_a_busy_machine_is_told():
    pairs = [check.Pair(made_up(), made_up(), cores) for cores in (0.1, 1.0)]
    assert "other processes" in check._distrust(pairs)[1]
    assert check._distrust(pairs[:1]) == []
    assert [check.row(pair)[-1] for pair in pairs] == ["0.1", "1.0"]


def test_a_share_of_next_to_nothing_may_differ():
    assert check.near(0.03, 0.012, check.SHARE_TOLERANCE)
    assert not check.near(0.05, 0.02, check.SHARE_TOLERANCE)


@pytest.mark.parametrize(("load", "shed", "p50_ms"), [(0.5, 0.0, 20.0), (2.0, 0.5, 68.0)])
def test_what_is_foretold_of_the_compared_service(load, shed, p50_ms):
    shots = poisson(load * CAPACITY_PER_S, 4.0, random.Random(1))
    found = check.foretold((GUARD, KEPT, load), shots, 4.0, 1)
    assert check.shares(found)[0] == pytest.approx(shed, abs=0.04)
    assert found.admitted.p50 == pytest.approx(p50_ms, rel=0.1)
    assert found.admitted.count + found.shed.count + found.failed == len(shots)


@pytest.mark.process
def test_both_serve_the_same_requests(tmp_path, monkeypatch):
    monkeypatch.setattr(check, "LOADS", (0.5,))
    monkeypatch.setattr(check, "SIMULATED", {GUARD: GUARD})
    main(["simulate", "check", "--seconds", "0.5", "--out", str(tmp_path)])
    told = written(tmp_path, "simulate-check")
    (pair,) = told["facts"]["cells"]
    assert pair["others_cores"] >= 0
    assert pair["found"]["offered_per_s"] == pair["foretold"]["offered_per_s"]
    assert len(told["verdicts"]) in {1, 3}


def test_what_cannot_be_meant_is_refused():
    for arguments in (["simulate"], ["simulate", "worst", "--cases", "0"]):
        with pytest.raises(SystemExit):
            parser().parse_args(arguments)
