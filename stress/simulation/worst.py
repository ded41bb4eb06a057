"""``python -m stress simulate worst``: a search for the situation in which the guard does worst.

Case ``n`` is drawn from the seed ``n`` alone, with everything random that happens in it; so
``--seed n --cases 1`` is that case again, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stress.report import Verdict
from stress.simulation.cases import case
from stress.simulation.comparison import lines
from stress.simulation.figures import simulate
from stress.simulation.policies import GUARD, POLICIES
from stress.simulation.telling import Told, conserved, facts, speed, tell

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Sequence

    from matplotlib.figure import Figure

    from stress.simulation.figures import Figures

RIVALS: Final = ("none", "static", "gradient2", "vegas", "aimd")
"""Whose goodput the regret is reckoned by."""
SHOWN: Final = 5
SCORES: Final = {
    "regret": "goodput share of the best other policy, less the guard's",
    "lost": "1 less the guard's goodput share of what is possible",
    "late": "share of the guard's tries that failed or were given up",
}


@dataclass(frozen=True, slots=True)
class Tried:
    """A case and its score.

    Attributes:
        seed: the case.
        ours: the guard's figures.
        others: the rivals', where the score needs them.
        score: the higher, the worse.
    """

    seed: int
    ours: Figures
    others: tuple[Figures, ...]
    score: float

    @property
    def runs(self) -> tuple[Figures, ...]:
        """All figures."""
        return (*self.others, self.ours)


def run(options: Namespace) -> int:
    """Search, tell the worst; return 1 where it was not the same again.

    Args:
        options: ``cases``, ``score``, ``sized``, ``seed``, ``out``.
    """
    tried: list[Tried] = []
    for seed in range(options.seed, options.seed + options.cases):
        tried.append(trial(seed, options.score, sized=options.sized))
        if tried[-1] is worst_first(tried)[0]:
            print(f"{tried[-1].score:.3f}: {tried[-1].ours.situation}", flush=True)
    ranked = worst_first(tried)
    runs = [one for each in tried for one in each.runs]
    told = Told(
        f"The worst of {options.cases} cases from seed {options.seed}, by {options.score}: "
        f"{SCORES[options.score]}",
        verdicts=[conserved(runs), again(ranked[0], sized=options.sized)],
        facts=facts([one for each in ranked[:SHOWN] for one in each.runs], options.seed),
        notes=[*told_of(ranked[:SHOWN], options), speed(runs)],
    )
    name = f"simulate-worst-{options.score}{'-sized' if options.sized else ''}"
    return tell(told, [_plot(tried, options.score)], options.out, name)


def trial(seed: int, score: str, *, sized: bool = False) -> Tried:
    """Return a case and its score.

    Args:
        seed: the case.
        score: one of ``SCORES``.
        sized: see ``stress.simulation.cases.case``.
    """
    situation = case(seed, sized=sized)
    ours = simulate(situation, GUARD, POLICIES[GUARD], seed)[0]
    if score == "lost":
        return Tried(seed, ours, (), 1.0 - ours.good_share)
    if score == "late":
        return Tried(seed, ours, (), ours.failed_share)
    others = tuple(simulate(situation, name, POLICIES[name], seed)[0] for name in RIVALS)
    best = max(one.good_share for one in others)
    return Tried(seed, ours, others, best - ours.good_share)


def worst_first(tried: Sequence[Tried]) -> list[Tried]:
    """Return the cases, the highest score first."""
    return sorted(tried, key=lambda one: (-one.score, one.seed))


def again(one: Tried, *, sized: bool = False) -> Verdict:
    """Return whether a case gives the same run again."""
    situation = case(one.seed, sized=sized)
    digest = simulate(situation, GUARD, POLICIES[GUARD], one.seed)[0].digest
    bar = f"case {one.seed} is the same again"
    return Verdict(bar, f"{one.ours.digest}, {digest}", digest == one.ours.digest)


def told_of(ranked: Sequence[Tried], options: Namespace) -> list[str]:
    """Return the worst cases as lines, each with the command that runs it again.

    Args:
        ranked: the worst first.
        options: ``score``, ``sized``.
    """
    command = f"python -m stress simulate worst --score {options.score}"
    if options.sized:
        command += " --sized"
    found: list[str] = []
    for one in ranked:
        replay = f"{command} --cases 1 --seed {one.seed}"
        found += [f"{options.score} {one.score:.3f}: {replay}", *lines(one.runs)]
    return found


def _plot(tried: Sequence[Tried], score: str) -> Callable[[Figure], None]:
    def draw(figure: Figure) -> None:
        spread, beside = figure.subplots(2, 1)
        spread.hist([one.score for one in tried], bins=40)
        spread.set_xlabel(score)
        spread.set_ylabel("cases")
        beside.plot([one.ours.good_share for one in tried], [one.score for one in tried], ".")
        beside.set_xlabel("the guard's goodput, of what is possible")
        beside.set_ylabel(score)

    return draw
