"""An outage, and what its clients do afterwards, with three ways to tell them when to come back."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from stress import report
from stress.report import Report, Verdict
from stress.stampede_plan import BOOK, POLICIES, Plan, figures
from stress.stampede_sim import simulate

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stress.stampede_plan import Figures, Run

PEAK_MOST: Final = 1.2
"""Requests in the fullest second after the return, over the capacity."""
SERVED_LEAST: Final = 0.99
"""Share of those whose first try met the outage that is served in the end."""

_AFTER_S: Final = 60.0
_HEAD: Final = (
    f"{'':<15}{'met outage':>11}{'served':>8}{'of all':>8}{'peak/s':>8}{'/ capacity':>11}"
    f"{'sent':>8}{'wait p50':>10}{'max':>7}{'kept':>7}{'as told':>9}"
)


def run(options: Namespace) -> int:
    """Run the scenario, print and write its report; return 1 where a bar was missed.

    Args:
        options: ``form``, ``outage``, ``constant``, ``seed``, ``out``.
    """
    plan = Plan(outage_s=options.outage, constant_s=options.constant)
    plan = Plan(
        outage_s=options.outage, constant_s=options.constant, length_s=plan.back_s + _AFTER_S
    )
    if options.form == "real":
        runs, voids = _real(plan, options.seed)
    else:
        runs, voids = {policy: simulate(plan, policy, options.seed) for policy in POLICIES}, {}
    told = told_of(runs, voids, f"{options.form}, seed {options.seed}")
    print(told.text())
    options.out.mkdir(parents=True, exist_ok=True)
    for ending, text in (("json", report.to_json(told)), ("html", page(told, runs))):
        file = options.out / f"stampede-{options.form}.{ending}"
        file.write_text(text)
        print(f"written: {file}")
    return 0 if told.met else 1


def _real(plan: Plan, seed: int) -> tuple[dict[str, Run], dict[str, str]]:
    from stress.stampede_real import capacity_per_s, replay

    capacity = capacity_per_s(plan)
    print(f"capacity: {capacity:.0f} requests/s", flush=True)
    runs, voids = {}, {}
    for policy in POLICIES:
        runs[policy], voids[policy] = replay(plan, policy, capacity, seed)
        print(line(policy, figures(runs[policy])), flush=True)
    return runs, voids


def told_of(runs: Mapping[str, Run], voids: Mapping[str, str], form: str) -> Report:
    """Return the report of one run for each policy.

    Args:
        runs: by policy.
        voids: for some policies, why the run says nothing.
        form: how they were made, for the title.
    """
    found = {policy: figures(one) for policy, one in runs.items()}
    plan, capacity = runs[BOOK].plan, runs[BOOK].capacity_per_s
    title = (
        f"{plan.outage_s:g} s without a database at {plan.rate_per_s:g} requests/s from "
        f"{plan.clients} clients with {plan.tries} tries: {form}"
    )
    facts = {
        "capacity, requests/s": round(capacity),
        "figures": {policy: asdict(one) for policy, one in found.items()},
    }
    notes = [f"void, {policy}: {why}" for policy, why in voids.items() if why]
    table = [_HEAD, *(line(policy, one) for policy, one in found.items())]
    return Stampede(title, {}, verdicts(found[BOOK], voids.get(BOOK, "")), facts, [*notes, *table])


class Stampede(Report):
    """A report whose figures are shown as the table of its notes."""

    def text(self) -> str:
        """Return it for a terminal."""
        capacity = self.facts["capacity, requests/s"]
        lines = [self.title, "", f"capacity: {capacity} requests/s", *self.notes, ""]
        return "\n".join([*lines, *(verdict.line() for verdict in self.verdicts)])


def verdicts(found: Figures, void: str = "") -> list[Verdict]:
    """Return the bars, for the book."""
    return [
        Verdict("sent on time", void or "yes", not void, void=bool(void)),
        Verdict(
            f"book: peak after the return <= {PEAK_MOST:g} x capacity",
            f"{found.peak_ratio:.2f}",
            found.peak_ratio <= PEAK_MOST,
        ),
        Verdict(
            f"book: of those that met the outage >= {SERVED_LEAST:.0%} served in the end",
            f"{found.met_served_ratio:.2%}",
            found.met_served_ratio >= SERVED_LEAST,
        ),
    ]


def line(policy: str, one: Figures) -> str:
    """Return a policy's line of the table."""
    return (
        f"{policy:<15}{one.met_outage:>11}{one.met_served_ratio:>8.1%}{one.served_ratio:>8.1%}"
        f"{one.peak_per_s:>8}{one.peak_ratio:>11.2f}{one.sent:>8}{one.waited_p50_s:>8.1f} s"
        f"{one.waited_max_s:>5.0f} s{one.kept_ratio:>7.1%}"
        + (f"{one.told_ratio:>9.1%}" if policy == BOOK else f"{'-':>9}")
    )


def page(told: Report, runs: Mapping[str, Run]) -> str:
    """Return a page with the report, and what came and was served in each second of each run."""

    def draw(figure: Figure) -> None:
        each = figure.subplots(len(runs), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (policy, one) in zip(each, runs.items(), strict=True):
            axes.set_title(policy)
            _plot_rates(axes, one)
        each[-1].set_xlabel("seconds from the beginning")

    return report.page(told, report.svg(draw))


def _plot_rates(axes: Axes, run: Run) -> None:
    came = Counter(int(one.at_s) for one in run.tries)
    served = Counter(int(one.at_s) for one in run.tries if one.served)
    seconds = range(max(came, default=0) + 1)
    axes.step(seconds, [came[s] for s in seconds], where="post", label="came", color="tab:red")
    axes.step(
        seconds, [served[s] for s in seconds], where="post", label="of these served",
        color="tab:green",
    )  # fmt: skip
    axes.axhline(run.capacity_per_s, color="black", lw=0.8, ls="--", label="capacity")
    axes.axvspan(run.plan.outage_at_s, run.plan.back_s, color="0.9", label="no database")
    axes.set_ylabel("requests per second")
    # The stampede's one second would flatten all others.
    axes.set_ylim(0, min(max(came.values(), default=1), 4 * run.capacity_per_s) * 1.05)
    axes.legend(loc="upper left")
