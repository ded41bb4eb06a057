"""Operator's page, status, metrics and health, on a listener of their own or on any WSGI server."""

from guard.admin.app import AdminApp, WorkerState
from guard.admin.server import AdminListener
from guard.admin.standalone import admin_app

__all__ = ["AdminApp", "AdminListener", "WorkerState", "admin_app"]
