"""What a DuckDB backend is made from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from guard.backends.base import Bounds

_BOUNDS: Final = Bounds(wait_s=1.0, run_s=5.0)
# Smaller, and the database would write a checkpoint at nearly every commit.
_CHECKPOINT: Final = "16MiB"


@dataclass(frozen=True, slots=True)
class DuckDBConfig:
    """Where the file is, and all bounds. Immutable.

    Attributes:
        path: the database file; made where it is missing, its directory is not.
        readers: reads that may run at once, >= 1; about the number of cores.
        write_batch_max: most units that are committed together, >= 1.
        memory_mib: the engine's memory limit in MiB; the process may go about 75 % over it.
        statement_timeout_s: a statement that runs longer is cancelled, seconds, > 0.
        result_rows_max: most rows that one statement may return at once, >= 1.
        bounds: a use's bounds where the caller gives none.
    """

    path: str | os.PathLike[str]
    readers: int = 2
    write_batch_max: int = 128
    memory_mib: int = 512
    statement_timeout_s: float = 5.0
    result_rows_max: int = 10_000
    bounds: Bounds = _BOUNDS

    def real_path(self) -> Path:
        """Return the file's one true name, so that two spellings of it meet in one lock."""
        return Path(os.path.realpath(self.path))

    def engine_options(self) -> dict[str, Any]:
        """Return the engine's options.

        Queries run in their callers' threads only. Files, extensions and options are out of
        reach for SQL, but for the time-out that each session sets.
        """
        return {
            "threads": 1,
            "async_threads": 0,
            "memory_limit": f"{self.memory_mib}MiB",
            "checkpoint_threshold": _CHECKPOINT,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "enable_external_access": False,
            "allowed_configs": ["max_execution_time"],
            "lock_configuration": True,
        }
