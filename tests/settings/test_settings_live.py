"""What a changed file may change at once, what waits, and what is refused as a whole."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.core.vocabulary import Mode
from guard.errors import SettingsError
from guard.settings import load
from guard.settings.live import LiveFile, adopt, live_texts, merge
from guard.settings.model import specs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from guard.settings import Loaded

LIVE = {field for field, spec in specs().items() if spec.reload == "live"}


def loaded(**environ: str) -> Loaded:
    return load(environ, cores=2)


def test_a_live_setting_is_taken_and_another_waits() -> None:
    merged = merge(
        loaded(), loaded(GUARD_MODE="shadow", GUARD_DEADLINE="3s", GUARD_STATEMENT_TIMEOUT="1s")
    )
    assert merged.changed == ("GUARD_MODE", "GUARD_DEADLINE")
    assert merged.waiting == ("GUARD_STATEMENT_TIMEOUT",)
    assert (merged.settings.mode, merged.settings.deadline_s) == (Mode.SHADOW, 3.0)
    assert merged.settings.statement_timeout_s == 5.0


def test_shrinking_the_waiters_needs_no_restart_although_sizes_follow_from_them() -> None:
    merged = merge(loaded(), loaded(GUARD_READ_WAITERS="0"))
    assert merged.changed == ("GUARD_READ_WAITERS",)
    assert merged.waiting == ()
    assert merged.settings.threads == loaded().settings.threads


def test_more_waiters_than_there_are_threads_for_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"GUARD_THREADS.*stays until then"):
        merge(loaded(), loaded(GUARD_READ_WAITERS="60"))


def test_sizes_that_follow_from_what_waits_stay() -> None:
    old, new = loaded(GUARD_THREADS="12"), loaded(GUARD_THREADS="30", GUARD_MODE="off")
    assert old.settings.read_waiters != new.settings.read_waiters
    merged = merge(old, new)
    assert (merged.changed, merged.waiting) == (("GUARD_MODE",), ("GUARD_THREADS",))
    assert merged.settings.read_waiters == old.settings.read_waiters


def test_a_value_between_a_live_setting_and_one_that_stays_is_checked() -> None:
    old = loaded(GUARD_PROBE_TIMEOUT="2s")
    with pytest.raises(SettingsError, match="GUARD_PROBE_TIMEOUT"):
        merge(old, loaded(GUARD_PROBE_TIMEOUT="100ms", GUARD_DEADLINE="1s"))


ENVIRONS = st.fixed_dictionaries(
    {},
    optional={
        "GUARD_MODE": st.sampled_from(["enforce", "shadow", "off"]),
        "GUARD_DEADLINE": st.sampled_from(["1s", "5s", "30s"]),
        "GUARD_READ_WAITERS": st.integers(0, 20).map(str),
        "GUARD_WRITE_WAITERS": st.integers(0, 20).map(str),
        "GUARD_THREADS": st.integers(12, 60).map(str),
        "GUARD_READ_POOL_SIZE": st.integers(1, 4).map(str),
        "GUARD_PROBE_TIMEOUT": st.sampled_from(["100ms", "2s", "20s"]),
        "GUARD_RETRY_AFTER_MAX": st.integers(1, 60).map(str),
        "GUARD_RETRY_AFTER_MIN": st.integers(1, 10).map(str),
    },
)


@settings(max_examples=150)
@given(ENVIRONS, ENVIRONS)
def test_what_is_merged_is_right_and_only_live_settings_differ(
    before: Mapping[str, str], after: Mapping[str, str]
) -> None:
    try:
        old, new = load(before, cores=2), load(after, cores=2)
        merged = merge(old, new)
    except SettingsError:
        return
    differing = {
        field
        for field in specs()
        if getattr(merged.settings, field) != getattr(old.settings, field)
    }
    assert differing <= LIVE
    assert {specs()[field].env for field in differing} == set(merged.changed)
    # What a worker does with the news: the same settings, checked once more.
    assert adopt(old.settings, live_texts(merged.settings)) == merged.settings
    given = {name for name in after if before.get(name) != after[name]}
    assert not merged.waiting or given | set(before) - set(after)


class World:
    """A file, and what follows it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "guard.env"
        self.write("GUARD_MODE=enforce\n")
        self.environ = {"GUARD_CONFIG_FILE": str(self.file)}
        self.live = LiveFile(self.read(), self.read, path=str(self.file))

    def read(self) -> Loaded:
        return load(self.environ, cores=2)

    def write(self, text: str) -> None:
        self.file.with_suffix(".new").write_text(text)
        self.file.with_suffix(".new").replace(self.file)

    def look(self) -> tuple[int, bool, tuple[str, ...]]:
        self.live()
        news = self.live()
        return news.generation, news.successful, news.waiting


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_generation_begins_with_each_change_that_takes_effect(world: World) -> None:
    assert world.look() == (1, True, ())
    world.write("GUARD_MODE=shadow\n")
    assert world.live().generation == 1, "it may be written just now"
    assert world.look() == (2, True, ())
    assert world.live.loaded.settings.mode is Mode.SHADOW
    world.write("# a comment\nGUARD_MODE=shadow\n")
    assert world.look() == (2, True, ())


def test_a_wrong_file_changes_nothing_and_is_told_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.write("GUARD_MODE=off\nGUARD_DEADLINE=never\nGUARD_MOOD=bad\n")
    assert world.look() == (1, False, ())
    assert world.look() == (1, False, ())
    assert world.live.loaded.settings.mode is Mode.ENFORCE
    told = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert len(told) == 1
    assert "GUARD_DEADLINE" in told[0]
    assert "GUARD_MOOD" in told[0]
    world.write("GUARD_MODE=off\n")
    assert world.look() == (2, True, ())


def test_a_file_that_is_gone_leaves_the_settings(world: World) -> None:
    world.file.unlink()
    assert world.look() == (1, False, ())
    world.write("GUARD_MODE=enforce\n")
    assert world.look() == (1, True, ())


def test_what_waits_is_told_until_it_is_taken_back_or_renewed(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.write("GUARD_THREADS=30\nGUARD_MODE=shadow\n")
    assert world.look() == (2, True, ("GUARD_THREADS",))
    assert world.look() == (2, True, ("GUARD_THREADS",))
    assert sum("need a reload" in each.getMessage() for each in caplog.records) == 1
    world.write("GUARD_MODE=shadow\n")
    assert world.look() == (2, True, ())
    world.write("GUARD_THREADS=30\nGUARD_MODE=shadow\n")
    assert world.look() == (2, True, ("GUARD_THREADS",))
    world.live.renewed(world.read())
    assert world.look() == (3, True, ())
    assert world.live.loaded.settings.threads == 30
    world.live.renewed(None)
    assert world.look() == (3, False, ())


def test_without_a_file_nothing_is_looked_at() -> None:
    live = LiveFile(loaded(), loaded, path="")
    assert not live.watches
    assert live() == live()


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60))
def test_whatever_is_in_the_file_the_settings_stay_right(world: World, text: str) -> None:
    world.file.write_bytes(text.encode("utf-8", "surrogatepass"))
    world.look()
    assert (
        adopt(world.live.loaded.settings, live_texts(world.live.loaded.settings))
        == world.live.loaded.settings
    )
