from __future__ import annotations

import pickle
import traceback
from typing import TYPE_CHECKING

import pytest

from guard.core.vocabulary import Mode
from guard.errors import SettingsError
from guard.settings import Loaded, Source, load
from guard.settings.model import specs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

POSTGRES = {"GUARD_DATABASE_URL": "postgresql://u:hunter2@h/db"}
REPLICA = {**POSTGRES, "GUARD_DATABASE_READ_URL": "postgresql://u:hunter2@r,s/db"}
DUCKDB = {"GUARD_DATABASE_URL": "duckdb:///a.duckdb"}


def problems(environ: Mapping[str, str], **overrides: object) -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        load(environ, overrides=overrides, cores=2)
    return {problem.name: str(problem) for problem in caught.value.problems}


def test_nothing_given_is_all_defaults() -> None:
    loaded = load({}, cores=2)
    assert loaded.settings.port == 8000
    assert loaded.sources["port"] is Source.DEFAULT
    assert loaded.sources["threads"] is Source.DERIVED
    assert list(loaded.sources) == list(specs())
    assert (loaded.settings.workers, loaded.settings.threads) == (2, 18)


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARD_MODE", "shadow")
    assert load().settings.mode is Mode.SHADOW


def test_a_later_source_wins(tmp_path: Path) -> None:
    file = tmp_path / "guard.env"
    file.write_text("GUARD_MODE=shadow\nGUARD_DEADLINE=1s\nGUARD_PROBE_TIMEOUT=100ms\n")
    environ = {"GUARD_CONFIG_FILE": str(file), "GUARD_DEADLINE": "2s", "GUARD_PROBE_TIMEOUT": "1s"}
    loaded = load(environ, overrides={"probe_timeout_s": 0.2, "log_level": None})
    assert loaded.settings.mode is Mode.SHADOW
    assert loaded.settings.deadline_s == 2.0
    assert loaded.settings.probe_timeout_s == 0.2
    found = {
        loaded.sources[name] for name in ("mode", "deadline_s", "probe_timeout_s", "log_level")
    }
    assert found == {Source.FILE, Source.ENVIRONMENT, Source.CODE, Source.DEFAULT}


def test_an_empty_value_is_not_set(tmp_path: Path) -> None:
    file = tmp_path / "guard.env"
    file.write_text("GUARD_MODE=shadow\nGUARD_POLICY=\n")
    loaded = load({"GUARD_CONFIG_FILE": str(file), "GUARD_MODE": "", "GUARD_THREADS": " "})
    assert loaded.sources["mode"] is Source.FILE
    assert loaded.sources["policy"] is Source.DEFAULT
    assert loaded.sources["threads"] is Source.DERIVED


def test_a_file_may_have_comments_quotes_and_spaces(tmp_path: Path) -> None:
    file = tmp_path / "guard.env"
    file.write_text(
        "\ufeff# x\r\n\n GUARD_MODE = 'shadow' \r\nPORT=\"9000\"\n  # y\nGUARD_TEST_X=1\n"
    )
    settings = load({"GUARD_CONFIG_FILE": str(file)}).settings
    assert (settings.mode, settings.port) == (Mode.SHADOW, 9000)


def test_what_is_wrong_in_a_file_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "guard.env"
    lines = ("GUARD_MODE=loud", "no equals", "GUARD_POLICY=static", "GUARD_POLICY=static",
             "export PORT=1", "GUARD_CONFIG_FILE=/x", "HOME=/root", "GUARD_MODDE=x")  # fmt: skip
    file.write_text("\n".join(lines))
    with pytest.raises(SettingsError) as caught:
        load({"GUARD_CONFIG_FILE": str(file)})
    text = str(caught.value)
    assert f"GUARD_MODE='loud': must be one of enforce, shadow, off ({file}, line 1)" in text
    assert "line 2: is not NAME=VALUE" in text
    assert f"line 4: GUARD_POLICY is already in {file}, line 3" in text
    assert "line 5: is not NAME=VALUE" in text
    assert "line 6: GUARD_CONFIG_FILE can't stand in the file itself" in text
    assert f"HOME='***': there is no such setting ({file}, line 7)" in text
    assert f"(did you mean GUARD_MODE?, {file}, line 8)" in text


@pytest.mark.parametrize("content", [None, b"\xff\xfe=x", b"#" * ((1 << 20) + 1)])
def test_a_file_that_can_not_be_read(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "guard.env"
    if content is not None:
        file.write_bytes(content)
    found = problems({"GUARD_CONFIG_FILE": str(file)})
    assert "must be a file that can be read" in found["GUARD_CONFIG_FILE"]


def test_a_secret_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(POSTGRES["GUARD_DATABASE_URL"] + "\n")
    loaded = load({"GUARD_DATABASE_URL_FILE": str(file)})
    assert loaded.settings.database_url == POSTGRES["GUARD_DATABASE_URL"]
    assert loaded.sources["database_url"] is Source.ENVIRONMENT
    config = tmp_path / "guard.env"
    config.write_text(f"GUARD_DATABASE_URL_FILE={file}")
    assert load({"GUARD_CONFIG_FILE": str(config)}).sources["database_url"] is Source.FILE


def test_secret_files_that_can_not_be_used(tmp_path: Path) -> None:
    empty, wrong = tmp_path / "empty", tmp_path / "wrong"
    empty.touch()
    wrong.write_text("postgresql://u:hunter2@h:x/db")
    name = "GUARD_DATABASE_URL_FILE"
    assert "the file is empty" in problems({name: str(empty)})[name]
    assert "No such file" in problems({name: str(tmp_path / "none")})[name]
    assert "can be read" in problems({name: "a\x00b"})[name]
    assert "give one" in problems({name: str(wrong), **POSTGRES})[name]
    found = problems({name: str(wrong)})["GUARD_DATABASE_URL"]
    assert f"read from {wrong}" in found
    assert "hunter2" not in found


def test_the_environment_mends_what_the_file_has_wrong(tmp_path: Path) -> None:
    config = tmp_path / "guard.env"
    config.write_text("GUARD_RETRY_AFTER_MIN=90\n")
    environ = {"GUARD_CONFIG_FILE": str(config), "GUARD_RETRY_AFTER_MIN": "2"}
    assert load(environ).settings.retry_after_min_s == 2


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("GUARD_MODDE", "did you mean GUARD_MODE?"),
        ("GUARD_DATABASE_URI", "did you mean GUARD_DATABASE_URL?"),
        ("GUARD_mode", "did you mean GUARD_MODE?"),
        ("GUARD_DATABASE_URL_FIEL", "did you mean GUARD_DATABASE_URL_FILE?"),
        ("GUARD_PORT_8000_TCP_ADDR", "enableServiceLinks"),
        ("GUARD_SERVICE_HOST", "enableServiceLinks"),
        ("GUARD_", "there is no such setting"),
    ],
)
def test_unknown_names_are_refused_without_their_value(name: str, hint: str) -> None:
    found = problems({name: "hunter2"})[name]
    assert hint in found
    assert "hunter2" not in found


def test_names_of_others_and_of_the_tests_are_left_alone() -> None:
    load({"GUARD_TEST_ANYTHING": "x", "HOME": "/", "guard_mode": "x", "GUARDIAN": "x"})


def test_overrides_have_field_names_and_are_checked() -> None:
    found = problems({}, prot=1, port=0, deadline_s="1 year")
    assert "did you mean port?" in found["prot"]
    assert "must be a whole number from 1 to 65535 (given in code)" in found["PORT"]
    assert "GUARD_DEADLINE" in found
    assert load({}, overrides={"mode": Mode.OFF, "deadline_s": "1m"}).settings.deadline_s == 60.0


@pytest.mark.parametrize(
    ("environ", "name", "text"),
    [
        (
            {"GUARD_RETRY_AFTER_MIN": "9", "GUARD_RETRY_AFTER_MAX": "8"},
            "GUARD_RETRY_AFTER_MIN",
            "at most GUARD_RETRY_AFTER_MAX, which is 8s",
        ),
        ({"GUARD_RETRY_AFTER_MIN": "1.5"}, "GUARD_RETRY_AFTER_MIN", "urllib3"),
        ({"GUARD_RETRY_AFTER_MAX": "1500ms"}, "GUARD_RETRY_AFTER_MAX", "urllib3"),
        (
            {"GUARD_BREAKER_OPEN": "20s"},
            "GUARD_BREAKER_OPEN",
            "at most GUARD_BREAKER_OPEN_MAX, which is 1.5s",
        ),
        ({"GUARD_PROBE_TIMEOUT": "11s"}, "GUARD_PROBE_TIMEOUT", "at most GUARD_DEADLINE"),
        (
            {"GUARD_ADMIN_BIND": "0.0.0.0:8000", "GUARD_ADMIN_TOKEN": "0" * 16},
            "GUARD_ADMIN_BIND",
            "another port",
        ),
        ({"PORT": "8001"}, "GUARD_ADMIN_BIND", "another port"),
        ({"GUARD_ADMIN_BIND": "0.0.0.0:1"}, "GUARD_ADMIN_BIND", "needs GUARD_ADMIN_TOKEN"),
        ({"GUARD_ADMIN_TOKEN": "short"}, "GUARD_ADMIN_TOKEN", "16 to 512"),
        ({"GUARD_ADMIN_BIND": "8001"}, "GUARD_ADMIN_BIND", "host:port"),
        ({"GUARD_PROBLEM_TYPE": "a\nb"}, "GUARD_PROBLEM_TYPE", "control"),
        (
            {"GUARD_DATABASE_READ_URL": "postgres://h"},
            "GUARD_DATABASE_READ_URL",
            "needs a postgresql://",
        ),
        (
            {**DUCKDB, "GUARD_DATABASE_READ_URL": "postgres://h"},
            "GUARD_DATABASE_READ_URL",
            "needs a postgresql://",
        ),
        (
            {**POSTGRES, "GUARD_DATABASE_READ_URL": "duckdb:///x"},
            "GUARD_DATABASE_READ_URL",
            "must be postgresql://",
        ),
        ({**POSTGRES, "GUARD_REPLICA_LAG_MAX": "5s"}, "GUARD_REPLICA_LAG_MAX", "needs GUARD_DATA"),
        ({**REPLICA, "GUARD_REPLICA_LAG_MAX": "0.1"}, "GUARD_REPLICA_LAG_MAX", "at least 500ms"),
        (
            {**REPLICA, "GUARD_REPLICA_LAG_MAX": "1", "GUARD_PGBOUNCER": "true"},
            "GUARD_REPLICA_LAG_MAX",
            "must be 0 with GUARD_PGBOUNCER",
        ),
        (
            {**REPLICA, "GUARD_READ_YOUR_WRITES_KEY": "sixteen letters!".replace(" ", "-")},
            "GUARD_READ_YOUR_WRITES_KEY",
            "needs GUARD_REPLICA_LAG_MAX",
        ),
        ({"GUARD_PGBOUNCER": "true"}, "GUARD_PGBOUNCER", "needs a postgresql://"),
        ({**DUCKDB, "GUARD_PGBOUNCER": "true"}, "GUARD_PGBOUNCER", "needs a postgresql://"),
        (
            {**POSTGRES, "GUARD_PGBOUNCER_ADMIN_URL": "postgresql://u:hunter2@h/pgbouncer"},
            "GUARD_PGBOUNCER_ADMIN_URL",
            "needs GUARD_PGBOUNCER=true",
        ),
        (
            {**POSTGRES, "GUARD_PGBOUNCER": "1", "GUARD_PGBOUNCER_ADMIN_URL": "duckdb:///x"},
            "GUARD_PGBOUNCER_ADMIN_URL",
            "must be postgresql://",
        ),
        ({**DUCKDB, "GUARD_WORKERS": "2"}, "GUARD_WORKERS", "must be 1 with DuckDB"),
        (
            {**DUCKDB, "GUARD_WRITE_POOL_SIZE": "2"},
            "GUARD_WRITE_POOL_SIZE",
            "must be 1 with DuckDB",
        ),
        ({**POSTGRES, "GUARD_THREADS": "9"}, "GUARD_THREADS", "can never fire"),
        (
            {"GUARD_READ_POOL_SIZE": "500", "GUARD_WRITE_WAITERS": "500"},
            "GUARD_THREADS",
            "more than 1000",
        ),
    ],
)
def test_settings_that_do_not_go_together(environ: dict[str, str], name: str, text: str) -> None:
    found = problems(environ)
    assert list(found) == [name]
    assert text in found[name]


def test_every_problem_is_told_at_once() -> None:
    environ = {
        "GUARD_MODE": "loud", "GUARD_DEADLINE": "never", "GUARD_RETRY_AFTER_MIN": "61",
        "GUARD_BREAKER_OPEN": "5m", "GUARD_NOPE": "1", "PORT": "http",
        "GUARD_DATABASE_URL": "mysql://u:hunter2@h",
    }  # fmt: skip
    assert sorted(problems(environ)) == sorted(environ)


def test_a_bad_value_causes_no_second_error() -> None:
    assert list(problems({"GUARD_RETRY_AFTER_MAX": "x", "GUARD_RETRY_AFTER_MIN": "60"})) == [
        "GUARD_RETRY_AFTER_MAX"
    ]


@pytest.mark.parametrize(
    "environ",
    [
        {"GUARD_DATABASE_URL": "postgresql://u:hunter2@h:x/db"},
        {"GUARD_DATABASE_URL": "hunter2"},
        {"GUARD_DATABASE_READ_URL": "postgresql://u:hunter2@h/db"},
        {"GUARD_ADMIN_BIND": "postgresql://u:hunter2@h/db"},
        {"GUARD_CONFIG_FILE": "postgresql://u:hunter2@h/db"},
        {"GUARD_DATABASE_URL_FILE": "postgresql://u:hunter2@h/db"},
        {"GUARD_PASSWORD": "hunter2"},
    ],
)
def test_no_password_is_in_an_exception(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load(environ)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    assert "hunter2" not in repr(caught.value.problems)


def test_no_password_is_in_a_repr() -> None:
    environ = {**POSTGRES, "GUARD_DATABASE_READ_URL": "postgresql://u:hunter2@r/db"}
    assert "hunter2" not in repr(load(environ))


def test_settings_can_not_be_changed_but_can_be_sent() -> None:
    loaded = load({})
    assert isinstance(loaded, Loaded)
    with pytest.raises(AttributeError):
        loaded.settings.port = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        loaded.sources["port"] = Source.CODE  # type: ignore[index]
    assert pickle.loads(pickle.dumps(loaded.settings)) == loaded.settings  # noqa: S301 - our own


def test_the_adaptive_limit_is_for_one_worker_alone() -> None:
    told = problems({"GUARD_ADAPTIVE": "true", "GUARD_WORKERS": "2"})
    assert list(told) == ["GUARD_ADAPTIVE"]
    assert load({"GUARD_ADAPTIVE": "true", "GUARD_WORKERS": "1"}, cores=2).settings.adaptive
    assert load(DUCKDB | {"GUARD_ADAPTIVE": "yes"}, cores=2).settings.adaptive
