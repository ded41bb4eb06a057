"""Kills, stops and reloads at random under load; afterwards all must add up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from stress import report
from stress.arrivals import NO_TERM, constant
from stress.havoc import KILL_WORKER, Havoc
from stress.phases import share_good
from stress.report import Report, Verdict
from stress.result import summarise
from stress.scenario import acknowledged, place, replay, verify_apart
from stress.scrape import Counts, calm_counts, scrape

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

    from stress import verify
    from stress.result import Run
    from stress.scenario import Place

GOOD_AFTER: Final = 0.99
"""What share is answered right and in time once all is mended."""

_QUIET_S: Final = 10.0
_UNCOUNTED_PER_KILL: Final = 4
_NEVER: Final = ("WORKER TIMEOUT", "Traceback")
_NOTES_MAX: Final = 20


class Phase(NamedTuple):
    """A stretch of load.

    Attributes:
        run: what clients saw.
        counts: what the service counted meanwhile.
    """

    run: Run
    counts: Counts


class Outcome(NamedTuple):
    """What came of it.

    Attributes:
        wild: while things went wrong.
        quiet: afterwards.
        done: what was done, by name.
        in_flight: permits held at the end.
        kept: the database compared with the promises.
        troubles: lines of the log that it must not have.
    """

    wild: Phase
    quiet: Phase
    done: Mapping[str, int]
    in_flight: int
    kept: verify.Verdict
    troubles: list[str]


def run(options: Namespace) -> int:
    """Run the scenario, print and write its report; return 1 where a bar was missed.

    Args:
        options: ``backend``, ``minutes``, ``rate``, ``workers``, ``seed``, ``out``.
    """
    print(f"seed {options.seed}", flush=True)
    with place(options.backend) as where:
        outcome = _course(where, options)
    runs = {"wild": outcome.wild.run, "quiet": outcome.quiet.run}
    told = Report(
        f"Chaos on {options.backend} for {options.minutes:g} minutes, {options.rate:g} users/s, "
        f"seed {options.seed}",
        {label: summarise(found) for label, found in runs.items()},
        verdicts(outcome),
        {name: str(count) for name, count in sorted(outcome.done.items())},
        outcome.troubles[:_NOTES_MAX],
    )
    print(told.text())
    for path in report.write(told, runs, options.out, f"chaos-{options.backend}"):
        print(f"written: {path}")
    return 0 if told.met else 1


def _course(where: Place, options: Namespace) -> Outcome:
    workers = options.workers if where.postgres else 1
    seconds = options.minutes * 60
    with (
        where.server("service", guarded=True, settings={"GUARD_WORKERS": str(workers)}) as service,
        Havoc(service, where.postgres, options.seed) as havoc,
    ):
        before = calm_counts(service.admin, workers)
        wild = replay(service.target, constant(options.rate, seconds), options.seed)
        havoc.stop()
        between = calm_counts(service.admin, workers)
        quiet = replay(
            service.target, constant(options.rate, min(seconds / 2, _QUIET_S)), options.seed + 1
        )
        after = calm_counts(service.admin, workers)
        in_flight = scrape(service.admin).in_flight
        # A DuckDB file belongs to one process; and what was promised must survive this too.
        service.kill()
        kept = verify_apart(where, [*acknowledged(wild), *acknowledged(quiet)])
        lines = service.log_text().splitlines()
    return Outcome(
        Phase(wild, between.since(before)),
        Phase(quiet, after.since(between)),
        havoc.done,
        in_flight,
        kept,
        [line for line in lines if any(word in line for word in _NEVER)],
    )


def verdicts(outcome: Outcome) -> list[Verdict]:
    """Return the bars."""
    wild, quiet, kept = outcome.wild, outcome.quiet, outcome.kept
    share = share_good([one for one in quiet.run.samples if one.kind != NO_TERM])
    return [
        *(
            Verdict(
                f"{name}: sent = answered + shed + failed",
                f"{phase.run.sent} = {total.answered} + {total.shed} + {total.failed}",
                phase.run.sent == total.answered + total.shed + total.failed > 0
                and not phase.run.interrupted,
            )
            for name, phase in (("wild", wild), ("quiet", quiet))
            for total in [summarise(phase.run).total]
        ),
        _bounded(wild, outcome.done.get(KILL_WORKER, 0)),
        _exact(quiet),
        Verdict("permits in flight at the end: 0", str(outcome.in_flight), not outcome.in_flight),
        Verdict(
            "every acknowledged warrior there once, as it was sent",
            f"{kept.acknowledged} acknowledged, {kept.lost}", kept.good and kept.acknowledged > 0,
        ),
        Verdict(f"right and in time afterwards >= {GOOD_AFTER:.0%}", f"{share:.1%}",
                share >= GOOD_AFTER),
        Verdict("no worker time-out or traceback", str(len(outcome.troubles)),
                not outcome.troubles),
    ]  # fmt: skip


def _bounded(phase: Phase, kills: int) -> Verdict:
    """With kills: a killed worker takes with it what it had not yet counted.

    It counts a request after its last byte was sent, so each kill may cost a few counts of
    answers that did arrive; requests that clients saw fail may have been counted or not.
    """
    total, counts = summarise(phase.run).total, phase.counts
    least = total.answered + total.shed - kills * _UNCOUNTED_PER_KILL
    return Verdict(
        f"answered + shed <= counted <= sent, but for {kills} kills",
        f"{total.answered} + {total.shed} <= {counts.decided} <= {total.sent}",
        least <= counts.decided <= total.sent
        and abs(counts.decided - counts.responses) <= kills * _UNCOUNTED_PER_KILL,
    )


def _exact(phase: Phase) -> Verdict:
    total, counts = summarise(phase.run).total, phase.counts
    seen = Counts(total.answered + total.shed, total.shed, total.answered + total.shed)
    return Verdict(
        "afterwards admitted + shed = arrived, by the service and by the clients",
        f"{counts.decided - counts.shed} + {counts.shed} = {total.sent}, clients "
        f"{total.answered} + {total.shed}",
        counts == seen and not total.failed,
    )
