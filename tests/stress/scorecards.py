"""Claims and results for the scorecard's tests."""

from __future__ import annotations

from stress.report import Verdict
from stress.scorecard.model import Claim, Command, Form, Provenance, Result, State

ORIGIN = Provenance("2026-01-02", "abc123", "2 cores")
FAST = Verdict("p99 < 20 ms", "7 ms", met=True)
SLOW = Verdict("p99 < 20 ms", "90 ms", met=False)
WHOLE = Verdict("every answer right", "5 of 5", met=True)


def command(how: str, **more: object) -> Command:
    text = f"tests.stress.fake_scenario {how}"
    return Command(text, text, **more)  # type: ignore[arg-type]


def claim(name: str = "speed", how: str = "good", **more: object) -> Claim:
    values = {"text": "it is fast", "bar": "p99 < 20 ms", "command": command(how)}
    return Claim(name, **{**values, **more})  # type: ignore[arg-type]


def result(*verdicts: Verdict, **more: object) -> Result:
    met = all(one.met for one in verdicts)
    values = {
        "claim": "speed",
        "form": Form.SHORT,
        "command": command("good").short,
        "state": State.MET if met else State.MISSED,
        "origin": ORIGIN,
        "verdicts": verdicts,
    }
    return Result(**{**values, **more})  # type: ignore[arg-type]
