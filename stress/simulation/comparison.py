"""``python -m stress simulate policies``: the guard's rules beside others'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stress.report import Verdict
from stress.simulation.figures import per_second, simulate
from stress.simulation.policies import GUARD, POLICIES
from stress.simulation.situation import SITUATIONS
from stress.simulation.telling import Told, columns, conserved, facts, speed, tell

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stress.simulation.figures import Figures
    from stress.simulation.situation import Situation

GOOD_LEAST: Final = {
    "1x": 0.92,
    "2x": 0.97,
    "5x": 0.97,
    "bimodal, 2x": 0.97,
    "five times slower from 10 s to 30 s, 2x": 0.97,
    "2x, all retry": 0.97,
}
"""The least goodput of the guard, of what is possible. At 1x only a queue without a bound loses
nothing: with 8 places and 16 to wait some percent are in the arrivals themselves."""
_HEAD: Final = ("", "goodput", "served", "p50 ms", "p99 ms", "shed", "failed", "sent")
_Series = dict[str, list[int]]


def run(options: Namespace) -> int:
    """Run all situations under all policies; return 1 where a bar was missed.

    Args:
        options: ``situations``, ``policies``, ``seed``, ``out``.
    """
    runs: list[Figures] = []
    over_time: list[tuple[str, _Series]] = []
    for situation in chosen(SITUATIONS, options.situations):
        for name, maker in POLICIES.items():
            if options.policies and name not in options.policies:
                continue
            one, world = simulate(situation, name, maker, options.seed)
            runs.append(one)
            print(f"{one.situation}, {one.policy}: {one.good_share:.1%}", flush=True)
            if name == GUARD and situation.service.stages.edges_s:
                over_time.append((situation.name, per_second(world)))
    told = Told(
        f"Policies over situations, simulated, seed {options.seed}",
        verdicts=[conserved(runs), *verdicts(runs)],
        facts=facts(runs, options.seed),
        notes=[*lines(runs), speed(runs)],
    )
    draws = [_bars(runs), *(_plot_over_time(*one) for one in over_time)]
    return tell(told, draws, options.out, "simulate-policies")


def chosen(situations: Sequence[Situation], names: Sequence[str]) -> list[Situation]:
    """Return those whose name begins with one of ``names``; all where there is none."""
    begins = tuple(names)
    return [one for one in situations if not begins or one.name.startswith(begins)]


def verdicts(runs: Sequence[Figures]) -> list[Verdict]:
    """Return the guard's bars."""
    return [
        Verdict(
            f"{one.situation}: goodput >= {GOOD_LEAST[one.situation]:.0%} of what is possible",
            f"{one.good_share:.1%}",
            one.good_share >= GOOD_LEAST[one.situation],
        )
        for one in runs
        if one.policy == GUARD and one.situation in GOOD_LEAST
    ]


def lines(runs: Sequence[Figures]) -> list[str]:
    """Return a table for each situation."""
    found: list[str] = []
    for situation in dict.fromkeys(one.situation for one in runs):
        rows = [row(one) for one in runs if one.situation == situation]
        found += [situation, *columns(_HEAD, rows), ""]
    return found


def row(one: Figures) -> tuple[str, ...]:
    """Return a run's line of the table."""
    return (
        one.policy,
        f"{one.good_share:.1%}",
        f"{one.served_share:.1%}",
        f"{one.p50_ms:.0f}",
        f"{one.p99_ms:.0f}",
        f"{one.shed_share:.1%}",
        f"{one.failed_share:.1%}",
        f"{one.sent}",
    )


def _bars(runs: Sequence[Figures]) -> Callable[[Figure], None]:
    situations = list(dict.fromkeys(one.situation for one in runs))
    policies = list(dict.fromkeys(one.policy for one in runs))
    width = 0.8 / len(policies)

    def fill(axes: Axes, height: Callable[[Figures], float], label: str) -> None:
        for number, policy in enumerate(policies):
            mine = [one for one in runs if one.policy == policy]
            places = [situations.index(one.situation) + number * width for one in mine]
            axes.barh(places, [height(one) for one in mine], width, label=policy)
        axes.set_yticks([at + 0.4 for at in range(len(situations))], situations, fontsize="small")
        axes.invert_yaxis()
        axes.set_xlabel(label)

    def draw(figure: Figure) -> None:
        goodput, latency = figure.subplots(1, 2, sharey=True)
        fill(goodput, lambda one: one.good_share, "goodput, of what is possible")
        fill(latency, lambda one: one.p99_ms, "p99 of the answered, ms")
        latency.set_xscale("log")
        latency.legend(fontsize="small")

    return draw


def _plot_over_time(name: str, series: _Series) -> Callable[[Figure], None]:
    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for word, counts in series.items():
            axes.step(range(len(counts)), counts, where="post", label=word)
        axes.set_title(f"{GUARD}: {name}")
        axes.set_xlabel("seconds")
        axes.set_ylabel("tries per second")
        axes.legend()

    return draw
