"""The admin listener through kills and a reload, in short."""

from __future__ import annotations

import pytest

from stress.scrapes import WORKERS, Scrape, measure, verdicts


@pytest.mark.process
def test_no_scrape_fails_while_workers_are_killed_and_reloaded() -> None:
    found, killed, seen = measure(200, 2, 6.0)
    assert [one.failure for one in found if one.failure] == []
    assert len(found) == 200
    assert killed == 2
    # The first ones, one for each that was killed, and those of the reload.
    assert seen >= WORKERS + 2


@pytest.mark.parametrize(
    ("took_s", "failure", "killed", "expected"),
    [
        (0.01, "", 12, [True, True, True]),
        (0.11, "", 12, [True, False, True]),
        (0.01, "refused", 12, [False, True, True]),
        (0.01, "", 11, [True, True, False]),
    ],
)
def test_the_bars(took_s: float, failure: str, killed: int, expected: list[bool]) -> None:
    found = [Scrape("/", took_s, failure)] * 100
    assert [one.met for one in verdicts(found, killed, 12)] == expected
    assert not verdicts([], 0, 12)[0].met
