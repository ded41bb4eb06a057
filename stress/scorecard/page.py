"""The scorecard as one HTML page that loads nothing from anywhere. Pure."""

from __future__ import annotations

from html import escape
from itertools import filterfalse
from typing import TYPE_CHECKING, Final, NamedTuple

from stress.scorecard import figures, words
from stress.scorecard.gauge import gauge
from stress.scorecard.model import State
from stress.scorecard.style import STYLE
from stress.scorecard.trend import Word

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stress.report import Verdict
    from stress.scorecard.model import Claim, Result, Scorecard
    from stress.scorecard.trend import Change, Trend

_MARKS: Final = {True: "met", False: "missed"}


class Row(NamedTuple):
    """Everything that is told of a claim.

    Attributes:
        claim: it.
        result: what came of it now.
        trend: against the last kept result of the same form.
        other: the kept result of the other form; None where there is none.
        links: what the run wrote: text and address.
    """

    claim: Claim
    result: Result
    trend: Trend
    other: Result | None
    links: Sequence[tuple[str, str]]


def page(
    title: str,
    rows: Sequence[Row],
    others: Sequence[tuple[Claim, Result | None]],
    card: Scorecard,
) -> str:
    """Return the page.

    Args:
        title: one line.
        rows: in the order of the claims; those that fall short are told first.
        others: claims that this form can't show, and their kept results of the other form.
        card: says what it ran on.
    """
    met = [row for row in rows if row.result.state is State.MET]
    short = [row for row in rows if row.result.state is not State.MET]
    short.sort(key=lambda row: list(State).index(row.result.state))
    sections = {
        "Falls short, or says nothing": map(_article, short),
        "Met, but worse than before": map(_article, filter(_worse, met)),
        "Met": map(_article, filterfalse(_worse, met)),
        "Only in the other form": (_apart(claim, result) for claim, result in others),
    }
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>"
        f"<h1>{escape(title)}</h1><p class=lead>{escape(summary(rows))}</p>"
        f"<p class=index>{' '.join(map(_chip, rows))}</p>{_LEGEND}"
        f"{''.join(_section(name, list(those)) for name, those in sections.items())}"
        f"<section><h2>Run on</h2>{_table(card.machine)}{_table(card.versions)}</section>"
        "</main></body></html>\n"
    )


_LEGEND: Final = (
    "<p class=quiet>Each strip shows a figure beside its bar: the shaded side passes, the scale "
    "ends at twice the bar, and an arrow stands for what lies beyond. The hollow mark is the "
    "last kept run's. A figure is called better or worse only beyond the factor that is named, "
    "and a figure of a short run is compared with figures of short runs only.</p>"
)


def summary(rows: Sequence[Row]) -> str:
    """Return how many claims are met, what has changed, and how long it took, in words."""
    results = [row.result for row in rows]
    changed = [
        f"{count} {word}"
        for word in (Word.WORSE, Word.BETTER, Word.SAME)
        if (count := sum(row.trend.word is word for row in rows))
    ]
    against = f" Against the last kept run: {', '.join(changed)}." if changed else ""
    took_s = sum({row.claim.command: row.result.took_s for row in rows}.values())
    took = f" It took {took_s / 60:.1f} minutes."
    return f"Of {len(rows)} claims: {words.counted(results)}.{against}{took}"


def _chip(row: Row) -> str:
    name, state = escape(row.claim.name), row.result.state
    return f'<a class="badge {state.name.lower()}" href="#{name}" title="{state}">{name}</a>'


def _section(name: str, articles: Sequence[str]) -> str:
    if not articles:
        return ""
    return f"<section><h2>{name} ({len(articles)})</h2>{''.join(articles)}</section>"


def _worse(row: Row) -> bool:
    return row.trend.word is Word.WORSE


def _article(row: Row) -> str:
    claim, result = row.claim, row.result
    short = sorted(words.told(claim, result), key=lambda one: one.verdict.met)
    rest = [one for one in result.verdicts if all(one is not each.verdict for each in short)]
    more = "".join(_figure(f"{one.bar}: {one.reached}", one, row) for one in rest)
    beside = "".join(
        f"<p class=quiet>{escape(name)}: {escape(fact)}</p>" for name, fact in result.beside.items()
    )
    return (
        f'<article id="{escape(claim.name)}"><header><h3>{escape(claim.text)}</h3>'
        f"{_badge(result.state)}{_trend(row)}</header>{_asked(claim)}"
        + (f"<p class=why>{escape(result.why)}</p>" if result.why else "")
        + "".join(_figure(one.text, one.verdict, row) for one in short)
        + (f"<details><summary>{_rest(result)}</summary>{more}</details>" if rest else "")
        + f"{beside}{_kept(claim, row.other)}{_footer(row)}</article>"
    )


def _rest(result: Result) -> str:
    return "the other bars" if result.has_figures else "what it wrote nevertheless"


def _apart(claim: Claim, result: Result | None) -> str:
    return (
        f'<article id="{escape(claim.name)}"><header><h3>{escape(claim.text)}</h3></header>'
        f"{_asked(claim)}{_kept(claim, result) or '<p class=why>not run yet</p>'}"
        f"<footer><code>python -m {escape(claim.command.long)}</code></footer></article>"
    )


def _asked(claim: Claim) -> str:
    return f"<p class=bar>asked: {escape(claim.bar)}</p>"


def _badge(state: State) -> str:
    return f'<span class="badge {state.name.lower()}">{state}</span>'


def _trend(row: Row) -> str:
    trend = row.trend
    if trend.word is Word.NONE:
        return f"<span class=trend>{escape(trend.why or trend.word)}</span>"
    caution = f", {trend.caution}" if trend.caution else ""
    return f'<span class="trend {trend.word}">{trend.word}{escape(caution)}</span>'


def _figure(text: str, verdict: Verdict, row: Row) -> str:
    change = row.trend.changes.get(verdict.bar)
    figure = figures.read(verdict)
    mark = "void" if verdict.void else _MARKS[verdict.met]
    strip = ""
    if figure is not None and not verdict.void:
        before = change.before if change else None
        strip = gauge(figure, before, f"{verdict.bar}: {verdict.reached}", met=verdict.met)
    told = (
        f'<span class="change {change.word}">{escape(_change(change, row.claim.noise))}</span>'
        if change
        else ""
    )
    width = "" if strip else " wide"
    return (
        f'<div class="figure{width}"><span class="mark {mark}"></span><span>{escape(text)}</span>'
        f"{strip}{told}</div>"
    )


def _change(change: Change, noise: float) -> str:
    if change.word is Word.SAME:
        return f"same (x{change.ratio:.2f})" if change.ratio else "same"
    ratio = f" (x{change.ratio:.2f}, noise {noise:g})" if change.ratio else ""
    return f"{change.word}{ratio}"


def _kept(claim: Claim, other: Result | None) -> str:
    if other is None:
        return ""
    told = "; ".join(one.text for one in words.told(claim, other)) or words.state(other)
    run = f"{other.form} form, {other.origin.date}, {other.origin.commit}, {other.origin.machine}"
    return (
        f"<p class=other>{_badge(other.state)} <b>{escape(run)}</b>, "
        f"<code>python -m {escape(other.command)}</code>: {escape(told)}</p>"
    )


def _footer(row: Row) -> str:
    result = row.result
    parts = [f"<code>python -m {escape(result.command or row.claim.command.long)}</code>"]
    if result.took_s:
        parts.append(f"{result.took_s:.0f} s")
    if result.disturbed:
        parts.append(f"others took {result.others_cores:.1f} cores meanwhile: read with care")
    parts += [f'<a href="{escape(href)}">{escape(text)}</a>' for text, href in row.links]
    if result.command != row.claim.command.long:
        parts.append(f"in full: <code>python -m {escape(row.claim.command.long)}</code>")
    return f"<footer>{' &middot; '.join(parts)}</footer>"


def _table(values: Mapping[str, str]) -> str:
    lines = (
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
        for name, value in values.items()
    )
    return f"<table>{''.join(lines)}</table>"
