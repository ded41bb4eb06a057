"""The wall clock may jump: nothing is decided by it but where a proxy's clock is compared."""

from __future__ import annotations

import ast
from pathlib import Path

import guard

ROOT = Path(guard.__file__).parent
READS = {
    ("time", "time"), ("time", "time_ns"), ("time", "localtime"), ("time", "gmtime"),
    ("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"),
    ("time", "CLOCK_REALTIME"),
}  # fmt: skip
USERS = {
    "clock.py": "the one place",
    "breaker/lane.py": "dates an opening, for people and for pybreaker's listeners",
    "tracing.py": "a span's start, for the tracing backend",
    "settings/live.py": "when the settings' file was read, for people",
    "status/keeper.py": "a frame's date, for the page",
    "watches/exemplars.py": "an exemplar's date, for Prometheus",
    "assembly.py": "hands it to the exemplars, and to trust.py",
    "trust.py": "compares it with the date that a trusted proxy tells: X-Request-Start",
}


def reads_it(path: Path) -> bool:
    return any(reads(node) for node in ast.walk(ast.parse(path.read_text())))


def reads(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        whose = node.value
        name = whose.attr if isinstance(whose, ast.Attribute) else getattr(whose, "id", "")
        return (name, node.attr) in READS
    if isinstance(node, ast.ImportFrom):
        return any((node.module, alias.name) in READS for alias in node.names)
    return "wall_s" in (getattr(node, "id", ""), getattr(node, "arg", ""))


def test_only_known_places_read_the_wall_clock() -> None:
    found = {
        str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py") if reads_it(path)
    }  # fmt: skip
    assert found == set(USERS)


def test_the_core_never_does() -> None:
    assert not [name for name in USERS if name.startswith("core/")]
