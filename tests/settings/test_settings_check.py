from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from guard.backends.postgres.limits import server_limits
from guard.core.sizing import ServerLimits
from guard.errors import BackendFailed
from guard.settings import load
from guard.settings.check import check

if TYPE_CHECKING:
    from pathlib import Path

    from guard.settings.check import Report

URL = {"GUARD_DATABASE_URL": "postgresql://u:hunter2@h/db"}
READ = {"GUARD_DATABASE_READ_URL": "postgresql://u:hunter2@r/db"}


def run(environ: dict[str, str], *limits: ServerLimits, memory_mib: int = 4096) -> Report:
    answers = iter(limits)

    def ask(_url: str, timeout_s: float) -> ServerLimits:
        assert timeout_s == 2.0
        return next(answers)

    return check(load(environ, cores=2).settings, memory_mib=memory_mib, ask=ask)


def test_the_figures_are_told() -> None:
    report = run({**URL, "GUARD_WRITE_WAIT_BUDGET": "1s"}, ServerLimits(100, 3))
    lane = "4 connections + 12 waiting = 16 requests at once per worker, wait budget"
    allowed = "allows 97 connections (max_connections 100, 3 reserved)"
    assert report.lines == [
        ("mode", "enforce, policy predictive"),
        ("database", "postgresql://u:***@h/db"),
        ("workers", "2"),
        ("threads", "36 per worker, 4 in reserve"),
        ("read lane", f"{lane} 200ms"),
        ("write lane", f"{lane} 1s"),
        ("memory", "up to about 200 MiB (2 x about 100 MiB) of 4096 MiB"),
        ("server", f"{allowed}; 20 wanted, 40 in a reload"),
    ]
    assert report.text.startswith("mode        enforce, policy predictive\ndatabase    postgresql")
    assert (report.problems, report.unavailable, report.warnings) == ([], [], [])


def test_a_server_with_too_few_connections_is_a_problem() -> None:
    (problem,) = run(URL, ServerLimits(22, 3)).problems
    assert problem.startswith("server: 2 workers x")
    assert "PostgreSQL allows 19" in problem


def test_too_few_for_a_reload_is_a_warning_as_it_is_at_the_start() -> None:
    report = run(URL, ServerLimits(30, 3))
    (warning,) = report.warnings
    assert "PostgreSQL allows 27" in warning
    assert not report.problems


def test_each_server_is_asked_for_its_own_pools() -> None:
    report = run({**URL, **READ}, ServerLimits(24, 0), ServerLimits(11, 0))
    assert "12 wanted" in report.lines[-2][1]
    assert "12 wanted" in report.lines[-1][1]
    (problem,) = report.problems
    assert problem.startswith("read server: ")
    assert "reads from postgresql://u:***@r/db" in report.text


def test_with_replicas_the_primary_needs_room_for_reads_too() -> None:
    report = run({**URL, **READ, "GUARD_REPLICA_LAG_MAX": "5s"}, *[ServerLimits(40, 0)] * 2)
    assert "20 wanted" in report.lines[-2][1]
    assert "12 wanted" in report.lines[-1][1]


def test_behind_pgbouncer_no_server_is_asked_for_room() -> None:
    report = run({**URL, "GUARD_PGBOUNCER": "true"})
    assert report.lines[-1] == ("pgbouncer", "must let 40 clients in (max_client_conn)")
    assert (report.problems, report.warnings) == ([], [])


def test_a_server_that_does_not_answer_is_told_apart() -> None:
    def ask(_url: str, _timeout_s: float) -> ServerLimits:
        raise BackendFailed("gone")

    report = check(load(URL).settings, memory_mib=0, ask=ask)
    assert report.unavailable == ["server postgresql://u:***@h/db: gone"]
    assert not report.problems
    assert "of an unknown amount" in report.text


def test_duckdbs_memory_and_directory_are_looked_at(tmp_path: Path) -> None:
    environ = {"GUARD_DATABASE_URL": f"duckdb:///{tmp_path}/a.duckdb"}
    report = run(environ, memory_mib=996)
    assert not report.warnings
    assert not report.unavailable
    assert "996 MiB (1 x about 100 MiB + DuckDB 512 MiB, at worst x 1.75)" in report.text
    (warning,) = run(environ, memory_mib=995).warnings
    assert "lower GUARD_DUCKDB_MEMORY" in warning
    (missing,) = run({"GUARD_DATABASE_URL": f"duckdb:///{tmp_path}/no/a.duckdb"}).unavailable
    assert f"there is no directory {tmp_path}/no" in missing


def test_what_is_not_wise_is_a_warning() -> None:
    environ = {"GUARD_MODE": "shadow", "GUARD_THREAD_RESERVE": "1", "GUARD_DEADLINE": "2s"}
    reserve, deadline, mode = run(environ).warnings
    assert "GUARD_THREAD_RESERVE=2" in reserve
    assert (
        deadline
        == "GUARD_STATEMENT_TIMEOUT=5s is over GUARD_DEADLINE=2s, which ends the request first"
    )
    assert mode == "GUARD_MODE=shadow: nothing is ever refused"


@pytest.mark.postgres
def test_a_real_server_tells_its_limits(postgres_url: str) -> None:
    limits = server_limits(postgres_url, 5.0)
    assert limits == ServerLimits(80, 3, None)
    assert limits.usable == 77


@pytest.mark.postgres
def test_a_databases_own_limit_counts(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT 7").format(name))
    assert server_limits(postgres_url, 5.0).usable == 7


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter2@127.0.0.1:1/db",
        "postgresql://u:hun%zzter2@127.0.0.1:1/db",
        "postgresql://u@127.0.0.1:hunter2/db?password=hunter2",
    ],
)
def test_a_failure_is_one_line_without_the_password(url: str) -> None:
    with pytest.raises(BackendFailed) as caught:
        server_limits(url, 1.0)
    text = str(caught.value)
    assert text
    assert "\n" not in text
    assert "hunter2" not in text
    assert "ter2" not in text
    assert caught.value.__cause__ is None
