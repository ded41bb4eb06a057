"""The command line: ``python -m service migrate --help``."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from contextlib import ExitStack
from time import monotonic
from typing import TYPE_CHECKING, Final

from guard.core.sizing import DatabaseKind
from guard.errors import GuardError
from guard.settings.forms import kind_of
from guard.settings.masking import mask_url
from service.transfer.copy import Copying
from service.transfer.progress import Progress
from service.transfer.remote import ask_owner
from service.transfer.source import TransferError, open_file, path_of
from service.transfer.target import open_target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.transfer.copy import Copied

_INTERRUPTED: Final = 130
_EPILOG: Final = """\
The copy can be interrupted at any time; the same command goes on with it. A database with an
unfinished copy is not opened by any service.

A password can be left out of --to: PGPASSWORD and ~/.pgpass are heard.

exit status: 0 done, 1 not done (one line says why), 2 the command line is wrong, 3 the data was
moved but the command of --then failed, 130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.then and not options.online:
        parser.error("--then needs --online")
    progress = Progress(sys.stderr, monotonic)
    began_s = monotonic()
    try:
        copied = _copy(options, progress)
    except GuardError as error:
        progress.step(f"migrate: {error}")
        return 1
    except KeyboardInterrupt:
        progress.step("migrate: interrupted; the same command goes on")
        return _INTERRUPTED
    progress.step(
        f"{copied.warriors:,} warriors and {copied.keys:,} idempotency keys are in "
        f"{mask_url(options.to)}, counted and compared, after {monotonic() - began_s:.1f} s"
    )
    return _switch(options, copied, progress)


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m service")
    commands = top.add_subparsers(required=True, metavar="command")
    command = commands.add_parser(
        "migrate",
        help="copy everything from a DuckDB file to PostgreSQL",
        description="Copy everything from a DuckDB file to PostgreSQL, and check that it is there.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--from", dest="source", required=True, type=_duckdb, metavar="URL", help="duckdb:///..."
    )
    command.add_argument(
        "--to", required=True, type=_postgres, metavar="URL", help="postgresql://..."
    )
    command.add_argument("--merge", action="store_true", help="take a target that has rows already")
    command.add_argument(
        "--online",
        action="store_true",
        help="read through the service that has the file open; writes are shed at the end only",
    )
    command.add_argument(
        "--then",
        default=[],
        type=_words,
        metavar="COMMAND",
        help="with --online: run once all is moved, to restart the service on PostgreSQL",
    )
    return top


def _duckdb(text: str) -> str:
    return _of_kind(text, DatabaseKind.DUCKDB)


def _postgres(text: str) -> str:
    return _of_kind(text, DatabaseKind.POSTGRES)


def _of_kind(text: str, kind: DatabaseKind) -> str:
    if kind_of(text) is not kind:
        raise argparse.ArgumentTypeError(f"must be a {kind} URL, not {mask_url(text)}")
    return text


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}: {text}") from error


def _copy(options: argparse.Namespace, progress: Progress) -> Copied:
    with ExitStack() as stack:
        path = path_of(options.source)
        if options.online:
            served = stack.enter_context(ask_owner(path))
            target = stack.enter_context(open_target(options.to))
            return Copying(served, target, progress).online(served, monotonic, merge=options.merge)
        try:
            source = stack.enter_context(open_file(path))
        except GuardError as error:
            raise TransferError(f"{error} (--online copies from a running service)") from error
        target = stack.enter_context(open_target(options.to))
        return Copying(source, target, progress).offline(merge=options.merge)


def _switch(options: argparse.Namespace, copied: Copied, progress: Progress) -> int:
    if not options.online:
        return 0
    progress.step(f"writes were shed for {copied.pause_s:.2f} s until the data was moved")
    if not options.then:
        progress.step(
            "the service sheds writes until it is restarted with GUARD_DATABASE_URL set to --to"
        )
        return 0
    trouble = _run(options.then)
    if trouble:
        progress.step(
            f"migrate: all is moved, but {shlex.join(options.then)} {trouble}; "
            "restart the service with GUARD_DATABASE_URL set to --to"
        )
        return 3
    return 0


def _run(command: Sequence[str]) -> str:
    """Run it; return what went wrong, and nothing where nothing did."""
    try:
        # The operator's own words, on his own machine.
        done = subprocess.run(command, check=False)  # noqa: S603
    except OSError as error:
        return f"could not be run ({error})"
    return f"ended with status {done.returncode}" if done.returncode else ""
