"""Stands in for a command: ``python -m tests.stress.fake_scenario HOW --out DIR``."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event

from stress import report
from stress.report import Report, Verdict

VERDICTS = {
    "good": [Verdict("2x: p99 < 20 ms", "7 ms", met=True), Verdict("5x: kept", "yes", met=True)],
    "missed": [Verdict("2x: p99 < 20 ms", "90 ms", met=False)],
    "leaves": [Verdict("2x: p99 < 20 ms", "7 ms", met=True)],
    "void": [Verdict("2x: p99 < 20 ms", "late", met=False, void=True)],
}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("how")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    sys.stdout.write(f"this is {options.how}\n")
    sys.stdout.flush()
    if options.how == "unable":
        sys.stderr.write("stress: there is no PostgreSQL\nLOG: and so it goes\n")
        return 2
    if options.how == "crashed":
        raise RuntimeError("out of luck")
    if options.how in {"hangs", "clings"}:
        _hang(options)
    if options.how == "leaves":
        other = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
        )
        (options.out / "pids").write_text(f"{other.pid}")
    told = Report("A fake", verdicts=VERDICTS.get(options.how, []), facts={"beside": "a fact"})
    report.write(told, {}, options.out, "fake")
    return 0 if told.met else 1


def _hang(options: argparse.Namespace) -> None:
    # What it wrote before it was ended is no result.
    report.write(Report("Half", verdicts=VERDICTS["good"]), {}, options.out, "half")
    if options.how == "clings":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (options.out / "pids").write_text(f"{other.pid}")
    try:
        Event().wait(600)
    finally:
        other.kill()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
