"""The incident's load, replayed against the service, and the promises counted after a crash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress import report
from stress.arrivals import INCIDENT
from stress.report import Report, Verdict
from stress.result import server_errors, summarise
from stress.scenario import acknowledged, place, replay, verify_apart

if TYPE_CHECKING:
    from argparse import Namespace

    from stress import verify
    from stress.result import Run, Summary

P95_MS, P99_MS = 100.0, 200.0
_NOTES_MAX = 20


def run(options: Namespace) -> int:
    """Run the scenario, print and write its report; return 1 where a bar was missed.

    Args:
        options: ``backend``, ``unguarded``, ``time_scale``, ``seed``, ``out``.
    """
    guarded = not options.unguarded
    name = f"incident-{options.backend}{'' if guarded else '-unguarded'}"
    with place(options.backend) as where:
        server = where.server("service", guarded=guarded)
        with server:
            found = replay(server.target, INCIDENT, options.seed, options.time_scale)
            troubles = server.troubles()
            server.kill()
        where.crash()
        kept = verify_apart(where, acknowledged(found))
    summary = summarise(found)
    told = Report(
        f"The incident on {options.backend}, guard {'on' if guarded else 'off'}, "
        f"time scale {options.time_scale:g}, seed {options.seed}",
        {"incident": summary},
        verdicts(found, summary, kept, troubles),
        {
            "peak memory of the service": f"{server.peak_bytes / 2**20:.0f} MiB",
            "warriors stored": kept.stored,
        },
        troubles[:_NOTES_MAX],
    )
    print(told.text())
    for path in report.write(told, {"incident": found}, options.out, name):
        print(f"written: {path}")
    return 0 if told.met else 1


def verdicts(
    found: Run, summary: Summary, kept: verify.Verdict, troubles: list[str]
) -> list[Verdict]:
    """Return the scenario's bars."""
    total = summary.total
    finished = not (summary.void or summary.interrupted)
    expected = sum(total.statuses.values()) - sum(total.wrong_status.values())
    errors = server_errors(total)
    latency = total.latency
    return [
        Verdict(
            "the whole schedule was sent, on time",
            summary.void or f"{found.scheduled} users, p99 lag {summary.lag_p99_ms:.1f} ms",
            finished,
            void=bool(summary.void),
        ),
        Verdict("every status as expected", f"{expected} of {total.sent}", expected == total.sent),
        Verdict("every answer right", f"{total.right} of {total.sent}", total.right == total.sent),
        Verdict("no 5xx", str(errors), errors == 0),
        Verdict(f"p95 < {P95_MS:g} ms", f"{latency.p95:.1f} ms", latency.p95 < P95_MS),
        Verdict(f"p99 < {P99_MS:g} ms", f"{latency.p99:.1f} ms", latency.p99 < P99_MS),
        Verdict("no worker time-out, kill or traceback", str(len(troubles)), not troubles),
        Verdict(
            "every acknowledged warrior there after kill -9",
            f"{kept.acknowledged} acknowledged, {kept.lost}",
            kept.good and kept.acknowledged > 0,
        ),
    ]
