"""``python -m stress compare``: the guard against nothing, and against the proxies in front."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stress.compare.app import CAPACITY_PER_S, HOLD_S, SLOTS
from stress.compare.grid import LOADED, LOADS, UNLOADED, measure
from stress.compare.scenarios import SCENARIOS
from stress.compare.slow_close import verdicts as slow_close
from stress.compare.table import Cells, plots, verdicts
from stress.compare.variants import THREADS, VARIANTS
from stress.report import Report, Verdict, page, strict_json

if TYPE_CHECKING:
    from argparse import Namespace

    from stress.compare.cell import Cell
    from stress.compare.variants import Variant

NAMES: Final = tuple(variant.name for variant in VARIANTS)
SHORT_S: Final = 1.5
SHORT_LOADS: Final = (UNLOADED, LOADED, 5.0)


@dataclass(slots=True)
class _Found:
    cells: list[Cell] = field(default_factory=list)
    bars: list[Verdict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def run(options: Namespace) -> int:
    """Run the comparison, print and write its report; return 1 where a bar was missed.

    Args:
        options: ``variants``, ``seconds``, ``short``, ``seed``, ``out``.
    """
    found = _Found()
    variants = _installed(options.variants, found)
    try:
        with tempfile.TemporaryDirectory(prefix="guard-compare-") as name:
            _run(variants, options, found, Path(name))
    except KeyboardInterrupt:
        found.bars.append(Verdict("the comparison ran to its end", "interrupted", met=False))
    cells = Cells(found.cells)
    told = Report(
        f"Side by side: {SLOTS} connections x {HOLD_S * 1e3:g} ms = {CAPACITY_PER_S:g}/s, "
        f"{THREADS} threads, seed {options.seed}",
        verdicts=[*verdicts(cells), *found.bars],
        facts={variant.name: variant.told for variant in variants},
        notes=[*cells.lines(), *found.notes],
    )
    print(told.text())
    _write(told, cells, found, options.out)
    return 0 if told.met else 1


def _installed(names: str, found: _Found) -> list[Variant]:
    wanted = names.split(",") if names else NAMES
    variants = [variant for variant in VARIANTS if variant.name in wanted]
    for variant in variants:
        if variant.missing:
            found.notes.append(f"skipped {variant.name}: {variant.missing} is not installed")
    return [variant for variant in variants if not variant.missing]


def _run(variants: list[Variant], options: Namespace, found: _Found, folder: Path) -> None:
    loads = SHORT_LOADS if options.short else LOADS
    seconds = SHORT_S if options.short else options.seconds
    for one in measure(variants, loads, seconds, options.seed, folder):
        found.cells.append(one)
        what = f"{one.variant}, {one.connections}, {one.load:g}x"
        print(f"{what}: {one.goodput_per_s:.0f}/s {one.void}", flush=True)
    for scenario in SCENARIOS:
        missing = scenario.missing()
        if missing:
            found.notes.append(f"not available: {scenario.name} needs {', '.join(missing)}")
            continue
        inner = folder / scenario.name.replace(" ", "-")
        inner.mkdir()
        found.bars += scenario.verdicts(seconds, options.seed, inner)
    inner = folder / "slow-close"
    inner.mkdir()
    found.bars += slow_close(seconds, options.seed, inner)


def _write(told: Report, cells: Cells, found: _Found, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    figures = [
        {
            **asdict(one),
            "capacity_share": one.capacity_share,
            "times_unloaded": one.times_unloaded(cells.unloaded(one)),
            "cpu_per_refusal_us": cells.cpu_per_refusal_us(one),
        }
        for one in found.cells
    ]
    texts = {
        folder / "compare.json": strict_json({**asdict(told), "met": told.met, "cells": figures}),
        folder / "compare.html": page(told, plots(cells) if found.cells else ""),
    }
    for path, text in texts.items():
        path.write_text(text)
        print(f"written: {path}")
