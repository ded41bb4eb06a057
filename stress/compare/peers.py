"""The proxies that are compared with: their settings, as an expert would write them."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from service.postgres_process import free_port
from stress.server import HOST, ServerError, end, tree_cpu_s, wait_answers
from stress.shots import Target

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_SYSTEM_PATHS: Final = "/usr/sbin:/usr/local/sbin"
_STOP_S: Final = 5.0

_NGINX: Final = """\
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log crit;
events {{ worker_connections 10000; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000;
  limit_conn_zone $server_name zone=service:1m;
  limit_conn_status 503;
  limit_conn_log_level info;
  upstream service {{ server {service}; keepalive 32; keepalive_requests 1000000; }}
  server {{
    listen {listen} backlog=4096;
    server_name service;
    location / {{
      limit_conn service {limit};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_pass http://service;
      error_page 503 = @busy;
    }}
    location @busy {{ add_header Retry-After 1 always; return 503; }}
  }}
}}
"""

_HAPROXY: Final = """\
global
  maxconn 8000
  nbthread 1
defaults
  mode http
  option http-keep-alive
  option dontlognull
  retries 0
  timeout connect 1s
  timeout client 30s
  timeout server 5s
  timeout http-keep-alive 30s
  timeout queue 50ms
  http-reuse always
frontend front
  bind {listen} backlog 4096
  default_backend service
backend service
{deny}  server one {service} maxconn {limit} pool-max-conn 32
"""
_DENY_QUEUE: Final = (
    "  http-request return status 503 hdr Retry-After 1 if { queue(service) ge 16 }\n"
)


class Proxy(NamedTuple):
    """A kind of proxy and how it limits the service behind it.

    Attributes:
        program: its executable's name.
        config: its settings, with places for ``folder``, ``listen``, ``service``, ``limit``,
            ``deny``.
        options: how it is started; ``{config}`` and ``{folder}`` are filled in.
        limit: requests that may be in the service at the same time.
        deny: a line that refuses before the limit's queue does.
    """

    program: str
    config: str
    options: Sequence[str]
    limit: int
    deny: str = ""

    def path(self) -> str | None:
        """Return where the program is, or None where it is not installed."""
        return shutil.which(
            self.program, path=f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM_PATHS}"
        )


def nginx(limit: int) -> Proxy:
    """Return nginx with ``limit_conn``: whoever comes beyond the limit is refused at once."""
    options = ("-e", "{folder}/nginx-start.log", "-p", "{folder}", "-c", "{config}")
    return Proxy("nginx", _NGINX, options, limit)


def haproxy(limit: int, *, deny: bool = False) -> Proxy:
    """Return HAProxy with ``maxconn``: whoever comes beyond it waits, at most 50 ms.

    Args:
        limit: the server's ``maxconn``.
        deny: refuse at once while 16 wait.
    """
    return Proxy("haproxy", _HAPROXY, ("-db", "-f", "{config}"), limit, _DENY_QUEUE if deny else "")


class RunningProxy:
    """A proxy in front of a service. Use as a context manager; not thread-safe.

    Args:
        proxy: which, and its limit.
        service: what is behind it.
        folder: empty; takes its files.
    """

    def __init__(self, proxy: Proxy, service: Target, folder: Path) -> None:
        self.target = Target(HOST, free_port())
        self._proxy = proxy
        self._service = service
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it and wait until the service answers through it.

        Raises:
            ServerError: it is not installed, or does not come up.
        """
        program = self._proxy.path()
        if program is None:
            raise ServerError(f"{self._proxy.program} is not installed")
        self._folder.mkdir(parents=True, exist_ok=True)
        config = self._folder / "config"
        config.write_text(
            self._proxy.config.format(
                folder=self._folder,
                listen=f"{HOST}:{self.target.port}",
                service=f"{HOST}:{self._service.port}",
                limit=self._proxy.limit,
                deny=self._proxy.deny,
            )
        )
        options = [one.format(config=config, folder=self._folder) for one in self._proxy.options]
        log = self._folder / "output.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [program, *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if not wait_answers(self.target, alive=lambda: self._process_runs):
            self.stop()
            raise ServerError(f"{self._proxy.program} did not start: {log.read_text()[-500:]}")
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def _process_runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def cpu_s(self) -> float:
        """Return the processor time that it has used, seconds."""
        return tree_cpu_s(self._process.pid) if self._process is not None else 0.0

    def stop(self) -> None:
        """End it. Idempotent."""
        process, self._process = self._process, None
        if process is not None:
            end(process, _STOP_S)
