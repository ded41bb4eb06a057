"""``python -m dashboards`` writes Grafana's files; ``--check`` fails where one is stale."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards import classic, resource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

FOLDER: Final = Path(__file__).parent / "grafana"
FILES: Final[Mapping[str, Callable[[], object]]] = {
    "guard.json": classic.build,
    "guard.v2.json": resource.build,
}
"""Grafana's files by name, and what builds them."""


def text(name: str) -> str:
    """Return what the file of that name must hold."""
    return json.dumps(FILES[name](), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files; return the exit status: 1 where ``--check`` found a stale one."""
    parser = argparse.ArgumentParser(prog="python -m dashboards", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args(arguments).check
    stale = 0
    for name in FILES:
        file = FOLDER / name
        if not check:
            file.write_text(text(name), encoding="utf-8")
        elif not file.is_file() or file.read_text(encoding="utf-8") != text(name):
            print(f"{file} is stale; python -m dashboards writes it", file=sys.stderr)
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
