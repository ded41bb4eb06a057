"""The operator's page on a server other than gunicorn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.admin.app import AdminApp, WorkerState
from guard.export.host import guard_version
from guard.status import Keeper

if TYPE_CHECKING:
    from guard.board import Board
    from guard.settings.load import Loaded


def admin_app(board: Board, loaded: Loaded) -> AdminApp:
    """Return what gunicorn's admin listener answers with, to be mounted on any WSGI server.

    Starts a thread that looks at the board each second, so it is called after a fork. Where a
    server runs several processes, each shows itself alone. Mount it outside of ``Guard``, so that
    it takes no permit; it wants ``GUARD_ADMIN_TOKEN`` where that is set.

    Args:
        board: ``Board.local()[0]``, whose row was given to ``assemble(recorder=...)``.
        loaded: the settings.
    """
    keeper = Keeper(board, lambda: loaded, version=guard_version())
    keeper.start()
    return AdminApp(
        board,
        lambda: [WorkerState(one.pid, one.ready) for one in board.workers()],
        status=keeper,
        token=loaded.settings.admin_token,
    )
