"""Short forms of the drills: what must hold in them whatever the machine's speed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from stress.__main__ import main
from stress.options import parser

if TYPE_CHECKING:
    from pathlib import Path

    from service.demo_postgres import DemoServer

PROMISES, LOG = 4, 5


@pytest.mark.process
@pytest.mark.postgres
def test_an_outage_of_one_lane(tmp_path: Path, postgres_server: DemoServer) -> None:
    assert postgres_server.pid, "there is a server, or the test is skipped"
    arguments = (
        f"outage --backend postgres --fault reset --lane read --rate 40 --workers 1 "
        f"--before-s 1 --outage-s 2 --after-s 2 --out {tmp_path}"
    )
    status = main(arguments.split())
    told = json.loads((tmp_path / "outage-reset-read.json").read_text())
    bars = told["verdicts"]
    assert len(bars) == 7
    # How soon, and whether the generator was on time, is a matter of the machine.
    assert bars[PROMISES]["met"], bars
    assert bars[LOG]["met"], bars
    for phase in told["summaries"].values():
        total = phase["total"]
        assert total["sent"] == total["answered"] + total["shed"] + total["failed"] > 0
    assert status == int(not told["met"])
    outage = told["summaries"]["outage"]["kinds"]
    assert outage["search"]["right"] < outage["search"]["sent"]
    # The other lane did not notice.
    assert outage["create"]["right"] == outage["create"]["sent"] > 0
    assert "<svg" in (tmp_path / "outage-reset-read.html").read_text()


@pytest.mark.process
@pytest.mark.postgres
def test_chaos_adds_up(tmp_path: Path, postgres_server: DemoServer) -> None:
    assert postgres_server.pid, "there is a server, or the test is skipped"
    arguments = "chaos --backend postgres --minutes 0.08 --rate 40 --workers 2 --seed 4 --out"
    main([*arguments.split(), str(tmp_path)])
    told: dict[str, Any] = json.loads((tmp_path / "chaos-postgres.json").read_text())
    kept = [bar for bar in told["verdicts"] if "right and in time" not in bar["bar"]]
    assert all(bar["met"] for bar in kept), kept
    assert told["facts"], "something was done"


def test_the_drills_have_their_defaults() -> None:
    outage = parser().parse_args(["outage", "--backend", "postgres", "--fault", "stop"])
    assert (outage.rate, outage.workers, outage.outage_s, outage.lane) == (200.0, 4, 10.0, "all")
    assert parser().parse_args(["chaos", "--backend", "duckdb"]).minutes == 20.0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("outage --backend duckdb --fault stop", "only PostgreSQL"),
        ("outage --backend postgres --fault stop --lane read", "needs a fault of the network"),
    ],
)
def test_what_can_not_be_drilled(
    arguments: str, complaint: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main([*arguments.split(), "--out", str(tmp_path)]) == 2
    assert complaint in capsys.readouterr().err
