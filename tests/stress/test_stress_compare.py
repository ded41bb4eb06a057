from __future__ import annotations

import json
import math
import random
import socket
from argparse import Namespace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from programs import program

from stress.compare import command, grid, scenarios, slow_close
from stress.compare.cell import KEPT, NEW, Cell, cell, poisson, request
from stress.compare.peers import Proxy, RunningProxy, nginx
from stress.compare.scenarios import SCENARIOS, Scenario, decisions
from stress.compare.table import Cells, plots, verdicts
from stress.compare.variants import GUARD, VARIANTS, Variant
from stress.response import Response
from stress.result import percentiles
from stress.server import ServerError
from stress.shots import Outcome, Shot, Target, Volley

if TYPE_CHECKING:
    from pathlib import Path

_OK = Response(200, b"", b"", reusable=True)
_SHED = Response(503, b"", b"", reusable=True)
_ERROR = Response(500, b"", b"", reusable=True)


def _outcome(response: Response | None, latency_s: float = 0.02, **more: object) -> Outcome:
    failure = "" if response else "time-out"
    return Outcome(Shot(0.0, b""), 0.0, latency_s, response, failure)._replace(**more)


def _volley(*outcomes: Outcome, sent: int | None = None) -> Volley:
    return Volley(list(outcomes), len(outcomes) if sent is None else sent, 1, 0.5, 2.0, False)  # noqa: FBT003 - a tuple's field


def _cell(name: str, load: float, goodput: float, connections: str = NEW, **more: object) -> Cell:
    values = {
        "offered_per_s": load * 400,
        "goodput_per_s": goodput,
        "admitted": percentiles([0.02] * 100),
        "shed": percentiles([0.001] * 10),
        "failed": 0,
        "cpu_s": 1.0,
        "lag_p99_ms": 0.1,
        "generator_cores": 0.1,
        "void": "",
    }
    return Cell(name, connections, load, **{**values, **more})  # type: ignore[arg-type]


def test_a_cell_counts_each_request_once() -> None:
    outcomes = [
        _outcome(_OK),
        _outcome(_OK, 1.5),
        _outcome(_SHED),
        _outcome(_ERROR),
        _outcome(None),
    ]
    found = cell(("guard", NEW, 2.0), _volley(*outcomes), 2.0, 0.4)

    assert (found.admitted.count, found.shed.count, found.failed) == (2, 1, 2)
    assert found.offered_per_s == 2.5
    assert found.goodput_per_s == 0.5, "an answer after a second is of no use"
    assert found.generator_cores == 0.25
    assert not found.void


def test_goodput_does_not_profit_from_answers_after_the_schedule() -> None:
    late = _outcome(_OK, 1.0)._replace(shot=Shot(1.0, b""))

    assert cell(("guard", NEW, 2.0), _volley(*[late] * 10), 1.0, 0.0).goodput_per_s == 5


@pytest.mark.parametrize(
    ("volley", "why"),
    [
        (_volley(_outcome(_OK, lag_s=0.021)), "late"),
        (_volley(_outcome(None, failure="EADDRNOTAVAIL")), "own limits: EADDRNOTAVAIL"),
        (_volley(_outcome(_OK), sent=2), "2 requests were sent, 1 ended"),
        (_volley(), "0 requests"),
    ],
)
def test_a_cell_that_says_nothing_is_void(volley: Volley, why: str) -> None:
    assert why in cell(("guard", NEW, 2.0), volley, 1.0, 0.0).void


def test_a_refusals_cost_is_what_more_of_them_take() -> None:
    unloaded = _cell(GUARD, 0.5, 200, cpu_s=0.1, shed=percentiles([]))
    loaded = _cell(GUARD, 2.0, 400)
    more = _cell(
        GUARD, 5.0, 400, cpu_s=1.2, admitted=percentiles([0.02] * 110),
        shed=percentiles([0.001] * 110),
    )  # fmt: skip
    cells = Cells([unloaded, loaded, more])

    assert cells.cpu_per_refusal_us(more) == pytest.approx((0.2 - 10 * 0.001) / 100 * 1e6)
    assert math.isnan(cells.cpu_per_refusal_us(loaded))
    assert math.isnan(loaded.cpu_per_refusal_us(loaded, unloaded))


def test_arrivals_are_repeatable_and_independent_of_each_other() -> None:
    found = poisson(1000.0, 2.0, random.Random(1), Shot(0.0, b"x", "what", "127.0.0.9"))

    assert found == poisson(1000.0, 2.0, random.Random(1), Shot(0.0, b"x", "what", "127.0.0.9"))
    assert 1800 < len(found) < 2200
    assert [shot.due_s for shot in found] == sorted(shot.due_s for shot in found)
    assert {shot._replace(due_s=0.0) for shot in found} == {Shot(0.0, b"x", "what", "127.0.0.9")}
    gaps = [late.due_s - early.due_s for early, late in pairwise(found)]
    assert sum(gap > 0.001 for gap in gaps) / len(gaps) == pytest.approx(math.exp(-1), abs=0.05)


def test_a_requests_bytes() -> None:
    assert request([("X-A", "b")]) == b"GET /found HTTP/1.1\r\nHost: service\r\nX-A: b\r\n\r\n"


def _grid(guard: float, proxy: float) -> Cells:
    return Cells(
        [
            _cell(name, load, rate, connections)
            for connections in (NEW, KEPT)
            for load in (0.5, 1.0, 2.0, 5.0)
            for name, rate in (("unguarded", 0), (GUARD, guard), ("nginx", proxy))
        ]
    )


def test_the_bars_hold_where_the_guard_keeps_the_capacity() -> None:
    assert all(one.met for one in verdicts(_grid(390, 390)))
    behind = [one.bar for one in verdicts(_grid(390, 391)) if not one.met]
    assert behind
    assert all("proxies" in bar for bar in behind)
    assert "goodput >= 95%" in str([one.bar for one in verdicts(_grid(379, 300)) if not one.met])


def test_slow_refusals_long_waits_and_void_cells_are_missed() -> None:
    cells = [
        _cell(GUARD, 0.5, 200),
        _cell(GUARD, 1.0, 390, void="late"),
        _cell(GUARD, 2.0, 390, admitted=percentiles([0.06] * 100), shed=percentiles([0.03])),
    ]
    missed = [one.bar for one in verdicts(Cells(cells)) if not one.met]

    assert [bar.partition(":")[2].split()[0] for bar in missed] == [
        "measured", "admitted", "refusals",
    ]  # fmt: skip


def test_a_void_proxy_is_no_rival() -> None:
    cells = [_cell(GUARD, 2.0, 390), _cell("nginx", 2.0, 400, void="late")]

    assert all("proxies" not in one.bar for one in verdicts(Cells(cells)))


def test_the_table_has_a_line_for_each_cell_and_the_plots_are_drawn() -> None:
    cells = _grid(390, 380)
    lines = "\n".join(cells.lines())

    assert lines.count("guard ") == lines.count("nginx ") == 8
    assert "20.0/20.0" in lines
    assert plots(cells).startswith("<svg")


def test_decisions_are_summed_over_their_other_labels() -> None:
    text = (
        "# TYPE guard_admission_decisions_total counter\n"
        'guard_admission_decisions_total{decision="shed",reason="a b",lane="read"} 3\n'
        'guard_admission_decisions_total{lane="write",decision="shed"} 4.0\n'
        'guard_admission_decisions_total{decision="admitted"} 1e1\n'
        'guard_other_total{decision="shed"} 100\n'
    )

    assert decisions(text) == {"shed": 7.0, "admitted": 10.0}


def test_a_scenario_whose_setting_the_guard_lacks_is_not_run(tmp_path: Path) -> None:
    def never(*_: object) -> list[object]:
        raise AssertionError

    scenario = Scenario("one", {"GUARD_NO_SUCH_SETTING": "x"}, never)  # type: ignore[arg-type]

    assert scenario.missing() == ["GUARD_NO_SUCH_SETTING"]
    assert scenario.verdicts(1.0, 1, tmp_path) == []
    assert scenario.variant().environ["GUARD_NO_SUCH_SETTING"] == "x"  # type: ignore[index]


def _options(tmp_path: Path, variants: str) -> Namespace:
    return Namespace(variants=variants, seconds=0.2, short=True, seed=1, out=tmp_path / "out")


def test_a_proxy_that_is_not_installed_is_skipped_with_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = Variant("nginx-absent", "", proxy=Proxy("no-such-proxy", "", (), 1))
    monkeypatch.setattr(command, "VARIANTS", (absent,))
    monkeypatch.setattr(command, "SCENARIOS", ())
    monkeypatch.setattr(command, "slow_close", lambda *_: [])

    assert command.run(_options(tmp_path, "nginx-absent")) == 0
    assert "skipped nginx-absent: no-such-proxy is not installed" in capsys.readouterr().out
    with pytest.raises(ServerError, match="not installed"):
        RunningProxy(
            Proxy("no-such-proxy", "", (), 1), Target("127.0.0.1", 1), tmp_path
        ).__enter__()


@pytest.mark.process
def test_a_proxy_that_cannot_start_says_why(tmp_path: Path) -> None:
    program("nginx")
    broken = nginx(1)._replace(config="nonsense;")
    with pytest.raises(ServerError, match="nonsense"):
        RunningProxy(broken, Target("127.0.0.1", 1), tmp_path / "nginx").__enter__()


@pytest.mark.process
def test_variants_run_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nginx", "haproxy"):
        program(name)
    monkeypatch.setattr(grid, "CONNECTIONS", (KEPT,))
    names = (GUARD, "nginx", "haproxy-8", "haproxy-deny")
    variants = [one for one in VARIANTS if one.name in names]
    cells = list(grid.measure(variants, (0.5, 5.0), 0.3, 1, tmp_path))

    assert [(one.variant, one.load) for one in cells] == [
        *[(name, 0.5) for name in names],
        *[(name, 5.0) for name in reversed(names)],
    ]
    for one in cells:
        sent = one.admitted.count + one.shed.count + one.failed
        assert sent == round(one.offered_per_s * 0.3)
        assert one.admitted.count
        assert one.load < 1 or (one.shed.count and one.cpu_s > 0)


@pytest.mark.process
def test_the_command_writes_its_table_and_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "SHORT_S", 0.3)
    monkeypatch.setattr(command, "SCENARIOS", SCENARIOS[2:])  # the others have a test below
    monkeypatch.setattr(command, "slow_close", lambda *_: [])
    status = command.run(_options(tmp_path, GUARD))
    told = capsys.readouterr().out
    found = json.loads((tmp_path / "out" / "compare.json").read_text())

    assert status == (0 if found["met"] else 1)
    assert len(found["cells"]) == 6
    assert "shadow mode's share of refusals" in told
    assert "<svg" in (tmp_path / "out" / "compare.html").read_text()


@pytest.mark.process
@pytest.mark.parametrize("scenario", SCENARIOS[:2], ids=lambda scenario: scenario.name)
def test_a_scenario_runs_once_the_guard_takes_its_settings(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if scenario.missing():
        scenario = scenario._replace(settings={})
    monkeypatch.setattr(scenarios, "FLOOD", 2.0)
    monkeypatch.setattr(scenarios, "NORMAL_LOAD", 2.0)
    (bar,) = scenario.verdicts(0.3, 1, tmp_path)

    assert "in time" in bar.reached or "late" in bar.reached


@pytest.mark.process
def test_slow_closers_are_there_while_the_others_are_measured(tmp_path: Path) -> None:
    (bar,) = slow_close.verdicts(0.6, 1, tmp_path)

    assert "late" in bar.reached or ("unguarded" in bar.reached and "guard " in bar.reached)


def test_a_slow_closer_hears_the_answer_and_closes_late() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        with slow_close.lazy_clients(Target(*server.getsockname())):
            client, _ = server.accept()
            with client:
                client.settimeout(20)
                assert b"Connection: close" in client.recv(4096)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                client.shutdown(socket.SHUT_WR)
                assert client.recv(1) == b""
