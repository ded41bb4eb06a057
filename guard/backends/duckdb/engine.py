"""One opened database: the connection, the readers, the writer, and the lock beside the file."""

from __future__ import annotations

import logging
import math
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Final

import duckdb

from guard.backends.duckdb.batch import WriterLimits
from guard.backends.duckdb.errors import one_line
from guard.backends.duckdb.ownership import Owner, leak, watch_forks
from guard.backends.duckdb.probe import Probe
from guard.backends.duckdb.readers import ReaderPool
from guard.backends.duckdb.sessions import DuckDBSession, Handle, Limits, Tools
from guard.backends.duckdb.statements import Statements
from guard.backends.duckdb.writer import Writer
from guard.core.vocabulary import Lane
from guard.errors import BackendFailed
from guard.events import Unheard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guard.backends.base import Session
    from guard.backends.duckdb.config import DuckDBConfig
    from guard.clock import Clock
    from guard.events import PoolObserver

_JOIN_S: Final = 1.0

log = logging.getLogger("guard.duckdb")


class Engine:
    """Thread-safe. Lives from one opening to one closing.

    Args:
        config: where the file is, and all bounds.
        observer: hears of waits, statements and errors.
        clock: measures them.
        on_fatal: called when the engine has given up and must be opened anew.

    Raises:
        BackendFailed: the file can't be owned or opened; the message is one line for people.
    """

    def __init__(
        self,
        config: DuckDBConfig,
        observer: PoolObserver,
        clock: Clock,
        on_fatal: Callable[[Engine, BaseException], None],
    ) -> None:
        self._config = config
        self.tools = Tools(Statements(), observer, clock)
        path = config.real_path()
        self._owner = Owner(path)
        self._owner.acquire()
        try:
            self._connection = duckdb.connect(str(path), config=config.engine_options())
        except BaseException as error:
            self._owner.release()
            raise BackendFailed(one_line(error)) from error
        self.readers = ReaderPool(self._connection.cursor, config.readers)
        self._write = Handle(self._connection.cursor())
        self._probe_cursor = self._connection.cursor()
        self._probe = Probe(Handle(self._probe_cursor), path.parent)
        limits = WriterLimits(
            config.statement_timeout_s, config.result_rows_max, config.write_batch_max
        )
        self.writer = Writer(self._write, limits, self.tools, lambda error: on_fatal(self, error))
        watch_forks(self)

    def prepare(self, unit: Callable[[Session], None]) -> None:
        """Run ``unit`` in a transaction of its own, without a time-out; before ``start``."""
        limits = Limits(math.inf, math.inf, self._config.result_rows_max)
        session = DuckDBSession(Lane.WRITE, self._write, limits, self.tools)
        self._write.begin(Lane.WRITE)
        try:
            unit(session)
            session.check()
        except BaseException:
            self._write.rollback()
            raise
        finally:
            session.end()
        self._write.commit()

    def start(self) -> None:
        """Start the writer."""
        self.writer.start()

    def probe(self, lane: Lane, timeout_s: float) -> None:
        """Ask the lane on a cursor that no request uses; see ``Probe.run``.

        Raises:
            BackendError: no right answer within ``timeout_s``, or the writer is gone.
        """
        self._probe.run(lane, timeout_s)
        if not self.writer.alive:
            raise BackendFailed("the writer has ended")

    @contextmanager
    def snapshot(self) -> Iterator[DuckDBSession]:
        """Hold a read-only transaction on a cursor of its own over the block, without time-out."""
        handle = Handle(self._connection.cursor())
        tools = self.tools._replace(observer=Unheard())
        limits = Limits(math.inf, math.inf, self._config.result_rows_max)
        session = DuckDBSession(Lane.READ, handle, limits, tools)
        try:
            session.begin()
            yield session
        finally:
            session.end()
            handle.rollback()
            handle.cursor.close()

    def close(self, timeout_s: float) -> None:
        """Let running units end, at most ``timeout_s``; cut the rest; close, give the lock back.

        Where a unit of the application's can't be cut, the file and its lock stay as they are
        until it ends.
        """
        clock = self.tools.clock
        deadline_s = clock.now_s() + timeout_s
        self.readers.stop()
        ended = self.writer.close(timeout_s)
        if not self.readers.drain(max(0.0, deadline_s - clock.now_s())):
            self.readers.interrupt()
            ended = self.readers.drain(_JOIN_S) and ended
        self.readers.close()
        if not ended:
            log.warning("a unit of work does not end; the database file stays open until it does")
            Thread(target=self._close_late, name="guard-duckdb-closer", daemon=True).start()
            return
        self._close_all()

    def _close_late(self) -> None:
        self.writer.join()
        self.readers.drain()
        self._close_all()

    def _close_all(self) -> None:
        for cursor in (self._write.cursor, self._probe_cursor, self._connection):
            cursor.close()
        self._owner.release()

    def after_fork(self) -> None:
        """Make a forked child's copy harmless; see ``leak``."""
        leak((self._connection, self._write.cursor, self._probe_cursor, *self.readers.cursors()))
        self._owner.release()
