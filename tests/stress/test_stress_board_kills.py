from __future__ import annotations

from typing import TYPE_CHECKING

from stress import board_kills
from stress.__main__ import main

if TYPE_CHECKING:
    import pytest


def test_forty_rounds_of_kills_leave_the_breakers_usable(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["board-kills", "--rounds", "40", "--seed", "3"]) == 0
    told = capsys.readouterr().out
    assert "pass" in told
    assert "80 kills" in told


def test_what_is_left_unusable_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object) -> None:
        raise board_kills.Unusable("round 1: it doesn't open")

    monkeypatch.setattr(board_kills, "_check", broken)
    assert main(["board-kills", "--rounds", "1"]) == 1
    assert "MISS" in capsys.readouterr().out
