from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.settings.durations import format_duration, parse_duration
from guard.settings.forms import Unfit
from guard.settings.masking import mask_url, scrub, shown
from guard.settings.model import Settings, specs
from guard.settings.values import convert, text_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25), ("1.5s", 1.5), ("2m", 120.0), ("3", 3.0), ("0.1", 0.1), (".5", 0.5),
        ("5.", 5.0), ("10 s", 10.0), ("1.5m", 90.0), ("0", 0.0),
    ],
)  # fmt: skip
def test_durations_are_read(text: str, seconds: float) -> None:
    assert float(parse_duration(text)) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "s", "ms", "1h", "1S", "-1s", "+1", "1e3", "nan", "inf", "1,5s", "1s2", "0x1", "1_000"],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "250ms"), (0.0005, "0.5ms"), (1.0, "1s"), (90.5, "90.5s"), (120.0, "2m"), (0.0, "0s")],
)
def test_durations_are_written_shortly(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(
    st.integers(1, 600_000).map(lambda ms: ms / 1000)
    | st.floats(1e-3, 1e6).map(lambda s: round(s, 6))
)
def test_durations_round_trip(seconds: float) -> None:
    assert float(parse_duration(format_duration(seconds))) == seconds


@given(st.sampled_from(sorted(specs())), st.data())
def test_every_default_and_number_round_trips(field: str, data: st.DataObject) -> None:
    spec = specs()[field]
    value = getattr(Settings(), field)
    if spec.low is not None and spec.high is not None:
        low, high = spec.low, spec.high
        if isinstance(value, int):
            value = data.draw(st.integers(int(low), int(high)))
        else:
            value = min(high, max(low, round(data.draw(st.floats(low, high)), 6)))
    text = text_of(field, spec, value)
    if text:
        assert convert(field, spec, text) == (value if text != "," else ())


@pytest.mark.parametrize(
    ("field", "raw"),
    [
        ("port", True), ("port", 80.5), ("port", math.nan), ("port", []), ("port", "8000.0"),
        ("deadline_s", math.inf), ("deadline_s", object()), ("mode", 1), ("mode", "nope"),
        ("exempt_paths", 5), ("exempt_paths", [1]), ("exempt_paths", "livez"),
        ("admin_bind", 8001), ("pool_threshold_ratio", "90%"), ("pool_threshold_ratio", "1.01"),
        ("retry_after_max_s", 2.5), ("read_routes", "/search"), ("read_routes", "POST search"),
    ],
)  # fmt: skip
def test_values_of_a_wrong_kind_or_size_are_refused(field: str, raw: object) -> None:
    with pytest.raises(Unfit):
        convert(field, specs()[field], raw)


@pytest.mark.parametrize(
    ("field", "raw", "value"),
    [
        ("port", 80, 80), ("deadline_s", 3, 3.0), ("retry_after_min_s", "2000ms", 2),
        ("retry_after_max_s", "1m", 60), ("mode", " Shadow ", "shadow"),
        ("exempt_paths", "/a , /b/*,", ("/a", "/b/*")), ("exempt_paths", ",", ()),
        ("exempt_paths", ["/a"], ("/a",)), ("read_routes", "post  /search", ("POST /search",)),
        ("admin_bind", "OFF", "off"), ("admin_bind", "[::1]:0", "[::1]:0"),
        ("log_level", "debug", "debug"),
    ],
)  # fmt: skip
def test_values_take_their_normal_form(field: str, raw: object, value: object) -> None:
    assert convert(field, specs()[field], raw) == value


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@h:5432/db", "postgres://h", "postgresql:///db?host=/var/run",
        "postgresql://u:p@a:1,b:2/db", "postgresql://u@[::1]:5432/db", "postgresql://h/db?sslmode=require",
        "duckdb:///data/a.duckdb", "duckdb:////var/lib/a.duckdb", "postgresql://u:p%40q@%2Fvar%2Frun/db",
    ],
)  # fmt: skip
def test_database_urls_that_work(url: str) -> None:
    assert convert("database_url", specs()["database_url"], url) == url


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mysql://u:secret@h/db", "must begin with duckdb"),
        ("host=h password=secret", "must begin with duckdb"),
        ("duckdb:data.duckdb", "must begin with duckdb"),
        ("duckdb://data.duckdb", "three slashes"),
        ("duckdb:///", "path of a file is missing"),
        ("duckdb:///data/", "path of a file is missing"),
        ("duckdb:///.", "path of a file is missing"),
        ("duckdb:///:memory:", "must be a file"),
        ("duckdb:///a.duckdb?access_mode=read", "takes no parameters"),
        ("duckdb:///a\nb", "no control characters"),
        ("postgresql://u:sec ret@h/db", "no spaces"),
        ("postgresql://u:secret%@h/db", "no escape"),
        ("postgresql://u:secret%00@h/db", "no escape"),
        ("postgresql://u:sec@ret@h/db", "percent-encoded"),
        ("postgresql://u:sec/ret@h/db", "percent-encoded"),
        ("postgresql://u:1?secret@h/db", "percent-encoded"),
        ("postgresql://u:secret@h:port/db", "must name its hosts"),
        ("postgresql://u:secret@h:70000/db", "must name its hosts"),
        ("postgresql://h,:x/db", "must name its hosts"),
        ("postgresql://h!/db", "must name its hosts"),
    ],
)
def test_database_urls_that_can_not_work(url: str, why: str) -> None:
    with pytest.raises(Unfit, match=why):
        convert("database_url", specs()["database_url"], url)


@pytest.mark.parametrize(
    "text",
    ["https://example.com/p#busy", "about:blank", "/problems/busy", "#x", "a%20b", "//h/x"],
)
def test_uri_references(text: str) -> None:
    assert convert("problem_type", specs()["problem_type"], text) == text


@pytest.mark.parametrize(
    "text", ["a b", "a\r\nSet-Cookie: x", "\x00", "<x>", "100%", "http://[::1", "h\xe9"]
)
def test_what_is_no_uri_reference(text: str) -> None:
    with pytest.raises(Unfit):
        convert("problem_type", specs()["problem_type"], text)


@pytest.mark.parametrize(
    "text", ["", "8001", ":8001", "h:", "h:70000", "a b:1", "h:-1", "::1", "http://h:1"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(Unfit):
        convert("admin_bind", specs()["admin_bind"], text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("X-Request-Timeout-Ms", "X-Request-Timeout-Ms"), ("grpc2-t", "grpc2-t"), ("OFF", "off")],
)
def test_a_headers_name(text: str, value: str) -> None:
    assert convert("deadline_header", specs()["deadline_header"], text) == value


@pytest.mark.parametrize(
    "text", ["", "X Timeout", "X_Timeout", "X-Timeout:", "-x", "1x", "x" * 101]
)
def test_what_is_no_headers_name(text: str) -> None:
    with pytest.raises(Unfit):
        convert("deadline_header", specs()["deadline_header"], text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", ()),
        ("*", ("*",)),
        ("10.1.2.3", ("10.1.2.3/32",)),
        ("10.1.2.3/8, 2001:db8::/32", ("10.0.0.0/8", "2001:db8::/32")),
    ],
)
def test_proxies(text: str, value: tuple[str, ...]) -> None:
    assert convert("trusted_proxies", specs()["trusted_proxies"], text) == value


@pytest.mark.parametrize("text", ["proxy.local", "10.0.0.0/33", "10.0.0", "10.0.0.1:80", "10.*"])
def test_what_is_no_proxy(text: str) -> None:
    with pytest.raises(Unfit, match="address"):
        convert("trusted_proxies", specs()["trusted_proxies"], text)


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("postgresql://u:hunter2@h:5432/db", "postgresql://u:***@h:5432/db"),
        ("postgresql://u@h/db", "postgresql://u@h/db"),
        ("postgresql://h/db?sslmode=require", "postgresql://h/db?sslmode=require"),
        ("postgresql://h/db?user=u&password=hunter2", "postgresql://h/db?user=u&password=***"),
        ("postgresql://h/db?%70assword=hunter2&x", "postgresql://h/db?***&***"),
        ("postgresql://u:hun@ter2@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:hun?ter2@h/db", "postgresql://u***"),
        ("postgresql://h/db?password=hun@ter2", "postgresql://h***"),
        ("duckdb:///data/a.duckdb", "duckdb:///data/a.duckdb"),
        ("host=h password=hunter2", "***"),
        ("", ""),
    ],
)
def test_passwords_are_masked(url: str, masked: str) -> None:
    assert mask_url(url) == masked


@given(
    password=st.text(st.characters(codec="utf-8", exclude_characters="&"), min_size=1),
    place=st.sampled_from(["@h/db", "@h:1/db?sslmode=require", "@a,b/"]),
)
def test_no_password_gets_through_however_badly_it_is_written(password: str, place: str) -> None:
    secret = f"<{password}>"
    assert secret not in mask_url(f"postgresql://user:{secret}{place}")
    assert secret not in mask_url(f"postgresql://user@h/db?password={secret}")


def test_urls_are_masked_in_any_setting_and_long_texts_are_cut() -> None:
    assert shown("postgres://u:hunter2@h", secret=False) == "postgres://u:***@h"
    assert shown("hunter2", secret=True) == "***"
    assert len(shown("x" * 1000, secret=False)) == 120


def test_a_drivers_message_is_scrubbed() -> None:
    url = "postgresql://u:p%40ssword@h/db?sslpassword=other"
    message = "bad 'p%40ssword', p@ssword and other at h"
    assert scrub(message, url, "no url") == "bad '***', *** and *** at h"
