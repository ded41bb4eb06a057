from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guard.errors import SettingsError
from guard.settings import Settings, load
from guard.settings.model import specs

NAMES = [spec.env for spec in specs().values()]
TEXTS = st.one_of(
    st.text(st.characters(exclude_characters="\x00"), max_size=20),
    st.sampled_from(
        (
            "0",
            "1",
            "2",
            "30",
            "250ms",
            "1.5s",
            "off",
            "shadow",
            "static",
            "duckdb:///x",
            ",",
            "postgresql://u:p@h/db",
            "127.0.0.1:8000",
            "/a,/b*",
            "POST /x",
            "9" * 5000,
            "1e9",
            "-1",
            "NaN",
        )
    ),
    st.integers(-5, 2000).map(str),
)


@given(environ=st.dictionaries(st.sampled_from(NAMES), TEXTS), cores=st.integers(1, 200))
@example(environ={"GUARD_THREAD_RESERVE": "500", "GUARD_THREADS": "3"}, cores=1)
def test_random_environments_give_settings_or_an_error_that_names_every_bad_one(
    environ: dict[str, str], cores: int
) -> None:
    alone = {name for name, text in environ.items() if not _good({name: text}, cores, name)}
    try:
        loaded = load(environ, cores=cores)
    except SettingsError as error:
        named = {problem.name for problem in error.problems}
        assert named <= set(NAMES)
        assert alone <= named
    else:
        assert not alone
        assert isinstance(loaded.settings, Settings)
        for field, spec in specs().items():
            value = getattr(loaded.settings, field)
            assert spec.low is None or spec.low <= value <= (spec.high or 0), field


def _good(environ: dict[str, str], cores: int, name: str) -> bool:
    # Alone a value can also be at odds with a default that the whole environment changes.
    try:
        load(environ, cores=cores)
    except SettingsError as error:
        text = str(error)
        together = (
            "at most GUARD", "another port", "needs a postgresql", "never fire",
            "is believed only", "must be named",
        )  # fmt: skip
        return any(word in text for word in together) or name not in text
    return True


@given(st.dictionaries(st.text(max_size=12).map(lambda text: "GUARD_" + text), st.text()))
def test_random_names_are_refused(environ: dict[str, str]) -> None:
    wrong = {
        name for name, text in environ.items()
        if text.strip() and name not in NAMES and not name.startswith("GUARD_TEST_")
    }  # fmt: skip
    if wrong:
        with pytest.raises(SettingsError) as caught:
            load(environ)
        assert wrong <= {problem.name for problem in caught.value.problems}
