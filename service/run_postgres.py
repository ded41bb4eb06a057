"""``make run-postgres``: the service on PostgreSQL, with a server of its own if none is named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from service.demo_postgres import demo_server

DATA_DIR = Path("data/postgres")
COMMAND = (sys.executable, "-m", "gunicorn", "-c", "gunicorn_config.py", "service:create_app()")


def main() -> int:
    """Run gunicorn until it ends; return its exit status."""
    url = os.environ.get("GUARD_DATABASE_URL", "")
    if url:
        return _serve(url)
    DATA_DIR.parent.mkdir(parents=True, exist_ok=True)
    with demo_server(DATA_DIR) as server:
        return _serve(server.url)


def _serve(url: str) -> int:
    environ = {**os.environ, "GUARD_DATABASE_URL": url}
    with subprocess.Popen(COMMAND, env=environ) as gunicorn:  # noqa: S603 - our own command
        # Ctrl-C reaches gunicorn by the terminal's process group; a SIGTERM only us.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: gunicorn.terminate())
        return gunicorn.wait()


if __name__ == "__main__":
    sys.exit(main())
