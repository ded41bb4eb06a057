"""The copy from a file that nobody has open."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest
from patience import until
from transfer_world import awkward, copy, fill, opened, silent, stored

from guard.backends.postgres.bulk import BulkConnection
from guard.errors import BackendFailed, GuardError
from service.idempotency import KeyReusedError
from service.migrations import NotForServiceError, SchemaUnknownError, prepare
from service.postgres_process import free_port
from service.store import Warriors
from service.transfer import command
from service.transfer.command import main
from service.transfer.copy import Copied, Copying
from service.transfer.progress import Progress
from service.transfer.source import FileSource, TransferError, open_file
from service.transfer.target import open_target

if TYPE_CHECKING:
    from pathlib import Path

    from service.transfer.source import Piece
    from service.warrior import Warrior

pytestmark = pytest.mark.postgres

ROWS = 60


class KilledError(Exception):
    """The process is killed here."""


class Failing:
    """A source that can be read so many pieces long."""

    def __init__(self, inner: FileSource, pieces: int) -> None:
        self._inner = inner
        self._left = pieces
        self.asked: list[int] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def warriors(self, first_row: int, end_row: int) -> Piece:
        if not self._left:
            raise KilledError
        self._left -= 1
        self.asked.append(first_row)
        return self._inner.warriors(first_row, end_row)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Warrior]]:
    """A database file, closed, and the warriors in it."""
    path = tmp_path_factory.mktemp("transfer") / "full.duckdb"
    return path, fill(path, ROWS)


def count(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM warriors").fetchone()
    assert row is not None
    return int(row[0])


def test_every_row_and_key_is_there_as_it_was(
    filled: tuple[Path, list[Warrior]], postgres_url: str
) -> None:
    path, warriors = filled
    copied = copy(path, postgres_url)
    assert copied == (ROWS, ROWS // 2, 0.0)
    with opened(postgres_url) as assembly:
        assert stored(assembly, warriors) == warriors
        store = Warriors(assembly.database)
        term = warriors[0].name[:3]
        assert warriors[0] in store.search(term)
        # The same key and warrior give the first answer again, another warrior does not.
        again, other = awkward(2)[::-1]
        assert store.create_once(again, "key 0001") == warriors[1]
        with pytest.raises(KeyReusedError):
            store.create_once(other, "key 0001")
    with psycopg.connect(postgres_url) as connection:
        indexes = connection.execute(
            "SELECT indexname FROM pg_indexes WHERE tablename = 'warriors'"
        ).fetchall()
    assert {name for (name,) in indexes} == {"warriors_pkey", "warriors_search_text"}


def test_a_copy_that_was_stopped_goes_on_where_it_was(
    filled: tuple[Path, list[Warrior]], postgres_url: str
) -> None:
    path, warriors = filled
    with open_file(path) as source, open_target(postgres_url) as target:
        first = Failing(source, 2)
        with pytest.raises(KilledError):
            Copying(first, target, silent(), 10).offline(merge=False)  # type: ignore[arg-type]
    assert count(postgres_url) == 20
    # Nothing serves what is there of it.
    with BulkConnection(postgres_url) as connection, pytest.raises(NotForServiceError):
        prepare(connection)
    with open_file(path) as source, open_target(postgres_url) as target:
        second = Failing(source, ROWS)
        Copying(second, target, silent(), 10).offline(merge=False)  # type: ignore[arg-type]
    assert second.asked == [20, 30, 40, 50]
    with opened(postgres_url) as assembly:
        assert stored(assembly, warriors) == warriors
    assert count(postgres_url) == ROWS


def test_a_service_that_starts_while_a_copy_begins_does_not_open_the_database(
    postgres_url: str,
) -> None:
    with (
        ThreadPoolExecutor(1) as threads,
        BulkConnection(postgres_url) as service,
        open_target(postgres_url) as target,
    ):

        def start() -> None:
            with service.transaction():
                prepare(service)

        copying = target._connection
        with copying.transaction():
            target._begin("a file", merge=False)
            starting = threads.submit(start)
            waiting = "SELECT FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"
            until(lambda: copying.execute(f"SELECT EXISTS ({waiting})")[0][0])
        with pytest.raises(NotForServiceError, match="unfinished"):
            starting.result()


def test_a_copy_of_another_file_does_not_go_on_with_it(
    filled: tuple[Path, list[Warrior]], postgres_url: str, tmp_path: Path
) -> None:
    path, _ = filled
    with open_target(postgres_url) as target:
        target.begin(str(path), merge=False)
    other = tmp_path / "other.duckdb"
    fill(other, 1)
    with pytest.raises(TransferError, match="unfinished copy of"):
        copy(other, postgres_url)


def test_only_one_copies_at_a_time(filled: tuple[Path, list[Warrior]], postgres_url: str) -> None:
    path, _ = filled
    with open_target(postgres_url) as target:
        target.begin(str(path), merge=False)
        with pytest.raises(TransferError, match="another process copies"):
            copy(path, postgres_url)


def test_a_target_with_rows_is_refused_and_with_merge_they_stay(
    filled: tuple[Path, list[Warrior]], postgres_url: str
) -> None:
    path, warriors = filled
    with opened(postgres_url) as assembly:
        own = Warriors(assembly.database).create(awkward(1, seed=2)[0])
    with pytest.raises(TransferError, match="--merge"):
        copy(path, postgres_url)
    assert count(postgres_url) == 1
    copy(path, postgres_url, merge=True)
    # Once more: nothing is doubled.
    copy(path, postgres_url, merge=True)
    with opened(postgres_url) as assembly:
        assert stored(assembly, [own, *warriors]) == [own, *warriors]
    assert count(postgres_url) == ROWS + 1


def test_another_row_under_the_same_key_is_seen(
    filled: tuple[Path, list[Warrior]], postgres_url: str
) -> None:
    path, warriors = filled
    copy(path, postgres_url)
    with psycopg.connect(postgres_url) as connection:
        connection.execute("UPDATE warriors SET name = 'x' WHERE id = %s", (warriors[7].id,))
    with pytest.raises(TransferError, match="warriors: 10 rows, checksum"):
        copy(path, postgres_url, merge=True)


def test_what_gets_lost_on_the_way_is_seen_and_copied_again(
    filled: tuple[Path, list[Warrior]], postgres_url: str
) -> None:
    path, warriors = filled

    class Losing(Failing):
        def whole(self, *arguments: int) -> object:
            with psycopg.connect(postgres_url) as connection:
                connection.execute("DELETE FROM warriors WHERE id = %s", (warriors[3].id,))
            return self._inner.whole(*arguments)

    with open_file(path) as source, open_target(postgres_url) as target:
        losing = Losing(source, ROWS)
        with pytest.raises(TransferError, match="the copy differs"):
            Copying(losing, target, silent()).offline(merge=False)  # type: ignore[arg-type]
    copy(path, postgres_url)
    with opened(postgres_url) as assembly:
        assert stored(assembly, warriors) == warriors


def test_a_file_without_the_schema_is_refused(duckdb_path: Path, postgres_url: str) -> None:
    import duckdb

    duckdb.connect(str(duckdb_path)).close()
    with pytest.raises(SchemaUnknownError, match="start this version of the service"):
        copy(duckdb_path, postgres_url)


def test_an_empty_database_can_be_copied(duckdb_path: Path, postgres_url: str) -> None:
    fill(duckdb_path, 0)
    assert copy(duckdb_path, postgres_url) == (0, 0, 0.0)
    assert count(postgres_url) == 0


@pytest.mark.parametrize(
    "case",
    [
        ("duckdb:///{missing}", "{url}", "there is no such file"),
        ("duckdb:///{text}", "{url}", "not a valid DuckDB database file"),
        ("duckdb:///{full}", "postgresql://u:secret@127.0.0.1:{port}/x", "refused"),
        ("duckdb:///{full}", "{url}", "--online copies from a running service"),
    ],
)
def test_each_trouble_is_one_line_without_a_password(
    filled: tuple[Path, list[Warrior]],
    postgres_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    case: tuple[str, str, str],
) -> None:
    source, target, says = case
    text = tmp_path / "text.duckdb"
    text.write_text("no database " * 1000)
    values = {
        "missing": tmp_path / "none", "text": text, "full": filled[0],
        "port": free_port(), "url": postgres_url,
    }  # fmt: skip
    arguments = ["migrate", "--from", source.format(**values), "--to", target.format(**values)]
    if "--online" in says:
        with open_file(filled[0]):
            assert main(arguments) == 1
    else:
        assert main(arguments) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert says in told
    assert "secret" not in told


def test_the_command_tells_what_it_did(
    filled: tuple[Path, list[Warrior]], postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["migrate", "--from", f"duckdb:///{filled[0]}", "--to", postgres_url]
    assert main(arguments) == 0
    told = capsys.readouterr().err.splitlines()
    assert told[-1].startswith(f"{ROWS} warriors and {ROWS // 2} idempotency keys are in ")
    assert "\x1b" not in "".join(told)
    assert main(arguments) == 1
    assert "--merge" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "text"), [("--from", "postgresql://x/y"), ("--to", "duckdb:///x")]
)
def test_databases_of_the_wrong_kind_are_refused(
    option: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    good = {"--from": "duckdb:///x", "--to": "postgresql://x/y", option: text}
    with pytest.raises(SystemExit):
        main(["migrate", *(part for pair in good.items() for part in pair)])
    assert "must be a" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("then", "says"),
    [("true", ""), ("false", "ended with status 1"), ("/no/such/program", "could not be run")],
)
def test_what_the_last_command_comes_to_is_told_apart_from_the_copy(
    then: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "_copy", lambda *_: Copied(2, 1, 0.1))
    options = ["--from", "duckdb:///x", "--to", "postgresql://x/y", "--online", "--then", then]
    assert main(["migrate", *options]) == (3 if says else 0)
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("options", [("--then", "true"), ("--online", "--then", "echo 'half")])
def test_a_last_command_that_can_not_be_run_is_refused_before_anything_is_copied(
    options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as wrong:
        main(["migrate", "--from", "duckdb:///x", "--to", "postgresql://x/y", *options])
    assert wrong.value.code == 2
    assert "--then" in capsys.readouterr().err.splitlines()[-1]


def test_a_target_that_is_lost_after_the_work_takes_nothing_back(postgres_url: str) -> None:
    with open_target(postgres_url) as target:
        target._connection.close()


def test_a_bulk_connection_commits_all_or_nothing_and_hides_the_password(
    postgres_url: str,
) -> None:
    with BulkConnection(postgres_url) as connection:
        connection.execute("CREATE TABLE t (x integer, y text)")
        with suppress(ZeroDivisionError), connection.transaction():
            connection.copy("COPY t FROM STDIN", b"1\ta\n")
            raise ZeroDivisionError
        connection.copy("COPY t FROM STDIN", b"2\tb\n")
        assert connection.execute("SELECT * FROM t") == [(2, "b")]
        with pytest.raises(BackendFailed, match="division by zero"):
            connection.execute("SELECT 1/0")
    wrong = postgres_url.replace("postgres:", "nobody_here:")
    with pytest.raises(GuardError) as caught:
        BulkConnection(wrong)
    assert urlsplit(postgres_url).password not in str(caught.value)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_and_a_file_gets_lines() -> None:
    now_s = iter(range(0, 1000, 3))
    bar, lines = Terminal(), io.StringIO()
    for out in (bar, lines):
        progress = Progress(out, lambda: float(next(now_s)))
        for done in (10, 20, 30, 40):
            progress.at("rows", done, 40)
        progress.step("done")
    assert bar.getvalue().split("\r\x1b[K")[2] == f"[{'#' * 15}{'.' * 15}] rows: 20 of 40 (50%)"
    assert bar.getvalue().endswith("\r\x1b[Kdone\n")
    assert lines.getvalue() == "rows: 10 of 40 (25%)\nrows: 30 of 40 (75%)\ndone\n"
