from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guard.core.mark_token import position_in, signed

KEY = "a key of some length"
NOW_S = 1_700_000_000.0
AGE_MAX_S = 30.0


@given(st.integers(0, 2**63 - 1), st.text(min_size=1), st.floats(0.0, AGE_MAX_S))
def test_what_was_signed_is_read(position: int, key: str, age_s: float) -> None:
    key = key.encode(errors="replace").decode()
    assert position_in(signed(position, key, NOW_S), key, int(NOW_S) + age_s, AGE_MAX_S) == position


@given(st.text())
def test_nothing_else_is(text: str) -> None:
    assert position_in(text, KEY, NOW_S, AGE_MAX_S) == 0


@given(st.integers(0, 60), st.sampled_from("0123456789abcdef."))
def test_not_even_with_one_letter_changed(at: int, letter: str) -> None:
    token = signed(12345, KEY, NOW_S)
    forged = token[:at] + letter + token[at + 1 :]
    assert forged[: len(token)] == token or position_in(forged, KEY, NOW_S, AGE_MAX_S) == 0


def test_another_key_or_an_old_one_says_nothing() -> None:
    token = signed(7, KEY, NOW_S)
    assert position_in(token, "another key", NOW_S, AGE_MAX_S) == 0
    assert position_in(token, KEY, NOW_S + AGE_MAX_S + 1, AGE_MAX_S) == 0
    assert position_in(token, KEY, NOW_S - 60, AGE_MAX_S) == 0, "from a future that is none"
    assert position_in(token, KEY, NOW_S - 1, AGE_MAX_S) == 7, "clocks differ a little"


def test_a_mark_is_believed_up_to_its_last_second_and_two_early_ones() -> None:
    token = signed(7, KEY, NOW_S)
    found = [
        position_in(token, KEY, NOW_S + later_s, AGE_MAX_S)
        for later_s in (-2.5, -2.0, AGE_MAX_S, AGE_MAX_S + 0.5)
    ]
    assert found == [0, 7, 7, 0]
