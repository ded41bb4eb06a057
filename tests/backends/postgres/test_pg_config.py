from __future__ import annotations

import math

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from guard.backends.postgres import PostgresConfig
from guard.backends.postgres.config import milliseconds
from guard.core.vocabulary import Lane

URL = "postgresql://user:secret@127.0.0.1:5432/name"


def test_the_read_lane_is_read_only_and_the_write_lane_wants_the_primary() -> None:
    config = PostgresConfig(write_url=URL, statement_timeout_s=1.5)
    read = conninfo_to_dict(config.conninfo(Lane.READ))
    write = conninfo_to_dict(config.conninfo(Lane.WRITE))
    assert "-c default_transaction_read_only=on" in read["options"]
    assert "-c statement_timeout=1500" in read["options"]
    assert "read_only" not in write["options"]
    assert write["target_session_attrs"] == "read-write"
    assert "target_session_attrs" not in read
    assert (read["user"], read["host"], read["port"]) == ("user", "127.0.0.1", "5432")


def test_what_the_url_says_wins() -> None:
    url = f"{URL}?target_session_attrs=any&options=-c%20search_path%3Da&keepalives_idle=9"
    write = conninfo_to_dict(PostgresConfig(write_url=url).conninfo(Lane.WRITE))
    assert (write["target_session_attrs"], str(write["keepalives_idle"])) == ("any", "9")
    assert write["options"].startswith("-c search_path=a -c statement_timeout=")


def test_reads_go_to_the_read_host_where_there_is_one() -> None:
    config = PostgresConfig(write_url=URL, read_url="postgresql://replica/name")
    assert conninfo_to_dict(config.conninfo(Lane.READ))["host"] == "replica"
    assert conninfo_to_dict(config.conninfo(Lane.WRITE))["host"] == "127.0.0.1"


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(PostgresConfig(write_url=URL, read_url=URL))


def test_a_url_that_cannot_be_parsed_is_an_error() -> None:
    with pytest.raises(psycopg.ProgrammingError):
        PostgresConfig(write_url="postgresql://[").conninfo(Lane.READ)


def test_the_drivers_connect_timeout_is_whole_seconds() -> None:
    config = PostgresConfig(write_url=URL, connect_timeout_s=2.2)
    assert str(conninfo_to_dict(config.conninfo(Lane.READ))["connect_timeout"]) == "3"


@pytest.mark.parametrize(
    ("seconds", "text"), [(math.inf, "0"), (0.0001, "1"), (1.5, "1500"), (0.2001, "201")]
)
def test_a_timeout_is_whole_milliseconds_and_never_none_by_rounding(
    seconds: float, text: str
) -> None:
    assert milliseconds(seconds) == text


def test_what_watches_the_peer_is_set() -> None:
    config = PostgresConfig(write_url=URL, tcp_keepalive_s=1.2, tcp_user_timeout_s=0.25)
    found = conninfo_to_dict(config.conninfo(Lane.READ))
    names = ("keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout")
    assert [str(found[name]) for name in names] == ["2", "2", "3", "250"]
