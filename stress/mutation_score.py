"""How many of the core's mutants do its tests catch? Reads what mutmut has found."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stress import report
from stress.report import Report, Verdict
from stress.server import ROOT, ServerError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

CAUGHT_RATIO_MIN: Final = 0.9
SOURCES: Final = ("guard/core", "tests/core")
"""What is mutated, and what must notice."""

_RESULTS: Final = Path("mutants", "mutmut-stats.json")
_CAUGHT: Final = frozenset({"killed", "timeout"})
_NOT_CHECKED: Final = frozenset({"not checked", "check was interrupted by user"})

Statuses = dict[str, str]
"""What became of each mutant, by its name."""


def run(options: Namespace) -> int:
    """Read, print and write the report; return 1 where a bar was missed.

    Args:
        options: ``out``; ``run``: let mutmut make and try all mutants first, in ``children``
            processes.

    Raises:
        ServerError: there are no results, or mutmut failed.
    """
    if options.run:
        # mutmut would not try a mutant again for which only a test has changed.
        shutil.rmtree(ROOT / _RESULTS.parent, ignore_errors=True)
        _mutmut("run", "--max-children", str(options.children), heard=False)
    elif not (ROOT / _RESULTS).exists():
        raise ServerError("no mutants were tried yet: make mutation")
    told = reported(statuses(_mutmut("results", "--all", "true")), stale=_stale(ROOT))
    print(told.text())
    report.write(told, {}, options.out, "mutation-score")
    return 0 if told.met else 1


def _mutmut(*arguments: str, heard: bool = True) -> str:
    command = [str(Path(sys.executable).parent / "mutmut"), *arguments]
    done = subprocess.run(
        command, cwd=ROOT, text=True, check=False, stdout=subprocess.PIPE if heard else None
    )
    if done.returncode != 0:
        raise ServerError(f"mutmut {arguments[0]} ended with status {done.returncode}")
    return done.stdout or ""


def statuses(text: str) -> Statuses:
    """Return what ``mutmut results --all true`` says.

    Raises:
        ValueError: a line is no mutant's.
    """
    found: Statuses = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, colon, status = line.partition(": ")
        if not colon:
            raise ValueError(f"no mutant's line: {line!r}")
        found[name] = status
    return found


def reported(found: Mapping[str, str], stale: str = "") -> Report:
    """Return the report of all mutants.

    Args:
        found: what became of each.
        stale: the file that has changed since; empty where none has.
    """
    caught = sum(status in _CAUGHT for status in found.values())
    checked = sum(status not in _NOT_CHECKED for status in found.values())
    ratio = caught / len(found) if found else 0.0
    verdicts = [
        Verdict(
            "every mutant was tried, with the code and the tests as they are",
            f"{checked} of {len(found)}" + (f"; {stale} has changed since" if stale else ""),
            met=0 < len(found) == checked and not stale,
        ),
        Verdict(
            f"mutants of guard/core caught >= {CAUGHT_RATIO_MIN:.0%}",
            f"{ratio:.1%}, {caught} of {len(found)}",
            met=ratio >= CAUGHT_RATIO_MIN,
        ),
    ]
    notes = [f"{status}: {name}" for name, status in found.items() if status not in _CAUGHT]
    # On a busy machine a mutant may be ended by its time that a test would have let pass.
    timed_out = sum(status == "timeout" for status in found.values())
    facts = {**_by_module(found), "of these caught by the time that they took": timed_out}
    return Report("Mutants of the core", verdicts=verdicts, facts=facts, notes=notes)


def _by_module(found: Mapping[str, str]) -> dict[str, str]:
    modules: defaultdict[str, Counter[bool]] = defaultdict(Counter)
    for name, status in found.items():
        modules[name.rpartition(".")[0]][status in _CAUGHT] += 1
    return {
        module: f"{counts[True]} of {counts.total()} caught"
        for module, counts in sorted(modules.items())
    }


def _stale(root: Path) -> str:
    """Return a file that is younger than the results; empty where none is."""
    tried_s = (root / _RESULTS).stat().st_mtime
    files = (file for folder in SOURCES for file in (root / folder).glob("*.py"))
    young = (file for file in files if file.stat().st_mtime > tried_s)
    return next((str(file.relative_to(root)) for file in young), "")
