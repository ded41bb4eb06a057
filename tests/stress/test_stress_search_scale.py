"""``python -m stress search-scale`` with few warriors: what it tells, not how fast it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from stress import search_scale
from stress.__main__ import main
from stress.search_scale import MEDIAN_MS, Timed

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_each_kind_of_read_has_its_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_scale, "MEDIAN_MS", 1e9)
    arguments = "search-scale --backend duckdb --rows 200 --repeat 2 --out"
    assert main([*arguments.split(), str(tmp_path)]) == 0
    told = json.loads((tmp_path / "search-scale-duckdb.json").read_text())
    assert "200 warriors on duckdb" in told["title"]
    assert [bar["bar"].partition(":")[0] for bar in told["verdicts"]] == [
        "search, rare (nothing)",
        "search, rare, three letters",
        "search, common (a skill)",
        "search, a date",
        "search, two letters",
        "search, one character, nowhere",
        "look-up",
        "count",
    ]
    assert len(told["notes"]) == 9


def test_the_median_decides() -> None:
    assert Timed("look-up", 1, [1.0, 2.0, MEDIAN_MS * 9]).verdict().met
    slow = Timed("look-up", 1, [1.0, MEDIAN_MS, MEDIAN_MS]).verdict()
    assert not slow.met
    assert slow.line() == "MISS  look-up: median < 250 ms: 250.0 ms"
