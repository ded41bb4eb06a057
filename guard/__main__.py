"""``python -m guard``: settings, whether the guard can fire with them, their docs, a live view."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from guard import top
from guard.errors import BackendFailed, SettingsError
from guard.export.docs import markdown as metrics_page
from guard.settings import load
from guard.settings.check import check
from guard.settings.machine import usable_memory_mib
from guard.settings.render import as_json, env_example, markdown, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from guard.core.sizing import ServerLimits

    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - has no other name

EXIT_UNAVAILABLE: Final = 1
"""Exit status where something could not be asked, or a generated file is stale."""
EXIT_PIPE: Final = 128 + 13
"""Exit status where the reader of our output went away, as of a process ended by SIGPIPE."""
EXIT_INTERRUPTED: Final = 128 + 2

_EPILOG: Final = """\
exit status:
  0   all is well
  1   a database or a service can't be reached, or a generated file is stale
  2   the command line is wrong
  78  a setting is wrong; every problem is on stderr
"""


def errors_page() -> str:
    """Return the docs' page of database errors; needs both databases' drivers."""
    from guard.backends.errors_page import markdown as page

    return page()


DOCUMENTS: Final[Mapping[str, Callable[[], str]]] = {
    "docs/settings.md": markdown,
    "docs/metrics.md": metrics_page,
    "docs/errors.md": errors_page,
    ".env.example": env_example,
}
"""The generated files by their path in the project."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status.

    Args:
        arguments: the command line without the program's name; the process's own where None.
    """
    options = _parser().parse_args(arguments)
    if sys.stdout is not None and hasattr(sys.stdout, "reconfigure"):
        # A value that the terminal's encoding doesn't know is no reason to fail.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status: int = options.run(options)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        _forget_stdout()
        return EXIT_PIPE
    except SettingsError as error:
        _complain(map(str, error.problems))
        return os.EX_CONFIG
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except OSError as error:
        _forget_stdout()
        _complain([str(error)])
        return EXIT_UNAVAILABLE
    return status


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m guard",
        description="Guard's settings, whether it can work with them, and a running service.",
        epilog=_EPILOG,
        formatter_class=raw,
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    for add in (_add_config, _add_check, _add_docs, _add_top):
        add(commands)
    return parser


def _add_config(commands: _Commands) -> None:
    command = commands.add_parser(
        "config",
        help="print the effective settings and where each comes from",
        description="Print the effective settings and where each comes from. Passwords are masked.",
    )
    form = command.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print them as JSON")
    form.add_argument(
        "--markdown", action="store_true", help="print the docs' page about all settings"
    )
    form.add_argument(
        "--env-example", action="store_true", help="print a file for GUARD_CONFIG_FILE"
    )
    form.add_argument("--check", action="store_true", help="print nothing unless one is wrong")
    command.set_defaults(run=_config)


def _add_check(commands: _Commands) -> None:
    command = commands.add_parser(
        "check",
        help="say whether the guard can fire with the settings",
        description="Say whether the guard can fire with the settings: threads, reserve, pools, "
        "workers, lanes, memory; and whether PostgreSQL allows the connections.",
    )
    command.add_argument(
        "--offline", action="store_true", help="do not ask the PostgreSQL server for its limits"
    )
    command.set_defaults(run=_check)


def _add_docs(commands: _Commands) -> None:
    written = "write the generated files: " + ", ".join(DOCUMENTS)
    command = commands.add_parser(
        "docs", help=written, description=written[0].upper() + written[1:]
    )
    command.add_argument(
        "--check", action="store_true", help="write nothing; fail where one is stale"
    )
    command.add_argument(
        "--root", type=Path, default=Path(), help="the project's directory (default: this one)"
    )
    command.set_defaults(run=_docs)


def _add_top(commands: _Commands) -> None:
    command = commands.add_parser(
        "top",
        help="show a running service: the operator's page in a terminal",
        description="Show a running service, refreshed each second; Ctrl-C ends it. Where the "
        "admin listener wants a token it is taken from GUARD_ADMIN_TOKEN.",
    )
    command.add_argument(
        "--url", help="the admin listener (default: GUARD_ADMIN_BIND's, or http://127.0.0.1:8001)"
    )
    command.add_argument("--once", action="store_true", help="print once, without any control code")
    command.set_defaults(run=lambda options: top.run(options.url, just_once=options.once))


def _config(options: argparse.Namespace) -> int:
    if options.markdown or options.env_example:
        print(markdown() if options.markdown else env_example(), end="")
        return os.EX_OK
    loaded = load()
    if not options.check:
        print(as_json(loaded) if options.json else table(loaded), end="")
    return os.EX_OK


def _check(options: argparse.Namespace) -> int:
    ask = None if options.offline else _ask_server
    report = check(load().settings, memory_mib=usable_memory_mib(), ask=ask)
    print(report.text, end="")
    _complain(f"warning: {text}" for text in report.warnings)
    _complain(f"problem: {text}" for text in (*report.problems, *report.unavailable))
    if report.problems:
        return os.EX_CONFIG
    if report.unavailable:
        return EXIT_UNAVAILABLE
    print("ok: the guard can fire")
    return os.EX_OK


def _ask_server(url: str, timeout_s: float) -> ServerLimits:
    try:
        from guard.backends.postgres.limits import server_limits
    except ImportError as error:
        raise BackendFailed(f"{error}; pip install 'wsgi-guard[postgres]'") from error
    return server_limits(url, timeout_s)


def _docs(options: argparse.Namespace) -> int:
    stale = []
    for name, text in DOCUMENTS.items():
        file: Path = options.root / name
        if not options.check:
            file.write_text(text(), encoding="utf-8")
        elif not file.is_file() or file.read_text(encoding="utf-8") != text():
            stale.append(f"{file} is stale; python -m guard docs writes it")
    _complain(stale)
    return EXIT_UNAVAILABLE if stale else os.EX_OK


def _complain(problems: Iterable[str]) -> None:
    with suppress(BrokenPipeError):
        for problem in problems:
            print(problem, file=sys.stderr)


def _forget_stdout() -> None:
    # The interpreter flushes at its end, and would complain about the same pipe again.
    if sys.stdout is not None:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
