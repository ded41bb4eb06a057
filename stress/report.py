"""A run for people: a table on the terminal, JSON, and one self-contained HTML page."""

from __future__ import annotations

import html
import io
import json
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from stress.arrivals import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stress.result import KindSummary, Percentiles, Run, Summary

_COLOURS = dict(
    zip(
        KINDS,
        ("tab:red", "tab:purple", "tab:blue", "tab:green", "tab:brown", "tab:olive", "tab:orange"),
        strict=True,
    )
)
_FAILED, _SHED = "failed", "shed"
_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:62em;margin:2em auto;padding:0 1em}"
    "pre{background:#f4f4f4;padding:1em;overflow-x:auto}svg{max-width:100%;height:auto}"
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One bar, and whether it was reached.

    Attributes:
        bar: what is asked.
        reached: what came out.
        met: whether that is enough; never where it is void.
        void: the run says nothing about it, and ``reached`` says why.
    """

    bar: str
    reached: str
    met: bool
    void: bool = False

    def line(self) -> str:
        """Return it as one line."""
        word = "VOID" if self.void else "pass" if self.met else "MISS"
        return f"{word}  {self.bar}: {self.reached}"


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is told of a scenario.

    Attributes:
        title: one line.
        summaries: the runs' summaries by label, in their order.
        verdicts: the bars.
        facts: other figures by name.
        notes: lines of text, such as a log's.
    """

    title: str
    summaries: Mapping[str, Summary] = field(default_factory=dict)
    verdicts: Sequence[Verdict] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def met(self) -> bool:
        """Whether every bar was reached."""
        return all(verdict.met for verdict in self.verdicts)

    def text(self) -> str:
        """Return it for a terminal."""
        parts = [self.title]
        for label, summary in self.summaries.items():
            parts += ["", f"{label}: {_headline(summary)}", table(summary)]
        parts.append("")
        parts += [f"{name}: {value}" for name, value in self.facts.items()]
        parts += [verdict.line() for verdict in self.verdicts]
        parts += self.notes
        return "\n".join(parts)


def _headline(summary: Summary) -> str:
    total = summary.total
    text = (
        f"sent {total.sent} = answered {total.answered} + shed {total.shed} + "
        f"failed {total.failed}; {summary.offered_per_s:.0f}/s offered, "
        f"{summary.goodput_per_s:.0f}/s right within 1 s (without those that need no "
        f"database); start lag p99 {summary.lag_p99_ms:.1f} ms; "
        f"generator {summary.generator_cores:.2f} cores"
    )
    if summary.interrupted:
        text += "; interrupted"
    return text + (f"; VOID: {summary.void}" if summary.void else "")


def table(summary: Summary) -> str:
    """Return the table of a run: one line per kind, latencies in milliseconds."""
    head = (
        f"{'kind':<9}{'sent':>7}{'answered':>9}{'shed':>7}{'failed':>7}{'right':>7}"
        f"{'p50':>8}{'p95':>8}{'p99':>8}{'max':>8}  {'refused p50/p99':<16} statuses"
    )
    lines = [head]
    for name, one in (*summary.kinds.items(), ("all", summary.total)):
        lines.append(
            f"{name:<9}{one.sent:>7}{one.answered:>9}{one.shed:>7}{one.failed:>7}{one.right:>7}"
            f"{_times(one.latency)}  {_refused(one.refusal):<16} {_counted(one)}"
        )
    return "\n".join(lines)


def _times(latency: Percentiles) -> str:
    values = (latency.p50, latency.p95, latency.p99, latency.max)
    return "".join(f"{_number(value):>8}" for value in values)


def _refused(refusal: Percentiles) -> str:
    return f"{_number(refusal.p50)}/{_number(refusal.p99)}" if refusal.count else "-"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f}"


def _counted(one: KindSummary) -> str:
    counts = [*one.statuses.items(), *one.failures.items()]
    text = " ".join(f"{name}:{count}" for name, count in counts)
    if one.reasons:
        text += " (" + " ".join(f"{name}:{count}" for name, count in one.reasons.items()) + ")"
    if one.wrong_status:
        unexpected = " ".join(f"{name}:{count}" for name, count in one.wrong_status.items())
        text += f" unexpected {unexpected}"
    return text


def write(report: Report, runs: Mapping[str, Run], folder: Path, name: str) -> list[Path]:
    """Write ``name.json`` and ``name.html``; return where they are.

    Args:
        report: what is told.
        runs: the runs to plot, by label.
        folder: made where it is missing.
        name: the files' name without an ending.
    """
    return _write(report, to_html(report, runs), folder, name)


def write_page(report: Report, plots: str, folder: Path, name: str) -> list[Path]:
    """Write ``name.json`` and ``name.html`` with plots of the caller's; return where they are.

    Args:
        report: what is told.
        plots: elements of HTML.
        folder: made where it is missing.
        name: the files' name without an ending.
    """
    return _write(report, page(report, plots), folder, name)


def _write(report: Report, as_html: str, folder: Path, name: str) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    found = [(folder / f"{name}.json", to_json(report)), (folder / f"{name}.html", as_html)]
    for path, text in found:
        path.write_text(text)
    return [path for path, _ in found]


def to_json(report: Report) -> str:
    """Return the report as JSON; a latency that does not exist is null."""
    return strict_json({**asdict(report), "met": report.met})


def strict_json(value: Any) -> str:  # noqa: ANN401 - JSON
    """Return a value as JSON; a number that JSON does not know is null."""
    return json.dumps(_finite(value), indent=2)


def _finite(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def to_html(report: Report, runs: Mapping[str, Run]) -> str:
    """Return one page with the table and the plots in it; it loads nothing from anywhere."""
    plots = "".join(
        f"<h2>{html.escape(label)}</h2>{plot(run)}" for label, run in runs.items() if run.samples
    )
    return page(report, plots)


def page(report: Report, plots: str) -> str:
    """Return the page of a report and its plots, elements of HTML."""
    title = html.escape(report.title)
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>"
        f"<pre>{html.escape(report.text())}</pre>{plots}</body></html>\n"
    )


def plot(run: Run) -> str:
    """Return an SVG element: latency, outcomes and arrivals over the time at which each was due."""

    def draw(figure: Figure) -> None:
        latency, outcomes, rate = figure.subplots(3, 1, sharex=True)
        _plot_latency(latency, run)
        _plot_outcomes(outcomes, run)
        _plot_rate(rate, run)
        for axes in (latency, outcomes, rate):
            _mark(axes, run)
        rate.set_xlabel("due, seconds from the beginning")

    return svg(draw)


def svg(draw: Callable[[Figure], None]) -> str:
    """Return what ``draw`` puts into a figure, as an SVG element."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 11), layout="constrained")
    FigureCanvasSVG(figure)
    draw(figure)
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def _mark(axes: Axes, run: Run) -> None:
    for at_s, name in run.marks:
        axes.axvline(at_s, color="black", linestyle="--", linewidth=1)
        axes.annotate(name, (at_s, 1.0), xycoords=("data", "axes fraction"), fontsize="small")


def _plot_latency(axes: Axes, run: Run) -> None:
    for kind in KINDS:
        points = [
            (sample.due_s, sample.latency_s * 1e3)
            for sample in run.samples
            if sample.kind == kind and sample.answered
        ]
        if points:
            axes.plot(
                *zip(*points, strict=True), ".", ms=2, label=kind, color=_COLOURS[kind],
                rasterized=True,
            )  # fmt: skip
    refused = [(one.due_s, one.latency_s * 1e3) for one in run.samples if one.reason]
    if refused:
        axes.plot(*zip(*refused, strict=True), "k.", ms=1, label=_SHED, rasterized=True)
    axes.set_yscale("log")
    axes.set_ylabel("latency of the answered and the shed, ms")
    axes.legend(loc="upper left", markerscale=4)


def _plot_outcomes(axes: Axes, run: Run) -> None:
    labels = sorted({_outcome(sample.status, sample.reason) for sample in run.samples})
    dues = [
        [s.due_s for s in run.samples if _outcome(s.status, s.reason) == label] for label in labels
    ]
    axes.hist(dues, bins=_bins(run), stacked=True, label=labels)
    axes.set_ylabel("requests per second by status")
    axes.legend(loc="upper left")


def _outcome(status: int, reason: str) -> str:
    return _SHED if reason else str(status) if status else _FAILED


def _plot_rate(axes: Axes, run: Run) -> None:
    kinds = [kind for kind in KINDS if any(sample.kind == kind for sample in run.samples)]
    dues = [[sample.due_s for sample in run.samples if sample.kind == kind] for kind in kinds]
    axes.hist(dues, bins=_bins(run), histtype="step", label=kinds,
              color=[_COLOURS[kind] for kind in kinds])  # fmt: skip
    axes.set_ylabel("arrivals per second by kind")
    axes.legend(loc="upper left")


def _bins(run: Run) -> list[float]:
    last = max(sample.due_s for sample in run.samples)
    return [float(second) for second in range(math.floor(last) + 2)]
