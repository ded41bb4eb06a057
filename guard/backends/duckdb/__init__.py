"""DuckDB as a backend; the one place that imports its driver."""

from guard.backends.duckdb.backend import DuckDBBackend
from guard.backends.duckdb.config import DuckDBConfig

__all__ = ["DuckDBBackend", "DuckDBConfig"]
