"""Whether fewer connections than the pool has serve more: ``python -m stress adaptive``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from stress.adaptive_cases import CASES
from stress.adaptive_sim import simulate
from stress.report import Report, Verdict, page, strict_json

if TYPE_CHECKING:
    from argparse import Namespace

    from stress.adaptive_sim import Case, Figures

BARS: Final = {
    "look-ups": 0.2,
    "thrashing": 1.0,
    "steady": -0.03,
    "steady at half": -0.01,
    "core-bound": -0.03,
}
"""Least gain in a case: where fewer help, and where there is nothing to be found. The other cases
show what the search can't do."""

_HEAD: Final = (
    f"{'':<21}{'off /s':>8}{'on /s':>8}{'gain':>8}{'late':>8}{'p99 off':>10}{'p99 on':>10}  limit"
)


def run(options: Namespace) -> int:
    """Run all cases with and without, print and write the report; return 1 where one was missed.

    Args:
        options: ``seed``, ``out``.
    """
    print(_HEAD)
    found = {}
    for case in CASES:
        off, on = (simulate(case, on=on, seed=options.seed) for on in (False, True))
        found[case.name] = off, on
        print(line(case, off, on), flush=True)
    lines = [_HEAD, *(line(case, *found[case.name]) for case in CASES)]
    told = Report(
        f"Fewer connections than the pool has, seed {options.seed}",
        verdicts=[_verdict(name, least, gain(*found[name])) for name, least in BARS.items()],
        notes=lines,
    )
    print("\n".join(verdict.line() for verdict in told.verdicts))
    options.out.mkdir(parents=True, exist_ok=True)
    figures = {**asdict(told), "met": told.met, **document(found, options.seed)}
    for ending, text in (("json", strict_json(figures)), ("html", page(told, ""))):
        file = options.out / f"adaptive.{ending}"
        file.write_text(text)
        print(f"written: {file}")
    return 0 if told.met else 1


def _verdict(name: str, least: float, gained: float) -> Verdict:
    return Verdict(f"{name}: gain >= {least:+.0%}", f"{gained:+.1%}", gained >= least)


def gain(off: Figures, on: Figures) -> float:
    """Return by what share more was served with it."""
    return on.served_per_s / off.served_per_s - 1


def line(case: Case, off: Figures, on: Figures) -> str:
    """Return a case's line of the table."""
    late = on.served_late_per_s / off.served_late_per_s - 1
    limits = ", ".join(map(str, on.limits))
    return (
        f"{case.name:<21}{off.served_per_s:>8.0f}{on.served_per_s:>8.0f}{gain(off, on):>+8.1%}"
        f"{late:>+8.1%}{off.p99_s * 1000:>7.0f} ms{on.p99_s * 1000:>7.0f} ms"
        f"  {limits} of {case.pool}"
    )


def document(found: dict[str, tuple[Figures, Figures]], seed: int) -> dict[str, object]:
    """Return the figures as JSON says them."""
    cases = {
        case.name: {
            "text": case.text,
            "offered_per_s": case.offered_per_s,
            "pool": case.pool,
            "workers": case.workers,
            "off": asdict(found[case.name][0]),
            "on": asdict(found[case.name][1]),
        }
        for case in CASES
    }
    return {"scenario": "adaptive", "seed": seed, "cases": cases}
