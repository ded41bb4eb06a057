from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from stress.standby import standby_of

if TYPE_CHECKING:
    from service.demo_postgres import DemoServer

pytestmark = [pytest.mark.process, pytest.mark.postgres]


def test_a_standby_follows_and_takes_over(postgres_server: DemoServer, postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as primary:
        primary.execute("CREATE TABLE kept (id integer)")
        with standby_of(postgres_server) as standby:
            url = postgres_url.replace(f":{postgres_server.port}/", f":{standby.port}/")
            primary.execute("INSERT INTO kept VALUES (7)")
            row = primary.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
            assert row is not None
            with psycopg.connect(url, autocommit=True) as other:
                with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                    other.execute("INSERT INTO kept VALUES (8)")
                done = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
                for _ in range(2000):
                    if other.execute(done, row).fetchone() == (True,):
                        break
                    other.execute("SELECT pg_sleep(0.01)")
                standby.promote()
                assert other.execute("SELECT id FROM kept").fetchall() == [(7,)]
                other.execute("INSERT INTO kept VALUES (8)")
