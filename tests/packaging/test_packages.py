"""The wheel out of the sdist, in an environment of its own, in an empty directory."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from service.postgres_process import free_port
from stress.server import end, wait_answers
from stress.shots import Target

ROOT = Path(__file__).parents[2]
NEEDED = (
    "guard/py.typed",
    "guard/admin/assets/index.html",
    "guard/admin/assets/status.schema.json",
    "service/migrations/duckdb/0001_warriors.sql",
    "service/migrations/postgres/0001_warriors.sql",
    "dashboards/grafana/guard.json",
    "dashboards/prometheus/guard.rules.yml",
)


class Installed(NamedTuple):
    """What was built, and where it is installed.

    Attributes:
        sdist: the source archive.
        wheel: built from what the source archive holds.
        environment: has the wheel; its dependencies come from this environment.
    """

    sdist: Path
    wheel: Path
    environment: Path

    def run(
        self, folder: Path, *command: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return ran([str(self.environment / "bin" / command[0]), *command[1:]], folder, **variables)


def ran(command: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=folder, env=clean(**variables), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def clean(**variables: str) -> dict[str, str]:
    """Return an environment in which only the installed package can be found."""
    ours = {
        name: value for name, value in os.environ.items()
        if not name.startswith(("GUARD_", "PYTHON", "COV", "VIRTUAL_ENV"))
    }  # fmt: skip
    return {**ours, **variables}


def build(kind: str, source: Path, out: Path) -> Path:
    command = ["-m", "hatchling", "build", "--target", kind, "--directory", str(out)]
    ran([sys.executable, *command], source)
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    base = tmp_path_factory.mktemp("packages")
    sdist = build("sdist", ROOT, base / "sdist")
    with tarfile.open(sdist) as archive:
        # An argument for it came with Python 3.11.4; an earlier one takes no notice of this.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(base / "unpacked")  # noqa: S202 - our own archive
    (source,) = (base / "unpacked").iterdir()
    wheel = build("wheel", source, base / "wheel")
    environment = base / "environment"
    uv = [sys.executable, "-m", "uv", "--quiet", "--offline", "--no-cache"]
    ran([*uv, "venv", "--python", sys.executable, str(environment)], base)
    python = str(environment / "bin" / "python")
    ran([*uv, "pip", "install", "--no-deps", "--python", python, str(wheel)], base)
    packages = sysconfig.get_path("purelib", vars={"base": str(environment)})
    # As a plain path: an editable install of the project that is there has no effect.
    (Path(packages) / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return Installed(sdist, wheel, environment)


def test_the_wheel_has_what_is_needed_and_nothing_of_the_tests(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
        entry = archive.read(metadata.replace("METADATA", "entry_points.txt")).decode()
    assert set(NEEDED) <= names
    tops = {name.split("/", maxsplit=1)[0] for name in names}
    assert tops == {"guard", "service", "stress", "dashboards", metadata.split("/", maxsplit=1)[0]}
    assert "License-Expression: Apache-2.0" in text
    assert "# Guard" in text
    assert "guard = guard.__main__:main" in entry


def test_the_sdist_can_be_built_from_and_leaves_the_gate_out(installed: Installed) -> None:
    with tarfile.open(installed.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "gunicorn_config.py", "Makefile"} <= names
    assert {"deploy/Dockerfile", "docs/guide.md", "mkdocs.yml"} <= names
    assert not [name for name in names if name.startswith((".ci", ".venv", "site/"))]


def test_the_readme_s_snippet_runs(installed: Installed, tmp_path: Path) -> None:
    snippets = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    program = "\n".join([
        "import guard",
        "app = lambda environ, start: (start('200 OK', []), [b'hello'])[1]",
        snippets[0],
        "from werkzeug.test import Client",
        "print(guard.__file__)",
        "print(Client(app).get('/').text)",
        "assembly.close()",
    ])  # fmt: skip
    done = installed.run(tmp_path, "python", "-W", "error", "-c", program)
    where, answer = done.stdout.splitlines()
    assert Path(where).is_relative_to(installed.environment)
    assert answer == "hello"


def test_the_commands_run(installed: Installed, tmp_path: Path) -> None:
    config = installed.run(tmp_path, "guard", "config", "--json")
    assert json.loads(config.stdout)
    migrate = installed.run(tmp_path, "python", "-m", "service", "migrate", "--help")
    assert "--online" in migrate.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.process
def test_gunicorn_serves_the_installed_service(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "gunicorn_config.py").write_bytes((ROOT / "gunicorn_config.py").read_bytes())
    target = Target("127.0.0.1", free_port())
    variables = {
        "GUARD_DATABASE_URL": "duckdb:///warriors.duckdb",
        "GUARD_ADMIN_BIND": f"127.0.0.1:{free_port()}",
        "PORT": str(target.port),
    }
    arguments = ["-m", "gunicorn", "-c", "gunicorn_config.py", "service:create_app()"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [installed.environment / "bin" / "python", *arguments],
            cwd=tmp_path, env=clean(**variables), stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        ready = wait_answers(target, "/readyz", alive=lambda: process.poll() is None)
        assert ready, (tmp_path / "log").read_text()
    finally:
        end(process, 30.0)
    assert process.returncode == 0, (tmp_path / "log").read_text()
    assert (tmp_path / "warriors.duckdb").is_file()
