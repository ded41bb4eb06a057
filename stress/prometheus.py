"""A Prometheus in a process of its own: started, asked, stopped, gone with its starter."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlencode

import dashboards
from service.postgres_binaries import Account
from service.postgres_process import command
from stress.server import HOST, end

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stress.shots import Target

RULES: Final = Path(dashboards.__file__).parent / "prometheus"
RULE_FILES: Final = (RULES / "guard.rules.yml", RULES / "guard.alerts.yml")
JOB: Final = "guard"

_READY_S, _STOP_S, _TICK_S, _ASK_S = 30.0, 10.0, 0.05, 30.0
_LOG_TAIL = 2000
_HTTP_OK = 200


class NoPrometheus(RuntimeError):  # noqa: N818 - reads better where it is caught
    """There is no Prometheus here, or it did not start."""


class NotAnswered(RuntimeError):  # noqa: N818 - the same
    """Prometheus refused a query; the message is its own."""


class Prometheus:
    """Scrapes Guards on this machine and evaluates the project's rules. Use as a context manager.

    Not thread-safe. It keeps its data in ``folder`` and listens on loopback only.

    Args:
        folder: an existing directory for its data, configuration and log.
        targets: the admin listener of each host.
        port: its TCP port.
        interval_s: between two scrapes and two evaluations of the rules, >= 1.
        rule_files: the rules that it evaluates.
    """

    def __init__(
        self,
        folder: Path,
        targets: Sequence[Target],
        port: int,
        *,
        interval_s: int = 1,
        rule_files: Sequence[Path] = RULE_FILES,
    ) -> None:
        self.port = port
        self.url = f"http://{HOST}:{port}"
        self._folder = folder
        self._config = {
            "global": {
                "scrape_interval": f"{interval_s}s",
                "evaluation_interval": f"{interval_s}s",
            },
            "rule_files": [str(path) for path in rule_files],
            "scrape_configs": [
                {
                    "job_name": JOB,
                    "static_configs": [{"targets": [f"{one.host}:{one.port}" for one in targets]}],
                },
            ],
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it and wait until it answers, at most 30 s.

        Raises:
            NoPrometheus: it is not installed, or it ended; the message has the end of its log.
        """
        program = shutil.which("prometheus")
        if program is None:
            raise NoPrometheus(
                "there is no prometheus on the PATH; on Debian and Ubuntu: apt install prometheus"
            )
        config = self._folder / "prometheus.json"
        # JSON is YAML too.
        config.write_text(json.dumps(self._config, indent=2))
        with (self._folder / "prometheus.log").open("ab") as log:
            self._process = subprocess.Popen(
                command(Path(program), Account(os.geteuid(), os.getegid()), *self._options(config)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C at the terminal is for the starter alone
            )
        try:
            self._wait_ready(self._process)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it. Idempotent."""
        process, self._process = self._process, None
        if process is not None:
            end(process, _STOP_S)

    def ask(self, path: str, **parameters: object) -> Any:  # noqa: ANN401 - its own documents
        """Return ``data`` of an answer of its HTTP API.

        Args:
            path: below ``/api/v1/``.
            parameters: of the query string.

        Raises:
            NotAnswered: it reports an error.
            OSError: it can't be reached.
        """
        with closing(HTTPConnection(HOST, self.port, timeout=_ASK_S)) as connection:
            connection.request("GET", f"/api/v1/{path}?{urlencode(parameters)}")
            answer = json.loads(connection.getresponse().read())
        if answer["status"] != "success":
            raise NotAnswered(answer.get("error", "unknown error"))
        return answer["data"]

    def now_s(self) -> float:
        """Return its time, as Unix time."""
        return float(self.ask("query", query="time()")["result"][1])

    def graph_url(self, expr: str, minutes: int = 10) -> str:
        """Return the page of its own interface that draws a query."""
        query = {"g0.expr": expr, "g0.tab": 0, "g0.range_input": f"{minutes}m"}
        return f"{self.url}/graph?{urlencode(query)}"

    def _options(self, config: Path) -> list[str]:
        return [
            f"--config.file={config}",
            f"--storage.tsdb.path={self._folder / 'prometheus-data'}",
            f"--web.listen-address={HOST}:{self.port}",
        ]

    def _wait_ready(self, process: subprocess.Popen[bytes]) -> None:
        pause = Event()
        for _ in range(round(_READY_S / _TICK_S)):
            if process.poll() is not None:
                raise NoPrometheus(f"it ended with status {process.returncode}:\n{self._tail()}")
            if self._answers():
                return
            pause.wait(_TICK_S)
        raise NoPrometheus(f"it is not ready after {_READY_S:.0f} s:\n{self._tail()}")

    def _answers(self) -> bool:
        with closing(HTTPConnection(HOST, self.port, timeout=2.0)) as connection:
            try:
                connection.request("GET", "/-/ready")
                return connection.getresponse().status == _HTTP_OK
            except (OSError, HTTPException):
                return False

    def _tail(self) -> str:
        return (self._folder / "prometheus.log").read_text(errors="replace")[-_LOG_TAIL:]
