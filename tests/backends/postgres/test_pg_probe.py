"""What a probe finds out, on a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from guard.backends.postgres.probe import probe
from guard.clock import MonotonicClock
from guard.core.vocabulary import Lane, Outcome
from guard.errors import BackendFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.backends.postgres import PostgresBackend
    from service.demo_postgres import DemoServer

pytestmark = pytest.mark.postgres


def test_a_write_probe_wants_a_host_that_takes_writes(
    postgres_url: str, backend: PostgresBackend, make_backend: Callable[..., PostgresBackend]
) -> None:
    # With its URL's own word a connection is made to any host, and only the write tells.
    anywhere = make_backend(f"{postgres_url}?target_session_attrs=any", opened=False)
    name = postgres_url.rpartition("/")[2]
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    for each, told in ((backend, "session is read-only"), (anywhere, "read-only transaction")):
        each.probe(Lane.READ, 5.0)
        with pytest.raises(BackendFailed, match=told):
            each.probe(Lane.WRITE, 5.0)


def test_a_write_probe_wants_files_to_grow(
    fault_server: DemoServer, make_backend: Callable[..., PostgresBackend]
) -> None:
    backend = make_backend(fault_server.url)
    with psycopg.connect(fault_server.url, autocommit=True) as admin:
        row = admin.execute("SELECT pg_relation_filepath('pg_class')").fetchone()
        assert row is not None
        folder = (fault_server.data_dir / row[0]).parent
        folder.chmod(0o500)
        try:
            backend.probe(Lane.READ, 5.0)
            with pytest.raises(BackendFailed, match="could not create file"):
                backend.probe(Lane.WRITE, 5.0)
            with pytest.raises(BackendFailed) as caught:
                backend.write(lambda s: s.execute("CREATE TABLE more (id integer)"))
        finally:
            folder.chmod(0o700)
    assert backend.classify(caught.value) is Outcome.FAILURE
    backend.probe(Lane.WRITE, 5.0)


def test_a_write_probe_leaves_nothing_behind_and_needs_no_right(postgres_url: str) -> None:
    name = postgres_url.rpartition("/")[2]
    count = "SELECT count(*) FROM pg_class"
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        before = admin.execute(count).fetchone()
        probe(postgres_url, Lane.WRITE, 5.0, MonotonicClock())
        assert admin.execute(count).fetchone() == before
        admin.execute("DROP ROLE IF EXISTS probed")
        admin.execute("CREATE ROLE probed LOGIN PASSWORD 'probed'")
        admin.execute(f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC")
        host = postgres_url.partition("@")[2]
        # It may make no temporary tables; that is no reason to refuse its requests.
        probe(f"postgresql://probed:probed@{host}", Lane.WRITE, 5.0, MonotonicClock())
        admin.execute("DROP ROLE probed")
