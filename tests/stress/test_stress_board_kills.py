from __future__ import annotations

import json
from typing import TYPE_CHECKING

from stress import board_kills
from stress.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_rounds_of_kills_leave_the_breakers_usable(
    tmp_path: Path,
) -> None:
    assert main(["board-kills", "--rounds", "15", "--seed", "3", "--out", str(tmp_path)]) == 0
    (verdict,) = json.loads((tmp_path / "board-kills.json").read_text())["verdicts"]
    assert verdict["met"]
    assert verdict["bar"] == "usable after each of 30 kills"
    assert "30 kills" in verdict["reached"]


def test_what_is_left_unusable_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object) -> None:
        raise board_kills.Unusable("round 1: it doesn't open")

    monkeypatch.setattr(board_kills, "_check", broken)
    assert main(["board-kills", "--rounds", "1", "--out", str(tmp_path)]) == 1
    assert "MISS" in capsys.readouterr().out
