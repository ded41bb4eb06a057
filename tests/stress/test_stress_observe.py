"""``python -m stress observe``: what it prints, how it ends, what it says without a Prometheus."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path

import pytest
from programs import program

from stress.__main__ import main

ROOT = Path(__file__).parents[2]
BOUND_S = 120.0


@pytest.mark.process
def test_ctrl_c_ends_everything_and_the_pictures_are_drawn(tmp_path):
    program("prometheus")
    command = [
        sys.executable, "-m", "stress", "observe", "--seconds", "600", "--pictures", str(tmp_path),
    ]  # fmt: skip
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                break
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=BOUND_S)
    assert process.returncode == 0, rest
    assert len(list(tmp_path.glob("*.png"))) == 6
    text = "".join(lines)
    assert "Good answers: http://127.0.0.1:" in text
    for name in ("service", "metrics", "Prometheus"):
        port = int(re.search(rf"^{name} +http://127.0.0.1:(\d+)", text, re.MULTILINE)[1])
        with pytest.raises(ConnectionRefusedError):
            HTTPConnection("127.0.0.1", port, timeout=5).connect()


def test_without_a_prometheus_one_line_says_how_to_get_it(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    before = signal.getsignal(signal.SIGTERM)
    assert main(["observe", "--seconds", "1"]) == 2
    signal.signal(signal.SIGTERM, before)
    assert "apt install prometheus" in capsys.readouterr().err
