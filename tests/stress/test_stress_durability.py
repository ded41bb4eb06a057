from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from stress.__main__ import main
from stress.durability import Tally, tally, verdicts
from stress.durability_units import NOTHING_KEPT, OK, UNKNOWN, Said

if TYPE_CHECKING:
    from pathlib import Path

SAID = (
    Said("row", "a", OK), Said("keyed", "b", OK), Said("raises", "c", NOTHING_KEPT),
    Said("twice", "d", NOTHING_KEPT), Said("unit", "e", UNKNOWN),
)  # fmt: skip


def test_what_was_told_and_what_is_there() -> None:
    found = Tally(acknowledged=2, failed=2)
    assert tally(SAID, ["a", "b"]) == found
    # Unknown may be there or not, and what nobody has heard of was still under way.
    assert tally(SAID, ["a", "b", "e", "x"]) == found._replace(unheard=1)


@pytest.mark.parametrize(
    ("stored", "wrong"),
    [
        (["a"], {"missing": 1}),
        (["a", "a", "b"], {"repeated": 1}),
        (["a", "b", "c"], {"kept": 1}),
    ],
)
def test_what_must_not_be(stored: list[str], wrong: dict[str, int]) -> None:
    assert tally(SAID, stored) == Tally(acknowledged=2, failed=2)._replace(**wrong)


def test_a_key_that_was_there_is_never_accepted() -> None:
    accepted = (*SAID, Said("twice", "f", OK))
    assert tally(accepted, ["a", "b"]).accepted == 1


def test_each_wrong_misses_its_bar() -> None:
    good = Tally(3, 50, failed=9, unheard=4, early=1)
    assert all(one.met for part in ("service", "units") for one in verdicts(part, good))
    for place, name in enumerate(("missing", "unopened", "repeated", "kept", "accepted")):
        bad = good._replace(**{name: 1})
        assert [at for at, one in enumerate(verdicts("units", bad)) if not one.met] == [place]
    assert not verdicts("service", Tally(3))[0].met, "nothing was acknowledged"
    assert Tally(1, 2).plus(Tally(1, 3, early=1)) == Tally(2, 5, early=1)


@pytest.mark.process
def test_writers_are_killed_and_nothing_is_lost(tmp_path: Path) -> None:
    status = main(["durability", "--part", "units", "--rounds", "1", "--out", str(tmp_path)])
    told = json.loads((tmp_path / "durability.json").read_text())
    bars = {bar["bar"].partition(": ")[2]: bar for bar in told["verdicts"]}
    # A slow machine may kill them before the first row; what must not be must not be anywhere.
    assert bars["no row twice, none altered"]["met"], told
    assert bars["no key accepted twice"]["met"], told
    assert "0 missing" in told["verdicts"][0]["reached"], told
    assert status == int(not told["met"])
