"""The parts of the integration that need no running gunicorn."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter as RealArbiter
from gunicorn.config import Config as RealConfig
from gunicorn.pidfile import Pidfile as RealPidfile
from gunicorn.workers.gthread import PollableMethodQueue, ThreadWorker

from guard import metrics
from guard.core.sizing import ServerLimits
from guard.errors import BackendFailed
from guard.gunicorn import context, current_worker, graceful_timeout_s, hooks, kinds, preflight
from guard.gunicorn.arbiter import Arbiter
from guard.gunicorn.banner import banner
from guard.gunicorn.connections import postgres_room
from guard.gunicorn.context import LoadedInArbiter, WorkerContext
from guard.gunicorn.ending import Ending
from guard.gunicorn.startup import start
from guard.settings import load
from guard.testing import MemoryRecorder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from guard.settings import Settings
    from guard.settings.load import Loaded


def loaded(**environ: str) -> Loaded:
    return load({"GUARD_ADMIN_BIND": "127.0.0.1:0", **environ}, cores=2)


def settings(**environ: str) -> Settings:
    return loaded(**environ).settings


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave this process what it was: no arbiter, no worker."""
    monkeypatch.setattr(hooks._Process, "arbiter", None)
    monkeypatch.setattr(hooks._Process, "ending", None)
    monkeypatch.setattr(context._Process, "worker", None)
    monkeypatch.setattr(context._Process, "arbiter_pid", 0)
    handlers = {number: signal.getsignal(number) for number in hooks._STOP_SIGNALS}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


class TestGunicornIsAsWeKnowIt:
    """The protocols name what gunicorn's own objects have."""

    @pytest.mark.parametrize(
        ("kind", "real"),
        [
            (kinds.Config, RealConfig()),
            (kinds.Pidfile, RealPidfile("unused")),
            (kinds.MethodQueue, PollableMethodQueue()),
        ],
    )
    def test_objects(self, kind: type, real: object) -> None:
        for name in [*kind.__annotations__, *(n for n in vars(kind) if not n.startswith("_"))]:
            assert hasattr(real, name), name

    def test_arbiter_and_worker(self) -> None:
        class Application(BaseApplication):
            def load_config(self) -> None:
                self.cfg.set("worker_class", "gthread")

            def load(self) -> None:
                raise NotImplementedError

        arbiter = RealArbiter(Application())
        for name in kinds.Server.__annotations__:
            assert hasattr(arbiter, name), name
        worker = ThreadWorker(1, 1, [], arbiter.app, 1, arbiter.cfg, arbiter.log)
        for name in kinds.Worker.__annotations__:
            assert hasattr(worker, name), name
        assert hasattr(worker.method_queue, "_write_fd")
        worker.tmp.close()


class TestRows:
    def test_each_worker_has_one_and_gets_it_back(self) -> None:
        arbiter = Arbiter(loaded(GUARD_WORKERS="1"))
        rows = [arbiter.reserve(age) for age in range(10)]
        assert rows == list(range(10))
        assert arbiter.reserve(10) is None
        arbiter.retire(3)
        arbiter.retire(3)
        assert arbiter.reserve(11) == 3
        arbiter.sweep([0, 11])
        assert [arbiter.reserve(age) for age in (12, 13)] == [1, 2]

    def test_counters_outlive_the_worker(self) -> None:
        arbiter = Arbiter(loaded())
        arbiter.reserve(1)
        row = arbiter.claim(1)
        row.add(metrics.HTTP_RESPONSES, ("GET", "/", "200"))
        row.set(metrics.WORKER_READY, (), 1.0)
        assert arbiter.workers() == [(os.getpid(), True)]
        arbiter.retire(1)
        assert arbiter.workers() == []
        samples = {s.metric: s.value for s in arbiter._board.collect() if s.value}
        assert samples[metrics.HTTP_RESPONSES] == 1.0

    def test_without_a_row_a_worker_measures_for_itself(self) -> None:
        arbiter = Arbiter(loaded())
        arbiter.claim(99).add(metrics.HTTP_RESPONSES, ("GET", "/", "200"))
        assert arbiter.workers() == []


class TestAdminAddress:
    def test_off(self) -> None:
        arbiter = Arbiter(loaded(GUARD_ADMIN_BIND="off"))
        assert arbiter.listener is None
        assert arbiter.admin_address == ""
        assert arbiter.bind_admin(patient=False) == ""
        arbiter.start_admin()

    def test_the_heir_does_not_bind(self) -> None:
        arbiter = Arbiter(loaded())
        assert arbiter.bind_admin(patient=True) == ""
        assert arbiter.listener is not None
        assert not arbiter.listener.bound

    def test_ipv6_is_written_in_brackets(self) -> None:
        arbiter = Arbiter(loaded(GUARD_ADMIN_BIND="[::1]:8009"))
        assert arbiter.admin_address == "[::1]:8009"

    def test_an_address_of_another_machine(self) -> None:
        away = loaded(GUARD_ADMIN_BIND="192.0.2.1:8009", GUARD_ADMIN_TOKEN="0" * 16)
        problem = Arbiter(away).bind_admin(patient=False)
        assert problem == f"GUARD_ADMIN_BIND=192.0.2.1:8009: {os.strerror(errno.EADDRNOTAVAIL)}"


class TestBanner:
    def test_passwords_are_masked(self) -> None:
        text = banner(
            settings(
                GUARD_DATABASE_URL="postgresql://me:secret@db/x",
                GUARD_DATABASE_READ_URL="postgresql://me:other@replica/x",
                GUARD_WORKERS="2",
            ),
            ["http://[::]:8000", "unix:/run/x"],
            "127.0.0.1:8001",
            "curl {url}/x",
        )
        assert "secret" not in text
        assert "other" not in text
        assert "postgresql://me:***@db/x, reads from postgresql://me:***@replica/x" in text
        assert "2 workers x " in text
        assert "try       curl http://127.0.0.1:8000/x" in text

    def test_without_a_command_to_try(self) -> None:
        assert "try" not in banner(settings(), ["http://127.0.0.1:8000"], "", "")


class TestConnections:
    POSTGRES = settings(GUARD_DATABASE_URL="postgresql://u@db/x", GUARD_WORKERS="2")

    @pytest.mark.parametrize(
        ("usable", "refused", "warned"), [(19, True, False), (20, False, True), (40, False, False)]
    )
    def test_room(self, usable: int, refused: bool, warned: bool) -> None:  # noqa: FBT001
        verdict = postgres_room(self.POSTGRES, lambda _url, _timeout_s: ServerLimits(usable, 0))
        assert (bool(verdict.refuse), bool(verdict.warn)) == (refused, warned)

    def test_with_replicas_the_primary_needs_room_for_reads_too(self) -> None:
        apart = replace(self.POSTGRES, database_read_url="postgresql://me@replica/x")
        watched = replace(apart, replica_lag_max_s=5.0)
        found = [
            postgres_room(each, lambda _url, _s: ServerLimits(19, 0)) for each in (apart, watched)
        ]
        assert [bool(verdict.refuse) for verdict in found] == [False, True]

    def test_behind_pgbouncer_the_server_is_not_asked(self) -> None:
        behind = replace(self.POSTGRES, pgbouncer=True)
        assert postgres_room(behind, lambda _url, _timeout_s: ServerLimits(1, 0)) == ("", "")

    def test_a_server_that_is_away_is_a_warning(self) -> None:
        def away(_url: str, _timeout_s: float) -> ServerLimits:
            raise BackendFailed("no route")

        verdict = postgres_room(self.POSTGRES, away)
        assert not verdict.refuse
        assert verdict.warn.endswith("starting without it: no route")


def config(**changes: object) -> Any:
    made = RealConfig()
    for name, value in {"worker_class": "gthread", "bind": "127.0.0.1:0", **changes}.items():
        made.set(name, value)
    return made


class TestPorts:
    def test_free(self) -> None:
        assert list(preflight.ports(settings(), config())) == []
        assert list(preflight.ports(settings(), config(bind="unix:/nowhere/x"))) == []

    def test_taken_on_ipv6(self) -> None:
        try:
            other = socket.create_server(("::1", 0), family=socket.AF_INET6)
        except OSError:
            pytest.skip("no IPv6 here")
        with other:
            bind = f"[::1]:{other.getsockname()[1]}"
            problems = list(preflight.ports(settings(), config(bind=bind)))
        assert len(problems) == 1
        assert "in use" in problems[0]

    def test_an_address_of_another_machine(self) -> None:
        (problem,) = preflight.ports(settings(), config(bind="192.0.2.1:8000"))
        assert os.strerror(errno.EADDRNOTAVAIL) in problem

    def test_one_port_for_both(self) -> None:
        both = config(bind="127.0.0.1:8009")
        (problem,) = preflight.ports(settings(GUARD_ADMIN_BIND="127.0.0.1:8009"), both)
        assert problem == "port 8009 is given to both the service and GUARD_ADMIN_BIND"

    def test_sockets_that_others_made(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            taken = config(bind=f"127.0.0.1:{other.getsockname()[1]}")
            assert len(list(preflight.ports(settings(), taken))) == 1
            monkeypatch.setenv("LISTEN_FDS", "1")
            assert list(preflight.ports(settings(), taken)) == []
            monkeypatch.delenv("LISTEN_FDS")
            taken.set("reuse_port", value=True)
            assert list(preflight.ports(settings(), taken)) == []


class TestDuckDBFile:
    def test_only_a_duckdb_url_names_one(self, tmp_path: Path) -> None:
        assert preflight.duckdb_file("") is None
        assert preflight.duckdb_file("postgresql://db/x") is None
        assert preflight.duckdb_file(f"duckdb:///{tmp_path}/a/../x") == tmp_path.resolve() / "x"

    def test_directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = tmp_path / "x.duckdb"
        assert list(preflight.duckdb_directory(file)) == []
        file.mkdir()
        assert list(preflight.duckdb_directory(file)) == [f"database {file}: this is not a file"]
        file.rmdir()
        file.touch()
        assert list(preflight.duckdb_directory(file)) == []
        # The superuser may do everything, so the system's answer is put in its mouth.
        monkeypatch.setattr(os, "access", lambda path, _mode: path != file)
        assert "not readable and writable" in next(preflight.duckdb_directory(file))
        monkeypatch.setattr(os, "access", lambda path, _mode: path != tmp_path)
        assert "is not writable" in next(preflight.duckdb_directory(file))

    def test_a_lock_beside_the_file(self, tmp_path: Path) -> None:
        file = tmp_path / "x.duckdb"
        assert list(preflight.duckdb_lock(file)) == []
        file.touch()
        assert list(preflight.duckdb_lock(file)) == []
        with (tmp_path / "x.duckdb.owner").open("w") as owner:
            assert list(preflight.duckdb_lock(file)) == []
            fcntl.flock(owner, fcntl.LOCK_EX)
            (problem,) = preflight.duckdb_lock(file)
        assert "it is open in another process" in problem


def fake_worker(**changes: object) -> Any:
    made: dict[str, object] = {
        "pid": os.getpid(), "age": 1, "booted": True, "alive": True, "tpool": None,
        "cfg": config(), "log": SimpleNamespace(), "nr_conns": 0,
        "load_wsgi": lambda: None, "handle_exit": lambda _s, _f: None,
        "handle_quit": lambda _s, _f: None,
    }  # fmt: skip
    return SimpleNamespace(**{**made, **changes})


@pytest.mark.usefixtures("process")
class TestHooks:
    def test_without_an_arbiter_nothing_happens(self) -> None:
        server: Any = SimpleNamespace()
        worker = fake_worker(pid=-1)
        hooks.on_reload(server)
        hooks.when_ready()(server)
        hooks.pre_fork(server, worker)
        hooks.post_fork(server, worker)
        hooks.post_worker_init(worker)
        hooks.worker_int(worker)
        hooks.worker_abort(worker)
        hooks.worker_exit(server, worker)
        hooks.worker_exit(server, fake_worker())
        hooks.child_exit(server, worker)
        hooks.on_exit(server)
        assert current_worker() is None

    def test_a_worker_that_is_found_gone_gives_its_row_back(self) -> None:
        arbiter = hooks._Process.arbiter = Arbiter(loaded())
        arbiter.reserve(1)
        arbiter.claim(1)
        hooks.worker_exit(SimpleNamespace(), fake_worker(pid=-1))
        assert arbiter.workers() == []

    def test_more_workers_than_rows(self) -> None:
        told: list[str] = []
        server: Any = SimpleNamespace(WORKERS={}, log=SimpleNamespace(warning=told.append))
        arbiter = hooks._Process.arbiter = Arbiter(loaded(GUARD_WORKERS="1"))
        for age in range(11):
            server.WORKERS[age] = worker = fake_worker(age=age)
            hooks.pre_fork(server, worker)
        assert len(told) == 1
        hooks.pre_fork(server, fake_worker(age=11))
        arbiter.retire(0)
        hooks.pre_fork(server, fake_worker(age=12))
        assert len(told) == 2

    @pytest.mark.parametrize("changed", [{"admin_bind": "off"}, {"admin_token": "0" * 16}])
    def test_a_changed_admin_address_or_token_takes_a_restart(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        changed: dict[str, str],
    ) -> None:
        before = loaded()
        after = replace(before, settings=replace(before.settings, **changed))
        arbiter = hooks._Process.arbiter = Arbiter(before)
        monkeypatch.setattr(hooks, "last_read", lambda: after)
        hooks.on_reload(SimpleNamespace())
        assert arbiter.settings is after.settings
        (line,) = capsys.readouterr().err.splitlines()
        assert (
            line == f"guard: GUARD_{next(iter(changed)).upper()} has changed: that takes a restart"
        )

    def test_the_upgrade_command_is_mended(self) -> None:
        server: Any = SimpleNamespace(
            START_CTX={"args": ["python", "/x/gunicorn/__main__.py", "-c", "file", "app"]}
        )
        hooks.pre_exec(server)
        assert server.START_CTX["args"] == ["python", "-m", "gunicorn", "-c", "file", "app"]
        hooks.pre_exec(server)
        assert server.START_CTX["args"][1:3] == ["-m", "gunicorn"]

    def test_the_arbiter_is_no_place_for_an_application(self) -> None:
        context.become_arbiter()
        with pytest.raises(LoadedInArbiter, match="preload_app"):
            current_worker()
        worker = WorkerContext(MemoryRecorder(), settings())
        context.become_worker(worker)
        assert current_worker() is worker

    def test_ctrl_c_before_the_start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(preflight, "configuration", interrupted)
        with pytest.raises(SystemExit) as left:
            start(SimpleNamespace(cfg=config(), pidfile=None))
        assert left.value.code == 130


@pytest.mark.usefixtures("process")
class TestEnding:
    def test_a_worker_of_another_class(self) -> None:
        worker = fake_worker()
        told: list[str] = []
        made = WorkerContext(MemoryRecorder(), settings())
        made.on_drain(lambda: told.append("drain"))
        made.on_exit(lambda _left_s: told.append("exit"))
        handle_quit = worker.handle_quit
        ending = Ending(worker, made)
        ending.install()
        assert worker.handle_quit is handle_quit
        worker.handle_exit(signal.SIGTERM, None)
        assert ending._end()
        assert told == ["drain", "exit"]

    def test_it_closes_before_the_arbiter_loses_its_patience(self) -> None:
        given = settings(GUARD_DEADLINE="9.5s")
        worker = fake_worker(cfg=config(graceful_timeout=graceful_timeout_s(given)))
        Ending(worker, WorkerContext(MemoryRecorder(), given)).install()
        assert 9.5 < worker.cfg.graceful_timeout < graceful_timeout_s(given) - 4
