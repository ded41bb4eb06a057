"""Whatever a file, an environment or a program gives: settings, or one error that names it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from guard.errors import SettingsError
from guard.settings import Settings, load
from guard.settings.model import specs
from guard.settings.render import as_json, table
from guard.settings.sources import CONFIG_FILE, known_names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from guard.settings.load import Loaded

NAMES = known_names(specs())
# A name or a value that is no UTF-8 comes out of the environment with half surrogate pairs.
ANY_TEXT = st.text(st.characters(exclude_characters="\x00"), max_size=30)
LINES = st.lists(
    st.one_of(
        st.builds("{}={}".format, st.sampled_from(NAMES) | ANY_TEXT, ANY_TEXT),
        st.builds("{} = '{}'".format, st.sampled_from(NAMES), ANY_TEXT),
        ANY_TEXT,
        st.just("GUARD_THREADS=90"),
    ),
    max_size=8,
)


@pytest.fixture(scope="module")
def write(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], Path]:
    path = tmp_path_factory.mktemp("settings") / "guard.env"

    def written(data: bytes) -> Path:
        path.write_bytes(data)
        return path

    return written


def refused(load_them: Callable[[], Loaded]) -> SettingsError | None:
    """Return the error, if it is one of the settings; whatever else is raised fails the test."""
    try:
        assert isinstance(load_them().settings, Settings)
    except SettingsError as error:
        return error
    return None


def problems_of(environ: dict[str, str]) -> tuple[set[str], str]:
    """Return which variables are named as wrong, and the whole text."""
    error = refused(lambda: load(environ, cores=2))
    if error is None:
        return set(), ""
    text = str(error)
    assert error.problems
    assert all(one.name and one.allowed and one.name in text for one in error.problems)
    return {problem.name for problem in error.problems}, text


@given(st.binary(max_size=300))
@example(b"\xef\xbb\xbfGUARD_THREADS=90\r\n")
@example(b"\xff\xfeG\x00")
@example(b"GUARD_DATABASE_URL_FILE=\x00")
def test_any_bytes_are_a_file_or_a_named_error(write: Callable[[bytes], Path], data: bytes) -> None:
    named, text = problems_of({CONFIG_FILE: str(write(data))})
    given_names = {line.partition("=")[0].strip() for line in data.decode("latin-1").split("\n")}
    assert named <= {CONFIG_FILE, *NAMES, *given_names}
    if b"=" not in data and data.strip(b"\xef\xbb\xbf \t\r\n") and not text:
        assert data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"#") or not data.decode().strip()


@given(LINES)
def test_any_lines_give_settings_or_name_the_variable_and_the_line(
    write: Callable[[bytes], Path], lines: list[str]
) -> None:
    data = "\n".join(lines).encode("utf-8", "surrogatepass")
    named, text = problems_of({CONFIG_FILE: str(write(data))})
    if named - {CONFIG_FILE}:
        assert "line " in text or "GUARD_" in text
    text.encode("utf-8")


@given(st.dictionaries(st.sampled_from(NAMES), ANY_TEXT, max_size=6))
@example({"GUARD_BREAKER_REDIS_PREFIX": "\udcff"})
@example({"GUARD_EXEMPT_PATHS": "/\udcff"})
@example({"GUARD_DATABASE_URL": "duckdb:///\udcff.duckdb"})
def test_what_is_taken_can_be_shown(environ: dict[str, str]) -> None:
    environ.pop(CONFIG_FILE, None)
    try:
        loaded = load(environ, cores=2)
    except SettingsError as error:
        str(error).encode("utf-8")
        return
    (table(loaded) + as_json(loaded)).encode("utf-8")
    # A file's name may be any bytes, and so may a path in a URL; all else is text.
    for field, spec in specs().items():
        if spec.form not in {"database", "path", "route"}:
            str(getattr(loaded.settings, field)).encode("utf-8")


ANY_VALUE: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), ANY_TEXT, st.binary(max_size=5),
    st.lists(ANY_TEXT | st.integers(), max_size=3), st.decimals(), st.just(object()),
    st.sampled_from([10**400, -(10**5000), math.nan, math.inf, 2**63]),
)  # fmt: skip


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from([*specs(), "thread"]), ANY_VALUE, max_size=4))
@example({"threads": 10**400})
@example({"threads": 10**5000})
def test_any_override_gives_settings_or_an_error_that_names_it(overrides: dict[str, Any]) -> None:
    known = {spec.env for spec in specs().values()}
    error = refused(lambda: load({}, overrides=overrides, cores=2))
    if error is None:
        assert overrides.get("thread") in {None, ""}
    else:
        assert {problem.name for problem in error.problems} <= known | {"thread"}
        assert str(error)
