"""What all simulations print and write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stress.report import Report, Verdict, svg, write_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from stress.simulation.figures import Figures


class Told(Report):
    """A report that shows its tables, the notes; its facts are for the JSON."""

    def text(self) -> str:
        """Return it for a terminal."""
        verdicts = [verdict.line() for verdict in self.verdicts]
        return "\n".join([self.title, "", *self.notes, "", *verdicts])


def tell(told: Told, draws: Iterable[Callable[[Figure], None]], folder: Path, name: str) -> int:
    """Print a report and write it; return 1 where a bar was missed.

    Args:
        told: the report.
        draws: each fills a figure.
        folder: takes the files.
        name: of the files, without an ending.
    """
    print(told.text())
    for path in write_page(told, "".join(svg(draw) for draw in draws), folder, name):
        print(f"written: {path}")
    return 0 if told.met else 1


def conserved(runs: Iterable[Figures]) -> Verdict:
    """Return whether every try of every run has an end."""
    runs = list(runs)
    sent, lost = sum(one.sent for one in runs), sum(one.waiting for one in runs)
    over = sum(one.sent != one.answered + one.shed + one.failed + one.waiting for one in runs)
    return Verdict(
        "sent = answered + shed + failed in every run",
        f"{sent:,} tries in {len(runs)} runs",
        not lost and not over,
    )


def speed(runs: Iterable[Figures]) -> str:
    """Return how fast the simulation was."""
    runs = list(runs)
    cpu_s = max(1e-9, sum(one.cpu_s for one in runs))
    sent, events = sum(one.sent for one in runs), sum(one.events for one in runs)
    return (
        f"{sent:,} tries, {events:,} events in {cpu_s:.1f} s of processor time: "
        f"{sent / cpu_s:,.0f} tries/s, {events / cpu_s:,.0f} events/s"
    )


def columns(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table as lines; the first column is aligned to the left.

    Args:
        head: the columns' names.
        rows: as long as the head.
    """
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    return [
        f"{line[0]:<{widths[0]}}"
        + "".join(f"  {text:>{width}}" for text, width in zip(line[1:], widths[1:], strict=True))
        for line in lines
    ]


def facts(runs: Iterable[Figures], seed: int) -> Mapping[str, Any]:
    """Return the runs' figures for the JSON."""
    return {
        "seed": seed,
        "runs": [
            {
                name: getattr(one, name)
                for name in (*one.__dataclass_fields__, "good_share", "shed_share", "served_share")
            }
            for one in runs
        ],
    }
