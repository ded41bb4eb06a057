"""The lab's scenarios: their descriptions, and one of them for real."""

from __future__ import annotations

import json
from argparse import Namespace
from queue import Empty
from typing import TYPE_CHECKING

import pytest

from stress import report
from stress.__main__ import main
from stress.arrivals import CREATE, INCIDENT, KINDS, LARGE, NO_TERM, SEARCH, TOO_LONG, length_s
from stress.lab import every
from stress.lab.command import listed
from stress.lab.course import Course, all_users, parts, whole
from stress.lab.description import Guard
from stress.lab.execution import ordered
from stress.options import parser
from stress.phases import Span
from stress.result import Run, Sample
from stress.scenario import BACKENDS
from stress.scenarios import NAMES, find
from stress.scenarios.museum_app import Pool
from stress.server import ServerError
from stress.verify import Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from stress.lab.description import Order, Scenario

NOTHING = Course(runs={}, parts={})
LOST, KEPT = Verdict(5, 1, 0, 0, 4), Verdict(5, 0, 0, 0, 5)


def judged(bar: str, *, met: bool, void: bool = False) -> report.Verdict:
    return report.Verdict(bar, "so", met, void)


USUAL = [name for name in NAMES if find(name).course is None]


@pytest.mark.parametrize("name", NAMES)
def test_a_description_is_whole(name: str) -> None:
    one = find(name)
    seconds = length_s(one.plan)

    assert one.name == name
    assert 0 < len(one.shows) <= 100
    assert "\n" not in one.shows
    assert one.environments
    assert set(one.environments) <= set(BACKENDS)
    assert set(one.plan) <= set(KINDS)
    assert all(length_s(plan) <= seconds for plan in one.clients.values())
    for span in one.phases.values():
        assert 0 <= span.from_s < span.to_s <= seconds
    for mishap in one.mishaps:
        assert mishap.at_s >= 0
        assert mishap.for_s > 0
        assert mishap.at_s + mishap.for_s < seconds, "there must be an after"
    texts = [bar.text for bar in one.bars]
    assert len(texts) == len(set(texts)) > 1
    assert any(bar.always for bar in one.bars), "an unguarded run is judged too"


def course(scenario: Scenario, sample: Sample, kept: Verdict, trouble: str = "") -> Course:
    """A course in which the same became of every request."""
    # Enough to have some of every kind in every part, and few enough for a test.
    scale = min(0.1, 2000 / sum(stage.arrivals for one in scenario.plan.values() for stage in one))
    samples = [
        Sample(
            user.request.kind, user.due_s, 0.0, sample.latency_s, user.request.expected,
            sample.status and user.request.expected, sample.right,
            failure=sample.failure, source=user.source,
        )
        for user in all_users(scenario, scale, 1)
    ]  # fmt: skip
    happened = [
        (one.name, Span(one.at_s * scale, (one.at_s + one.for_s) * scale))
        for one in scenario.mishaps
    ]
    run = Run(samples, len(samples), len(samples), length_s(scenario.plan, scale))
    return Course(
        runs={"all": run},
        parts=parts(scenario, run, happened, scale),
        outage=whole(happened),
        kept=kept,
        troubles=[trouble] if trouble else [],
    )


@pytest.mark.parametrize("name", USUAL)
def test_a_perfect_service_meets_every_bar_and_a_dead_one_none_of_what_it_serves(name: str) -> None:
    one = find(name)
    perfect = course(one, Sample("", 0.0, 0.0, 0.001, 0, 1, right=True), KEPT)
    dead = course(one, Sample("", 0.0, 0.0, 10.0, 0, 0, failure="time-out"), LOST, "Traceback")

    assert [bar.text for bar in one.bars if not bar.verdict(perfect).met] == []
    met = [bar.text for bar in one.bars if bar.verdict(dead).met]
    assert all("refus" in text or "sent on time" in text or "back" in text for text in met), met


@pytest.mark.parametrize("name", NAMES)
def test_what_did_not_happen_meets_no_bar(name: str) -> None:
    met = [bar.text for bar in find(name).bars if bar.verdict(NOTHING).met]
    assert {"no worker time-out, kill or traceback"} >= set(met)


@pytest.mark.parametrize(
    ("name", "seconds", "arrivals"),
    [
        ("incident", 70, {CREATE: 2480, SEARCH: 2185, NO_TERM: 1460}),
        ("museum", 70, {CREATE: 2480, SEARCH: 2185, NO_TERM: 1460}),
        ("full-load", 675, {CREATE: 150_695, SEARCH: 303_150, NO_TERM: 61_260}),
        ("benchmark", 205, {CREATE: 54_635, SEARCH: 9_590, NO_TERM: 4_190}),
    ],
)
def test_the_load_tests_of_then_have_exactly_their_arrivals(
    name: str, seconds: float, arrivals: dict[str, float]
) -> None:
    plan = find(name).plan

    assert length_s(plan) == seconds
    found = {kind: sum(stage.arrivals for stage in stages) for kind, stages in plan.items()}
    assert found == arrivals


def test_clients_with_an_address_of_their_own_are_merged_by_due_time() -> None:
    flood = find("flood")
    users = all_users(flood, 0.2, 1)
    own = [user for user in users if user.source]

    assert [user.due_s for user in users] == sorted(user.due_s for user in users)
    assert {user.source for user in own} == {"127.0.1.1"}
    assert len(own) == pytest.approx(1000, abs=3)
    assert len(users) - len(own) == pytest.approx(260, abs=3)
    assert users == all_users(flood, 0.2, 1)


def test_the_museums_pool_comes_up_empty(tmp_path: Path) -> None:
    pool = Pool(str(tmp_path / "warriors.duckdb"), 0.01, connections=2)
    with pytest.raises(Empty), pool.connection():
        pass


def test_the_list_names_every_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scenario", "--list"]) == 0
    assert capsys.readouterr().out.splitlines() == listed()
    assert [line.split()[0] for line in listed()] == list(NAMES)


def test_what_is_not_said_is_the_scenarios_own() -> None:
    options = parser().parse_args(["scenario", "full-load"])
    order = ordered(find("full-load"), options)
    assert (order.backend, order.guard, order.time_scale) == ("duckdb", Guard.ON, 0.08)
    chosen = "scenario full-load --backend postgres --guard shadow --time-scale 0.5 --seed 7"
    order = ordered(find("full-load"), parser().parse_args(chosen.split()))
    assert order == ("postgres", Guard.SHADOW, 0.5, 7)
    assert order.guard.mode == "shadow"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("", "the scenarios are all, incident, "),
        ("nonsense", "--list tells"),
        ("lock-convoy --backend duckdb", "lock-convoy runs on postgres only"),
        ("museum --guard on", "museum runs with the guard off only"),
    ],
)
def test_what_there_is_not(
    arguments: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["scenario", *arguments.split()]) == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.process
def test_a_scenario_for_real(tmp_path: Path) -> None:
    arguments = f"scenario large-bodies --backend duckdb --time-scale 0.06 --out {tmp_path}"
    status = main(arguments.split())

    told = json.loads((tmp_path / "scenario-large-bodies-duckdb.json").read_text())
    assert status == int(not told["met"])
    assert len(told["verdicts"]) == len(find("large-bodies").bars)
    # How much is right and in time is a matter of the machine; that nothing is lost is not.
    kept = next(one for one in told["verdicts"] if "kill -9" in one["bar"])
    assert kept["met"], kept
    assert "admitted" in told["facts"]["the guard's decisions"]
    assert list(told["summaries"]) == ["all", "before", "during", "after"]
    total = told["summaries"]["all"]["total"]
    assert total["sent"] == total["answered"] + total["shed"] + total["failed"] > 120
    kinds = told["summaries"]["during"]["kinds"]
    assert kinds[TOO_LONG]["statuses"] == {"413": kinds[TOO_LONG]["answered"]}
    assert set(told["summaries"]["before"]["kinds"]).isdisjoint({LARGE, TOO_LONG})
    assert "<svg" in (tmp_path / "scenario-large-bodies-duckdb.html").read_text()


def test_the_museum_has_the_incidents_own_load() -> None:
    assert find("museum").plan == INCIDENT


def asked(**changes: object) -> Namespace:
    options = parser().parse_args(["scenario", "all"])
    return Namespace(**{**vars(options), **changes})


def test_a_round_has_each_scenario_on_each_of_its_databases_once() -> None:
    pairs = [(one.name, order.backend) for one, order in every.planned(asked())]

    assert pairs == [(name, backend) for name in NAMES for backend in find(name).environments]
    on_duckdb = {one.name for one, _ in every.planned(asked(backend="duckdb"))}
    assert on_duckdb == {name for name in NAMES if "duckdb" in find(name).environments}


def test_a_round_with_a_guard_leaves_out_what_does_not_run_with_it() -> None:
    orders = list(every.planned(asked(guard="on")))

    assert "museum" not in {one.name for one, _ in orders}
    assert {order.guard for _, order in orders} == {Guard.ON}


def test_a_rounds_time_scale_is_times_each_scenarios_own() -> None:
    scales = {one.name: order.time_scale for one, order in every.planned(asked(time_scale=0.5))}
    assert scales["spike"] == 0.5
    assert scales["full-load"] == find("full-load").time_scale / 2


@pytest.mark.parametrize(
    ("verdicts", "reached"),
    [
        ([judged("a", met=True), judged("b", met=True)], "all 2 bars"),
        ([judged("a", met=True), judged("b", met=False)], "missed: b: so"),
        ([judged("a", met=False, void=True), judged("b", met=False)], "void: a: so; missed: b: so"),
    ],
)
def test_a_line_of_a_round(verdicts: list[report.Verdict], reached: str) -> None:
    told = report.Report("", verdicts=verdicts)
    assert every.summed_up("spike", told) == report.Verdict("spike", reached, told.met)


def test_a_scenario_that_cannot_be_run_is_missed_and_the_round_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unable(scenario: Scenario, order: Order) -> tuple[report.Report, Course]:
        if scenario.name == "step":
            raise KeyboardInterrupt
        if scenario.name == "spike":
            raise ServerError("there is no PostgreSQL")
        good = report.Report("", verdicts=[report.Verdict(order.backend, "so", met=True)])
        return good, course(find("spike"), Sample("", 0.0, 0.0, 0.001, 0, 1, right=True), KEPT)

    monkeypatch.setattr(every, "carry_out", unable)
    assert main(["scenario", "all", "--backend", "postgres", "--out", str(tmp_path)]) == 1

    told = json.loads((tmp_path / "scenarios-on.json").read_text())
    assert [(one["bar"], one["met"]) for one in told["verdicts"]] == [
        ("incident on postgres", True),
        ("full-load on postgres", True),
        ("benchmark on postgres", True),
        ("spike on postgres", False),
        ("the round ran to its end", False),
    ]
    assert told["verdicts"][3]["reached"] == "could not be run: there is no PostgreSQL"
    assert "100.0% right" in told["facts"]["incident on postgres, each run"]
    assert (tmp_path / "scenario-incident-postgres.html").exists()
    assert "MISS  spike on postgres" in capsys.readouterr().out
