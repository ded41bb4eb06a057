"""Metrics and health, on a listener of their own or mounted on any WSGI server."""

from guard.admin.app import AdminApp, WorkerState
from guard.admin.server import AdminListener

__all__ = ["AdminApp", "AdminListener", "WorkerState"]
