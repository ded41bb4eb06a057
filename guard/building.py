"""The parts of a worker's guard that are told by its settings alone."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from guard.backends.base import Bounds
from guard.board import WorkerRow
from guard.book import AppointmentBook
from guard.core.admission import Limits
from guard.core.sizing import DatabaseKind
from guard.core.vocabulary import Lane, RetryPolicy
from guard.errors import BadSetting, SettingsError
from guard.rules import WAIT_BOUND_FACTOR, Rules
from guard.settings.forms import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.backends.base import Backend
    from guard.clock import Clock
    from guard.core.priority import Shares
    from guard.events import PoolObserver, Recorder
    from guard.settings import Settings


def backend_by(settings: Settings, observer: PoolObserver, clock: Clock) -> Backend | None:
    """Return the backend that the database URL names, not opened; None without a URL.

    Raises:
        SettingsError: there is none for that URL.
    """
    if not settings.database_url:
        return None
    kind = kind_of(settings.database_url)
    bounds = Bounds(WAIT_BOUND_FACTOR * settings.read_wait_budget_s, settings.statement_timeout_s)
    if kind is DatabaseKind.DUCKDB:
        return _duckdb(settings, observer, clock, bounds)
    if kind is DatabaseKind.POSTGRES:
        return _postgres(settings, observer, clock, bounds)
    raise SettingsError(
        [BadSetting("GUARD_DATABASE_URL", "(unknown scheme)", "duckdb:/// or postgresql://")]
    )


def _duckdb(settings: Settings, observer: PoolObserver, clock: Clock, bounds: Bounds) -> Backend:
    from guard.backends.duckdb import DuckDBBackend, DuckDBConfig

    config = DuckDBConfig(
        path=settings.database_url.removeprefix("duckdb:///"),
        readers=settings.read_pool_size,
        write_batch_max=settings.write_batch_max,
        memory_mib=settings.duckdb_memory_mib,
        statement_timeout_s=settings.statement_timeout_s,
        result_rows_max=settings.result_rows_max,
        bounds=bounds,
    )
    return DuckDBBackend(config, observer, clock)


def _postgres(settings: Settings, observer: PoolObserver, clock: Clock, bounds: Bounds) -> Backend:
    from guard.backends.postgres import PostgresBackend, PostgresConfig

    config = PostgresConfig(
        write_url=settings.database_url,
        read_url=settings.database_read_url,
        read_pool_size=settings.read_pool_size,
        write_pool_size=settings.write_pool_size,
        statement_timeout_s=settings.statement_timeout_s,
        connect_timeout_s=settings.connect_timeout_s,
        probe_timeout_s=settings.probe_timeout_s,
        tcp_keepalive_s=settings.tcp_keepalive_s,
        tcp_user_timeout_s=settings.tcp_user_timeout_s,
        result_rows_max=settings.result_rows_max,
        lock_sample_s=settings.lock_sample_s,
        show_queries=settings.status_show_queries,
        replica_lag_max_s=settings.replica_lag_max_s,
        replica_wait_s=settings.replica_wait_s,
        pooled=settings.pgbouncer,
        pooler_url=settings.pgbouncer_admin_url,
        pooler_wait_s=min(settings.read_wait_budget_s, settings.write_wait_budget_s) / 2,
        bounds=bounds,
    )
    return PostgresBackend(config, observer, clock)


def rules_by(settings: Settings, shares: Shares | None) -> Rules:
    """Return what the settings say to the controller."""
    read = Limits(
        settings.policy,
        settings.read_pool_size + settings.read_waiters,
        settings.read_waiters,
        settings.read_wait_budget_s,
        settings.pool_threshold_ratio,
    )
    write = Limits(
        settings.policy,
        settings.write_pool_size + settings.write_waiters,
        settings.write_waiters,
        settings.write_wait_budget_s,
        settings.pool_threshold_ratio,
    )
    return Rules(
        lanes={Lane.READ: read, Lane.WRITE: write},
        mode=settings.mode,
        deadline_s=settings.deadline_s,
        statement_timeout_s=settings.statement_timeout_s,
        retry_after_min_s=settings.retry_after_min_s,
        retry_after_max_s=settings.retry_after_max_s,
        shares=shares,
        fair=settings.fairness != "off",
        queue_order=settings.queue_order,
    )


def book_by(settings: Settings, recorder: Recorder, clock: Clock) -> AppointmentBook | None:
    """Return the worker's appointment book; None where nobody keeps one."""
    # A recorder that is no row of a board does not know what was decided.
    if settings.retry_after_policy is not RetryPolicy.BOOK or not isinstance(recorder, WorkerRow):
        return None
    bounds_s = settings.retry_after_min_s, settings.retry_after_max_s
    return AppointmentBook(recorder.siblings, clock, draw, recorder, *bounds_s)


def slots_by(settings: Settings, backend: Backend | None) -> dict[Lane, Callable[[], int]]:
    """Return what tells how many requests each lane's pool can serve at once now."""
    if backend is None:
        return {
            Lane.READ: lambda: settings.read_pool_size,
            Lane.WRITE: lambda: settings.write_pool_size,
        }
    return {
        Lane.READ: lambda: backend.signals(Lane.READ).slots,
        Lane.WRITE: lambda: backend.signals(Lane.WRITE).slots,
    }


def draw() -> float:
    """Return a uniform random number in ``[0, 1)``."""
    return random.random()  # noqa: S311 - spreads clients, protects nothing
