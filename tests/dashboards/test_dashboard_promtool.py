"""Prometheus' own tool on the rules: their form, and what fires them."""

from __future__ import annotations

import subprocess

import pytest
from dashboard_help import RULES
from programs import program


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "--lint-fatal", "guard.rules.yml", "guard.alerts.yml"),
        ("test", "rules", "guard.rules.test.yml"),
    ],
    ids=["config", "rules", "what-fires"],
)
def test_promtool_finds_no_fault(arguments):
    done = subprocess.run(
        [program("promtool"), *arguments],
        cwd=RULES,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
