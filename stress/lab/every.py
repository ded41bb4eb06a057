"""``python -m stress scenario all``: every scenario, one after the other, and a line of each."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from stress import report
from stress.lab.description import Guard
from stress.lab.execution import carry_out, file_name, ordered
from stress.report import Report, Verdict
from stress.result import summarise
from stress.scenarios import NAMES, find
from stress.server import ServerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stress.lab.description import Order, Scenario
    from stress.result import Summary


def run(options: Namespace) -> int:
    """Run every scenario on each of its databases; return 1 where a bar of one was missed.

    A scenario that could not be run is a missed one. Ctrl-C ends the round; what was run by then is
    told.

    Args:
        options: ``backend`` (None for all), ``guard`` (None for each scenario's first),
            ``time_scale`` (times each scenario's own), ``seed``, ``out``.
    """
    found: list[Verdict] = []
    facts: dict[str, str] = {}
    try:
        for scenario, order in planned(options):
            what = f"{scenario.name} on {order.backend}"
            print(f"{what}, {order.time_scale:g} as long", flush=True)
            verdict, facts[f"{what}, each run"] = _carried_out(what, scenario, order, options.out)
            found.append(verdict)
            print(verdict.line(), flush=True)
    except KeyboardInterrupt:
        found.append(Verdict("the round ran to its end", "interrupted", met=False))
    guard = options.guard or Guard.ON
    told = Report(f"All scenarios, guard {guard}, seed {options.seed}", {}, found, facts)
    print(f"\n{told.text()}")
    for path in report.write(told, {}, options.out, f"scenarios-{guard}"):
        print(f"written: {path}")
    return 0 if told.met else 1


def planned(options: Namespace) -> Iterator[tuple[Scenario, Order]]:
    """Yield each scenario that runs with this guard, once for each database that is wanted.

    Args:
        options: as of ``run``.
    """
    for scenario in map(find, NAMES):
        if options.guard and options.guard not in scenario.guards:
            continue
        for backend in scenario.environments:
            if options.backend in {None, backend}:
                scale = scenario.time_scale * (options.time_scale or 1.0)
                asked = {**vars(options), "backend": backend, "time_scale": scale}
                yield scenario, ordered(scenario, Namespace(**asked))


def _carried_out(what: str, scenario: Scenario, order: Order, out: Path) -> tuple[Verdict, str]:
    try:
        told, course = carry_out(scenario, order)
    except (ServerError, OSError) as error:
        return Verdict(what, f"could not be run: {error}", met=False), "none"
    report.write(told, course.runs, out, file_name(scenario, order))
    runs = {label: summarise(found) for label, found in course.runs.items()}
    return summed_up(what, told), "; ".join(
        f"{label}: {_figures(one)}" for label, one in runs.items()
    )


def summed_up(what: str, told: Report) -> Verdict:
    """Return one verdict on all bars of a report: those that were missed, or how many were met.

    A void one is a missed one among the others, or all of the round would be void with it.

    Args:
        what: was run.
        told: its report.
    """
    missed = [
        f"{'void' if one.void else 'missed'}: {one.bar}: {one.reached}"
        for one in told.verdicts
        if not one.met
    ]
    return Verdict(what, "; ".join(missed) or f"all {len(told.verdicts)} bars", told.met)


def _figures(found: Summary) -> str:
    total = found.total
    shares = [
        f"{count / max(1, total.sent):.1%} {name}"
        for name, count in (("right", total.right), ("shed", total.shed), ("failed", total.failed))
    ]
    return f"{', '.join(shares)} of {total.sent}, p99 {total.latency.p99:.0f} ms"
