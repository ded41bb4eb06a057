"""What the scenarios share: a database of their own, the service on it, one run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from service.demo_postgres import demo_server
from stress.arrivals import length_s, schedule
from stress.load import generate, users
from stress.server import Server
from stress.verify import DATABASE, Acknowledged, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from service.demo_postgres import DemoServer
    from stress.arrivals import Stage
    from stress.result import Run
    from stress.shots import Target

BACKENDS = ("duckdb", "postgres")
_VERIFY_S = 120.0


@dataclass(frozen=True, slots=True)
class Place:
    """An empty database for one scenario.

    Attributes:
        url: its ``GUARD_DATABASE_URL``.
        folder: where logs and other files go; removed in the end.
        postgres: its server; None for DuckDB.
    """

    url: str
    folder: Path
    postgres: DemoServer | None

    def server(
        self,
        name: str,
        *,
        guarded: bool,
        settings: Mapping[str, str] | None = None,
        watch_memory: bool = True,
    ) -> Server:
        """Return the service on it, not yet started.

        Args:
            name: of its log.
            guarded: False sets the guard's mode to off.
            settings: more of its environment.
            watch_memory: see ``Server``.
        """
        mode = {} if guarded else {"GUARD_MODE": "off"}
        log = self.folder / f"{name}.log"
        environ = {"GUARD_DATABASE_URL": self.url, **mode, **(settings or {})}
        return Server(log, environ, watch_memory=watch_memory)

    def crash(self) -> None:
        """Kill the database's own server too, by SIGKILL, and start it again on its data."""
        if self.postgres is not None:
            self.postgres.kill(signal.SIGKILL)
            self.postgres.restart()


@contextmanager
def place(backend: str) -> Iterator[Place]:
    """Give an empty database, gone after the block.

    Args:
        backend: one of ``BACKENDS``.
    """
    with tempfile.TemporaryDirectory(prefix="guard-stress-") as name:
        folder = Path(name)
        if backend == "postgres":
            with demo_server() as server:
                yield Place(server.url, folder, server)
        else:
            yield Place(f"duckdb:///{folder / 'warriors.duckdb'}", folder, None)


def replay(
    target: Target,
    plan: Mapping[str, Sequence[Stage]],
    seed: int,
    time_scale: float = 1.0,
) -> Run:
    """Send a plan's users to the service and return what became of them."""
    arriving = users(schedule(plan, time_scale), seed)
    return generate(target, arriving, length_s(plan, time_scale))


def acknowledged(run: Run) -> list[Acknowledged]:
    """Return the warriors that the service promised to have stored."""
    return [
        Acknowledged(str(sample.acknowledged.get("id")), dict(sample.submitted or {}))
        for sample in run.samples
        if sample.acknowledged is not None
    ]


def verify_apart(where: Place, promised: Sequence[Acknowledged]) -> Verdict:
    """Compare the database with the promises, in a fresh process.

    Raises:
        RuntimeError: it could not; the message has its output.
    """
    path = where.folder / "acknowledged.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in promised))
    try:
        found = subprocess.run(
            [sys.executable, "-m", "stress.verify", str(path)],
            cwd=Path(__file__).resolve().parent.parent,
            env={**os.environ, DATABASE: where.url},  # a URL has a password
            capture_output=True,
            text=True,
            timeout=_VERIFY_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"the check took more than {_VERIFY_S:g} s") from None
    try:
        return Verdict(**json.loads(found.stdout))
    except (ValueError, TypeError) as error:
        raise RuntimeError(f"the check failed: {found.stdout}{found.stderr}") from error
