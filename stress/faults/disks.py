"""Faults of the disk that the database lies on, made on a file system of its own in memory."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from service.demo_postgres import demo_server
from stress.disturbance import Breakage
from stress.faults.drill import Drill
from stress.faults.processes import send, wait_until
from stress.faults.resources import writes_fail
from stress.report import Verdict
from stress.scenario import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stress.faults.drill import Course, Scene

_SIZE: Final = {"duckdb": "96m", "postgres": "256m"}
_SMALL_LOG: Final = {"max_wal_size": "64MB", "min_wal_size": "32MB"}
_BLOCK_BYTES: Final = 65536
_MOUNTED_S: Final = 10.0


@contextmanager
def small_disk(backend: str) -> Iterator[Place]:
    """Give an empty database on a file system of its own (tmpfs), both gone after the block.

    Raises:
        OSError: it can't be mounted.
    """
    with tempfile.TemporaryDirectory(prefix="guard-stress-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL runs as another user
        disk = folder / "disk"
        disk.mkdir()
        _mount("-t", "tmpfs", "-o", f"size={_SIZE[backend]}", "tmpfs", str(disk))
        try:
            if backend == "postgres":
                with demo_server(disk / "data", settings=_SMALL_LOG) as server:
                    yield Place(server.url, folder, server)
            else:
                yield Place(f"duckdb:///{disk / 'warriors.duckdb'}", folder, None)
        finally:
            subprocess.run(["umount", "--lazy", str(disk)], check=False)  # noqa: S607


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)  # noqa: S607
    if done.returncode:
        raise OSError(done.stderr.strip() or f"mount ended with status {done.returncode}")


def no_mount() -> str:
    """Return why nothing can be mounted here; empty where it can."""
    if shutil.which("mount") is None:
        return "there is no mount command"
    try:
        with small_disk("duckdb"):
            return ""
    except OSError as error:
        return f"a file system can't be mounted ({error})"


def _disk(scene: Scene) -> Path:
    return scene.where.folder / "disk"


def _full(scene: Scene) -> Breakage:
    filler = _disk(scene) / "filler"

    def begin() -> None:
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            for size in (_BLOCK_BYTES, 1):
                with suppress(OSError):
                    while file.write(bytes(size)) == size:
                        pass

    def end() -> None:
        filler.unlink()
        server = scene.where.postgres
        # It ends where its log has no room, as it should; somebody then starts it again.
        if server is not None and not _listens(server.port):
            server.restart()

    return Breakage(begin, end)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _read_only(scene: Scene) -> Breakage:
    def begin() -> None:
        # A file that is open for writing keeps the file system from becoming read-only, and
        # the arbiter must not start a worker in between.
        service = scene.service
        workers = service.workers()
        send(service.pid, signal.SIGSTOP)
        try:
            for pid in workers:
                send(pid, signal.SIGKILL)
            _remount(scene, "ro")
        finally:
            send(service.pid, signal.SIGCONT)

    return Breakage(begin, lambda: _remount(scene, "rw"))


def _remount(scene: Scene, how: str) -> None:
    said: list[str] = []

    def done() -> bool:
        try:
            _mount("-o", f"remount,{how}", str(_disk(scene)))
        except OSError as error:
            said.append(str(error))
            return False
        return True

    if not wait_until(done, _MOUNTED_S):
        raise OSError(said[-1])


def _says_why(course: Course) -> list[Verdict]:
    reasons = {one.reason for one in course.during() if one.reason}
    return [
        Verdict(
            "refused with `starting` during the fault, and nothing else",
            ", ".join(sorted(reasons)) or "nothing", reasons == {"starting"},
        ),
    ]  # fmt: skip


DRILLS: Final = {
    "disk-full": Drill(
        "the disk is full", _full, writes_fail, place=small_disk, missing=no_mount,
    ),
    "read-only": Drill(
        "a worker dies, and the file system has become read-only",
        _read_only, _says_why, backends=("duckdb",), place=small_disk, missing=no_mount,
        tolerated=("SIGKILL",),
    ),
}  # fmt: skip
