"""Where each setting's value comes from: the environment, a file, code."""

from __future__ import annotations

import re
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from guard.errors import BadSetting
from guard.settings.masking import MASK, shown
from guard.settings.model import specs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from guard.settings.model import Spec

CONFIG_FILE: Final = "GUARD_CONFIG_FILE"
FILE_SUFFIX: Final = "_FILE"

_PREFIX: Final = "GUARD_"
_TEST_PREFIX: Final = "GUARD_TEST_"
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KUBERNETES: Final = re.compile(r"GUARD_(?:.+_)?(?:SERVICE_(?:HOST|PORT)|PORT)(?:_.*)?")
_QUOTES: Final = ("'", '"')
_QUOTED_MIN: Final = 2
_BYTES_MAX: Final = 1 << 20


class Source(StrEnum):
    """Where a setting's value comes from."""

    DEFAULT = "default"
    FILE = "file"
    """The file that ``GUARD_CONFIG_FILE`` names."""
    ENVIRONMENT = "environment"
    DERIVED = "derived"
    """Worked out from the other settings and the number of cores."""
    CODE = "code"
    """An override of the program."""


class Given(NamedTuple):
    """A value before it is checked.

    Attributes:
        raw: the text, or any object of an override.
        source: where it is from.
        where: the same for people, where the variable's name alone does not tell; may be empty.
    """

    raw: object
    source: Source
    where: str = ""


class Inputs(NamedTuple):
    """Everything that was given.

    Attributes:
        values: by field name.
        unreadable: fields that were given but can't be read; already among the problems.
        problems: what is wrong beside the values.
    """

    values: dict[str, Given]
    unreadable: set[str]
    problems: list[BadSetting]


class _Line(NamedTuple):
    text: str
    where: str = ""


def collect(environ: Mapping[str, str], overrides: Mapping[str, object]) -> Inputs:
    """Return what is given; a later one wins: file, environment, code.

    An empty text, or None in code, is as good as not given.
    """
    inputs = Inputs({}, set(), [])
    _add(inputs, _config_file(inputs, environ.get(CONFIG_FILE, "").strip()), Source.FILE)
    variables = {
        name: _Line(text)
        for name, text in environ.items()
        if name == "PORT" or name.startswith(_PREFIX)
    }
    variables.pop(CONFIG_FILE, None)
    _add(inputs, variables, Source.ENVIRONMENT)
    _add_overrides(inputs, overrides)
    return inputs


def _add(inputs: Inputs, lines: Mapping[str, _Line], source: Source) -> None:
    given = {
        name: _Line(line.text.strip(), line.where)
        for name, line in lines.items()
        if line.text.strip() and not name.startswith(_TEST_PREFIX)
    }
    for field, spec in specs().items():
        line = given.pop(spec.env, None)
        if spec.secret:
            line = _secret(inputs, field, line, given)
        if line is not None:
            inputs.values[field] = Given(line.text, source, line.where)
            # What the file said wrongly no longer matters to the other checks.
            inputs.unreadable.discard(field)
    inputs.problems.extend(_unknown(name, line) for name, line in given.items())


def _secret(
    inputs: Inputs, field: str, line: _Line | None, given: dict[str, _Line]
) -> _Line | None:
    name = specs()[field].env + FILE_SUFFIX
    pointer = given.pop(name, None)
    if pointer is None:
        return line
    path = shown(pointer.text, secret=False)
    if line is not None:
        _note(inputs, BadSetting(name, path, f"{specs()[field].env} is given too; give one"), field)
        return None
    try:
        text = _read(pointer.text).strip()
    except (OSError, ValueError) as error:
        allowed = "must be a file that can be read"
        _note(inputs, BadSetting(name, path, allowed, _and(_why(error), pointer.where)), field)
        return None
    if not text:
        _note(inputs, BadSetting(name, path, "the file is empty", pointer.where), field)
        return None
    return _Line(text, _and(f"read from {path}", pointer.where))


def _note(inputs: Inputs, problem: BadSetting, field: str) -> None:
    inputs.problems.append(problem)
    inputs.unreadable.add(field)
    inputs.values.pop(field, None)


def _read(path: str) -> str:
    # Not Path.read_text: a path such as /dev/zero must not fill the memory.
    with Path(path).open(encoding="utf-8-sig") as file:
        text = file.read(_BYTES_MAX + 1)
    if len(text) > _BYTES_MAX:
        raise ValueError("it is too large")
    return text


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, UnicodeError):
        return "it is not UTF-8"
    return str(error)


def _and(*texts: str) -> str:
    return ", ".join(text for text in texts if text)


def _config_file(inputs: Inputs, path: str) -> dict[str, _Line]:
    if not path:
        return {}
    name = shown(path, secret=False)
    try:
        text = _read(path)
    except (OSError, ValueError) as error:
        problem = BadSetting(CONFIG_FILE, name, "must be a file that can be read", _why(error))
        inputs.problems.append(problem)
        return {}
    lines: dict[str, _Line] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        wrong = _take_line(lines, line.strip(), f"{name}, line {number}")
        if wrong:
            inputs.problems.append(BadSetting(CONFIG_FILE, name, f"line {number}: {wrong}"))
    return lines


def _take_line(lines: dict[str, _Line], line: str, where: str) -> str:
    # The answer never shows the line: what can't be read may be a secret.
    if not line or line.startswith("#"):
        return ""
    name, equals, text = (part.strip() for part in line.partition("="))
    if not equals or _NAME.fullmatch(name) is None:
        return "is not NAME=VALUE, and no comment either"
    if name in lines:
        return f"{name} is already in {lines[name].where}"
    if name == CONFIG_FILE:
        return f"{name} can't stand in the file itself"
    if len(text) >= _QUOTED_MIN and text[0] in _QUOTES and text[-1] == text[0]:
        text = text[1:-1]
    lines[name] = _Line(text, where)
    return ""


def _add_overrides(inputs: Inputs, overrides: Mapping[str, object]) -> None:
    known = specs()
    for field, raw in overrides.items():
        if field not in known:
            hint = _did_you_mean(field, known)
            inputs.problems.append(BadSetting(field, MASK, "there is no such setting", hint))
        elif raw is not None and raw != "":
            inputs.values[field] = Given(raw, Source.CODE, "given in code")
            inputs.unreadable.discard(field)


def _unknown(name: str, line: _Line) -> BadSetting:
    hint = _did_you_mean(name.upper(), known_names(specs()))
    if _KUBERNETES.fullmatch(name):
        hint = _and(hint, "if Kubernetes made it for a Service: enableServiceLinks: false")
    # The value is not shown: a misspelt name may well hold a password.
    return BadSetting(name, MASK, "there is no such setting", _and(hint, line.where))


def known_names(table: Mapping[str, Spec]) -> list[str]:
    """Return every variable that may be set."""
    names = [spec.env for spec in table.values()]
    names += [spec.env + FILE_SUFFIX for spec in table.values() if spec.secret]
    return [*names, CONFIG_FILE]


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]}?" if near else ""
