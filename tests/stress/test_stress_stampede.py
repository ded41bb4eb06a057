import json
from dataclasses import replace
from itertools import pairwise

import pytest

from stress import report, stampede
from stress.__main__ import main
from stress.options import parser
from stress.stampede_plan import BOOK, CONSTANT, POLICIES, REMAINING, Plan, Run, Try, figures
from stress.stampede_sim import simulate

# Half of the whole: the horizon is twice the outage here too.
SHORT = Plan(clients=300, outage_at_s=12.0, outage_s=15.0, length_s=60.0, retry_after_max_s=30)


@pytest.fixture(scope="module")
def runs():
    return {policy: simulate(SHORT, policy, 1) for policy in POLICIES}


def test_the_book_brings_the_clients_back_as_fast_as_they_can_be_served(runs):
    found = figures(runs[BOOK])
    assert found.peak_ratio <= stampede.PEAK_MOST
    assert found.met_served_ratio >= stampede.SERVED_LEAST
    assert found.waited_p50_s < 3 * SHORT.outage_s


def test_the_others_do_not(runs):
    assert figures(runs[CONSTANT]).met_served_ratio < 0.9
    remaining = figures(runs[REMAINING])
    assert remaining.peak_ratio > 3
    assert remaining.met_served_ratio < 0.5


def test_the_counters_tell_the_truth_about_kept_promises():
    # Longer than half the horizon, so that many are broken.
    found = figures(simulate(replace(SHORT, outage_s=25.0, length_s=80.0), BOOK, 1))
    assert 0.3 < found.kept_ratio < 0.95
    assert found.told_ratio == pytest.approx(found.kept_ratio, abs=0.03)


def test_the_same_seed_gives_the_same_run(runs):
    assert simulate(SHORT, BOOK, 1) == runs[BOOK]
    assert simulate(SHORT, BOOK, 2) != runs[BOOK]


def test_every_request_is_tried_until_it_is_served_or_has_no_try_left(runs):
    for one in runs.values():
        arrivals = SHORT.arrivals(1)
        tries: dict[int, list[Try]] = {}
        for each in sorted(one.tries, key=lambda found: found.number):
            tries.setdefault(each.request, []).append(each)
        assert sorted(tries) == list(range(len(arrivals)))
        for request, mine in tries.items():
            assert mine[0].at_s == pytest.approx(arrivals[request])
            assert [each.number for each in mine] == list(range(1, len(mine) + 1))
            assert not any(each.served for each in mine[:-1])
            last = mine[-1]
            assert last.served or last.number == SHORT.tries or not last.told_s
            for before, after in pairwise(mine):
                assert 0 < after.at_s - before.at_s - before.told_s < 0.02


def test_figures_of_a_run_by_hand():
    plan = Plan(outage_at_s=10.0, outage_s=10.0)
    tries = [
        Try(0, 1, 5.0, served=True),
        Try(1, 1, 12.0, served=False, told_s=9),
        Try(1, 2, 21.0, served=True),
        Try(2, 1, 13.0, served=False, told_s=8),
        Try(2, 2, 21.5, served=False, told_s=1),
        Try(2, 3, 22.5, served=False, told_s=1),
        Try(3, 1, 20.0, served=True),
    ]
    found = figures(Run(tries, 2.0, plan, due=8.0, kept=2.0))
    assert (found.requests, found.refused, found.met_outage, found.sent) == (4, 2, 2, 7)
    assert (found.met_served_ratio, found.served_ratio) == (0.5, 0.75)
    assert (found.peak_per_s, found.peak_ratio, found.first_per_s) == (2, 1.0, 1)
    assert (found.waited_p50_s, found.waited_max_s) == (9.0, 9.0)
    assert (found.kept_ratio, found.told_ratio) == (pytest.approx(1 / 3), 0.25)


def test_figures_of_nothing():
    found = figures(Run((), 2.0, Plan()))
    assert (found.served_ratio, found.peak_ratio, found.kept_ratio, found.told_ratio) == (0,) * 4


def test_the_bars_can_be_missed(runs):
    met = [verdict.met for verdict in stampede.verdicts(figures(runs[REMAINING]))]
    assert met == [True, False, False]
    assert not stampede.verdicts(figures(runs[BOOK]), "late")[0].met


def test_the_report_has_a_line_and_a_plot_for_each_policy(runs):
    told = stampede.told_of(runs, {CONSTANT: "late"}, "simulated, seed 1")
    text = told.text()
    assert all(f"\n{policy} " in text for policy in POLICIES)
    assert "void, constant: late" in text
    figures_there = json.loads(report.to_json(told))["facts"]["figures"]
    assert set(figures_there) == set(POLICIES)
    page = stampede.page(told, runs)
    assert page.count("<svg") == 1
    assert all(policy in page for policy in POLICIES)
    assert "<script" not in page


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        stampede, "simulate", lambda _plan, policy, seed: simulate(SHORT, policy, seed)
    )
    assert main(["stampede", "--out", str(tmp_path), "--seed", "3"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "stampede-simulated.json",
        "stampede-simulated.html",
    }
    assert "seed 3" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        parser().parse_args(["stampede", "--form", "imagined"])
