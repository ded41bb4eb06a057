from __future__ import annotations

import math
from dataclasses import replace

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from guard.backends.postgres import PostgresConfig
from guard.backends.postgres.config import milliseconds
from guard.backends.postgres.hosts import is_crowded
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


def test_through_a_pooler_nothing_is_asked_for_that_it_refuses() -> None:
    config = PostgresConfig(write_url=f"{URL}?target_session_attrs=any", pooled=True)
    for lane in Lane:
        found = conninfo_to_dict(config.conninfo(lane))
        assert "options" not in found
        assert found["fallback_application_name"] == f"guard-{lane}"
    assert "target_session_attrs" not in PostgresConfig(write_url=URL, pooled=True).conninfo(
        Lane.WRITE
    )


def test_writes_try_each_host_by_itself_and_reads_leave_it_to_the_driver() -> None:
    both = "postgresql://user:secret@a:1,b/name?load_balance_hosts=random"
    config = PostgresConfig(write_url=both, read_url=both)
    writes = config.places(Lane.WRITE)
    assert [place.name for place in writes] == ["a:1", "b:5432"]
    found = [conninfo_to_dict(place.conninfo) for place in writes]
    assert [(one["host"], one.get("port")) for one in found] == [("a", "1"), ("b", "")]
    assert {one["target_session_attrs"] for one in found} == {"read-write"}
    assert all("load_balance_hosts" not in one for one in found)
    [reads] = config.places(Lane.READ)
    assert (reads.name, conninfo_to_dict(reads.conninfo)["host"]) == ("", "a,b")
    [alone] = PostgresConfig(write_url=URL).places(Lane.WRITE)
    assert alone == ("", PostgresConfig(write_url=URL).conninfo(Lane.WRITE))


def test_replicas_are_watched_where_a_lag_is_allowed_and_the_primary_can_take_their_reads() -> None:
    config = PostgresConfig(write_url="postgresql://u@a,b/n", read_url="postgresql://u@b:7,c:7/n")
    assert config.replicas() == []
    watched = replace(config, replica_lag_max_s=1.0)
    assert [place.name for place in watched.replicas()] == ["b:7", "c:7"]
    fallback = [conninfo_to_dict(place.conninfo) for place in watched.fallback()]
    assert [one["host"] for one in fallback] == ["a", "b"]
    assert {one["target_session_attrs"] for one in fallback} == {"primary"}
    assert all("default_transaction_read_only=on" in one["options"] for one in fallback)


@pytest.mark.parametrize(
    ("name", "held", "allowed", "crowded"),
    [
        ("a", {"a": 4}, ["a"], False),
        ("a", {"a": 3, "b": 1}, ["a", "b"], True),
        ("b", {"a": 3, "b": 1}, ["a", "b"], False),
        ("a", {"a": 2, "b": 2}, ["a", "b"], False),
        ("a", {"a": 2, "b": 1, "c": 1}, ["a", "b", "c"], False),
        ("a", {"a": 2, "b": 2}, ["a", "b", "c"], True),
        ("primary", {"primary": 4}, ["primary"], False),
    ],
)
def test_connections_are_spread_evenly_over_who_may_be_read_from(
    name: str, held: dict[str, int], allowed: list[str], *, crowded: bool
) -> None:
    assert is_crowded(name, held, allowed) is crowded


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
