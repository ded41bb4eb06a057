from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from stress import mutation_score
from stress.__main__ import main
from stress.mutation_score import reported, statuses

if TYPE_CHECKING:
    from pathlib import Path

RESULTS = """
    guard.core.latch.x_observe__mutmut_1: killed
    guard.core.latch.x_observe__mutmut_2: timeout
    guard.core.codel.x_observe__mutmut_1: {}
"""


def met(text: str, stale: str = "") -> list[bool]:
    return [verdict.met for verdict in reported(statuses(text), stale).verdicts]


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ("killed", [True, True]),
        ("survived", [True, False]),
        ("no tests", [True, False]),
        ("segfault", [True, False]),
        ("not checked", [False, False]),
    ],
)
def test_a_mutant_is_caught_or_the_score_is_less(last: str, expected: list[bool]) -> None:
    assert met(RESULTS.format(last)) == expected


def test_nine_of_ten_are_enough() -> None:
    lines = [f"guard.core.latch.x__mutmut_{number}: killed" for number in range(9)]
    assert met("\n".join([*lines, "guard.core.latch.x__mutmut_9: survived"])) == [True, True]


def test_no_results_and_old_ones_say_nothing() -> None:
    assert met("") == [False, False]
    assert met(RESULTS.format("killed"), "guard/core/latch.py") == [False, True]
    with pytest.raises(ValueError, match="no mutant's line"):
        statuses("Traceback")


def test_the_survivors_are_named_and_counted_by_module() -> None:
    told = reported(statuses(RESULTS.format("survived")))
    assert told.facts == {
        "guard.core.codel": "0 of 1 caught",
        "guard.core.latch": "2 of 2 caught",
        "of these caught by the time that they took": 1,
    }
    assert told.notes == ["survived: guard.core.codel.x_observe__mutmut_1"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose results are from one moment, with a mutmut that always says the same."""
    monkeypatch.setattr(mutation_score, "ROOT", tmp_path)
    monkeypatch.setattr(
        mutation_score, "_mutmut", lambda *_arguments, **_more: RESULTS.format("killed")
    )
    for name in ("mutants/mutmut-stats.json", "guard/core/latch.py", "tests/core/test_latch.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1000, 1000))
    return tmp_path


def test_the_report_is_written_for_a_scorecard(project: Path) -> None:
    arguments = ["mutation-score", "--out", str(project / "out")]
    assert main(arguments) == 0
    document = json.loads((project / "out" / "mutation-score.json").read_text())
    assert document["met"] is True
    assert [verdict["reached"] for verdict in document["verdicts"]] == ["3 of 3", "100.0%, 3 of 3"]
    os.utime(project / "tests/core/test_latch.py", (1001, 1001))
    assert main(arguments) == 1


def test_without_results_it_says_how_to_get_them(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "mutants/mutmut-stats.json").unlink()
    assert main(["mutation-score", "--out", str(project)]) == 2
    assert "make mutation" in capsys.readouterr().err
