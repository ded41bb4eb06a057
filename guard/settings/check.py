"""Can the guard fire with these settings? Numbers for people, problems and warnings."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from guard.core import sizing
from guard.core.sizing import DatabaseKind, Sizing
from guard.core.vocabulary import Mode
from guard.errors import BackendFailed
from guard.settings.durations import format_duration
from guard.settings.forms import kind_of
from guard.settings.masking import mask_url
from guard.settings.rules import SIZES

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.core.sizing import ServerLimits
    from guard.settings.model import Settings

    AskServer = Callable[[str, float], ServerLimits]

_DUCKDB_OVERSHOOT: Final = 1.75
"""What DuckDB's process takes at most, as a multiple of its memory limit."""
_WORKER_MIB: Final = 100
"""A worker's own memory, beside the database's: the interpreter, the driver, the threads."""
_LABEL_WIDTH: Final = 12


@dataclass(slots=True)
class Report:
    """What the check found. Not thread-safe.

    Attributes:
        lines: label and text, in order.
        problems: settings with which the service can't work.
        unavailable: what could not be reached to be asked.
        warnings: what works and is not wise.
    """

    lines: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    unavailable: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The figures, one line each."""
        return "".join(f"{label:<{_LABEL_WIDTH}}{text}\n" for label, text in self.lines)


def sizing_of(settings: Settings) -> Sizing:
    """Return the sizes of the settings."""
    return Sizing(**{name: getattr(settings, name) for name in SIZES})


def check(settings: Settings, *, memory_mib: int, ask: AskServer | None) -> Report:
    """Return what the settings amount to, and what is wrong with it.

    Args:
        settings: checked settings.
        memory_mib: memory that the service may use, MiB; 0 where unknown.
        ask: asks a PostgreSQL server for its limits, given the URL and a time-out in seconds;
            raises ``BackendFailed``. None: the server is not asked.
    """
    report = Report()
    _figures(report, settings)
    _memory(report, settings, memory_mib)
    if kind_of(settings.database_url) is DatabaseKind.DUCKDB:
        _file(report, settings.database_url)
    elif settings.pgbouncer:
        wanted = sizing.GENERATIONS * sizing.connections_wanted(sizing_of(settings))
        report.lines.append(("pgbouncer", f"must let {wanted} clients in (max_client_conn)"))
    elif settings.database_url and ask is not None:
        _servers(report, settings, ask)
    for finding in sizing.can_fire(sizing_of(settings)):
        (report.problems if finding.fatal else report.warnings).append(finding.text)
    _odd_times(report, settings)
    if settings.mode is not Mode.ENFORCE:
        report.warnings.append(f"GUARD_MODE={settings.mode}: nothing is ever refused")
    return report


def _figures(report: Report, settings: Settings) -> None:
    url, read_url = settings.database_url, settings.database_read_url
    where = mask_url(url) or "none: whole requests are limited"
    report.lines += [
        ("mode", f"{settings.mode}, policy {settings.policy}"),
        ("database", f"{where}, reads from {mask_url(read_url)}" if read_url else where),
        ("workers", str(settings.workers)),
        ("threads", f"{settings.threads} per worker, {settings.thread_reserve} in reserve"),
    ]
    sizes = sizing_of(settings)
    lanes = (
        ("read lane", sizes.read_pool_size, sizes.read_waiters, settings.read_wait_budget_s),
        ("write lane", sizes.write_pool_size, sizes.write_waiters, settings.write_wait_budget_s),
    )
    for label, pool, waiters, budget_s in lanes:
        text = (
            f"{pool} connections + {waiters} waiting = {pool + waiters} requests at once per "
            f"worker, wait budget {format_duration(budget_s)}"
        )
        report.lines.append((label, text))


def _memory(report: Report, settings: Settings, memory_mib: int) -> None:
    wanted = settings.workers * _WORKER_MIB
    parts = f"{settings.workers} x about {_WORKER_MIB} MiB"
    names = "GUARD_WORKERS"
    if kind_of(settings.database_url) is DatabaseKind.DUCKDB:
        wanted += round(settings.duckdb_memory_mib * _DUCKDB_OVERSHOOT)
        parts += f" + DuckDB {settings.duckdb_memory_mib} MiB, at worst x {_DUCKDB_OVERSHOOT}"
        names = "GUARD_DUCKDB_MEMORY"
    there = f"{memory_mib} MiB" if memory_mib else "an unknown amount"
    report.lines.append(("memory", f"up to about {wanted} MiB ({parts}) of {there}"))
    if 0 < memory_mib < wanted:
        report.warnings.append(
            f"memory: the service may take {wanted} MiB, and there are {memory_mib}; lower {names}"
        )


def _file(report: Report, url: str) -> None:
    file = Path(url.removeprefix("duckdb:///"))
    if not file.parent.is_dir():
        report.unavailable.append(f"database {file}: there is no directory {file.parent}")


def _servers(report: Report, settings: Settings, ask: AskServer) -> None:
    apart = bool(settings.database_read_url)
    sizes = sizing_of(settings)
    # Where no replica may be read from, the read pool is at the primary too.
    reads_apart = apart and not settings.replica_lag_max_s
    how = (ask, settings.connect_timeout_s, reads_apart)
    _server(report, "server", settings.database_url, sizes, how)
    if apart:
        # The write pool has no connection there.
        reads = replace(sizes, write_pool_size=0)
        url = settings.database_read_url
        _server(report, "read server", url, reads, (ask, settings.connect_timeout_s, False))


def _server(
    report: Report, label: str, url: str, sizes: Sizing, how: tuple[AskServer, float, bool]
) -> None:
    ask, timeout_s, apart = how
    try:
        limits = ask(url, timeout_s)
    except BackendFailed as error:
        report.lines.append((label, "did not answer"))
        report.unavailable.append(f"{label} {mask_url(url)}: {error}")
        return
    wanted = sizing.connections_wanted(sizes, with_reads=not apart)
    text = (
        f"allows {limits.usable} connections (max_connections {limits.max_connections}, "
        f"{limits.reserved} reserved); {wanted} wanted, {sizing.GENERATIONS * wanted} in a reload"
    )
    report.lines.append((label, text))
    problem = sizing.connections_problem(sizes, limits, with_reads=not apart)
    if problem:
        # As at the start: room for one generation of workers is enough to serve.
        serves = wanted <= limits.usable
        (report.warnings if serves else report.problems).append(f"{label}: {problem}")


def _odd_times(report: Report, settings: Settings) -> None:
    deadline = f"GUARD_DEADLINE={format_duration(settings.deadline_s)}"
    times = (
        ("GUARD_READ_WAIT_BUDGET", settings.read_wait_budget_s),
        ("GUARD_WRITE_WAIT_BUDGET", settings.write_wait_budget_s),
        ("GUARD_STATEMENT_TIMEOUT", settings.statement_timeout_s),
    )
    report.warnings.extend(
        f"{name}={format_duration(time_s)} is over {deadline}, which ends the request first"
        for name, time_s in times
        if time_s > settings.deadline_s
    )
