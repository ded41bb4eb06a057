"""The checks that look at more than one setting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard.core import sizing
from guard.core.sizing import DatabaseKind
from guard.errors import BadSetting
from guard.settings.durations import format_duration
from guard.settings.forms import is_loopback, kind_of
from guard.settings.masking import MASK, mask_url
from guard.settings.model import specs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    Values = Mapping[str, Any]

SIZES: Final = (
    "workers", "threads", "thread_reserve",
    "read_pool_size", "read_waiters", "write_pool_size", "write_waiters",
)  # fmt: skip
"""The fields of ``Sizing`` in the settings."""

_LAG_LEAST_S: Final = 0.5


class Rule(NamedTuple):
    """One check.

    Attributes:
        fields: what it looks at; it is skipped where one of them is already bad.
        check: yields what is wrong.
    """

    fields: tuple[str, ...]
    check: Callable[[Values], Iterator[BadSetting]]


def broken(values: Values, bad: Collection[str]) -> Iterator[BadSetting]:
    """Yield what is wrong between the settings.

    Args:
        values: every field's value.
        bad: fields whose own value is already known to be wrong.
    """
    for rule in RULES:
        if not any(field in bad for field in rule.fields):
            yield from rule.check(values)


def _env(field: str) -> str:
    return specs()[field].env


def _retry_after(values: Values) -> Iterator[BadSetting]:
    low_s, high_s = values["retry_after_min_s"], values["retry_after_max_s"]
    if low_s > high_s:
        allowed = f"must be at most {_env('retry_after_max_s')}, which is {high_s}s"
        yield BadSetting(_env("retry_after_min_s"), f"{low_s}s", allowed)


def _breaker_pause(values: Values) -> Iterator[BadSetting]:
    first_s, longest_s = values["breaker_open_s"], values["breaker_open_max_s"]
    if first_s > longest_s:
        longest = f"{_env('breaker_open_max_s')}, which is {format_duration(longest_s)}"
        allowed = f"must be at most {longest}"
        yield BadSetting(_env("breaker_open_s"), format_duration(first_s), allowed)


def _probe(values: Values) -> Iterator[BadSetting]:
    probe_s, deadline_s = values["probe_timeout_s"], values["deadline_s"]
    if probe_s > deadline_s:
        allowed = (
            f"must be at most {_env('deadline_s')}, which is {format_duration(deadline_s)}: a "
            "database that is slower would be called healthy while every request fails"
        )
        yield BadSetting(_env("probe_timeout_s"), format_duration(probe_s), allowed)


def _admin_port(values: Values) -> Iterator[BadSetting]:
    bind, port = values["admin_bind"], values["port"]
    if bind.rpartition(":")[2].lstrip("0") == str(port):
        allowed = f"must be another port than the service's own, {_env('port')}={port}"
        yield BadSetting(_env("admin_bind"), bind, allowed)


def _admin_token(values: Values) -> Iterator[BadSetting]:
    bind = values["admin_bind"]
    if bind != "off" and not is_loopback(bind) and not values["admin_token"]:
        allowed = f"needs {_env('admin_token')}: other machines reach this address"
        hint = f"{_env('admin_token')}=$(openssl rand -hex 24), or {_env('admin_bind')}=127.0.0.1"
        yield BadSetting(_env("admin_bind"), bind, allowed, hint)


def _classes(values: Values) -> Iterator[BadSetting]:
    sheddable, normal = values["sheddable_budget_ratio"], values["normal_budget_ratio"]
    if sheddable > normal:
        allowed = f"must be at most {_env('normal_budget_ratio')}, which is {normal:g}"
        yield BadSetting(_env("sheddable_budget_ratio"), f"{sheddable:g}", allowed)


def _client_key(values: Values) -> Iterator[BadSetting]:
    by_header, header = values["fairness"] == "header", values["client_key_header"]
    if by_header and header == "off":
        allowed = f"with {_env('fairness')}=header the header must be named"
        yield BadSetting(_env("client_key_header"), header, allowed, "X-Real-IP")


def _believed(values: Values) -> Iterator[BadSetting]:
    for field in ("priority_header", "client_key_header"):
        if values[field] != "off" and not values["trusted_proxies"]:
            allowed = f"is believed only from {_env('trusted_proxies')}, which names nobody"
            yield BadSetting(_env(field), values[field], allowed)


def _read_url(values: Values) -> Iterator[BadSetting]:
    url, read_url = values["database_url"], values["database_read_url"]
    if not read_url:
        return
    name, text = _env("database_read_url"), mask_url(read_url)
    if kind_of(read_url) is not DatabaseKind.POSTGRES:
        yield BadSetting(name, text, "must be postgresql://: only it has other hosts to read from")
    elif kind_of(url) is not DatabaseKind.POSTGRES:
        yield BadSetting(name, text, f"needs a postgresql:// {_env('database_url')} beside it")


def _replicas(values: Values) -> Iterator[BadSetting]:
    name, lag_s = _env("replica_lag_max_s"), values["replica_lag_max_s"]
    text = format_duration(lag_s)
    if lag_s and not values["database_read_url"]:
        yield BadSetting(name, text, f"needs {_env('database_read_url')}, which names the replicas")
    elif lag_s and values["pgbouncer"]:
        allowed = f"must be 0 with {_env('pgbouncer')}=true, which hides who answers"
        yield BadSetting(name, text, allowed)
    elif 0 < lag_s < _LAG_LEAST_S:
        least = format_duration(_LAG_LEAST_S)
        yield BadSetting(
            name, text, f"must be 0 or at least {least}: there are five looks a second"
        )
    if values["read_your_writes_key"] and not lag_s:
        allowed = f"needs {name}: without replicas each read sees each write"
        yield BadSetting(_env("read_your_writes_key"), MASK, allowed)


def _pgbouncer(values: Values) -> Iterator[BadSetting]:
    admin_url = values["pgbouncer_admin_url"]
    if values["pgbouncer"] and kind_of(values["database_url"]) is not DatabaseKind.POSTGRES:
        allowed = f"needs a postgresql:// {_env('database_url')}"
        yield BadSetting(_env("pgbouncer"), "true", allowed)
    if not admin_url:
        return
    name, text = _env("pgbouncer_admin_url"), mask_url(admin_url)
    if kind_of(admin_url) is not DatabaseKind.POSTGRES:
        yield BadSetting(name, text, "must be postgresql://, as PgBouncer's console is")
    elif not values["pgbouncer"]:
        yield BadSetting(name, text, f"needs {_env('pgbouncer')}=true beside it")


def _duckdb(values: Values) -> Iterator[BadSetting]:
    if kind_of(values["database_url"]) is not DatabaseKind.DUCKDB:
        return
    if values["workers"] != 1:
        allowed = "must be 1 with DuckDB: one process at a time can open the file"
        yield BadSetting(_env("workers"), str(values["workers"]), allowed)
    if values["write_pool_size"] != 1:
        hint = f"more writes may wait: {_env('write_waiters')}"
        allowed = "must be 1 with DuckDB: one writer commits for all"
        yield BadSetting(_env("write_pool_size"), str(values["write_pool_size"]), allowed, hint)


def _adaptive(values: Values) -> Iterator[BadSetting]:
    if values["adaptive"] and values["workers"] != 1:
        allowed = (
            f"must be false with {_env('workers')}={values['workers']}: each worker would see "
            "its own share of the throughput only, which grows with its share of the connections"
        )
        yield BadSetting(_env("adaptive"), "true", allowed)


def _jobs(values: Values) -> Iterator[BadSetting]:
    if values["jobs"] != "off" and not values["database_url"]:
        allowed = (
            f"must be off without {_env('database_url')}: a request holds its permit as a whole, "
            "and one without never reaches the application, which could put its write off"
        )
        yield BadSetting(_env("jobs"), values["jobs"], allowed)


def _redis_of(field: str) -> Callable[[Values], Iterator[BadSetting]]:
    def check(values: Values) -> Iterator[BadSetting]:
        url = f"{field}_redis_url"
        if values[field] == "redis" and not values[url]:
            allowed = f"must be set with {_env(field)}=redis"
            yield BadSetting(_env(url), "", allowed, "redis://127.0.0.1:6379/0")

    return check


def _fires(values: Values) -> Iterator[BadSetting]:
    sizes = sizing.Sizing(**{field: values[field] for field in SIZES})
    most = specs()["threads"].high
    if most is not None and sizes.threads > most:
        allowed = (
            f"the lanes can hold {sizes.needed} threads, and with {sizes.thread_reserve} in "
            f"reserve that is more than {most:.0f}"
        )
        hint = "lower the pool sizes or the waiters"
        yield BadSetting(_env("threads"), str(sizes.threads), allowed, hint)
    for finding in sizing.can_fire(sizes):
        if finding.fatal:
            yield BadSetting(_env("threads"), str(sizes.threads), finding.text)


RULES: Final = (
    Rule(("retry_after_min_s", "retry_after_max_s"), _retry_after),
    Rule(("breaker_open_s", "breaker_open_max_s"), _breaker_pause),
    Rule(("probe_timeout_s", "deadline_s"), _probe),
    Rule(("admin_bind", "port"), _admin_port),
    Rule(("admin_bind", "admin_token"), _admin_token),
    Rule(("normal_budget_ratio", "sheddable_budget_ratio"), _classes),
    Rule(("fairness", "client_key_header"), _client_key),
    Rule(("trusted_proxies", "priority_header", "client_key_header"), _believed),
    Rule(("database_url", "database_read_url"), _read_url),
    Rule(
        ("database_read_url", "replica_lag_max_s", "pgbouncer", "read_your_writes_key"), _replicas
    ),
    Rule(("database_url", "pgbouncer", "pgbouncer_admin_url"), _pgbouncer),
    Rule(("database_url", "workers", "write_pool_size"), _duckdb),
    Rule(("adaptive", "workers"), _adaptive),
    Rule(("cache", "cache_redis_url"), _redis_of("cache")),
    Rule(("jobs", "jobs_redis_url"), _redis_of("jobs")),
    Rule(("jobs", "database_url"), _jobs),
    Rule(("database_url", *SIZES), _fires),
)
"""All checks, in the order in which they are told."""
