"""PostgreSQL, by psycopg and its pool."""

from guard.backends.postgres.backend import PostgresBackend
from guard.backends.postgres.config import PostgresConfig

__all__ = ["PostgresBackend", "PostgresConfig"]
