"""Moves the service's data from a DuckDB file to PostgreSQL: ``python -m service migrate``.

``copy`` holds the order of the work, ``source`` and ``target`` the two databases. A file that a
running service owns is read through that service: ``served`` answers there, ``remote`` asks here.
"""
