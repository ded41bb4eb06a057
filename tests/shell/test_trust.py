from __future__ import annotations

import pytest

from guard.trust import age_told_by, trusts

NOW_S = 1_795_000_000.0


@pytest.mark.parametrize(
    ("proxies", "peer", "expected"),
    [
        (("10.0.0.0/8",), "10.1.2.3", True),
        (("10.0.0.0/8",), "11.1.2.3", False),
        (("10.0.0.0/8",), "::ffff:10.1.2.3", True),
        (("10.1.2.3",), "10.1.2.3", True),
        (("10.1.2.3",), "10.1.2.4", False),
        (("192.0.2.1", "2001:db8::/32"), "2001:db8::7", True),
        (("192.0.2.1", "2001:db8::/32"), "10.0.0.1", False),
        (("10.0.0.0/8",), "", False),
        (("10.0.0.0/8",), "unix:", False),
        (("*",), "", True),
        (("*",), "10.1.2.3", True),
        ((), "10.1.2.3", False),
    ],
)
def test_the_peers_address_decides(proxies: tuple[str, ...], peer: str, *, expected: bool) -> None:
    assert trusts(proxies)({"REMOTE_ADDR": peer}) is expected


def test_an_environ_without_an_address_is_trusted_only_with_everybody() -> None:
    assert trusts(("*",))({})
    assert not trusts(("10.0.0.0/8",))({})


@pytest.mark.parametrize(
    ("proxies", "own_s", "start", "expected_s"),
    [
        (("10.0.0.1",), 0.1, "t=1794999999.500", 0.5),
        (("10.0.0.1",), 0.7, "t=1794999999.500", 0.7),
        (("10.0.0.1",), 0.1, "t=1795000009", 0.1),  # its clock is ahead
        (("10.0.0.1",), 0.1, "t=1794990000", 0.1),  # its clock is wrong
        (("10.0.0.1",), 0.1, "yesterday", 0.1),
        (("10.0.0.1",), 0.1, None, 0.1),
        (("10.0.0.2",), 0.1, "t=1794999999.500", 0.1),  # somebody else says so
        ((), 0.1, "t=1794999999.500", 0.1),
    ],
)
def test_a_trusted_proxy_tells_the_age(
    proxies: tuple[str, ...], own_s: float, start: str | None, expected_s: float
) -> None:
    told = age_told_by(proxies, lambda _: own_s, lambda: NOW_S)
    environ = {"REMOTE_ADDR": "10.0.0.1"}
    if start is not None:
        environ["HTTP_X_REQUEST_START"] = start
    assert told(environ) == pytest.approx(expected_s)


def test_without_a_trusted_proxy_it_costs_nothing() -> None:
    def own(_environ: object) -> float:
        return 0.0

    assert age_told_by((), own, lambda: NOW_S) is own
