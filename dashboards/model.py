"""What a dashboard consists of, without a word of Grafana's."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

MATCHERS: Final = 'job=~"$job", instance=~"$instance"'
"""The matchers of the dashboard's variables; ``HERE`` stands for them in a query's text."""
QUANTILES: Final = (0.5, 0.95, 0.99)


class Look(StrEnum):
    """How a panel shows its queries."""

    LINES = "lines"
    STACKED = "stacked"
    ANSWER = "answer"
    """One number in a colour: the short answer to the section's question."""


class Step(NamedTuple):
    """From which value on an answer takes a colour.

    Attributes:
        value: in the panel's unit; None for everything below the next step.
        color: one of Grafana's colour names.
    """

    value: float | None
    color: str


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel.

    Attributes:
        text: PromQL; ``HERE`` stands for the variables' matchers.
        legend: the name of each series, with ``{{label}}``.
    """

    text: str
    legend: str

    @property
    def expr(self) -> str:
        """The query as Grafana takes it, with its variables."""
        return self.text.replace("HERE", MATCHERS)

    def plain(self, rate_interval: str) -> str:
        """Return the query as Prometheus takes it, over every job and instance.

        Args:
            rate_interval: the range of its rates, such as ``30s``; four scrapes or more.
        """
        everything = self.text.replace("HERE", 'job=~".+", instance=~".+"')
        return everything.replace("$__rate_interval", rate_interval)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel.

    Attributes:
        title: a few words, unique in the dashboard.
        help: what it tells and what to do about it.
        unit: Grafana's id of the unit.
        queries: what it shows.
        look: how it shows them.
        width: columns of 24.
        steps: an answer's colours, ascending.
        top: the upper end of the axis; None where the data decide.
    """

    title: str
    help: str
    unit: str
    queries: tuple[Query, ...]
    look: Look = Look.LINES
    width: int = 8
    steps: tuple[Step, ...] = ()
    top: float | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """A row of the dashboard: a question of the operator's, and the panels that answer it."""

    question: str
    panels: tuple[Panel, ...]


def quantiles(histogram: str, by: str = "", matchers: str = "") -> tuple[Query, ...]:
    """Return the median, the 95th and the 99th percentile of a histogram.

    Args:
        histogram: its name without ``_bucket``.
        by: the label to keep; empty for one distribution of all.
        matchers: further matchers.
    """
    labels = f"le, {by}" if by else "le"
    where = f"HERE, {matchers}" if matchers else "HERE"
    rate = f"sum by ({labels}) (rate({histogram}_bucket{{{where}}}[$__rate_interval]))"
    prefix = f"{{{{{by}}}}} " if by else ""
    return tuple(
        Query(f"histogram_quantile({q:g}, {rate})", f"{prefix}p{q * 100:g}") for q in QUANTILES
    )


def answer(title: str, help_text: str, query: str, *, unit: str, steps: tuple[Step, ...]) -> Panel:
    """Return the panel that answers a section's question in one number."""
    return Panel(
        title=title, help=help_text, unit=unit, queries=(Query(query, title),),
        look=Look.ANSWER, width=4, steps=steps,
    )  # fmt: skip


def rising(warn: float, bad: float) -> tuple[Step, ...]:
    """Return colours for a number that is good while it is small."""
    return Step(None, "green"), Step(warn, "orange"), Step(bad, "red")


def falling(bad: float, warn: float) -> tuple[Step, ...]:
    """Return colours for a number that is good while it is large."""
    return Step(None, "red"), Step(bad, "orange"), Step(warn, "green")
