"""The service, except that its worker dies once, after a commit and before the answer."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from service.app import create_app as create_service
from service.store import Warriors

if TYPE_CHECKING:
    from flask import Flask


def create_app() -> Flask:
    """Return the service; ``TEST_DIES_AT`` is ``file:number``, the commit that is never told."""
    name, _, number = os.environ["TEST_DIES_AT"].rpartition(":")
    marks, lock = Path(name), Lock()
    create_once = Warriors.create_once

    def dying(self: Warriors, *args: Any) -> Any:
        warrior = create_once(self, *args)
        with lock, marks.open("a+") as file:
            # The file outlives the worker, so the next one does not die.
            committed = file.tell() + 1
            file.write(str(committed)[-1])
            file.flush()
            if committed == int(number):
                os.kill(os.getpid(), signal.SIGKILL)
        return warrior

    Warriors.create_once = dying  # type: ignore[method-assign]
    return create_service()
