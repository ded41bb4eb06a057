import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guard.core.request_times import AGE_MAX_S, age_s, allowed_s, started_s

NOW_S = 1_795_000_000.25


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [
        ("250", 0.25), (" 250\t", 0.25), ("+250", 0.25), ("1", 0.001), ("0250", 0.25),
        ("10000", 10.0), ("10001", 10.0), ("9" * 15, 10.0),
        ("0", 0.0), ("-0", 0.0), ("-1", 0.0), ("-999999", 0.0),
        # No whole number: as without the header.
        ("", 10.0), ("soon", 10.0), ("1.5", 10.0), ("1e3", 10.0), ("250ms", 10.0), ("2,3", 10.0),
        ("--1", 10.0), ("0x10", 10.0), ("nan", 10.0), ("inf", 10.0), ("9" * 16, 10.0),
        ("\u0661", 10.0), ("1 2", 10.0), ("1_000", 10.0), ("1\n", 10.0),
    ],
)  # fmt: skip
def test_a_clients_deadline_shortens_the_operators(text, expected_s):
    assert allowed_s(text, 10.0) == expected_s


@given(st.text(max_size=30), st.floats(0.1, 600.0))
@example("-5", 0.1)
def test_no_text_raises_or_lengthens(text, most_s):
    assert 0.0 <= allowed_s(text, most_s) <= most_s


@given(st.integers(0, 10**9), st.floats(0.1, 600.0))
def test_whole_milliseconds_are_taken_as_they_are(wanted_ms, most_s):
    assert allowed_s(str(wanted_ms), most_s) == min(wanted_ms / 1000, most_s)


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [
        ("t=1795000000.123", 1795000000.123),  # nginx: t=${msec}
        ("1795000000.123", 1795000000.123),
        ("t=1795000000", 1795000000.0),
        ("1795000000123", 1795000000.123),  # Heroku: milliseconds
        ("t=1795000000123", 1795000000.123),
        ("t=1795000000123456", 1795000000.123456),  # Apache: t=%t, microseconds
        ("1795000000123456", 1795000000.123456),
        ("1795000000123456789", 1795000000.1234567),  # nanoseconds
        (" t=1795000000 ", 1795000000.0),
        ("0", 0.0),
    ],
)
def test_every_form_of_the_start_is_read(text, expected_s):
    assert started_s(text) == pytest.approx(expected_s, abs=1e-6)


@pytest.mark.parametrize(
    "text",
    ["", "t=", "t=now", "T=1795000000", "t = 1795000000", "-1795000000", "1795000000,1795000000",
     "1795000000.", ".5", "1e9", "nan", "inf", "9" * 21, "t=t=1", "\u0661" * 10, "1 2"],
)  # fmt: skip
def test_what_is_no_start_is_none(text):
    assert started_s(text) is None
    assert age_s(text, NOW_S) == 0.0


@given(st.floats(1e8, 4e9), st.sampled_from([(1, "t={:.3f}"), (1e3, "{:.0f}"), (1e6, "t={:.0f}")]))
def test_seconds_milliseconds_and_microseconds_tell_the_same_time(at_s, form):
    factor, text = form
    assert started_s(text.format(at_s * factor)) == pytest.approx(at_s, abs=0.001)


@pytest.mark.parametrize(
    ("ago_s", "expected_s"),
    [(0.0, 0.0), (0.3, 0.3), (AGE_MAX_S - 0.5, AGE_MAX_S - 0.5), (AGE_MAX_S + 0.5, 0.0),
     (-0.3, 0.0), (-1e6, 0.0), (1e6, 0.0)],
)  # fmt: skip
def test_an_age_that_a_wrong_clock_tells_is_none(ago_s, expected_s):
    assert age_s(f"t={NOW_S - ago_s:.3f}", NOW_S) == pytest.approx(expected_s, abs=1e-3)


def test_the_longest_age_is_still_believed():
    assert age_s("t=1000000000", 1_000_000_000.0 + AGE_MAX_S) == AGE_MAX_S


@given(st.text(max_size=40) | st.from_regex(r"(t=)?[0-9]{1,20}(\.[0-9]{1,9})?", fullmatch=True))
def test_no_text_gives_an_age_out_of_range(text):
    assert 0.0 <= age_s(text, NOW_S) <= AGE_MAX_S
