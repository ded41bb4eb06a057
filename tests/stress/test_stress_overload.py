from __future__ import annotations

from argparse import Namespace

import pytest

from stress.options import parser
from stress.overload import Findings, verdicts
from stress.result import Run, Sample, summarise


def _findings(latency_s: float, count: int) -> Findings:
    samples = [Sample("search", 0.0, 0.0, latency_s, 200, 200, right=True)] * count
    summary = summarise(Run(samples, count, count, 1.0))
    return Findings(80.0, 100.0, summaries={"guarded 2x": summary, "guarded 5x": summary})


def _met(findings: Findings) -> list[bool]:
    return [one.met for one in verdicts(findings)]


def test_the_bars_hold_with_the_capacity_kept() -> None:
    assert _met(_findings(0.4, 90)) == [True] * 7


def test_too_little_goodput_and_a_long_tail_are_missed() -> None:
    assert _met(_findings(0.4, 89)) == [True, True, False, True, True, False, True]
    assert _met(_findings(0.6, 90)) == [True, True, True, False, True, True, False]


def test_what_was_not_run_is_missed() -> None:
    assert _met(Findings()) == [False, False, False]
    interrupted = _findings(0.4, 90)
    interrupted.interrupted = True
    assert _met(interrupted) == [*[True] * 7, False]


def test_the_generators_own_limit_is_no_capacity() -> None:
    findings = _findings(0.4, 90)
    findings.void = "the generator was late"

    assert _met(findings) == [False, *[True] * 6]


def test_the_command_line_has_its_defaults() -> None:
    options = parser().parse_args(["overload", "--backend", "duckdb"])

    assert isinstance(options, Namespace)
    assert (options.rows, options.seconds, options.seed) == (100_000, 12.0, 1)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["incident"],
        ["incident", "--backend", "oracle"],
        ["incident", "--backend", "duckdb", "--time-scale", "0"],
        ["overload", "--backend", "duckdb", "--rows", "0"],
        ["group-commit", "--seconds", "inf"],
    ],
)
def test_a_wrong_command_line_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(arguments)

    assert ended.value.code == 2
    assert "usage: python -m stress" in capsys.readouterr().err
