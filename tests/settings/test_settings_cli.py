from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from guard.__main__ import EXIT_INTERRUPTED, EXIT_PIPE, main

ROOT = Path(__file__).parents[2]


def guard(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("GUARD_")}
    kept.pop("PORT", None)
    return subprocess.run(
        [sys.executable, "-m", "guard", *arguments], cwd=ROOT, env=kept | environ,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name == "PORT" or (name.startswith("GUARD_") and not name.startswith("GUARD_TEST_")):
            monkeypatch.delenv(name)


def test_config_prints_value_and_source() -> None:
    done = guard("config", GUARD_MODE="shadow")
    assert done.returncode == 0
    assert done.stderr == ""
    assert "GUARD_MODE" in done.stdout
    assert "environment" in done.stdout


def test_a_bad_setting_is_one_line_each_on_stderr_and_78() -> None:
    done = guard("config", GUARD_MODE="loud", GUARD_NOPE="hunter2", PORT="x")
    assert done.returncode == 78
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert {line.partition("=")[0] for line in lines} == {"GUARD_MODE", "GUARD_NOPE", "PORT"}
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr


def test_check_of_a_server_that_is_not_there() -> None:
    done = guard("check", GUARD_DATABASE_URL="postgresql://u:hunter2@127.0.0.1:1/db")
    assert done.returncode == 1
    assert "problem: server postgresql://u:***@127.0.0.1:1/db: " in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "hunter2" not in done.stdout + done.stderr


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "guard", "config"], cwd=ROOT, stdout=write_end,
            stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    finally:
        os.close(write_end)
    assert done.stderr == ""
    assert done.returncode == EXIT_PIPE


def test_an_output_that_can_not_be_written_is_one_line() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "guard", "config"], cwd=ROOT, stdout=full,
            stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "[Errno 28] No space left on device\n"


def test_help_names_the_commands_and_the_exit_statuses() -> None:
    done = guard("--help")
    assert done.returncode == 0
    for word in ("config", "check", "docs", "78"):
        assert word in done.stdout
    assert guard().returncode == 2


def test_the_settings_import_no_driver() -> None:
    code = "import sys, guard.settings, guard.__main__; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {"psycopg", "duckdb", "gunicorn", "flask"} & set(done.stdout.split())


def test_the_forms_of_config(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["PORT"]["value"] == 8000
    assert main(["config", "--check"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["config", "--markdown"]) == 0
    assert capsys.readouterr().out == (ROOT / "docs/settings.md").read_text()
    assert main(["config", "--env-example"]) == 0
    assert capsys.readouterr().out == (ROOT / ".env.example").read_text()


def test_the_page_can_be_printed_with_bad_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARD_MODE", "loud")
    assert main(["config", "--markdown"]) == 0
    assert main(["config", "--check"]) == 78


def test_check_says_ok(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    assert capsys.readouterr().out.endswith("ok: the guard can fire\n")


def test_check_offline_asks_nobody(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GUARD_DATABASE_URL", "postgresql://u:p@127.0.0.1:1/db")
    assert main(["check", "--offline"]) == 0
    assert "server" not in capsys.readouterr().out


@pytest.mark.postgres
@pytest.mark.parametrize(("workers", "status"), [("2", 0), ("40", 78)])
def test_check_asks_the_server(
    postgres_url: str, workers: str, status: int, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("GUARD_DATABASE_URL", postgres_url)
    monkeypatch.setenv("GUARD_WORKERS", workers)
    assert main(["check"]) == status
    output = capsys.readouterr()
    assert "allows 77 connections" in output.out
    assert ("problem: server: 40 workers x" in output.err) == (status == 78)


def test_a_missing_driver_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GUARD_DATABASE_URL", "postgresql://u:p@127.0.0.1:1/db")
    monkeypatch.setitem(sys.modules, "guard.backends.postgres.limits", None)
    assert main(["check"]) == 1
    assert "pip install 'wsgi-guard[postgres]'" in capsys.readouterr().err


def test_ctrl_c_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("guard.__main__.check", interrupted)
    assert main(["check"]) == EXIT_INTERRUPTED


def test_docs_are_written_and_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "docs").mkdir()
    root = ["--root", str(tmp_path)]
    assert main(["docs", "--check", *root]) == 1
    assert main(["docs", *root]) == 0
    assert main(["docs", "--check", *root]) == 0
    (tmp_path / ".env.example").write_text("old")
    assert main(["docs", "--check", *root]) == 1
    assert ".env.example is stale" in capsys.readouterr().err
    assert main(["docs", "--root", str(tmp_path / "none")]) == 1
    assert "No such file or directory" in capsys.readouterr().err
