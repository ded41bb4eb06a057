"""What can be seen before the first worker starts, each problem told in one line."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from guard.core.sizing import DatabaseKind
from guard.settings.forms import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.gunicorn.kinds import Config
    from guard.settings import Settings

_FLOCK: Final = "hhqqi0q"
"""``struct flock`` on 64-bit Linux: type, whence, start, length, pid, padded."""


def configuration(settings: Settings, config: Config) -> Iterator[str]:
    """Yield what the command line overrides in a way that the guard can't work with."""
    if config.preload_app:
        yield "preload_app is on: a database opened before the fork breaks in every worker"
    if not hasattr(config.worker_class, "get_thread_pool"):
        yield f"worker class {config.worker_class_str}: the guard needs gthread"
    for name, wanted in (("workers", settings.workers), ("threads", settings.threads)):
        found = getattr(config, name)
        if found != wanted:
            yield (
                f"--{name} {found}: the guard counts with {wanted}; "
                f"set GUARD_{name.upper()} instead"
            )


def ports(settings: Settings, config: Config) -> Iterator[str]:
    """Yield which of the service's addresses can't be taken."""
    if config.reuse_port or os.environ.get("LISTEN_FDS"):
        return
    for address in config.address:
        if not isinstance(address, tuple):
            continue
        host, port = address[:2]
        if port and settings.admin_bind.rpartition(":")[2] == str(port):
            yield f"port {port} is given to both the service and GUARD_ADMIN_BIND"
            continue
        problem = _try_bind(host, port)
        if problem:
            yield f"can't listen on {host}:{port}: {problem}; set PORT to another one"


def _try_bind(host: str, port: int) -> str:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "the port is in use by another process"
            return error.strerror or str(error)
    return ""


def duckdb_file(url: str) -> Path | None:
    """Return the file that a checked URL names, or None where it is no DuckDB's."""
    if kind_of(url) is not DatabaseKind.DUCKDB:
        return None
    # As the database opens it: two spellings of a file have one lock.
    return Path(os.path.realpath(url.removeprefix("duckdb:///")))


def duckdb_directory(file: Path) -> Iterator[str]:
    """Yield why the database file can't be made or written where it is."""
    folder = file.parent
    if not folder.is_dir():
        yield f"database {file}: there is no directory {folder}"
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield f"database {file}: the directory {folder} is not writable"
    elif file.exists() and not file.is_file():
        yield f"database {file}: this is not a file"
    elif file.exists() and not os.access(file, os.R_OK | os.W_OK):
        yield f"database {file}: the file is not readable and writable"


def duckdb_lock(file: Path) -> Iterator[str]:
    """Yield who else has the database open.

    Opening the file by hand drops the locks of a process that owns it; this process never does.
    """
    if not os.access(file, os.R_OK):
        return
    pid = _lock_holder(file)
    if pid is None and _is_flocked(file.with_name(file.name + ".owner")):
        pid = 0
    if pid is not None:
        who = f"process {pid}" if pid > 0 else "another process"
        yield f"database {file}: it is open in {who}, and one process at a time can own the file"


def _lock_holder(file: Path) -> int | None:
    question = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    with closing(_Descriptor(file)) as descriptor:
        answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, question)
    kind, _, _, _, pid = struct.unpack(_FLOCK, answer)
    return None if kind == fcntl.F_UNLCK else int(pid)


def _is_flocked(file: Path) -> bool:
    if not os.access(file, os.R_OK):
        return False
    with closing(_Descriptor(file)) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


class _Descriptor:
    """A file opened for reading only, without Python's buffers."""

    def __init__(self, file: Path) -> None:
        self._fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        os.close(self._fd)
