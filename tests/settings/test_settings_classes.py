import pytest

from guard.errors import SettingsError
from guard.settings import load

HEADER = {"GUARD_PRIORITY_HEADER": "X-Priority"}


def problems(**environ):
    with pytest.raises(SettingsError) as caught:
        load(environ)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "peers"),
    [
        ("*", ("*",)),
        ("10.1.2.3, 10.0.0.0/8", ("10.1.2.3/32", "10.0.0.0/8")),
        ("10.1.2.3/8", ("10.0.0.0/8",)),
        ("::1,2001:db8::/32", ("::1/128", "2001:db8::/32")),
        ("", ()),
    ],
)
def test_peers_are_addresses_networks_or_all(text, peers):
    assert load({"GUARD_TRUSTED_PROXIES": text}).settings.trusted_proxies == peers


@pytest.mark.parametrize("text", ["proxy.example", "10.0.0.0/33", "10.1.2", "all"])
def test_other_peers_are_refused(text):
    (problem,) = problems(GUARD_TRUSTED_PROXIES=text)
    assert "an address, a network such as 10.0.0.0/8, or *" in problem


@pytest.mark.parametrize("name", ["X_Priority", "X Priority", "X-Priority:", "Prioritä"])
def test_what_is_no_headers_name_is_refused(name):
    (problem,) = problems(GUARD_PRIORITY_HEADER=name, GUARD_TRUSTED_PROXIES="*")
    assert "of letters, digits and hyphens" in problem


def test_a_header_that_nobody_is_believed_is_refused():
    (problem,) = problems(**HEADER)
    assert "GUARD_PRIORITY_HEADER" in problem
    assert "GUARD_TRUSTED_PROXIES" in problem
    assert load({**HEADER, "GUARD_TRUSTED_PROXIES": "*"}).settings.priority_header == "X-Priority"


def test_fairness_by_header_needs_the_header():
    (problem,) = problems(GUARD_FAIRNESS="header")
    assert "GUARD_CLIENT_KEY_HEADER" in problem


def test_the_lower_class_may_not_use_more():
    (problem,) = problems(GUARD_NORMAL_BUDGET="0.2", GUARD_SHEDDABLE_BUDGET="0.3")
    assert "must be at most GUARD_NORMAL_BUDGET, which is 0.2" in problem
