"""Whose requests get through: a flooding client, critical requests, what shadow mode foretells.

Each needs a setting of the guard's that one table names; where the guard has no such setting,
the scenario is told as not available.
"""

from __future__ import annotations

import random
from heapq import merge
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.request import urlopen

from guard.settings.model import specs
from stress.compare.app import CAPACITY_PER_S
from stress.compare.cell import KEPT, TIMEOUT_S, is_good, is_shed, poisson, request, why_void
from stress.compare.grid import settle
from stress.compare.variants import GUARD, GUARD_SETTINGS, Variant, running
from stress.open_loop import fire
from stress.report import Verdict
from stress.result import percentile
from stress.shots import Shot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from stress.compare.variants import Running
    from stress.shots import Outcome, Volley

PRIORITY_HEADER, CLIENT_HEADER = "X-Priority", "X-Client-Id"
CRITICAL: Final = "critical"
NORMAL: Final = "normal"
FLOODING: Final = "flooding"
OTHERS: Final = "others"

FLOOD, OTHERS_LOAD, OTHERS_COUNT = 5.0, 0.5, 20
CRITICAL_LOAD, NORMAL_LOAD = 0.3, 5.0
SHADOW_LOAD: Final = 2.0
OTHERS_LEAST: Final = 0.95
AGREEMENT: Final = 0.10

_DECISIONS: Final = "guard_admission_decisions_total"


class Scenario(NamedTuple):
    """A scenario and what the guard must know for it.

    Attributes:
        name: one line.
        settings: what the guard is given beside its usual settings.
        run: makes it, with the settings, the seconds, the seed and a folder for logs.
    """

    name: str
    settings: Mapping[str, str]
    run: Callable[[Scenario, float, int, Path], list[Verdict]]

    def missing(self) -> list[str]:
        """Return the settings that the guard does not have."""
        known = {spec.env for spec in specs().values()}
        return [name for name in self.settings if name not in known]

    def verdicts(self, seconds: float, seed: int, folder: Path) -> list[Verdict]:
        """Make it; the bars, or nothing where the guard can't do it.

        Args:
            seconds: its length.
            seed: of the arrivals.
            folder: takes logs.

        Raises:
            ServerError: the guarded service did not start.
        """
        return [] if self.missing() else self.run(self, seconds, seed, folder)

    def variant(self, **more: str) -> Variant:
        """Return the guarded service with the scenario's settings, and more."""
        return Variant(GUARD, self.name, {**GUARD_SETTINGS, **self.settings, **more})


def _flood(scenario: Scenario, seconds: float, seed: int, folder: Path) -> list[Verdict]:
    draw = random.Random(seed)
    flooding = _client(FLOODING, "127.0.1.1", FLOODING)
    others = [_client(OTHERS, f"127.0.2.{n}", f"client-{n}") for n in range(1, OTHERS_COUNT + 1)]
    each = OTHERS_LOAD * CAPACITY_PER_S / OTHERS_COUNT
    shots = merge(
        poisson(FLOOD * CAPACITY_PER_S, seconds, draw, flooding),
        *(poisson(each, seconds, draw, other) for other in others),
        key=_due_s,
    )
    with running(scenario.variant(), folder) as one:
        volley = _fire(one, list(shots))
    share, told = _success(volley, OTHERS)
    bar = f"one client floods at {FLOOD:g}x: the others' success >= {OTHERS_LEAST:.0%}"
    return [_verdict(volley, bar, told, met=share >= OTHERS_LEAST)]


def _critical(scenario: Scenario, seconds: float, seed: int, folder: Path) -> list[Verdict]:
    draw = random.Random(seed)
    template = {
        word: Shot(0.0, request([(PRIORITY_HEADER, word)]), word) for word in (CRITICAL, NORMAL)
    }
    shots = merge(
        poisson(CRITICAL_LOAD * CAPACITY_PER_S, seconds, draw, template[CRITICAL]),
        poisson(NORMAL_LOAD * CAPACITY_PER_S, seconds, draw, template[NORMAL]),
        key=_due_s,
    )
    with running(scenario.variant(), folder) as one:
        volley = _fire(one, list(shots))
    share, told = _success(volley, CRITICAL)
    bar = (
        f"critical requests at {CRITICAL_LOAD:g}x lose nothing while others offer {NORMAL_LOAD:g}x"
    )
    return [_verdict(volley, bar, told, met=share == 1.0)]


def _shadow(scenario: Scenario, seconds: float, seed: int, folder: Path) -> list[Verdict]:
    shares: dict[str, float] = {}
    for mode, decision in (("shadow", "would_shed"), ("enforce", "shed")):
        shots = poisson(SHADOW_LOAD * CAPACITY_PER_S, seconds, random.Random(seed))
        with running(scenario.variant(GUARD_MODE=mode), folder) as one:
            volley = _fire(one, shots)
            # Nothing was shed in shadow mode, so there is a queue that is still to be decided.
            settle(one)
            with urlopen(f"http://{one.admin}/metrics", timeout=5.0) as page:
                counts = decisions(page.read().decode())
        shares[mode] = counts.get(decision, 0.0) / max(1.0, sum(counts.values()))
    foretold, done = shares["shadow"], shares["enforce"]
    told = f"{foretold:.1%} foretold, {done:.1%} shed"
    met = done > 0 and abs(foretold - done) <= AGREEMENT * done
    bar = f"{SHADOW_LOAD:g}x: shadow mode's share of refusals within {AGREEMENT:.0%} of enforce's"
    return [_verdict(volley, bar, told, met=met)]


SCENARIOS: Final = (
    Scenario(
        "a flooding client",
        {
            "GUARD_FAIRNESS": "header",
            "GUARD_CLIENT_KEY_HEADER": CLIENT_HEADER,
            "GUARD_TRUSTED_PROXIES": "127.0.0.0/8",
        },
        _flood,
    ),
    Scenario(
        "critical requests",
        {"GUARD_PRIORITY_HEADER": PRIORITY_HEADER, "GUARD_TRUSTED_PROXIES": "127.0.0.0/8"},
        _critical,
    ),
    Scenario("shadow mode", {}, _shadow),
)


def decisions(text: str) -> dict[str, float]:
    """Return the requests by decision from a page of metrics.

    Args:
        text: the page in Prometheus' text format.
    """
    found: dict[str, float] = {}
    for line in text.splitlines():
        name, _, rest = line.partition("{")
        if name == _DECISIONS:
            labels, _, value = rest.rpartition("} ")
            decision = labels.partition('decision="')[2].partition('"')[0]
            found[decision] = found.get(decision, 0.0) + float(value)
    return found


def _client(what: str, source: str, key: str) -> Shot:
    return Shot(0.0, request([(CLIENT_HEADER, key)]), what, source)


def _due_s(shot: Shot) -> float:
    return shot.due_s


def _fire(one: Running, shots: Sequence[Shot]) -> Volley:
    settle(one)
    volley = fire(one.target, shots, timeout_s=TIMEOUT_S, reuse=True)
    if volley.interrupted:
        raise KeyboardInterrupt
    return volley


def _success(volley: Volley, what: str) -> tuple[float, str]:
    those: list[Outcome] = [one for one in volley.outcomes if one.shot.what == what]
    good, shed = sum(map(is_good, those)), sum(map(is_shed, those))
    share = good / max(1, len(those))
    return share, f"{share:.1%} ({good} of {len(those)} in time, {shed} refused)"


def _verdict(volley: Volley, bar: str, told: str, *, met: bool) -> Verdict:
    void = why_void(volley, percentile(sorted(one.lag_s for one in volley.outcomes), 0.99))
    return Verdict(f"{bar} ({KEPT})", void or told, met and not void, bool(void))
