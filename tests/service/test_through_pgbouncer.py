"""The whole application on PostgreSQL behind a real PgBouncer in transaction mode."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from programs import program
from service_client import GOOD, Service, wait_ready

from stress.pgbouncer import PgBouncer

if TYPE_CHECKING:
    from service.demo_postgres import DemoServer

# The protocol checker still asks for what RFC 9110 no longer does.
pytestmark = [
    pytest.mark.postgres,
    pytest.mark.filterwarnings("ignore:Absolute URLs required for location header"),
]


def test_migrations_creates_keys_look_ups_and_searches(
    postgres_server: DemoServer, postgres_url: str
) -> None:
    program("pgbouncer")
    with PgBouncer(postgres_server.url, {"default_pool_size": 2}) as pooler:
        service = Service(
            pooler.url(postgres_url.rpartition("/")[2]), GUARD_PGBOUNCER="true",
            GUARD_PGBOUNCER_ADMIN_URL=pooler.console,
        )  # fmt: skip
        try:
            wait_ready(service.assembly)
            body = json.dumps(GOOD).encode()
            created = service.post(body, content_type="application/json")
            assert created.status_code == 201
            keyed = [
                service.post(
                    body, content_type="application/json", headers={"Idempotency-Key": "a"}
                )
                for _ in range(2)
            ]
            assert keyed[0].get_json() == keyed[1].get_json()
            for _ in range(8):  # more often than the driver runs a statement before it prepares it
                looked_up = service.send("GET", created.headers["Location"])
                assert looked_up.get_json() == created.get_json()
                assert len(service.send("GET", "/warrior?t=KARA").get_json()) == 2
            assert service.send("GET", "/counting-warriors").get_json() == {"count": 2}
        finally:
            service.assembly.close()
