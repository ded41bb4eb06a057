from __future__ import annotations

import pytest

from stress import scrape
from stress.scrape import Counts, Scrape
from stress.server import ServerError
from stress.shots import Target

TEXT = """\
# HELP guard_admission_decisions_total Requests by what was decided.
# TYPE guard_admission_decisions_total counter
guard_admission_decisions_total{decision="admitted",reason="ok",lane="read"} 7.0
guard_admission_decisions_total{decision="bypassed",reason="exempt",lane="read"} 1.0
guard_admission_decisions_total{decision="shed",reason="breaker_open",lane="read"} 3.0
guard_admission_decisions_total{decision="shed",reason="breaker_open",lane="write"} 2.0
guard_http_responses_total{method="GET",route="/a \\"b\\"",code="200"} 1.3e+01
guard_inflight_requests{lane="read"} 1.0
guard_inflight_requests{lane="write"} 0.0
guard_workers 4.0
guard_workers_ready 3.0
"""


def test_a_scrape_is_summed_by_labels() -> None:
    found = Scrape(TEXT)
    assert found.counts == (13, 5, 13)
    assert found.total("guard_admission_decisions_total", reason="breaker_open") == 5
    assert found.total("no_such_metric") == 0
    assert found.by("guard_admission_decisions_total", "reason") == {
        "breaker_open": 5, "exempt": 1, "ok": 7,
    }  # fmt: skip
    assert Counts(9, 4, 9).since(Counts(2, 1, 3)) == (7, 3, 6)


@pytest.mark.parametrize(
    ("old", "new", "workers"),
    [
        ("", "", 4),
        ("ready 3.0", "ready 4.0", 4),
        ('"read"} 1.0\nguard_in', '"read"} 0.0\nguard_in', 4),
        ("ready 3.0", "ready 4.0", 5),
    ],
)
def test_what_keeps_a_service_from_rest(old: str, new: str, workers: int) -> None:
    assert Scrape(TEXT.replace(old, new)).why_not_calm(workers)


def test_a_service_at_rest() -> None:
    rest = TEXT.replace("ready 3.0", "ready 4.0").replace('s{lane="read"} 1.0', 's{lane="read"} 0')
    assert Scrape(rest).why_not_calm(4) == ""


NOWHERE = Target("127.0.0.1", 1)


def test_rest_is_waited_for_and_its_absence_told(monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'guard_workers 1.0\nguard_workers_ready {}\nguard_http_responses_total{{code="1"}} {}\n'
    told = iter([(0.0, 1.0), (1.0, 1.0), (1.0, 2.0), *[(1.0, 3.0)] * 9])
    monkeypatch.setattr(scrape, "scrape", lambda _: Scrape(text.format(*next(told))))
    monkeypatch.setattr(scrape, "_LOOK_S", 0.001)

    assert scrape.calm_counts(NOWHERE, 1).responses == 3
    monkeypatch.setattr(scrape, "scrape", lambda _: Scrape(text.format(0.0, 1.0)))
    monkeypatch.setattr(scrape, "_CALM_S", 0.01)
    with pytest.raises(ServerError, match="1 workers, 0 ready, 0 requests in flight"):
        scrape.calm_counts(NOWHERE, 1)
